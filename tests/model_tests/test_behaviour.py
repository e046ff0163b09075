import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from carprice.components.workspace import Workspace
from carprice.listings.keys import DetailKey
from carprice.model import PriceModel, Prices
from carprice.model_tests import behaviour
from carprice.model_tests.panel import Panel
from carprice.model_tests.results import ModelTestResult, ModelTestResults, Status
from carprice.settings import ModelTestSettings

LIMITS = ModelTestSettings()


def results(
    model: PriceModel, limits: ModelTestSettings = LIMITS, only: str = ""
) -> dict[str, ModelTestResult]:
    every = ModelTestResults()
    checks = behaviour.checks(model, Panel.of(model), limits)
    every.run_all("behaviour", {only: checks[only]} if only else checks)
    return {one.name: one for one in every.every}


def failed(found: dict[str, ModelTestResult]) -> set[str]:
    return {name for name, one in found.items() if one.status is not Status.PASSED}


def distorted(model: PriceModel, change: Callable[[Prices, Any], Prices]) -> PriceModel:
    """Return a model whose prices are changed by what is known of the cars."""

    class Distorted(PriceModel):
        def predict(self, columns: Any, confidence: float = 0.9) -> Prices:
            return change(super().predict(columns, confidence), self.parse(columns))

    return Distorted(**vars_of(model))


def vars_of(model: PriceModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in PriceModel.__dataclass_fields__}


def scaled(prices: Prices, factor: Any) -> Prices:
    return Prices(prices.price * factor, prices.low * factor, prices.high * factor)


def test_an_honest_model_passes_every_test(model: PriceModel) -> None:
    found = results(model)
    assert failed(found) == set()
    assert len(found) == 11
    assert re.match(r"0\.\d % of the steps rise by", found["price falls with age"].message)


def test_a_model_of_shuffled_prices_fails_with_reasons(shuffled: Workspace) -> None:
    found = results(PriceModel.load(shuffled.model))
    assert failed(found) >= {
        "price falls with age",
        "a second owner costs less",
        "models differ in price",
    }
    assert "needs 0.25" in found["models differ in price"].message


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda p, f: scaled(p, 1.2 ** f.numbers["age"]), "price falls with age"),
        (lambda p, f: scaled(p, f.numbers["odometer"]), "price falls with distance"),
        (lambda p, f: scaled(p, f.numbers["ownership"]), "a second owner costs less"),
        (
            lambda p, f: scaled(p, [9.0 if "|never" in m else 1.0 for m in f.texts["model"]]),
            "an unseen model costs about what its make does",
        ),
        (
            lambda p, f: scaled(p, [1.1 if "qqq" in v.lower() else 1 for v in variants(f)]),
            "an unseen variant costs what one left out does",
        ),
        (lambda p, f: Prices(p.price, p.low, p.price * 0.99), "prices are prices"),
        (lambda p, f: Prices(p.price * np.nan, p.low, p.high), "prices are prices"),
        (
            lambda p, f: Prices(p.price, p.price / 1.1, p.price * 1.1),
            "more confidence, wider range",
        ),
        (
            lambda p, f: Prices(p.price, p.price / 1.1, p.price * 1.1),
            "the least that is required has a price and no narrower range",
        ),
        (lambda p, f: scaled(p, 1.001), "one by one as in a batch"),
        (lambda p, f: scaled(p, np.nan), "one by one as in a batch"),
        (lambda p, f: scaled(p, 1.001), "the reasons multiply to the price"),
    ],
)
def test_what_is_wrong_with_a_model_is_found(
    model: PriceModel, change: Callable[[Prices, Any], Prices], name: str
) -> None:
    def with_arrays(prices: Prices, features: Any) -> Prices:
        found = change(prices, features)
        return Prices(*(np.asarray(side) for side in (found.price, found.low, found.high)))

    found = results(distorted(model, with_arrays), only=name)
    assert name in failed(found)
    assert not found[name].message.startswith("crashed")


def variants(features: Any) -> list[str]:
    return [DetailKey.read(text).detail for text in features.texts["model_variant"]]


def test_limits_are_those_of_the_settings(model: PriceModel) -> None:
    strict = ModelTestSettings(min_fall=0.9, min_spread=2, unseen_model_factor=1)
    assert failed(results(model, strict)) == {
        "price falls with age",
        "models differ in price",
        "an unseen model costs about what its make does",
    }


def test_a_market_without_owners_or_variants_is_looked_at_too(model: PriceModel) -> None:
    hedonic = replace(model.hedonic, coefficients={**model.hedonic.coefficients, "word": {}})
    trained_on = {k: v for k, v in model.trained_on.items() if k != "ownership"}
    found = results(replace(model, hedonic=hedonic, trained_on=trained_on))
    owners = found["a second owner costs less"]
    assert owners.status is Status.PASSED  # what training did not have is not read
    assert "training had no owners, and 80 of 80 cars cost the same" in owners.message
    variant = found["an unseen variant costs what one left out does"].message
    assert variant.startswith("training had no variants, and one that is given moves prices by 0.0")
