import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.components.workspace import Workspace
from carprice.listings.keys import DetailKey
from carprice.model import PriceModel, Prices
from carprice.model_tests import behaviour
from carprice.model_tests.evidence import Estimate, Evidence
from carprice.model_tests.panel import Panel
from carprice.model_tests.results import ModelTestResult, ModelTestResults, Status
from carprice.settings import ModelTestSettings

LIMITS = ModelTestSettings()
FALLS = "price falls with age"


def results(
    model: PriceModel, evidence: Evidence | None, limits: ModelTestSettings = LIMITS, only: str = ""
) -> dict[str, ModelTestResult]:
    every = ModelTestResults()
    checks = behaviour.checks(model, Panel.of(model), limits, evidence)
    every.run_all("behaviour", {only: checks[only]} if only else checks)
    return {one.name: one for one in every.every}


def failed(found: dict[str, ModelTestResult]) -> set[str]:
    return {name for name, one in found.items() if not one.is_good}


def warned(found: dict[str, ModelTestResult]) -> set[str]:
    return {name for name, one in found.items() if one.status is Status.UNDECIDED}


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


def test_an_honest_model_passes_every_test(model: PriceModel, evidence: Evidence) -> None:
    found = results(model, evidence)
    assert failed(found) == warned(found) == set()
    assert len(found) == 11
    assert re.match(r"from 1 to 12 years, 0\.\d % of the steps", found[FALLS].message)


def test_a_model_of_shuffled_prices_fails_with_reasons(
    shuffled: Workspace, evidence: Evidence
) -> None:
    found = results(PriceModel.load(shuffled.model), evidence)
    assert failed(found) >= {FALLS, "models differ in price"}
    assert "the listings say -" in found[FALLS].message
    assert "the listings say 0." in found["models differ in price"].message


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda p, f: scaled(p, 1.2 ** f.numbers["age"]), FALLS),
        (lambda p, f: scaled(p, 1.07 ** f.numbers["age"]), FALLS),
        (lambda p, f: scaled(p, f.numbers["odometer"]), "price falls with distance"),
        (lambda p, f: scaled(p, f.numbers["ownership"]), "a second owner costs less"),
        (
            lambda p, f: scaled(p, [3.0 if "|never" in m else 1.0 for m in f.texts["model"]]),
            "an unseen model costs about what its make does",
        ),
        (
            lambda p, f: scaled(p, [1.3 if "qqq" in v.lower() else 1 for v in variants(f)]),
            "an unseen variant costs what one left out does",
        ),
        (lambda p, f: powered(p, 0.1), "models differ in price"),
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
    model: PriceModel, evidence: Evidence, change: Callable[[Prices, Any], Prices], name: str
) -> None:
    def with_arrays(prices: Prices, features: Any) -> Prices:
        found = change(prices, features)
        return Prices(*(np.asarray(side) for side in (found.price, found.low, found.high)))

    found = results(distorted(model, with_arrays), evidence, only=name)
    assert name in failed(found)
    assert not found[name].message.startswith("crashed")


def variants(features: Any) -> list[str]:
    return [DetailKey.read(text).detail for text in features.texts["model_variant"]]


def powered(prices: Prices, power: float) -> Prices:
    return Prices(prices.price**power, prices.low**power, prices.high**power)


def test_steps_that_rise_are_counted_by_the_settings(model: PriceModel, evidence: Evidence) -> None:
    strict = ModelTestSettings(rise=0, max_rises=0)
    bumpy = distorted(model, lambda p, f: scaled(p, 1 + 0.15 * (f.numbers["age"] % 3 == 0)))
    found = results(bumpy, evidence, strict, only=FALLS)
    assert failed(found) == {FALLS}
    assert "rise by more than 0 %; needs at most 0 %" in found[FALLS].message


def test_what_the_listings_do_not_decide_is_a_warning(
    model: PriceModel, evidence: Evidence
) -> None:
    rising = distorted(model, lambda p, f: scaled(p, 1.2 ** f.numbers["age"]))
    for by_age in (Estimate(-0.01, 0.006), Estimate(0.05, 0.01), Estimate()):
        found = results(rising, replace(evidence, by_age=by_age), only=FALLS)
        assert warned(found) == {FALLS}
        assert "do not tell that prices fall" in found[FALLS].message
    found = results(model, replace(evidence, models={}), only="models differ in price")
    assert warned(found) == {"models differ in price"}


def test_only_ages_at_which_prices_are_to_fall_are_judged(finished: Any, model: PriceModel) -> None:
    listings = pd.read_parquet(finished[0].train_listings)
    later = distorted(model, lambda p, f: scaled(p, 1.3 ** np.maximum(f.numbers["age"] - 7, 0)))
    assert failed(results(later, Evidence.of(model, listings), only=FALLS)) == {FALLS}
    seven = Evidence.of(model, listings, {"age": (0, 7), "odometer": (0, 90_000)})
    assert seven.ages == (1, 7)
    assert seven.distances[1] == 90_000
    assert not failed(results(later, seven, only=FALLS))
    none = Evidence.of(model, listings, {"age": (0, 0)})
    assert warned(results(model, none)) >= {FALLS, "models differ in price"}


def test_a_market_without_distances_is_judged_by_its_ages(finished: Any, model: PriceModel) -> None:
    listings = pd.read_parquet(finished[0].train_listings)
    by_ages = Evidence.of(model, listings.assign(odometer=np.nan))
    assert by_ages.by_age.value < 0
    assert str(by_ages).endswith("years old")
    assert warned(results(model, by_ages)) == {"price falls with distance"}


def test_what_needs_listings_is_left_out_without_them(model: PriceModel) -> None:
    names = {*behaviour.checks(model, Panel.of(model), LIMITS, None)}
    assert len(names) == 6
    assert names.isdisjoint(behaviour.NEED_EVIDENCE)


def test_a_market_without_owners_or_variants_is_looked_at_too(
    model: PriceModel, evidence: Evidence
) -> None:
    hedonic = replace(model.hedonic, coefficients={**model.hedonic.coefficients, "word": {}})
    trained_on = {k: v for k, v in model.trained_on.items() if k != "ownership"}
    found = results(replace(model, hedonic=hedonic, trained_on=trained_on), evidence)
    owners = found["a second owner costs less"]
    assert owners.status is Status.PASSED  # what training did not have is not read
    assert "training had no owners, and 80 of 80 cars cost the same" in owners.message
    variant = found["an unseen variant costs what one left out does"].message
    assert variant.startswith("training had no variants, and one that is given moves prices by 0.0")
