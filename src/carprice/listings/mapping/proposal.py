"""Choose the column of each field, and the rule that reads it: by names first, then by values.

Of the columns whose names fit a field, the one whose values fit best is taken. What no name tells
is looked for in the values: makes, fuels, years, distances, prices.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.listings.mapping.content import CATEGORIES, MAKES, Column
from carprice.listings.mapping.fits import Fit, are_years, fit, mixed_currencies
from carprice.listings.mapping.names import (
    WHOLE,
    WORD,
    ColumnName,
    currency_of_language,
    field_levels,
    names,
    words,
)
from carprice.listings.mapping.titles import make_of_files, split_title
from carprice.listings.numbers import FACTORS, codes_of, sign_in
from carprice.listings.synonyms import folded
from carprice.schema import FIELDS, PRICE, REFERENCE_EQUIPMENT, REQUIRED, names_of

_MOST_READ: Final = 0.95
_LEAST_KNOWN: Final = 0.5
_LEAST_NAMED: Final = 0.9
_LEAST_SHARE: Final = 0.01
_OF_SAME_MAKE: Final = 0.95
_RELATED: Final = 0.1
_COUNTED_IN: Final = {
    "INR": r"la(?:kh|c)|लाख|crore",
    "KRW": "만",
    "VND": "triệu",
    "IDR": r"juta|jt",
}
_PREFERRED: Final = ("USD", "INR", "GBP", "EUR", "JPY", "SEK", "AED", "CHF")
PLACEHOLDER: Final = "..."
"""Stands for a number that no file tells; a run refuses it."""


@dataclass
class Proposal:
    """How a source may be read.

    Attributes
    ----------
    rules : by field, the keys of its rule; None switches the field off.
    doubts : by field or setting, what a person should look at.
    decimal : the sign before decimals; None where the columns show it, each its own.
    currency, distance : of the market; the currency is empty where nothing tells it.
    hints : lines about other columns.
    ignored : the columns that no field reads.
    """

    rules: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    doubts: dict[str, list[str]] = field(default_factory=dict)
    decimal: str | None = None
    currency: str = ""
    distance: str = "km"
    hints: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def doubt(self, key: str, *texts: str) -> None:
        """Keep what a person should look at."""
        self.doubts.setdefault(key, []).extend(texts)

    def columns_read(self) -> set[str]:
        """Return the columns that a field reads."""
        read = set()
        for rule in filter(None, self.rules.values()):
            read |= {*rule.get("flags", ()), *([rule["from"]] if "from" in rule else [])}
        return read


def columns_of(frame: pd.DataFrame) -> dict[str, Column]:
    """Return the columns that hold anything, by name."""
    filled = {str(name): frame[name].dropna() for name in frame}
    return {
        name: Column(ColumnName.of(name), raw)
        for name, raw in filled.items()
        if len(raw) and not isinstance(raw.iloc[0], dict)
    }


def score(frame: pd.DataFrame) -> float:
    """Return how much of a table is understood: about the number of its fields."""
    proposal, fits = _by_names(columns_of(frame.head(500)), "")
    return sum(one.share for one in fits.values()) + len(proposal.rules.keys() & {*REQUIRED, PRICE})


def propose(frame: pd.DataFrame, filenames: Sequence[str] = ()) -> Proposal:
    """Propose how the first rows of a source are read.

    Parameters
    ----------
    frame : raw rows, as :func:`carprice.listings.sources.read_chunks` yields them.
    filenames : of the source's files, without endings.
    """
    columns = columns_of(frame)
    currency = currency_of_language({name: one.name for name, one in columns.items()})
    proposal, fits = _by_names(columns, currency)
    title = split_title(columns, proposal.rules, proposal.doubt)
    _by_values(columns, proposal, fits, currency)
    if "make" not in proposal.rules and (rule := make_of_files(filenames)):
        proposal.rules["make"] = rule
        proposal.doubt("make", "of the files' names")
    title = split_title(columns, proposal.rules, proposal.doubt) or title
    if title and "odometer" not in proposal.rules and (found := fit("odometer", title, 0)):
        _take(proposal, fits, "odometer", title.name.text, found)
        proposal.doubt("odometer", "out of the title")
    _name_makes(columns, proposal)
    _decide_decimal(columns, proposal, fits)
    if not currency and str((proposal.rules.get("listed_on") or {}).get("date")).startswith("%m/"):
        currency = "USD"  # nobody else starts a date with the month
    _decide_currency(columns, proposal, fits, currency)
    _decide_distance(proposal, fits)
    _flags(columns, proposal)
    _switch_off(columns, proposal)
    read = proposal.columns_read()
    proposal.ignored = [name for name in columns if name not in read]
    return proposal


def _by_names(columns: Mapping[str, Column], currency: str) -> tuple[Proposal, dict[str, Fit]]:
    """Give each field the column whose name and values fit it best."""
    pairs: list[tuple[float, str, str, Fit, int]] = []
    for name, column in columns.items():
        for field_name, (level, place) in field_levels(column.name).items():
            found = fit(field_name, column, level, currency)
            if found is not None:
                worth = 2.0 * level + found.worth - place / (4 * len(names(field_name)))
                pairs.append((worth, field_name, name, found, level))
    pairs.sort(key=lambda pair: -pair[0])
    proposal, fits = Proposal(), dict[str, Fit]()
    for _, field_name, name, found, level in pairs:
        if field_name in proposal.rules or name in proposal.columns_read():
            continue
        _take(proposal, fits, field_name, name, found)
        others = [
            other
            for _, same, other, _, near in pairs
            if same == field_name and other != name and near >= min(level, WHOLE)
        ]
        if others:
            proposal.doubt(field_name, f"or {', '.join(map(repr, others))}?")
        elif level < WORD:
            proposal.doubt(field_name, "a part of the column's name says so")
    return proposal, fits


def _take(
    proposal: Proposal, fits: dict[str, Fit], field_name: str, column: str, found: Fit
) -> None:
    proposal.rules[field_name] = {"from": column, **found.rule}
    fits[field_name] = found
    proposal.doubt(field_name, *found.doubts)


def _by_values(
    columns: Mapping[str, Column], proposal: Proposal, fits: dict[str, Fit], currency: str
) -> None:
    """Find by its values what no name has told."""

    def free() -> dict[str, Column]:
        read = proposal.columns_read()
        return {
            name: column
            for name, column in columns.items()
            if name not in read and not column.name.has_word(words("ignored"))
        }

    def take(field_name: str, column: str, found: Fit) -> None:
        _take(proposal, fits, field_name, column, found)
        proposal.doubt(field_name, "by its values; no name of a column tells")

    if "make" not in proposal.rules:
        makes = {name: column.makes for name, column in free().items()}
        best = max(makes, key=makes.__getitem__, default="")
        if best and makes[best] >= _LEAST_KNOWN:
            take("make", best, Fit({}))
    for field_name in CATEGORIES:
        if field_name not in proposal.rules:
            known = {name: column.known(field_name) for name, column in free().items()}
            best = max(known, key=known.__getitem__, default="")
            if best and known[best] >= _LEAST_KNOWN and not columns[best].is_flag:
                take(field_name, best, Fit({}))
    if "year" not in proposal.rules:
        for name, column in free().items():
            found = fit("year", column, 0)
            if found and found.share >= _MOST_READ and are_years(found.numbers):
                take("year", name, found)
                break
    _price_and_distance(free(), proposal, take, columns, currency)
    make = proposal.rules.get("make") or {}
    if "model" not in proposal.rules and "words" not in make and make.get("from") in columns:
        best = _model_of(columns[make["from"]], free())
        if best:
            take("model", best, Fit({}))


def _name_makes(columns: Mapping[str, Column], proposal: Proposal) -> None:
    """Replace short names of makes by their usual ones, which other files and askers use."""
    rule = proposal.rules.get("make")
    if rule is None or rule.keys() != {"from"}:
        return
    column = columns[rule["from"]]
    texts = [text for text, rows in column.texts if rows >= _LEAST_SHARE * len(column.raw)]
    short = {text: MAKES[folded(text)] for text in texts if folded(text) in words("short_makes")}
    if short:
        rule["values"] = short
        proposal.doubt("make", "short names were replaced")


def _price_and_distance(
    free: Mapping[str, Column],
    proposal: Proposal,
    take: Any,
    columns: Mapping[str, Column],
    currency: str,
) -> None:
    """Tell price and distance by units, then by how they change with the year, then by size."""
    wanted = [name for name in ("odometer", PRICE) if name not in proposal.rules]
    if not wanted:
        return
    years = _years(proposal, columns)
    found: dict[str, dict[str, Fit]] = {}
    for name, column in free.items():
        if column.is_flag or len(column.values) < 3:
            continue
        tried = {one: fit(one, column, 0, currency) for one in wanted}
        found[name] = {one: good for one, good in tried.items() if good and not good.guesses}
    for name, fits in found.items():
        distance, price = fits.get("odometer"), fits.get(PRICE)
        if distance and "odometer" in wanted and _names_most(distance.units):
            take("odometer", name, distance)
            wanted.remove("odometer")
        elif price and PRICE in wanted and _names_most(price.currencies):
            take(PRICE, name, price)
            wanted.remove(PRICE)
    read = proposal.columns_read()
    trend = {
        name: _trend(next(iter(fits.values())).numbers, columns[name].raw.index, years)
        for name, fits in found.items()
        if fits and name not in read
    }
    for one in wanted:
        sign = -1.0 if one == "odometer" else 1.0
        fitting = [
            name
            for name in trend
            if one in found[name]
            and name not in proposal.columns_read()
            and not are_years(found[name][one].numbers)
            and (sign * trend[name] > _RELATED or len(trend) == len(wanted))
        ]
        sizes = {n: float(np.nanmedian(found[n][one].numbers)) for n in fitting}
        order = sorted(fitting, key=lambda name: (-sign * trend[name], -sign * sizes[name]))
        if max(map(abs, trend.values()), default=0.0) <= _RELATED:
            order = sorted(fitting, key=lambda name: -sign * sizes[name])
        if order:
            take(one, order[0], found[order[0]][one])


def _names_most(named: Counter[str]) -> bool:
    return sum(named.values()) > 0 and named[""] < 0.5 * sum(named.values())


def _years(proposal: Proposal, columns: Mapping[str, Column]) -> pd.Series:
    rule = proposal.rules.get("year")
    if not rule or rule.get("from") not in columns:
        return pd.Series(dtype=np.float64)
    column = columns[rule["from"]]
    found = fit("year", column, WHOLE)
    return pd.Series(found.numbers, column.raw.index) if found else pd.Series(dtype=np.float64)


def _trend(numbers: np.ndarray, index: pd.Index, years: pd.Series) -> float:
    """Return the rank correlation of a column with the year; 0 where it cannot be told."""
    both = pd.DataFrame({"number": pd.Series(numbers, index), "year": years}).dropna()
    if len(both) < 20 or both.nunique().min() < 3:
        return 0.0
    return float(both.rank().corr().iloc[0, 1])


def _model_of(make: Column, free: Mapping[str, Column]) -> str:
    """Return the column whose values are each of one make, the fewest of them."""
    kinds: dict[str, int] = {}
    makes = make.raw.astype(str)
    for name, column in free.items():
        values = column.raw.astype(str).reindex(makes.index)
        pairs = pd.DataFrame({"make": makes, "value": values}).dropna()
        if pairs.empty or column.is_flag:
            continue
        counts = pairs.groupby("value")["make"].agg(lambda of: of.value_counts().iloc[0])
        several = len(counts) >= makes.nunique() and len(counts) < 0.7 * len(pairs)
        if several and counts.sum() / len(pairs) >= _OF_SAME_MAKE and column.numeric < 0.9:
            kinds[name] = len(counts)
    return min(kinds, key=kinds.__getitem__, default="")


def _decide_decimal(
    columns: Mapping[str, Column], proposal: Proposal, fits: Mapping[str, Fit]
) -> None:
    """Choose the sign of all columns; what needs the other one is read as thousands."""
    sure: Counter[str | None] = Counter(
        one.sign for one in fits.values() if one.sign and one.is_sure
    )
    assumed = {name: one for name, one in fits.items() if one.sign and not one.is_sure}
    if len(sure) > 1 and not assumed:
        return
    votes = sure or Counter(one.sign for one in assumed.values())
    if not votes:
        return
    sign = votes.most_common(1)[0][0]
    proposal.decimal = sign
    for name, one in assumed.items():
        rule = proposal.rules[name] or {}
        texts = [text for text, _ in columns[rule["from"]].texts]
        example = next((text for text in texts if sign_in(text, inside=True) == "?"), texts[0])[:40]
        if one.sign == sign:
            if not sure:
                proposal.doubt("decimal", f"{example!r} and the like were taken for thousands")
            continue
        if name == "engine_cc":  # 1.598 litres or 1.598 cc: either sign reads it
            continue
        rule["multiply"] = 1000 * rule.get("multiply", 1)
        proposal.doubt(name, f"{example!r} and the like were taken for thousands")


def _decide_currency(
    columns: Mapping[str, Column], proposal: Proposal, fits: Mapping[str, Fit], guess: str
) -> None:
    price = fits.get(PRICE)
    several = mixed_currencies(price) if price else ()
    named = [name for name, _ in price.currencies.most_common() if name] if price else []
    codes = frozenset.intersection(*map(codes_of, several[:1] or named)) if named else frozenset()
    column = _currency_column(columns, proposal)
    if codes:
        likely = [guess, *_PREFERRED, *sorted(codes)]
        proposal.currency = next(code for code in likely if code in codes)
        if len(codes) > 1:
            others = ", ".join(sorted(codes - {proposal.currency}))
            proposal.doubt("currency", f"or {others}: {named[0]} is their sign too")
    elif column:
        counted = Counter(dict(column.texts))
        proposal.currency = next(iter(codes_of(counted.most_common(1)[0][0])))
        if len(counted) > 1:
            told = ", ".join(f"{name} in {rows:,}" for name, rows in counted.most_common(4))
            proposal.doubt(PRICE, f"{column.name.text!r} tells several currencies ({told} rows)")
    elif guess := guess or _currency_of_scale(columns, proposal):
        proposal.currency = guess
        proposal.doubt("currency", "only names, dates or words hint at it")
    else:
        proposal.doubt("currency", "nothing tells it: write its code, such as EUR")
    told_by = sum(price.currencies.values()) - price.currencies[""] if price else 0
    if price and named and told_by < _LEAST_NAMED * np.isfinite(price.numbers).sum():
        proposal.doubt(PRICE, f"only {told_by:,} of the rows name a currency")
    rule = proposal.rules.get(PRICE)
    if several and rule is not None and price is not None:
        rule["number"] = True
        rule["currencies"] = dict.fromkeys(several, PLACEHOLDER) | {several[0]: 1}
        rows = ", ".join(f"{name} in {price.currencies[name]:,}" for name in several)
        proposal.doubt(
            PRICE, f"{rows} rows: write what one of each is in {proposal.currency or several[0]}"
        )


def _currency_of_scale(columns: Mapping[str, Column], proposal: Proposal) -> str:
    """Return the currency whose market counts in the words that prices have; empty if none."""
    rule = proposal.rules.get(PRICE)
    column = columns.get(rule["from"]) if rule else None
    for currency, written in _COUNTED_IN.items():
        if column and column.share(re.compile(written, re.IGNORECASE).search) > _LEAST_KNOWN:
            return currency
    return ""


def _currency_column(columns: Mapping[str, Column], proposal: Proposal) -> Column | None:
    read = proposal.columns_read()
    for name, column in columns.items():
        values = [text for text, _ in column.texts[:20]]
        if name not in read and all(len(codes_of(text)) == 1 for text in values):
            return column
    return None


def _decide_distance(proposal: Proposal, fits: Mapping[str, Fit]) -> None:
    found = fits.get("odometer")
    named = Counter({one: rows for one, rows in found.units.items() if one} if found else {})
    rule = proposal.rules.get("odometer")
    if named:
        proposal.distance = named.most_common(1)[0][0]
    else:
        column = str(rule["from"]) if rule else ""
        by_name = {"miles": "miles", "mile": "miles", "km": "km", "kms": "km", "kilometer": "km"}
        units = [by_name[word] for word in ColumnName.of(column).words if word in by_name]
        if (proposal.rules.get("fuel_economy") or {}).get("from") == "mpg":
            units.append("miles")
        proposal.distance = units[0] if units else _usual_distance(proposal.currency)
        if rule and not units and not currency_tells(proposal.currency):
            proposal.doubt("distance", "nothing tells it")
    told = sum(named.values()) / max(sum(found.units.values()), 1) if found else 1.0
    if named and told < _MOST_READ and rule is not None:
        proposal.doubt("odometer", f"{1 - told:.0%} of the rows name no unit, and are read as well")
    if len(named) > 1 and rule is not None:
        own = FACTORS["odometer"][proposal.distance]
        rule["unit"] = {
            one: round(FACTORS["odometer"][one] / own, 6) for one, _ in named.most_common()
        }
        rows = ", ".join(f"{one} in {count:,}" for one, count in named.most_common())
        proposal.doubt("odometer", f"{rows} rows; check the factors")
    engine, engine_rule = fits.get("engine_cc"), proposal.rules.get("engine_cc")
    units = [one for one in engine.units if one] if engine else []
    if len(units) > 1 and engine_rule is not None:
        engine_rule["unit"] = {one: int(FACTORS["engine_cc"][one]) for one in units}
    power, power_rule = fits.get("power_bhp"), proposal.rules.get("power_bhp")
    units = [one for one in power.units if one] if power else []
    if len(units) > 1 and power_rule is not None:
        power_rule["unit"] = {one: round(FACTORS["power_bhp"][one], 6) for one in units}


def currency_tells(currency: str) -> bool:
    """Whether a market's currency tells the unit of its distances."""
    return currency not in ("", "USD", "GBP")


