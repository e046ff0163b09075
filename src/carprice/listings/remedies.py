"""Find the rule that reads what a column's own rule does not, by trying it on the values."""

import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml

from carprice.errors import InputError
from carprice.listings.cells import Cells
from carprice.listings.notation import LARGE, Notation
from carprice.listings.numbers import PRICED, sign_in
from carprice.listings.unreadable import Unreadable
from carprice.listings.values import EXCEL_DAYS, date_formats, prepared, read_column
from carprice.schema import NUMERIC, PRICE, REQUIRED_OF_A_ROW, FieldKind, alias, kind_of, names_of
from carprice.settings import ColumnRule, IngestSettings

_DATES: Final = (
    True,
    EXCEL_DAYS,
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%Y/%m/%d",
    "%m/%Y",
    "%m.%Y",
    "%m-%Y",
    "%Y-%m",
    "%b %Y",
    "%Y",
)
_YEAR: Final = r"((?:19|20)\d\d)"
_YEAR_ALONE: Final = rf"(?<!\d){_YEAR}(?!\d)"
_YEAR_FIRST: Final = (
    rf"(?<!\d){_YEAR}(?=(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])?(?:\d{{6}})?)?(?!\d))"
)
"""A year by itself, or before its month, day and time: 2009, 200907, 20090719, 20090719120000."""
_YEAR_LAST: Final = rf"(?<!\d)(?:\d{{3,4}}|[01]?\d){_YEAR}(?!\d)"
"""A year after its day and month: 19072009, 9072009, 072009."""
TAKEN_AS_MISSING: Final = "to take such values as missing"


_UNITS: Final[Mapping[str, tuple[tuple[str, dict[str, Any]], ...]]] = {
    PRICE: ((r"^(.*?)(?:(?: [/|] | ?[≈·•] ?)\D{0,4}\d.*)?$", {"number": True}),),
    "year": ((r"(?<!\d)(\d\d)\s?(?:년|年)", {"add": 2000}),),
    "odometer": (
        (r"(?i)(\d[\d.,' ]*) ?km\b", {}),
        (r"(?i)(\d[\d.,' ]*) ?mi(?:les?)?\b", {"unit": "miles"}),
    ),
    "engine_cc": (
        (r"(?i)(\d[\d.,]*) ?(?:cc|ccm|cm3|cm³)", {}),
        (r"(\d[.,]\d)", {"unit": "l"}),
    ),
    "power_bhp": (
        (r"(?i)(\d+) ?kW", {"unit": "kW"}),
        (r"(?i)(\d+) ?(?:PS|CV|KM|л)", {"unit": "PS"}),
        (r"(?i)(\d[\d.,]*) ?(?:bhp|hp)", {}),
    ),
    "seats": ((r"(\d+)", {}),),
    "cylinders": ((r"(\d+)", {}),),
}
"""Where the number stands in a text that tells more than it, by field, and what else to say."""
_MIL: Final = re.compile(r"\d ?mil\b", re.IGNORECASE)
_RANGE: Final = re.compile(r"\d ?[-~\u2013\u2014] ?\d")
_LEAST_READ: Final = 0.3
"""A rule that reads less of the values is no remedy."""
_MOST_MARKS: Final = 8
"""So many words are written down as missing; more are no marks, but a wrong rule."""


def rule_of(field: str, names: Sequence[str], settings: IngestSettings) -> ColumnRule:
    """Return the rule of a field, also where its columns were found by their names."""
    key = "from" if set(names[:1]) <= {*names_of(field)} else "flags"
    found = {key: names[0] if key == "from" else names} if names else {"constant": ""}
    return settings.columns.get(field) or ColumnRule.model_validate(found)


def told_unreadable(
    field: str,
    names: Sequence[str],
    found: Unreadable,
    rows: int,
    settings: IngestSettings,
    become: str = TAKEN_AS_MISSING,
) -> str:
    """Return that many values of a field cannot be read, and what to do.

    Parameters
    ----------
    names : the columns that the field was read from.
    rows : number of rows of the source.
    become : what ``max_unreadable`` is set for; empty if it does not help.
    """
    share, rule = found.count / rows, rule_of(field, names, settings)
    told = remedy(field, rule, found.others, found.readable, share, settings, become)
    return (
        f"{alias(field)} is {found.value!r} in row {found.row}, and cannot be read in "
        f"{100 * share:.0f} % of the rows; {told}"
    )


