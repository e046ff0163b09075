"""Read the values of a column as its field's kind: text, numbers, dates, flags or equipment.

Each distinct value is read once, however many rows hold it.
"""

import ast
import datetime
import functools
import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.errors import InputError
from carprice.listings.market import km_per_unit
from carprice.schema import (
    NUMERIC,
    FieldKind,
    alias,
    join_equipment,
    kind_of,
    parse_ordinal,
    split_equipment,
)
from carprice.settings import ColumnRule, IngestSettings

_UNREADABLE: Final = object()
"""Marks a cell whose value is not of the field's kind."""
MISSING: Final[dict[FieldKind, Any]] = {
    FieldKind.NUMBER: np.nan,
    FieldKind.INTEGER: np.nan,
    FieldKind.DATE: np.datetime64("NaT", "s"),
}
"""What a field of these kinds is read as where its cell is empty; the others are None."""

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
_SCALE: Final = re.compile(rf"\s*({'|'.join(_MULTIPLIERS)})s?(?![a-z0-9])", re.IGNORECASE)
_DIGITS: Final = re.compile(
    r"(?:(?<!\w)[-+])?"
    r"(?:\d{1,3}(?:[ '\u2019]\d{3})+(?!\d)(?:[.,]\d+)?|\d[\d.,]*|(?<![\w.,])[.,]\d+)"
)
_GROUPED: Final = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:,\d{2,3})*,\d{3})?(?:\.\d*)?")
_FLOAT: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)
_YEAR_FIRST: Final = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T]\d.*)?")
_AMBIGUOUS_DATE: Final = re.compile(r"\d{1,2}[-/. ]\d{1,2}[-/. ](?:\d{4}|\d{2})(?:[ T].*)?")
_EXCEL_DAY: Final = re.compile(r"\d{5}(?:\.\d+)?")
_EXCEL_EPOCH: Final = datetime.date(1899, 12, 30)
EXCEL_DAYS: Final = "excel"
"""The format of dates that stand as the numbers of days which Excel counts."""
_TRUE: Final = frozenset({"1", "true", "yes", "y", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "n", "off"})


def as_text(value: object) -> str:
    """Return a value as a person writes it: single spaces, no decimals of a whole number."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return " ".join(str(value).split())


def read_column(
    field: str,
    raw: pd.Series | pd.DataFrame,
    rule: ColumnRule,
    settings: IngestSettings,
    label: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Read all values of a field or of the price.

    Parameters
    ----------
    raw : the cells of its column, or of its 0/1 columns.
    label : the file, for messages.

    Returns
    -------
    What each of the n rows holds, and which cells cannot be read: n, or n for each 0/1 column.
    """
    if isinstance(raw, pd.DataFrame):
        return _read_flags(raw)
    kind = kind_of(field)
    types = pd.api.types
    is_number = types.is_numeric_dtype(raw.dtype) and not types.is_bool_dtype(raw.dtype)
    prepared = rule.match or rule.words or rule.values or rule.ordinal
    if kind in NUMERIC and is_number and not prepared:
        read = raw.to_numpy(dtype=np.float64, na_value=np.nan)
        bad = np.zeros(len(read), dtype=bool)
    else:
        reader = _cell_reader(field, rule, settings.decimal, label)
        read, bad = _read_cells(raw, reader, MISSING.get(kind))
    if kind in NUMERIC:
        read = _scaled(read, rule, settings)
        bad |= np.isinf(read)
        if kind is FieldKind.INTEGER:
            bad |= np.isfinite(read) & (read != np.round(read))
        read = np.where(bad, np.nan, read)
    return read, bad


