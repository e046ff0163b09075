"""Learn a model's correction from prices that were seen since it was trained.

**Level.** The shift of all cars is a mean of ln(price / predicted) with Huber's weights (*Annals of
Mathematical Statistics* 35, 1964), in which a day counts half as much as one that is a half-life
later. What is sold differs from fortnight to fortnight: the standard error of the mean is of whole
fortnights (a clustered one), and the mean is shrunk by it (James & Stein 1961, positive part), so
that a level which cannot be told from none stays none. A make's shift beside that is shrunk by
empirical Bayes: as far as makes differ by more than chance.

**Ranges.** The score of a price is its distance from the predicted one in ln, in lengths of the
side of its 90 % range: above 1 is outside. The factor of the ranges is the 90 % quantile of the
scores, the latest weighing most: conformal prediction with weights, which holds up as far as the
market drifts (Barber, Candès, Ramdas & Tibshirani, *Annals of Statistics* 51, 2023), and adapts as
the online rule of Gibbs & Candès (*NeurIPS* 2021) does, but from one batch and without a state that
has to be carried on. The scores of each month are taken with the level that was known before it, as
the correction will be used, so that the ranges hold what a level of yesterday misses too.

Some figures are of the newest third of the cars, by a correction of the others; beside one that the
model had before, of those that this one had not seen, where they are enough.
"""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from carprice.arrays import Codes, Floats
from carprice.errors import RefusedError
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.model import DEFAULT_CONFIDENCE, PriceModel
from carprice.model.correction import LARGEST_SHIFT, Correction, HeldOut
from carprice.model.intervals import AGE_BANDS, age_bands
from carprice.monitoring.observed import as_listings, days_of, price_observations
from carprice.monitoring.records import OBSERVED_ON, SOLD, SOURCE
from carprice.settings import MonitorSettings, RecalibrateSettings

_HUBER: Final = 1.345
_NORMAL: Final = 1.4826  # a normal number's standard deviation in median absolute deviations
_ROUNDS: Final = 20
_FORTNIGHT, _MONTH = 14, 30
_FEWEST_CLUSTERS: Final = 3
_FEWEST_OF_MAKE: Final = 30
_FEWEST_BEFORE: Final = 100
_BAND_ROWS: Final = 200
"""Cars of an age band at which its own factor counts as much as that of all."""
_LARGEST_OF_MAKE: Final = 0.15
_SCALES: Final = (0.5, 3.0)
_SMALLEST: Final = 1e-9

Days = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Seen:
    """Prices of n cars that were seen, beside those of a model without a correction.

    Attributes
    ----------
    off : ln(price / predicted).
    below, above : ln distances from the predicted price to the ends of its range.
    day : when each was seen.
    make : normalised.
    age : in years, on that day.
    """

    off: Floats
    below: Floats
    above: Floats
    day: Days
    make: npt.NDArray[np.object_]
    age: Floats

    def __len__(self) -> int:
        return len(self.off)

    def take(self, rows: Codes | npt.NDArray[np.bool_]) -> "Seen":
        """Return some of the rows."""
        return Seen(**{name: values[rows] for name, values in vars(self).items()})

    def scores(self, shift: Floats) -> Floats:
        """Return each price's distance from the moved one, in lengths of its side of the range."""
        off = self.off - shift
        return np.abs(off) / np.maximum(np.where(off > 0, self.above, self.below), _SMALLEST)


def recalibrated(
    model: PriceModel, observations: pd.DataFrame, settings: MonitorSettings
) -> Correction:
    """Learn a correction of a model, and measure it beside one that the model has already.

    That one is no part of what is learned; it is returned where the same is learned again.

    Parameters
    ----------
    observations : as :func:`carprice.monitoring.observations.observe` returns them.

    Raises
    ------
    RefusedError
        If too few prices were seen, or the market moved further than a correction may.
    """
    seen, present = seen_prices(model, observations, settings), model.correction
    made = correction_of(seen, settings.recalibrate, present)
    made = replace(made, undated=_of_undated(model, observations, made.until))
    if present is not None and replace(present, held_out=made.held_out) == made:
        return present
    return made


def _of_undated(model: PriceModel, observations: pd.DataFrame, day: datetime.date) -> float:
    """Return by how much ln(price) on a day is above that of the same cars without a date.

    The level is learned on the days of the prices, and a car without a date has the age that it had
    on the valuation date: with the years that have begun since, it would stay that much too dear.
    """
    days = days_of(observations[OBSERVED_ON])
    rows = observations[(days > pd.Timestamp(model.learned_to)) & (days <= pd.Timestamp(day))]
    listings = as_listings(rows, model, pd.Series(pd.Timestamp(day), rows.index))
    whole = listings[["make", "model", "year"]].notna().all(axis=1)
    dated = [*listings_of(as_columns(listings[whole]))]
    plain = replace(model, correction=None).pricer
    now, then = (
        np.log(plain.prices(some).price)
        for some in (dated, [{**one, "listed_on": None} for one in dated])
    )
    return float(np.clip(np.mean(now - then), -LARGEST_SHIFT, LARGEST_SHIFT))


