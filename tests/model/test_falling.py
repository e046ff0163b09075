import numpy as np
import pytest

from carprice.arrays import Floats
from carprice.model.falling import Steps, falling_correction

STEPS = 21
LEAST = 0.02
ROWS = 4_000


def fall(log_price: Floats, noise: float = 0.2) -> tuple[Floats, Steps]:
    """Correct the curve that a perfect model has of rows with this mean ln(price) by step."""
    random = np.random.default_rng(0)
    steps = np.append(random.integers(0, STEPS, ROWS), np.arange(STEPS))
    residual = random.normal(0, noise, len(steps))
    return falling_correction(log_price, steps, residual, np.ones(len(steps)), LEAST)


def falls(curve: Floats) -> bool:
    return bool(np.all(np.diff(curve) <= -LEAST + 1e-9))


def test_a_curve_that_falls_stays_as_it_is() -> None:
    correction, limits = fall(-0.1 * np.arange(STEPS))
    assert limits == (0, STEPS - 1)
    assert correction == pytest.approx(np.zeros(STEPS), abs=1e-9)


def test_a_small_rise_is_made_to_fall() -> None:
    curve = -0.1 * np.arange(STEPS)
    curve[19] = curve[18] + 0.01
    correction, limits = fall(curve)
    assert limits == (0, STEPS - 1)
    assert falls(curve + correction)


def test_the_fall_begins_after_cars_that_are_wrongly_young() -> None:
    curve = -0.1 * np.arange(STEPS)
    curve[0] = -1.5
    correction, limits = fall(curve)
    assert limits == (1, STEPS - 1)
    assert correction == pytest.approx(np.zeros(STEPS), abs=1e-9)


def test_the_fall_ends_where_cars_gain_value() -> None:
    curve = -0.1 * np.arange(STEPS)
    curve[18:] += [0.4, 0.8, 1.2]
    correction, (first, last) = fall(curve)
    assert first == 0
    assert last in (17, 18)
    assert falls((curve + correction)[: last + 1])
    assert not correction[last + 1 :].any()


def test_the_ages_of_the_middle_half_of_the_cars_are_always_in_it() -> None:
    curve = 0.1 * np.arange(STEPS)
    correction, limits = fall(curve)
    assert limits == (5, 15)
    assert falls((curve + correction)[5:16])


def test_without_rows_nothing_is_corrected() -> None:
    nothing = np.zeros(0)
    correction, limits = falling_correction(
        np.arange(3.0), nothing.astype(np.intp), nothing, nothing, LEAST
    )
    assert limits == (0, 2)
    assert not correction.any()
