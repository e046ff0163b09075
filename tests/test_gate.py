from typing import Any

import pytest

from carprice.gate import Decision, decide
from carprice.settings import GateSettings

NAIVE = {"mape": 50.0}


def judged(
    mape: float = 12.0,
    coverage: float = 90.0,
    champion: dict[str, float] | None = None,
    naive: dict[str, float] = NAIVE,
    **thresholds: Any,
) -> Decision:
    settings = GateSettings.model_validate(thresholds)
    return decide({"mape": mape, "coverage": coverage}, champion, naive, settings)


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ({}, True),
        ({"mape": 30.0}, True),
        ({"mape": 30.01}, False),
        ({"mape": 40.0, "max_mape": None}, True),
        ({"mape": 20.0, "max_mape": 15}, False),
        ({"mape": 18.0, "naive": {"mape": 20.0}}, True),
        ({"mape": 18.1, "naive": {"mape": 20.0}}, False),
        ({"mape": 18.1, "naive": {"mape": 20.0}, "naive_factor": 1}, True),
        ({"coverage": 85.0}, True),
        ({"coverage": 84.9}, False),
        ({"coverage": 95.0}, True),
        ({"coverage": 95.1}, False),
        ({"coverage": 70.0, "coverage_": (0.5, 0.8)}, True),
        ({"champion": {"mape": 12.0}}, True),
        ({"champion": {"mape": 11.8}}, True),
        ({"champion": {"mape": 11.7}}, False),
        ({"champion": {"mape": 11.9}, "champion_margin": 0}, False),
        ({"champion": {"mape": 20.0}}, True),
        ({"mape": float("nan")}, False),
        ({"coverage": float("nan")}, False),
    ],
)
def test_the_gate_accepts_what_reaches_every_threshold(
    given: dict[str, Any], accepted: bool
) -> None:
    given = dict(given)
    if limits := given.pop("coverage_", None):
        settings = GateSettings(coverage=limits)
        candidate = {"mape": 12.0, "coverage": given["coverage"]}
        assert decide(candidate, None, NAIVE, settings).accepted is accepted
        return
    assert judged(**given).accepted is accepted


def test_every_check_gives_a_reason_with_its_figures() -> None:
    decision = judged(mape=32.0, coverage=80.0, champion={"mape": 31.0})
    assert decision.reasons == (
        "failed: MAPE 32.00 % against 30 %",
        "passed: MAPE 32.00 % against 45.00 %, 0.9 times that of the median model",
        "failed: the 90 % range covers 80.0 % against 85–95 %",
        "failed: MAPE 32.00 % against 31.00 % of production, on the same rows, with 2 % margin",
    )


def test_without_a_champion_the_gate_says_so() -> None:
    assert judged().reasons[-1] == "passed: no production model to compare with"


def test_without_a_limit_there_is_no_reason_for_it() -> None:
    assert len(judged(max_mape=None).reasons) == len(judged().reasons) - 1
