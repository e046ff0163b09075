"""Apply the column map: raw rows of any source become rows of listing fields."""

import graphlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.errors import InputError
from carprice.listings.cells import Cells, as_text
from carprice.listings.notation import Notation
from carprice.listings.numbers import PRICED, UNITS, Decimal, unit_of
from carprice.listings.remedies import splits_a_date, written, year_matches
from carprice.listings.row_filter import RowFilter
from carprice.listings.sources.chunks import Chunk, nearest
from carprice.listings.unreadable import Unreadable, first_of
from carprice.listings.values import (
    MISSING,
    count_respaced,
    date_of_excel,
    finds_nothing,
    joined,
    prepared,
    read_column,
    texts_of,
    without,
)
from carprice.redaction import redact
from carprice.schema import (
    ASKING_PRICE,
    CAR_ID,
    NUMERIC,
    PRICE,
    REFERENCE_EQUIPMENT,
    REQUIRED,
    FieldKind,
    alias,
    column_name,
    is_own,
    kind_of,
    names_of,
)
from carprice.settings import ColumnRule, IngestSettings

_FITTING_KINDS: Final = {
    "flags": {FieldKind.EQUIPMENT},
    "split": {FieldKind.EQUIPMENT},
    "date": {FieldKind.DATE},
    **dict.fromkeys(("ordinal", "number", "decimal", "multiply", "add"), NUMERIC),
}
"""The kinds of fields that each key of a rule fits; the other keys fit all."""
_SAMPLED: Final = 20
_YEARS_TRIED: Final = 1000
_EMPTY: Final = frozenset({"nan", "NaN", "NaT", "<NA>"})
_NAMES: Final = ("make", "model", "variant")


@dataclass(frozen=True)
class MappedChunk:
    """Rows of a source with one column per field of a listing.

    Attributes
    ----------
    frame : the fields in the order of :attr:`carprice.settings.IngestSettings.fields`, then
        ``price`` and ``id`` where there are any; the index is the chunk's. Text and flags, "yes" or
        "no", are ``object`` (``None`` if missing), numbers and integers ``float64`` (``NaN``),
        dates ``datetime64[s]`` at midnight (``NaT``), ``features`` the text of
        :func:`carprice.schema.join_equipment` (``None`` if not known).
    unreadable : what could not be read, by field.
    origin : the source's columns that each field was read from.
    ignored : the other columns, in the source's order.
    respaced : number of rows whose text had needless spaces, by text field.
    notes : what was assumed of how the numbers are written, here and in the chunks before.
    decimals : the decimal sign of each field's texts, where it is known.
    raw_unreadable : what could not be read as the source has it, by field; the index is the rows'.
    defaulted : the rows that took the ``default`` of their rule, by field, and what they took.
    unmatched : the texts in which a rule's ``match`` or ``words`` find nothing, by field.
    samples : some texts of the fields of which all could be read, by field.
    left_out : why other rows of the chunk are not in the frame, see
        :class:`carprice.listings.row_filter.RowFilter`.
    """

    frame: pd.DataFrame
    unreadable: dict[str, Unreadable]
    origin: dict[str, tuple[str, ...]]
    ignored: tuple[str, ...]
    respaced: dict[str, int]
    notes: tuple[str, ...]
    decimals: dict[str, Decimal]
    raw_unreadable: dict[str, pd.Series]
    defaulted: dict[str, pd.Series]
    unmatched: dict[str, Unreadable]
    samples: dict[str, tuple[str, ...]] = attribute(default_factory=dict)
    left_out: pd.Series = attribute(default_factory=lambda: pd.Series(dtype=object))

    def times_defaulted(self) -> dict[tuple[str, str], int]:
        """Return how many rows took a rule's ``default``, by field and default."""
        return {(field, rows.iloc[0]): len(rows) for field, rows in self.defaulted.items()}


