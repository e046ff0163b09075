"""Read the values of a column as its field's kind: text, numbers, dates, flags or equipment.

Each distinct value is read once, however many rows hold it.
"""

import datetime
import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd

from carprice.arrays import coded_together
from carprice.errors import InputError
from carprice.listings.cells import UNREADABLE, Cells, as_text
from carprice.listings.notation import Notation
from carprice.listings.numbers import read_number
from carprice.listings.own import FLAGS, NO, YES
from carprice.schema import (
    EQUIPMENT_SEPARATOR,
    NUMERIC,
    FieldKind,
    alias,
    column_name,
    join_equipment,
    kind_of,
    parse_ordinal,
    split_equipment,
)
from carprice.settings import ColumnRule

MISSING: Final[dict[FieldKind, Any]] = {
    FieldKind.NUMBER: np.nan,
    FieldKind.INTEGER: np.nan,
    FieldKind.DATE: np.datetime64("NaT", "s"),
}
"""What a field of these kinds is read as where its cell is empty; the others are None."""

_FLOAT: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)
_YEAR_FIRST: Final = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T]\d.*)?")
_AMBIGUOUS_DATE: Final = re.compile(r"\d{1,2}([-/. ])\d{1,2}([-/. ])(\d{4}|\d{2})([ T].*)?")
_MONTHS: Final = (
    "jan feb mar apr may jun jul aug sep oct nov dec mrz mär mai okt dez janv févr mars avr juin "
    "juil août sept déc ene abr ago dic gen mag giu lug set ott янв фев мар апр май июн июл авг"
)
_MONTH: Final = f"(?:{'|'.join(_MONTHS.split())})"
_WHOLE_NUMBER: Final = re.compile(r"^(\d{3,})\.0$")
_DATE_OF_EXCEL: Final = re.compile(
    rf"\d{{4}}-\d\d-\d\d(?: 00:00:00)?|\d{{1,2}}[-.]{_MONTH}\.?|{_MONTH}\.?[-.]\d{{1,2}}",
    re.IGNORECASE,
)
_EXCEL_DAY: Final = re.compile(r"\d{5}(?:\.\d+)?")
_UNSPACED: Final = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff"
"""Letters of Thai, Japanese and Chinese, which part no words by spaces."""
_APART: Final = rf"""\s,;:/|()\[\]"'{_UNSPACED}"""
"""What may stand beside a whole word."""
_QUOTED: Final = r"""'[^'\\]*+(?:\\.[^'\\]*+)*+'|"[^"\\]*+(?:\\.[^"\\]*+)*+\""""
_PRINTED: Final = rf"""\s*+(?:{_QUOTED}|[^'",:\[\]{{}}]*+)\s*+"""
_PRINTED_ITEM: Final = re.compile(f"({_PRINTED})(?::({_PRINTED}))?(?:,|\\Z)", re.DOTALL)
_QUOTED_NAME: Final = re.compile(r"""['"]\s*+:""")
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_NULLS: Final = frozenset({"None", "null", "nan", "NaN"})
_NO_VALUE: Final = object()
_EXCEL_EPOCH: Final = datetime.date(1899, 12, 30)
EXCEL_DAYS: Final = "excel"
"""The format of dates that stand as the numbers of days which Excel counts."""


Prepared: TypeAlias = np.ndarray | Cells | pd.DataFrame
"""Numbers that are numbers already, the distinct values of a column, or 0/1 columns."""


def prepared(field: str, raw: pd.Series | pd.DataFrame, rule: ColumnRule) -> Prepared:
    """Return the cells of a field's column, or 0/1 columns, after the first steps of its rule."""
    if isinstance(raw, pd.DataFrame):
        return raw
    types = pd.api.types
    if kind_of(field) in NUMERIC:
        raw = _with_named_flags(raw)
    is_number = types.is_numeric_dtype(raw.dtype) and not types.is_bool_dtype(raw.dtype)
    steps = _preparing_steps(rule)
    if kind_of(field) in NUMERIC and is_number and not steps:
        numbers: np.ndarray = raw.to_numpy(dtype=np.float64, na_value=np.nan)
        return numbers
    return Cells.of(raw, functools.partial(_in_turn, steps) if steps else None)