def seen_prices(model: PriceModel, observations: pd.DataFrame, settings: MonitorSettings) -> Seen:
    """Price the cars of observations as :func:`price_observations` does, without a correction.

    What was sold counts, where training learned from prices asked, only as far as it is known what
    is given way on these; the same the other way round. What was seen up to the last day that the
    model learned from says nothing of the time since.
    """
    plain = replace(model, correction=None)
    later = days_of(observations[OBSERVED_ON]) > pd.Timestamp(model.learned_to)
    observations = observations[later]
    found = price_observations(plain, observations, settings)
    if found.gap is None:
        is_sold = observations[SOURCE] == SOLD
        own = observations[is_sold == (settings.prices == "sold")]
        found = price_observations(plain, own, settings)
    make = np.array(found.features.texts["make"], dtype=object)
    age = found.features.numbers["age"]
    return Seen(found.off, found.below, found.above, found.day, make, age)


def correction_of(
    seen: Seen, settings: RecalibrateSettings, present: Correction | None = None
) -> Correction:
    """Learn a correction from the prices of the last ``settings.days`` days.

    Parameters
    ----------
    present : what it is measured beside.

    Raises
    ------
    RefusedError
        If they are too few, or have moved further than a correction may.
    """
    if len(seen):
        seen = seen.take(seen.day > seen.day.max() - np.timedelta64(settings.days, "D"))
    if len(seen) < settings.fewest:
        raise RefusedError(
            f"{len(seen):,} prices of cars that the model did not learn from were seen in "
            f"{settings.days} days; a correction needs {settings.fewest:,} "
            "(monitor.recalibrate.fewest). Wait for more, or give fresh listings"
        )
    made = _learned(seen, settings)
    if abs(made.shift) > settings.largest:
        most = np.copysign(settings.largest, made.shift)
        raise RefusedError(
            f"prices are {100 * np.expm1(made.shift):+.1f} % from the model's; a correction moves "
            f"them by {100 * np.expm1(most):+.1f} % at most (monitor.recalibrate.largest, "
            f"{settings.largest:g} of ln(price)): train the model again"
        )
    order = np.argsort(seen.day, kind="stable")
    parted = seen.day[order[2 * len(order) // 3]]
    if present is not None:
        unseen = np.datetime64(present.until) + np.timedelta64(1, "D")
        if np.sum(seen.day >= unseen) >= _FEWEST_BEFORE:
            parted = max(parted, unseen)
    older, newer = seen.take(seen.day < parted), seen.take(seen.day >= parted)
    if len(older) < _FEWEST_BEFORE:  # all of a few days: every third car is left out
        each = np.arange(len(seen)) % 3 == 2
        older, newer = seen.take(~each), seen.take(each)
    return replace(made, held_out=held_out_figures(newer, _learned(older, settings), present))


def held_out_figures(
    seen: Seen, correction: Correction, present: Correction | None = None
) -> HeldOut:
    """Measure a correction on prices that it was not learned from, beside none and a present one.

    The present one counts for the days that it is for.
    """
    none = np.zeros(len(seen))
    ways = [(none, none + 1), (_shift_of(seen, correction), _scale_of(seen, correction))]
    if present is not None:
        counts = seen.day >= np.datetime64(present.since)
        ways.append(
            (
                np.where(counts, _shift_of(seen, present), 0.0),
                np.where(counts, _scale_of(seen, present), 1.0),
            )
        )
    offs = [seen.off - shift for shift, _ in ways]

    def means(each: Iterable[Floats]) -> tuple[float, ...]:
        return tuple(float(100 * one.mean()) for one in each)

    return HeldOut(
        len(seen),
        error=means(np.abs(off) for off in offs),
        mape=means(np.abs(np.expm1(-off)) for off in offs),
        bias=means(-off for off in offs),
        coverage=means((seen.scores(shift) <= scale).astype(np.float64) for shift, scale in ways),
    )


def _shift_of(seen: Seen, correction: Correction) -> Floats:
    return np.array([correction.shift_of(make) for make in seen.make], dtype=np.float64)


def _scale_of(seen: Seen, correction: Correction) -> Floats:
    return np.asarray(np.array(correction.scale)[age_bands(seen.age)], dtype=np.float64)


def _learned(seen: Seen, settings: RecalibrateSettings) -> Correction:
    """Learn from all rows, as seen from the day after the last one."""
    age = _ages(seen)
    shift, by_make = _level(seen, age, settings.half_life)
    scores = np.empty(len(seen))
    for month in range(int(age.max()) // _MONTH + 1):
        own, before = age // _MONTH == month, age // _MONTH > month
        moved = shift, by_make
        if before.sum() >= _FEWEST_BEFORE:
            moved = _level(seen.take(before), age[before] - age[before].min(), settings.half_life)
        now = seen.take(own)
        scores[own] = now.scores(moved[0] + _of_makes(now.make, moved[1]))
    weights = _weights(age, settings.half_life / 2)
    bands = age_bands(seen.age)
    whole, scale = _quantile(scores, weights), []
    for band in range(len(AGE_BANDS)):
        own = bands == band
        rows = _effective(weights[own])
        part = rows / (rows + _BAND_ROWS)
        of_band = _quantile(scores[own], weights[own]) if rows >= _FEWEST_OF_MAKE else whole
        factor = float(np.exp(part * np.log(of_band) + (1 - part) * np.log(whole)))
        scale.append(min(max(factor, _SCALES[0]), _SCALES[1]))
    first, last = (pd.Timestamp(day).date() for day in (seen.day.min(), seen.day.max()))
    return Correction(first, last, len(seen), shift, by_make, tuple(scale))


def _level(seen: Seen, age: Floats, half_life: float) -> tuple[float, dict[str, float]]:
    """Return the shift of all cars, and what those of each make have beside it."""
    weights = _weights(age, half_life)
    mean = _huber(seen.off, weights)
    limit = _HUBER * max(_spread(seen.off - mean, weights), _SMALLEST)
    apart = weights * np.clip(seen.off - mean, -limit, limit)
    clusters, codes = np.unique(age // _FORTNIGHT, return_inverse=True)
    count = len(clusters)
    sums = np.bincount(codes, apart) if count >= _FEWEST_CLUSTERS else apart
    variance = float(np.sum(sums**2)) / weights.sum() ** 2 * len(sums) / (len(sums) - 1)
    shift = mean * max(0.0, 1 - variance / max(mean**2, _SMALLEST))
    return shift, _makes(seen, mean, weights)


def _makes(seen: Seen, mean: float, weights: Floats) -> dict[str, float]:
    """Return the shrunk shifts of makes of enough cars; none where makes do not differ."""
    names, codes = np.unique(seen.make.astype(str), return_inverse=True)
    found = []
    for number in np.flatnonzero(np.bincount(codes) >= _FEWEST_OF_MAKE):
        own = codes == number
        off, of_make = seen.off[own] - mean, weights[own]
        level = _huber(off, of_make)
        error = _spread(off - level, of_make) ** 2 / _effective(of_make)
        found.append((str(names[number]), level, error))
    if len(found) < 2:
        return {}
    levels, errors = np.array([[level, error] for _, level, error in found]).T
    precise = 1 / np.maximum(errors, _SMALLEST)
    between = max(0.0, float(np.average(levels**2 - errors, weights=precise)))
    if not between:
        return {}
    shrunk = np.clip(levels * between / (between + errors), -_LARGEST_OF_MAKE, _LARGEST_OF_MAKE)
    return {name: float(shift) for (name, _, _), shift in zip(found, shrunk, strict=True)}


def _of_makes(makes: Sequence[str] | npt.NDArray[np.object_], shifts: dict[str, float]) -> Floats:
    return np.array([shifts.get(make, 0.0) for make in makes], dtype=np.float64)


def _ages(seen: Seen) -> Floats:
    """Return how many days before the last price each was seen."""
    return np.asarray((seen.day.max() - seen.day) / np.timedelta64(1, "D"), dtype=np.float64)


def _weights(age: Floats, half_life: float) -> Floats:
    return np.asarray(0.5 ** (age / half_life), dtype=np.float64)


def _effective(weights: Floats) -> float:
    """Return of how many equal weights a mean would be as sure (Kish)."""
    return float(weights.sum() ** 2 / max(np.sum(weights**2), _SMALLEST))


def _huber(values: Floats, weights: Floats) -> float:
    """Return the weighted mean of values, of which far-off ones count less.

    :func:`carprice.model.reference.middle_of` has no weights, and a spread that stays: what folders
    keep of their training rests on that, and what decision 20 measured rests on this.
    """
    mean = float(np.average(values, weights=weights))
    for _ in range(_ROUNDS):
        off = np.abs(values - mean)
        limit = _HUBER * max(_spread(values - mean, weights), _SMALLEST)
        mean = float(np.average(values, weights=weights * np.minimum(1, limit / (off + _SMALLEST))))
    return mean


def _spread(off: Floats, weights: Floats) -> float:
    """Return the standard deviation by the weighted median of the distances from none."""
    return _NORMAL * _quantile(np.abs(off), weights, 0.5)


def _quantile(values: Floats, weights: Floats, share: float = DEFAULT_CONFIDENCE) -> float:
    """Return a weighted quantile, one more value of the largest weight lying beyond all."""
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(weights[order])
    place = np.searchsorted(upto, share * (upto[-1] + weights.max()))
    return max(float(values[order][min(place, len(values) - 1)]), _SMALLEST)
