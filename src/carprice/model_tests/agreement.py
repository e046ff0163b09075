"""MLflow's clients and the service's are told the same: prices, ranges and warnings."""

import contextlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pandas as pd

from carprice.model_tests.clean_process import Service, asked
from carprice.model_tests.panel import Car
from carprice.model_tests.results import ModelTest, ModelTestFailedError, require
from carprice.schema import (
    EQUIPMENT_SEPARATOR,
    FIELDS,
    KINDS,
    PRICE_NAMES,
    REQUIRED,
    FieldKind,
    alias,
)

SUITE: Final = "agreement"
LISTINGS: Final = 200
NEED_LISTINGS: Final = ("test listings, one by one", "test listings, in a batch")
"""Names of the tests that cannot be without test listings."""
_CENT: Final = 0.0101  # prices are rounded to 0.01
_SAME: Final = 1e-6

Answer = Mapping[str, Any]


def checks(
    pyfunc: Any, service: Service, panel: Sequence[Car], listings: Sequence[Car] | None
) -> dict[str, ModelTest]:
    """Return the tests by their names.

    Parameters
    ----------
    pyfunc : what MLflow loads.
    panel : cars of the model's own names.
    listings : listings of the test set; None where there are none to be had.
    """
    tests: dict[str, ModelTest] = {}
    names = (("the panel, one by one", "the panel, in a batch"), NEED_LISTINGS)
    for (alone, together), cars in zip(names, (panel, listings), strict=True):
        if cars is not None:
            told = _ToldByPyfunc(pyfunc, [as_json(car) for car in cars])
            tests[alone] = partial(_agree, told, partial(_one_by_one, service))
            tests[together] = partial(_agree, told, partial(_in_a_batch, service))
    return tests


def some_listings(test: pd.DataFrame) -> list[Car]:
    """Return test listings, spread evenly over all that have what the service requires."""
    whole = test.dropna(subset=list(REQUIRED))
    step = max(len(whole) // LISTINGS, 1)
    some = whole.iloc[::step].head(LISTINGS)
    return [
        {field: _plain(field, row[field]) for field in FIELDS if _is_known(row[field])}
        for row in some.to_dict("records")
    ]


def as_json(car: Car) -> dict[str, Any]:
    """Return a listing as a client sends it, without what is not known."""
    return {alias(field): value for field, value in car.items() if value is not None}


@dataclass
class _ToldByPyfunc:
    """What the MLflow model answers, asked once."""

    pyfunc: Any
    records: list[dict[str, Any]]
    answers: list[Answer] | None = None

    def all(self) -> list[Answer]:
        """Return the answers, one a record."""
        if self.answers is None:
            found = self.pyfunc.predict(pd.DataFrame(self.records))
            self.answers = found.to_dict("records")
        return self.answers


Ask = Callable[[list[dict[str, Any]]], list[Answer]]


def _agree(told: _ToldByPyfunc, ask: Ask) -> str:
    ours = ask(told.records)
    theirs = told.all()
    if not ours or len(ours) != len(theirs):
        raise ModelTestFailedError(
            f"the service answers {len(ours)} of {len(told.records)} listings, the pyfunc "
            f"{len(theirs)}"
        )
    differing = [
        f"listing {row + 1} ({_name(record)}): the pyfunc says {_said(one)}, the service "
        f"{_said(other)}"
        for row, (record, one, other) in enumerate(zip(told.records, theirs, ours, strict=True))
        if not _same(one, other)
    ]
    warned = sum(bool(one["warnings"]) for one in ours)
    first = f"; first {differing[0]}" if differing else ""
    return require(
        not differing,
        f"{len(ours) - len(differing)} of {len(ours)} have the same price, range and warnings "
        f"({warned} with warnings); needs all{first}",
    )


def _one_by_one(service: Service, records: list[dict[str, Any]]) -> list[Answer]:
    with contextlib.closing(service.connection()) as connection:
        return [_read(*asked(connection, "POST", "/predict", record)) for record in records]


def _in_a_batch(service: Service, records: list[dict[str, Any]]) -> list[Answer]:
    rows = _read(*service.ask("POST", "/predict/batch", {"listings": records}))["rows"]
    for row in rows:
        if row["price"] is None:
            raise ModelTestFailedError(f"listing {row['row'] + 1} of the batch: {row['problem']}")
    return [row["price"] for row in rows]


def _read(status: int, body: bytes) -> Any:
    if status != 200:
        raise ModelTestFailedError(f"the service answers {status}: {body[:300].decode('utf-8')}")
    return json.loads(body)


def _same(one: Answer, other: Answer) -> bool:
    prices = all(
        math.isclose(float(one[side]), float(other[side]), rel_tol=_SAME, abs_tol=_CENT)
        for side in PRICE_NAMES
    )
    return prices and _kinds(one) == _kinds(other)


def _kinds(answer: Answer) -> list[tuple[str, str]]:
    return sorted((warning["kind"], warning["field"]) for warning in answer["warnings"])


def _said(answer: Answer) -> str:
    price, low, high = (float(answer[side]) for side in PRICE_NAMES)
    kinds = ", ".join(f"{kind} {field}" for kind, field in _kinds(answer)) or "no warning"
    return f"{price:,.2f} ({low:,.2f}–{high:,.2f}) with {kinds}"


def _name(record: Mapping[str, Any]) -> str:
    return " ".join(str(record[name]) for name in ("make", "model", "year"))


def _is_known(value: Any) -> bool:
    return value is not None and value == value  # noqa: PLR0124 - NaN and NaT


def _plain(field: str, value: Any) -> Any:
    kind = KINDS[field]
    if kind is FieldKind.DATE:
        return pd.Timestamp(value).date().isoformat()
    if kind is FieldKind.EQUIPMENT:
        return value.split(EQUIPMENT_SEPARATOR) if value else []
    if kind is FieldKind.INTEGER:
        return int(value)
    return float(value) if kind is FieldKind.NUMBER else str(value)
