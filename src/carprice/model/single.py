"""One listing's price by look-ups alone: what a request costs is then the trees, and little else.

A numpy call on an array of one element takes a microsecond, and
:func:`carprice.model.valuation.value` makes hundreds of them. :class:`SinglePricer` says the same
of one listing with dictionaries and plain floats.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from itertools import count
from operator import itemgetter
from statistics import NormalDist
from threading import Lock
from typing import Any

import numpy as np

from carprice.model.cautions import (
    CHECKED_NUMBERS,
    Caution,
    first_unseen,
    future_year,
    impossible_odometer,
    out_of_range,
    unseen,
)
from carprice.model.encoder import ANCHORS, COUNTED, Encoder, Matrix
from carprice.model.hedonic import POWERTRAIN, Hedonic
from carprice.model.intervals import AGE_BANDS
from carprice.model.price_model import DEFAULT_CONFIDENCE, PriceModel
from carprice.model.single_car import Car, CarCompleter, CarReader
from carprice.model.single_hedonic import SingleHedonic
from carprice.model.valuation import Valuation


class SinglePricer:
    """Values one listing at a time, the same as :func:`carprice.model.valuation.value`."""

    def __init__(self, model: PriceModel) -> None:
        self._reader = CarReader(model.market)
        self._completer = CarCompleter(model.defaults)
        self._hedonic = SingleHedonic(model.hedonic)
        self._trees = _Trees(model)
        self._ranges = _Ranges(model)
        self._open = _OpenVariance(model.hedonic)
        self._cautions = _Cautions(model)

    def value(self, fields: Mapping[str, Any], confidence: float = DEFAULT_CONFIDENCE) -> Valuation:
        """Value a listing.

        Parameters
        ----------
        fields : values of a valid :class:`carprice.schema.Listing` by field name; None or absent
            where missing. Other keys are ignored.

        Raises
        ------
        ValueError
            If the confidence is outside 0.5–0.99.
        """
        given = self._reader.read(fields)
        car = self._completer.complete(given)
        log_price = self._hedonic.log_price(car)
        residual, log_scale = self._trees.sums(
            car, (log_price, *self._hedonic.names_worth(car.texts))
        )
        log_price += residual
        low, high = self._ranges.offsets(
            math.exp(log_scale), car.numbers["age"], confidence, self._open.variance(given, car)
        )
        return Valuation(
            _cents(math.exp(log_price)),
            _cents(math.exp(log_price + low)),
            _cents(math.exp(log_price + high)),
            car.day,
            self._cautions.of(fields, given),
        )


class _Trees:
    """Both ensembles of trees, which read the same row; one car at a time."""

    def __init__(self, model: PriceModel) -> None:
        row = np.zeros((1, len(model.encoder.columns)), dtype=np.float32)
        self._writer = _RowWriter(model.encoder, row)
        self._booster, self._scale = model.booster.bound_to(row), model.scale.bound_to(row)
        self._lock = Lock()

    def sums(self, car: Car, anchor: tuple[float, float, float]) -> tuple[float, float]:
        """Return what trees add to ln(price), and what they say of the size of the error."""
        with self._lock:
            self._writer.write(car, anchor)
            return self._booster.predict(), self._scale.predict()


class _RowWriter:
    """Writes the trees' row of a car, as :meth:`carprice.model.encoder.Encoder.matrix` does."""

    def __init__(self, encoder: Encoder, row: Matrix) -> None:
        place = count(len(ANCHORS))
        self._bytes = row.data.cast("B")
        self._cells = self._bytes.cast("f")
        self._blank = bytes(row.nbytes)
        self._numbers = [(name, next(place)) for name in encoder.numbers]
        self._levels = [
            {level: next(place) for level in levels} for levels in encoder.levels.values()
        ]
        self._categories = itemgetter(*encoder.levels)
        self._equipment = {name: next(place) for name in encoder.equipment}
        self._rows = [(name, encoder.rows[name], next(place)) for name in COUNTED]

    def write(self, car: Car, anchor: tuple[float, float, float]) -> None:
        """Write one car over the one before; ``anchor`` is what the ridge says of it."""
        cells, texts, numbers = self._cells, car.texts, car.numbers
        self._bytes[:] = self._blank
        cells[0], cells[1], cells[2] = anchor
        for name, place in self._numbers:
            cells[place] = numbers[name]
        # No place is 0, which is the anchor's: 0 would be lost with the None of unknown values.
        for place in filter(None, map(dict.get, self._levels, self._categories(texts))):
            cells[place] = 1.0
        for place in filter(None, map(self._equipment.get, car.equipment)):
            cells[place] = 1.0
        for name, rows, place in self._rows:
            cells[place] = math.log1p(rows.get(texts[name], 0))


