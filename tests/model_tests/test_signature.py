from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carprice.model_tests import signature
from carprice.model_tests.results import ModelTestResult, ModelTestResults


def results(pyfunc: Any, folder: Path) -> ModelTestResults:
    every = ModelTestResults()
    every.run_all("signature", signature.checks(pyfunc, folder))
    return every


class Changed:
    """A loaded model of which one thing is another."""

    def __init__(self, pyfunc: Any, **changes: Any) -> None:
        self._pyfunc = pyfunc
        for name, value in changes.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pyfunc, name)


def only_failure(every: ModelTestResults) -> ModelTestResult:
    (failure,) = every.failures
    return failure


def test_the_registered_model_says_what_it_takes_and_gives(pyfunc: Any, downloaded: Path) -> None:
    every = results(pyfunc, downloaded)
    assert [one.message for one in every.failures] == []
    assert [one.name for one in every.every] == ["inputs", "outputs", "input example"]


def test_inputs_that_are_not_the_fields_of_a_listing_fail(pyfunc: Any, downloaded: Path) -> None:
    metadata = pyfunc.metadata
    inputs = type(metadata.signature.inputs)(metadata.signature.inputs.inputs[1:])
    own = Changed(metadata, signature=Changed(metadata.signature, inputs=inputs))
    failure = only_failure(results(Changed(pyfunc, metadata=own), downloaded))
    assert failure.name == "inputs"
    assert failure.message.endswith("; make is not as the schema has it")


def test_other_outputs_fail(pyfunc: Any, downloaded: Path) -> None:
    metadata = pyfunc.metadata
    outputs = type(metadata.signature.outputs)(metadata.signature.outputs.inputs[:1])
    own = Changed(metadata, signature=Changed(metadata.signature, outputs=outputs, params=None))
    failure = only_failure(results(Changed(pyfunc, metadata=own), downloaded))
    assert failure.message.startswith("columns predictedPrice, parameters none; needs ")


@pytest.mark.parametrize("price", [-1.0, 0.0, float("nan"), float("inf")])
def test_an_example_without_a_good_price_fails(pyfunc: Any, downloaded: Path, price: float) -> None:
    answer = pd.DataFrame({"predictedPrice": [price], "priceLow": [price], "priceHigh": [price]})
    failure = only_failure(results(Changed(pyfunc, predict=lambda _: answer), downloaded))
    assert failure.name == "input example"


def test_a_model_without_an_example_fails_with_the_remedy(pyfunc: Any, downloaded: Path) -> None:
    own = Changed(pyfunc.metadata, load_input_example=lambda _: None)
    failure = only_failure(results(Changed(pyfunc, metadata=own), downloaded))
    assert failure.message == "there is no input example; register the model again"
