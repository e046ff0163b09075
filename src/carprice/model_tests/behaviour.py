"""Test that prices behave as buyers expect: older cars, and cars driven further, cost less.

A model is held against what its own market's listings say. It fails where it contradicts them, and
where they do not decide there is a warning.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from carprice.arrays import Floats
from carprice.listings.keys import ModelKey
from carprice.model import PriceModel, Prices
from carprice.model.blocks import VARIANT
from carprice.model.intervals import CONFIDENCES
from carprice.model_tests.evidence import Estimate, Evidence, root_of
from carprice.model_tests.panel import (
    UNSEEN,
    Panel,
    by_column,
    usual_odometer,
    with_unseen_names,
)
from carprice.model_tests.results import ModelTest, UndecidedError, require
from carprice.schema import REQUIRED
from carprice.settings import ModelTestSettings

SUITE: Final = "behaviour"
NEED_EVIDENCE: Final = (
    "price falls with age",
    "price falls with distance",
    "a second owner costs less",
    "models differ in price",
    "an unseen model costs about what its make does",
)
"""Names of the tests that need the listings that a model was trained on."""
_DISTANCES: Final = 12
_MAKES: Final = 3
_LEAST_PART: Final = 1 / 3
"""Part of the fall that the listings surely show that a model has to show too."""
_LEAST_SPREAD: Final = 0.5
"""The same of the spread of models."""
_MOST_CARS: Final = 0.9
_MOST_TIMES: Final = 3.0
_ONE_DEVIATION: Final = 0.68
_NINE_TENTHS: Final = 1.645  # standard deviations to each side
_NARROWER: Final = 0.95
_SAME: Final = 1e-6


@dataclass(frozen=True)
class _Setup:
    """What is tested: a model, its panel of cars, and the limits from the settings."""

    model: PriceModel
    panel: Panel
    limits: ModelTestSettings

    def price(self, **same: Any) -> Floats:
        """Return the prices of the panel's cars, with ``same`` set for all of them."""
        return self.model.predict(by_column(self.panel.cars, **same)).price

    def grid(self, field: str, values: Sequence[Any]) -> Floats:
        """Return the panel's ln(price): cars × values of a field."""
        return np.log(np.column_stack([self.price(**{field: value}) for value in values]))

    @property
    def knows_owners(self) -> bool:
        """Whether training had cars of first and of later owners."""
        low, high = self.model.trained_on.get("ownership", (1.0, 1.0))
        return low <= 1 < high


def checks(
    model: PriceModel, panel: Panel, limits: ModelTestSettings, evidence: Evidence | None
) -> dict[str, ModelTest]:
    """Return the tests by their names.

    Parameters
    ----------
    evidence : what the listings that the model was trained on say; None where they are not
        available, and the tests that need them are left out.
    """
    setup = _Setup(model, panel, limits)
    tests: dict[str, ModelTest] = {
        "prices are prices": partial(_prices_are_prices, setup),
        "an unseen variant costs what one left out does": partial(_unseen_variant, setup),
        "the least that is required has a price and no narrower range": partial(_least, setup),
        "more confidence, wider range": partial(_nested_ranges, setup),
        "one by one as in a batch": partial(_one_by_one, setup),
        "the reasons multiply to the price": partial(_reasons, setup),
    }
    if evidence is not None:
        need = (_falls_with_age, _falls_with_distance, _second_owner, _models_differ, _unseen_model)
        for name, test in zip(NEED_EVIDENCE, need, strict=True):
            tests[name] = partial(test, setup, evidence)
    return tests


def _prices_are_prices(setup: _Setup) -> str:
    prices = setup.model.predict(by_column(setup.panel.cars))
    low, high = setup.model.trained_on["price"]
    good = _in_order(prices) & (prices.price > low / 2) & (prices.price < 2 * high)
    return require(
        len(good) > 0 and bool(good.all()),
        f"{good.sum()} of {len(good)} cars have finite prices inside their ranges, and between "
        f"half the lowest and twice the highest in training; needs all",
    )


def _falls_with_age(setup: _Setup, evidence: Evidence) -> str:
    youngest, oldest = evidence.ages
    if oldest <= youngest:
        raise UndecidedError("there are no ages at which its prices are made to fall")
    year = setup.model.market.valuation_date.year
    prices = setup.grid("year", [year - age for age in range(youngest, oldest + 1)])
    what = f"from {youngest} to {oldest} years"
    return _falling(setup.limits, prices, oldest - youngest, evidence.by_age, what, "a year")


def _falls_with_distance(setup: _Setup, evidence: Evidence) -> str:
    if math.isnan(evidence.distances[0]):
        raise UndecidedError("no car's distance is known")
    low, high = (max(round(end), 1) for end in evidence.distances)
    if high <= low:
        raise UndecidedError("all cars of the market have been driven equally far")
    market = setup.model.market
    distances = np.geomspace(low, high, _DISTANCES).round()
    ends = root_of(np.array([low, high]) * setup.model.hedonic.km_per_unit)
    prices = setup.grid("odometer", distances.tolist())
    what = f"from {low:,} to {high:,} {market.distance_unit}"
    unit = "for one more of √(km/50,000)"
    return _falling(setup.limits, prices, float(np.diff(ends)[0]), evidence.by_distance, what, unit)


