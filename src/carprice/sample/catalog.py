"""The cars of the embedded sample market: makes, models, engines and trims.

The tables are the CSV files of the folder ``tables``, written from general knowledge of the Indian
market. The figures are rounded and plausible, not quoted from any price list or data set.

- ``makes.csv``: how well a make holds its value (1 is average, less falls faster), the parts of a
  variant's name in their order, and whether the name shows a manual gearbox too.
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

import functools
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final

import numpy as np
import pandas as pd

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

_MODEL: Final = ["make", "model"]


@functools.cache
def variants() -> pd.DataFrame:
    """Return every variant of the catalogue, in the order of its tables.

    Returns
    -------
    pandas.DataFrame
        What the tables say of each, and:

        - ``name``
        - ``automatic`` : whether the gearbox is
        - ``equipment`` : 0 for the barest trim of a model, 1 for its best
        - ``top`` : whether it is the best of several trims
        - ``launched``, ``ended`` : first and last model year
        - ``new_price`` : in rupees
        - ``weight`` : number of these cars among 10,000 of the whole catalogue, whatever their age

    Examples
    --------
    >>> from carprice.sample.catalog import variants
    >>> swift = variants().query("model == 'Swift'").iloc[0]
    >>> swift["name"], swift["fuel"], int(swift["new_price"])
    ('LXI 1.2', 'Petrol', 580000)
    """
    cars = _table("models").merge(_table("makes"), on="make", how="left")
    cars = _exploded(cars, "engines", str.split, "engine_rank")
    cars[["engine", "gearbox"]] = cars["engines"].str.split(":", expand=True)
    cars = _exploded(cars, "gearbox", lambda gearboxes: gearboxes.split("/"), "gearbox_rank")
    cars = cars.merge(_table("engines"), on="engine", how="left", suffixes=("", "_engine"))
    cars["price_step"] = _engine_steps(cars)
    ladders = {
        name: [*rows[["trim", "step", "equipment"]].itertuples(index=False, name=None)]
        for name, rows in _table("trims").groupby("ladder")
    }
    trims = cars["trims"].map(lambda text: ladders.get(text) or _equal_steps(text.split("; ")))
    cars = _exploded(cars.assign(trims=trims, count=trims.map(len)), "trims", list, "rank")
    cars = cars.join(pd.DataFrame([*cars["trims"]], columns=["trim", "trim_step", "equipment"]))
    price = cars["new_price_lakh"] * LAKH * np.exp(cars["price_step"] + cars["trim_step"])
    sales = _trim_weight(cars["rank"], cars["count"])
    cars["weight"] = sales / ((1 + cars["engine_rank"]) * (1 + 2 * cars["gearbox_rank"]))
    share = cars["popularity"] / cars.groupby(_MODEL)["weight"].transform("sum")
    return cars.assign(
        name=[_name(car) for car in cars.to_dict("records")],
        automatic=~cars["gearbox"].isin(MANUAL),
        top=(cars["rank"] > 0) & (cars["rank"] == cars["count"] - 1),
        launched=cars[["launched", "launched_engine"]].max(axis=1),
        ended=cars[["ended", "ended_engine"]].min(axis=1),
        new_price=(price / 1000).round().astype(np.int64) * 1000,
        weight=cars["weight"] * share,
    )


def _table(name: str) -> pd.DataFrame:
    with (files("carprice.sample") / "tables" / f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, keep_default_na=False)


def _exploded(
    table: pd.DataFrame, column: str, split: Callable[[Any], list[Any]], rank: str
) -> pd.DataFrame:
    """Split a column into one row for each item; column ``rank`` gets an item's place, from 0."""
    rows = table.assign(**{column: table[column].map(split)}).explode(column)
    return rows.assign(**{rank: rows.groupby(level=0).cumcount()}).reset_index(drop=True)


def _equal_steps(names: list[str]) -> list[tuple[str, float, float]]:
    """Return the trims of a model without a ladder: name, rise of ln(price), equipment."""
    return [
        (name, TRIM_STEP * rank, round((rank + 0.5) / len(names), 3))
        for rank, name in enumerate(names)
    ]


def _trim_weight(rank: pd.Series, count: pd.Series) -> pd.Series:
    """Return the relative sales of trims: most for the middle ones, least for barest and best."""
    return np.exp(-0.5 * (((rank + 0.5) / count - 0.45) / 0.28) ** 2)


def _engine_steps(cars: pd.DataFrame) -> pd.Series:
    """Return the rise of ln(price) from each model's usual engine and gearbox to another."""
    usual = cars.groupby(_MODEL)[["fuel", "gearbox", "power_bhp"]].transform("first")
    return (
        cars["fuel"].map(FUEL_STEPS)
        - usual["fuel"].map(FUEL_STEPS)
        + cars["gearbox"].map(GEARBOX_STEPS)
        - usual["gearbox"].map(GEARBOX_STEPS)
        + POWER_ELASTICITY * np.log(cars["power_bhp"] / usual["power_bhp"])
    )


def _name(car: dict[str, Any]) -> str:
    trim = car["trim"]
    if car["make"] == "Maruti" and car["fuel"] == "Diesel":
        trim = re.sub(r"XI\b", "DI", trim)  # its diesels are VDI where its petrol cars are VXI
    is_shown = car["gearbox"] != "MT" or car["names_manual"] == "yes"
    texts = {"trim": trim, "engine": car["label"], "gearbox": car["gearbox"] if is_shown else ""}
    parts = (texts[part] for part in car["name_parts"].split())
    return " ".join(filter(None, parts)) or "STANDARD"
