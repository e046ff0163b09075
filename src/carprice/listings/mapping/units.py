"""Choose the decimal sign, the currency and the units that a source's numbers are told in."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

import numpy as np

from carprice.listings.mapping.content import Column
from carprice.listings.mapping.fits import USUAL, mixed_currencies
from carprice.listings.mapping.names import ColumnName
from carprice.listings.mapping.proposal import PLACEHOLDER, Proposal
from carprice.listings.numbers import FACTORS, codes_in_name, codes_of, sign_in, unit_of
from carprice.schema import PRICE

_MOST_TOLD: Final = 0.95
_LEAST_KNOWN: Final = 0.5
_LEAST_NAMED: Final = 0.9
_MOST_NEW: Final = 100.0
"""What most cars cost when new, at most, as a factor of their prices."""
_WRITTEN_IN: Final = {
    "INR": r"\d\s*(?:la(?:kh|c)|crore)|[\u0900-\u097f]",
    "VND": r"\d\s*(?:triệu|tỷ)",
    "IDR": r"\d\s*(?:juta|jt)\b",
    "KRW": r"[\uac00-\ud7af]",
    "JPY": r"[\u3041-\u30ff]",
    "CNY": r"[\u4e00-\u9fff]",
    "THB": r"[\u0e01-\u0e3a]",
    "ILS": r"[\u05d0-\u05ea]",
}
"""By currency, scale words and letters of its market; Japanese has Chinese letters too."""
_PREFERRED: Final = ("USD", "INR", "GBP", "EUR", "JPY", "SEK", "AED", "CHF", "RUB")
_BY_NAME: Final = {
    **dict.fromkeys(("miles", "mile"), "miles"),
    **dict.fromkeys(("km", "kms", "kilometer", "kilometers", "kilometre", "kilometres"), "km"),
}


def decide_decimal(columns: Mapping[str, Column], proposal: Proposal) -> None:
    """Choose the sign of all columns; what needs the other one is read as thousands."""
    sure: Counter[str | None] = Counter(
        one.sign for one in proposal.fits.values() if one.sign and one.is_sure
    )
    unsure = {name: one for name, one in proposal.fits.items() if one.sign and not one.is_sure}
    assumed = {name: one for name, one in unsure.items() if not one.is_scaled}
    for name in sorted(unsure.keys() - assumed.keys()):
        rule, own = proposal.rules[name] or {}, unsure[name].sign
        rule["decimal"] = own
        example = next(
            text for text, _ in columns[rule["from"]].texts if sign_in(text, inside=True)
        )
        meant = "decimals" if re.search(rf"\d[{own}]\d", example) else "thousands"
        proposal.doubt(name, f"{example!r} and the like were taken for {meant}")
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
            if not sure and "decimal" not in proposal.doubts:
                proposal.doubt("decimal", f"{example!r} and the like were taken for thousands")
            continue
        if name == "engine_cc":  # 1.598 litres or 1.598 cc: either sign reads it
            continue
        is_small = name not in (PRICE, "odometer") and name in USUAL
        if is_small and 1000 * float(np.nanmedian(one.numbers)) > USUAL[name][1]:
            proposal.leave_out(name)
            continue
        rule["multiply"] = 1000 * rule.get("multiply", 1)
        proposal.doubt(name, f"{example!r} and the like were taken for thousands")


def decide_currency(columns: Mapping[str, Column], proposal: Proposal, guess: str) -> None:
    """Choose the market's currency: what names or values of the price tell, else the guess."""
    price = proposal.fits.get(PRICE)
    several = mixed_currencies(price) if price else ()
    named = [name for name, _ in price.currencies.most_common() if name] if price else []
    codes = frozenset.intersection(*map(codes_of, several[:1] or named)) if named else frozenset()
    codes = codes.difference(*map(codes_of, several[1:])) or codes
    column = _currency_column(columns, proposal)
    beside = [codes_of(text) for text, _ in column.texts[:1]] if column else []
    own_name = str((proposal.rules.get(PRICE) or {}).get("from"))
    for also in (codes_in_name(own_name), *beside):
        codes = codes & also or codes
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
            proposal.doubt(
                PRICE,
                f"{column.name.text!r} tells several currencies ({told} rows): bring them to one",
            )
    elif guess:
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