class _OpenVariance:
    """Says how much is open where attributes are unknown.

    The same as :meth:`carprice.model.hedonic.Hedonic.unknown_variance`.
    """

    def __init__(self, hedonic: Hedonic) -> None:
        known = hedonic.coefficients
        self._makes, self._models = known["make"], known["model"]
        self._has_variants = bool(known["word"])
        self._asked = [name for name in ("fuel", "transmission") if "" not in known[name]]
        self._spread = defaultdict(float, hedonic.spread)

    def variance(self, given: Car, car: Car) -> float:
        """Return the variance of ln(price); ``car`` is the given one completed."""
        texts, spread, variance = given.texts, self._spread, 0.0
        if texts["make"] not in self._makes:
            variance += spread["make"]
        is_unseen = texts["model"] not in self._models
        if is_unseen:
            variance += spread["model"]
        if self._has_variants and (is_unseen or texts["model_variant"].endswith("|")):
            variance += spread["variant"]
        if "" in [texts[name] for name in self._asked]:
            variance += spread[POWERTRAIN]
        for number, factor in (("ownership", "owners"), ("odometer", "distance")):
            if math.isnan(given.numbers[number]) and not math.isnan(car.numbers[number]):
                variance += spread[factor]
        return variance


class _Ranges:
    """Offsets of a price's range, kept for the confidences that were asked for last."""

    def __init__(self, model: PriceModel) -> None:
        self._ranges = model.ranges
        self._edges = list(AGE_BANDS.values())
        self._of_confidence = lru_cache(maxsize=64)(self._read)

    def offsets(
        self, scale: float, age: float, confidence: float, variance: float
    ) -> tuple[float, float]:
        """Return what is added to ln(price) for the lower and the upper end."""
        low, high, deviations = self._of_confidence(confidence)
        band = bisect_left(self._edges, age)
        open_part = deviations * math.sqrt(variance)
        return -math.hypot(low[band] * scale, open_part), math.hypot(high[band] * scale, open_part)

    def _read(self, confidence: float) -> tuple[list[float], list[float], float]:
        low, high = self._ranges.by_band(confidence).tolist()
        return low, high, NormalDist().inv_cdf((1 + confidence) / 2)


class _Cautions:
    """Finds the reasons for which an answer deserves less trust."""

    def __init__(self, model: PriceModel) -> None:
        self._model = model
        limits = model.trained_on
        self._limits = [(name, *limits[name]) for name in CHECKED_NUMBERS if name in limits]

    def of(self, fields: Mapping[str, Any], given: Car) -> tuple[Caution, ...]:
        """Return the cautions of a listing that was read as the given car, not completed."""
        found = []
        texts, numbers = given.texts, given.numbers
        model, known = self._model, self._model.hedonic.coefficients
        variant = None if fields.get("variant") is None else texts["model_variant"]
        name = first_unseen(known, texts["make"], texts["model"], variant)
        if name is not None:
            found.append(unseen(name, fields[name], texts["model"], model.vocabulary))
        odometer = fields.get("odometer")
        if math.isnan(numbers["odometer"]) and odometer is not None and not math.isnan(odometer):
            unit = model.market.distance_unit
            found.append(impossible_odometer(odometer, numbers["age"], unit))
        if fields["year"] > given.day.year + 1:
            found.append(future_year(fields["year"]))
        for number, low, high in self._limits:
            if numbers[number] < low or numbers[number] > high:
                found.append(out_of_range(number, numbers[number], low, high))
        return tuple(found)


def _cents(price: float) -> float:
    return round(price * 100) / 100
