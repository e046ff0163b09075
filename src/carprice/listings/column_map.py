"""Apply the column map: raw rows of any source become rows of listing fields.

Each distinct value of a column is read once, however many rows hold it.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.errors import InputError
from carprice.listings.sources.chunks import Chunk
from carprice.listings.units import km_per_unit
from carprice.listings.values import (
    UNREADABLE,
    as_text,
    preparation,
    read_date,
    read_equipment,
    read_flag,
    read_number,
    read_text,
)
from carprice.redaction import redact
from carprice.schema import (
    FIELDS,
    KINDS,
    NUMERIC,
    PRICE,
    PRICE_ALIASES,
    REFERENCE_EQUIPMENT,
    REQUIRED,
    FieldKind,
    alias,
    join_equipment,
    parse_ordinal,
)
from carprice.settings import ColumnRule, IngestSettings

_MISSING: Final[dict[FieldKind, Any]] = {
    FieldKind.TEXT: None,
    FieldKind.EQUIPMENT: None,
    FieldKind.NUMBER: np.nan,
    FieldKind.INTEGER: np.nan,
    FieldKind.DATE: np.datetime64("NaT", "s"),
}
_COLUMNS_NAMED: Final = 20

_FoundColumns = tuple[str, dict[str, tuple[str, ...]]]
"""A file's label, and the columns that :func:`auto_columns` finds in it."""


@dataclass(frozen=True)
class Unreadable:
    """The values of one field that are there but could not be read.

    Attributes
    ----------
    count : rows with such a value.
    value : the first of these values, as the file has it.
    row : the number of its row in the file, counted from 0.
    """

    count: int
    value: str
    row: int

    def plus(self, later: "Unreadable") -> "Unreadable":
        """Return the sum of these and of those of a later chunk."""
        return Unreadable(self.count + later.count, self.value, self.row)


@dataclass(frozen=True)
class MappedChunk:
    """Rows of a source with one column per field of a listing.

    Attributes
    ----------
    frame : the fields in the order of :data:`carprice.schema.FIELDS`, then ``price`` where there is
        one; the index is the chunk's. Text is ``object`` (``None`` if missing), numbers and
        integers ``float64`` (``NaN``), dates ``datetime64[s]`` at midnight (``NaT``), ``features``
        the text of :func:`carprice.schema.join_equipment` (``None`` if not known).
    unreadable : what could not be read, by field.
    origin : the source's columns that each field was read from.
    ignored : the other columns, in the source's order.
    respaced : number of rows whose text had needless spaces, by text field.
    """

    frame: pd.DataFrame
    unreadable: dict[str, Unreadable]
    origin: dict[str, tuple[str, ...]]
    ignored: tuple[str, ...]
    respaced: dict[str, int]


@dataclass(frozen=True)
class _Distinct:
    """The distinct values of a column, and the number of the value in each row (-1: missing)."""

    codes: np.ndarray
    values: np.ndarray

    def spread(self, read: np.ndarray, missing: Any) -> np.ndarray:
        """Return what was read of each distinct value for all rows that hold it."""
        padded = np.append(read, np.array([missing], dtype=read.dtype))
        return np.asarray(padded[self.codes])


def auto_columns(columns: Iterable[object], settings: IngestSettings) -> dict[str, tuple[str, ...]]:
    """Find the columns of the fields that ``settings.columns`` does not mention.

    Parameters
    ----------
    columns
        Names of a file's columns.
    settings
        The fields that its column map names or switches off are left out.

    Returns
    -------
    dict
        The columns of each field: one, or several 0/1 columns for ``features``.

    Examples
    --------
    >>> auto_columns(["make", "fuelType", "Bluetooth", "listingPrice"], IngestSettings())
    {'make': ('make',), 'fuel_type': ('fuelType',), 'features': ('Bluetooth',), \
'price': ('listingPrice',)}
    """
    present = {str(name).strip() for name in columns}
    found: dict[str, tuple[str, ...]] = {}
    for field in (*FIELDS, PRICE):
        if field in settings.columns:
            continue
        names = PRICE_ALIASES if field == PRICE else (alias(field), field)
        here = tuple(name for name in names if name in present)[:1]
        if not here and field == "features":
            here = tuple(name for name in REFERENCE_EQUIPMENT if name in present)
        if here:
            found[field] = here
    return found


