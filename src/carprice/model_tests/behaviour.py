"""Test that prices behave as buyers expect: older cars, and cars driven further, cost less.

Real listings are noisy, so most limits are shares of cars or of steps, not every single one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from carprice.arrays import Floats
from carprice.model import PriceModel, Prices
from carprice.model.intervals import CONFIDENCES
from carprice.model_tests.panel import (
    UNSEEN,
    Panel,
    by_column,
    usual_odometer,
    with_unseen_names,
)
from carprice.model_tests.results import ModelTest, require
from carprice.schema import REQUIRED
from carprice.settings import ModelTestSettings

SUITE: Final = "behaviour"
_OLDEST: Final = 20
_OLD: Final = 10
_KM: Final = np.geomspace(2_000, 250_000, 12)
_MAKES: Final = 3
_USUAL_AGE: Final = 6
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
        """Return the panel's prices: cars × values of a field."""
        return np.column_stack([self.price(**{field: value}) for value in values])

    def at_usual_age(self) -> dict[str, float]:
        """Return the year and the odometer of a car of a usual age."""
        return {
            "year": self.model.market.valuation_date.year - _USUAL_AGE,
            "odometer": usual_odometer(self.model, _USUAL_AGE),
        }

    @property
    def knows_owners(self) -> bool:
        """Whether training had cars of first and of later owners."""
        low, high = self.model.trained_on.get("ownership", (1.0, 1.0))
        return low <= 1 < high


def checks(model: PriceModel, panel: Panel, limits: ModelTestSettings) -> dict[str, ModelTest]:
    """Return the tests by their names."""
    setup = _Setup(model, panel, limits)
    tests = {
        "prices are prices": _prices_are_prices,
        "price falls with age": _falls_with_age,
        "price falls with distance": _falls_with_distance,
        "a second owner costs less": _second_owner,
        "models differ in price": _models_differ,
        "an unseen variant costs what one left out does": _unseen_variant,
        "an unseen model costs about what its make does": _unseen_model,
        "the least that is required has a price and no narrower range": _least,
        "more confidence, wider range": _nested_ranges,
        "one by one as in a batch": _one_by_one,
        "the reasons multiply to the price": _reasons,
    }
    return {name: partial(test, setup) for name, test in tests.items()}


def _prices_are_prices(setup: _Setup) -> str:
    prices = setup.model.predict(by_column(setup.panel.cars))
    low, high = setup.model.trained_on["price"]
    good = _in_order(prices) & (prices.price > low / 2) & (prices.price < 2 * high)
    return require(
        len(good) > 0 and bool(good.all()),
        f"{good.sum()} of {len(good)} cars have finite prices inside their ranges, and between "
        f"half the lowest and twice the highest in training; needs all",
    )


def _falls_with_age(setup: _Setup) -> str:
    oldest = min(setup.model.hedonic.oldest, _OLDEST)
    year = setup.model.market.valuation_date.year
    prices = setup.grid("year", [year - age for age in range(oldest + 1)])
    old = min(_OLD, oldest)
    fall, least = float(np.median(1 - prices[:, old] / prices[:, 0])), setup.limits.min_fall
    is_falling, told = _falling(setup.limits, prices)
    return require(
        is_falling and fall >= least,
        f"{told}; half of the cars lose {100 * fall:.0f} % or more in {old} years; needs "
        f"{100 * least:g} %",
    )


def _falls_with_distance(setup: _Setup) -> str:
    distances = _KM / setup.model.hedonic.km_per_unit
    prices = setup.grid("odometer", [float(round(distance)) for distance in distances])
    return require(*_falling(setup.limits, prices))


def _falling(limits: ModelTestSettings, prices: Floats) -> tuple[bool, str]:
    """Return whether prices (cars × steps) fall from step to step, and what was found."""
    rises = float(np.mean(prices[:, 1:] / prices[:, :-1] > 1 + limits.rise))
    cheaper = float(np.mean(prices[:, -1] < prices[:, 0]))
    return (
        rises <= limits.max_rises and cheaper >= limits.min_cheaper,
        f"{100 * rises:.1f} % of the steps rise by more than {100 * limits.rise:g} %; needs at "
        f"most {100 * limits.max_rises:g} %; {100 * cheaper:.0f} % of the cars cost less at the "
        f"end; needs {100 * limits.min_cheaper:g} %",
    )


