"""Files whose numbers, units and currencies are written as people write them."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from odd_files import CARS, HEADER, OddFile, changed, check, read, text

from carprice.errors import InputError

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
    ways = itertools.cycle(written)
    return text(changed(name, lambda old: next(ways)(old)), separator=";")  # noqa: PLW0108


def beside(name: str, values: Sequence[Any]) -> str:
    """Return the cars with one column more."""
    rows = [(*car, value) for car, value in zip(CARS, values, strict=True)]
    return text(rows, (*HEADER, name), separator=";")


def by(name: str, **keys: Any) -> dict[str, Any]:
    """Return a rule of the column map."""
    return {"columns": {name: {"from": name, **keys}}}


def sold_in(currency: str, distance: str = "km") -> dict[str, Any]:
    return {"units": {"currency": currency, "distance": distance}}


DAY_FIRST = r"(?<!\d)(?:\d{3,4}|[01]?\d)((?:19|20)\d\d)(?!\d)"
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
    "a range in lakh": of_price(
        lambda x: f"₹{x / 1e5 - 0.01} Lakh - ₹{x / 1e5 + 0.01} Lakh", "INR"
    ),
    "rupees only": of_price(lambda x: f"Rs. {lakh(x)}/- only", "INR"),
    "Devanagari digits": of_price(lambda x: "₹ " + digits("०", f"{x}"), "INR"),
    "Bengali digits": of_price(lambda x: "৳ " + digits("০", f"{x}"), "BDT"),
    "millions of roubles": of_price(lambda x: f"{x / 1e6} млн ₽", "RUB"),
    "thousands of roubles": of_price(lambda x: f"{x // 1000} тыс. руб.", "RUB",
                                     [1000 * (x // 1000) for x in PRICES]),
    "wan": of_price(lambda x: f"{x / 1e4}万元", "CNY"),
    "man-won": of_price(lambda x: f"{x / 1e4}만원", "KRW"),
    "juta": of_price(lambda x: f"Rp {x / 1e3} jt", "IDR", [1000 * x for x in PRICES]),
    "millions of toman": of_price(lambda x: digits("۰", f"{x // 250} میلیون تومان"), "IRT",
                                  [1e6 * (x // 250) for x in PRICES]),
    "milliards and millions of toman": of_price(
        lambda x: f"{x // 250_000} میلیارد و {x // 250 % 1000} میلیون تومان", "IRT",
        [1e6 * (x // 250) for x in PRICES],
    ),
    "a gross and a net price": Read(
        column(
            "price",
            lambda x: f"{dots(x // 25)} € ({dots(x / 25 / 1.19)} € Netto)",
            lambda x: f"{x // 25} € (Brutto)",
        ),
        "price", SMALL, {**NUMBER["price"], **EURO, "decimal": ","},
    ),
    "footnotes without numbers": of_price(
        lambda x: f"£{x // 25}†" if x % 2 else f"£{x // 25} o.n.o", "GBP", SMALL
    ),
    "formulas of Excel": of_price(lambda x: f'"=""{x}"""', "INR"),
    "prices to negotiate": of_price(
        lambda x: f"{x // 25} € trattabili" if x % 2 else f"{x // 25} € à vista", "EUR", SMALL
    ),
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
            [(*car[:4], dots(car[4]), f"{POWERS[n]},5") for n, car in enumerate(CARS)],
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
    "litres that are multiplied": Read(
        beside("Litros", [f"{x}" for x in LITRES]), "engine_cc", [1000 * x for x in LITRES],
        {"columns": {"engineCc": {"from": "Litros", "multiply": 1000}}},
    ),
    "kilowatt and horsepower": Read(
        beside("powerBhp", [f"{x} kW ({x * 1.36:.0f} PS)" for x in POWERS]), "power_bhp",
        [x * BHP_PER_KW for x in POWERS], POWER, ("powerBhp is told in kW, and was made bhp",),
    ),
    "whole prices multiplied": Read(
        text(separator=";"), "price", [1000 * x for x in PRICES], by("price", multiply=1000),
        ("the median price is 6.11702e+08 INR, much for used cars: are prices whole, and is "
         "ingest.units.currency right? Without multiply: 1000 they are smaller, or by the other "
         "sign before decimals, decimal: '.' or ',' in ingest.columns.price",),
    ),
    "lakh of three decimals": Read(
        column("price", lambda x: f"{100 * (x // 100) / 1e5:.3f}"), "price",
        [100 * (x // 100) for x in PRICES], by("price", multiply=100_000),
        ("price is '2.500' and the like; '.' was taken for the sign before decimals, as multiply "
         "is 100000",),
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

SCALES = (
    ("price", "Price (Lakh)", 100_000),
    ("price", "Cena (tys. zł)", 1000),
    ("price", "Precio (miles)", 1000),
    ("price", "Preis in T€", 1000),
    ("price", "Price ('000)", 1000),
    ("price", "가격(만원)", 10_000),
    ("odometer", "Laufleistung (Tkm)", 1000),
    ("odometer", "Пробег, тыс. км", 1000),
    ("odometer", "里程(万公里)", 10_000),
)
IN_1000_MILES = {"from": "Mileage (1000 miles)", "multiply": 1000}
FIRST_AMOUNT = r"^(.*?)(?:(?: [/|] | ?[≈·•] ?)\D{0,4}\d.*)?$"
TELLS = "(ingest.units.{0}), and the column {1!r} tells {2} rows; "
IN_EURO = (
    "or, if all of price is in EUR, write price: {{from: price, currencies: {{EUR: 1}}}} in "
    "ingest.columns"
)
IN_KM = (
    "or, if all of odometer is in km, write odometer: {{from: odometer, unit: km}} in "
    "ingest.columns"
)
MILES_BESIDE = OddFile(
    beside("uom", ["mi"] * 80),
    "{file}: odometer is read in km " + TELLS.format("distance", "uom", "mi in 80")
    + "write odometer: {{from: odometer, unit: miles}} in ingest.columns, " + IN_KM,
    by("odometer", unit="miles"),
    ingest=EURO,
    reads={"odometer": [KM_PER_MILE * km for km in DRIVEN]},
)  # fmt: skip
UNITS_BESIDE = OddFile(
    beside("odometer_unit", ["km", "km", "km", "mi"] * 20),
    "{file}: odometer is read in km " + TELLS.format("distance", "odometer_unit", "km in 60, mi in "
    "20") + "to keep the rows of one, add odometer_unit: [km] to ingest.rows.keep, " + IN_KM,
    {"rows": {"keep": {"odometer_unit": ["km"]}}},
    ingest=EURO,
    rows=60,
)  # fmt: skip
CURRENCIES_BESIDE = OddFile(
    beside("currency", ["EUR", "EUR", "€", "USD"] * 20),
    "{file}: price is read in EUR " + TELLS.format("currency", "currency", "EUR in 40, € in 20, "
    "USD in 20") + "to keep the rows of one, add currency: [EUR, €] to ingest.rows.keep, "
    + IN_EURO,
    {"rows": {"keep": {"currency": ["EUR", "€"]}}},
    ingest=EURO,
    rows=60,
)  # fmt: skip
DOLLARS_BESIDE = OddFile(
    beside("currency", ["USD"] * 80),
    "{file}: price is read in EUR " + TELLS.format("currency", "currency", "USD in 80")
    + "correct ingest.units.currency to USD, or write multiply: <what one USD is in EUR> in "
    "ingest.columns.price, " + IN_EURO,
    sold_in("USD"),
    ingest=EURO,
)  # fmt: skip
ODD = {
    **{
        f"a scale in the name {name!r}": OddFile(
            text(changed(kind, lambda x, scale=scale: x / scale), header, separator=";"),
            f"{{file}}: {kind} is read from {name!r}, whose name tells that it counts {scale:,}; "
            f"write multiply: {scale} in ingest.columns.{kind}, or multiply: 1 if the name is "
            "wrong",
            {"columns": {kind: {"from": name, "multiply": scale}}},
            ingest={"columns": {kind: name}},
            reads={kind: PRICES if kind == "price" else DRIVEN},
        )
        for kind, name, scale in SCALES
        for header in [[name if one == kind else one for one in HEADER]]
    },
    "Swedish mil by name": OddFile(
        text(changed("odometer", lambda x: x / 10), (*HEADER[:3], "Miltal", "price")),
        "{file}: odometer is read from 'Miltal', whose name tells mil; write multiply: 10 for "
        "Swedish mil, or multiply: 1000 for thousands, in ingest.columns.odometer, or multiply: 1 "
        "if the name is wrong",
        {"columns": {"odometer": {"from": "Miltal", "multiply": 10}}},
        ingest={"columns": {"odometer": "Miltal"}},
        reads={"odometer": DRIVEN},
    ),
    "miles in thousands": OddFile(
        text(
            changed("odometer", lambda x: x / 1000),
            (*HEADER[:3], "Mileage (1000 miles)", "price"),
        ),
        "{file}: odometer is read from 'Mileage (1000 miles)', whose name tells miles, and is kept "
        "in km; write unit: miles in ingest.columns.odometer, or unit: km if the name is wrong",
        {"columns": {"odometer": IN_1000_MILES | {"unit": "miles"}}},
        ingest={"columns": {"odometer": IN_1000_MILES}},
        reads={"odometer": [KM_PER_MILE * x for x in DRIVEN]},
    ),
    "kW in a column beside": OddFile(
        text(
            [(*car, power, "kW") for car, power in zip(CARS, POWERS, strict=True)],
            (*HEADER, "power", "power_unit"),
        ),
        "{file}: powerBhp is read in bhp, and the column 'power_unit' tells kW in 80 rows; write "
        "powerBhp: {{from: power, unit: kW}} in ingest.columns, or, if all of powerBhp is in bhp, "
        "write powerBhp: {{from: power, unit: bhp}} in ingest.columns",
        {"columns": {"powerBhp": {"from": "power", "unit": "kW"}}},
        ingest={"columns": {"powerBhp": "power"}},
        reads={"power_bhp": [BHP_PER_KW * x for x in POWERS]},
    ),
    "list prices in lakh beside rupees": OddFile(
        beside("newPrice", [x / 50_000 for x in PRICES]),
        "{file}: newPrice is 5 where price is 250000, and the like; bring them to one: write "
        "newPrice: {{from: newPrice, multiply: 1000}} in ingest.columns (100000 if it is lakh, "
        "10000 if it is 万), map another column, or write 'newPrice: null' in ingest.columns",
        by("newPrice", multiply=100_000),
        reads={"new_price": [2 * x for x in PRICES]},
    ),
    "two currencies in one cell": OddFile(
        column("price", lambda x: f"{spaces(x)} $ · {spaces(41 * x)} грн"),
        "{file}: price is '250\\u202f000 $ · 10\\u202f250\\u202f000 грн' in row 0, and cannot be "
        "read in 100 % of the rows; write price: {{from: price, match: "
        f"'{FIRST_AMOUNT.replace('{', '{{').replace('}', '}}')}', number: true}}}} in "
        "ingest.columns",
        by("price", number=True, match=FIRST_AMOUNT),
        ingest=NUMBER["price"] | sold_in("USD"),
        reads={"price": PRICES},
    ),
    "mil of prices": OddFile(
        column("price", lambda x: f"R$ {x / 1000} mil"),
        "{file}: price is 'R$ 250.0 mil' in row 0, and cannot be read in 100 % of the rows; say "
        "what mil is: price: {{from: price, number: true, match: '(?i)(\\d[\\d., ]*)mil', "
        "multiply: 1000}} in ingest.columns for thousands, or multiply: 1000000 for millions",
        by("price", number=True, match="(?i)(\\d[\\d., ]*)mil", multiply=1000),
        ingest=NUMBER["price"] | sold_in("BRL"),
        reads={"price": PRICES},
    ),
    "Korean years and months": OddFile(
        column("year", lambda x: f"{x % 100:02}년 03월"),
        "{file}: year is '05년 03월' in row 0, and cannot be read in 100 % of the rows; write "
        r"year: {{from: year, match: '(?<!\d)(\d\d)\s?(?:년|年)', add: 2000}} in ingest.columns",
        by("year", match=r"(?<!\d)(\d\d)\s?(?:년|年)", add=2000),
        reads={"year": YEARS},
    ),
    **{
        f"no price: {example}": OddFile(
            column("price", write, *[lambda x: f"{x}"] * 4),
            f"{{file}}: price is {example!r} in row 0, and cannot be read in 20 % of the rows; "
            "give ingest.columns.price another column or rule, or set ingest.max_unreadable: 0.2 "
            "to take such values as missing",
            {"max_unreadable": 0.2},
            ingest=NUMBER["price"] | sold_in(currency),
            rows=64,
        )
        for example, currency, write in (
            ("월 25만원", "KRW", lambda x: f"월 {x // 10_000}만원"),
            ("< 250000", "INR", lambda x: f"< {x}"),
            ("up to 250000", "INR", lambda x: f"up to {x}"),
            ("-₹250000", "INR", lambda x: f"-₹{x}"),
            ("250***", "INR", lambda x: f"{x // 1000}***"),
        )
    },
    "a unit in a column beside": MILES_BESIDE,
    "units in a column beside": UNITS_BESIDE,
    "units beside, all in one": replace(UNITS_BESIDE, remedy=by("odometer", unit="km"), rows=80),
    "currencies in a column beside": CURRENCIES_BESIDE,
    "currencies beside that no text tells": replace(
        CURRENCIES_BESIDE,
        ingest=EURO | by("price", currencies={"EUR": 1, "USD": 0.9}),
        remedy=by("price", currencies={"EUR": 1}),
        rows=80,
    ),
    "another currency in a column beside": DOLLARS_BESIDE,
    "another currency beside, multiplied": replace(
        DOLLARS_BESIDE, remedy=by("price", multiply=0.9)
    ),
    "points alone": OddFile(
        column("price", dots),
        "{file}: price is '250.000' and the like, which may be 250 or 250000; set "
        "ingest.decimal to '.' or ',': the sign before decimals in this file",
        {"decimal": ","},
        reads={"price": PRICES},
    ),
    "commas alone": OddFile(
        column("price", lambda x: f"{x:,}"),
        "{file}: price is '250,000' and the like, which may be 250000 or 250; set "
        "ingest.decimal to '.' or ',': the sign before decimals in this file",
        {"decimal": "."},
        reads={"price": PRICES},
    ),
    "kilometres with points": OddFile(
        column("odometer", lambda x: f"{dots(x)} km"),
        "{file}: odometer is '20.000 km' and the like, which may be 20 or 20000; set "
        "ingest.decimal to '.' or ',': the sign before decimals in this file",
        {"decimal": ","},
        ingest=NUMBER["odometer"],
        reads={"odometer": DRIVEN},
    ),
    "two ways to group": OddFile(
        column("price", dots, lambda x: f"{x:,}"),
        "{file}: price has numbers such as '250.000' and '259,157'; write all of them in one way",
        text(),
        reads={"price": PRICES},
    ),
    "both signs before decimals": OddFile(
        column("price", lambda x: f"{x:,}.50", lambda x: f"{dots(x)},50"),
        "{file}: price is '259.157,50' in row 1, and cannot be read in 50 % of the rows; it "
        "has numbers such as '973.403,50' and '964,246.50': write all of them in one way",
        text(),
    ),
    "two columns, two signs": OddFile(
        text(
            [
                (*car[:4], dots(car[4]), f"{p}.5", f"{e},5")
                for car, p, e in zip(CARS, POWERS, ENGINES, strict=True)
            ],
            (*HEADER, "powerBhp", "engineCc"),
            separator=";",
        ),
        "{file}: price is '250.000' and the like, which may be 250 or 250000; set decimal to "
        "'.' or ',' in ingest.columns.price: the sign before decimals in this column",
        by("price", decimal=","),
        reads={"price": PRICES},
    ),
    "kilometres with points, without number": OddFile(
        column("odometer", lambda x: f"{dots(x)} km"),
        "{file}: odometer is '20.000 km' in row 0, and cannot be read in 100 % of the rows; write "
        "odometer: {{from: odometer, number: true, decimal: ','}} in ingest.columns",
        by("odometer", number=True, decimal=","),
        reads={"odometer": DRIVEN},
    ),
    "the other sign for whole prices": OddFile(
        column("price", lambda x: f"€ {dots(x // 25)}"),
        "{file}: the median price is 24.4675 EUR; if '.' parts thousands in it, write price: "
        "{{from: price, number: true, decimal: ','}} in ingest.columns; if prices count thousands, "
        "write price: {{from: price, number: true, multiply: 1000}} in ingest.columns (100000 if "
        "it is lakh, 10000 if it is 万); else correct ingest.units.currency, or, if all that is "
        "right, set ingest.price_range",
        by("price", number=True, decimal=","),
        ingest={"decimal": ".", **EURO, **NUMBER["price"]},
        reads={"price": SMALL},
    ),
    "prices without the taxes beside": OddFile(
        column("price", *[lambda x: f"₹{x}"] * 2, lambda x: f"₹{x} ex showroom"),
        "{file}: price is '₹250000' in row 0, and cannot be read in 100 % of the rows; write "
        "price: {{from: price, number: true}} in ingest.columns, which reads most of them",
        {"max_unreadable": 0.33, **NUMBER["price"]},
        rows=54,
    ),
    "crowns without number": OddFile(
        column("price", lambda x: f"{x} Kč"),
        "{file}: price is '250000 Kč' in row 0, and cannot be read in 100 % of the rows; "
        "write price: {{from: price, number: true}} in ingest.columns",
        NUMBER["price"],
        ingest=sold_in("CZK"),
        reads={"price": PRICES},
    ),
    "an unknown word": OddFile(
        column("price", lambda x: f"{x} Krona"),
        "{file}: price is '250000 Krona' in row 0, and cannot be read in 100 % of the rows; "
        "give ingest.columns.price another column or rule",
        text(),
        ingest=NUMBER["price"],
    ),
    "prices on request": OddFile(
        column("price", *[str] * 4, lambda x: "POA"),
        "{file}: price is 'POA' in row 4, and cannot be read in 20 % of the rows; write "
        "price: {{from: price, values: {{POA: null}}}} in ingest.columns",
        by("price", values={"POA": None}),
        rows=64,
    ),
    "instalments beside prices": OddFile(
        column("price", lambda x: f"EMI ₹ {x // 60}", *[lambda x: f"₹ {x}"] * 4),
        "{file}: price is 'EMI ₹ 4166' in row 0, and cannot be read in 20 % of the rows; give"
        " ingest.columns.price another column or rule, or set ingest.max_unreadable: 0.2 to "
        "take such values as missing",
        {"max_unreadable": 0.2},
        ingest=NUMBER["price"],
        rows=64,
    ),
    "without tax beside with tax": OddFile(
        column("price", lambda x: f"{x} zł + VAT", *[lambda x: f"{x} zł brutto"] * 3),
        "{file}: price is '250000 zł + VAT' in row 0, and cannot be read in 25 % of the rows;"
        " give ingest.columns.price another column or rule, or set ingest.max_unreadable: "
        "0.25 to take such values as missing",
        {"max_unreadable": 0.25},
        ingest=NUMBER["price"] | sold_in("PLN"),
        rows=60,
    ),
    "dollars beside rupees": OddFile(
        column("price", lambda x: f"$ {x // 83}", lambda x: f"₹ {x}"),
        "{file}: price has $ in 40 rows ('$ 3012'), ₹ in 40 rows ('₹ 259157') beside the "
        "number, and ingest.units.currency is INR; correct ingest.units.currency, or say what"
        " one of each is in INR: currencies: {{'$': ..., '₹': 1}} in ingest.columns.price",
        by("price", number=True, currencies={"$": 83, "₹": 1}),
        ingest=NUMBER["price"],
        reads={"price": [x // 83 * 83 if n % 2 == 0 else x for n, x in enumerate(PRICES)]},
    ),
    "US dollars beside pesos": OddFile(
        column("price", lambda x: f"U$S {x // 1000}", lambda x: f"$ {10 * x}"),
        "{file}: price has u$s in 40 rows ('U$S 250'), $ in 40 rows ('$ 2591570') beside the "
        "number, and ingest.units.currency is ARS; correct ingest.units.currency, or say what"
        " one of each is in ARS: currencies: {{'u$s': ..., '$': 1}} in ingest.columns.price",
        by("price", number=True, currencies={"u$s": 1000, "$": 1}),
        ingest=NUMBER["price"] | sold_in("ARS"),
        reads={"price": [x // 1000 * 1000 if n % 2 == 0 else 10 * x for n, x in enumerate(PRICES)]},
    ),
    "US dollars beside dollars of less worth": OddFile(
        column("price", lambda x: f"U$S {x // 1000}", lambda x: f"$ {x // 25}"),
        "{file}: price has u$s in 40 rows ('U$S 250'), $ in 40 rows ('$ 10366') beside the "
        "number, and ingest.units.currency is USD; correct ingest.units.currency, or say what"
        " one of each is in USD: currencies: {{'u$s': 1, '$': ...}} in ingest.columns.price",
        by("price", number=True, currencies={"u$s": 1, "$": 0.025}),
        ingest=NUMBER["price"] | sold_in("USD"),
        reads={
            "price": [x // 1000 if n % 2 == 0 else x // 25 * 0.025 for n, x in enumerate(PRICES)]
        },
    ),
    "soles beside a foreign market": OddFile(
        column("price", lambda x: f"S/ {x}"),
        "{file}: price has s/ in 80 rows ('S/ 250000') beside the number, and "
        "ingest.units.currency is USD; correct ingest.units.currency, or say what one of each"
        " is in USD: currencies: {{'s/': ...}} in ingest.columns.price",
        sold_in("PEN"),
        ingest=NUMBER["price"] | sold_in("USD"),
        reads={"price": PRICES},
    ),
    "an unknown sign": OddFile(
        column("price", lambda x: f"k€ {x // 25 / 1000}"),
        "{file}: price has k€ in 80 rows ('k€ 10.0') beside the number, and "
        "ingest.units.currency is EUR; correct ingest.units.currency, or say what one of each"
        " is in EUR: currencies: {{'k€': ...}} in ingest.columns.price",
        by("price", number=True, currencies={"k€": 1000}),
        ingest=NUMBER["price"] | EURO,
        reads={"price": SMALL},
    ),
    "a name of another currency": OddFile(
        text(header=(*HEADER[:4], "price_czk"), separator=";"),
        "{file}: price is read from 'price_czk', whose name tells CZK, and "
        "ingest.units.currency is INR; correct ingest.units.currency, or say what one CZK is "
        "in INR: currencies: {{CZK: ...}} in ingest.columns.price",
        sold_in("CZK"),
        ingest={"columns": {"price": "price_czk"}},
        reads={"price": PRICES},
    ),
    "lakh of three decimals, another sign for the file": OddFile(
        column("price", lambda x: f"{100 * (x // 100) / 1e5:.3f}"),
        "{file}: price is '2.500' and the like, which ingest.decimal: ',' and multiply: 100000 "
        "make more than any car has; set decimal to '.' or ',' in ingest.columns.price: the sign "
        "before decimals in this column",
        by("price", multiply=100_000, decimal="."),
        ingest={"decimal": ",", **by("price", multiply=100_000)},
        reads={"price": [100 * (x // 100) for x in PRICES]},
    ),
    "miles that may be thousands": OddFile(
        text(header=(*HEADER[:3], "Kilometraje (miles)", "price"), separator=";"),
        "{file}: odometer is read from 'Kilometraje (miles)', whose name tells miles, and is kept "
        "in km; write unit: miles in ingest.columns.odometer, or unit: km if the name is wrong, or "
        "multiply: 1000 if they are thousands",
        {"columns": {"odometer": {"from": "Kilometraje (miles)", "unit": "km"}}},
        ingest={"columns": {"odometer": "Kilometraje (miles)"}},
        reads={"odometer": DRIVEN},
    ),
    "cents by name": OddFile(
        text(
            [(*car[:4], 100 * car[4]) for car in CARS], (*HEADER[:4], "price_cents"), separator=";"
        ),
        "{file}: price is read from 'price_cents', whose name tells hundredths; write multiply: "
        "0.01 in ingest.columns.price, or multiply: 1 if the name is wrong",
        {"columns": {"price": {"from": "price_cents", "multiply": 0.01}}},
        ingest={"columns": {"price": "price_cents"}},
        reads={"price": PRICES},
    ),
    "lakh beside rupees": OddFile(
        column("price", str, str, str, lambda x: f"{x / 1e5}"),
        "{file}: 20 prices are below a hundredth of the median, 483504 INR, such as 2.77471; "
        "are prices in two units, such as lakh beside rupees? Bring them to one, or set "
        "ingest.price_range to leave others out",
        {"price_range": (100_000, 10_000_000)},
        rows=60,
    ),
    "prices in lakh": OddFile(
        column("price", lambda x: f"{x / 1e5:.5f}"),
        "{file}: the median price is 6.11702 INR; if prices count thousands, write price: "
        "{{from: price, multiply: 1000}} in ingest.columns (100000 if it is lakh, 10000 if it"
        " is 万); else give the sign before their decimals, decimal: '.' or ',', correct "
        "ingest.units.currency, or, if all that is right, set ingest.price_range",
        by("price", multiply=100_000),
        reads={"price": PRICES},
    ),
    "prices in thousands": OddFile(
        column("price", lambda x: f"{x / 25000:.1f}"),
        "{file}: the median price is 24.5 EUR; if prices count thousands, write price: "
        "{{from: price, multiply: 1000}} in ingest.columns (100000 if it is lakh, 10000 if it"
        " is 万); else give the sign before their decimals, decimal: '.' or ',', correct "
        "ingest.units.currency, or, if all that is right, set ingest.price_range",
        by("price", multiply=1000),
        ingest=EURO,
    ),
    "prices in man-won": OddFile(
        column("price", lambda x: x // 100),
        "{file}: the median price is 6116.5 KRW; if prices count thousands, write price: "
        "{{from: price, multiply: 1000}} in ingest.columns (100000 if it is lakh, 10000 if it"
        " is 万); else give the sign before their decimals, decimal: '.' or ',', correct "
        "ingest.units.currency, or, if all that is right, set ingest.price_range",
        by("price", multiply=10_000),
        ingest=sold_in("KRW"),
        reads={"price": [x // 100 * 10_000 for x in PRICES]},
    ),
    "negative prices": OddFile(
        column("price", lambda x: -x),
        "{file}: no price is above 0, the first is -250000; map another column",
        by("price", multiply=-1),
        reads={"price": PRICES},
    ),
    "most prices alike": OddFile(
        column("price", *[lambda x: 99_999] * 2, str),
        "{file}: price is 99999 in 54 of 80 rows; map another column, or say that it is none:"
        " write price: {{from: price, values: {{99999: null}}}} in ingest.columns",
        text(),
    ),
    "one price for all": OddFile(
        column("price", lambda x: 99_999),
        "{file}: price is 99999 in all 80 rows; map another column",
        text(),
    ),
    "years for prices": OddFile(
        column("price", lambda x: 1990 + x % 30),
        "{file}: price is 2000 and the like, as years are; map another column",
        text(),
    ),
    "multiply twice": OddFile(
        column("price", lambda x: f"{x / 1e5:.5f} lakh"),
        "{file}: price is '2.50000 lakh' and the like, which tells what it is in and is read "
        "so; multiply: 83 would change it a second time: remove multiply from "
        "ingest.columns.price",
        NUMBER["price"],
        ingest=by("price", number=True, multiply=83),
        reads={"price": PRICES},
    ),
    "miles beside kilometres": OddFile(
        column("odometer", lambda x: f"{x} miles", lambda x: f"{x} km"),
        "{file}: odometer has miles in 40 rows ('20000 miles'), km in 40 rows ('22111 km') "
        "beside the number; say what one of each is in km: unit: {{km: 1, miles: 1.609344}} in"
        " ingest.columns.odometer",
        by("odometer", number=True, unit={"km": 1, "miles": 1.609344}),
        ingest=NUMBER["odometer"],
        reads={"odometer": [x * (1.609344 if n % 2 == 0 else 1) for n, x in enumerate(DRIVEN)]},
    ),
    "miles beside bare numbers": OddFile(
        column("odometer", lambda x: f"{x} miles", *[str] * 9),
        "{file}: odometer has miles in 8 rows ('20000 miles'), nothing in 72 rows ('22111') "
        "beside the number; say what one of each is in km: unit: {{km: 1, miles: 1.609344}} in"
        " ingest.columns.odometer, or unit: miles if the others are miles too",
        by("odometer", number=True, unit={"km": 1, "miles": 1.609344}),
        ingest=NUMBER["odometer"],
    ),
    "miles against unit": OddFile(
        column("odometer", lambda x: f"{x} miles"),
        "{file}: odometer has miles in 80 rows ('20000 miles') beside the number; say what "
        "one of each is in km: unit: {{km: 1, miles: 1.609344}} in ingest.columns.odometer, or"
        " unit: miles if the others are miles too",
        by("odometer", number=True, unit="miles"),
        ingest=by("odometer", number=True, unit="km"),
        reads={"odometer": [x * KM_PER_MILE for x in DRIVEN]},
    ),
    "miles and multiply": OddFile(
        column("odometer", lambda x: f"{x} miles"),
        "{file}: odometer is '20000 miles' and the like, which tells what it is in and is "
        "read so; multiply: 1.609344 would change it a second time: remove multiply from "
        "ingest.columns.odometer",
        NUMBER["odometer"],
        ingest=by("odometer", number=True, multiply=1.609344),
        reads={"odometer": [x * KM_PER_MILE for x in DRIVEN]},
    ),
    "a name that tells miles": OddFile(
        text(header=(*HEADER[:3], "mileage_miles", "price"), separator=";"),
        "{file}: odometer is read from 'mileage_miles', whose name tells miles, and is kept "
        "in km; write unit: miles in ingest.columns.odometer, or unit: km if the name is "
        "wrong",
        {"columns": {"odometer": {"from": "mileage_miles", "unit": "miles"}}},
        ingest={"columns": {"odometer": "mileage_miles"}},
        reads={"odometer": [x * KM_PER_MILE for x in DRIVEN]},
    ),
    "kilometres in thousands": OddFile(
        column("odometer", lambda x: x / 1000),
        "{file}: the median odometer is 103.385 km; if it counts thousands, write odometer: "
        "{{from: odometer, multiply: 1000}} in ingest.columns, or give the sign before its "
        "decimals: decimal: '.' or ','",
        by("odometer", multiply=1000),
        reads={"odometer": DRIVEN},
    ),
    "some in thousands": OddFile(
        column("odometer", lambda x: x // 1000, str, str),
        "{file}: odometer is 20 and the like in 14 of the 40 cars before 2012, as if some "
        "were in thousands; bring them to one, or leave these out: write odometer: {{from: "
        r"odometer, match: '(\d[\d.,'']{{3,}}.*)'}} in ingest.columns",
        by("odometer", match=r"(\d[\d.,']{3,}.*)"),
        reads={"odometer": [None if n % 3 == 0 else x for n, x in enumerate(DRIVEN)]},
    ),
    "metres": OddFile(
        column("odometer", lambda x: x * 1000),
        "{file}: odometer is 20000000 km and the like in 80 of 80 rows, more than cars drive;"
        " if it counts metres, write odometer: {{from: odometer, multiply: 0.001}} in "
        "ingest.columns, or map another column",
        by("odometer", multiply=0.001),
        reads={"odometer": DRIVEN},
    ),
    "Swedish mil": OddFile(
        column("odometer", lambda x: f"{x // 10} mil"),
        "{file}: odometer is '2000 mil' in row 0, and cannot be read in 100 % of the rows; "
        "say what mil is: odometer: {{from: odometer, number: true, match: "
        "'(?i)(\\d[\\d., ]*)mil', multiply: 10}} in ingest.columns for Swedish mil, or multiply: "
        "1000 for thousands",
        by("odometer", number=True, match="(?i)(\\d[\\d., ]*)mil", multiply=10),
        ingest=NUMBER["odometer"],
        reads={"odometer": [x // 10 * 10 for x in DRIVEN]},
    ),
    "years of two digits": OddFile(
        column("year", lambda x: x - 2000),
        "{file}: the median year is 12; if these are years of this century, write year: "
        "{{from: year, add: 2000}} in ingest.columns; if they are the ages of cars, year: "
        "{{from: year, multiply: -1, add: <the year of the listings>}} in ingest.columns",
        by("year", add=2000),
        reads={"year": YEARS},
    ),
    "ages for years": OddFile(
        column("year", lambda x: 2023 - x),
        "{file}: the median year is 10; if these are years of this century, write year: "
        "{{from: year, add: 2000}} in ingest.columns; if they are the ages of cars, year: "
        "{{from: year, multiply: -1, add: <the year of the listings>}} in ingest.columns",
        by("year", multiply=-1, add=2023),
        reads={"year": YEARS},
    ),
    "dates for years": OddFile(
        column("year", lambda x: f"{x}-05-03"),
        "{file}: year is '2005-05-03' in row 0, and cannot be read in 100 % of the rows; "
        r"write year: {{from: year, match: '((?:19|20)\d\d)'}} in ingest.columns",
        by("year", match=r"((?:19|20)\d\d)"),
        reads={"year": YEARS},
    ),
    "days for years": OddFile(
        column("year", lambda x: f"{x}0503"),
        "{file}: the median year is 20125503; a year inside a date is read by a match: write "
        r"year: {{from: year, match: '((?:19|20)\d\d)'}} in ingest.columns; or map another "
        "column",
        by("year", match=r"((?:19|20)\d\d)"),
        reads={"year": YEARS},
    ),
    "days first for years": OddFile(
        column("year", lambda x: f"1907{x}", lambda x: f"2006{x}", lambda x: f"0912{x}"),
        f"{{file}}: the median year is …; a year inside a date is read by a match: write year: "
        f"{{{{from: year, match: '{DAY_FIRST.replace('{', '{{').replace('}', '}}')}'}}}} in …",
        by("year", match=DAY_FIRST),
        reads={"year": YEARS},
    ),
    "years of the last century": OddFile(
        column("year", lambda x: x - 1923),
        "{file}: the median year is 90; if these are years of the last century, write year: "
        "{{from: year, add: 1900}} in ingest.columns; if they are of the calendar of Taiwan, "
        "year: {{from: year, add: 1911}} in ingest.columns",
        by("year", add=1900),
        reads={"year": [x - 23 for x in YEARS]},
    ),
    "years of two centuries": OddFile(
        column("year", lambda x: f"{(x - 12) % 100:02}"),
        "{file}: the median year is …; years of two digits are of two centuries, such as 93 and 0"
        "…: write them with four digits into the file, no rule tells them apart; if …",
        column("year", lambda x: x - 12),
        reads={"year": [x - 12 for x in YEARS]},
    ),
    "years of Taiwan": OddFile(
        column("year", lambda x: x - 1911),
        "{file}: the median year is 102, of another calendar; write year: {{from: year, add: "
        "1911}} in ingest.columns",
        by("year", add=1911),
        reads={"year": YEARS},
    ),
    "milliseconds for years": OddFile(
        column("year", lambda x: (x - 1970) * 31_557_600_000 + 20_000_000_000),
        "{file}: the median year is …, as computers count milliseconds since 1970 (it is "
        "2013-02-18); no rule makes years of these: write the years themselves into the file",
        text(),
    ),
    "seconds for years": OddFile(
        column("year", lambda x: (x - 1970) * 31_557_600 + 20_000_000),
        "{file}: the median year is …, as computers count seconds since 1970 (it is 2013-02-18); "
        "no rule makes years of these: write the years themselves into the file",
        text(),
    ),
    "Excel days for years": OddFile(
        column("year", lambda x: 365 * (x - 1900) + 25),
        "{file}: the median year is 41088, as Excel counts days; write the years themselves "
        "into the file (=YEAR(A2))",
        text(),
    ),
    "Buddhist years": OddFile(
        column("year", lambda x: x + 543),
        "{file}: the median year is 2556, of another calendar; write year: {{from: year, add:"
        " -543}} in ingest.columns",
        by("year", add=-543),
        reads={"year": YEARS},
    ),
    "Persian years": OddFile(
        column("year", lambda x: x - 621),
        "{file}: the median year is 1392, of another calendar; write year: {{from: year, add:"
        " 621}} in ingest.columns",
        by("year", add=621),
        reads={"year": YEARS},
    ),
    "litres for cc": OddFile(
        beside("engineCc", LITRES),
        "{file}: the median engineCc is 1.8; engines in litres are read by unit: l, write "
        "engineCc: {{from: engineCc, unit: l}} in ingest.columns",
        by("engineCc", unit="l"),
        reads={"engine_cc": [1000 * x for x in LITRES]},
    ),
    "litres with commas, decimal a point": OddFile(
        beside("engineCc", [f"{x}".replace(".", ",") for x in LITRES]),
        "{file}: engineCc is '1,2' in row 0, and cannot be read in 100 % of the rows; write "
        "engineCc: {{from: engineCc, decimal: ',', unit: l}} in ingest.columns",
        by("engineCc", decimal=",", unit="l"),
        ingest={"decimal": ".", **by("engineCc", unit="l")},
        reads={"engine_cc": [1000 * x for x in LITRES]},
    ),
    "litres beside cc": OddFile(
        beside("engineCc", [ENGINES[n] if n % 4 else LITRES[n] for n in range(len(CARS))]),
        "{file}: engineCc is 1.2 in 20 rows and 1598 and the like in 60: litres beside cubic "
        "centimetres; bring them to one, or leave litres out: write engineCc: {{from: "
        r"engineCc, match: '(\d{{3,}}.*)'}} in ingest.columns",
        by("engineCc", match=r"(\d{3,}.*)"),
    ),
    "a name and cc": OddFile(
        beside("engineCc", [f"{LITRES[n]} TDI {ENGINES[n]}ccm" for n in range(len(CARS))]),
        "{file}: engineCc is '1.2 TDI 1199ccm' in row 0, and cannot be read in 100 % of the "
        r"rows; write engineCc: {{from: engineCc, match: '(?i)(\d[\d.,]*) "
        "?(?:cc|ccm|cm3|cm³)'}} in ingest.columns",
        by("engineCc", match=r"(?i)(\d[\d.,]*) ?(?:cc|ccm|cm3|cm³)"),
        ingest=NUMBER["engineCc"],
        reads={"engine_cc": ENGINES},
    ),
    "litres and a name": OddFile(
        beside("engineCc", [f"{x} TDI" for x in LITRES]),
        "{file}: engineCc is '1.2 TDI' in row 0, and cannot be read in 100 % of the rows; "
        r"write engineCc: {{from: engineCc, match: '(\d[.,]\d)', unit: l}} in ingest.columns",
        by("engineCc", match=r"(\d[.,]\d)", unit="l"),
        ingest=NUMBER["engineCc"],
        reads={"engine_cc": [1000 * x for x in LITRES]},
    ),
    "ranges of power, of which a match takes one end": OddFile(
        beside("powerBhp", [f"{p} - {1.2 * p:.0f} HP" if p > 100 else "0-99 HP" for p in POWERS]),
        "{file}: powerBhp is '0-99 HP' in row 0, and cannot be read in 100 % of the rows; write "
        "powerBhp: {{from: powerBhp, number: true}} in ingest.columns, which reads most of them",
        {"max_unreadable": 0.25, **POWER},
        reads={"power_bhp": [1.1 * p if p > 100 else None for p in POWERS]},
    ),
    "V8 beside cc": OddFile(
        beside("engineCc", ["V8" if n % 5 == 0 else f"{e} cc" for n, e in enumerate(ENGINES)]),
        "{file}: engineCc is 'V8' in row 0, and cannot be read in 20 % of the rows; give "
        "ingest.columns.engineCc another column or rule, or set ingest.max_unreadable: 0.2 to"
        " take such values as missing",
        {"max_unreadable": 0.2},
        ingest=NUMBER["engineCc"],
    ),
    "litres doubled": OddFile(
        beside("engineCc", [f"{x} L" for x in LITRES]),
        "{file}: engineCc is '1.2 L' and the like, which tells what it is in and is read so; "
        "multiply: 1000 would change it a second time: remove multiply from "
        "ingest.columns.engineCc",
        NUMBER["engineCc"],
        ingest=by("engineCc", number=True, multiply=1000),
        reads={"engine_cc": [1000 * x for x in LITRES]},
    ),
    "a name that tells kW": OddFile(
        beside("power_kW", POWERS),
        "{file}: powerBhp is read from 'power_kW', whose name tells kW, and is kept in bhp; "
        "write unit: kW in ingest.columns.powerBhp, or unit: bhp if the name is wrong",
        {"columns": {"powerBhp": {"from": "power_kW", "unit": "kW"}}},
        ingest={"columns": {"powerBhp": "power_kW"}},
        reads={"power_bhp": [x * BHP_PER_KW for x in POWERS]},
    ),
    "kW beside PS": OddFile(
        beside("powerBhp", [f"{x} {'kW' if n % 2 else 'PS'}" for n, x in enumerate(POWERS)]),
        "{file}: powerBhp has PS in 40 rows ('75 PS'), kW in 40 rows ('110 kW') beside the "
        "number; say what one of each is in bhp: unit: {{bhp: 1, PS: 0.98632, kW: 1.34102}} "
        "in ingest.columns.powerBhp",
        by("powerBhp", number=True, unit={"bhp": 1, "PS": 0.98632, "kW": 1.34102}),
        ingest=POWER,
        reads={"power_bhp": [x * (1.34102 if n % 2 else 0.98632) for n, x in enumerate(POWERS)]},
    ),
    "consumption that is no multiple": OddFile(
        beside("fuelEconomy", ["5.6 l/100km", "18 kmpl"] * 40),
        "{file}: fuelEconomy has l/100km in 40 rows ('5.6 l/100km'), km/l in 40 rows ('18 "
        "kmpl') beside the number, of which one is no multiple of the other; map a column in "
        "one unit, or 'fuelEconomy: null' in ingest.columns",
        {"columns": {"fuelEconomy": None}},
        ingest=by("fuelEconomy", number=True),
    ),
    "no seats": OddFile(
        beside("seats", [0] * 80),
        "{file}: seats is 0 and the like, outside of 1 to 100, in 80 of 80 rows; map another "
        "column, or 'seats: null' in ingest.columns",
        {"columns": {"seats": None}},
    ),
    "seats that fold": OddFile(
        beside("seats", ["5+2", "5"] * 40),
        "{file}: seats is '5+2' in row 0, and cannot be read in 50 % of the rows; write "
        r"seats: {{from: seats, match: (\d+)}} in ingest.columns",
        by("seats", match=r"(\d+)"),
        ingest=by("seats", number=True),
        reads={"seats": [5] * 80},
    ),
}


@pytest.mark.parametrize("name", READ)
def test_an_odd_number_is_read(name: str, tmp_path: Path) -> None:
    odd = READ[name]
    (tmp_path / "cars.csv").write_text(odd.content, encoding="utf-8")
    found, notes = read(tmp_path / "cars.csv", odd.ingest)
    assert found[odd.field] == pytest.approx([*odd.values], rel=1e-9)
    assert notes == odd.notes


@pytest.mark.parametrize("name", ODD)
def test_an_odd_number_is_refused_and_the_remedy_works(name: str, tmp_path: Path) -> None:
    check(ODD[name], tmp_path)


def test_a_match_that_splits_a_date_is_noted(tmp_path: Path) -> None:
    file = tmp_path / "cars.csv"
    file.write_text(column("year", lambda x: f"1907{x}"), encoding="utf-8")
    _, notes = read(file, by("year", match=r"((?:19|20)\d\d)"))
    assert notes[0] == (
        "match of year takes other digits of '19072005' for the year; if it is a date, write "
        f"year: {{from: year, match: '{DAY_FIRST}'}} in ingest.columns"
    )
    for match in (DAY_FIRST, r"(\d{4})$"):
        found, notes = read(file, by("year", match=match))
        assert (found["year"], [*notes]) == (YEARS, [])


GERMAN, ENGLISH = (lambda x: f"{dots(x)},00"), (lambda x: f"{x:,}.00")


@pytest.mark.parametrize(
    ("first", "second", "refusal"),
    [
        pytest.param(GERMAN, ENGLISH, "", id="each shows its own"),
        pytest.param(GERMAN, dots, "", id="as the first"),
        pytest.param(str, dots, "b.csv: price is '250.000'", id="none shows it"),
        pytest.param(GERMAN, "{:,}".format, "price is '250,000' in row 0", id="against the first"),
    ],
)
def test_files_of_two_notations_are_read_each_by_its_own_or_refused(
    first: Callable[[int], str], second: Callable[[int], str], refusal: str, tmp_path: Path
) -> None:
    for name, write in (("a.csv", first), ("b.csv", second)):
        (tmp_path / name).write_text(column("price", write), encoding="utf-8")
    if refusal:
        with pytest.raises(InputError, match=re.escape(refusal)):
            read(tmp_path / "*.csv", {})
    else:
        assert read(tmp_path / "*.csv", {})[0]["price"] == PRICES * 2