def auto_columns(
    columns: Iterable[object], settings: IngestSettings, *, asks: bool = False
) -> dict[str, tuple[str, ...]]:
    """Find the columns of the fields that ``settings.columns`` does not mention, by their names.

    A field has one column, or several 0/1 columns for ``features``.

    Parameters
    ----------
    asks : whether the price is that of a column ``askingPrice``, where there is no other.
    """
    present = dict.fromkeys(map(column_name, columns))
    found: dict[str, tuple[str, ...]] = {}
    for field in (*settings.fields, PRICE):
        if field in settings.columns:
            continue
        here = tuple(name for name in names_of(field) if name in present)[:1]
        if not here and field == "features":
            here = tuple(name for name in REFERENCE_EQUIPMENT if name in present)
        if not here and field == PRICE and asks:
            here = tuple(filter(_is_asking_price, present))[:1]
        if here:
            found[field] = here
    return found


def _is_asking_price(name: str) -> bool:
    """Whether a column's name is ``askingPrice``, with or without spaces and capitals."""
    return re.sub(r"[\s_-]", "", name).casefold() == alias(ASKING_PRICE).casefold()


def map_chunks(
    chunks: Iterable[Chunk],
    settings: IngestSettings,
    row_filter: RowFilter | None = None,
    known: Mapping[str, Decimal] | None = None,
    *,
    price_required: bool,
    asks: bool = False,
    notation: Notation | None = None,
    found: dict[str, dict[str, tuple[str, ...]]] | None = None,
) -> Iterator[tuple[Chunk, MappedChunk]]:
    """Map the chunks of a source one by one, less the rows left out; see :func:`map_columns`.

    It is an InputError, too, if one file of the source has a field that another lacks.

    Parameters
    ----------
    known : the decimal signs of the listings that a model learned from, by field.
    asks : see :func:`auto_columns`.
    notation : of the chunks before, if these are not the first ones; it learns from these.
    found : by file, the columns that :func:`auto_columns` found, if these are not the first chunks.
    """
    found = {} if found is None else found
    notation = notation or Notation(settings, known or {})
    samples: dict[str, tuple[str, ...]] = {}
    unread: set[str] = set()
    for chunk in chunks:
        if chunk.label not in found:
            found[chunk.label] = auto_columns(chunk.frame.columns, settings, asks=asks)
            first = next(iter(found))
            _refuse_missing_field(first, chunk.label, found)
            _refuse_missing_field(chunk.label, first, found)
        kept = chunk
        left_out = pd.Series(dtype=object)
        if row_filter is not None:
            left_out = row_filter.reasons(chunk, chunk.label)
        if len(left_out):
            kept = replace(chunk, frame=chunk.frame.drop(index=left_out.index))
        mapped = map_columns(kept, settings, notation, price_required=price_required, asks=asks)
        _tell_of_other_chunks(mapped, samples, unread)
        yield chunk, replace(mapped, left_out=left_out)


def _tell_of_other_chunks(
    mapped: MappedChunk, samples: dict[str, tuple[str, ...]], unread: set[str]
) -> None:
    """Add to the unreadable fields of a chunk what can be read in the chunks before and after.

    Another file of the source may write the field in another way, and a remedy must read both.

    Parameters
    ----------
    samples : some texts of the chunks so far, by field; this chunk's are added.
    unread : the fields that had unreadable values so far; this chunk's are added.
    """
    for field in {*mapped.samples} & unread:
        mapped.unreadable[field] = Unreadable(0, "", 0, (), mapped.samples[field])
    for field, found in mapped.unreadable.items():
        readable = first_of([*samples.get(field, ()), *found.readable])
        mapped.unreadable[field] = replace(found, readable=readable)
    for field, texts in mapped.samples.items():
        samples[field] = first_of([*samples.get(field, ()), *texts])
    unread |= {*mapped.unreadable}


def _refuse_missing_field(
    full: str, lacking: str, found: dict[str, dict[str, tuple[str, ...]]]
) -> None:
    """Refuse a file that lacks a field which another has, or one of its 0/1 columns."""
    for field, names in found[full].items():
        others = found[lacking].get(field, ())
        missing = [name for name in names if name not in others]
        if missing and (field == "features" or not others):
            raise InputError(
                f"{lacking} has no column {missing[0]!r} (field {alias(field)}), which {full} "
                "has; files that are read together need the same fields: rename the column, "
                f"or switch the field off with '{alias(field)}: null' in ingest.columns"
            )


