import math

import numpy as np
import pytest

from carprice.model.intervals import CONFIDENCES, ConformalRanges, age_bands

SEEDS = 300
BAND_AGES = np.array([2.0, 5.0, 8.0, 15.0])


def calibrate(residual: np.ndarray, age: np.ndarray) -> ConformalRanges:
    return ConformalRanges.fit(residual, np.ones_like(residual), age)


def coverage(residual: np.ndarray, age: np.ndarray, ranges: ConformalRanges, level: float) -> float:
    offsets, bands = ranges.at(level), age_bands(age)
    low, high = (np.array(side)[bands] for side in (offsets.low, offsets.high))
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
    assert calibrate(residual, np.full(99, 5.0)).at(0.9).of(1.0, 5.0) == (-45, 45)


def test_a_car_counts_once_in_the_ranks() -> None:
    residual = np.arange(-49.0, 50.0)
    again = np.concatenate([residual, np.full(7, 49.0), np.full(3, -3.0)])
    weights = 1 / np.array([(again == one).sum() for one in again])
    ranges = ConformalRanges.fit(again, np.ones_like(again), np.full(len(again), 5.0), weights)
    assert ranges == calibrate(residual, np.full(99, 5.0))


def test_held_out_ranges_hold_as_often_as_those_of_fresh_rows() -> None:
    rng = np.random.default_rng(0)
    residual, age = rng.normal(0, 1, 2000), rng.uniform(0, 15, 2000)
    ones, folds = np.ones(2000), np.arange(2000) % 5
    low, high = ConformalRanges.held_out(residual, ones, age, ones, folds)
    assert np.mean((low <= residual) & (residual <= high)) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(("shift", "low", "high"), [(10.0, 0.0, None), (-10.0, None, 0.0)])
def test_the_range_always_holds_the_price(
    shift: float, low: float | None, high: float | None
) -> None:
    residual = np.random.default_rng(0).normal(shift, 1, 200)
    below, above = calibrate(residual, np.full(200, 5.0)).at(0.9).of(1.0, 5.0)
    assert below <= 0 <= above
    assert below == low or above == high


def test_more_confidence_is_never_narrower() -> None:
    residual = np.random.default_rng(0).normal(0, 1, 200)
    ranges = calibrate(residual, np.full(200, 5.0))
    *widths, between = (
        high - low for low, high in (ranges.at(c).of(1.0, 5.0) for c in (*CONFIDENCES, 0.905))
    )
    assert widths == sorted(widths)
    assert 0 < widths[0] < widths[-1]
    assert widths[CONFIDENCES.index(0.9)] <= between <= widths[CONFIDENCES.index(0.91)]


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_ranges_scaled_locally_cover_as_promised_where_noise_differs_by_row(level: float) -> None:
    shares = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        scale, fresh = rng.uniform(0.05, 0.5, (2, 400))
        ranges = ConformalRanges.fit(rng.normal(0, scale), scale, np.full(400, 5.0))
        low, high = (side[1] * fresh for side in ranges.at(level)[:2])
        residual = rng.normal(0, fresh)
        shares.append(np.mean((low <= residual) & (residual <= high)))
    assert np.mean(shares) == pytest.approx(level, abs=0.02)


@pytest.mark.parametrize("sign", [1, -1])
def test_asymmetric_residuals_give_asymmetric_ranges_that_miss_alike_on_both_sides(
    sign: int,
) -> None:
    rng = np.random.default_rng(0)
    ranges = calibrate(sign * skewed(rng, 4000), np.full(4000, 5.0))
    low, high = ranges.at(0.9).of(1.0, 5.0)
    longer, shorter = (high, -low) if sign == 1 else (-low, high)
    assert longer > 2 * shorter
    fresh = sign * skewed(rng, 100_000)
    assert [np.mean(fresh < low), np.mean(fresh > high)] == pytest.approx([0.05, 0.05], abs=0.015)


def test_twice_the_scale_is_twice_the_range() -> None:
    ranges = calibrate(np.random.default_rng(0).normal(size=200), np.full(200, 5.0))
    low, high = ranges.at(0.9).of(1.0, 5.0)
    assert ranges.at(0.9).of(2.0, 5.0) == (2 * low, 2 * high)
    assert low < 0 < high


