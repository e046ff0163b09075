"""How well the values of a column fit a field, and the rule that reads them."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.errors import InputError
from carprice.listings.cells import UNREADABLE, Cells
from carprice.listings.mapping.content import CATEGORIES, Column
from carprice.listings.mapping.names import WHOLE, WORD, ColumnName
from carprice.listings.notation import Notation, plain_number
from carprice.listings.numbers import (
    FACTORS,
    FEWEST_OF_A_SIGN,
    MOST_IN_A_SCALE,
    Decimal,
    Quantity,
    are_apart,
    codes_of,
    is_beyond,
    per_dollar,
    plain,
    read_number,
    read_quantity,
    sign_in,
)
from carprice.listings.remedies import year_matches
from carprice.listings.values import EXCEL_DAYS, Prepared, prepared, read_column
from carprice.schema import (
    CAR_ID,
    NUMERIC,
    PRICE,
    FieldKind,
    kind_of,
    parse_ordinal,
    split_equipment,
)
from carprice.settings import ColumnRule, IngestSettings

USUAL: Final = {
    PRICE: (100.0, math.inf),
    "year": (1950.0, 2100.0),
    "odometer": (1000.0, 500_000.0),
    "engine_cc": (500.0, 9000.0),
    "power_bhp": (20.0, 900.0),
    "fuel_economy": (2.0, 99.0),
    "fitness_age": (1.0, 50.0),
    "ownership": (0.0, 9.0),
    "seats": (2.0, 20.0),
    "cylinders": (2.0, 16.0),
    "road_tax": (0.0, math.inf),
}
"""Least and most that the median of a field usually is."""
_YEARS: Final = (1930.0, 2035.0)
_MOST_LITRES: Final = 9.5
_TWO_PARTS: Final = re.compile(r"'?(\d\d)[-/.](\d\d)(?!\d)")
_MONTHS: Final = 12
_LAST_OF_TWO_DIGITS: Final = 40
_FEW_TEN_THOUSANDS: Final = 30
_MOST_KM_PER_LITRE: Final = 35.0
_BETTER: Final = 0.02
_LEAST_READ: Final = 0.5
_WELL_READ: Final = 0.95
_LEAST_EVIDENCE: Final = 0.05
_OTHER_CALENDARS: Final = ((1300, 1450, 621, "Iran's"), (2480, 2600, -543, "Thailand's"))
_SCALE_OF_CURRENCY: Final = {"INR": 1e5, "CNY": 1e4, "JPY": 1e4, "KRW": 1e4}
_CHEAPEST: Final = 20.0
"""A median price in US dollars that used cars hardly have."""
_MARKET_OF_SCALE: Final = {1e3: "EUR", 1e5: "INR"}
_MATCHES: Final[Mapping[str, tuple[dict[str, Any], ...]]] = {
    "odometer": (
        {"match": r"([\d., ]+?)\s*mil\b", "multiply": 10},
        {"match": r"(\d[\d.,']*)\s*(?:km|KM|Km|км)\b(?!\s*/)"},
    ),
    "engine_cc": (
        {"match": r"(\d(?:[.,]\d)?)\s*-?[lL]\b", "unit": "l"},
        {"match": r"(\d[.,]\d)", "unit": "l"},
        {"match": r"(\d{3,4})\s*(?:cc|CC|ccm|cm3|cm³)", "unit": "cc"},
    ),
    "power_bhp": (
        {"match": r"(\d+(?:[.,]\d+)?)\s*(?:b?hp|B?HP|л\.?\s?с)\b"},
        {"match": r"(\d+)\s*(?:PS|ps|CV|cv|KM|ch|hk)\b", "unit": "PS"},
        {"match": r"(\d+)\s*(?:kW|KW|kw)\b", "unit": "kW"},
    ),
    "cylinders": ({"match": r"(\d+)\s*[cC]yl"},),
}
"""Rules that take a field's number out of a longer text, by field; tried in this order."""
_DATES: Final = (
    *(True, "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y年%m月%d日"),
    *("%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d-%m-%Y %H:%M"),
    *("%d.%m.%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p"),
    *(
        "%d.%m.%y",
        "%d/%m/%y",
        "%m/%d/%y",
        "%d-%b-%Y",
        "%d-%b-%y",
        "%b-%y",
        "%d. %m. %Y",
        EXCEL_DAYS,
    ),
)
_DATES_TRIED: Final = 400
_DIGITS: Final = re.compile(r"\d[\d.,' ]*")
_LISTS: Final = (",", ";", "|", " / ", "/", " + ", " • ", "、", " · ")
_FEW_KINDS: Final = 60
_FEW_WORDS: Final = 15
_VAGUE: Final = frozenset({"type", "typ", "tipo", "category", "segment", "gear", "gears", "engine"})
"""Names that say so little that the values have to say the rest."""


