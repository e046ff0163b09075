import pytest

from carprice.errors import InputError
from carprice.experiments.search_space import (
    BOOSTER,
    present_values,
    space_of,
    with_values,
)
from carprice.settings import TrainSettings


def test_the_recipe_and_the_ends_of_the_ranges_are_settings() -> None:
    space = space_of([])
    recipe = present_values(TrainSettings(), space)
    assert all(one.low <= recipe[name] <= one.high for name, one in space.items())
    for end in ("low", "high"):
        values = {name: getattr(one, end) for name, one in space.items()}
        values["train.booster.max_depth"] = int(values["train.booster.max_depth"])
        assert present_values(with_values(TrainSettings(), values), space) == values


def test_what_is_not_tuned_is_named_with_what_is() -> None:
    with pytest.raises(InputError, match=r"'n_estimators' is nothing that is tuned; .* booster"):
        space_of(["n_estimators"])
    with pytest.raises(InputError, match=r"'train\.hedonic\.scales' is nothing that is tuned"):
        space_of(["train.hedonic.scales"])
    assert {*space_of(["train.booster.subsample", "booster"])} == {*BOOSTER}
