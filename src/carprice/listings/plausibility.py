"""Doubt a whole source: figures that no market of used cars has stop the run."""

from collections.abc import Iterator

import pandas as pd

from carprice.errors import InputError
from carprice.listings.cleaning import default_price_range
from carprice.schema import KINDS, NUMERIC, PRICE, alias, bounds
from carprice.settings import IngestSettings

_CHEAPEST_MARKET = 100.0
_LEAST_DRIVEN = 1000.0
_SMALLEST_ENGINE = 20.0
_MOST_TOO_DEAR = 3
_SHARE_TOO_DEAR = 0.001
_SHARE_OUTSIDE = 0.5


def refuse_implausible(frame: pd.DataFrame, settings: IngestSettings, label: str) -> None:
    """Raise an InputError if the figures of a source are those of no market of used cars.

    Parameters
    ----------
    frame : mapped rows, before any is rejected.
    """
    if doubt := next(_doubts(frame, settings), None):
        raise InputError(f"{label}: {doubt}")


def _doubts(frame: pd.DataFrame, settings: IngestSettings) -> Iterator[str]:
    medians = frame[[PRICE, "year", "odometer", "engine_cc"]]
    price, year, odometer, engine = medians.where(medians > 0).median().tolist()
    currency, distance = settings.units.currency, settings.units.distance
    if year < 100:
        yield f"the median year is {year:.0f}; write year: {{from: ..., add: 2000}}"
    if year > bounds("year")[1]:
        yield (
            f"the median year is {year:.0f}; a year inside a date is read by "
            "year: {from: ..., match: '(\\d{4})'}"
        )
    if settings.price_range is None:
        dear = frame[PRICE][frame[PRICE] > default_price_range(frame[PRICE])[1]]
        if len(dear) > max(_MOST_TOO_DEAR, _SHARE_TOO_DEAR * len(frame)):
            yield (
                f"{len(dear):,} prices are above 1000 times the median, {price:.6g} {currency}, "
                f"such as {dear.iloc[0]:.10g}; are prices in two units, such as rupees beside "
                "lakh? Bring them to one, or set ingest.price_range to leave others out"
            )
        if price < _CHEAPEST_MARKET:
            yield (
                f"the median price is {price:.6g} {currency}; give the decimal sign of the file "
                "(ingest.decimal), or what prices are in (multiply: 1000 or 100000 in "
                "ingest.columns.price), or, if that is right, ingest.price_range"
            )
    is_old = frame["year"].max() - year >= 2
    if is_old and odometer < _LEAST_DRIVEN:
        yield (
            f"the median odometer is {odometer:.6g} {distance}; give the decimal sign of the file "
            "(ingest.decimal), or multiply: 1000 in ingest.columns.odometer"
        )
    if engine < _SMALLEST_ENGINE:
        yield (
            f"the median engineCc is {engine:.6g}; engines in litres are read by unit: l in "
            "ingest.columns.engineCc"
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