def map_columns(
    chunk: Chunk,
    settings: IngestSettings,
    notation: Notation | None = None,
    *,
    price_required: bool,
    asks: bool = False,
) -> MappedChunk:
    """Read the fields of a listing from raw rows.

    Parameters
    ----------
    notation : how the chunks before have written their numbers; it learns from this one.
    price_required : whether it is an error that the rows have no price.
    asks : see :func:`auto_columns`.

    Raises
    ------
    InputError
        If the file lacks a column that the map names, or a required field.

    Examples
    --------
    >>> from carprice.listings.sources.chunks import Chunk
    >>> settings = IngestSettings.model_validate(
    ...     {"columns": {"odometer": {"from": "driven", "number": True}}}
    ... )
    >>> raw = pd.DataFrame(
    ...     {"make": ["Kia "], "model": ["Rio"], "year": ["2019"], "driven": ["45000 km"]}
    ... )
    >>> mapped = map_columns(Chunk(raw, "shop"), settings, price_required=False)
    >>> mapped.frame[["make", "year", "odometer"]].values.tolist()
    [['Kia', 2019.0, 45000.0]]
    """
    label = chunk.label or chunk.filename or redact(settings.source)
    names = tuple(map(column_name, chunk.frame.columns))
    columns = {name: place for place, name in reversed(list(enumerate(names)))}
    rules = _rules(names, settings, label, price_required=price_required, asks=asks)
    notation = notation or Notation(settings)
    data: dict[str, np.ndarray] = {}
    unreadable: dict[str, Unreadable] = {}
    respaced: dict[str, int] = {}
    raw, origin = _raw_fields(rules, chunk, columns, label)
    cells = {field: prepared(field, raw[field], rule) for field, rule in rules.items()}
    texts = {
        field: (found, rules[field])
        for field, found in cells.items()
        if kind_of(field) in NUMERIC and isinstance(found, Cells)
    }
    notation.settle(texts, label)
    if "year" in rules:
        _note_split_dates(raw["year"], rules["year"], notation)
    raw_unreadable: dict[str, pd.Series] = {}
    defaulted: dict[str, pd.Series] = {}
    unmatched: dict[str, Unreadable] = {}
    samples: dict[str, tuple[str, ...]] = {}
    for field in (*settings.fields, *(name for name in (PRICE, CAR_ID) if name in rules)):
        if field not in rules:
            data[field] = np.full(len(chunk.frame), MISSING.get(kind_of(field)))
            continue
        data[field], bad = read_column(field, cells[field], rules[field], notation, label)
        if (nothing := finds_nothing(cells[field], raw[field], rules[field])).any():
            unmatched[field] = _report(raw[field], nothing)
        if rules[field].default is not None:
            default, missing = as_text(rules[field].default), pd.isna(data[field])
            data[field] = np.where(missing, default, data[field])
            if missing.any():
                defaulted[field] = pd.Series(default, chunk.frame.index[missing], dtype=object)
        if kind_of(field) is FieldKind.TEXT and (rows := count_respaced(raw[field])):
            respaced[field] = rows
        found = cells[field]
        if field in _NAMES and isinstance(found, Cells) and (day := date_of_excel(found)):
            notation.note(
                f"{alias(field)} is {day!r} in some rows; Excel makes days of names such as 9-3: "
                f"write what it was into values of ingest.columns.{alias(field)}"
            )
        if bad.any():
            unreadable[field] = _report(raw[field], bad)
            raw_unreadable[field] = _first_of_rows(raw[field], bad)
        elif kind_of(field) is not FieldKind.TEXT:
            samples[field] = _distinct(raw[field].iloc[:_SAMPLED].to_numpy(dtype=object))
    index = chunk.frame.index
    frame = pd.DataFrame(
        {field: pd.Series(values, index, dtype=values.dtype) for field, values in data.items()}
    )
    used = {*itertools.chain(*origin.values())}
    ignored = tuple(name for name in names if name not in used)
    notes, decimals = tuple(notation.notes), dict(notation.decimals)
    return MappedChunk(
        frame,
        unreadable,
        origin,
        ignored,
        respaced,
        notes,
        decimals,
        raw_unreadable,
        defaulted,
        unmatched,
        samples,
    )