def map_chunks(
    chunks: Iterable[Chunk], settings: IngestSettings, *, price_required: bool
) -> Iterator[tuple[Chunk, MappedChunk]]:
    """Map the chunks of a source one by one; see :func:`map_columns`.

    Raises
    ------
    InputError
        As :func:`map_columns`, and if one file of the source has a field that another lacks.
    """
    first: _FoundColumns | None = None
    label = ""
    for chunk in chunks:
        if first is None or chunk.label != label:
            label = chunk.label
            found = label, auto_columns(chunk.frame.columns, settings)
            first = first or found
            _have_the_same_fields(first, found)
        yield chunk, map_columns(chunk, settings, price_required=price_required)


def _have_the_same_fields(first: _FoundColumns, other: _FoundColumns) -> None:
    for (full, columns), (lacking, found) in ((first, other), (other, first)):
        for field, names in columns.items():
            missing = [] if found.get(field) else list(names[:1])
            if field == "features":
                missing = [name for name in names if name not in found.get(field, ())]
            if missing:
                raise InputError(
                    f"{lacking} has no column {missing[0]!r} (field {alias(field)}), which {full} "
                    "has; files that are read together need the same fields: rename the column, "
                    f"or switch the field off with '{alias(field)}: null' in ingest.columns"
                )


def map_columns(chunk: Chunk, settings: IngestSettings, *, price_required: bool) -> MappedChunk:
    """Read the fields of a listing from raw rows.

    Parameters
    ----------
    chunk
        Raw rows of one file.
    settings
        Holds the column map, the units and the decimal sign.
    price_required
        Whether it is an error that the rows have no price.

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
    ...     {"make": ["Kia "], "model": ["Rio"], "year": ["2019"], "driven": ["45,000 km"]}
    ... )
    >>> mapped = map_columns(Chunk(raw, "shop"), settings, price_required=False)
    >>> mapped.frame[["make", "year", "odometer"]].values.tolist()
    [['Kia', 2019.0, 45000.0]]
    """
    label = chunk.label or chunk.filename or redact(settings.source)
    names = tuple(str(name).strip() for name in chunk.frame.columns)
    columns = {name: place for place, name in reversed(list(enumerate(names)))}
    rules = _rules(names, settings, label, price_required=price_required)
    data: dict[str, np.ndarray] = {}
    unreadable: dict[str, Unreadable] = {}
    respaced: dict[str, int] = {}
    origin: dict[str, tuple[str, ...]] = {}
    for field in (*FIELDS, *([PRICE] if PRICE in rules else [])):
        rule = rules.get(field)
        if rule is None:
            data[field] = np.full(len(chunk.frame), _MISSING[_kind(field)])
            continue
        raw, read = _raw_values(field, rule, chunk, columns, label)
        origin[field] = tuple(read)
        if _kind(field) is FieldKind.TEXT and (rows := _count_respaced(raw)):
            respaced[field] = rows
        data[field], bad = _read_field(field, raw, rule, settings, label)
        if bad is not None:
            unreadable[field] = bad
    index = chunk.frame.index
    frame = pd.DataFrame(
        {field: pd.Series(values, index, dtype=values.dtype) for field, values in data.items()}
    )
    used = {name for read in origin.values() for name in read}
    ignored = tuple(name for name in names if name not in used)
    return MappedChunk(frame, unreadable, origin, ignored, respaced)


def _kind(field: str) -> FieldKind:
    return FieldKind.NUMBER if field == PRICE else KINDS[field]


def _rules(
    columns: Sequence[str], settings: IngestSettings, label: str, *, price_required: bool
) -> dict[str, ColumnRule]:
    rules = {field: rule for field, rule in settings.columns.items() if rule is not None}
    price = rules.get(PRICE)
    if not price_required and price and price.source and price.source.strip() not in columns:
        del rules[PRICE]  # listings that are to be priced have none yet
    for field, rule in rules.items():
        _rule_fits(field, rule)
    for field, names in auto_columns(columns, settings).items():
        named = field == "features" and names not in ((alias(field),), (field,))
        rules[field] = ColumnRule.model_validate({"flags": names} if named else {"from": names[0]})
    for field in (*REQUIRED, PRICE):
        if field in rules or (field == "odometer" and field in settings.columns):
            continue
        if field != PRICE or price_required:
            raise InputError(_no_field(field, columns, label))
    return rules


