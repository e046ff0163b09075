"""The embedded sample: a seeded, synthetic used-car market with a known price process.

The cars are those of :mod:`carprice.sample.catalog`. Every listing has a true price that only its
properties decide, and a listed price that is the true one with noise, so that it is known how close
a model can get. ``age`` is counted in years from the middle of the model year to the day of the
listing, never below 0::

    ln truePrice = ln(price when new, of the variant)
                 - pace · (drop · (1 - exp(-age / 1.2)) + rate · age)      by segment, see SEGMENTS
                 - 0.09 · ln((distance + 20,000) / (expected + 20,000))    distance, km
                 - 0.05 · min(owners - 1, 4)                               owners
                 - fuel                                                    see below
                 + 0.04 - 0.006 · age        for automatics                gearbox
                 + sum of EQUIPMENT_WORTH over the car's equipment           equipment
                 + COLOURS                                                 colour
                 + 0.03 · (years since the first day of listing)           market trend

    pace     = quirk / held        held: by make; quirk: by model, from 0.93 to 1.07
    expected = km a year by fuel · (age + 0.3)
    fuel     = 0.015 · max(age - 8, 0) for diesel, 0.03 · age for electric,
               0.02 for CNG and LPG, else 0

    listingPrice = truePrice · exp(noise), rounded to 1,000
    noise        = sd(age) · t5 / sqrt(5/3), cut off at 5 sd;  t5: Student, 5 degrees of freedom
    sd(age)      = 0.07 + 0.009 · min(age, 15)

Last, errors of real listings are added; the constants below name each kind and its rate. The true
price is that of the car as it is, whatever distance and equipment its row then records.
"""

import datetime
import functools
import re
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from carprice.arrays import Floats
from carprice.sample.catalog import variants
from carprice.schema import REFERENCE_EQUIPMENT

FIRST_DAY: Final = datetime.date(2024, 1, 1)
LAST_DAY: Final = datetime.date(2025, 6, 30)

MISSING_COLOUR_RATE: Final = 0.006
DUPLICATE_RATE: Final = 0.01
LOW_ODOMETER_RATE: Final = 0.0015
"""Tens of kilometres on a car of 3 years or more."""
HIGH_ODOMETER_RATE: Final = 0.0015
"""Above 500,000 km."""
RESPELLED_VARIANT_RATE: Final = 0.15
STRAY_SPACE_MAKE_RATE: Final = 0.003
CNG_AS_PETROL_RATE: Final = 0.4
"""Share of the CNG cars."""
UNRECORDED_EQUIPMENT_RATE: Final = 0.10
IMPOSSIBLE_RATE: Final = 0.0005
"""A year of 2060 or 1899, or a price of 1 or 0."""
SHORT_FITNESS_RATE: Final = 0.09
"""Share of the diesel cars whose fitness is 10 years."""

SEGMENTS: Final = {
    "city": (0.10, 0.085),
    "premium": (0.10, 0.083),
    "sedan": (0.12, 0.095),
    "suv": (0.09, 0.078),
    "people": (0.08, 0.072),
    "executive": (0.15, 0.105),
    "luxury": (0.20, 0.130),
    "exotic": (0.22, 0.135),
}
"""``drop`` of the first years and yearly ``rate`` of ln(price)."""

FUELS: Final = ("Petrol", "Diesel", "CNG", "LPG", "Hybrid", "Electric")
KM_A_YEAR: Final = (9_500, 12_500, 13_000, 10_000, 10_500, 8_500)
FITNESS_YEARS: Final = (15, 14, 13, 15, 15, 15)
PETROL, DIESEL, CNG, LPG, _, ELECTRIC = range(len(FUELS))

COLOURS: Final = {
    "White": (0.37, 0.010),
    "Silver": (0.17, 0.0),
    "Grey": (0.12, 0.005),
    "Red": (0.105, -0.005),
    "Blue": (0.09, 0.0),
    "Black": (0.07, 0.008),
    "Brown": (0.035, -0.02),
    "Orange": (0.015, -0.025),
    "Green": (0.012, -0.035),
    "Yellow": (0.007, -0.045),
    "Purple": (0.006, -0.055),
}
"""Share of the cars and effect on ln(price)."""

AGE_SHARES: Final = (1, 4, 8, 10, 10, 10, 10, 9.5, 9, 8, 7, 5, 4, 3, 2.5, 1.5, 0.8, 0.4, 0.2)
"""Relative number of cars that are 0, 1, … 18 calendar years old."""

