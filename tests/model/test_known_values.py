"""Values that training never had: named, priced as missing, with a wider range."""

import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from carprice.model import PriceModel
from carprice.model.pricer import Valuation
from carprice.model.vocabulary import nearest_of

CAR = {
    **{"make": "Maruti", "model": "Swift", "year": 2019, "odometer": 42000.0, "ownership": 1},
    **{"transmission_type": "Manual", "fuel_type": "Petrol", "body_type": "Hatchback"},
    **{"color": "White", "features": ("Bluetooth",)},
}


def valued(model: PriceModel, **change: Any) -> Valuation:
    return model.pricer.value(CAR | change)


@pytest.mark.parametrize(
    ("field", "unseen", "missing", "told"),
    [
        ("transmission_type", "XT", None, "transmissionType 'XT'"),
        ("fuel_type", "Petrl", None, "nearest known: petrol"),
        ("body_type", "Spaceship", None, "; known: "),
        ("color", "Whit", None, "nearest known: white"),
        ("features", ("Bluetooth", "Jacuzzi"), ("Bluetooth",), "features 'jacuzzi'"),
        ("features", ("Bluetoth",), None, "nearest known: bluetooth"),
    ],
)
def test_an_unseen_value_is_named_and_priced_as_missing_with_a_wider_range(
    field: str, unseen: Any, missing: Any, told: str, model: PriceModel
) -> None:
    without, found = valued(model, **{field: missing}), valued(model, **{field: unseen})
    assert without.cautions == ()
    assert [one.kind for one in found.cautions] == ["unseen_value"]
    assert told in found.cautions[0].message
    assert found.predicted_price == without.predicted_price
    assert found.price_low < without.price_low < without.price_high < found.price_high


@pytest.mark.parametrize(
    "change",
    [
        {"transmission_type": "MT"},
        {"transmission_type": "Schaltgetriebe"},
        {"fuel_type": "Gasoline"},
        {"body_type": "Hatchbacks"},
        {"color": " WHITE "},
        {"features": ("blue-tooth",)},
    ],
)
def test_another_spelling_is_the_same_car(change: dict[str, Any], model: PriceModel) -> None:
    assert valued(model, **change) == valued(model)


@pytest.mark.parametrize(
    ("field", "number"),
    [("fitness_age", 50), ("fitness_age", 0.5), ("engine_cc", 19_000), ("ownership", 20)],
)
def test_a_number_far_from_those_of_training_is_named_with_their_range(
    field: str, number: float, model: PriceModel
) -> None:
    (caution,) = valued(model, **{field: number}).cautions
    assert caution.kind == "out_of_range"
    assert f"{number:g} is outside " in caution.message


def test_a_number_that_training_never_had_does_not_move_the_price(model: PriceModel) -> None:
    assert "road_tax" not in model.trained_on
    assert valued(model, road_tax=1e9) == valued(model)


def test_a_model_of_before_prices_its_own_spellings_and_others(model: PriceModel) -> None:
    """Its vocabulary may hold two spellings of a fuel, and no usual ranges."""
    known = {name: dict(terms) for name, terms in model.hedonic.coefficients.items()}
    known["fuel"]["benzin"] = known["fuel"]["petrol"] + 0.1
    known["transmission"]["schaltung"] = known["transmission"].pop("manual")
    older = replace(model, hedonic=replace(model.hedonic, coefficients=known), usual_ranges={})
    petrol, benzin = (valued(older, fuel_type=fuel) for fuel in ("Petrol", "Benzin"))
    assert petrol.predicted_price != benzin.predicted_price
    assert not petrol.cautions + benzin.cautions
    assert valued(older, transmission_type="MT") == valued(older, transmission_type="Schaltung")
    assert [one.kind for one in valued(older, ownership=20).cautions] == ["out_of_range"]


def test_the_vocabulary_has_the_known_values_by_field(model: PriceModel) -> None:
    values = model.vocabulary.values
    assert values["transmissionType"] == ("automatic", "manual")
    assert "petrol" in values["fuelType"]
    assert "bluetooth" in values["features"]
    assert values["region"] == ()


def test_of_many_unseen_names_only_those_that_are_told_are_compared(model: PriceModel) -> None:
    names = [f"Jacuzzi {number}" for number in range(100, 290)]
    before = nearest_of.cache_info().misses
    (caution,) = valued(model, features=names).cautions
    assert "'jacuzzi 109' was not" in caution.message
    assert nearest_of.cache_info().misses - before == 10


def test_long_equipment_does_not_stay_in_memory(model: PriceModel) -> None:
    words = [f"extra {number}" for number in range(190)]

    def price(first: int, last: int) -> None:
        for place in range(first, last):
            valued(model, features=(*words[place:], *words[:place]))

    price(0, 40)
    tracemalloc.start()
    try:
        price(40, 190)
        assert tracemalloc.get_traced_memory()[0] < 500_000
    finally:
        tracemalloc.stop()
