"""Files whose numbers, units and currencies are written as people write them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from odd_files import CARS, HEADER, OddFile, changed, check, read, text

PRICES = [car[4] for car in CARS]
SMALL = [price // 25 for price in PRICES]
DRIVEN = [car[3] for car in CARS]
YEARS = [car[2] for car in CARS]
ENGINES = [(1199, 1598, 1984, 2995)[n % 4] for n in range(len(CARS))]
POWERS = [(75, 110, 150, 200)[n % 4] for n in range(len(CARS))]
LITRES = [float(f"{cc / 1000:.1f}") for cc in ENGINES]
KM_PER_MILE, BHP_PER_KW = 1.609344, 1.34102
NARROW = "\N{NARROW NO-BREAK SPACE}"


def dots(number: float) -> str:
    return f"{number:,.0f}".replace(",", ".")


def spaces(number: float) -> str:
    return f"{number:,.0f}".replace(",", NARROW)


def lakh(number: int) -> str:
    """Group as in India: 4,50,000."""
    return f"{number // 100_000},{number // 1000 % 100:02},{number % 1000:03}"


def digits(zero: str, written: str) -> str:
    """Write in the digits of another script."""
    return "".join(chr(ord(zero) + int(one)) if one.isdigit() else one for one in written)


def column(name: str, *written: Callable[[int], Any]) -> str:
    """Return the cars with a column written in another way, or in several ways row by row."""
    ways = iter(range(len(CARS)))
    return text(changed(name, lambda old: written[next(ways) % len(written)](old)), separator=";")


def beside(name: str, values: Sequence[Any]) -> str:
    """Return the cars with one column more."""
    rows = [(*car, value) for car, value in zip(CARS, values, strict=True)]
    return text(rows, (*HEADER, name), separator=";")


def by(name: str, **keys: Any) -> dict[str, Any]:
    """Return a rule of the column map."""
    return {"columns": {name: {"from": name, **keys}}}


def sold_in(currency: str, distance: str = "km") -> dict[str, Any]:
    return {"units": {"currency": currency, "distance": distance}}


NUMBER = {name: by(name, number=True) for name in ("price", "odometer", "year", "engineCc")}
POWER = by("powerBhp", number=True)
EURO = sold_in("EUR")


@dataclass(frozen=True)
class Read:
    """A file that is read: the field, what its rows then have, and what was assumed."""

    content: str
    field: str
    values: Sequence[Any]
    ingest: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def of_price(write: Callable[[int], str], currency: str, values: Sequence[Any] = PRICES) -> Read:
    return Read(column("price", write), "price", values, NUMBER["price"] | sold_in(currency))


def of_driven(write: Callable[[int], str], values: Sequence[Any] = DRIVEN) -> Read:
    return Read(column("odometer", write), "odometer", values, NUMBER["odometer"])


THOUSANDS = [1000 * (km // 1000) for km in DRIVEN]
READ = {
    "crowns with spaces": of_price(lambda x: f"{spaces(x)} Kč", "CZK"),
    "crowns without hellers": of_price(lambda x: f"{dots(x)},- Kč", "CZK"),
    "francs without rappen": of_price(
        lambda x: f"CHF {x // 25:,}.–".replace(",", "’"), "CHF", SMALL
    ),
    "lakh": of_price(lambda x: f"₹{x / 1e5:.5f} L", "INR"),
    "lakh and thousand": of_price(
        lambda x: f"{x // 100_000} Lakh {x // 1000 % 100} Thousand", "INR",
        [1000 * (x // 1000) for x in PRICES],
    ),
    "a range in lakh": of_price(lambda x: f"₹{(x - 1000) / 1e5} Lakh - ₹{(x + 1000) / 1e5} Lakh", "INR"),
    "rupees only": of_price(lambda x: f"Rs. {lakh(x)}/- only", "INR"),
    "Devanagari digits": of_price(lambda x: "₹ " + digits("०", f"{x}"), "INR"),
    "Bengali digits": of_price(lambda x: "৳ " + digits("০", f"{x}"), "BDT"),
    "millions of roubles": of_price(lambda x: f"{x / 1e6} млн ₽", "RUB"),
    "thousands of roubles": of_price(lambda x: f"{x // 1000} тыс. руб.", "RUB",
                                     [1000 * (x // 1000) for x in PRICES]),
    "wan": of_price(lambda x: f"{x / 1e4}万元", "CNY"),
    "man-won": of_price(lambda x: f"{x / 1e4}만원", "KRW"),
    "juta": of_price(lambda x: f"Rp {x / 1e3} jt", "IDR", [1000 * x for x in PRICES]),
    "millions of toman": of_price(lambda x: digits("۰", f"{x} میلیون تومان"), "IRT",
                                  [1e6 * x for x in PRICES]),
    "scientific": of_price(lambda x: f"INR {x:.5E}", "INR"),
    "TEUR": of_price(lambda x: f"{x // 250 / 100} TEUR".replace(".", ","), "EUR",
                     [x // 250 * 10 for x in PRICES]),
    "footnotes": of_price(lambda x: f"{dots(x)},00¹ zł", "PLN"),
    "dollars with their code": of_price(lambda x: f"$ {x:,}.00 MXN", "MXN"),
    "thousand kilometres": of_driven(lambda x: f"{x // 1000} tkm", THOUSANDS),
    "Polish thousands": of_driven(lambda x: f"{x // 1000} tys. km", THOUSANDS),
    "Chinese kilometres": of_driven(lambda x: f"{x / 1e4}万公里"),
    "Persian digits": of_driven(lambda x: digits("۰", f"{x:,} کیلومتر").replace(",", "٬")),
    "full-width digits": of_driven(lambda x: digits("０", f"{x}") + "ｋｍ"),
    "Arabic digits and decimals": of_driven(lambda x: digits("٠", f"{x}") + "٫0 كم"),
    "k": of_driven(lambda x: f"{x / 1000}k km"),
    "a range of kilometres": of_driven(lambda x: f"{x - 99}–{x + 99} km"),
    "kilometres and what else": of_driven(lambda x: f"{x} km, 1. Hand"),
    "miles": Read(
        column("odometer", lambda x: f"{x} miles"), "odometer", [x * KM_PER_MILE for x in DRIVEN],
        NUMBER["odometer"], ("odometer is told in miles, and was made km",),
    ),
    "points are settled by another column": Read(
        text(
            [(*car[:4], dots(car[4]), f"{power},5") for car, power in zip(CARS, POWERS, strict=True)],
            (*HEADER, "powerBhp"), separator=";",
        ),
        "price", PRICES, {},
        ("price is '250.000' and the like; ',' was taken for the sign before decimals, as in "
         "powerBhp",),
    ),
    "litres": Read(
        beside("engineCc", [f"{x} l" for x in LITRES]), "engine_cc", [1000 * x for x in LITRES],
        NUMBER["engineCc"], ("engineCc is told in l, and was made cc",),
    ),
    "litres with a comma": Read(
        beside("engineCc", [f"{x}".replace(".", ",") for x in LITRES]), "engine_cc",
        [1000 * x for x in LITRES], by("engineCc", unit="l"),
    ),
    "kilowatt and horsepower": Read(
        beside("powerBhp", [f"{x} kW ({x * 1.36:.0f} PS)" for x in POWERS]), "power_bhp",
        [x * BHP_PER_KW for x in POWERS], POWER, ("powerBhp is told in kW, and was made bhp",),
    ),
    "lakh with multiply is read once": Read(
        column("price", lambda x: f"{x / 1e5:.5f} lakh", lambda x: f"{x / 1e5:.5f}"), "price",
        PRICES, by("price", number=True, multiply=100_000),
        ("multiply: 100000 of price was used for numbers without a word such as lakh only",),
    ),
    "currencies mapped": Read(
        column("price", lambda x: f"$ {x}", lambda x: f"₹ {x}"), "price",
        [x * (83 if n % 2 == 0 else 1) for n, x in enumerate(PRICES)],
        by("price", number=True, currencies={"$": 83, "₹": 1}),
    ),
    "the name of the column tells the currency": Read(
        text(header=(*HEADER[:4], "price_czk"), separator=";"), "price", [4 * x for x in PRICES],
        {"columns": {"price": {"from": "price_czk", "currencies": {"CZK": 4}}}},
    ),
    "years with decimals": Read(column("year", lambda x: f"{x}.0"), "year", YEARS),
    "grouped years": Read(column("year", lambda x: f"{x:,}"), "year", YEARS),
    "years of Heisei": Read(
        column("year", lambda x: f"平成{x - 1988}年"), "year", YEARS, NUMBER["year"]
    ),
    "Chinese model years": Read(column("year", lambda x: f"{x}款"), "year", YEARS, NUMBER["year"]),
}  # fmt: skip

EITHER = (
    "{{file}}: {0} and the like, which may be {1}; set ingest.decimal to '.' or ',': the sign before "
    "decimals in this file"
)
UNREAD = "{{file}}: {0} in row 0, and cannot be read in {1} % of the rows; "
ODD: dict[str, OddFile] = {}
