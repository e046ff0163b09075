import datetime
import json
from typing import Any

import numpy as np
import pytest

from carprice.features import Features, parse
from carprice.model.effects import LEVELS, SIDE_LEVELS, GroupEffects


def features(**columns: list[Any]) -> Features:
    rows = len(next(iter(columns.values())))
    needed = {"make": "Kia", "model": "Rio", "year": 2020, "odometer": 30000}
    given = {name: [value] * rows for name, value in needed.items()} | columns
    return parse(given, datetime.date(2024, 6, 30), "km")


TWO_MAKES = features(make=["A"] * 4 + ["B"] * 4)
TARGET = np.array([11.0] * 4 + [9.0] * 4)


@pytest.mark.parametrize("shrinkage", [0.5, 3.0, 100.0])
def test_an_effect_is_the_groups_mean_residual_shrunken_by_its_rows(shrinkage: float) -> None:
    effects = GroupEffects.fit(TWO_MAKES, TARGET, shrinkage)
    kept = 4 / (4 + shrinkage)
    assert effects.intercept == 10
    assert effects.tables["make"].effects == pytest.approx({"a": kept, "b": -kept})
    left = 1 - kept
    assert effects.tables["model"].effects["a|rio"] == pytest.approx(left * kept)


def test_a_rare_group_is_shrunken_more_than_a_common_one() -> None:
    rows = features(make=["A"] * 20 + ["B"] + ["C"] * 21)
    effects = GroupEffects.fit(rows, np.array([11.0] * 21 + [9.0] * 21), 3.0).tables["make"]
    assert 0 < effects.effects["b"] < effects.effects["a"]
    assert effects.rows == {"a": 20, "b": 1, "c": 21}


def test_prediction_adds_up_from_the_coarsest_to_the_finest_level() -> None:
    effects = GroupEffects.fit(TWO_MAKES, TARGET, 1.0)
    encoded = effects.encode(TWO_MAKES)
    anchor = effects.intercept + encoded[f"{LEVELS[-1]}_level"]
    assert effects.predict(TWO_MAKES) == pytest.approx(anchor)
    assert np.all(np.diff([encoded[f"{level}_level"][0] for level in LEVELS]) > 0)


def test_age_has_an_effect_of_its_own() -> None:
    rows = features(year=[2024] * 50 + [2014] * 50)
    target = np.array([11.0] * 50 + [9.0] * 50)
    effects = GroupEffects.fit(rows, target, 3.0)
    assert effects.by_age[0] == pytest.approx(50 / 55)
    assert effects.by_age[10] == pytest.approx(-50 / 55)
    assert effects.by_age[5] == 0


@pytest.mark.parametrize(("year", "like"), [(2030, 2024), (1950, 1999)])
def test_an_age_beyond_the_table_is_taken_as_its_end(year: int, like: int) -> None:
    rows = features(year=list(range(1999, 2025)))
    effects = GroupEffects.fit(rows, np.linspace(9, 12, 26), 3.0)
    beyond, end = effects.predict(features(year=[year, like]))
    assert beyond == end


@pytest.mark.parametrize(
    ("columns", "parent"),
    [
        ({"make": ["Z"]}, []),
        ({"make": ["A"], "model": ["Z"]}, ["make"]),
        ({"make": ["A"], "variant": ["Z"]}, ["make", "model", "model_powertrain"]),
    ],
)
def test_an_unseen_group_falls_back_to_its_parents(
    columns: dict[str, list[str]], parent: list[str]
) -> None:
    effects = GroupEffects.fit(TWO_MAKES, TARGET, 1.0)
    keys = {"make": "a", "model": "a|rio", "model_powertrain": "a|rio||"}
    expected = 10 + sum(effects.tables[level].effects[keys[level]] for level in parent)
    assert effects.predict(features(**columns)) == pytest.approx([expected])


def test_side_categories_go_to_the_booster_and_not_into_the_prediction() -> None:
    rows = features(color=["Red"] * 30 + ["Blue"] * 30)
    effects = GroupEffects.fit(rows, np.array([11.0] * 30 + [9.0] * 30), 3.0)
    assert effects.predict(rows) == pytest.approx(np.full(60, 10.0))
    assert effects.encode(rows)["color_effect"][[0, -1]] == pytest.approx([30 / 33, -30 / 33])


def test_the_rows_behind_a_name_are_told() -> None:
    encoded = GroupEffects.fit(TWO_MAKES, TARGET, 1.0).encode(features(make=["A", "Z"]))
    assert encoded["model_rows"] == pytest.approx([np.log(5), 0])
    assert len(encoded) == len(LEVELS) + len(SIDE_LEVELS) + 2


def test_effects_survive_json() -> None:
    effects = GroupEffects.fit(TWO_MAKES, TARGET, 1.7)
    read = GroupEffects.from_json(json.loads(json.dumps(effects.to_json())))
    assert read.tables == effects.tables
    assert np.array_equal(read.predict(TWO_MAKES), effects.predict(TWO_MAKES))