EQUIPMENT_RULES: Final = {
    "360DegreeCamera": (1.55, 0.07),
    "AlloyWheels": (0.62, 0.04),
    "AppleCarplayAndroidAuto": (0.72, 0.12),
    "Bluetooth": (0.25, 0.10),
    "CruiseControl": (0.85, 0.05),
    "GpsNavigation": (0.93, 0.06),
    "InfotainmentSystem": (0.72, 0.10),
    "LeatherSeats": (1.05, 0.02),
    "ParkingAssist": (0.20, 0.12),
    "PushButtonStart": (0.80, 0.06),
    "RearAc": (0.62, 0.03),
    "Sunroof/Moonroof": (1.12, 0.06),
    "Tpms": (1.08, 0.09),
    "VentilatedSeats": (1.50, 0.06),
}
"""A car has the item if its level of equipment exceeds the first number, which falls by the second
with every model year after 2018. TopModel follows from the trim; SpecialRegNo is drawn."""

SEGMENT_EQUIPMENT: Final = {"executive": 0.30, "luxury": 0.55, "exotic": 0.75, "suv": 0.12}
SPECIAL_NUMBER_SHARE: Final = 0.05

EQUIPMENT_WORTH: Final = {
    "360DegreeCamera": 0.012,
    "AlloyWheels": 0.008,
    "AppleCarplayAndroidAuto": 0.006,
    "CruiseControl": 0.006,
    "LeatherSeats": 0.010,
    "PushButtonStart": 0.008,
    "SpecialRegNo": 0.010,
    "Sunroof/Moonroof": 0.025,
    "VentilatedSeats": 0.012,
}
"""Effect on ln(price), in addition to the trim's price when new."""

_OWNERS_A_YEAR = 0.058
_MAX_AGE = len(AGE_SHARES) - 1
_SPELLINGS = 12
_CHEAP_LOAN_AGE = 4
_WELL_USED_AGE = 3
_SECOND_YEAR = (datetime.date(FIRST_DAY.year + 1, 1, 1) - FIRST_DAY).days

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Cars:
    """Cars as they are, before any error is added, each an element of every array.

    ``variant`` and ``colour`` are places in :func:`carprice.sample.catalog.variants` and in
    ``COLOURS``; ``listed`` is in days after ``FIRST_DAY``, ``distance`` in km; ``equipment`` has a
    row for each of ``REFERENCE_EQUIPMENT``.
    """

    variant: Integers
    year: Integers
    listed: Integers
    owners: Integers
    colour: Integers
    distance: Floats
    equipment: Flags

    @property
    def age(self) -> Floats:
        """Years from the middle of the model year to the listing."""
        return _age(self.year, self.listed)


def generate(rows: int, seed: int, *, with_truth: bool = False) -> pd.DataFrame:
    """Return listings of the sample market; the same seed gives the same rows.

    The columns have the names of the reference files. ``featureCount`` is the length of the printed
    feature list, as there, not a count; ``cashDownPayment``, ``avgEmi``, ``emi…`` and ``roi…`` are
    computed from the price: a model must learn from none of them.

    Parameters
    ----------
    rows, seed : number of listings, duplicates included, and of the draw. A negative one is a
        ValueError.
    with_truth : whether ``truePrice``, the price of the car without noise, follows as last column.

    Examples
    --------
    >>> from carprice.sample.market import generate
    >>> listings = generate(1000, seed=7)
    >>> listings.shape, listings["make"].str.strip().mode()[0]
    ((1000, 38), 'Maruti')
    """
    if rows < 0 or seed < 0:
        raise ValueError(f"rows and seed must not be negative, found {rows} and {seed}")
    cars_rng, noise_rng, dirt_rng = np.random.default_rng(seed).spawn(3)
    cars = _draw_cars(rows, cars_rng)
    truth = true_price(cars)
    price = _listed_price(truth, cars.age, noise_rng)
    columns = _recorded(cars, price, dirt_rng)
    columns |= _finance(price, cars)
    if with_truth:
        columns["truePrice"] = truth
    _spoil(columns, cars, dirt_rng)
    order = _with_duplicates(rows, dirt_rng)
    return pd.DataFrame({name: column[order] for name, column in columns.items()})


