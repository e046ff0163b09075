import math

import numpy as np
import pytest
from scipy.stats import norm

from carprice.arrays import Floats
from carprice.monitoring.challenge import Served, Step, decide, watch
from carprice.monitoring.sequential import (
    LARGEST,
    Difference,
    bounds_of,
    difference_of,
    errors_of,
    looks_at,
)
from carprice.settings import ChallengeSettings

RUNS, DAYS, CARS = 400, 120, 20


def drawn(rng: np.random.Generator, factor: float, shock: float) -> tuple[Floats, Floats]:
    """Return each day's errors of two models whose errors have heavy tails and hang together.

    They price 2 % apart; turning each pair around at random makes both equally good.
    """
    shape = RUNS, DAYS, CARS
    both = 0.08 * rng.standard_t(3, shape) + shock * rng.normal(size=(RUNS, DAYS, 1))
    own = 0.01 * rng.standard_t(3, (2, *shape))
    ours, theirs = factor * (both + own[0] + 0.01), both + own[1] - 0.01
    return tuple(np.minimum(np.abs(one), LARGEST).sum(axis=-1) for one in (ours, theirs))


@pytest.mark.parametrize("shock", [0.0, 0.03])
def test_an_end_is_wrong_at_any_day_in_one_of_twenty_runs_at_most(shock: float) -> None:
    """Four standard errors of 400 runs are allowed for; an ordinary interval is not as good."""
    looks = looks_at(*drawn(np.random.default_rng(0), 1.0, shock), 0.05)
    allowed = 0.05 + 4 * math.sqrt(0.05 * 0.95 / RUNS)
    assert 0.0 < (looks.high < 0).any(axis=1).mean() <= allowed
    assert 0.0 < (looks.low > 0).any(axis=1).mean() <= allowed
    ordinary = norm.isf(0.05) / bounds_of(np.arange(1, DAYS + 1), 0.05)
    peeked = looks.value + ordinary * (looks.high - looks.value)
    assert (peeked < 0)[:, 13:].any(axis=1).mean() > 2 * allowed


@pytest.mark.parametrize(("factor", "sign"), [(0.95, -1), (1.05, 1)])
def test_what_is_better_or_worse_is_found(factor: float, sign: int) -> None:
    looks = looks_at(*drawn(np.random.default_rng(1), factor, 0.0), 0.05)
    found, missed = looks.high < 0, looks.low > 0
    if sign > 0:
        found, missed = missed, found
    assert found.any(axis=1).mean() > 0.95
    assert not missed.any()


def test_days_are_what_counts_whatever_their_order_and_one_price_decides_nothing() -> None:
    rng = np.random.default_rng(2)
    days = np.repeat(np.arange(20), 10).astype("datetime64[D]")
    theirs = np.abs(rng.normal(0.0, 0.1, 200))
    ours = theirs + rng.normal(-0.01, 0.01, 200)
    found = difference_of(ours, theirs, days, 0.05)
    order = rng.permutation(200)
    again = difference_of(ours[order], theirs[order], days[order], 0.05)
    assert (found.cars, found.days) == (200, 20)
    assert (again.low, again.high) == pytest.approx((found.low, found.high))
    assert found.low < found.value < found.high < 0
    # As many cars on one day are one observation, and tell nothing.
    one_day = difference_of(ours, theirs, np.full(200, days[0]), 0.05)
    assert (one_day.days, one_day.low, one_day.high) == (1, -math.inf, math.inf)
    weeks = difference_of(ours, theirs, days, 0.05, step=7)
    assert weeks.low < found.low < found.high < weeks.high
    # A price that is none makes both errors as large as errors get.
    prices = np.full(200, 100.0)
    observed = prices * np.exp(ours)
    observed[7] = 1.0
    assert errors_of(observed, prices)[7] == errors_of(observed, 1.1 * prices)[7] == LARGEST


def test_without_observations_nothing_is_known() -> None:
    found = difference_of(np.empty(0), np.empty(0), np.empty(0, "datetime64[D]"), 0.05)
    assert (found.cars, found.low, found.high) == (0, -math.inf, math.inf)
    assert decide(found, Served(), ChallengeSettings(), 1).step is Step.WAIT


def difference(low: float, high: float, cars: int = 900, days: int = 30) -> Difference:
    return Difference(cars, days, 0.1, 0.1, (low + high) / 2, low, high)


LIMITS = ChallengeSettings()
SLOW = Served(50, 0, 61.0, 10.0)
UNNOTICED = Served(50, 0, 6.0, 0.2)
ALONE = Served(50, 0, 200.0)
BROKEN = Served(7, 5, 10.0, 10.0)
HARDLY_USED = Served(4, 4, 10.0, 10.0)


@pytest.mark.parametrize(
    ("found", "served", "limits", "passed", "step", "why"),
    [
        (
            difference(-0.05, -0.01),
            Served(),
            LIMITS,
            20,
            "promote",
            "error −3.0 % (−5.0 to −1.0 %)",
        ),
        (difference(-0.05, -0.01, 299), Served(), LIMITS, 20, "wait", "it takes 300 cars"),
        (difference(-0.05, -0.01, 900, 13), Served(), LIMITS, 20, "wait", "it takes 14 days"),
        (difference(-0.05, 0.01), Served(), LIMITS, 20, "wait", "the interval does not decide yet"),
        (difference(0.01, 0.05), Served(), LIMITS, 20, "drop", "not better, beyond doubt"),
        (difference(-0.05, 0.01), Served(), LIMITS, 180, "drop", "nothing else was decided within"),
        (difference(-0.05, -0.01), BROKEN, LIMITS, 20, "drop", "no price for 5 of 7 listings"),
        (difference(-0.05, -0.01), SLOW, LIMITS, 1, "drop", "61.0 ms, production's 10.0 ms"),
        (difference(-0.05, -0.01), UNNOTICED, LIMITS, 20, "promote", "beyond doubt"),
        (difference(-0.05, -0.01), ALONE, LIMITS, 20, "promote", "beyond doubt"),
        (difference(-0.05, -0.01), HARDLY_USED, LIMITS, 20, "promote", "beyond doubt"),
        (
            difference(-0.05, -0.01),
            Served(),
            ChallengeSettings(margin=0.02),
            20,
            "wait",
            "does not decide yet",
        ),
        (
            difference(-0.015, -0.005),
            Served(),
            ChallengeSettings(margin=0.02),
            20,
            "drop",
            "not better by 2 %",
        ),
        (
            difference(-0.01, 0.009),
            Served(),
            ChallengeSettings(as_good=0.01),
            180,
            "promote",
            "at most 1 % worse beyond doubt",
        ),
    ],
)
def test_what_is_decided(
    found: Difference,
    served: Served,
    limits: ChallengeSettings,
    passed: float,
    step: str,
    why: str,
) -> None:
    decision = decide(found, served, limits, passed)
    assert decision.step == step
    assert why in decision.why


def test_what_won_is_watched_and_goes_where_it_proves_worse() -> None:
    worse, alike = difference(0.01, 0.05), difference(-0.01, 0.03)
    assert watch(worse, LIMITS).step is Step.GO_BACK
    assert watch(worse, LIMITS).step.exit_code == 3
    assert watch(difference(0.01, 0.05, 100), LIMITS).step is Step.WAIT
    assert watch(alike, LIMITS).step.exit_code == 0