def remedy(
    field: str,
    rule: ColumnRule,
    values: Sequence[str],
    readable: Sequence[str],
    share: float,
    settings: IngestSettings,
    become: str = TAKEN_AS_MISSING,
) -> str:
    """Return what to write into params.yaml so that values are read; in words, if nothing helps.

    Parameters
    ----------
    rule : the rule that does not read them.
    values, readable : distinct values that cannot, and that can be read.
    share : of the rows whose value cannot be read.
    become : what ``max_unreadable`` is set for; empty if it does not help.
    """
    best, most_read = None, _LEAST_READ

    def mends(changes: Mapping[str, Any]) -> bool:
        nonlocal best, most_read
        changed = rule.model_copy(update=changes)
        read = _are_read(field, changed, [*values, *readable], settings)
        mended, is_kept = float(read[: len(values)].mean()), bool(read[len(values) :].all())
        if is_kept and mended > most_read:
            best, most_read = changed, mended
        are_mended = 1 - mended <= settings.max_unreadable
        return (are_mended or "values" in changes) and is_kept

    for changes in _candidates(field, rule, values, readable, share):
        if mends(changes):
            told = f"write {written(field, rule.model_copy(update=changes))}"
            other = {"date": _swapped(changes.get("date"))}
            if other["date"] and mends(other):
                told += f", or date: {other['date']!r} if the month comes first"
            return told
    if best is not None and kind_of(field) in NUMERIC:
        return f"write {written(field, best)}, which reads most of them"
    return _in_words(field, rule, values, readable, share, settings, become)


def _swapped(pattern: object) -> str:
    """Return a format that starts with the day as one that starts with the month."""
    found = re.fullmatch("%d(.)%m(.*)", str(pattern))
    return f"%m{found[1]}%d{found[2]}" if found else ""


def _of_two_formats(
    values: Sequence[str], readable: Sequence[str], settings: IngestSettings
) -> str:
    """Return an example of each, if values are dates of another format than the readable."""
    formats = {*_DATES, *itertools.chain(*map(date_formats, values))}
    rules = [ColumnRule.model_validate({"from": "x", "date": one}) for one in formats]
    are_dates = [_are_read("listed_on", rule, values, settings) for rule in rules]
    dates = [value for value, *read in zip(values, *are_dates, strict=True) if any(read)]
    both = [*dates[:1], *readable[:1]] if readable else dates[:2]
    return " and ".join(map(repr, both)) if len(both) == 2 else ""


def _in_words(
    field: str,
    rule: ColumnRule,
    values: Sequence[str],
    readable: Sequence[str],
    share: float,
    settings: IngestSettings,
    become: str,
) -> str:
    """Return what to do where no change of the rule reads the values."""
    told = f"give ingest.columns.{alias(field)} another column or rule"
    most = math.ceil(100 * share) / 100
    allowed = f", or set ingest.max_unreadable: {most:g} {become}" if become else ""
    if kind_of(field) is FieldKind.DATE and not readable:
        told = (
            f"give ingest.columns.{alias(field)} the format of its dates, such as "
            f"date: '%d.%m.%Y', or another column, or write '{alias(field)}: null'"
        )
    if kind_of(field) is FieldKind.EQUIPMENT:
        words = ", ".join(map(repr, values[:_MOST_MARKS]))
        return (
            f"say what {words} mean in values of ingest.columns.{alias(field)}: 'yes', 'no' or "
            f"null for each{_of_flags(field, rule)}"
        )
    if kind_of(field) is FieldKind.DATE:
        both = _of_two_formats(values, readable, settings)
        in_one_way = (
            f"it has dates such as {both}: write all of them in one way, such as 2024-05-31"
        )
        return in_one_way if both else told + allowed if readable else told
    if all(map(_MIL.search, values)):
        meant = (10, "Swedish mil, or multiply: 1000 for thousands")
        if field in PRICED:
            meant = (1000, "thousands, or multiply: 1000000 for millions")
        told = written(field, rule, match=r"(?i)(\d[\d., ]*)mil", multiply=meant[0])
        return f"say what mil is: {told} for {meant[1]}"
    if signs := _two_signs(values, readable):
        return f"it has numbers such as {signs}: write all of them in one way"
    if share < 1:
        return told + allowed
    return told + ("" if _is_needed(field) else f", or write '{alias(field)}: null'")


def _of_flags(field: str, rule: ColumnRule) -> str:
    """Return where the values of 0/1 columns go that were found by their names."""
    if rule.flags is None:
        return ""
    flags = flow({"flags": [*rule.flags], "values": {}}).replace("{}", "{...}")
    return f", in {alias(field)}: {flags}"


def year_matches(texts: Collection[str]) -> tuple[str, ...]:
    r"""Return each ``match`` that may take the year out of texts and splits no number by chance.

    Examples
    --------
    >>> year_matches(["07/2009", "20090719"])
    ('((?:19|20)\\d\\d)',)
    >>> [bool(re.search(one, "19072009")) for one in year_matches(["19072009"])]
    [False, False, True]
    """
    safe = re.compile(_YEAR_FIRST)
    for text in texts:
        found, meant = re.search(_YEAR, text), safe.search(text)
        if found and (meant is None or meant.start() != found.start()):
            return (_YEAR_ALONE, _YEAR_FIRST, _YEAR_LAST)
    return (_YEAR,)