def true_price(cars: Cars) -> Floats:
    """Return the noise-free price of each car in rupees, by the formulas of this module."""
    age, of = cars.age, _properties(cars)
    fuel, automatic = of["fuel"], of["automatic"]
    early = of["drop"] * (1 - np.exp(-age / 1.2))
    tint = np.array([effect for _, effect in COLOURS.values()])
    worth = np.array([EQUIPMENT_WORTH.get(name, 0.0) for name in REFERENCE_EQUIPMENT])
    log_price = (
        of["log_new"]
        - of["pace"] * (early + of["rate"] * age)
        - 0.09 * np.log((cars.distance + 20_000) / (_expected_distance(fuel, age) + 20_000))
        - 0.05 * np.minimum(cars.owners - 1, 4)
        - _fuel_discount(fuel, age)
        + np.where(automatic, 0.04 - 0.006 * age, 0.0)
        + worth @ cars.equipment
        + tint[cars.colour]
        + 0.03 * cars.listed / 365.25
    )
    return np.asarray(np.exp(log_price))


def noise_sd(age: Floats) -> Floats:
    """Return the standard deviation of ln(listed price / true price) at each age in years.

    Examples
    --------
    >>> noise_sd(np.array([0.0, 15.0, 18.0]))
    array([0.07 , 0.205, 0.205])
    """
    return 0.07 + 0.009 * np.minimum(age, 15.0)


def _age(year: Integers, listed: Integers) -> Floats:
    return np.maximum(FIRST_DAY.year - 0.5 + listed / 365.25 - year, 0.0)


def _expected_distance(fuel: Integers, age: Floats) -> Floats:
    return np.array(KM_A_YEAR, dtype=np.float64)[fuel] * (age + 0.3)


def _fuel_discount(fuel: Integers, age: Floats) -> Floats:
    discount = np.where(fuel == DIESEL, 0.015 * np.maximum(age - 8, 0), 0.0)
    discount += np.where(fuel == ELECTRIC, 0.03 * age, 0.0)
    discount += np.where((fuel == CNG) | (fuel == LPG), 0.02, 0.0)
    return discount


def _listed_price(truth: Floats, age: Floats, rng: Generator) -> Integers:
    noise = np.clip(rng.standard_t(5, len(truth)) / np.sqrt(5 / 3), -5, 5)
    return _rounded(truth * np.exp(noise_sd(age) * noise), 1000)


def _rounded(values: Floats, unit: int) -> Integers:
    return np.rint(values / unit).astype(np.int64) * unit


def _draw_cars(rows: int, rng: Generator) -> Cars:
    table = _table()
    variant = np.searchsorted(np.cumsum(table["share"]), rng.random(rows), side="right")
    variant = np.minimum(variant, len(table["share"]) - 1)
    listed = rng.integers(0, (LAST_DAY - FIRST_DAY).days + 1, rows)
    year = _draw_year(variant, listed, rng)
    age = _age(year, listed)
    shares = np.array([share for share, _ in COLOURS.values()])
    usual = _expected_distance(table["fuel"][variant], age)
    return Cars(
        variant=variant,
        year=year,
        listed=listed,
        owners=np.minimum(1 + rng.poisson(_OWNERS_A_YEAR * age), 7),
        colour=rng.choice(len(shares), size=rows, p=shares / shares.sum()),
        distance=np.minimum(np.rint(usual * rng.lognormal(-0.05, 0.45, rows)), 400_000.0),
        equipment=_draw_equipment(variant, year, rng),
    )


def _draw_year(variant: Integers, listed: Integers, rng: Generator) -> Integers:
    """Draw model years by ``AGE_SHARES``, cut to the years in which the variant was sold."""
    table = _table()
    listing_year: Integers = FIRST_DAY.year + (listed >= _SECOND_YEAR)
    youngest = np.maximum(listing_year - table["ended"][variant], 0)
    oldest = np.minimum(listing_year - table["launched"][variant], _MAX_AGE)
    below = np.concatenate([[0.0], np.cumsum(AGE_SHARES)])
    point = below[youngest] + rng.random(len(variant)) * (below[oldest + 1] - below[youngest])
    age = np.clip(np.searchsorted(below, point, side="right") - 1, youngest, oldest)
    return np.asarray(listing_year - age)