def _read_cells(
    raw: pd.Series, reader: Callable[[object], Any], missing: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Read each distinct value once; return what each row holds, and which cannot be read."""
    if pd.api.types.is_bool_dtype(raw.dtype):
        raw = raw.astype(object)
    try:
        codes, values = pd.factorize(raw)
    except TypeError:
        codes, values = pd.factorize(raw.map(_hashable).astype(object))
    # One more place than values: the code of an empty cell is -1.
    read = np.full(len(values) + 1, missing)
    bad = np.zeros(len(values) + 1, dtype=bool)
    for place, value in enumerate(np.asarray(values, dtype=object)):
        found = reader(value)
        if found is _UNREADABLE:
            bad[place] = True
        elif found is not None:
            read[place] = found
    return read[codes], bad[codes]


def _hashable(value: object) -> object:
    if isinstance(value, list | tuple | set | np.ndarray):
        return tuple(as_text(item) for item in value)
    return str(value) if isinstance(value, dict) else value


def _scaled(numbers: np.ndarray, rule: ColumnRule, settings: IngestSettings) -> np.ndarray:
    if rule.multiply is not None:
        numbers = numbers * rule.multiply
    if rule.add is not None:
        numbers = numbers + rule.add
    if rule.unit is not None:
        numbers = numbers * km_per_unit(rule.unit) / km_per_unit(settings.units.distance)
    return numbers


def _read_flags(raw: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the equipment of each row, and which cells of its flags cannot be read."""
    columns = [_read_cells(raw.iloc[:, place], _read_flag, np.nan) for place in range(raw.shape[1])]
    flags, bad = (np.column_stack(part) for part in zip(*columns, strict=True))
    names = [str(name).strip() for name in raw.columns]

    @functools.cache
    def equipment(has: bytes) -> str:
        return join_equipment(itertools.compress(names, has))

    texts = np.array([equipment(row.tobytes()) for row in flags == 1], dtype=object)
    texts[np.isnan(flags).all(axis=1)] = None
    return texts, bad


def count_respaced(raw: pd.Series) -> int:
    """Return the number of rows whose text has needless spaces."""
    return int(_read_cells(raw, _has_stray_spaces, False)[0].sum())


def _has_stray_spaces(value: object) -> bool:
    return isinstance(value, str) and " ".join(value.split()) != value


def _cell_reader(field: str, rule: ColumnRule, decimal: str, label: str) -> Callable[[object], Any]:
    """Return the function that reads a cell; ``None`` stands for empty, or :data:`_UNREADABLE`."""
    kind = kind_of(field)
    steps = _preparing_steps(rule)
    if kind is FieldKind.TEXT:
        steps.append(lambda value: as_text(value) or None)
    elif kind is FieldKind.EQUIPMENT:
        steps.append(lambda value: _read_equipment(value, rule.split))
    elif kind is FieldKind.DATE:
        steps.append(lambda value: _read_date(value, rule.date, f"{label}, {alias(field)}"))
    elif field == "ownership":
        steps.append(lambda value: _read_owners(value, decimal, inside=rule.number))
    else:
        steps.append(lambda value: _read_number(value, decimal, inside=rule.number))

    def read(value: object) -> Any:
        for step in steps:
            if value is None:
                return None
            value = step(value)
        return value

    return read


def _preparing_steps(rule: ColumnRule) -> list[Callable[[Any], Any]]:
    """Return the steps of a rule that come before any other reading, in their order."""
    steps: list[Callable[[Any], Any]] = []
    if rule.match is not None:
        steps.append(functools.partial(_first_group, re.compile(rule.match)))
    if rule.words is not None:
        steps.append(_word_picker(str(rule.words), rule.phrases))
    if rule.values is not None:
        steps.append(_replacer(rule.values))
    if rule.ordinal:
        steps.append(parse_ordinal)
    return steps


def _first_group(pattern: re.Pattern[str], value: object) -> str | None:
    found = pattern.search(as_text(value))
    return found[1] if found else None


def _word_picker(words: str, phrases: Sequence[str]) -> Callable[[object], str | None]:
    first, dash, last = words.partition("-")
    start = int(first) - 1
    stop = (int(last) if last else None) if dash else start + 1
    longest = sorted((as_text(phrase) for phrase in phrases), key=len, reverse=True)
    joined = "|".join(re.escape(phrase) for phrase in longest if phrase)
    word = re.compile(rf"(?<!\S)(?:{joined})(?!\S)|\S+" if joined else r"\S+", re.IGNORECASE)

    def pick(value: object) -> str | None:
        return " ".join(word.findall(as_text(value))[start:stop]) or None

    return pick


def _spellings(key: object) -> tuple[str, ...]:
    """Return the texts that a key of ``values`` stands for: YAML reads a bare Yes or On as true."""
    if key is True:
        return ("true", "yes", "on")
    if key is False:
        return ("false", "no", "off")
    return (as_text(key),)


def _replacer(values: dict[Any, Any]) -> Callable[[object], object]:
    exact = {spelling: new for key, new in values.items() for spelling in _spellings(key)}
    # Where two keys differ in case alone, the first stands for all other spellings.
    folded = {key.casefold(): new for key, new in reversed(exact.items())}

    def replace(value: object) -> object:
        for text in _lookups(value):
            if text in exact:
                return exact[text]
            if text.casefold() in folded:
                return folded[text.casefold()]
        return value

    return replace


def _lookups(value: object) -> tuple[str, ...]:
    text = as_text(value)
    if isinstance(value, bool | np.bool_):
        return (text, str(int(value)))
    if _FLOAT.fullmatch(text):
        return (text, as_text(float(text)))
    return (text,)


def _read_number(value: object, decimal: str, *, inside: bool) -> Any:
    """Read a number; ``inside`` allows other text around it."""
    if not isinstance(value, str):
        return _plain_number(value)
    text = " ".join(value.replace("\u2212", "-").split())
    if not text:
        return None
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


def _read_owners(value: object, decimal: str, *, inside: bool) -> Any:
    number = _read_number(value, decimal, inside=inside)
    if number is _UNREADABLE:
        return _read_number(parse_ordinal(value), decimal, inside=inside)
    return number


def _plain_number(value: object) -> Any:
    if isinstance(value, datetime.date | np.datetime64):
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


def _read_date(value: object, pattern: str | bool, place: str) -> Any:
    """Read a day; a pattern such as ``%d/%m/%Y`` says how texts give it."""
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    text = as_text(value)
    if not text:
        return None
    try:
        if isinstance(pattern, str) and pattern not in ("", EXCEL_DAYS):
            return datetime.datetime.strptime(text, pattern).date()
        return _date_of_text(text, place, may_be_excel=pattern == EXCEL_DAYS)
    except (ValueError, OverflowError):
        return _UNREADABLE


def looks_like_excel_day(text: str) -> bool:
    """Whether a text may be a day of 1954 to 2064 as Excel counts them: 45300 is 2024-01-09."""
    return bool(_EXCEL_DAY.fullmatch(text)) and 20_000 <= float(text) < 60_200


def _date_of_text(text: str, place: str, *, may_be_excel: bool) -> Any:
    if may_be_excel and looks_like_excel_day(text):
        return _EXCEL_EPOCH + datetime.timedelta(days=int(float(text)))
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


def _read_equipment(value: object, separator: str | None) -> str | None:
    """Read a list, a printed list or a text with separators as :func:`join_equipment` writes it."""
    names: Any = value
    if not isinstance(value, tuple):
        text = as_text(value)
        if not text:
            return None
        if text.startswith("[") and text.endswith("]"):
            names = _printed_list(text)
        else:
            names = text.split(separator) if separator else split_equipment(text)
    cleaned = (as_text(name).replace("|", "/") for name in names if name is not None)
    return join_equipment(name for name in cleaned if name)


def _printed_list(text: str) -> Any:
    try:
        return tuple(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return split_equipment(text[1:-1])


def _read_flag(value: object) -> Any:
    """Return 1.0 or 0.0 for a flag such as ``yes``, ``0`` or ``False``; any number but 0 is 1.0."""
    text = as_text(value).lower()
    if text in _TRUE or text in _FALSE:
        return float(text in _TRUE)
    number = _read_number(text, ".", inside=False)
    return float(number != 0) if isinstance(number, float) else number
