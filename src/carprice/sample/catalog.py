"""The cars of the embedded sample market: makes, models, engines and trims.

The tables are the CSV files of the folder ``tables``, written from general knowledge of the Indian
market. The figures are rounded and plausible, not quoted from any price list or data set.

- ``makes.csv``: how well a make holds its value (1 is average, less falls faster), the parts of a
  variant's name in their order, and whether the name tells a manual gearbox too.
- ``models.csv``: the price when new, in lakh (100,000 rupees), of the first trim with the first
  engine and gearbox; the popularity, in cars of 10,000; the engines with their gearboxes, the usual
  one first; and the trims, barest first, by themselves or as the name of a ladder.
- ``engines.csv``: the engines, and the label that they have in a variant's name.
- ``trims.csv``: the ladders. ``step`` is the rise of ln(price) from the first trim, ``equipment``
  the share of the equipment: 0 for the barest trim of a model, 1 for its best.

A variant is one trim with one engine and one gearbox. Its price follows from that of its model::

    ln(price when new) = ln(price of the model) + trim step + fuel step + gearbox step
                         + 0.35 ln(power / power of the first engine)

where the fuel and gearbox steps are differences to the first engine and the first gearbox.
"""

import csv
import functools
import math
import re
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Final

LAKH: Final = 100_000
POWER_ELASTICITY: Final = 0.35
TRIM_STEP: Final = 0.09
"""Rise of ln(price) from trim to trim where a model names its trims itself, without a ladder."""

FUEL_STEPS: Final = {
    "Petrol": 0.0,
    "LPG": 0.04,
    "CNG": 0.17,
    "Diesel": 0.16,
    "Hybrid": 0.10,
    "Electric": 0.20,
}
GEARBOX_STEPS: Final = {
    "MT": 0.0,
    "IMT": 0.03,
    "AMT": 0.06,
    "AT": 0.12,
    "CVT": 0.12,
    "IVT": 0.12,
    "DCT": 0.14,
    "DSG": 0.14,
}
MANUAL: Final = frozenset({"MT", "IMT"})


@dataclass(frozen=True, slots=True)
class Variant:
    """One trim of a model with one engine and one gearbox.

    Attributes
    ----------
    equipment : 0 for the barest trim of a model, 1 for its best.
    top : whether it is the best of several trims.
    launched, ended : first and last model year.
    new_price : in rupees.
    held : how well the make holds its value; 1 is average.
    weight : number of these cars among 10,000 of the whole catalogue, whatever their age.
    """

    make: str
    model: str
    name: str
    body: str
    segment: str
    seats: int
    fuel: str
    automatic: bool
    engine_cc: int
    power_bhp: int
    equipment: float
    top: bool
    launched: int
    ended: int
    new_price: int
    held: float
    weight: float


@dataclass(frozen=True, slots=True)
class _Trim:
    name: str
    step: float
    equipment: float


@dataclass(frozen=True, slots=True)
class _Option:
    """An engine with a gearbox, as a model offers it; both are counted from the usual one, 0."""

    engine: dict[str, str]
    gearbox: str
    engine_rank: int
    gearbox_rank: int


@functools.cache
def _table(name: str) -> list[dict[str, str]]:
    text = (files("carprice.sample") / "tables" / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _options(text: str) -> list[_Option]:
    engines = {row["engine"]: row for row in _table("engines")}
    options = []
    for engine_rank, offer in enumerate(text.split()):
        engine, gearboxes = offer.split(":")
        for gearbox_rank, gearbox in enumerate(gearboxes.split("/")):
            options.append(_Option(engines[engine], gearbox, engine_rank, gearbox_rank))
    return options


def _trims(text: str) -> list[_Trim]:
    """Read the name of a ladder, or trims without one: these rise by equal steps."""
    ladder = [row for row in _table("trims") if row["ladder"] == text]
    if ladder:
        return [_Trim(row["trim"], float(row["step"]), float(row["equipment"])) for row in ladder]
    names = text.split("; ")
    return [
        _Trim(name, TRIM_STEP * rank, round((rank + 0.5) / len(names), 3))
        for rank, name in enumerate(names)
    ]


def _trim_weight(rank: int, count: int) -> float:
    """Return how well a trim sells: the middle ones best, the barest and the best least."""
    return math.exp(-0.5 * (((rank + 0.5) / count - 0.45) / 0.28) ** 2)


def _step(option: _Option, usual: _Option) -> float:
    """Return the rise of ln(price) from the usual engine and gearbox to another."""
    power, usual_power = (int(one.engine["power_bhp"]) for one in (option, usual))
    return (
        FUEL_STEPS[option.engine["fuel"]]
        - FUEL_STEPS[usual.engine["fuel"]]
        + GEARBOX_STEPS[option.gearbox]
        - GEARBOX_STEPS[usual.gearbox]
        + POWER_ELASTICITY * math.log(power / usual_power)
    )


def _name(make: dict[str, str], trim: str, option: _Option) -> str:
    if make["make"] == "Maruti" and option.engine["fuel"] == "Diesel":
        trim = re.sub(r"XI\b", "DI", trim)  # its diesels are VDI where its petrol cars are VXI
    is_told = option.gearbox != "MT" or make["names_manual"] == "yes"
    told = {
        "trim": trim,
        "engine": option.engine["label"],
        "gearbox": option.gearbox if is_told else "",
    }
    parts = (told[part] for part in make["name_parts"].split())
    return " ".join(part for part in parts if part) or "STANDARD"


def _model_variants(make: dict[str, str], model: dict[str, str]) -> list[Variant]:
    options, trims = _options(model["engines"]), _trims(model["trims"])
    found = []
    for option in options:
        engine, step = option.engine, _step(option, options[0])
        for rank, trim in enumerate(trims):
            price = float(model["new_price_lakh"]) * LAKH * math.exp(step + trim.step)
            found.append(
                Variant(
                    make=make["make"],
                    model=model["model"],
                    name=_name(make, trim.name, option),
                    body=model["body"],
                    segment=model["segment"],
                    seats=int(model["seats"]),
                    fuel=engine["fuel"],
                    automatic=option.gearbox not in MANUAL,
                    engine_cc=int(engine["engine_cc"]),
                    power_bhp=int(engine["power_bhp"]),
                    equipment=trim.equipment,
                    top=0 < rank == len(trims) - 1,
                    launched=max(int(model["launched"]), int(engine["launched"])),
                    ended=min(int(model["ended"]), int(engine["ended"])),
                    new_price=round(price / 1000) * 1000,
                    held=float(make["held"]),
                    weight=_trim_weight(rank, len(trims))
                    / ((1 + option.engine_rank) * (1 + 2 * option.gearbox_rank)),
                )
            )
    total = sum(variant.weight for variant in found)
    share = float(model["popularity"]) / total
    return [replace(variant, weight=variant.weight * share) for variant in found]


@functools.cache
def variants() -> tuple[Variant, ...]:
    """Return every variant of the catalogue, in the order of its tables.

    Examples
    --------
    >>> from carprice.sample.catalog import variants
    >>> swift = [car for car in variants() if car.model == "Swift"]
    >>> swift[0].name, swift[0].fuel, swift[0].new_price
    ('LXI 1.2', 'Petrol', 580000)
    """
    makes = {row["make"]: row for row in _table("makes")}
    return tuple(
        variant
        for model in _table("models")
        for variant in _model_variants(makes[model["make"]], model)
    )