def _draw_equipment(variant: Integers, year: Integers, rng: Generator) -> Flags:
    table = _table()
    level = table["equipment"][variant]
    flags = np.zeros((len(REFERENCE_EQUIPMENT), len(variant)), dtype=np.bool_)
    for place, name in enumerate(REFERENCE_EQUIPMENT):
        # Cars of one variant differ a little in what is fitted and found worth mentioning.
        chance = rng.random(len(variant))
        if name == "SpecialRegNo":
            flags[place] = chance < SPECIAL_NUMBER_SHARE
        elif name == "TopModel":
            flags[place] = chance < np.where(table["top"][variant], 0.95, 0.06)
        else:
            least, yearly = EQUIPMENT_RULES[name]
            margin = level + yearly * (year - 2018) - least
            flags[place] = chance < 1 / (1 + np.exp(-10 * margin))
    return flags


def _recorded(cars: Cars, price: Integers, rng: Generator) -> dict[str, Column]:
    """Return the columns of the listings as recorded, in the order of the reference files."""
    table, rows, of = _table(), len(price), _properties(cars)
    fuel = of["fuel"]
    fuel = np.where((fuel == CNG) & (rng.random(rows) < CNG_AS_PETROL_RATE), PETROL, fuel)
    spelling = rng.integers(1, _SPELLINGS + 1, rows)
    spelling[rng.random(rows) >= RESPELLED_VARIANT_RATE] = 0
    stray = rng.integers(1, table["make"].shape[1], rows)
    stray[rng.random(rows) >= STRAY_SPACE_MAKE_RATE] = 0
    colour = np.where(rng.random(rows) < MISSING_COLOUR_RATE, len(COLOURS), cars.colour)
    flags = cars.equipment & (rng.random(rows) >= UNRECORDED_EQUIPMENT_RATE)
    day = np.datetime64(FIRST_DAY, "D") + cars.listed.astype("timedelta64[D]")
    return {
        "listingPrice": price,
        "make": table["make"][cars.variant, stray],
        "model": of["model"],
        "variant": table["spelling"][cars.variant, spelling],
        "year": cars.year,
        "transmissionType": np.array(["Manual", "Automatic"], dtype=object)[
            of["automatic"].astype(int)
        ],
        "bodyType": of["body"],
        "fuelType": np.array(FUELS, dtype=object)[fuel],
        "ownership": cars.owners,
        "color": np.array([*COLOURS, None], dtype=object)[colour],
        "odometer": cars.distance.astype(np.int64),
        "fitnessAge": _fitness(fuel, rng),
        **dict(zip(REFERENCE_EQUIPMENT, flags.astype(np.int8), strict=True)),
        "featureCount": _printed_length(flags),
        "engineCc": of["engine_cc"],
        "powerBhp": of["power_bhp"],
        "seats": of["seats"],
        "listedOn": day.astype("datetime64[ms]"),
    }


def _fitness(fuel: Integers, rng: Generator) -> Integers:
    years = np.array(FITNESS_YEARS)[fuel]
    years[(fuel == DIESEL) & (rng.random(len(fuel)) < SHORT_FITNESS_RATE)] = 10
    return years


def _printed_length(flags: Flags) -> Integers:
    """Return ``len(str(list of feature names))``: 2 for none."""
    lengths = np.array([len(repr(name)) + len(", ") for name in REFERENCE_EQUIPMENT])
    return np.asarray(np.maximum(lengths @ flags, 2))


def _finance(price: Integers, cars: Cars) -> dict[str, Column]:
    """Return down payment and instalments; the loan ends when the car is about 15 years old."""
    down = _rounded(0.1 * price.astype(np.float64), 1000)
    rate = np.where(cars.age < _CHEAP_LOAN_AGE, 11, 12)
    months = 12 * np.clip(15 - np.floor(cars.age), 1, 6)
    start = _instalment(price - down, rate, months)
    end = _instalment(price - down, rate + 2, months)
    return {
        "cashDownPayment": down,
        "emiStartingValue": start,
        "emiEndingValue": end,
        "avgEmi": (start + end) // 2,
        "roiMinDiscounted": rate,
    }


def _instalment(loan: Integers, rate: Integers, months: Floats) -> Integers:
    monthly = rate / 1200
    return np.rint(loan * monthly / (1 - (1 + monthly) ** -months)).astype(np.int64)