def _falling(
    limits: ModelTestSettings,
    prices: Floats,
    length: float,
    market: Estimate,
    what: str,
    unit: str,
) -> str:
    """Require that ln(price) (cars × steps) falls as that of the market's listings does.

    Parameters
    ----------
    length : from the first to the last step, in ``unit``.
    market : what one unit adds to ln(price) in the listings.
    """
    rises = float(np.mean(np.diff(prices, axis=1) > math.log1p(limits.rise)))
    added = float(np.median(prices[:, -1] - prices[:, 0])) / length
    told = (
        f"{what}, {100 * rises:.1f} % of the steps rise by more than {100 * limits.rise:g} %; "
        f"needs at most {100 * limits.max_rises:g} %; half of the cars change by {_percent(added)} "
        f"or less {unit}"
    )
    return _as_the_market(market, added, told, is_good=rises <= limits.max_rises)


def _as_the_market(market: Estimate, added: float, told: str, *, is_good: bool = True) -> str:
    """Require that a model says of ln(price) what the listings say, or at least a third of it.

    Raises
    ------
    UndecidedError
        If the listings do not tell that prices fall.
    """
    listings = f"the listings say {_percent(market.value)} ± {100 * 2 * market.error:.1f}"
    if not market.surely < 0:
        raise UndecidedError(f"{told}; {listings}, so that they do not tell that prices fall")
    most = _LEAST_PART * market.surely
    return require(
        is_good and added <= most,
        f"{told}; needs {_percent(most)}: {listings}",
    )


def _percent(added: float) -> str:
    """Return what is added to ln(price) in per cent of the price."""
    return f"{100 * math.expm1(added):+.1f} %"


def _second_owner(setup: _Setup, evidence: Evidence) -> str:
    added = np.log(setup.price(ownership=2) / setup.price(ownership=1))
    if not setup.knows_owners:
        same = np.abs(added) <= _SAME
        return require(
            bool(same.all()),
            f"training had no owners, and {same.sum()} of {len(same)} cars cost the same with a "
            "second one; needs all",
        )
    share, median = float(np.mean(added < 0)), float(np.median(added))
    told = f"{100 * share:.0f} % of the cars cost less, half of them {_percent(median)} or less"
    return _as_the_market(evidence.by_owner, median, told)


def _models_differ(setup: _Setup, evidence: Evidence) -> str:
    names = [str(ModelKey(car["make"], car["model"])) for car in setup.panel.cars]
    known, codes = np.unique(names, return_inverse=True)
    totals = np.bincount(codes, np.log(setup.price(**_usual(setup, evidence))))
    spread = float(np.std(totals / np.bincount(codes)))
    market = evidence.spread(known.tolist())
    told = (
        f"ln(price) at the same age and distance has a standard deviation of {spread:.2f} among "
        f"{len(known)} models"
    )
    listings = f"the listings say {market.value:.2f} ± {2 * market.error:.2f}"
    least = _LEAST_SPREAD * market.surely
    if not least > 0:
        raise UndecidedError(f"{told}; {listings}, so that they do not tell that models differ")
    return require(spread >= least, f"{told}; needs {least:.2f}: {listings}")


def _usual(setup: _Setup, evidence: Evidence) -> dict[str, float]:
    """Return the year and the odometer of a car of the market's usual age."""
    return {
        "year": setup.model.market.valuation_date.year - evidence.usual,
        "odometer": usual_odometer(setup.model, evidence.usual),
    }


def _unseen_variant(setup: _Setup) -> str:
    cars = (
        by_column(setup.panel.cars, variant=None),
        by_column(setup.panel.cars, variant=UNSEEN["variant"]),
    )
    left_out, unseen = (setup.model.predict(columns, _ONE_DEVIATION) for columns in cars)
    apart = np.abs(unseen.price / left_out.price - 1)
    if not setup.model.knows_variants:
        return require(
            bool(np.all(apart <= _SAME)),
            f"training had no variants, and one that is given moves prices by {apart.max():.1e} at "
            f"most; needs {_SAME:g}",
        )
    near = float(np.mean(_is_in(unseen.price, left_out) | _is_in(left_out.price, unseen)))
    return require(
        near >= _MOST_CARS,
        f"{100 * near:.0f} % of the cars within the {100 * _ONE_DEVIATION:g} % range, at most "
        f"{100 * apart.max():.1f} % apart; needs {100 * _MOST_CARS:g} % of them",
    )


def _is_in(price: Floats, ranges: Prices) -> npt.NDArray[np.bool_]:
    return (ranges.low <= price) & (price <= ranges.high)