@dataclass(frozen=True)
class Fit:
    """A rule that reads a column as a field.

    Attributes
    ----------
    rule : keys of the rule beside ``from``.
    share : share of the rows that it reads.
    sign : the decimal sign that it needs; None if it needs none.
    is_sure : whether the values show that sign.
    doubts : what a person should look at.
    units, currencies : rows by the unit or the currency that their texts name.
    amounts : by currency, what is typically named in it.
    numbers : what each row is read as; NaN where it is not, empty for texts.
    guesses : how many guesses the rule hangs on.
    is_scaled : whether the name tells a scale, under which three digits after a sign are decimals.
    """

    rule: dict[str, Any]
    share: float = 1.0
    sign: Decimal | None = None
    is_sure: bool = True
    doubts: tuple[str, ...] = ()
    units: Counter[str] = field(default_factory=Counter)
    currencies: Counter[str] = field(default_factory=Counter)
    amounts: Mapping[str, float] = field(default_factory=dict)
    numbers: np.ndarray = field(default_factory=lambda: np.empty(0))
    guesses: int = 0
    is_scaled: bool = False

    @property
    def worth(self) -> float:
        """Its share, less for each guess."""
        return self.share - 0.4 * self.guesses


def fit(name: str, column: Column, level: int, currency: str = "") -> Fit | None:
    """Return how a column is read as a field; None if its values do not fit.

    Parameters
    ----------
    level : how surely the column's name names the field.
    currency : of the market, where it is known.
    """
    kind = kind_of(name)
    if kind in NUMERIC:
        return _number(name, column, currency)
    if kind is FieldKind.DATE:
        return _date(column, is_american=currency == "USD")
    if kind is FieldKind.EQUIPMENT:
        return _equipment(column) if level >= WHOLE else None
    return _text(name, column, level)


def _text(name: str, column: Column, level: int) -> Fit | None:
    if name in CATEGORIES:
        return _category(name, column, level)
    kinds = len(column.values)
    if name == CAR_ID:
        is_own = kinds > 1 and column.numeric < 1
        return Fit({}, doubts=("names a car, not a listing?",)) if is_own else None
    if name == "make":
        return _make(column)
    if name == "model":
        years = column.share(lambda text: text[:2] in ("19", "20") and len(text) == 4)
        return None if years > 0.9 else Fit({})
    if name == "variant":
        is_kind = level >= WHOLE and column.numeric < 0.9
    else:
        is_kind = column.numeric < 0.5 and not column.is_flag
        is_kind &= name in ("region", "color") or kinds <= _FEW_WORDS
        is_kind &= level >= (WORD if name == "color" else WHOLE)
    return Fit({}) if is_kind else None


def _make(column: Column) -> Fit | None:
    if column.titles > 0.5 or column.numeric > 0.5:
        return None
    is_doubted = column.makes < 0.2
    doubts = (f"are these makes? {_first(column)}",) if is_doubted else ()
    return Fit({}, 0.5 + column.makes / 2, doubts=doubts, guesses=len(doubts))


