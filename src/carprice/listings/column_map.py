"""Apply the column map: raw rows of any file become rows of listing fields.

Each distinct value of a column is read once, however many rows hold it.
"""

import ast
import datetime
import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from carprice.errors import InputError
from carprice.listings.units import KM_PER_MILE
from carprice.schema import (
    FIELDS,
    KINDS,
    PRICE,
    PRICE_ALIASES,
    REFERENCE_FEATURES,
    REQUIRED,
    FieldKind,
    alias,
    join_features,
    parse_ordinal,
    split_features,
)
from carprice.settings import ColumnRule, IngestSettings

if TYPE_CHECKING:
    from carprice.listings.sources import Chunk

_MULTIPLIERS: Final = {
    "lakh": 1e5,
    "lac": 1e5,
    "crore": 1e7,
    "cr": 1e7,
    "thousand": 1e3,
    "k": 1e3,
    "million": 1e6,
    "mn": 1e6,
}
_SCALE: Final = re.compile(r"\s*(lakh|lac|crore|cr|thousand|k|million|mn)s?(?![a-z0-9])", re.I)
_DIGITS: Final = re.compile(
    r"(?:(?<!\w)[-+])?"
    r"(?:\d{1,3}(?:[ '\u2019]\d{3})+(?!\d)(?:[.,]\d+)?|\d[\d.,]*|(?<![\w.,])[.,]\d+)"
)
_GROUPED: Final = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:,\d{2,3})*,\d{3})?(?:\.\d*)?")
_FLOAT: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.I)
_YEAR_FIRST: Final = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T]\d.*)?")
_AMBIGUOUS_DATE: Final = re.compile(r"\d{1,2}[-/. ]\d{1,2}[-/. ](?:\d{4}|\d{2})(?:[ T].*)?")
_TRUE: Final = frozenset({"1", "true", "yes", "y", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "n", "off"})

_UNREADABLE: Final = object()


@dataclass(frozen=True)
class Unreadable:
    """Values of one field that are present but could not be read.

    Parameters
    ----------
    count
        Rows with such a value.
    value
        The first of them, as the file has it.
    row
        Its label in the index of the chunk's frame.
    """

    count: int
    value: str
    row: int

    def plus(self, later: "Unreadable") -> "Unreadable":
        """Add what a later chunk could not read."""
        return Unreadable(self.count + later.count, self.value, self.row)


@dataclass(frozen=True)
class MappedChunk:
    """Rows of a source with one column per listing field.

    Parameters
    ----------
    frame
        The fields in the order of :data:`carprice.schema.FIELDS`, then ``price`` where there is
        one. Text is ``object`` (``None`` if missing), numbers and integers ``float64`` (``NaN``),
        dates ``datetime64[s]`` at midnight (``NaT``), ``features`` the text of
        :func:`carprice.schema.join_features` (``None`` if not known). The index is the chunk's.
    unreadable
        What could not be read, per field.
    origin
        The source's columns that each field was read from.
    ignored
        The others, in the source's order.
    respaced
        Rows whose text had stray spaces, per text field.
    """

    frame: pd.DataFrame
    unreadable: dict[str, Unreadable]
    origin: dict[str, tuple[str, ...]]
    ignored: tuple[str, ...]
    respaced: dict[str, int]


@dataclass(frozen=True)
class _Distinct:
    """The distinct present values of a column, and which row holds which (-1: none)."""

    codes: np.ndarray
    values: np.ndarray

    def take(self, mapped: np.ndarray, missing: Any) -> np.ndarray:
        padded = np.empty(len(mapped) + 1, dtype=mapped.dtype)
        padded[:-1] = mapped
        padded[-1] = missing
        return np.asarray(padded[self.codes])


