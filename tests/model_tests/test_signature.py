from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carprice.model_tests import signature
from carprice.model_tests.results import ModelTestResults
from carprice.schema import PRICE_NAMES


def results(pyfunc: Any, folder: Path) -> ModelTestResults:
    every = ModelTestResults()
    every.run_all("signature", signature.checks(pyfunc, folder))
    return every


class Changed:
    """A loaded model of which one thing is another."""

    def __init__(self, original: Any, **changes: Any) -> None:
        self._original = original
        for name, value in changes.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


def test_the_registered_model_says_what_it_takes_and_gives(pyfunc: Any, downloaded: Path) -> None:
    every = results(pyfunc, downloaded)
    assert [one.message for one in every.failures] == []
    assert [one.name for one in every.every] == ["inputs", "outputs", "input example"]


def with_signature(pyfunc: Any, **changes: Any) -> Any:
    changed = Changed(pyfunc.metadata.signature, **changes)
    return Changed(pyfunc, metadata=Changed(pyfunc.metadata, signature=changed))


def without_an_input(pyfunc: Any) -> Any:
    inputs = pyfunc.metadata.signature.inputs
    return with_signature(pyfunc, inputs=type(inputs)(inputs.inputs[1:]))


def test_a_model_registered_before_a_field_was_added_passes(pyfunc: Any, downloaded: Path) -> None:
    inputs = pyfunc.metadata.signature.inputs
    before = type(inputs)([one for one in inputs.inputs if one.name != "newPrice"])
    assert results(with_signature(pyfunc, inputs=before), downloaded).failures == ()


def with_one_output(pyfunc: Any) -> Any:
    outputs = pyfunc.metadata.signature.outputs
    return with_signature(pyfunc, outputs=type(outputs)(outputs.inputs[:1]), params=None)


def without_an_example(pyfunc: Any) -> Any:
    return Changed(pyfunc, metadata=Changed(pyfunc.metadata, load_input_example=lambda _: None))


def pricing(price: float) -> Callable[[Any], Any]:
    answer = pd.DataFrame({name: [price] for name in PRICE_NAMES})
    return lambda pyfunc: Changed(pyfunc, predict=lambda _: answer)


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (without_an_input, "inputs", "; make is not as the schema has it"),
        (with_one_output, "outputs", "columns predictedPrice, parameters none; needs "),
        (without_an_example, "input example", "there is no input example; register the model ag"),
        *(
            (pricing(price), "input example", "needs a finite price above 0 inside its range")
            for price in (-1.0, 0.0, float("nan"), float("inf"))
        ),
    ],
)
def test_what_is_another_than_it_should_be_fails(
    change: Callable[[Any], Any], name: str, words: str, pyfunc: Any, downloaded: Path
) -> None:
    (failure,) = results(change(pyfunc), downloaded).failures
    assert failure.name == name
    assert words in failure.message