def _category(name: str, column: Column, level: int) -> Fit | None:
    """Fit a field whose values have a table of synonyms."""
    known, kinds = column.known(name), len(column.values)
    if known < 0.3 and any(column.known(other) > 0.5 for other in CATEGORIES if other != name):
        return None
    is_vague = column.name.plain in _VAGUE
    words = column.known_words(name) if known < 0.5 else ()
    if words and column.share(re.compile(pattern := _any_of(words)).search) > max(0.5, known):
        return Fit({"match": pattern}, 0.6, doubts=("other words in it are left out",))
    if known < 0.3 and (is_vague or level < WORD or kinds > _FEW_KINDS or column.numeric > 0.3):
        return None
    doubts = () if known >= 0.3 else (f"few of its values are known, such as {_first(column)}",)
    return Fit({}, known, doubts=doubts, guesses=len(doubts))


def _any_of(words: Sequence[str]) -> str:
    return rf"\b({'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})\b"


def _first(column: Column) -> str:
    return ", ".join(repr(text[:30]) for text, _ in column.texts[:2])


def _equipment(column: Column) -> Fit | None:
    if any(isinstance(value, tuple | list) for value, _ in column.values[:20]):
        return Fit({})
    shares = {sign: column.share(re.compile(re.escape(sign)).search) for sign in _LISTS}
    usual = column.share(lambda text: len(split_equipment(text) or ()) > 1)  # type: ignore[arg-type]
    if usual > 0.3:
        return Fit({})
    sign = max(shares, key=shares.__getitem__)
    return Fit({"split": sign}) if shares[sign] > 0.3 else None


def _date(column: Column, *, is_american: bool) -> Fit | None:
    few = pd.Series([value for value, _ in column.values[:_DATES_TRIED]], dtype=object)
    found: dict[bool | str, float] = {}
    for pattern in _DATES:
        rule = ColumnRule.model_validate({"from": "date", "date": pattern})
        try:
            cells = prepared("listed_on", few, rule)
            _, bad = read_column("listed_on", cells, rule, Notation(IngestSettings()), "")
        except InputError:
            continue
        if (share := 1.0 - float(bad.mean())) >= _WELL_READ:
            found[pattern] = share
            if pattern is True:
                break
    if not found:
        return None
    if True in found:
        return Fit({})
    first = next(iter(found))
    if not isinstance(first, str) or first == EXCEL_DAYS:
        return Fit({"date": first})
    month_first = first.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m")
    if month_first != first and month_first in found:
        pattern = month_first if is_american and "." not in first else first
        other = first if pattern == month_first else month_first
        doubts = (f"the month may come first: no value tells; else date: '{other}'",)
        if pattern == month_first:
            doubts = (f"the day may come first: no value tells; else date: '{other}'",)
        return Fit({"date": pattern}, doubts=doubts, guesses=1)
    return Fit({"date": first})


def _number(name: str, column: Column, currency: str) -> Fit | None:
    best: Fit | None = None
    matches = _MATCHES.get(name, ())
    if name == "year":
        texts = [text for text, _ in column.texts]
        matches = tuple({"match": one} for one in (*year_matches(texts), _two_digits(texts)))
    for changes in (*_thousands(name, column.name), {}, {"number": True}, *matches):
        rule = ColumnRule.model_validate({"from": "column", **changes})
        cells = prepared(name, column.raw, rule)
        for sign, is_sure in _signs(name, cells, rule):
            draft = _read(name, cells, rule, changes, sign)
            if draft is None or not _bring_home(name, column.name, draft, currency):
                continue
            told = column.name.told(name)
            is_scaled = not is_sure and told is not None and told.number > 1
            if is_scaled and told and _is_of_decimals(name, told, draft, currency, sign, cells):
                continue
            found = draft.fit(sign, is_sure=is_sure, is_scaled=is_scaled)
            if best is None or found.worth > best.worth + _BETTER:
                best = found
        if best is not None and best.worth >= _WELL_READ:
            break
    return best