def _with_named_flags(raw: pd.Series) -> pd.Series:
    """Return a column with texts for its flags: True is no 1 where a number is expected."""
    if pd.api.types.infer_dtype(raw, skipna=True) not in ("boolean", "mixed", "mixed-integer"):
        return raw
    return raw.map(lambda one: str(one) if isinstance(one, bool | np.bool_) else one).astype(object)


def read_column(
    field: str, cells: Prepared, rule: ColumnRule, notation: Notation, label: str
) -> tuple[np.ndarray, np.ndarray]:
    """Read all values of a field or of the price.

    Parameters
    ----------
    cells : what :func:`prepared` returns.
    notation : how the source writes its numbers.
    label : the file, for messages.

    Returns
    -------
    What each of the n rows holds, and which cells cannot be read: n, or n for each 0/1 column.
    """
    if isinstance(cells, pd.DataFrame):
        return _read_flags(cells, rule)
    kind = kind_of(field)
    if kind is FieldKind.DATE and isinstance(cells, Cells) and not _has_format(rule):
        _refuse_ambiguous_date(cells, f"{label}, {alias(field)}")
    if kind in NUMERIC or isinstance(cells, np.ndarray):
        read, bad = notation.read(field, cells, rule, label)
        bad |= np.isinf(read)
        if kind is FieldKind.INTEGER:
            bad |= np.isfinite(read) & (read != np.round(read))
        return np.where(bad, np.nan, read), bad
    return cells.read(_reader(field, rule), MISSING.get(kind))


def _read_flags(raw: pd.DataFrame, rule: ColumnRule) -> tuple[np.ndarray, np.ndarray]:
    """Return the equipment of each row, and which cells of its flags cannot be read."""
    prepare = functools.partial(_in_turn, _preparing_steps(rule))
    columns = [
        Cells.of(raw.iloc[:, place], prepare).read(_read_flag, np.nan)
        for place in range(raw.shape[1])
    ]
    flags, bad = (np.column_stack(part) for part in zip(*columns, strict=True))
    names = [*map(column_name, raw.columns)]

    has = flags == 1
    first, codes = coded_together(*has.T.astype(np.intp))
    texts = [join_equipment(itertools.compress(names, has[row])) for row in first]
    codes[np.isnan(flags).all(axis=1)] = len(texts)
    return np.array([*texts, None], dtype=object)[codes], bad


def joined(field: str, parts: pd.DataFrame, rule: ColumnRule) -> pd.Series:
    """Return the columns of a field as one: texts joined by a space, or lists put together.

    Missing parts are left out; where all are missing, so is the whole.
    """
    is_list = kind_of(field) is FieldKind.EQUIPMENT
    reader = functools.partial(_read_equipment, separator=rule.split) if is_list else _text_or_none
    columns = [
        Cells.of(parts.iloc[:, place]).read(reader, None)[0] for place in range(parts.shape[1])
    ]
    separator = EQUIPMENT_SEPARATOR if is_list else " "
    rows = ([part for part in row if part is not None] for row in zip(*columns, strict=True))
    whole: list[Any] = [separator.join(row) if row else None for row in rows]
    if is_list:
        names = (row if row is None else row.split(EQUIPMENT_SEPARATOR) for row in whole)
        whole = [row if row is None else tuple(filter(None, row)) for row in names]
    return pd.Series(whole, parts.index, dtype=object)


def texts_of(raw: pd.Series, rule: ColumnRule) -> list[np.ndarray]:
    """Return a field's texts by its rule, and before its ``values``, one for each of n rows."""
    rules = [rule, *([rule.model_copy(update={"values": None})] if rule.values else [])]
    prepare = (functools.partial(_in_turn, _preparing_steps(one)) for one in rules)
    return [Cells.of(raw, each).read(_name_or_none, None)[0] for each in prepare]


