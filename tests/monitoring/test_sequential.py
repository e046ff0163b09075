import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import lfilter
from scipy.stats import norm

from carprice.arrays import Floats
from carprice.monitoring.challenge import Served, Step, decide, watch
from carprice.monitoring.sequential import (
    LARGEST,
    Difference,
    Interval,
    Sums,
    bounds_of,
    difference_of,
    interval_of,
    residuals_of,
    sums_of,
    times_together,
)
from carprice.settings import ChallengeSettings

RUNS, DAYS, CARS = 300, 119, 20


def drawn(
    rng: np.random.Generator, factor: float, shock: float, lasting: float = 0.0
) -> tuple[Floats, Floats]:
    """Return each car's residuals of two models whose errors have heavy tails and hang together.

    They price 2 % apart; turning each pair around at random makes both equally good. Of a day's
    level so much is left on the next one.
    """
    shape = RUNS, DAYS, CARS
    moves = rng.normal(size=(RUNS, DAYS, 1))
    moves[:, 1:] *= math.sqrt(1 - lasting**2)
    level = lfilter([1.0], [1.0, -lasting], moves, axis=1)
    both = 0.08 * rng.standard_t(3, shape) + shock * level
    own = 0.01 * rng.standard_t(3, (2, *shape))
    ours, theirs = factor * (both + own[0] + 0.01), both + own[1] - 0.01
    return tuple(np.clip(one, -LARGEST, LARGEST) for one in (ours, theirs))


