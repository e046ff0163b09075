import pytest

from carprice.errors import InputError
from carprice.experiments.search_space import (
    BOOSTER,
    present_values,
    space_of,
    with_all_values,
    with_values,
)
from carprice.settings import TrainSettings


@pytest.mark.parametrize("cars", [300, 1_000_000])
def test_the_recipe_and_the_ends_of_the_ranges_are_settings(cars: int) -> None:
    space = space_of([])
    assert present_values(TrainSettings(), space) == {}
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
    with pytest.raises(InputError, match=r"'n_estimators' is nothing that is tuned; .* booster"):
        space_of(["n_estimators"])
    with pytest.raises(InputError, match=r"'train\.hedonic\.scales' is nothing that is tuned"):
        space_of(["train.hedonic.scales"])
    assert {*space_of(["train.booster.direct.subsample", "booster"])} == {*BOOSTER}