def _spoil(columns: dict[str, Column], cars: Cars, rng: Generator) -> None:
    """Make a few odometers, years and prices impossible, in place."""
    rows = len(cars.year)
    kind = rng.random(rows)
    low = (kind < LOW_ODOMETER_RATE) & (cars.age >= _WELL_USED_AGE)
    high = kind >= 1 - HIGH_ODOMETER_RATE
    columns["odometer"][low] = rng.integers(10, 100, rows)[low]
    columns["odometer"][high] = rng.integers(500_001, 900_000, rows)[high]
    impossible = rng.random(rows) < IMPOSSIBLE_RATE
    way = rng.integers(0, 4, rows)
    for number, (name, value) in enumerate(
        [("year", 2060), ("year", 1899), ("listingPrice", 1), ("listingPrice", 0)]
    ):
        spoiled = columns[name].copy()
        spoiled[impossible & (way == number)] = value
        columns[name] = spoiled


def _with_duplicates(rows: int, rng: Generator) -> Integers:
    """Return row numbers, some of them replaced by those of other rows: the duplicates."""
    order = np.arange(rows)
    shuffled = rng.permutation(rows)
    copies = round(DUPLICATE_RATE * rows)
    if copies:
        order[shuffled[:copies]] = rng.choice(shuffled[copies:], copies)
    return order


def _properties(cars: Cars) -> dict[str, Column]:
    """Return what the catalogue says of each car."""
    return {name: values[cars.variant] for name, values in _table().items() if values.ndim == 1}


@functools.cache
def _table() -> dict[str, Column]:
    """Return the catalogue as arrays, one element or row for each variant.

    ``make`` and ``spelling`` have a column for each way in which the text is written.
    """
    cars = variants()
    same = ("automatic", "power_bhp", "seats", "top", "launched", "ended")
    rates = np.array([SEGMENTS[segment] for segment in cars["segment"]])
    return {
        **{name: cars[name].to_numpy() for name in same},
        **{name: cars[name].to_numpy(dtype=object) for name in ("model", "body")},
        "make": np.array([*map(_stray_spaces, cars["make"])], dtype=object),
        "spelling": np.array([*map(_spellings, cars["name"])], dtype=object),
        "fuel": cars["fuel"].map(FUELS.index).to_numpy(),
        "engine_cc": cars["engine_cc"].where(cars["engine_cc"] > 0).to_numpy(),
        "equipment": cars["equipment"].to_numpy(dtype=np.float64)
        + cars["segment"].map(SEGMENT_EQUIPMENT).fillna(0.0).to_numpy(),
        "log_new": np.log(cars["new_price"].to_numpy()),
        "pace": (cars["model"].map(_quirk) / cars["held"]).to_numpy(),
        "drop": rates[:, 0],
        "rate": rates[:, 1],
        "share": _shares(cars),
    }


def _quirk(model: str) -> float:
    """Return 0.93 to 1.07 for a model's name: the same everywhere and for every seed."""
    return 0.93 + 0.14 * zlib.crc32(model.encode()) / 2**32


def _shares(cars: pd.DataFrame) -> Floats:
    """Return each variant's share: its model's popularity, split by how long it was sold."""
    sold = cars["weight"] * [*map(_sold, cars["launched"], cars["ended"])]
    of_model = [cars["make"], cars["model"]]
    popularity = cars["weight"].groupby(of_model).transform("sum")
    share = (popularity * sold / sold.groupby(of_model).transform("sum")).to_numpy()
    return np.asarray(share / share.sum())


def _sold(launched: int, ended: int) -> float:
    youngest = max(FIRST_DAY.year - ended, 0)
    return sum(AGE_SHARES[youngest : FIRST_DAY.year - launched + 1])


def _stray_spaces(make: str) -> list[str]:
    return [make, f" {make}", f"{make} ", make.replace(" ", "  ") if " " in make else f"{make}  "]


def _spellings(name: str) -> list[str]:
    """Return a name and ``_SPELLINGS`` other ways in which people write it, repeated if fewer."""
    ways = [
        name.lower(),
        name.title(),
        name.replace(" ", "  ", 1),
        f"{name} ",
        f" {name}",
        re.sub(r"\b(\d\.\d)\b", r"\1 L", name),
        re.sub(r"\b(\d\.\d)\b", r"\1L", name),
        name.replace("(O)", "OPT"),
        name.replace(" (O)", "(O)"),
        re.sub(r"\s?\+", " PLUS", name),
        name.replace("PLUS", "+"),
        re.sub(r"\b(AT|AMT|CVT|DCT|MT)$", r"(\1)", name),
    ]
    others = [way for way in dict.fromkeys(ways) if way != name]
    return [name, *(others * _SPELLINGS)[:_SPELLINGS]]
