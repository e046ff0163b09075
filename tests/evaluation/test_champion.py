from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.evaluation.champion import car_digests, score_pair, time_both
from carprice.listings.frames import as_columns
from carprice.metrics import price_metrics
from carprice.model import PriceModel

NOBODY = np.array([], dtype=np.uint64)


@pytest.fixture(scope="module")
def model(finished: Any) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="module")
def test_rows(finished: Any) -> pd.DataFrame:
    return pd.read_parquet(finished[0].test_listings)


def test_a_model_beside_itself_has_the_same_errors_in_every_fold(
    model: PriceModel, test_rows: pd.DataFrame
) -> None:
    pair = score_pair(model, model, test_rows, NOBODY)
    own, other = pair.fold_mape
    assert own == other
    assert (len(own), pair.rows, pair.note) == (10, len(test_rows), "")
    actual = test_rows["price"].to_numpy(float)
    overall = price_metrics(actual, model.predict(as_columns(test_rows)).price)["mape"]
    assert np.mean(own) == pytest.approx(overall, rel=0.02)
    assert np.std(own) > 0


def test_few_rows_make_few_folds(model: PriceModel, test_rows: pd.DataFrame) -> None:
    assert len(score_pair(model, model, test_rows.head(23), NOBODY).fold_mape[0]) == 4
    assert len(score_pair(model, model, test_rows.head(3), NOBODY).fold_mape[0]) == 1


def test_cars_that_the_champion_learned_from_are_left_out(
    model: PriceModel, test_rows: pd.DataFrame
) -> None:
    learned = car_digests(test_rows.head(60))
    pair = score_pair(model, model, test_rows, learned)
    assert pair.rows == len(test_rows) - 60
    assert pair.note.startswith(f"60 of {len(test_rows)} test rows were left out")


def test_where_too_few_others_are_left_all_cars_count_and_that_is_said(
    model: PriceModel, test_rows: pd.DataFrame
) -> None:
    pair = score_pair(model, model, test_rows, car_digests(test_rows.iloc[5:]))
    assert pair.rows == len(test_rows)
    assert "too few others were left" in pair.note


def test_cars_that_are_not_known_are_said(model: PriceModel, test_rows: pd.DataFrame) -> None:
    assert "is not known" in score_pair(model, model, test_rows, None).note


def test_a_car_is_the_same_at_another_price_and_another_day(test_rows: pd.DataFrame) -> None:
    later = test_rows.assign(
        price=test_rows["price"] * 2, listed_on=pd.Timestamp("2025-01-01")
    ).iloc[::-1]
    assert set(car_digests(later)) == set(car_digests(test_rows))
    driven = test_rows.assign(odometer=test_rows["odometer"] + 1)
    assert not set(car_digests(driven.dropna(subset="odometer"))) & set(car_digests(test_rows))


def test_missing_texts_are_alike_however_a_frame_holds_them(test_rows: pd.DataFrame) -> None:
    columns = {"drive": pd.Series([None] * len(test_rows), index=test_rows.index, dtype=object)}
    strings = {"drive": pd.Series([np.nan] * len(test_rows), index=test_rows.index, dtype="str")}
    digests = [car_digests(test_rows.assign(**column)) for column in (columns, strings)]
    assert np.array_equal(*digests)


def test_the_time_of_a_price_is_told_in_microseconds(
    model: PriceModel, test_rows: pd.DataFrame
) -> None:
    assert all(1 < one < 1e5 for one in time_both(model, model, test_rows))
