import pytest

from carprice.errors import InputError
from carprice.experiments.search_space import (
    BOOSTER,
    HEDONIC,
    present_values,
    space_of,
    with_all_values,
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


@pytest.mark.parametrize("cars", [300, 1_000_000])
def test_the_recipe_and_the_ends_of_the_ranges_are_settings(cars: int) -> None:
    space = space_of([])
    assert {*present_values(TrainSettings(), space)} == {*HEDONIC}
    recipe = present_values(with_all_values(TrainSettings(), cars), space)
    assert recipe.keys() == space.keys()
    assert all(one.low <= recipe[name] <= one.high for name, one in space.items())
    for end in ("low", "high"):
        values = {name: getattr(one, end) for name, one in space.items()}
        for trees in ("residual", "direct"):
            depth = f"train.booster.{trees}.max_depth"
            values[depth] = int(values[depth])
        assert present_values(with_values(TrainSettings(), values), space) == values


def test_what_is_not_tuned_is_named_with_what_is() -> None:
    with pytest.raises(InputError, match=r"'n_estimators' is nothing that is tuned; .*hedonic, bo"):
        space_of(["n_estimators"])
    assert {*space_of(["booster", "train.hedonic.make"])} == {*BOOSTER, "train.hedonic.make"}
