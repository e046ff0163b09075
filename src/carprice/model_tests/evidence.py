"""What a market's own listings say of its prices, so that a model can be held against them.

How ln(price) changes with age, distance and owners among cars of one model is a least-squares fit
with Huber's weights (*Annals of Mathematical Statistics* 35, 1964), so that prices which are none
decide little. Its standard errors are White's (*Econometrica* 48, 1980): noise may differ from car
to car. What is within two standard errors of none is not decided.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from carprice.arrays import Codes, Floats
from carprice.listings.believed import believed
from carprice.listings.cars import first_of_each_car
from carprice.listings.frames import as_columns
from carprice.model import PriceModel
from carprice.model.encoder import Falling
from carprice.schema import PRICE

USUAL_KM: Final = 50_000.0
_MOST_CARS: Final = 50_000
_MIDDLE: Final = (0.05, 0.95)
_ROUNDS: Final = 20
_HUBER: Final = 1.345
_NORMAL: Final = 1.4826  # a normal number's standard deviation in median absolute deviations
_CLEAR: Final = 2.0
_SMALLEST: Final = 1e-9

Limits = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """What something adds to ln(price), and the standard error of that; NaN where not known."""

    value: float = math.nan
    error: float = math.nan

    @property
    def surely(self) -> float:
        """What is left of the value two standard errors nearer to 0; 0 where it is not decided.

        Examples
        --------
        >>> Estimate(-0.5, 0.125).surely, Estimate(0.1, 0.125).surely, Estimate().surely
        (-0.25, 0.0, 0.0)
        """
        left = abs(self.value) - _CLEAR * self.error
        return math.copysign(left, self.value) if left > 0 else 0.0


@dataclass(frozen=True)
class Evidence:
    """What the listings of a market say of its middle: nine tenths of the ages and distances.

    Attributes
    ----------
    cars : how many were asked.
    ages, distances : their limits, in whole years and in the market's unit.
    usual : median age, in whole years.
    by_age : what a year more adds to ln(price) at the same distance, among cars of one model.
    by_distance : what one more of :func:`root_of` adds at the same age.
    by_owner : what a later owner than the first adds at the same age and distance.
    models : ``make|model`` → its ln(price) at the same age and distance as the others'.
    cars_of_model : the same → how many cars of it there are, of any age and distance.
    """

    cars: int
    ages: tuple[int, int]
    distances: Limits
    usual: int
    by_age: Estimate
    by_distance: Estimate
    by_owner: Estimate
    models: Mapping[str, Estimate]
    cars_of_model: Mapping[str, int]

    @classmethod
    def of(cls, model: PriceModel, listings: pd.DataFrame, falling: Falling | None = None) -> Self:
        """Ask the listings that a model was trained on.

        Parameters
        ----------
        falling : where prices are to fall with age and odometer: cars beyond are not asked. By
            default where the model's are made to fall.
        """
        falling = model.encoder.falling if falling is None else falling
        cars = believed(first_of_each_car(listings))
        if len(cars) > _MOST_CARS:
            cars = cars.sample(_MOST_CARS, random_state=0)
        features = model.parse(as_columns(cars))
        age, distance = features.numbers["age"], features.numbers["odometer"]
        log_price = np.log(cars[PRICE].to_numpy(dtype=np.float64))
        youngest, oldest = _middle(age, falling.get("age"))
        ages = math.ceil(youngest), math.floor(oldest)
        inside, distances = _within(age, ages), (math.nan, math.nan)
        if has_distances := not np.isnan(distance).all():
            distances = _middle(distance, falling.get("odometer"))
            inside &= _within(distance, distances)
        rows = np.flatnonzero(inside)
        names, codes = np.unique(np.array(features.texts["model"])[rows], return_inverse=True)
        owner = features.numbers["ownership"][rows]
        columns = {
            "age": age[rows],
            "owner": (owner > 1).astype(np.float64),
            "unknown owner": np.isnan(owner).astype(np.float64),
        }
        if has_distances:
            columns["distance"] = root_of(distance[rows] * model.hedonic.km_per_unit)
        added, of_models = _fit(columns, log_price[rows], codes)
        return cls(
            cars=len(rows),
            ages=ages,
            distances=distances,
            usual=round(float(np.median(age))),
            by_age=added["age"],
            by_distance=added.get("distance", Estimate()),
            by_owner=added["owner"],
            models=dict(zip(names.tolist(), of_models, strict=True)),
            cars_of_model=Counter(features.texts["model"]),
        )

    def __str__(self) -> str:
        """Tell of which cars it is."""
        low, high = self.distances
        driven = f" and driven {low:,.0f} to {high:,.0f}" if low <= high else ""
        return (
            f"{self.cars:,} cars of {len(self.models):,} models, {self.ages[0]} to {self.ages[1]} "
            f"years old{driven}"
        )

    def spread(self, names: Sequence[str]) -> Estimate:
        """Return the standard deviation of ln(price) among some of the models.

        What chance adds to it is taken off. Its error is that of as many normal numbers.
        """
        known = [self.models[name] for name in names if name in self.models]
        found = [one for one in known if math.isfinite(one.error)]
        if len(found) < 2:
            return Estimate()
        variance = float(np.var([one.value for one in found], ddof=1))
        noise = float(np.mean([one.error**2 for one in found]))
        own = math.sqrt(max(variance - noise, 0.0))
        return Estimate(own, math.sqrt(variance / (2 * (len(found) - 1))))


def root_of(km: Floats) -> Floats:
    """Return √(km / 50,000), with which ln(price) falls about evenly."""
    return np.sqrt(km / USUAL_KM)


def _middle(values: Floats, limits: Sequence[float] | None) -> Limits:
    """Return where nine tenths of the values are, within the limits; NaN is no value."""
    least, most = limits or (-math.inf, math.inf)
    low, high = np.nanquantile(values, _MIDDLE, method="nearest")
    return max(float(low), least), min(float(high), most)


def _within(values: Floats, limits: Limits) -> npt.NDArray[np.bool_]:
    return (limits[0] <= values) & (values <= limits[1])


def _fit(
    columns: Mapping[str, Floats], values: Floats, codes: Codes
) -> tuple[dict[str, Estimate], list[Estimate]]:
    """Return what each column adds to the values, and what is left of them in each group.

    Parameters
    ----------
    columns : of n rows; one that does not differ within the groups adds what is not known.
    values : of n rows.
    codes : group of each row, from 0.
    """
    rows, groups = len(values), int(codes.max(initial=-1)) + 1
    nothing = {name: Estimate() for name in columns}
    weights = np.ones(rows)
    named = {
        name: column
        for name, column in columns.items()
        if rows and np.abs(_apart(column, codes, weights)).max() > _SMALLEST
    }
    free = rows - groups - len(named)
    if free < 1:
        return nothing, [Estimate()] * groups
    table = np.array([*named.values()]).reshape(len(named), rows).T
    own = np.empty_like(table)
    for _ in range(_ROUNDS):
        for place, column in enumerate(table.T):
            own[:, place] = _apart(column, codes, weights)
        target = _apart(values, codes, weights)
        inverse = np.linalg.pinv(own.T @ (weights[:, None] * own))
        slopes = inverse @ (own.T @ (weights * target))
        left = target - own @ slopes
        scale = _NORMAL * np.median(np.abs(left)) + _SMALLEST
        weights = np.minimum(1.0, _HUBER * scale / np.maximum(np.abs(left), _SMALLEST))
    scores = own * (weights * left)[:, None]
    errors = np.sqrt(np.diag(inverse @ (scores.T @ scores) @ inverse) * rows / free)
    found = dict(zip(named, map(Estimate, slopes.tolist(), errors.tolist()), strict=True))
    level = values - (table - table.mean(axis=0)) @ slopes
    means = np.bincount(codes, weights * level) / np.bincount(codes, weights)
    # Huber's variance of a mean: that of the limited residuals, over the share of those within.
    variance = np.sum((weights * left) ** 2) / free / np.mean(weights == 1) ** 2
    error = np.sqrt(variance / np.bincount(codes))
    return nothing | found, [*map(Estimate, means.tolist(), error.tolist())]


def _apart(values: Floats, codes: Codes, weights: Floats) -> Floats:
    """Return values minus the mean of their group."""
    means = np.bincount(codes, weights * values) / np.bincount(codes, weights)
    return np.asarray(values - means[codes])