def _no_field(field: str, columns: Sequence[str], label: str) -> str:
    names = PRICE_ALIASES if field == PRICE else (alias(field),)
    remedy = f"add '{alias(field)}: <its column>' to ingest.columns"
    if field == "odometer":
        remedy += ", or 'odometer: null' if the file has none"
    return (
        f"{label} has no column for {alias(field)} (looked for {', '.join(names)}); {remedy}; "
        f"the file's columns are {_nearest(names[0], columns)}"
    )


def _nearest(wanted: str, columns: Iterable[str]) -> str:
    known = list(columns)
    by_case = {name.lower(): name for name in known}
    close = difflib.get_close_matches(wanted.lower(), by_case, n=len(by_case) or 1, cutoff=0.5)
    first = [by_case[name] for name in close]
    shown = [*first, *(name for name in known if name not in first)]
    rest = len(shown) - _COLUMNS_NAMED
    return ", ".join(shown[:_COLUMNS_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _rule_fits(field: str, rule: ColumnRule) -> None:
    kind = _kind(field)
    numeric = kind in NUMERIC
    misplaced = {
        "flags": rule.flags is not None and kind is not FieldKind.EQUIPMENT,
        "split": rule.split is not None and kind is not FieldKind.EQUIPMENT,
        "date": rule.date is not False and kind is not FieldKind.DATE,
        "ordinal": rule.ordinal and not numeric,
        "number": rule.number and not numeric,
        "multiply": rule.multiply is not None and not numeric,
        "add": rule.add is not None and not numeric,
        "unit": rule.unit is not None and field != "odometer",
    }
    for key, wrong in misplaced.items():
        if wrong:
            stands = "no distance" if key == "unit" else f"of kind {kind.value}"
            raise InputError(
                f"ingest.columns.{alias(field)}.{key} does not fit, for {alias(field)} is "
                f"{stands}; remove {key}"
            )


def _raw_values(
    field: str, rule: ColumnRule, chunk: Chunk, columns: dict[str, int], label: str
) -> tuple[pd.Series | pd.DataFrame, Sequence[str]]:
    index = chunk.frame.index
    if rule.source is not None or rule.flags is not None:
        names = [name.strip() for name in (rule.flags or (rule.source or "",))]
        for name in names:
            if name not in columns:
                raise InputError(
                    f"{label} has no column {name!r}, which ingest.columns "
                    f"names for {alias(field)}; correct the name or write '{alias(field)}: null'; "
                    f"the file's columns are {_nearest(name, columns)}"
                )
        places = [columns[name] for name in names]
        if rule.flags is not None:
            return chunk.frame.iloc[:, places], names
        return chunk.frame.iloc[:, places[0]], names
    if rule.filename and not chunk.filename:
        raise InputError(
            f"{label} is no file: ingest.columns.{alias(field)}.filename has "
            "nothing to read; use from or constant"
        )
    value = chunk.filename if rule.filename else rule.constant
    return pd.Series([value] * len(index), index=index, dtype=object), ()


def _distinct(series: pd.Series) -> _Distinct:
    if pd.api.types.is_bool_dtype(series.dtype):
        series = series.astype(object)
    try:
        codes, values = pd.factorize(series)
    except TypeError:
        codes, values = pd.factorize(series.map(_hashable).astype(object))
    return _Distinct(codes, np.asarray(values, dtype=object))


def _hashable(value: object) -> object:
    if isinstance(value, list | tuple | set | np.ndarray):
        return tuple(as_text(item) for item in value)
    return str(value) if isinstance(value, dict) else value


def _read_field(
    field: str,
    raw: pd.Series | pd.DataFrame,
    rule: ColumnRule,
    settings: IngestSettings,
    label: str,
) -> tuple[np.ndarray, Unreadable | None]:
    if isinstance(raw, pd.DataFrame):
        return _read_flags(raw)
    kind = _kind(field)
    if kind in NUMERIC and _is_stored_as_number(raw.dtype) and not _is_prepared(rule):
        numbers = raw.to_numpy(dtype=np.float64, na_value=np.nan)
        distinct = _Distinct(np.arange(len(numbers)), numbers)
        read, bad = numbers, np.zeros(len(numbers), dtype=bool)
    else:
        distinct = _distinct(raw)
        reader = _reader(field, rule, settings, label)
        read, bad = _read_each(distinct.values, reader, _MISSING[kind])
    if kind in NUMERIC:
        read = _scaled(read, rule, settings)
        bad |= np.isinf(read)
        if kind is FieldKind.INTEGER:
            bad |= np.isfinite(read) & (read != np.round(read))
        read = np.where(bad, np.nan, read)
    return distinct.spread(read, _MISSING[kind]), _report(raw, distinct, bad)


def _is_stored_as_number(dtype: Any) -> bool:
    return (
        pd.api.types.is_numeric_dtype(dtype)
        and not pd.api.types.is_bool_dtype(dtype)
        and not isinstance(dtype, pd.CategoricalDtype)
    )


def _is_prepared(rule: ColumnRule) -> bool:
    return bool(rule.match or rule.words or rule.values or rule.ordinal)


def _reader(
    field: str, rule: ColumnRule, settings: IngestSettings, label: str
) -> Callable[[object], Any]:
    """Return the function that reads a cell of a field."""
    prepare = preparation(rule)
    kind = _kind(field)

    def number(value: object) -> Any:
        read = read_number(prepare(value), settings.decimal, inside=rule.number)
        if read is UNREADABLE and field == "ownership":
            in_words = parse_ordinal(prepare(value))
            return read_number(in_words, settings.decimal, inside=rule.number)
        return read

    def day(value: object) -> Any:
        pattern = rule.date if isinstance(rule.date, str) else None
        return read_date(prepare(value), pattern, f"{label}, {alias(field)}")

    if kind in NUMERIC:
        return number
    if kind is FieldKind.DATE:
        return day
    if kind is FieldKind.EQUIPMENT:
        return lambda value: read_equipment(prepare(value), rule.split)
    return lambda value: read_text(prepare(value))


def _read_each(
    values: np.ndarray, reader: Callable[[object], Any], missing: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return what each value is read as, and which values cannot be read."""
    read = np.full(len(values), missing)
    bad = np.zeros(len(values), dtype=bool)
    for place, value in enumerate(values):
        found = reader(value)
        if found is UNREADABLE:
            bad[place] = True
        elif found is not None:
            read[place] = found
    return read, bad


def _count_respaced(raw: pd.Series | pd.DataFrame) -> int:
    if isinstance(raw, pd.DataFrame):
        return 0
    distinct = _distinct(raw)
    stray = np.array(
        [isinstance(value, str) and " ".join(value.split()) != value for value in distinct.values],
        dtype=bool,
    )
    return int(distinct.spread(stray, False).sum())


def _report(raw: pd.Series, distinct: _Distinct, bad: np.ndarray) -> Unreadable | None:
    rows = np.flatnonzero(distinct.spread(bad, False))
    if not len(rows):
        return None
    first = int(rows[0])
    return Unreadable(len(rows), str(raw.iloc[first])[:80], int(raw.index[first]))


def _scaled(numbers: np.ndarray, rule: ColumnRule, settings: IngestSettings) -> np.ndarray:
    if rule.multiply is not None:
        numbers = numbers * rule.multiply
    if rule.add is not None:
        numbers = numbers + rule.add
    if rule.unit is not None:
        numbers = numbers * km_per_unit(rule.unit) / km_per_unit(settings.units.distance)
    return numbers


def _read_flags(raw: pd.DataFrame) -> tuple[np.ndarray, Unreadable | None]:
    names = [str(name).strip() for name in raw.columns]
    present = np.zeros(raw.shape, dtype=bool)
    known = np.zeros(raw.shape, dtype=bool)
    worst: Unreadable | None = None
    for place in range(len(names)):
        column = raw.iloc[:, place]
        distinct = _distinct(column)
        read, bad = _read_each(distinct.values, read_flag, np.nan)
        flags = distinct.spread(read, np.nan)
        present[:, place] = flags == 1
        known[:, place] = ~np.isnan(flags)
        worst = _more(worst, _report(column, distinct, bad))
    packed = np.packbits(present, axis=1)
    codes, first = pd.factorize(np.array([row.tobytes() for row in packed], dtype=object))
    texts = np.empty(len(first), dtype=object)
    for place, bits in enumerate(first):
        chosen = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=len(names))
        texts[place] = join_equipment(name for name, on in zip(names, chosen, strict=True) if on)
    equipment = texts[codes] if len(first) else np.empty(0, dtype=object)
    equipment[~known.any(axis=1)] = None
    return equipment, worst


def _more(one: Unreadable | None, other: Unreadable | None) -> Unreadable | None:
    if one is None or other is None:
        return one or other
    first = min(one, other, key=lambda found: found.row)
    return Unreadable(one.count + other.count, first.value, first.row)