def _two_digits(texts: Sequence[str]) -> str:
    """Return a match of years of two digits: what stands first if months stand last.

    Examples
    --------
    >>> _two_digits(["03/19", "07/20"])[-1], _two_digits(["19/03", "20/07"])[0]
    ('$', '^')
    """
    parts = [(int(found[1]), int(found[2])) for found in map(_TWO_PARTS.match, texts) if found]
    is_year_first = any(first > _MONTHS for first, _ in parts)
    if is_year_first and all(last <= _MONTHS for _, last in parts):
        return r"^'?(\d\d)(?=[-/.])"
    return r"[-/.' ](\d\d)$"


def _thousands(name: str, told_by: ColumnName) -> tuple[dict[str, Any], ...]:
    """Return the rule that reads ``88 mil`` and ``88 miles`` as thousands, where they are."""
    if name != "odometer" or not told_by.is_of_thousands:
        return ()
    return ({"match": r"(?i)(\d[\d.,]*)\s*mil(?:es)?\b", "multiply": 1000},)


def _is_of_decimals(
    name: str,
    told: Quantity,
    draft: "_Draft",
    currency: str,
    sign: Decimal | None,
    cells: Prepared,
) -> bool:
    """Whether digits that were taken for thousands are decimals, as the name tells a scale."""
    values = cells.values if isinstance(cells, Cells) else ()
    parted = {
        value for value in values if isinstance(value, str) and re.search(rf"\d[{sign}]\d", value)
    }
    if parted:  # three digits after the sign are read as decimals already
        return False
    known = [one for one in draft.currencies if one]
    market = next((code for one in known for code in sorted(codes_of(one))), "") or currency
    market = market or _MARKET_OF_SCALE.get(told.number, "")
    thousands = float(np.nanmedian(draft.numbers)) * told.number
    return is_beyond(name, thousands, market) and not is_beyond(name, thousands / 1000, market)


def _signs(name: str, cells: Prepared, rule: ColumnRule) -> list[tuple[Decimal | None, bool]]:
    """Return the decimal signs that texts may have, likelier first, and whether they show it."""
    rows: Counter[str] = Counter()
    example = ""
    if isinstance(cells, Cells):
        for value, count in zip(cells.values, cells.rows().tolist(), strict=True):
            if isinstance(value, str) and (sign := sign_in(value, inside=rule.number)):
                rows[sign] += count
                example = example or (value if sign == "?" else "")
    if not rows:
        return [(None, True)]
    shown: Decimal = "." if rows["."] >= rows[","] else ","
    if rows[shown] > _LEAST_EVIDENCE * rows["?"]:
        return [(shown, True)]
    parted: Decimal = "." if "," in example else ","  # the other sign then parts thousands
    both: list[tuple[Decimal | None, bool]] = [(parted, False), (shown, False)]
    if shown == parted:
        both[1] = ("," if parted == "." else "."), False
    return both[:1] if kind_of(name) is FieldKind.INTEGER else both


@dataclass
class _Draft:
    """Numbers of a column on the way to the unit of a field."""

    rule: dict[str, Any]
    numbers: np.ndarray
    share: float
    median: float
    largest: float
    units: Counter[str]
    currencies: Counter[str]
    amounts: Mapping[str, float]
    doubts: list[str] = field(default_factory=list)
    guesses: int = 0

    def multiply(self, factor: float) -> None:
        self.rule["multiply"] = self.rule.get("multiply", 1) * factor
        self.median *= factor

    def fit(self, sign: Decimal | None, *, is_sure: bool, is_scaled: bool = False) -> Fit:
        if "multiply" in self.rule and float(self.rule["multiply"]).is_integer():
            self.rule["multiply"] = int(self.rule["multiply"])
        return Fit(
            rule=self.rule,
            share=self.share,
            sign=sign,
            is_sure=is_sure,
            doubts=tuple(self.doubts),
            units=self.units,
            currencies=self.currencies,
            amounts=self.amounts,
            numbers=self.numbers,
            guesses=self.guesses,
            is_scaled=is_scaled,
        )