def _usual_distance(currency: str) -> str:
    return "miles" if currency in ("GBP", "USD") else "km"


def _flags(columns: Mapping[str, Column], proposal: Proposal) -> None:
    """Propose yes/no columns of equipment as features, and name the others."""
    if "features" in proposal.rules:
        return
    read = proposal.columns_read()
    flags = [name for name, one in columns.items() if one.is_flag and name not in read]
    sure = [
        name
        for name in flags
        if name in REFERENCE_EQUIPMENT or columns[name].name.has_word(words("equipment"))
    ]
    if sure:
        proposal.rules["features"] = {"flags": sure}
    if others := [name for name in flags if name not in sure]:
        proposal.hints.append(
            f"yes/no columns that are read nowhere: {', '.join(others)}; name those of equipment "
            "in features: {flags: [...]}"
        )


def _switch_off(columns: Iterable[str], proposal: Proposal) -> None:
    """Switch off what would be read by its name, though its values do not fit."""
    present = {*columns}
    for name in FIELDS:
        if name in proposal.rules or name in REQUIRED or not present & {*names_of(name)}:
            continue
        proposal.rules[name] = None
        proposal.doubt(name, "a column of this name is there, but its values do not fit")
    for name in (*REQUIRED, PRICE):
        if name not in proposal.rules:
            proposal.doubt(name, "no column was recognised: write its name here")
    is_named = any(ColumnName.of(column).level("odometer")[0] >= WORD for column in present)
    if "odometer" not in proposal.rules and not is_named:
        proposal.rules["odometer"] = None
        proposal.doubts["odometer"] = ["no column of distances was recognised: is there none?"]