def currency_of_values(columns: Mapping[str, Column]) -> str:
    """Return the currency of a market whose scale words or script most values have; else empty."""
    for currency, written in _WRITTEN_IN.items():
        pattern = re.compile(written, re.IGNORECASE)
        if any(column.share(pattern.search) > _LEAST_KNOWN for column in columns.values()):
            return currency
    return ""


def _currency_column(columns: Mapping[str, Column], proposal: Proposal) -> Column | None:
    read = proposal.columns_read()
    for name, column in columns.items():
        values = [text for text, _ in column.texts[:20]]
        if any(len(text) == 1 and text.isalpha() for text in values):  # initials, or litres
            continue
        if name not in read and all(len(codes_of(text)) == 1 for text in values):
            return column
    return None


def decide_units(columns: Mapping[str, Column], proposal: Proposal, guess: str) -> None:
    """Choose the market's unit of distances; columns of several units say what each one is.

    Parameters
    ----------
    guess : the currency that the names of columns tell by their language; empty if they do not.
    """
    _decide_distance(columns, proposal, guess)
    _decide_new_price(proposal)
    for name in ("odometer", "engine_cc", "power_bhp"):
        found, rule = proposal.fits.get(name), proposal.rules.get(name)
        named = [(one, rows) for one, rows in found.units.most_common() if one] if found else []
        if rule is None or len(named) < 2:
            continue
        own = FACTORS[name][proposal.distance] if name == "odometer" else 1.0
        rule["unit"] = {one: round(FACTORS[name][one] / own, 6) for one, _ in named}
        told = ", ".join(f"{one} in {rows:,}" for one, rows in named)
        proposal.doubt(name, f"{told} rows; check the factors")


def _decide_new_price(proposal: Proposal) -> None:
    """Let list prices when new count what the prices do, where they cannot be whole."""
    found, price = (proposal.fits.get(name) for name in ("new_price", PRICE))
    rule, of_price = (proposal.rules.get(name) for name in ("new_price", PRICE))
    scale = (of_price or {}).get("multiply", 1)
    if not (found and price and rule) or "multiply" in rule or scale == 1:
        return
    new, used = (float(np.nanmedian(one.numbers)) for one in (found, price))
    if new < used * _MOST_NEW:
        rule["multiply"] = scale
        proposal.doubt("new_price", f"the median is {new:.4g}: taken to count what the price does")


def _decide_distance(columns: Mapping[str, Column], proposal: Proposal, guess: str) -> None:
    found, rule = proposal.fits.get("odometer"), proposal.rules.get("odometer")
    beside = found.units if found else Counter[str]()
    named = [one for one, _ in beside.most_common() if one]
    if named:
        proposal.distance = named[0]
        source = ColumnName.of(str((rule or {}).get("from")))
        if named[0] == "miles" and source.is_of_kilometres:
            proposal.doubt("odometer", "the name tells kilometres, the values miles")
        bare = beside[""] / beside.total()
        if bare > 1 - _MOST_TOLD:
            proposal.doubt("odometer", f"{bare:.0%} of the rows name no unit, and are read as well")
        return
    own_name = ColumnName.of(str((rule or {}).get("from")))
    units = [_BY_NAME[word] for word in own_name.words if word in _BY_NAME]
    if own_name.is_of_kilometres:
        units = [one for one in units if one == "km"]
    told = _units_of_a_column(columns, proposal)
    units += [one for one, _ in told.most_common()]
    if len(told) > 1:
        rows = ", ".join(f"{one} in {count:,}" for one, count in told.most_common())
        proposal.doubt("odometer", f"another column tells several units ({rows} rows): make it one")
    if own_name.is_of_kilometres:
        units.append("km")
    if (proposal.rules.get("fuel_economy") or {}).get("from") == "mpg":
        units.append("miles")
    in_miles = (guess or proposal.currency) in ("GBP", "USD")
    proposal.distance = units[0] if units else "miles" if in_miles else "km"
    if rule and not units and (in_miles or not proposal.currency):
        proposal.doubt("distance", "nothing tells it")


def _units_of_a_column(columns: Mapping[str, Column], proposal: Proposal) -> Counter[str]:
    """Return the rows by unit of a column that holds nothing but units of distances."""
    read = proposal.columns_read()
    for name, column in columns.items():
        units = Counter[str]()
        for text, rows in column.texts[:20]:
            units[unit_of("odometer", text.casefold())] += rows
        if name not in read and units.keys() <= FACTORS["odometer"].keys():
            return units
    return Counter()