def _read(
    name: str, cells: Prepared, rule: ColumnRule, changes: dict[str, Any], sign: Decimal | None
) -> _Draft | None:
    """Read a column by a rule; None if that fails in half of the rows."""
    units: Counter[str] = Counter()
    currencies: Counter[str] = Counter()
    amounts: dict[str, list[float]] = {}
    blank, largest = 0, 0.0
    if isinstance(cells, Cells):
        read: list[Any] = []
        for value, rows in zip(cells.values, cells.rows().tolist(), strict=True):
            one = _value(name, value, rule, sign or ".")
            blank += rows if isinstance(value, str) and not value.strip() else 0
            if isinstance(one, Quantity):
                units[one.unit] += rows
                currencies[one.currency] += rows
                amounts.setdefault(one.currency, []).append(one.number)
                largest = max(largest, _digits_in(value))
            read.append(one.number if isinstance(one, Quantity) else one)
        numbers, bad = cells.spread(read, np.nan)
        numbers = np.where(bad, np.nan, numbers)
    else:
        numbers = np.asarray(cells, dtype=np.float64)
    if kind_of(name) is FieldKind.INTEGER:
        numbers = np.where(numbers == np.round(numbers), numbers, np.nan)
    filled = len(numbers) - blank
    share = float(np.isfinite(numbers).sum()) / filled if filled else 0.0
    if share < _LEAST_READ:
        return None
    positive = numbers[numbers > 0]
    factor = rule.multiply or 1.0
    median = factor * float(np.median(positive)) if len(positive) else 0.0
    typical = {
        currency: float(np.median(found))
        for currency, found in amounts.items()
        if currencies[currency] >= FEWEST_OF_A_SIGN
    }
    return _Draft(dict(changes), numbers, share, median, largest, units, currencies, typical)


def _value(name: str, value: Any, rule: ColumnRule, sign: Decimal) -> Any:
    """Read one value as :class:`carprice.listings.notation.Notation` does."""
    if not isinstance(value, str):
        number = plain_number(value)
        return Quantity(number) if isinstance(number, float) else number
    if rule.number:
        found = read_quantity(value, name, sign)
    else:
        number = read_number(value, sign)
        found = None if number is None else Quantity(number)
    if found is None and name == "ownership":
        ordinal = parse_ordinal(value)
        found = Quantity(float(ordinal)) if isinstance(ordinal, int) else None
    return UNREADABLE if found is None else found


def _digits_in(value: object) -> float:
    """Return the largest that the first digits of a text can mean without a scale word."""
    digits = _DIGITS.search(plain(str(value)))
    return float(re.sub(r"\D", "", digits[0])) if digits else 0.0


def _bring_home(name: str, told_by: ColumnName, draft: _Draft, currency: str) -> bool:
    """Bring a draft's numbers to the field's unit; False if they cannot be the field's."""
    if name in (PRICE, "odometer") and are_years(draft.numbers):
        return False
    told = told_by.told(name)
    low, high = USUAL.get(name, (-math.inf, math.inf))
    if told:
        _by_name(name, told, draft)
    if name in (PRICE, "odometer") and told_by.is_of_thousands:
        if told and told_by.has_miles:
            is_so = "multiply" in draft.rule
            meant = "thousands" if is_so else "no thousands, as the numbers are whole"
            draft.doubts.append(f"'mil' and 'miles' in the name: {meant}")
            draft.units = draft.units if name == PRICE else Counter({"km": len(draft.numbers)})
        elif "multiply" in draft.rule and "match" in draft.rule:
            draft.doubts.append("'mil' and 'miles' were taken for thousands")
    if name == "year":
        return _year(draft)
    if name == "engine_cc" and "unit" not in draft.rule and draft.median <= _MOST_LITRES:
        if not draft.units["l"]:
            draft.rule["unit"] = "l"
        draft.median *= 1000
    elif draft.rule.get("unit") in FACTORS.get(name, {}):
        draft.median *= FACTORS[name][draft.rule["unit"]]
    if name == "odometer":
        _distance(told_by, told, draft)
    if name == PRICE:
        low = _price(draft, low, currency)
    if name == "fuel_economy" and told_by.level("odometer")[0] >= WHOLE:
        high = _MOST_KM_PER_LITRE
    return low <= draft.median <= high