def auto_columns(columns: Iterable[object], settings: IngestSettings) -> dict[str, tuple[str, ...]]:
    """Find the columns of the fields that ``settings.columns`` does not speak of.

    Parameters
    ----------
    columns
        Names of a file's columns.
    settings
        Fields that are mapped or switched off there are left out.

    Returns
    -------
    dict
        Field to its columns: one, or several 0/1 columns for ``features``.

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
            here = tuple(name for name in REFERENCE_FEATURES if name in present)
        if here:
            found[field] = here
    return found


def map_columns(chunk: "Chunk", settings: IngestSettings, *, price_required: bool) -> MappedChunk:
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
        If a column that the map names, or a field that every listing needs, is not in the file.

    Examples
    --------
    >>> from carprice.listings.sources import Chunk
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
    label = _label(chunk, settings)
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
            data[field] = _all_missing(field, len(chunk.frame))
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


def _label(chunk: "Chunk", settings: IngestSettings) -> str:
    from carprice.redaction import redact

    return chunk.label or chunk.filename or redact(settings.source)


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
    more = f" and {len(shown) - 20} more" if len(shown) > 20 else ""
    return ", ".join(shown[:20]) + more


def _rule_fits(field: str, rule: ColumnRule) -> None:
    kind = _kind(field)
    numeric = kind in (FieldKind.NUMBER, FieldKind.INTEGER)
    misplaced = {
        "flags": rule.flags is not None and kind is not FieldKind.FEATURES,
        "split": rule.split is not None and kind is not FieldKind.FEATURES,
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


def _all_missing(field: str, rows: int) -> np.ndarray:
    kind = _kind(field)
    if kind is FieldKind.DATE:
        return np.full(rows, np.datetime64("NaT"), dtype="datetime64[s]")
    if kind in (FieldKind.NUMBER, FieldKind.INTEGER):
        return np.full(rows, np.nan)
    return np.full(rows, None, dtype=object)


def _raw_values(
    field: str, rule: ColumnRule, chunk: "Chunk", columns: dict[str, int], label: str
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
        return tuple(_text(item) for item in value)
    return str(value) if isinstance(value, dict) else value


def _read_field(
    field: str,
    raw: pd.Series | pd.DataFrame,
    rule: ColumnRule,
    settings: IngestSettings,
    label: str,
) -> tuple[np.ndarray, Unreadable | None]:
    kind = _kind(field)
    if isinstance(raw, pd.DataFrame):
        return _read_flags(raw)
    if kind in (FieldKind.NUMBER, FieldKind.INTEGER):
        return _read_numbers(field, raw, rule, settings)
    distinct = _distinct(raw)
    prepare = _preparation(rule)
    if kind is FieldKind.DATE:
        days, bad = _read_dates(distinct, prepare, rule, f"{label}, {alias(field)}")
        return distinct.take(days, np.datetime64("NaT")), _report(raw, distinct, bad)
    finish = _text_or_none if kind is FieldKind.TEXT else _equipment(rule.split)
    mapped = np.empty(len(distinct.values), dtype=object)
    for number, value in enumerate(distinct.values):
        mapped[number] = finish(prepare(value))
    return distinct.take(mapped, None), None


def _count_respaced(raw: pd.Series | pd.DataFrame) -> int:
    if isinstance(raw, pd.DataFrame):
        return 0
    distinct = _distinct(raw)
    stray = np.array(
        [isinstance(value, str) and " ".join(value.split()) != value for value in distinct.values],
        dtype=bool,
    )
    return int(distinct.take(stray, False).sum())


def _report(raw: pd.Series, distinct: _Distinct, bad: np.ndarray) -> Unreadable | None:
    rows = np.flatnonzero(distinct.take(bad, False))
    if not len(rows):
        return None
    first = int(rows[0])
    return Unreadable(len(rows), str(raw.iloc[first])[:80], int(raw.index[first]))


def _text(value: object) -> str:
    """Print a value as a person would write it: a whole number has no decimals."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return " ".join(str(value).split())


def _text_or_none(value: object) -> str | None:
    if value is None:
        return None
    return _text(value) or None


def _preparation(rule: ColumnRule) -> Callable[[object], object]:
    """Return the steps that stand before numbers and dates: match, words, values, ordinal."""
    steps: list[Callable[[Any], object]] = []
    if rule.match is not None:
        steps.append(_matcher(rule.match))
    if rule.words is not None:
        steps.append(_word_picker(str(rule.words), rule.phrases))
    if rule.values is not None:
        steps.append(_replacer(rule.values))
    if rule.ordinal:
        steps.append(parse_ordinal)

    def prepare(value: object) -> object:
        for step in steps:
            if value is None:
                return None
            value = step(value)
        return value

    return prepare


def _matcher(pattern: str) -> Callable[[object], str | None]:
    compiled = re.compile(pattern)

    def first_group(value: object) -> str | None:
        found = compiled.search(_text(value))
        return found[1] if found else None

    return first_group


def _word_picker(words: str, phrases: Sequence[str]) -> Callable[[object], str | None]:
    first, dash, last = words.partition("-")
    start = int(first) - 1
    stop = (int(last) if last else None) if dash else start + 1
    longest = sorted((_text(phrase) for phrase in phrases), key=len, reverse=True)
    joined = "|".join(re.escape(phrase) for phrase in longest if phrase)
    word = re.compile(rf"(?<!\S)(?:{joined})(?!\S)|\S+" if joined else r"\S+", re.IGNORECASE)

    def pick(value: object) -> str | None:
        return " ".join(word.findall(_text(value))[start:stop]) or None

    return pick