def without(raw: pd.Series, names: Sequence[np.ndarray]) -> pd.Series:
    """Return texts without names that they hold as whole words; None where nothing is left.

    Parameters
    ----------
    raw : n texts.
    names : arrays of n names each; None where there is none. The first place where a name stands
        is taken out, the longest name first, upper and lower case alike.

    Examples
    --------
    >>> titles = pd.Series(["VW  Golf, 1.4 TSI", "Mazda 3 3-door", "Kia Rio"])
    >>> names = [np.array(["vw", "Mazda", "Kia"]), np.array(["Golf", "3", "Rio"])]
    >>> without(titles, names).tolist()
    ['1.4 TSI', '3-door', None]
    """
    texts = Cells.of(raw).read(_text_or_none, None)[0]
    rows = zip(texts, *names, strict=True)
    shorter = [None if text is None else _without(text, *row) for text, *row in rows]
    return pd.Series(shorter, raw.index, dtype=object)


def count_respaced(raw: pd.Series) -> int:
    """Return the number of rows whose text has needless spaces."""
    return int(Cells.of(raw).read(_has_stray_spaces, False)[0].sum())


def finds_nothing(cells: Prepared, raw: pd.Series | pd.DataFrame, rule: ColumnRule) -> np.ndarray:
    """Return which of n cells have a text in which ``match`` or ``words`` of the rule find nothing.

    Parameters
    ----------
    cells : what :func:`prepared` returns.
    """
    may_be_meant = rule.values is not None and None in rule.values.values()
    if not isinstance(cells, Cells) or (rule.match is None and rule.words is None) or may_be_meant:
        return np.zeros(len(raw), dtype=bool)
    lost = np.array([*(value is None for value in cells.values), False])[cells.codes]
    if lost.any():
        lost &= pd.notna(Cells.of(raw).read(_text_or_none, None)[0])
    return np.asarray(lost)


def date_of_excel(cells: Cells) -> str | None:
    """Return the first value that is a day, such as Excel makes of the name 9-3; None if none."""
    texts = (as_text(value) for value in cells.values if value is not None)
    return next(filter(_DATE_OF_EXCEL.fullmatch, texts), None)


@functools.lru_cache(maxsize=100_000)
def _without(text: str, *names: str | None) -> str | None:
    for name in sorted({*filter(None, names)}, key=len, reverse=True):
        text = _whole_word(name).sub(" ", text, count=1)
    return as_text(text).strip(" ,;:/|-–") or None


@functools.lru_cache(maxsize=20_000)
def _whole_word(name: str) -> re.Pattern[str]:
    """Return a pattern of a name between spaces, signs or letters of scripts without spaces."""
    words = name.split()
    text = r"\s+".join(map(re.escape, words))
    before = "" if re.match(f"[{_UNSPACED}]", words[0]) else f"(?<![^{_APART}])"
    after = "" if re.search(f"[{_UNSPACED}]$", words[-1]) else f"(?![^{_APART}])"
    return re.compile(before + text + after, re.IGNORECASE)


def _text_or_none(value: object) -> str | None:
    return as_text(value) or None


def _name_or_none(value: object) -> str | None:
    """Return a text as titles have it: ``2017.0``, which tables make of years, is 2017."""
    return _WHOLE_NUMBER.sub(r"\1", as_text(value)) or None


def _has_stray_spaces(value: object) -> bool:
    return isinstance(value, str) and " ".join(value.split()) != value


def _reader(field: str, rule: ColumnRule) -> Callable[[object], Any]:
    """Return the function that reads a value of a field that is no number."""
    kind = kind_of(field)
    if kind is FieldKind.TEXT:
        return _text_or_none
    if kind is FieldKind.EQUIPMENT:
        return lambda value: _read_equipment(value, rule.split)
    if kind is FieldKind.FLAG:
        return _read_own_flag
    return lambda value: _read_date(value, rule.date)