def splits_a_date(match: str, text: str) -> bool:
    r"""Whether a ``match`` takes other digits of a date for its year.

    Examples
    --------
    >>> [splits_a_date(match, "19072009") for match in (r"((?:19|20)\d\d)", r"(\d{4})$")]
    [True, False]
    """
    found = re.search(match, text)
    if not found or found[1] is None or not re.fullmatch(_YEAR, found[1]):
        return False
    years = [re.finditer(one, text) for one in (_YEAR_FIRST, _YEAR_LAST)]
    starts = {year.start(1) for several in years for year in several}
    return bool(starts) and found.start(1) not in starts


def written(field: str, rule: ColumnRule | None, **changes: object) -> str:
    """Return a field's rule with changes as it is written in params.yaml."""
    content = {"from": "..."} if rule is None else _content(rule)
    return f"{alias(field)}: {flow({**content, **changes})} in ingest.columns"


def _is_needed(field: str) -> bool:
    """Whether a file cannot do without a field."""
    return field == PRICE or field in REQUIRED_OF_A_ROW


def _are_read(
    field: str, rule: ColumnRule, values: Sequence[str], settings: IngestSettings
) -> np.ndarray:
    """Return which values a rule reads."""
    if kind_of(field) in NUMERIC and rule.multiply is None:  # what the column's name tells is next
        rule = rule.model_copy(update={"multiply": 1.0})
    try:
        cells = prepared(field, pd.Series([*values], dtype=object), rule)
        notation = Notation(settings)
        if kind_of(field) in NUMERIC and isinstance(cells, Cells):
            notation.settle({field: (cells, rule)}, "")
        read, bad = read_column(field, cells, rule, notation, "")
    except InputError:
        return np.zeros(len(values), dtype=bool)
    return np.asarray(~bad & ~pd.isna(read))


def _two_signs(values: Sequence[str], readable: Sequence[str]) -> str:
    """Return an example of each, if values have another sign before decimals than the readable."""
    here, there = ({_sign(value): value for value in some} for some in (values, readable))
    here.pop("", None)
    other = {".": ",", ",": "."}.get(next(iter(here), ""), "")
    return (
        f"{here.popitem()[1]!r} and {there[other]!r}" if len(here) == 1 and other in there else ""
    )


def _sign(value: str) -> str:
    sign = sign_in(value, inside=True)
    if sign == "?":
        return "." if "," in value else ","
    return sign or ""


def _candidates(
    field: str, rule: ColumnRule, values: Sequence[str], readable: Sequence[str], share: float
) -> Iterator[dict[str, Any]]:
    """Yield changes of the rule, the smallest change first."""
    kind = kind_of(field)
    if kind is FieldKind.DATE:
        own = itertools.chain(*map(date_formats, values))
        yield from ({"date": pattern} for pattern in dict.fromkeys([*_DATES, *own]))
    if field == "year":
        yield from ({"match": match} for match in year_matches([*values, *readable]))
    if kind in NUMERIC:
        signs = _likelier_first(field, rule, values)
        yield from ({"decimal": sign} for sign in signs if sign != rule.decimal)
        yield {"number": True}
        yield from ({"number": True, "decimal": sign} for sign in signs)
        has_ranges = any(map(_RANGE.search, values))  # of which a match takes one end
        for pattern, more in _UNITS.get(field, ()) if not has_ranges else ():
            yield {"match": pattern, "number": False, **more}
    if share < 1 and kind in {*NUMERIC, FieldKind.DATE}:
        is_marked = not any(one.isdigit() for value in values for one in value)
        if share < 1 and is_marked and 0 < len(values) <= _MOST_MARKS:
            yield {"values": {**(rule.values or {}), **dict.fromkeys(values)}}


def _likelier_first(field: str, rule: ColumnRule, values: Sequence[str]) -> tuple[str, str]:
    """Return the decimal signs: of ``18.900``, a price or an odometer, the comma first."""
    is_large = field in LARGE and rule.multiply is None and rule.unit != "l"
    either = (
        re.search(r"\d([.,])\d{3}", one) for one in values if sign_in(one, inside=True) == "?"
    )
    first = next((found[1] for found in either if found), "")
    return (",", ".") if first == ("." if is_large else ",") else (".", ",")


def _content(rule: ColumnRule) -> dict[str, Any]:
    content = rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in content.items()
    }


def flow(content: Mapping[str, Any]) -> str:
    """Return a mapping as YAML on one line."""
    options: dict[str, Any] = {"allow_unicode": True, "sort_keys": False, "width": 10**6}
    return str(yaml.safe_dump(dict(content), default_flow_style=True, **options)).strip()
