import re
from typing import Any

import pandas as pd
import pytest

from carprice.components.workspace import Workspace
from carprice.model_tests import agreement
from carprice.model_tests.clean_process import RunningService
from carprice.model_tests.panel import Panel, with_unseen_names
from carprice.model_tests.results import ModelTestResults
from carprice.schema import Listing


@pytest.fixture(scope="module")
def listings(promoted: Workspace) -> list[Any]:
    return agreement.some_listings(pd.read_parquet(promoted.test_listings))


class Differing:
    """A pyfunc that says something else of the third listing."""

    def __init__(self, pyfunc: Any, column: str, change: Any) -> None:
        self._pyfunc, self._column, self._change = pyfunc, column, change

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        answer = self._pyfunc.predict(frame)
        values = answer[self._column].tolist()
        values[2] = self._change(values[2])
        return answer.assign(**{self._column: values})


def test_listings_are_spread_over_the_test_set_and_readable_by_the_service(
    listings: list[Any], promoted: Workspace
) -> None:
    assert len(listings) == 200
    assert len({(car["make"], car["model"]) for car in listings}) > 50
    for car in listings:
        Listing.model_validate(agreement.as_json(car))
    assert any(isinstance(agreement.as_json(car).get("features"), list) for car in listings)
    test = pd.read_parquet(promoted.test_listings)
    assert listings[-1]["odometer"] == test["odometer"].dropna().iloc[-1]
    test.loc[test.index[1:], "odometer"] = None  # which the service requires
    (car,) = agreement.some_listings(test)
    assert car["odometer"] == test["odometer"].iloc[0]
    cars = agreement.some_listings(test.assign(odometer=None), knows_distances=False)
    assert agreement.some_listings(test.assign(odometer=None)) == []
    assert len(cars) == 200
    for car in cars:
        Listing.model_validate(agreement.as_json(car))


def test_the_pyfunc_and_the_service_say_the_same(
    pyfunc: Any, service: RunningService, panel: Panel, listings: list[Any]
) -> None:
    every = ModelTestResults()
    cars = with_unseen_names(panel.cars)
    every.run_all("agreement", agreement.checks(pyfunc, service, cars, listings))
    assert [one.message for one in every.failures] == []
    assert len(every.every) == 4
    (warned,) = re.findall(r"\((\d+) with warnings\)", every.every[0].message)
    assert int(warned) >= len(cars) - len(panel.cars) == 15


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("predictedPrice", lambda price: price * 1.0001),
        ("priceLow", lambda price: price + 1),
        ("priceHigh", lambda price: float("nan")),
        ("warnings", lambda _: [{"kind": "implausible", "field": "odometer", "message": ""}]),
    ],
)
def test_a_pyfunc_that_says_another_thing_fails(
    pyfunc: Any, service: RunningService, panel: Panel, column: str, change: Any
) -> None:
    every = ModelTestResults()
    differing = Differing(pyfunc, column, change)
    every.run_all("agreement", agreement.checks(differing, service, panel.cars, None))
    assert len(every.failures) == 2
    for failure in every.failures:
        assert failure.message.startswith("79 of 80 have the same price, range and warnings")
        assert "; first listing 3 (" in failure.message


def test_a_listing_that_the_service_refuses_is_named(
    pyfunc: Any, service: RunningService, panel: Panel
) -> None:
    cars = [*panel.cars[:2], {**panel.cars[2], "ownership": 99}]
    every = ModelTestResults()
    every.run_all("agreement", agreement.checks(pyfunc, service, cars, None))
    alone, batch = every.failures
    assert "the service answers 422" in alone.message
    assert batch.message.startswith("listing 3 of the batch: ")