def _in_turn(steps: Sequence[Callable[[Any], Any]], value: Any) -> Any:
    for step in steps:
        if value is None:
            return None
        value = step(value)
    return value


def _preparing_steps(rule: ColumnRule) -> list[Callable[[Any], Any]]:
    """Return the steps of a rule that come before any other reading, in their order."""
    steps: list[Callable[[Any], Any]] = []
    if rule.match is not None:
        steps.append(
            functools.partial(_first_group, re.compile(unicodedata.normalize("NFC", rule.match)))
        )
    if rule.words is not None:
        steps.append(_word_picker(str(rule.words), rule.phrases))
    if rule.values is not None:
        steps.append(replacer(rule.values))
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


def replacer(values: Mapping[Any, Any]) -> Callable[[object], object]:
    """Return the function that replaces values in any of their spellings, and leaves others."""
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


def _has_format(rule: ColumnRule) -> bool:
    return isinstance(rule.date, str) and rule.date not in ("", EXCEL_DAYS)


def date_formats(text: str) -> tuple[str, ...]:
    """Return the formats of a date that may start with the day or the month; none of other texts.

    Examples
    --------
    >>> date_formats("5.1.2024")
    ('%d.%m.%Y', '%m.%d.%Y')
    >>> date_formats("2024-01-05")
    ()
    """
    found = _AMBIGUOUS_DATE.fullmatch(as_text(text))
    if not found:
        return ()
    first, second, year, time = found.groups(default="")
    end = f"{second}%Y" if len(year) == 4 else f"{second}%y"
    if time:
        end += f"{time[0]}%H:%M{':%S' * (time.count(':') > 1)}"
    return f"%d{first}%m{end}", f"%m{first}%d{end}"


def _refuse_ambiguous_date(cells: Cells, place: str) -> None:
    """Raise an InputError that names the formats which read a date and the column's others."""
    texts = [as_text(value) for value in cells.values if isinstance(value, str)]
    date = next(filter(_AMBIGUOUS_DATE.fullmatch, texts), None)
    if date is None:
        return
    told = f"{place}: the date {date!r} may start with the day or the month"
    formats = [one for one in date_formats(date) if _read_date(date, one) is not UNREADABLE]
    others = [
        text
        for text in texts
        if _AMBIGUOUS_DATE.fullmatch(text) or _read_date(text, EXCEL_DAYS) not in (None, UNREADABLE)
    ]
    unread = {one: [t for t in others if _read_date(t, one) is UNREADABLE] for one in formats}
    fitting = " or ".join(f"date: {one!r}" for one, left in unread.items() if not left)
    if fitting or not formats:
        such = fitting or "date: '%d/%m/%Y' or date: '%m/%d/%Y'"
        raise InputError(f"{told}; give the format in ingest.columns, such as {such}")
    other = min(unread.values(), key=len)[0]
    raise InputError(
        f"{told}, and others have another format, such as {other!r}; write all of them in one "
        "way, such as 2024-05-31"
    )


def _read_date(value: object, pattern: str | bool) -> Any:
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
        return _date_of_text(text, may_be_excel=pattern == EXCEL_DAYS)
    except (ValueError, OverflowError):
        return UNREADABLE


def looks_like_excel_day(text: str) -> bool:
    """Whether a text may be a day of 1954 to 2064 as Excel counts them: 45300 is 2024-01-09."""
    return bool(_EXCEL_DAY.fullmatch(text)) and 20_000 <= float(text) < 60_200


def _date_of_text(text: str, *, may_be_excel: bool) -> Any:
    if may_be_excel and looks_like_excel_day(text):
        return _EXCEL_EPOCH + datetime.timedelta(days=int(float(text)))
    if year_first := _YEAR_FIRST.fullmatch(text):
        return datetime.date(*map(int, year_first.groups()))
    if re.fullmatch(r"\d{8}(T\d+Z?)?", text):
        return datetime.datetime.fromisoformat(text).date()
    if re.search(r"\d{4}", text) and re.search(r"[A-Za-z]{3}", text):
        return pd.Timestamp(text).date()
    return UNREADABLE