def _note_split_dates(raw: pd.Series | pd.DataFrame, rule: ColumnRule, notation: Notation) -> None:
    """Note the first date of which the rule takes other digits for the year."""
    some = map(as_text, Cells.of(raw).values[:_YEARS_TRIED] if rule.match else ())
    if split := next((one for one in some if splits_a_date(str(rule.match), one)), None):
        better = next(one for one in year_matches([split]) if re.search(one, split))
        notation.note(
            f"match of year takes other digits of {split!r} for the year; if it is a date, write "
            + written("year", rule, match=better)
        )


def _rules(
    columns: Sequence[str],
    settings: IngestSettings,
    label: str,
    *,
    price_required: bool,
    asks: bool,
) -> dict[str, ColumnRule]:
    rules = {field: rule for field, rule in settings.columns.items() if rule is not None}
    for field in (PRICE, CAR_ID):  # listings that are to be priced need none
        rule = rules.get(field)
        if not price_required and rule and not {*rule.columns} <= {*columns}:
            del rules[field]
    for field, rule in rules.items():
        _refuse_misplaced_keys(field, rule)
    for field, names in auto_columns(columns, settings, asks=asks).items():
        is_flags = field == "features" and names[0] not in names_of(field)
        origin = {"flags": names} if is_flags else {"from": names[0]}
        rules[field] = ColumnRule.model_validate(origin)
    without = "odometer" if "odometer" in settings.columns else None
    needed = (*REQUIRED, *([PRICE, *settings.own] if price_required else []))
    lacking = [field for field in needed if field not in rules and field != without]
    if lacking:
        raise InputError(_no_field(lacking, columns, label))
    return rules


def _no_field(fields: Sequence[str], columns: Sequence[str], label: str) -> str:
    """Tell which needed fields have no column; of a single one, the names that were looked for."""
    field, *others = fields
    names = names_of(field) if field == PRICE else (alias(field),)
    if is_own(field):
        return (
            f"{label} has no column {alias(field)!r}, which ingest.extra declares; name it in "
            f"ingest.columns, such as '{alias(field)}: <its column>', or take it out of "
            f"ingest.extra; the file's columns are {nearest(alias(field), columns)}"
        )
    if others:
        told = ", ".join(map(alias, fields))
        without = " ('odometer: null' if the file has none)" * ("odometer" in fields)
        return (
            f"{label} has no columns for {told}; name each in ingest.columns, such as "
            f"'{alias(field)}: <its column>'{without}; the file's columns are "
            f"{nearest(names[0], columns)}"
        )
    remedy = f"add '{alias(field)}: <its column>' to ingest.columns"
    if field == "odometer":
        remedy += ", or 'odometer: null' if the file has none"
    return (
        f"{label} has no column for {alias(field)} (looked for {', '.join(names)}); {remedy}; "
        f"the file's columns are {nearest(names[0], columns)}"
    )


def _refuse_misplaced_keys(field: str, rule: ColumnRule) -> None:
    kind = kind_of(field)
    unfit = {
        key: f"of kind {kind.value}" for key, kinds in _FITTING_KINDS.items() if kind not in kinds
    }
    if field not in PRICED:
        unfit["currencies"] = "no price"
    if field in (PRICE, CAR_ID):
        unfit["known"] = "nothing to learn from"
    if kind is not FieldKind.TEXT or field == CAR_ID:
        unfit["default"] = (
            "no text, and what is made up gives a wrong price that looks right: a missing value is "
            "known to be missing"
        )
    given = [rule.unit] if isinstance(rule.unit, str) else [*(rule.unit or ())]
    if not {unit_of(field, unit) for unit in given} <= UNITS.get(field, {}).keys():
        known = ", ".join(filter(None, UNITS.get(field, ()))) or "none"
        unfit["unit"] = f"in none of these units (its units: {known})"
    for key, reason in unfit.items():
        if getattr(rule, key) != ColumnRule.model_fields[key].default:
            raise InputError(
                f"ingest.columns.{alias(field)}.{key} does not fit, for {alias(field)} is "
                f"{reason}; remove {key}"
            )
    if kind in NUMERIC and len(rule.columns) > 1 and rule.match is None:
        raise InputError(
            f"ingest.columns.{alias(field)}.from names several columns, whose texts joined make no "
            "number; name one, or add a match that picks the number out of the joined text"
        )


