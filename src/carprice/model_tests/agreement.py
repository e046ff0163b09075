"""Test that the MLflow pyfunc and the service give the same prices, ranges and warnings."""

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Final

import httpx
import numpy as np
import pandas as pd

from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.model_tests.clean_process import RunningService
from carprice.model_tests.panel import CarFields
from carprice.model_tests.results import ModelTest, ModelTestFailedError, require
from carprice.schema import EQUIPMENT_SEPARATOR, PRICE_NAMES, REQUIRED, alias

SUITE: Final = "agreement"
LISTINGS: Final = 200
NEED_LISTINGS: Final = ("test listings, one by one", "test listings, in a batch")
"""Names of the tests that need test listings."""
_CENT: Final = 0.0101  # prices are rounded to 0.01
_SAME: Final = 1e-6

Record = dict[str, Any]
"""A listing, or the answer to one, as JSON has it."""


def checks(
    pyfunc: Any,
    service: RunningService,
    panel: Sequence[CarFields],
    listings: Sequence[CarFields] | None,
) -> dict[str, ModelTest]:
    """Return the tests by their names.

    Parameters
    ----------
    pyfunc : the model as MLflow loads it.
    panel : cars of names that the model knows.
    listings : listings of the test set; None where they are not available.
    """
    tests: dict[str, ModelTest] = {}
    names = (("the panel, one by one", "the panel, in a batch"), NEED_LISTINGS)
    for (alone, together), cars in zip(names, (panel, listings), strict=True):
        if cars is not None:
            records = [as_json(car) for car in cars]
            theirs = cache(partial(_by_pyfunc, pyfunc, records))  # asked once for both tests
            tests[alone] = partial(_agree, records, theirs, partial(_one_by_one, service))
            tests[together] = partial(_agree, records, theirs, partial(_in_a_batch, service))
    return tests


def some_listings(test: pd.DataFrame, *, knows_distances: bool = True) -> list[CarFields]:
    """Return test listings, evenly spread over those that have all required fields.

    Parameters
    ----------
    knows_distances : whether training had any. If not, each listing gets one, since requests need
        it and the model does not use it.
    """
    if not knows_distances:
        test = test.assign(odometer=0.0)
    whole = test.dropna(subset=list(REQUIRED))
    spread = np.linspace(0, len(whole) - 1, min(len(whole), LISTINGS)).astype(int)
    return list(listings_of(as_columns(whole.iloc[spread])))


def as_json(car: CarFields) -> Record:
    """Return a listing as a client sends it, without unknown fields."""
    record: Record = {}
    for field, value in car.items():
        if isinstance(value, datetime.date):
            record[alias(field)] = value.isoformat()
        elif field == "features" and isinstance(value, str):
            record[alias(field)] = value.split(EQUIPMENT_SEPARATOR) if value else []
        elif not pd.isna(value):
            record[alias(field)] = value
    return record


def _agree(
    records: list[Record],
    by_pyfunc: Callable[[], list[Record]],
    by_service: Callable[[list[Record]], list[Record]],
) -> str:
    ours, theirs = by_service(records), by_pyfunc()
    if not ours or len(ours) != len(theirs):
        raise ModelTestFailedError(
            f"the service answers {len(ours)} of {len(records)} listings, the pyfunc {len(theirs)}"
        )
    differing = [
        f"listing {row} ({_name(record)}): the pyfunc says {_said(one)}, the service {_said(other)}"
        for row, (record, one, other) in enumerate(zip(records, theirs, ours, strict=True), start=1)
        if not _same(one, other)
    ]
    warned = sum(bool(one["warnings"]) for one in ours)
    first = f"; first {differing[0]}" if differing else ""
    return require(
        not differing,
        f"{len(ours) - len(differing)} of {len(ours)} have the same price, range and warnings "
        f"({warned} with warnings); needs all{first}",
    )


def _by_pyfunc(pyfunc: Any, records: list[Record]) -> list[Record]:
    answers: list[Record] = pyfunc.predict(pd.DataFrame(records)).to_dict("records")
    return answers


def _one_by_one(service: RunningService, records: list[Record]) -> list[Record]:
    return [_read(service.http.post("/predict", json=record)) for record in records]


def _in_a_batch(service: RunningService, records: list[Record]) -> list[Record]:
    rows = _read(service.http.post("/predict/batch", json={"listings": records}))["rows"]
    for row in rows:
        if row["price"] is None:
            raise ModelTestFailedError(f"listing {row['row'] + 1} of the batch: {row['problem']}")
    return [row["price"] for row in rows]


def _read(answer: httpx.Response) -> Any:
    if answer.status_code != httpx.codes.OK:
        raise ModelTestFailedError(f"the service answers {answer.status_code}: {answer.text[:300]}")
    return answer.json()


def _same(one: Record, other: Record) -> bool:
    prices = all(
        math.isclose(float(one[side]), float(other[side]), rel_tol=_SAME, abs_tol=_CENT)
        for side in PRICE_NAMES
    )
    return prices and _kinds(one) == _kinds(other)


def _kinds(answer: Record) -> list[tuple[str, str]]:
    return sorted((warning["kind"], warning["field"]) for warning in answer["warnings"])


def _said(answer: Record) -> str:
    price, low, high = (float(answer[side]) for side in PRICE_NAMES)
    kinds = ", ".join(f"{kind} {field}" for kind, field in _kinds(answer)) or "no warning"
    return f"{price:,.2f} ({low:,.2f}–{high:,.2f}) with {kinds}"


def _name(record: Mapping[str, Any]) -> str:
    return " ".join(str(record[name]) for name in ("make", "model", "year"))