def are_years(numbers: np.ndarray) -> bool:
    """Whether numbers look like the years of cars."""
    known = numbers[np.isfinite(numbers)]
    within = (known >= _YEARS[0]) & (known <= _YEARS[1])
    return bool(len(known) and within.mean() >= _WELL_READ and len(np.unique(known)) > 2)


def _by_name(name: str, told: Quantity, draft: _Draft) -> None:
    """Take the scale, the unit and the currency that the column's name tells."""
    if not draft.units.keys() - {""} and told.unit:
        draft.units = Counter({told.unit: len(draft.numbers)})
        if name in ("engine_cc", "power_bhp") and FACTORS[name][told.unit] != 1:
            draft.rule["unit"] = told.unit
    if not draft.currencies.keys() - {""} and told.currency:
        draft.currencies = Counter({told.currency: len(draft.numbers)})
    if told.number < 1:
        draft.doubts.append("the name tells hundredths, such as cents")
        if draft.median * told.number >= USUAL[PRICE][0]:
            draft.multiply(told.number)
        return
    has_scale_words = draft.median > 10 * draft.largest > 0
    is_whole = draft.median > MOST_IN_A_SCALE.get(name, math.inf)
    if told.number != 1 and not has_scale_words and not is_whole:
        draft.multiply(told.number)


def _year(draft: _Draft) -> bool:
    if 0 < draft.median < 100 and np.nanmax(draft.numbers) < 100:
        is_late = bool(np.nanmin(draft.numbers) > _LAST_OF_TWO_DIGITS)
        draft.rule["add"] = 1900 if is_late else 2000
        draft.doubts.append(
            "years of two digits were taken to be before 2000; else add: 1911 for Taiwan's calendar"
            if is_late
            else "years of two digits were taken to be after 2000"
        )
        draft.guesses += 1
        return is_late or bool(np.nanmax(draft.numbers) <= _LAST_OF_TWO_DIGITS)
    for first, last, years, calendar in _OTHER_CALENDARS:
        if first <= draft.median <= last:
            draft.rule["add"] = years
            draft.numbers = draft.numbers + years
            draft.doubts.append(f"years of {calendar} calendar")
            return True
    return USUAL["year"][0] <= draft.median <= USUAL["year"][1]


def _distance(told_by: ColumnName, told: Quantity | None, draft: _Draft) -> None:
    if "multiply" in draft.rule:
        draft.units = draft.units if told else Counter({"km": len(draft.numbers)})
    elif told is None and told_by.is_of_tens:
        draft.units = Counter({"km": len(draft.numbers)})
        draft.multiply(10)
    elif 1 <= draft.median < USUAL["odometer"][0]:
        scale = 1e4 if draft.median < _FEW_TEN_THOUSANDS else 1e3
        draft.doubts.append(f"the median is {draft.median:.4g}: in what? 1000, 10000 for 万")
        draft.multiply(scale)
        draft.guesses += 1


def _price(draft: _Draft, low: float, currency: str) -> float:
    """Scale prices that are too low for cars; return the least that their median may be."""
    if currency in _SCALE_OF_CURRENCY:
        low = max(low, _CHEAPEST * per_dollar(currency))
    if 0 < draft.median < low and "multiply" not in draft.rule:
        draft.doubts.append(
            f"the median is {draft.median:.4g}: in what? 1000, 10000 for 万, 100000 for lakh"
        )
        draft.multiply(_SCALE_OF_CURRENCY.get(currency, 1e3))
        draft.guesses += 1
    return low


def mixed_currencies(found: Fit) -> tuple[str, ...]:
    """Return the currencies that a column's texts name, if they are several, the usual one first.

    Signs that may stand for one currency, such as € and EUR, count as one.
    """
    several: list[str] = []
    for name, _ in found.currencies.most_common():
        if name and all(are_apart(name, one, found.amounts) for one in several):
            several.append(name)
    return tuple(several) if len(several) > 1 else ()