@pytest.mark.parametrize("age", [0.0, 3.0, 3.5, 4.0, 6.5, 9.0, 9.6, 40.0])
def test_a_car_has_the_offsets_of_its_age_band(age: float) -> None:
    ranges = calibrate(np.random.default_rng(0).normal(size=400), np.repeat(BAND_AGES, 100))
    offsets, band = ranges.at(0.8), age_bands(np.array([age])).item()
    assert offsets.of(1.0, age) == (offsets.low[band], offsets.high[band])


def test_what_is_unknown_widens_a_range_on_both_sides() -> None:
    ranges = calibrate(np.arange(-49.0, 50.0), np.full(99, 5.0))
    low, high = ranges.at(0.9).of(1.0, 5.0, open_variance=0.04)
    assert (-low, high) == pytest.approx((math.hypot(45, 0.2 * 1.6448536),) * 2)


@pytest.mark.parametrize("draw", [normal, skewed])
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_percentiles_are_the_shares_of_the_prices_below(draw, scale: float) -> None:
    rng = np.random.default_rng(0)
    ranges = calibrate(draw(rng, 5000), np.full(5000, 5.0))
    around = ranges.around(13.0, scale, 5.0)
    assert around is not None
    fresh = [around.percentile(13 + scale * one) for one in draw(rng, 20_000)]
    for level in (1, 10, 25, 40, 50, 60, 75, 90, 99):
        assert 100 * np.mean(np.array(fresh) <= level) == pytest.approx(level, abs=1.7)


@pytest.mark.parametrize("open_variance", [0.0, 0.04, 3.0])
@pytest.mark.parametrize("shift", [0.0, 10.0, -10.0])
def test_a_distribution_has_the_ends_of_every_range_at_their_percentiles(
    shift: float, open_variance: float
) -> None:
    ranges = calibrate(np.random.default_rng(0).normal(shift, 1, 400), np.full(400, 5.0))
    around = ranges.around(13.0, 0.2, 5.0, open_variance)
    assert around is not None
    assert (np.diff(around.points) >= 0).all()
    for confidence in CONFIDENCES:
        low, high = ranges.at(confidence).of(0.2, 5.0, open_variance)
        for end, side in ((low, -1), (high, 1)):
            if end:  # a price at which many ends are has many percentiles
                expected = 50 * (1 + side * confidence)
                assert around.percentile(13 + end) == pytest.approx(expected, abs=1e-6)


def test_what_is_unknown_widens_a_distribution_everywhere() -> None:
    ranges = calibrate(np.random.default_rng(0).normal(0, 1, 400), np.full(400, 5.0))
    narrow, wide = (ranges.around(13.0, 0.2, 5.0, variance) for variance in (0.0, 0.3))
    assert narrow is not None
    assert wide is not None
    half = len(narrow.points) // 2
    assert (np.diff(wide.points) >= np.diff(narrow.points) - 1e-12).all()
    assert abs(wide.points[half] - narrow.points[half]) < 0.1
    assert wide.width > narrow.width


def test_a_distribution_of_an_unseen_make_holds_the_market() -> None:
    ranges = calibrate(np.random.default_rng(0).normal(0, 1, 400), np.full(400, 5.0))
    market = [*np.linspace(12.5, 11, 50)], [*np.linspace(13.2, 15, 50)]
    around = ranges.around(13.0, 0.2, 5.0, 0.0, market)
    assert around is not None
    assert around.percentile(11) == pytest.approx(0.5)
    assert around.percentile(15) == pytest.approx(99.5)


def test_equal_residuals_have_one_price_and_no_percentile_between() -> None:
    around = calibrate(np.zeros(100), np.full(100, 5.0)).around(13.0, 1.0, 5.0)
    assert around is not None
    assert (around.percentile(12.999), around.percentile(13.001)) == (0, 100)


def test_ranges_of_before_have_no_distribution() -> None:
    ranges = calibrate(np.arange(-49.0, 50.0), np.full(99, 5.0))
    assert ConformalRanges(ranges.low, ranges.high).around(13.0, 1.0, 5.0) is None
