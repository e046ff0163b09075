"""Read one cell of a file: numbers in text, dates, flags and lists of equipment.

A reader returns ``None`` for an empty cell, and :data:`UNREADABLE` for one that holds something
else than what is asked for.
"""

import ast
import datetime
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.errors import InputError
from carprice.schema import join_equipment, parse_ordinal, split_equipment
from carprice.settings import ColumnRule

UNREADABLE: Final = object()

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
_TRUE: Final = frozenset({"1", "true", "yes", "y", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "n", "off"})


def as_text(value: object) -> str:
    """Return a value as a person writes it: single spaces, no decimals of a whole number.

    Examples
    --------
    >>> as_text(2.0), as_text(" Wagon   R ")
    ('2', 'Wagon R')
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return " ".join(str(value).split())


def read_text(value: object) -> str | None:
    """Return a value as text; ``None`` where nothing is left of it."""
    return None if value is None else as_text(value) or None


def preparation(rule: ColumnRule) -> Callable[[object], object]:
    """Return the steps of a rule that come before any other reading.

    In this order: ``match``, ``words``, ``values`` and ``ordinal``.
    """
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
        found = compiled.search(as_text(value))
        return found[1] if found else None

    return first_group


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
    text = as_text(value)
    if isinstance(value, bool | np.bool_):
        return (text, str(int(value)))
    if _FLOAT.fullmatch(text):
        return (text, as_text(float(text)))
    return (text,)


def read_number(value: object, decimal: str, *, inside: bool) -> Any:
    """Read a number.

    Parameters
    ----------
    value : a cell.
    decimal : the decimal sign of texts, ``.`` or ``,``.
    inside : whether other text may stand around the number.

    Examples
    --------
    >>> read_number("1,248 CC", ".", inside=True), read_number("4.5 lakh", ".", inside=True)
    (1248.0, 450000.0)
    """
    if not isinstance(value, str):
        return None if value is None else _plain_number(value)
    text = " ".join(value.replace("\u2212", "-").split())
    if not text:
        return None
    if decimal == "." and _FLOAT.fullmatch(text):
        return float(text)
    found = _DIGITS.search(text) if inside else _DIGITS.fullmatch(text)
    if found is None:
        return UNREADABLE
    number = _grouped_number(found[0], decimal)
    scale = _SCALE.match(text, found.end())
    if scale and number is not UNREADABLE:
        return number * _MULTIPLIERS[scale[1].lower()]
    return number


def _plain_number(value: object) -> Any:
    if isinstance(value, datetime.date | np.datetime64 | tuple):
        return UNREADABLE
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return UNREADABLE
    return None if math.isnan(number) else number


def _grouped_number(digits: str, decimal: str) -> Any:
    plain = re.sub("[ '\u2019]", "", digits.rstrip(".,"))
    if decimal == ",":
        plain = plain.translate(str.maketrans(".,", ",."))
    return float(plain.replace(",", "")) if _GROUPED.fullmatch(plain) else UNREADABLE


def read_date(value: object, pattern: str | None, place: str) -> Any:
    """Read a day.

    Parameters
    ----------
    value : a cell.
    pattern : the format of texts, such as ``%d/%m/%Y``; None to recognise it.
    place : where the cell stands, for the error's message.

    Raises
    ------
    InputError
        If there is no format, and a text may start with the day as well as with the month.
    """
    if isinstance(value, datetime.datetime):
        return value.date()
    if value is None or isinstance(value, datetime.date):
        return value
    text = as_text(value)
    if not text:
        return None
    try:
        if pattern:
            return datetime.datetime.strptime(text, pattern).date()
        return _date_of_text(text, place)
    except (ValueError, OverflowError):
        return UNREADABLE


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
    return UNREADABLE


def read_flag(value: object) -> Any:
    """Return 1.0 or 0.0 for a flag such as ``yes``, ``0`` or ``False``; any number but 0 is 1.0."""
    text = as_text(value).lower()
    if text in _TRUE or text in _FALSE:
        return float(text in _TRUE)
    number = read_number(text, ".", inside=False)
    return float(number != 0) if isinstance(number, float) else number


def read_equipment(value: object, separator: str | None) -> str | None:
    """Read names of equipment as one canonical text; see :func:`carprice.schema.join_equipment`.

    Parameters
    ----------
    value : a list, or a text that separates the names or is a printed list.
    separator : of the names in a text; None for comma, semicolon or ``|``.

    Examples
    --------
    >>> read_equipment("['Bluetooth', 'AlloyWheels']", None), read_equipment("Tpms/Rear AC", "/")
    ('AlloyWheels|Bluetooth', 'Rear AC|Tpms')
    """
    if value is None:
        return None
    names = _names(value, separator)
    if isinstance(names, str):
        return None
    cleaned = (as_text(name).replace("|", "/") for name in names if name is not None)
    return join_equipment(name for name in cleaned if name)


def _names(value: object, separator: str | None) -> Any:
    if isinstance(value, tuple):
        return value
    text = as_text(value)
    if not text:
        return text
    if text.startswith("[") and text.endswith("]"):
        return _printed_list(text)
    return text.split(separator) if separator else split_equipment(text)


def _printed_list(text: str) -> Any:
    try:
        return tuple(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return split_equipment(text[1:-1])