def _spellings(key: object) -> tuple[str, ...]:
    """YAML reads a bare Yes, On or True as true, so that key stands for all of them."""
    if key is True:
        return ("true", "yes", "on")
    if key is False:
        return ("false", "no", "off")
    return (_text(key),)


def _replacer(values: dict[Any, Any]) -> Callable[[object], object]:
    exact = {spelling: new for key, new in values.items() for spelling in _spellings(key)}
    folded: dict[str, Any] = {}
    for key, new in exact.items():
        folded.setdefault(key.casefold(), new)

    def replace(value: object) -> object:
        for text in _lookups(value):
            if text in exact:
                return exact[text]
            if text.casefold() in folded:
                return folded[text.casefold()]
        return value

    return replace


def _lookups(value: object) -> tuple[str, ...]:
    text = _text(value)
    if isinstance(value, bool | np.bool_):
        return (text, str(int(value)))
    if _FLOAT.fullmatch(text):
        return (text, _text(float(text)))
    return (text,)


def _read_numbers(
    field: str, raw: pd.Series, rule: ColumnRule, settings: IngestSettings
) -> tuple[np.ndarray, Unreadable | None]:
    prepared = rule.match or rule.words or rule.values or rule.ordinal
    dtype = raw.dtype
    if (
        pd.api.types.is_numeric_dtype(dtype)
        and not pd.api.types.is_bool_dtype(dtype)
        and not isinstance(dtype, pd.CategoricalDtype)
        and not prepared
    ):
        numbers = raw.to_numpy(dtype=np.float64, na_value=np.nan)
        distinct = _Distinct(np.arange(len(numbers)), numbers)
        bad = np.zeros(len(numbers), dtype=bool)
    else:
        distinct = _distinct(raw)
        numbers, bad = _parse_numbers(distinct.values, field, rule, settings.decimal)
    numbers = _scaled(numbers, rule, settings)
    bad |= np.isinf(numbers)
    if _kind(field) is FieldKind.INTEGER:
        bad |= np.isfinite(numbers) & (numbers != np.round(numbers))
    numbers = np.where(bad, np.nan, numbers)
    return distinct.take(numbers, np.nan), _report(raw, distinct, bad)


def _scaled(numbers: np.ndarray, rule: ColumnRule, settings: IngestSettings) -> np.ndarray:
    if rule.multiply is not None:
        numbers = numbers * rule.multiply
    if rule.add is not None:
        numbers = numbers + rule.add
    if rule.unit is not None and rule.unit != settings.units.distance:
        numbers = numbers * KM_PER_MILE if rule.unit == "miles" else numbers / KM_PER_MILE
    return numbers


def _parse_numbers(
    values: np.ndarray, field: str, rule: ColumnRule, decimal: str
) -> tuple[np.ndarray, np.ndarray]:
    prepare = _preparation(rule)
    numbers = np.full(len(values), np.nan)
    bad = np.zeros(len(values), dtype=bool)
    for place, value in enumerate(values):
        number = _number(prepare(value), decimal, inside=rule.number)
        if number is _UNREADABLE and field == "ownership":
            number = _number(parse_ordinal(prepare(value)), decimal, inside=rule.number)
        if number is _UNREADABLE:
            bad[place] = True
        elif number is not None:
            numbers[place] = number
    return numbers, bad


def _number(value: object, decimal: str, *, inside: bool) -> Any:
    """Return a float, ``None`` for nothing, or ``_UNREADABLE``."""
    if not isinstance(value, str):
        return None if value is None else _plain_number(value)
    text = " ".join(value.replace("\u2212", "-").split())
    return _number_in_text(text, decimal, inside=inside) if text else None


def _number_in_text(text: str, decimal: str, *, inside: bool) -> Any:
    if decimal == "." and _FLOAT.fullmatch(text):
        return float(text)
    found = _DIGITS.search(text) if inside else _DIGITS.fullmatch(text)
    if found is None:
        return _UNREADABLE
    number = _grouped_number(found[0], decimal)
    scale = _SCALE.match(text, found.end())
    if scale and number is not _UNREADABLE:
        return number * _MULTIPLIERS[scale[1].lower()]
    return number


def _plain_number(value: object) -> Any:
    if isinstance(value, datetime.date | np.datetime64 | tuple):
        return _UNREADABLE
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return _UNREADABLE
    return None if math.isnan(number) else number


def _grouped_number(digits: str, decimal: str) -> Any:
    plain = re.sub("[ '\u2019]", "", digits.rstrip(".,"))
    if decimal == ",":
        plain = plain.translate(str.maketrans(".,", ",."))
    return float(plain.replace(",", "")) if _GROUPED.fullmatch(plain) else _UNREADABLE