def looks_at(ours: Floats, theirs: Floats, step: int = 1) -> Interval:
    """Return what is told after each step, the steps on the last axis."""
    cells = np.arange(RUNS * DAYS // step).repeat(step * CARS)
    found = sums_of(ours.ravel(), theirs.ravel(), cells, RUNS * DAYS // step)
    sums = [one.reshape(RUNS, -1) for one in found]
    looks = [
        interval_of(Sums(*(one[:, :last] for one in sums)), 0.05, step)
        for last in range(1, DAYS // step + 1)
    ]
    return Interval(*(np.stack(one, axis=-1) for one in zip(*looks, strict=True)))


def ever(found: npt.NDArray[np.bool_]) -> float:
    return float(found.any(axis=1).mean())


@pytest.mark.parametrize(
    ("shock", "lasting", "step"), [(0.0, 0.0, 1), (0.03, 0.0, 1), (0.03, 0.8, 7), (0.03, 0.95, 7)]
)
def test_an_end_is_wrong_at_any_day_in_one_of_twenty_runs_at_most(
    shock: float, lasting: float, step: int
) -> None:
    """Four standard errors of the runs are allowed for; an ordinary interval is not as good.

    The lower end takes steps as independent, and is wrong more often where levels last for weeks.
    """
    looks = looks_at(*drawn(np.random.default_rng(0), 1.0, shock, lasting), step)
    allowed = 0.05 + 4 * math.sqrt(0.05 * 0.95 / RUNS)
    assert ever(looks.high < 0) <= allowed
    assert ever(looks.low > 0) <= (allowed if lasting < 0.95 else 0.3)
    steps = np.arange(1, DAYS // step + 1)
    ordinary = norm.isf(0.05) / bounds_of(steps, 0.05, step)
    peeked = looks.value + ordinary * (looks.value - looks.low)
    assert ever(peeked < 0) > allowed


def plain(ours: Floats, theirs: Floats) -> Sums:
    """Return sums of steps whose difference no level moves."""
    none = np.zeros_like(ours)
    return Sums(np.ones_like(ours), ours, theirs, none, none)


def test_steps_that_hang_together_count_for_more() -> None:
    rng = np.random.default_rng(3)
    alone = rng.normal(size=(200, 400))
    together = lfilter([1.0], [1.0, -0.8], alone, axis=1)
    found = [
        float(np.median(times_together(one - one.mean(axis=1, keepdims=True), 1.0)))
        for one in (alone, together)
    ]
    # A correlation of 0 or 0.8, and a standard error of 1/20 more.
    assert found == pytest.approx([1.05 / 0.95, 1.85 / 0.15], rel=0.1)
    # Neighbours that go opposite ways count as no more than they are.
    assert times_together(np.array([1.0, -1.0] * 50)) == 1.0
    # Levels that last longer than all steps: nothing is told, however far apart the models are.
    level = np.concatenate([np.full(6, 1.0), np.full(6, 2.0)])
    assert interval_of(plain(level, np.full(12, 10.0)), 0.05, 7).high == math.inf
    assert interval_of(plain(np.tile([1.0, 2.0], 6), np.full(12, 10.0)), 0.05, 7).high < 0


def test_an_advantage_by_a_level_that_stands_aside_counts_for_less() -> None:
    """Of two models that are 2 % apart, one is nearer as long as the level stays where it is."""
    rng = np.random.default_rng(6)
    steps = np.arange(16).repeat(100)
    level = (0.005 * rng.normal(size=16))[steps]
    own = 0.05 * rng.normal(size=1600)

    def wider(stand: float) -> float:
        ours, theirs = own + level + stand + 0.01, own + level + stand - 0.01
        found = interval_of(sums_of(ours, theirs, steps, 16), 0.05, 7)
        return float((found.high - found.value) / (found.value - found.low))

    assert wider(0.0) < 1.3
    assert wider(-0.03) > 1.7


@pytest.mark.parametrize("lasting", [0.0, 0.8, 0.95])
def test_what_won_and_is_worse_goes_back_while_it_is_watched(lasting: float) -> None:
    """However long levels last: only the upper end, which promotes, waits until that is known."""
    looks = looks_at(*drawn(np.random.default_rng(5), 1.1, 0.03, lasting), 7)
    steps = LIMITS.watch_days // 7
    assert ever(looks.low[:, :steps] > 0) > 0.85
    assert not (looks.high[:, :steps] < 0).any()


def test_one_step_of_very_many_cars_does_not_decide() -> None:
    """It draws the mean to itself: by distances from the mean alone it would look certain."""
    rng = np.random.default_rng(4)
    theirs = np.array([*np.full(12, 10.0), 10_000.0])
    ours = theirs * (1 + 0.02 * rng.normal(size=(400, 13)))
    found = interval_of(plain(ours, np.broadcast_to(theirs, ours.shape)), 0.05, 7)
    assert (found.high < 0).mean() < 0.05


@pytest.mark.parametrize(("factor", "sign"), [(0.95, -1), (1.05, 1)])
def test_what_is_better_or_worse_is_found(factor: float, sign: int) -> None:
    looks = looks_at(*drawn(np.random.default_rng(1), factor, 0.0))
    found, missed = looks.high < 0, looks.low > 0
    if sign > 0:
        found, missed = missed, found
    assert ever(found) > 0.95
    assert not missed.any()


def test_days_are_what_counts_whatever_their_order_and_one_price_decides_nothing() -> None:
    rng = np.random.default_rng(2)
    days = np.repeat(np.arange(20), 10).astype("datetime64[D]")
    theirs = np.abs(rng.normal(0.0, 0.1, 200))
    ours = np.maximum(theirs + rng.normal(-0.01, 0.01, 200), 0.0)
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
    assert residuals_of(observed, prices)[7] == residuals_of(observed, 1.1 * prices)[7] == -LARGEST


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
        (
            difference(-math.inf, math.inf),
            Served(),
            LIMITS,
            20,
            "wait",
            "level lasts longer than they do",
        ),
        (difference(0.01, 0.05), Served(), LIMITS, 20, "drop", "not better, beyond doubt"),
        (
            Difference(900, 30, 0.103, 0.1, 0.03, 0.01, math.inf),
            Served(),
            LIMITS,
            20,
            "drop",
            "error +3.0 % (from +1.0 %)",
        ),
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
