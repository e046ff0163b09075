"""A correction learned from prices that were seen: what it finds, leaves, and refuses."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.errors import RefusedError
from carprice.listings.believed import believed
from carprice.model import PriceModel
from carprice.model.correction import Correction
from carprice.monitoring.recalibration import (
    Seen,
    correction_of,
    held_out_figures,
    recalibrated,
    seen_prices,
)
from carprice.monitoring.records import (
    ASKING_PRICE,
    LISTED,
    OBSERVED_ON,
    OBSERVED_PRICE,
    SOLD,
    SOURCE,
)
from carprice.schema import PRICE
from carprice.settings import MonitorSettings, RecalibrateSettings

HOW = RecalibrateSettings(fewest=100)
SETTINGS = MonitorSettings(recalibrate=HOW)
FIRST = np.datetime64("2025-01-01")


@pytest.fixture(scope="module")
def model(finished: Any) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="module")
def fresh(finished: Any, model: PriceModel) -> pd.DataFrame:
    """The test listings of the sample as fresh ones of the thirty days after training."""
    rows = believed(pd.read_parquet(finished[0].test_listings)).reset_index(drop=True)
    days = pd.Timestamp(model.market.valuation_date) + pd.to_timedelta(
        1 + np.arange(len(rows)) % 30, unit="D"
    )
    return rows.assign(**{SOURCE: LISTED, OBSERVED_PRICE: rows[PRICE], OBSERVED_ON: days})


def made(
    shift: float = 0.0, rows: int = 3000, noise: float = 0.2, days: int = 90, seed: int = 0
) -> Seen:
    """Return prices around a model whose ranges are right for a noise of 0.1."""
    random = np.random.default_rng(seed)
    side = np.full(rows, 1.645 * 0.1)
    return Seen(
        off=shift + random.normal(0, noise, rows),
        below=side,
        above=side,
        day=FIRST + np.sort(random.integers(0, days, rows)),
        make=random.choice(np.array(["kia", "fiat", "ford"], dtype=object), rows),
        age=random.uniform(0, 15, rows),
    )


@pytest.mark.parametrize("injected", [-0.08, 0.05])
def test_the_learned_shift_is_the_injected_one(
    injected: float, model: PriceModel, fresh: pd.DataFrame
) -> None:
    def learned(factor: float) -> Seen:
        moved = fresh.assign(**{OBSERVED_PRICE: factor * fresh[OBSERVED_PRICE]})
        return seen_prices(model, moved, SETTINGS)

    plain, moved = learned(1.0), learned(float(np.exp(injected)))
    assert len(plain) > 300
    np.testing.assert_allclose(moved.off - plain.off, injected, atol=1e-9)
    found = correction_of(moved, HOW)
    assert found.shift == pytest.approx(injected + float(plain.off.mean()), abs=0.02)
    assert found.since > model.market.valuation_date
    assert found.held_out is not None
    before, after = found.held_out.error
    assert after < before
    assert abs(found.held_out.bias[1]) < abs(found.held_out.bias[0])


def test_the_correction_in_use_does_what_it_was_measured_to_do(
    model: PriceModel, fresh: pd.DataFrame
) -> None:
    moved = fresh.assign(**{OBSERVED_PRICE: 0.9 * fresh[OBSERVED_PRICE]})
    correction = recalibrated(model, moved, SETTINGS)
    seen = seen_prices(model, moved, SETTINGS)
    told = held_out_figures(seen, correction)
    rows = fresh.assign(listed_on=fresh[OBSERVED_ON].astype("datetime64[s]"))
    listings = rows.loc[:, :PRICE].drop(columns=PRICE).to_dict("records")
    listings = [{k: None if v != v else v for k, v in one.items()} for one in listings]  # noqa: PLR0124
    for one in listings:
        one["listed_on"] = one["listed_on"].date()
    prices = replace(model, correction=correction).pricer.prices(listings)
    price = moved[OBSERVED_PRICE].to_numpy()
    assert len(seen) == len(price)
    covered = 100 * np.mean((prices.low <= price) & (price <= prices.high))
    assert covered == pytest.approx(told.coverage[1], abs=0.3)
    off = 100 * np.abs(np.log(prices.price / price)).mean()
    assert off == pytest.approx(told.error[1], abs=1e-6)


def test_what_is_asked_without_a_date_is_level_with_what_is_seen_a_year_later(
    model: PriceModel, fresh: pd.DataFrame
) -> None:
    later = fresh.assign(**{OBSERVED_ON: fresh[OBSERVED_ON] + pd.Timedelta(days=365)})
    correction = recalibrated(model, later, SETTINGS)
    assert recalibrated(model, fresh, SETTINGS).undated == 0  # of the same year
    assert correction.undated < -0.03
    rows = later.loc[:, :PRICE].drop(columns=[PRICE, "listed_on"])
    cars = [
        {name: value for name, value in one.items() if value == value}  # noqa: PLR0124 - NaN
        for one in rows.to_dict("records")
    ]
    corrected = replace(model, correction=correction)
    off = np.log(corrected.pricer.prices(cars).price / later[OBSERVED_PRICE].to_numpy())
    assert abs(np.median(off)) < 0.02
    assert np.median(off - correction.undated) > 0.03


def test_one_that_the_model_has_already_counts_for_nothing(
    model: PriceModel, fresh: pd.DataFrame
) -> None:
    first = recalibrated(model, fresh, SETTINGS)
    wrong = replace(first, shift=0.2)
    again = recalibrated(replace(model, correction=wrong), fresh, SETTINGS)
    assert replace(again, held_out=None) == replace(first, held_out=None)
    assert first.held_out is not None
    assert again.held_out is not None
    *same, present = again.held_out.error
    assert tuple(same) == first.held_out.error
    assert present > 1.2 * same[1]


def test_beside_one_that_the_model_has_cars_count_that_it_had_not_seen() -> None:
    seen = made(shift=-0.1, noise=0.05)
    whole = correction_of(seen, HOW)
    until = (FIRST + 79).astype(object)
    present = replace(whole, until=until)
    found = correction_of(seen, HOW, present).held_out
    assert found is not None
    assert found.rows == (seen.day > FIRST + 79).sum()
    assert found.error[2] == pytest.approx(found.error[1], rel=0.01)
    assert found.error[2] < 0.5 * found.error[0]
    # It is for days from its first one on, and prices of before are as they were.
    later = replace(present, since=(FIRST + 200).astype(object))
    none = held_out_figures(seen, whole, later)
    assert none.error[2] == none.error[0]
    assert none.coverage[2] == none.coverage[0]
    # Too few are newer than all that it saw: the newest third counts.
    thirds = correction_of(seen, HOW, replace(present, until=whole.until)).held_out
    assert thirds is not None
    assert thirds.rows == pytest.approx(1000, abs=40)


def test_a_market_too_far_off_is_told_in_per_cent_of_a_price() -> None:
    told = r"prices are -3\d\.\d % .* moves them by -25\.9 % at most .* 0\.3 of ln\(price\)"
    with pytest.raises(RefusedError, match=told):
        correction_of(made(shift=-0.4), HOW)


def test_sales_count_as_far_as_it_is_known_what_is_given_way(
    model: PriceModel, fresh: pd.DataFrame
) -> None:
    sold = fresh.assign(**{SOURCE: SOLD, OBSERVED_PRICE: 0.93 * fresh[OBSERVED_PRICE]})
    assert not len(seen_prices(model, sold, SETTINGS))
    with pytest.raises(RefusedError, match="a correction needs 100"):
        recalibrated(model, sold, SETTINGS)
    asked = sold.assign(**{ASKING_PRICE: fresh[OBSERVED_PRICE]})
    np.testing.assert_allclose(
        seen_prices(model, asked, SETTINGS).off, seen_prices(model, fresh, SETTINGS).off
    )
    of_sales = SETTINGS.model_copy(update={"prices": "sold"})
    assert len(seen_prices(model, sold, of_sales)) == len(sold)


def test_ranges_are_scaled_to_what_is_seen() -> None:
    found = correction_of(made(noise=0.2), HOW)
    assert found.scale == pytest.approx((2, 2, 2, 2), rel=0.1)
    assert found.held_out is not None
    assert found.held_out.coverage == pytest.approx((59, 90), abs=3)
    assert correction_of(made(noise=0.05), HOW).scale == pytest.approx((0.5,) * 4, rel=0.1)


def test_a_band_whose_prices_scatter_more_has_a_factor_of_its_own() -> None:
    seen = made(noise=0.1, rows=6000)
    old = seen.age > 9.5
    wider = replace(seen, off=np.where(old, 2 * seen.off, seen.off))
    scale = correction_of(wider, HOW).scale
    assert scale[3] > 1.7
    assert max(scale[:3]) < 1.3


def test_a_level_that_chance_makes_is_left_alone() -> None:
    shifts = [correction_of(made(noise=0.3, rows=400, seed=seed), HOW).shift for seed in range(20)]
    means = [float(made(noise=0.3, rows=400, seed=seed).off.mean()) for seed in range(20)]
    assert np.std(shifts) < np.std(means)
    assert sum(shift == 0 for shift in shifts) >= 8


def test_fortnights_that_differ_make_a_level_less_sure() -> None:
    seen = made(shift=0.02, noise=0.05)
    ups_and_downs = np.where((seen.day - FIRST).astype(int) // 14 % 2, 0.1, -0.1)
    assert correction_of(seen, HOW).shift == pytest.approx(0.02, abs=0.004)
    assert abs(correction_of(replace(seen, off=seen.off + ups_and_downs), HOW).shift) < 0.02


def test_what_is_newer_counts_more() -> None:
    seen = made(noise=0.02)
    moved = replace(seen, off=seen.off + np.where(seen.day >= FIRST + 45, -0.1, 0.0))
    short = correction_of(moved, HOW.model_copy(update={"half_life": 7.0})).shift
    long = correction_of(moved, HOW.model_copy(update={"half_life": 1000.0})).shift
    assert short < -0.09
    assert long == pytest.approx(-0.05, abs=0.01)


def test_makes_are_moved_as_far_as_they_differ_by_more_than_chance() -> None:
    same = correction_of(made(), HOW).by_make
    assert all(abs(shift) < 0.01 for shift in same.values())
    seen = made(rows=6000)
    moved = replace(seen, off=seen.off - np.where(seen.make == "ford", 0.12, 0.0))
    found = correction_of(moved, HOW)
    assert found.by_make.keys() == {"fiat", "ford", "kia"}
    beside = found.by_make["ford"] - found.by_make["kia"]
    assert beside == pytest.approx(-0.12, abs=0.03)


def test_far_off_prices_decide_little() -> None:
    seen = made(noise=0.1)
    junk = np.arange(len(seen)) % 50 == 0
    found = correction_of(replace(seen, off=np.where(junk, -4.0, seen.off)), HOW)
    assert abs(found.shift) < 0.01
    assert max(found.scale) < 1.2


def test_too_few_prices_or_a_market_too_far_off_are_refused() -> None:
    with pytest.raises(RefusedError, match=r"^50 prices .* a correction needs 100 .*fewest"):
        correction_of(made(rows=50), HOW)
    with pytest.raises(RefusedError, match=r"prices are -33.* train the model again"):
        correction_of(made(shift=-0.4), HOW)
    with pytest.raises(RefusedError, match=r"^0 prices"):
        correction_of(made(rows=100).take(np.array([], dtype=np.intp)), HOW)


def test_only_so_many_days_count() -> None:
    seen = made(days=400)
    found: Correction = correction_of(seen, HOW)
    assert (found.until - found.since).days == HOW.days - 1
    assert found.rows < len(seen) / 2
