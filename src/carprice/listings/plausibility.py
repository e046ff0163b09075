"""Doubt a whole source: figures that no market has stop the run, odd ones are noted."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.errors import InputError
from carprice.listings.cleaning import default_price_range
from carprice.listings.market import odometer_limits
from carprice.listings.numbers import DEAR, per_dollar
from carprice.listings.remedies import flow, written, year_matches
from carprice.listings.spelling import in_one_script, normalise, scripts_of
from carprice.listings.synonyms import folded
from carprice.schema import KINDS, NUMERIC, PRICE, alias, bounds
from carprice.settings import ColumnRule, IngestSettings

_CHEAPEST_MARKET: Final = 100.0
_CHEAPEST, _CHEAP = 20.0, 300.0
"""Median prices in US dollars: below the first are no cars, below the second hardly."""
_LEAST_DRIVEN: Final = 1000.0
_LEAST_POWER: Final = 25.0
_SMALLEST_ENGINE: Final = 20.0
_MOST_TOO_DEAR: Final = 3
_SHARE_TOO_DEAR: Final = 0.001
_SHARE_TOO_CHEAP: Final = 0.15
_SHARE_OUTSIDE: Final = 0.5
_SHARE_OF_YEARS: Final = 0.9
_FEWEST_ALIKE: Final = 20
_NEARLY_ALL: Final = 0.95
_LEAST_NEW, _MOST_NEW = 0.1, 1000.0
"""What cars cost when new, as factors of their prices; the median of a file is between these."""
_LITTLE_DRIVEN, _MUCH_LITTLE_DRIVEN = 0.05, 0.15
"""Shares of the older half of the cars below 1,000 that are doubted, and that stop the run."""
_CALENDARS: Final = ((90, 130, 1911), (1300, 1450, 621), (2400, 2700, -543))
"""Median years of the calendars of Taiwan, Iran and Thailand, and what makes them those of others.
"""
_EXCEL_DAYS: Final = (20_000, 60_200)
_LAST_OF_THIS_CENTURY: Final = 40
"""Years of two digits above this are of the last century."""
_SHARE_OF_A_CENTURY: Final = 0.01
_EPOCHS: Final[Mapping[str, float]] = {
    "seconds": 1,
    "milliseconds": 1e3,
    "microseconds": 1e6,
    "nanoseconds": 1e9,
}
_MOST_NAMES: Final = 8
_BETWEEN_DIGITS: Final = re.compile(r"(?<=\d)[\s._\-\u2010-\u2014]+(?=\d)")
_QUOTES: Final = re.compile("['`´’‘]")
_EPOCH: Final = (3e8, 4e9)
"""Seconds from 1970 to the years 1979 and 2096."""


def refuse_implausible(
    frame: pd.DataFrame, settings: IngestSettings, label: str, rules: Mapping[str, ColumnRule]
) -> None:
    """Raise an InputError if the figures of a source are those of no market of used cars.

    Parameters
    ----------
    frame : mapped rows, before any is rejected.
    rules : the rule by which each field was read.
    """
    if doubt := next(_refusals(frame, settings, rules), None):
        raise InputError(f"{label}: {doubt}")


def doubts(
    frame: pd.DataFrame, settings: IngestSettings, rules: Mapping[str, ColumnRule]
) -> tuple[str, ...]:
    """Return what is odd about the figures of a source, though it may be right."""
    return tuple(_doubts(frame, settings, rules))


def _refusals(
    frame: pd.DataFrame, settings: IngestSettings, rules: Mapping[str, ColumnRule]
) -> Iterator[str]:
    def write(name: str, **changes: object) -> str:
        return written(name, rules.get(name), **changes)

    yield from _refusals_of_years(frame["year"], rules.get("year"))
    yield from _refusals_of_prices(frame[PRICE], settings, rules)
    both = frame[(frame["new_price"] > 0) & (frame[PRICE] > 0)]
    times = (both["new_price"] / both[PRICE]).median()
    if times < _LEAST_NEW or times > _MOST_NEW:
        row = both.iloc[0]
        yield (
            f"newPrice is {row['new_price']:.10g} where price is {row[PRICE]:.10g}, and the like; "
            f"bring them to one: write {write('new_price', multiply=1000)} (100000 if it is lakh, "
            "10000 if it is 万), map another column, or write 'newPrice: null' in ingest.columns"
        )
    year, odometer, engine = (frame[name] for name in ("year", "odometer", "engine_cc"))
    distance = settings.units.distance
    driven = odometer[odometer > 0].median()
    is_old = year.max() - year.median() >= 2
    if is_old and driven < _LEAST_DRIVEN:
        first = _other_sign("odometer", settings, rules)
        last = "" if first else ", or give the sign before its decimals: decimal: '.' or ','"
        yield (
            f"the median odometer is {driven:.6g} {distance}; {first}if it counts thousands, write "
            f"{write('odometer', multiply=1000)}{last}"
        )
    elif little := _little_driven(year, odometer, _MUCH_LITTLE_DRIVEN):
        yield (
            f"{little}, as if some were in thousands; bring them to one, or leave these out: write "
            + write("odometer", match=r"(\d[\d.,']{3,}.*)")
        )
    if _are_years(odometer):
        yield f"odometer is {odometer.iloc[0]:.10g} and the like, as years are; map another column"
    far = odometer[odometer > odometer_limits(distance)[1]]
    if len(far) > _SHARE_OUTSIDE * odometer.notna().sum():
        yield (
            f"odometer is {far.iloc[0]:.10g} {distance} and the like in {len(far):,} of "
            f"{odometer.notna().sum():,} rows, more than cars drive; if it counts metres, write "
            f"{write('odometer', multiply=0.001)}, or map another column"
        )
    small, large = (engine > 0) & (engine < _SMALLEST_ENGINE), engine >= _SMALLEST_ENGINE
    if small.sum() > large.sum():
        yield (
            f"the median engineCc is {engine[engine > 0].median():.6g}; "
            f"{_other_sign('engine_cc', settings, rules)}engines in litres are read "
            f"by unit: l, write {write('engine_cc', unit='l')}"
        )
    elif small.sum() > settings.max_unreadable * large.sum():
        yield (
            f"engineCc is {engine[small].iloc[0]:.6g} in {small.sum():,} rows and "
            f"{engine[large].iloc[0]:.6g} and the like in {large.sum():,}: litres beside cubic "
            "centimetres; bring them to one, or leave litres out: write "
            + write("engine_cc", match=r"(\d{3,}.*)")
        )
    for name in (name for name, kind in KINDS.items() if kind in NUMERIC and name != "year"):
        low, high = bounds(name)
        present = frame[name].dropna()
        outside = present[(present < low) | (present > high)]
        if len(outside) > _SHARE_OUTSIDE * len(present):
            yield (
                f"{alias(name)} is {outside.iloc[0]:.10g} and the like, outside of {low:g} to "
                f"{high:g}, in {len(outside):,} of {len(present):,} rows; map another column, or "
                f"'{alias(name)}: null' in ingest.columns"
            )


def _other_sign(name: str, settings: IngestSettings, rules: Mapping[str, ColumnRule]) -> str:
    """Return what to write if the decimal sign that is set is the wrong one; empty if none is."""
    rule = rules.get(name)
    given = (rule.decimal if rule else None) or settings.decimal
    if not given:
        return ""
    other = "." if given == "," else ","
    return f"if {given!r} parts thousands in it, write {written(name, rule, decimal=other)}; "


def _refusals_of_years(year: pd.Series, rule: ColumnRule | None) -> Iterator[str]:
    known = year.dropna()
    if known.empty:
        return
    median = float(known.median())
    told = f"the median year is {median:.0f}"
    if median < 100 and not known.between(100, _CALENDARS[0][1]).any():
        yield _of_two_digits(told, known, rule)
    for first, last, add in _CALENDARS:
        if first <= median <= last:
            yield f"{told}, of another calendar; write {written('year', rule, add=add)}"
    if _EXCEL_DAYS[0] <= median < _EXCEL_DAYS[1]:
        yield f"{told}, as Excel counts days; write the years themselves into the file (=YEAR(A2))"
    low, high = bounds("year")
    if median > high:
        texts = [f"{one:.0f}" for one in known.unique()]
        for match in year_matches(texts):
            if np.mean([bool(re.search(match, text)) for text in texts]) > _SHARE_OF_YEARS:
                yield (
                    f"{told}; a year inside a date is read by a match: write "
                    f"{written('year', rule, match=match)}; or map another column"
                )
        for unit, per_second in _EPOCHS.items():
            if known.between(*(per_second * one for one in _EPOCH)).mean() > _SHARE_OF_YEARS:
                day = pd.Timestamp(median / per_second, unit="s").date()
                yield (
                    f"{told}, as computers count {unit} since 1970 (it is {day}); no rule makes "
                    "years of these: write the years themselves into the file"
                )
    if not low <= median <= high:
        yield f"{told}, outside of {low:g} to {high:g}; map another column"


def _of_two_digits(told: str, known: pd.Series, rule: ColumnRule | None) -> str:
    """Return what to write for years of two digits, or for ages."""
    short, long = known[known < 100], known[known >= 100]
    early, late = short[short <= _LAST_OF_THIS_CENTURY], short[short > _LAST_OF_THIS_CENTURY]
    fewest = _SHARE_OF_A_CENTURY * len(known)
    age = written("year", rule, multiply=-1, add="<the year of the listings>")
    if len(late) > fewest and len(early) > fewest:
        return (
            f"{told}; years of two digits are of two centuries, such as {late.iloc[0]:02.0f} and "
            f"{early.iloc[0]:02.0f}: write them with four digits into the file, no rule tells them "
            f"apart; if they are the ages of cars, {age}"
        )
    if len(long) > fewest:
        return (
            f"{told}; years are of two digits and of more, such as {short.iloc[0]:02.0f} and "
            f"{long.iloc[0]:.0f}: write all with four digits into the file"
        )
    if len(late) > fewest:
        return (
            f"{told}; if these are years of the last century, write "
            f"{written('year', rule, add=1900)}; if they are of the calendar of Taiwan, "
            f"{written('year', rule, add=1911)}"
        )
    return (
        f"{told}; if these are years of this century, write "
        f"{written('year', rule, add=2000)}; if they are the ages of cars, {age}"
    )


def _refusals_of_prices(
    price: pd.Series, settings: IngestSettings, rules: Mapping[str, ColumnRule]
) -> Iterator[str]:
    rule = rules.get(PRICE)
    if settings.price_range is not None or price.isna().all():
        return
    currency, median = settings.units.currency, price[price > 0].median()
    if not (price > 0).any():
        yield f"no price is above 0, the first is {price.dropna().iloc[0]:.6g}; map another column"
    dear = price[price > default_price_range(price)[1]]
    if len(dear) > max(_MOST_TOO_DEAR, _SHARE_TOO_DEAR * len(price)):
        yield (
            f"{len(dear):,} prices are above 1000 times the median, {median:.6g} {currency}, "
            f"such as {dear.iloc[0]:.10g}; are prices in two units, such as rupees beside "
            "lakh? Bring them to one, or set ingest.price_range to leave others out"
        )
    cheap = price[(price > 0) & (price < default_price_range(price)[0])]
    if len(cheap) > _SHARE_TOO_CHEAP * (price > 0).sum():
        yield (
            f"{len(cheap):,} prices are below a hundredth of the median, {median:.6g} {currency}, "
            f"such as {cheap.iloc[0]:.10g}; are prices in two units, such as lakh beside rupees? "
            "Bring them to one, or set ingest.price_range to leave others out"
        )
    if median < max(_CHEAPEST_MARKET, _CHEAPEST * per_dollar(currency)):
        wholes = f"{written(PRICE, rule, multiply=1000)} (100000 if it is lakh, 10000 if it is 万)"
        first = _other_sign(PRICE, settings, rules)
        sign = "" if first else "give the sign before their decimals, decimal: '.' or ',', "
        yield (
            f"the median price is {median:.6g} {currency}; {first}if prices count thousands, write "
            f"{wholes}; else {sign}correct ingest.units.currency, or, if all that is right, set "
            "ingest.price_range"
        )
    if _are_years(price):
        yield f"price is {price.iloc[0]:.10g} and the like, as years are; map another column"
    alike = _most_alike(price)
    if alike and _SHARE_OUTSIDE * len(price) < alike[1] < len(price):
        yield (
            f"price is {alike[0]:.10g} in {alike[1]:,} of {len(price):,} rows; map another column, "
            f"or say that it is none: write {written(PRICE, rule, values={_whole(alike[0]): None})}"
        )


def _doubts(
    frame: pd.DataFrame, settings: IngestSettings, rules: Mapping[str, ColumnRule]
) -> Iterator[str]:
    price, year, odometer = (frame[name] for name in (PRICE, "year", "odometer"))
    currency, median = settings.units.currency, price[price > 0].median()
    rate = per_dollar(currency)
    if settings.price_range is None and rate:
        asked = "are prices whole, and is ingest.units.currency right?"
        if median < _CHEAP * rate:
            yield f"the median price is {median:,.6g} {currency}, little for used cars: {asked}"
        if median > DEAR * rate:
            rule = rules.get(PRICE)
            remedy = (
                "Cents are read by multiply: 0.01 in ingest.columns.price"
                if rule is None or rule.multiply is None
                else f"Without multiply: {rule.multiply:.10g} they are smaller, or by the other "
                "sign before decimals, decimal: '.' or ',' in ingest.columns.price"
            )
            yield (
                f"the median price is {median:,.6g} {currency}, much for used cars: {asked} "
                + remedy
            )
    if (power := frame["power_bhp"].median()) < _LEAST_POWER:
        yield f"the median powerBhp is {power:.6g}, little for cars: is it a class of taxes?"
    if little := _little_driven(year, odometer, _LITTLE_DRIVEN):
        yield f"{little}: are some in thousands?"
    for name in ("year", "odometer", "engine_cc", "power_bhp"):
        alike = _most_alike(frame[name])
        is_read = name in rules and rules[name].constant is None
        if alike and is_read and alike[1] > _NEARLY_ALL * len(frame):
            yield f"{alias(name)} is {alike[0]:.10g} in {alike[1]:,} of {len(frame):,} rows"
    for name in ("make", "model"):
        yield from _mixed_scripts(name, frame[name], rules.get(name))
    yield from _alike("make", frame[["make"]], rules.get("make"))
    yield from _alike("model", frame[["model", "make"]], rules.get("model"))


def _mixed_scripts(name: str, names: pd.Series, rule: ColumnRule | None) -> Iterator[str]:
    """Tell the names in which letters of two scripts look alike: to a model they are others."""
    rows = _counted(names.to_frame())
    plain = {text: one for (text,) in rows if (one := in_one_script(text)) != text}
    if plain:
        first, several = next(iter(plain)), f" and {len(plain) - 1} more" if len(plain) > 1 else ""
        known = (rule.values if rule else None) or {}
        values: dict[Any, Any] = {**known, **dict(list(plain.items())[:_MOST_NAMES])}
        yield (
            f"{alias(name)} {first!r}{several} mixes {' and '.join(scripts_of(first))} letters in "
            f"{sum(rows[text,] for text in plain):,} rows, a name of its own to the model; write "
            + written(name, rule, values=values)
        )


def _alike(name: str, names: pd.DataFrame, rule: ColumnRule | None) -> Iterator[str]:
    """Tell the names that differ by accents, dots, hyphens or spaces alone: B.M.W. beside BMW.

    Parameters
    ----------
    names : the names, and those whose names they are, if they are any's.
    """
    rows = _counted(names)
    spelled: dict[tuple[str, ...], dict[str, tuple[str, int]]] = {}
    for (text, *of), count in rows.items():
        spellings = spelled.setdefault((*map(folded, of), _key_of(text)), {})
        shown, before = spellings.get(normalise(text), (text, 0))
        spellings[normalise(text)] = (shown, before + count)
    known = (rule.values if rule else None) or {}
    several = [
        sorted(found.values(), key=lambda one: -one[1])
        for found in spelled.values()
        if len(found) > 1
    ]
    if not several:
        return
    (first, first_rows), (other, other_rows), *_ = several[0]
    values = {one: usual for (usual, _), *others in several for one, _ in others}
    more = f", and {len(values) - 1} more such names" if len(values) > 1 else ""
    told: dict[Any, Any] = {**known, **dict(list(values.items())[:_MOST_NAMES])}
    remedy = written(name, rule, values=told)
    if rule and rule.phrases:
        remedy = f"values: {flow(told)} in ingest.columns.{alias(name)}"
    yield (
        f"{alias(name)} is {first!r} in {first_rows:,} rows and {other!r} in {other_rows:,}{more}, "
        f"which are other names to the model; if they are one, write {remedy}"
    )


def _counted(names: pd.DataFrame) -> dict[tuple[str, ...], int]:
    """Return in how many rows names stand together, the commonest first."""
    rows = names.groupby([*names], sort=False, observed=True).size()
    rows = rows.sort_values(ascending=False, kind="stable")
    different = rows.index.to_frame().astype(str).itertuples(index=False, name=None)
    return dict(zip(different, rows.tolist(), strict=True))


def _key_of(text: str) -> str:
    """Return what spellings of a name have in common; signs between digits stay: 9-3 is no 93."""
    return folded(_QUOTES.sub("", _BETWEEN_DIGITS.sub("~", normalise(text)))) or text


def _little_driven(year: pd.Series, odometer: pd.Series, share: float) -> str:
    """Tell that more than a share of the older half of the cars have hardly been driven."""
    used = odometer[(year < year.median()) & (odometer > 0)]
    little = used[used < _LEAST_DRIVEN]
    if len(little) <= share * len(used):
        return ""
    return (
        f"odometer is {little.iloc[0]:.6g} and the like in {len(little):,} of the {len(used):,} "
        f"cars before {year.median():.0f}"
    )


def _are_years(values: pd.Series) -> bool:
    present = values.dropna()
    are_years = present.between(1950, 2100) & (present == present.round())
    return len(present) >= _FEWEST_ALIKE and bool(are_years.mean() > _SHARE_OF_YEARS)


def _most_alike(values: pd.Series) -> tuple[float, int] | None:
    """Return the most frequent of many values, and how often it stands there."""
    counts = values.value_counts()
    if counts.sum() < _FEWEST_ALIKE:
        return None
    return float(counts.index[0]), int(counts.iloc[0])


def _whole(number: float) -> float | int:
    return int(number) if number.is_integer() else number