def _read_dates(
    distinct: _Distinct, prepare: Callable[[object], object], rule: ColumnRule, place: str
) -> tuple[np.ndarray, np.ndarray]:
    days = np.full(len(distinct.values), np.datetime64("NaT"), dtype="datetime64[s]")
    bad = np.zeros(len(distinct.values), dtype=bool)
    pattern = rule.date if isinstance(rule.date, str) else None
    for number, value in enumerate(distinct.values):
        day = _date(prepare(value), pattern, place)
        if day is _UNREADABLE:
            bad[number] = True
        elif day is not None:
            days[number] = np.datetime64(day, "s")
    return days, bad


def _date(value: object, pattern: str | None, place: str) -> Any:
    """Return a day, ``None`` for nothing, or ``_UNREADABLE``."""
    if isinstance(value, datetime.datetime):
        return value.date()
    if value is None or isinstance(value, datetime.date):
        return value
    text = _text(value)
    if not text:
        return None
    try:
        if pattern:
            return datetime.datetime.strptime(text, pattern).date()
        return _date_of_text(text, place)
    except (ValueError, OverflowError):
        return _UNREADABLE


def _date_of_text(text: str, place: str) -> Any:
    if year_first := _YEAR_FIRST.fullmatch(text):
        return datetime.date(*map(int, year_first.groups()))
    if _AMBIGUOUS_DATE.fullmatch(text):
        raise InputError(
            f"{place}: the date {text!r} may start with the day or the month; give the format in "
            "ingest.columns, such as date: '%d/%m/%Y' or date: '%m/%d/%Y'"
        )
    if re.fullmatch(r"\d{8}(T\d+Z?)?", text):
        return datetime.datetime.fromisoformat(text).date()
    if re.search(r"\d{4}", text) and re.search(r"[A-Za-z]{3}", text):
        return pd.Timestamp(text).date()
    return _UNREADABLE


def _equipment(separator: str | None) -> Callable[[object], str | None]:
    def read(value: object) -> str | None:
        if value is None:
            return None
        names = _names(value, separator)
        if isinstance(names, str):
            return None
        cleaned = (_text(name).replace("|", "/") for name in names if name is not None)
        return join_features(name for name in cleaned if name)

    return read


def _names(value: object, separator: str | None) -> Any:
    if isinstance(value, tuple):
        return value
    text = _text(value)
    if not text:
        return text
    if text.startswith("[") and text.endswith("]"):
        return _printed_list(text)
    return text.split(separator) if separator else split_features(text)


def _printed_list(text: str) -> Any:
    try:
        return tuple(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return split_features(text[1:-1])


def _read_flags(raw: pd.DataFrame) -> tuple[np.ndarray, Unreadable | None]:
    names = [str(name).strip() for name in raw.columns]
    present = np.zeros(raw.shape, dtype=bool)
    known = np.zeros(raw.shape, dtype=bool)
    worst: Unreadable | None = None
    for place in range(len(names)):
        column = raw.iloc[:, place]
        distinct = _distinct(column)
        flags = np.array([_flag(value) for value in distinct.values], dtype=np.float64)
        taken = distinct.take(flags, np.nan)
        present[:, place] = taken == 1
        known[:, place] = ~np.isnan(taken)
        bad = np.array([_is_unknown_flag(value) for value in distinct.values], dtype=bool)
        worst = _more(worst, _report(column, distinct, bad))
    packed = np.packbits(present, axis=1)
    codes, first = pd.factorize(np.array([row.tobytes() for row in packed], dtype=object))
    texts = np.empty(len(first), dtype=object)
    for place, bits in enumerate(first):
        chosen = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=len(names))
        texts[place] = join_features(name for name, on in zip(names, chosen, strict=True) if on)
    read = texts[codes] if len(first) else np.empty(0, dtype=object)
    read[~known.any(axis=1)] = None
    return read, worst


def _more(one: Unreadable | None, other: Unreadable | None) -> Unreadable | None:
    if one is None or other is None:
        return one or other
    first = min(one, other, key=lambda found: found.row)
    return Unreadable(one.count + other.count, first.value, first.row)


def _flag(value: object) -> float:
    text = _text(value).lower()
    if text in _TRUE or text in _FALSE:
        return float(text in _TRUE)
    number = _number(text, ".", inside=False)
    return math.nan if number is None or number is _UNREADABLE else float(number != 0)


def _is_unknown_flag(value: object) -> bool:
    return bool(_text(value)) and math.isnan(_flag(value))