def _second_owner(setup: _Setup) -> str:
    first, second = setup.price(ownership=1), setup.price(ownership=2)
    if not setup.knows_owners:
        same = np.abs(second / first - 1) <= setup.limits.rise
        return require(
            bool(same.all()),
            f"training had no owners, and {same.sum()} of {len(same)} cars cost the same with a "
            "second one; needs all",
        )
    share = float(np.mean(second < first))
    return require(
        share >= setup.limits.min_cheaper,
        f"{100 * share:.0f} % of the cars cost less, by a median of "
        f"{100 * (1 - np.median(second / first)):.1f} %; needs "
        f"{100 * setup.limits.min_cheaper:g} % of the cars",
    )


def _models_differ(setup: _Setup) -> str:
    spread = float(np.std(np.log(setup.price(**setup.at_usual_age()))))
    return require(
        spread >= setup.limits.min_spread,
        f"ln(price) at the same age and distance has a standard deviation of {spread:.2f} among "
        f"the models; needs {setup.limits.min_spread:g}",
    )


def _unseen_variant(setup: _Setup) -> str:
    columns = by_column(setup.panel.cars, variant=None)
    left_out, unseen = setup.model.predict(columns).price, setup.price(variant=UNSEEN["variant"])
    apart = np.abs(unseen / left_out - 1)
    if not setup.model.knows_variants:
        return require(
            bool(np.all(apart <= _SAME)),
            f"training had no variants, and one that is given moves prices by {apart.max():.1e} at "
            f"most; needs {_SAME:g}",
        )
    near = float(np.mean(apart <= setup.limits.unseen_variant))
    return require(
        near >= setup.limits.min_cheaper,
        f"{100 * near:.0f} % of the cars within {100 * setup.limits.unseen_variant:g} %, at most "
        f"{100 * apart.max():.1f} % apart; needs {100 * setup.limits.min_cheaper:g} % of them",
    )


def _unseen_model(setup: _Setup) -> str:
    ratios = {
        make: _make_ratio(setup, make, known) for make, known in setup.panel.makes(_MAKES).items()
    }
    most = setup.limits.unseen_model_factor
    good = [1 / most <= ratio <= most for ratio in ratios.values()]
    told = ", ".join(f"{make} {ratio:.2f}" for make, ratio in ratios.items())
    return require(
        bool(good) and all(good),
        f"times the median model of its make: {told}; needs {1 / most:.2f} to {most:g}",
    )


def _make_ratio(setup: _Setup, make: str, known: Mapping[str, int]) -> float:
    """Return an unseen model's price divided by the median of its make, weighted by ``known``."""
    base = {**setup.at_usual_age(), "make": make}
    cars = [{**base, "model": name} for name in (*known, UNSEEN["model"])]
    *prices, unseen = setup.model.predict(by_column(cars)).price.tolist()
    weights = np.array([*known.values()])
    median = np.quantile(prices, 0.5, weights=weights, method="inverted_cdf")
    return float(unseen / median)


def _least(setup: _Setup) -> str:
    full = by_column(setup.panel.cars)
    told_all = setup.model.predict(full)
    least = setup.model.predict({field: full[field] for field in REQUIRED})
    narrow, wide = (np.log(one.high / one.low) for one in (told_all, least))
    priced, ratio = _in_order(least), float(np.median(wide / narrow))
    share, needed = float(np.mean(wide >= narrow * (1 - _SAME))), setup.limits.min_cheaper
    needs_more = setup.model.knows_variants or setup.knows_owners
    is_wider = ratio > 1 + _SAME if needs_more else ratio >= 1 - _SAME
    return require(
        bool(priced.all()) and share >= needed and is_wider,
        f"{priced.sum()} of {len(wide)} have prices, {100 * share:.0f} % no narrower range, in the "
        f"median {ratio:.2f} times as wide; needs all, {100 * needed:g} %, and "
        f"{'more than' if needs_more else 'at least'} 1",
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
