import pytest

from carprice.errors import InputError
from carprice.experiments.search_space import (
    BOOSTER,
    HEDONIC,
    differences,
    outside,
    present_values,
    space_of,
    to_json,
    with_values,
)
from carprice.settings import HedonicScales, TrainSettings


def test_every_scale_of_the_ridge_is_searched_around_the_recipe() -> None:
    assert {name.rpartition(".")[2] for name in HEDONIC} == {*HedonicScales.model_fields}
    recipe = HedonicScales()
    for name, one in HEDONIC.items():
        value = getattr(recipe, name.rpartition(".")[2])
        assert one.low < value < one.high
        assert one.log


def test_the_recipe_and_the_ends_of_the_ranges_are_settings() -> None:
    space = space_of([])
    assert outside(present_values(TrainSettings(), space), space) == []
    for end in ("low", "high"):
        values = {name: getattr(one, end) for name, one in space.items()}
        values["train.booster.max_depth"] = int(values["train.booster.max_depth"])
        assert present_values(with_values(TrainSettings(), values), space) == values


def test_a_value_outside_of_what_is_searched_is_named() -> None:
    train = with_values(TrainSettings(), {"train.hedonic.make": 500.0})
    space = space_of(["hedonic"])
    assert outside(present_values(train, space), space) == ["train.hedonic.make"]


def test_another_space_is_told_parameter_by_parameter() -> None:
    stored = to_json(space_of(["hedonic"]))
    stored["train.hedonic.make"]["high"] = 99
    told = differences(stored, space_of([]))
    assert "train.booster.max_depth is searched here and not there" in told
    assert any(one.startswith("train.hedonic.make is searched from") for one in told)
    assert differences(to_json(space_of([])), space_of(["booster"])) == [
        f"{name} is searched there and not here" for name in sorted(HEDONIC)
    ]
    assert differences(to_json(space_of([])), space_of([])) == []


def test_what_is_not_tuned_is_named_with_what_is() -> None:
    with pytest.raises(InputError, match=r"'n_estimators' is nothing that is tuned; .*hedonic, bo"):
        space_of(["n_estimators"])
    assert {*space_of(["booster", "train.hedonic.make"])} == {*BOOSTER, "train.hedonic.make"}
