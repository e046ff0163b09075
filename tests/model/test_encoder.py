import numpy as np
import pytest

from carprice.listings.features import Features
from carprice.listings.frames import read_features
from carprice.model import PriceModel
from carprice.model.car import CarReader
from carprice.model.defaults import Defaults
from carprice.model.encoder import COUNTED, Anchor, Encoder, TreeRows
from carprice.model.worth import WORTHS


@pytest.fixture(scope="module")
def features(finished) -> Features:
    return read_features(finished[0].train_features)[0]


@pytest.fixture(scope="module")
def encoder(features: Features) -> Encoder:
    return Encoder.fit(features)


def matrix(encoder: Encoder, features: Features) -> np.ndarray:
    price, *worths = (np.full(len(features), value) for value in (13.0, 0.5, 0.25, 0.125, -0.5))
    complete = CarReader(Defaults.fit(features)).complete(features)
    anchor = Anchor(price, dict(zip(WORTHS, worths, strict=True)), {}, np.ones(len(price)))
    return TreeRows(encoder).training_matrix(complete, anchor)


def test_the_matrix_has_the_columns_that_it_names(encoder: Encoder, features: Features) -> None:
    found = matrix(encoder, features)
    assert found.shape == (len(features), len(encoder.columns))
    assert found.dtype == np.float32
    column = dict(zip(encoder.columns, found.T, strict=True))
    assert np.all(column["hedonic_price"] == 13)
    assert np.all(column["hedonic_names"] == 0.5)
    assert np.all(column["hedonic_age"] == -0.5)
    assert column["age"] == pytest.approx(features.numbers["age"])
    diesel = [fuel == "diesel" for fuel in features.texts["fuel"]]
    assert column["fuel=diesel"].tolist() == diesel
    name = encoder.equipment[0]
    assert column[name].tolist() == [name in one.split("|") for one in features.equipment]


def test_rare_and_unknown_values_have_no_column(features: Features) -> None:
    texts = {**features.texts, "color": ["odd"] * 19 + ["plain"] * 20 + [""] * (len(features) - 39)}
    odd = Features(texts, features.numbers, features.equipment)
    assert Encoder.fit(odd).levels["color"] == ("plain",)
    empty = {**features.numbers, "seats": np.full(len(features), np.nan)}
    assert "seats" not in Encoder.fit(Features(texts, empty, features.equipment)).numbers


def test_a_priced_car_s_row_is_its_training_row_but_that_it_counts_all_training_rows(
    finished, features: Features
) -> None:
    model = PriceModel.load(finished[0].model)
    read, trained = [*model.pricer._read_features(features)], matrix(model.encoder, features)
    rows = [(one.known.row, one.ridge, one.car) for one in read]
    priced = model.pricer._trees.rows.matrix(rows, len(rows))
    counts = [model.encoder.columns.index(f"{name}_rows") for name in COUNTED]
    others = np.delete(np.arange(priced.shape[1]), [*range(5), *counts])
    assert np.array_equal(priced[:, others], trained[:, others], equal_nan=True)
    assert np.expm1(priced[:, counts]) == pytest.approx(np.expm1(trained[:, counts]) + 1, rel=1e-3)
    anchors = [(one.ridge, *map(one.known.worth.worths.get, WORTHS)) for one in read]
    assert np.array_equal(priced[:, :5], np.array(anchors, dtype=np.float32))


def test_only_what_lowers_a_price_has_a_direction_downwards(encoder: Encoder) -> None:
    directions = dict(zip(encoder.columns, encoder.directions, strict=True))
    assert {name for name, one in directions.items() if one == -1} == {
        "age",
        "odometer",
        "ownership",
    }


def test_beyond_where_prices_fall_a_number_is_in_a_column_without_a_direction(
    features: Features,
) -> None:
    encoder = Encoder.fit(features, {"age": [2.0, 9.0]})
    column = dict(zip(encoder.columns, matrix(encoder, features).T, strict=True))
    directions = dict(zip(encoder.columns, encoder.directions, strict=True))
    age = features.numbers["age"]
    assert age.min() < 2
    assert age.max() > 9
    assert column["age"] == pytest.approx(np.clip(age, 2, 9))
    assert column["age_beyond"] == pytest.approx(age - np.clip(age, 2, 9))
    assert (directions["age"], directions["age_beyond"]) == (-1, 0)
