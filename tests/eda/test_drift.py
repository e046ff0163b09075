import numpy as np
import pytest

from carprice.eda.drift import Drift, DriftVerdict, find_drift

ROWS = 20_000
LOSS = 0.1
FIRST = np.datetime64("2023-01-01", "D")


def drift_of(per_year: float, *, jump: float = 0.0, rows: int = ROWS, days: int = 600) -> Drift:
    """Return the drift of cars whose ln(price) at one model year moves so much a year."""
    rng = np.random.default_rng(3)
    after = rng.integers(0, days, rows)
    left = per_year * after / 365.25 + jump * (after > days / 2) + rng.normal(0, 0.3, rows)
    year = rng.integers(2005, 2022, rows).astype(float)
    return find_drift(FIRST + after, year, np.exp(10 + left), left, LOSS)


def test_dates_over_which_cars_do_not_age_are_doubted() -> None:
    found = drift_of(0.0)
    assert found.verdict is DriftVerdict.NO_DRIFT
    assert found.between[0] < 0 < found.between[1]
    assert found.p_value > 0.01
    assert found.evenness == pytest.approx(1, abs=0.2)
    assert found.market == pytest.approx(LOSS, abs=0.02)


def test_cars_that_age_as_they_should_are_steady() -> None:
    found = drift_of(-LOSS)
    assert found.verdict is DriftVerdict.STEADY
    assert found.slope == pytest.approx(-LOSS, abs=0.01)
    assert found.market == pytest.approx(0, abs=0.015)


@pytest.mark.parametrize("per_year", [0.1, -0.3, -0.05])
def test_a_market_that_moves_drifts(per_year: float) -> None:
    found = drift_of(per_year)
    assert found.verdict is DriftVerdict.DRIFT
    assert found.market == pytest.approx(per_year + LOSS, abs=0.02)


def test_a_market_that_jumps_drifts() -> None:
    found = drift_of(-LOSS, jump=0.15)
    assert found.verdict is DriftVerdict.DRIFT
    assert found.apart > 0.02


def test_without_dates_there_is_nothing_to_tell() -> None:
    nothing = np.full(300, np.datetime64("NaT", "D"))
    found = find_drift(nothing, np.full(300, 2015.0), np.ones(300), np.zeros(300), LOSS)
    assert found == Drift(DriftVerdict.NO_DATES, 0)


@pytest.mark.parametrize(("rows", "days"), [(150, 600), (5000, 40), (250, 3000)])
def test_few_rows_or_days_are_too_few_to_tell(rows: int, days: int) -> None:
    assert drift_of(0.0, rows=rows, days=days).verdict is DriftVerdict.TOO_FEW


def test_without_what_like_cars_cost_drift_cannot_be_told() -> None:
    days = FIRST + np.arange(1000)
    found = find_drift(days, np.full(1000, 2015.0), np.ones(1000), None, None)
    assert found.verdict is DriftVerdict.TOO_FEW
    assert (found.dated, found.first) == (1000, "2023-01-01")


def test_prices_that_do_not_differ_make_no_trouble() -> None:
    days = FIRST + np.arange(1000)
    found = find_drift(days, np.full(1000, 2015.0), np.ones(1000), np.zeros(1000), 0.0)
    assert found.slope == 0
