import json
import math

import numpy as np
import pytest

from carprice.model.intervals import AGE_BANDS, CONFIDENCES, ConformalRanges, age_bands

SEEDS = 300
BAND_AGES = np.array([2.0, 5.0, 8.0, 15.0])


def calibrate(residual: np.ndarray, age: np.ndarray) -> ConformalRanges:
    return ConformalRanges.fit(residual, np.ones_like(residual), age)


def coverage(residual: np.ndarray, age: np.ndarray, ranges: ConformalRanges, level: float) -> float:
    low, high = (side[age_bands(age)] for side in ranges.by_band(level))
    return float(np.mean((low <= residual) & (residual <= high)))


def normal(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.normal(0, 0.2, rows)


def skewed(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.exponential(0.3, rows) - 0.2


@pytest.mark.parametrize("draw", [normal, skewed])
@pytest.mark.parametrize("rows", [99, 160])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_ranges_cover_what_theory_says_on_exchangeable_data(draw, rows: int, level: float) -> None:
    shares = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        ranges = calibrate(draw(rng, rows), np.full(rows, 5.0))
        shares.append(coverage(draw(rng, 200), np.full(200, 5.0), ranges, level))
    four_errors = 4 * np.std(shares) / math.sqrt(SEEDS)
    assert level - four_errors <= np.mean(shares) <= level + 2 / (rows + 1) + four_errors


def test_every_age_band_is_covered_where_noise_grows_with_age() -> None:
    shares = np.empty((SEEDS, len(BAND_AGES)))
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        age = np.repeat(BAND_AGES, 99)
        ranges = calibrate(rng.normal(0, 0.02 * age), age)
        for place, band in enumerate(BAND_AGES):
            fresh = np.full(100, band)
            shares[seed, place] = coverage(rng.normal(0, 0.02 * fresh), fresh, ranges, 0.9)
    assert shares.mean(axis=0) == pytest.approx(np.full(4, 0.9), abs=0.012)


@pytest.mark.parametrize(
    ("age", "band"),
    [(0, "0-3"), (3, "0-3"), (3.5, "0-3"), (3.6, "4-6"), (6, "4-6"), (9, "7-9"), (10, "10+")],
)
def test_an_age_has_its_band(age: float, band: str) -> None:
    assert list(AGE_BANDS)[age_bands(np.array([age])).item()] == band


@pytest.mark.parametrize(("rows", "is_own"), [(1, False), (49, False), (50, True)])
def test_a_small_band_is_given_the_ranges_of_all_rows(rows: int, is_own: bool) -> None:
    rng = np.random.default_rng(0)
    residual = np.concatenate([rng.normal(0, 0.1, 200), rng.normal(0, 1.0, rows)])
    age = np.repeat([2.0, 15.0], [200, rows])
    ranges = calibrate(residual, age)
    everything = calibrate(residual, np.full(len(residual), 5.0))
    assert np.array_equal(ranges.high[3], everything.high[1]) != is_own
    assert np.array_equal(ranges.high[2], everything.high[1])


def test_offsets_are_the_ranks_that_the_formula_names() -> None:
    residual = np.arange(-49.0, 50.0)
    assert calibrate(residual, np.full(99, 5.0)).offsets(1.0, 5.0, 0.9) == (-45, 45)


@pytest.mark.parametrize(("shift", "low", "high"), [(10.0, 0.0, None), (-10.0, None, 0.0)])
def test_the_range_always_holds_the_price(
    shift: float, low: float | None, high: float | None
) -> None:
    residual = np.random.default_rng(0).normal(shift, 1, 200)
    below, above = calibrate(residual, np.full(200, 5.0)).offsets(1.0, 5.0, 0.9)
    assert below <= 0 <= above
    assert below == low or above == high


def test_more_confidence_is_never_narrower() -> None:
    residual = np.random.default_rng(0).normal(0, 1, 200)
    ranges = calibrate(residual, np.full(200, 5.0))
    *widths, between = (
        high - low for low, high in (ranges.offsets(1.0, 5.0, c) for c in (*CONFIDENCES, 0.905))
    )
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    assert widths[CONFIDENCES.index(0.9)] <= between <= widths[CONFIDENCES.index(0.91)]


@pytest.mark.parametrize("confidence", [0.49, 0.991, 1.0, 0.0, -1.0, math.nan])
def test_a_confidence_outside_is_an_error_that_names_it(confidence: float) -> None:
    ranges = calibrate(np.arange(60.0), np.full(60, 5.0))
    with pytest.raises(ValueError, match=f"confidence is {confidence}; it must be from 0.5 to 0.9"):
        ranges.offsets(1.0, 5.0, confidence)


@pytest.mark.parametrize("confidence", [0.5, 0.99])
def test_the_ends_of_confidence_are_allowed(confidence: float) -> None:
    ranges = calibrate(np.arange(-30.0, 30), np.full(60, 5.0))
    for age in (5.0, 12.0):
        low, high = ranges.offsets(1.0, age, confidence)
        assert low < high


def test_ranges_survive_json() -> None:
    ranges = calibrate(np.random.default_rng(0).normal(size=300), np.arange(300.0) % 20)
    read = ConformalRanges.from_json(json.loads(json.dumps(ranges.to_json())))
    assert np.array_equal(read.low, ranges.low)
    assert np.array_equal(read.high, ranges.high)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_ranges_scaled_locally_cover_as_promised_where_noise_differs_by_row(level: float) -> None:
    shares = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        scale, fresh = rng.uniform(0.05, 0.5, (2, 400))
        ranges = ConformalRanges.fit(rng.normal(0, scale), scale, np.full(400, 5.0))
        low, high = (side[1] * fresh for side in ranges.by_band(level))
        residual = rng.normal(0, fresh)
        shares.append(np.mean((low <= residual) & (residual <= high)))
    assert np.mean(shares) == pytest.approx(level, abs=0.02)


@pytest.mark.parametrize("sign", [1, -1])
def test_asymmetric_residuals_give_asymmetric_ranges_that_miss_alike_on_both_sides(
    sign: int,
) -> None:
    rng = np.random.default_rng(0)
    ranges = calibrate(sign * skewed(rng, 4000), np.full(4000, 5.0))
    low, high = ranges.offsets(1.0, 5.0, 0.9)
    longer, shorter = (high, -low) if sign == 1 else (-low, high)
    assert longer > 2 * shorter
    fresh = sign * skewed(rng, 100_000)
    assert [np.mean(fresh < low), np.mean(fresh > high)] == pytest.approx([0.05, 0.05], abs=0.015)


def test_twice_the_scale_is_twice_the_range() -> None:
    ranges = calibrate(np.random.default_rng(0).normal(size=200), np.full(200, 5.0))
    low, high = ranges.offsets(1.0, 5.0, 0.9)
    assert ranges.offsets(2.0, 5.0, 0.9) == (2 * low, 2 * high)
    assert low < 0 < high


@pytest.mark.parametrize("age", [0.0, 3.0, 3.5, 4.0, 6.5, 9.0, 9.6, 40.0])
def test_a_car_has_the_offsets_of_its_age_band(age: float) -> None:
    ranges = calibrate(np.random.default_rng(0).normal(size=400), np.repeat(BAND_AGES, 100))
    band = age_bands(np.array([age])).item()
    assert ranges.offsets(1.0, age, 0.8) == tuple(ranges.by_band(0.8)[:, band])


def test_what_is_unknown_widens_a_range_on_both_sides() -> None:
    ranges = calibrate(np.arange(-49.0, 50.0), np.full(99, 5.0))
    low, high = ranges.offsets(1.0, 5.0, 0.9, open_variance=0.04)
    assert (-low, high) == pytest.approx((math.hypot(45, 0.2 * 1.6448536),) * 2)
