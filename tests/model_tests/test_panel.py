from dataclasses import replace

import numpy as np

from carprice.model import PriceModel
from carprice.model_tests.panel import Panel, usual_odometer, with_unseen_names


def test_the_panel_has_a_younger_and_an_older_car_of_models_that_are_known(
    model: PriceModel, panel: Panel
) -> None:
    assert panel == Panel.of(model)
    assert len(panel.cars) == 80
    valuations = model.pricer.value_all(panel.cars)
    kinds = {caution.kind for one in valuations for caution in one.cautions}
    assert not any(kind.startswith("unseen") for kind in kinds)
    assert all(car["variant"] for car in panel.cars)
    older, younger = panel.cars[1::2], panel.cars[::2]
    names = [(car["make"], car["model"]) for car in younger]
    assert names == [(car["make"], car["model"]) for car in older]
    assert len({*names}) == 40
    assert all(a["year"] >= b["year"] for a, b in zip(younger, older, strict=True))


def test_makes_come_with_all_their_models_the_best_known_first(panel: Panel) -> None:
    makes = panel.makes(2)
    assert next(iter(makes)) == "maruti"
    assert "swift" in makes["maruti"]


def test_names_that_nobody_knows_are_warned_of(model: PriceModel, panel: Panel) -> None:
    strange = with_unseen_names(panel.cars)[len(panel.cars) :]
    kinds = {one.cautions[0].kind for one in model.pricer.value_all(strange)}
    assert kinds == {"unseen_make", "unseen_model", "unseen_variant"}


def test_where_odometers_stay_unknown_a_usual_distance_is_taken(model: PriceModel) -> None:
    unknown = replace(model.defaults, odometer_by_age=np.full(26, np.nan))
    assert usual_odometer(replace(model, defaults=unknown), 6) == 78_000
    assert usual_odometer(model, 40) == usual_odometer(model, 25) > 0
