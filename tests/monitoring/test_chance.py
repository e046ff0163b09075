import numpy as np
import pytest
from scipy.stats import binomtest, chi2_contingency

from carprice.monitoring.chance import (
    DRAWS,
    beyond,
    certain,
    median_interval,
    permuted,
    reach,
    share_above,
    share_interval,
)


def test_shares_have_the_exact_interval() -> None:
    for hits, rows in ((0, 10), (3, 10), (10, 10), (90, 1000)):
        exact = binomtest(hits, rows).proportion_ci(0.95, "exact")
        assert share_interval(hits, rows) == pytest.approx((exact.low, exact.high))
        above = binomtest(hits, rows, 0.2, "greater").pvalue
        assert share_above(hits, rows, 0.2) == pytest.approx(above)


def test_a_median_lies_in_its_interval_as_often_as_is_said() -> None:
    random = np.random.default_rng(0)
    ends = [median_interval(random.exponential(size=75)) for _ in range(1_000)]
    held = np.mean([low <= np.log(2) <= high for low, high in ends])
    assert 0.94 <= held <= 0.98


def test_what_is_within_the_tolerance_is_no_finding() -> None:
    assert beyond(0.05, 0.001, 0.06, 100) > 0.99
    assert beyond(0.06, 0.001, 0.06, 100) == pytest.approx(0.5, abs=0.01)
    assert beyond(0.07, 0.001, 0.06, 100) < 1e-9
    assert beyond(-0.2, 0.1, 0.0, 10_000) == pytest.approx(0.0455, abs=0.001)
    assert beyond(0.1, 0.0, 0.0, 5) == 0.0
    assert beyond(0.0, 0.0, 0.0, 5) == 1.0
    assert reach(1.0, 1_000_000) == pytest.approx(1.96, abs=0.001)


def test_holms_rule_stops_at_the_first_that_does_not_stand() -> None:
    assert certain([0.02, 0.012, 0.9], 0.05) == [True, True, False]
    assert certain([0.02, 0.03, 0.04], 0.05) == [False] * 3
    assert certain([], 0.05) == []


def test_draws_of_one_mix_differ_as_rarely_as_is_said() -> None:
    random = np.random.default_rng(1)
    shares = np.array([0.6, 0.2, 0.1, 0.06, 0.03, 0.01])
    found = np.array(
        [
            permuted(random.multinomial(300, shares), random.multinomial(900, shares), random)[0]
            for _ in range(400)
        ]
    )
    for level in (0.05, 0.2, 0.5):
        assert np.mean(found <= level) <= level + 2.6 * np.sqrt(level * (1 - level) / 400)
    assert np.mean(found <= 0.2) > 0.1  # it is a test, not a no


def test_another_mix_is_found_and_the_cell_that_differs_most_is_named() -> None:
    before, now = np.array([500.0, 300, 200]), np.array([240.0, 150, 210])
    chance, worst = permuted(now, before, np.random.default_rng(2))
    assert worst == 2
    assert chance == 1 / (DRAWS + 1)
    assert chi2_contingency([before, now]).pvalue < 1e-9


def test_the_p_value_of_two_cells_is_the_exact_one() -> None:
    before, now = np.array([200.0, 800]), np.array([65.0, 185])
    chance, _ = permuted(now, before, np.random.default_rng(3))
    asymptotic = chi2_contingency([before, now], correction=False).pvalue
    assert chance == pytest.approx(asymptotic, rel=0.5)


def test_where_there_is_nothing_to_compare_nothing_differs() -> None:
    none = np.zeros(3)
    assert permuted(none, np.array([1.0, 2, 3]), np.random.default_rng(0)) == (1.0, 0)
    assert permuted(np.array([1.0, 2, 3]), none, np.random.default_rng(0)) == (1.0, 0)
    alike = np.array([50.0, 0, 0])
    assert permuted(alike, 2 * alike, np.random.default_rng(0))[0] > 0.9