def _with_names_in_them(rules: Mapping[str, ColumnRule], label: str) -> list[str]:
    """Return the fields whose rules have ``less``, each after those that it names."""
    for field, rule in rules.items():
        for name in rule.less:
            if name not in rules:
                raise InputError(
                    f"{label} has no column for {alias(name)}, which ingest.columns."
                    f"{alias(field)}.less names; take it out of less, or add "
                    f"'{alias(name)}: <its column>' to ingest.columns"
                )
    try:
        order = [
            *graphlib.TopologicalSorter(
                {field: rule.less for field, rule in rules.items()}
            ).static_order()
        ]
    except graphlib.CycleError as error:
        circle = ", ".join(map(alias, dict.fromkeys(error.args[1])))
        raise InputError(
            f"in ingest.columns, less makes a circle of {circle}: none can be read before the "
            "other; take one of them out of less, and read it by words or match"
        ) from None
    return [field for field in order if rules[field].less]


def _raw_fields(
    rules: Mapping[str, ColumnRule], chunk: Chunk, columns: dict[str, int], label: str
) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """Return, by field, the source's values and the columns that they are of."""
    raw: dict[str, Any] = {}
    origin: dict[str, tuple[str, ...]] = {}
    for field, rule in rules.items():
        raw[field], origin[field] = _raw_values(field, rule, chunk, columns, label)
    for field in _with_names_in_them(rules, label):
        held = [texts_of(raw[name], rules[name]) for name in rules[field].less]
        raw[field] = without(raw[field], [*itertools.chain(*held)])
    return raw, origin


def _raw_values(
    field: str, rule: ColumnRule, chunk: Chunk, columns: dict[str, int], label: str
) -> tuple[pd.Series | pd.DataFrame, tuple[str, ...]]:
    """Return the cells that a field is read from, and the names of their columns."""
    if rule.source is None and rule.flags is None:
        if rule.filename and not chunk.filename:
            raise InputError(
                f"{label} is no file: ingest.columns.{alias(field)}.filename has "
                "nothing to read; use from or constant"
            )
        value = chunk.filename if rule.filename else rule.constant
        return pd.Series([value] * len(chunk.frame), chunk.frame.index, dtype=object), ()
    names = rule.columns
    for name in names:
        if name not in columns:
            raise InputError(
                f"{label} has no column {name!r}, which ingest.columns "
                f"names for {alias(field)}; correct the name or write '{alias(field)}: null'; "
                f"the file's columns are {nearest(name, columns)}"
            )
    cells = chunk.frame.iloc[:, [columns[name] for name in names]]
    if rule.flags is not None:
        return cells, names
    return cells.iloc[:, 0] if len(names) == 1 else joined(field, cells, rule), names


def _report(raw: pd.Series | pd.DataFrame, bad: np.ndarray) -> Unreadable:
    places = np.argwhere(bad)
    first = tuple(places[0])
    cells = raw.to_numpy(dtype=object)
    others, readable = (_distinct(cells[mask]) for mask in (bad, ~bad))
    value, row = str(raw.iloc[first])[:80], int(raw.index[first[0]])
    rows = len({*places[:, 0]})
    return Unreadable(rows, value, row, others, readable)


def _distinct(cells: np.ndarray) -> tuple[str, ...]:
    """Return some of the texts of cells, each once; without the empty ones."""
    texts = dict.fromkeys(map(str, cells[[cell is not None for cell in cells]]))
    texts = dict.fromkeys(text for text in texts if text.strip() and text not in _EMPTY)
    return first_of(texts)


def _first_of_rows(raw: pd.Series | pd.DataFrame, bad: np.ndarray) -> pd.Series:
    """Return the cells that are bad; of several 0/1 columns the first one in each row."""
    if isinstance(raw, pd.Series):
        return raw[bad]
    rows = np.flatnonzero(bad.any(axis=1))
    cells = [raw.iloc[row, int(np.argmax(bad[row]))] for row in rows]
    return pd.Series(cells, raw.index[rows], dtype=object)