def _unseen_model(setup: _Setup, evidence: Evidence) -> str:
    told, good = [], []
    for make, known in setup.panel.makes(_MAKES).items():
        factor, most = _beside_its_make(setup, evidence, make, known)
        good.append(1 / most <= factor <= most)
        told.append(f"{make} {factor:.2f}, needs {1 / most:.2f} to {most:.2f}")
    return require(
        bool(good) and all(good), f"times what models of its make cost: {'; '.join(told)}"
    )


def _beside_its_make(
    setup: _Setup, evidence: Evidence, make: str, known: Collection[str]
) -> tuple[float, float]:
    """Return an unseen model's price over the mean of its make, and what that may be at most.

    Nine tenths of the make's cars, and of cars like this one, are within that.
    """
    base = {**_usual(setup, evidence), "make": make}
    prices = setup.model.predict(by_column([{**base, "model": name} for name in known])).price
    weights = [evidence.cars_of_model.get(str(ModelKey(make, name)), 1) for name in known]
    logs = np.log(prices)
    mean = np.average(logs, weights=weights)
    variance = np.average((logs - mean) ** 2, weights=weights)
    unseen = setup.model.predict(by_column([{**base, "model": UNSEEN["model"]}]))
    half = math.log(unseen.high[0] / unseen.low[0]) / 2
    most = min(math.exp(math.hypot(_NINE_TENTHS * math.sqrt(variance), half)), _MOST_TIMES)
    return float(unseen.price[0] / math.exp(mean)), most


def _least(setup: _Setup) -> str:
    full = by_column(setup.panel.cars)
    told_all = setup.model.predict(full)
    least = setup.model.predict({field: full[field] for field in REQUIRED})
    narrow, wide = (np.log(one.high / one.low) for one in (told_all, least))
    priced, ratio = _in_order(least), float(np.median(wide / narrow))
    share, needed = float(np.mean(wide >= _NARROWER * narrow)), _MOST_CARS
    needs_more = bool(setup.model.hedonic.usual.get(VARIANT)) or setup.knows_owners
    is_wider = ratio > 1 + _SAME if needs_more else ratio >= _NARROWER
    return require(
        bool(priced.all()) and share >= needed and is_wider,
        f"{priced.sum()} of {len(wide)} have prices, {100 * share:.0f} % no narrower range by "
        f"more than {100 * (1 - _NARROWER):.0f} %, in the median {ratio:.2f} times as wide; needs "
        f"all, {100 * needed:g} %, and "
        f"{'more than 1' if needs_more else f'at least {_NARROWER:g}'}",
    )


def _nested_ranges(setup: _Setup) -> str:
    columns = by_column(setup.panel.cars)
    every = [setup.model.predict(columns, confidence) for confidence in CONFIDENCES]
    low, high = (np.column_stack([getattr(one, side) for one in every]) for side in ("low", "high"))
    nested = (np.diff(low) <= low[:, 1:] * _SAME) & (np.diff(high) >= -high[:, 1:] * _SAME)
    wider = high[:, -1] / low[:, -1] > high[:, 0] / low[:, 0] * (1 + _SAME)
    good = nested.all(axis=1) & wider
    return require(
        len(good) > 0 and bool(good.all()),
        f"{good.sum()} of {len(good)} cars have ranges that contain the narrower ones at "
        f"{len(CONFIDENCES)} confidences from {CONFIDENCES[0]:.0%} to {CONFIDENCES[-1]:.0%}; needs "
        "all",
    )


def _one_by_one(setup: _Setup) -> str:
    cars = with_unseen_names(setup.panel.cars)
    batch = setup.model.predict(by_column(cars))
    single = np.array([setup.model.pricer.value(car).prices for car in cars])
    together = np.column_stack([batch.price, batch.low, batch.high])
    apart = float(np.max((np.abs(single - together) - 0.01) / together))
    return require(
        apart <= _SAME,
        f"prices and ranges of {len(cars)} cars, some of unseen names, differ by "
        f"{max(apart, 0):.1e} beyond their last digit; needs at most {_SAME:g}",
    )


def _reasons(setup: _Setup) -> str:
    columns = by_column(setup.panel.cars)
    prices = setup.model.predict(columns).price
    told = setup.model.explain(columns)
    products = np.array([one.start * np.prod([r.factor for r in one.reasons]) for one in told])
    sums = np.array([one.start + sum(r.amount for r in one.reasons) for one in told])
    apart = float(np.max(np.abs(np.stack([products, sums]) / prices - 1)))
    return require(
        apart <= _SAME,
        f"factors multiply, and amounts sum, to the prices of {len(told)} cars within {apart:.1e}; "
        f"needs {_SAME:g}",
    )


def _in_order(prices: Prices) -> npt.NDArray[np.bool_]:
    return (
        np.isfinite(prices.high)
        & (prices.low > 0)
        & (prices.low <= prices.price)
        & (prices.price <= prices.high)
    )
