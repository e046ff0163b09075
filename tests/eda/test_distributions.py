import numpy as np
import pandas as pd
import pytest

from carprice.eda.distributions import rare_names, relation, summarise_categories, unseen_share
from carprice.schema import FIELDS, PRICE


def listings(**columns: list[object]) -> pd.DataFrame:
    (rows,) = {len(values) for values in columns.values()}
    empty = {field: [None] * rows for field in FIELDS}
    return pd.DataFrame({**empty, PRICE: [1000.0 + row for row in range(rows)], **columns})


def test_a_category_tells_its_commonest_values_and_their_median_price() -> None:
    frame = listings(color=["red"] * 30 + ["blue"] * 20 + ["pink"] * 3 + [None] * 7)
    (look,) = summarise_categories(frame)
    assert (look.name, look.known, look.distinct, look.rare, look.others) == ("color", 53, 3, 1, 3)
    assert look.levels["rows"].to_dict() == {"red": 30, "blue": 20}
    assert look.levels[0.5]["red"] == 1014.5


def test_equipment_is_counted_by_its_names() -> None:
    (look,) = summarise_categories(
        listings(features=["Bluetooth|Tpms"] * 12 + [""] * 10 + [None] * 3)
    )
    assert look.known == 22
    assert look.levels["rows"].to_dict() == {"Bluetooth": 12, "Tpms": 12}


def test_ages_are_told_year_by_year_and_a_band_needs_ten_cars() -> None:
    age = np.array([0.0] * 10 + [1.0] * 20 + [2.0] * 9 + [np.nan] * 5)
    price = np.exp(10 - np.nan_to_num(age))
    found = relation("age", "years", age, price, whole=True)
    assert found.bands["rows"].to_dict() == {0.5: 10, 1.5: 20}
    assert found.bands[0.5][0.5] == pytest.approx(np.exp(10))
    assert found.density.sum() == 39


@pytest.mark.parametrize("number", [np.full(50, np.nan), np.full(50, 7.0), np.zeros(50)])
def test_a_number_that_tells_nothing_makes_no_trouble(number: np.ndarray) -> None:
    found = relation("odometer", "km", number, np.full(50, 100.0), whole=False)
    assert len(found.bands) <= 1


def test_cars_of_the_largest_number_are_in_the_last_band() -> None:
    found = relation("odometer", "km", np.repeat([1.0, 2.0], 10), np.full(20, 9.0), whole=False)
    assert found.bands["rows"].tolist() == [10, 10]


def test_the_share_of_unseen_names_is_what_random_splits_show() -> None:
    rng = np.random.default_rng(0)
    names = rng.zipf(1.7, 3000).astype(str)
    shares = []
    for _ in range(40):
        test = rng.permutation(3000) < 600
        shares.append(np.mean(~np.isin(names[test], names[~test])))
    assert unseen_share(names.tolist(), 0.2) == pytest.approx(np.mean(shares), rel=0.05)


def test_rare_names_are_counted() -> None:
    assert rare_names(["a"] * 5 + ["b"] * 4 + ["c"]) == (2, 3)