def _read_equipment(value: object, separator: str | None) -> Any:
    """Read a list, a printed list or a text with separators as :func:`join_equipment` writes it."""
    names: Any = value
    if not isinstance(value, tuple):
        text = as_text(value)
        if not text:
            return None
        if text.startswith("[") and text.endswith("]"):
            names = _printed_list(text)
        elif text.startswith("{") and text.endswith("}"):
            names = _equipment_of_flags(text)
        else:
            names = text.split(separator) if separator else split_equipment(text)
    if names is UNREADABLE:
        return UNREADABLE
    cleaned = (as_text(name).replace("|", "/") for name in names if name is not None)
    return join_equipment(name for name in cleaned if name)


def _printed_list(text: str) -> Any:
    """Return the names of a list as Python, JSON or a database prints it."""
    items = _printed_items(text)
    if items is None or any(value is not _NO_VALUE for _, value in items):
        return split_equipment(text[1:-1])
    return [name for name, _ in items]


def _equipment_of_flags(text: str) -> Any:
    """Return the names of a printed object such as ``{'ABS': True}``, or of a list in braces."""
    items = _printed_items(text)
    if items is None and _QUOTED_NAME.search(text):
        return UNREADABLE
    flagged = sum(value is not _NO_VALUE for _, value in items or ())
    if items is None or 0 < flagged < len(items):
        parts: Any = split_equipment(text[1:-1])
        return [part.strip("\"' ") for part in parts]
    if not flagged:
        return [name for name, _ in items]
    flags = {name: 0.0 if flag is None else _read_flag(flag) for name, flag in items}
    if any(flag is UNREADABLE for flag in flags.values()):
        return UNREADABLE
    return [name for name, flag in flags.items() if flag]


def _printed_items(text: str) -> list[tuple[Any, Any]] | None:
    """Return the items between two brackets, each with the value behind its colon.

    A text is no program: nothing in it is evaluated, and brackets inside of it are not read.

    Returns
    -------
    None if it is not printed so; a value is ``_NO_VALUE`` where there is no colon.

    Examples
    --------
    >>> _printed_items("{'ABS': True, 'Tow bar': null}")
    [('ABS', 'True'), ('Tow bar', None)]
    >>> _printed_items("[{[]}]") is None
    True
    """
    items: list[tuple[Any, Any]] = []
    place, end = 1, len(text) - 1
    while place < end:
        found = _PRINTED_ITEM.match(text, place, end)
        if found is None:
            return None
        name, value = found.groups()
        items.append((_printed_value(name), _NO_VALUE if value is None else _printed_value(value)))
        place = found.end()
    return items


def _printed_value(text: str) -> str | None:
    """Return what a word, quoted or not, stands for; None for a null."""
    text = text.strip()
    if text[:1] in ("'", '"'):
        plain = _ESCAPE.sub(_unescaped, text[1:-1])
        return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if text in _NULLS:
        return None
    return as_text(float(text)) if _FLOAT.fullmatch(text) and not text.isdigit() else text


def _unescaped(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    return chr(int(code, 16)) if code else _ESCAPED.get(found[3], found[3])


def _read_own_flag(value: object) -> Any:
    """Return "yes" or "no" for a flag; None for an empty cell."""
    if not as_text(value):
        return None
    flag = _read_flag(value)
    return flag if flag is UNREADABLE else YES if flag else NO


def _read_flag(value: object) -> Any:
    """Return 1.0 or 0.0 for a flag such as ``yes``, ``0`` or ``False``; any number but 0 is 1.0."""
    text = unicodedata.normalize("NFC", as_text(value).lower())
    if text in FLAGS:
        return FLAGS[text]
    number = read_number(text, ".")
    return UNREADABLE if number is None else float(number != 0)
