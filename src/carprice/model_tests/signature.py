"""Test the signature and the input example of the MLflow model around the model folder."""

import math
from functools import partial
from pathlib import Path
from typing import Any, Final

from carprice.model_folder import own_columns
from carprice.model_tests.results import ModelTest, require
from carprice.schema import KINDS, LIST_PRICE, PRICE_NAMES, REQUIRED, alias

SUITE: Final = "signature"
_LATER: Final = (LIST_PRICE,)
"""Fields that models registered before them lack."""


def checks(pyfunc: Any, downloaded: Path) -> dict[str, ModelTest]:
    """Return the tests, by their names, of what MLflow loads from a downloaded folder."""
    return {
        "inputs": partial(_inputs, pyfunc, downloaded),
        "outputs": partial(_outputs, pyfunc),
        "input example": partial(_example, pyfunc, downloaded),
    }


def _inputs(pyfunc: Any, downloaded: Path) -> str:
    schema = pyfunc.metadata.signature.inputs
    found = [(column.name, bool(column.required)) for column in schema.inputs]
    later = {alias(field) for field in _LATER} - {name for name, _ in found}
    (folder,) = (path.parent for path in downloaded.rglob("hedonic.json"))
    fields = (*KINDS, *own_columns(folder))
    needed = [(alias(field), field in REQUIRED) for field in fields if alias(field) not in later]
    odd = sorted({name for name, _ in {*found} ^ {*needed}})
    told = f"; {', '.join(odd)} is not as the schema has it" if odd else ""
    required = sum(is_required for _, is_required in found)
    return require(
        found == needed,
        f"{len(found)} columns, {required} of them required; needs the {len(needed)} fields of a "
        f"listing in their order{told}",
    )


def _outputs(pyfunc: Any) -> str:
    signature = pyfunc.metadata.signature
    found = tuple(signature.outputs.input_names())
    params = [one.name for one in signature.params.params] if signature.params else []
    return require(
        found == PRICE_NAMES and params == ["confidence"],
        f"columns {', '.join(found)}, parameters {', '.join(params) or 'none'}; needs "
        f"{', '.join(PRICE_NAMES)} and confidence",
    )


def _example(pyfunc: Any, downloaded: Path) -> str:
    example = pyfunc.metadata.load_input_example(str(downloaded))
    rows = 0 if example is None else len(example)
    if not rows:
        return require(False, "there is no input example; register the model again")
    answer = pyfunc.predict(example)
    prices = answer[list(PRICE_NAMES)].to_numpy(dtype=float).tolist()
    good = [math.isfinite(high) and 0 < low <= price <= high for price, low, high in prices]
    told = ", ".join(f"{price:,.0f} ({low:,.0f}–{high:,.0f})" for price, low, high in prices)
    return require(
        len(good) == rows and all(good),
        f"{rows} listing priced {told}; needs a finite price above 0 inside its range",
    )
