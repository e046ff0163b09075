import math
from typing import Any

import pytest

from carprice.errors import CarpriceError
from carprice.evaluation.gate import Candidate, Champion, Decision, decide
from carprice.settings import GateSettings

DATA, OTHER_DATA = "a" * 64, "b" * 64
CANDIDATE: dict[str, Any] = {
    "mape": 12.0,
    "within_10": 56.0,
    "coverage": 90.0,
    "naive_mape": 30.0,
    "band_coverage": {"0-3 years": (300, 91.0), "10+ years": (200, 88.0)},
    "segment_mape": {"make kia": (60, 15.0), "price decile 01": (100, 30.0)},
    "megabytes": 0.6,
    "data_digest": DATA,
    "fold_mape": (12.0, 11.0, 13.0, 12.0),
    "microseconds": 110.0,
}
CHAMPION: dict[str, Any] = {
    "version": 3,
    "data_digest": DATA,
    "rows": 1479,
    "fold_mape": (12.0, 11.0, 13.0, 12.0),
    "microseconds": 100.0,
}


def scaled(factor: float) -> tuple[float, ...]:
    return tuple(factor * mape for mape in CHAMPION["fold_mape"])


def judged(
    candidate: dict[str, Any] | None = None,
    champion: dict[str, Any] | None = None,
    thresholds: dict[str, Any] | None = None,
) -> Decision:
    return decide(
        Candidate(**{**CANDIDATE, **(candidate or {})}),
        None if champion is None else Champion(**{**CHAMPION, **champion}),
        GateSettings.model_validate(thresholds or {}),
    )


def failures(decision: Decision) -> list[str]:
    return [str(check) for check in decision.checks if not check.passed]


BAND = "coverage in every age band"
CHANCE = "needs at least 85 %, less what chance does to so many rows"
SEGMENT = "MAPE of the worst segment"
BESIDE = "MAPE beside production (version 3)"
TIME = "time of one price beside production (version 3)"

# candidate, champion, thresholds → the failed checks, word for word
CASES: dict[str, tuple[Any, Any, Any, list[str]]] = {
    "good, and the first": ({}, None, {}, []),
    "as good as production": ({}, {}, {}, []),
    "better than production": ({"fold_mape": scaled(0.9)}, {}, {}, []),
    "MAPE at the limit": ({"mape": 26.99}, None, {"max_mape": 26.99}, []),
    "MAPE too large": (
        {"mape": 26.0},
        None,
        {"max_mape": 15},
        ["failed: MAPE 26.00 %; needs at most 15 %"],
    ),
    "no limit of MAPE": ({"mape": 45.0, "naive_mape": 90.0}, None, {"max_mape": None}, []),
    "no better than medians": (
        {"mape": 27.1},
        None,
        {},
        [
            "failed: MAPE beside a model of medians 27.10 %; needs at most 27.00 %, 0.9 times its "
            "30.00 %"
        ],
    ),
    "medians with another factor": ({"mape": 27.1}, None, {"naive_factor": 1}, []),
    "too few within 10 %": (
        {"within_10": 24.9},
        None,
        {},
        ["failed: share within 10 % 24.9 %; needs at least 25 %"],
    ),
    "no limit of the share": ({"within_10": 1.0}, None, {"min_within_10": None}, []),
    "ranges too narrow": (
        {"coverage": 84.9},
        None,
        {},
        ["failed: coverage of the 90 % range 84.9 %; needs 85–95 %"],
    ),
    "ranges too wide": (
        {"coverage": 95.1},
        None,
        {},
        ["failed: coverage of the 90 % range 95.1 %; needs 85–95 %"],
    ),
    "ranges wrong for old cars": (
        {"band_coverage": {"0-3 years": (300, 95.0), "10+ years": (200, 74.0)}},
        None,
        {},
        [f"failed: {BAND} 74.0 % in 10+ years (200 rows: 79.1 %); {CHANCE}"],
    ),
    "ranges wrong in two bands": (
        {"band_coverage": {"0-3 years": (1300, 70.0), "10+ years": (200, 74.0)}},
        None,
        {},
        [
            f"failed: {BAND} 70.0 % in 0-3 years (1,300 rows: 82.7 %), 74.0 % in 10+ years (200 "
            f"rows: 79.1 %); {CHANCE}"
        ],
    ),
    "a band low by chance": ({"band_coverage": {"10+ years": (61, 75.4)}}, None, {}, []),
    "a band lower than by chance": (
        {"band_coverage": {"10+ years": (61, 73.8)}},
        None,
        {},
        [f"failed: {BAND} 73.8 % in 10+ years (61 rows: 74.4 %); {CHANCE}"],
    ),
    "a band of few rows": ({"band_coverage": {"10+ years": (29, 40.0)}}, None, {}, []),
    "a segment far off": (
        {"segment_mape": {"make kia": (30, 48.6), "make bmw": (40, 20.0)}},
        None,
        {},
        [f"failed: {SEGMENT} 4.05 times that of all in make kia (30 rows); needs at most 4 times"],
    ),
    "a far segment of few rows": ({"segment_mape": {"make kia": (29, 60.0)}}, None, {}, []),
    "more segments far off than can be named": (
        {"segment_mape": {f"make {number}": (30, 60.0) for number in range(7)}},
        None,
        {},
        [
            f"failed: {SEGMENT} "
            + ", ".join(f"5.00 times that of all in make {n} (30 rows)" for n in range(5))
            + ", 2 more; needs at most 4 times"
        ],
    ),
    "a segment, stricter": (
        {},
        None,
        {"segment_factor": 2},
        [
            f"failed: {SEGMENT} 2.50 times that of all in price decile 01 (100 rows); needs at "
            "most 2 times"
        ],
    ),
    "too large a folder": (
        {"megabytes": 120.0},
        None,
        {},
        ["failed: model size 120.0 MB; needs at most 100.0 MB"],
    ),
    "a little worse than production": ({"fold_mape": scaled(1.019)}, {}, {}, []),
    "worse than production": (
        {"fold_mape": scaled(1.03)},
        {},
        {},
        [
            f"failed: {BESIDE} 12.36 % and 12.00 %, +3.0 ± 0.0 % in 4 folds of 1,479 rows; needs "
            "at most +2 %"
        ],
    ),
    "no margin": (
        {"fold_mape": scaled(1.001)},
        {},
        {"champion_margin": 0},
        [
            f"failed: {BESIDE} 12.01 % and 12.00 %, +0.1 ± 0.0 % in 4 folds of 1,479 rows; needs "
            "at most +0 %"
        ],
    ),
    "worse in pairs though not in the mean": (
        {"fold_mape": (5.0, 40.0)},
        {"fold_mape": (4.0, 41.0)},
        {},
        [
            f"failed: {BESIDE} 22.50 % and 22.50 %, +11.3 ± 13.7 % in 2 folds of 1,479 rows; needs "
            "at most +2 %"
        ],
    ),
    "slow beside production": (
        {"microseconds": 201.0},
        {},
        {},
        [f"failed: {TIME} 2.01 times its 100 µs; needs at most 2 times"],
    ),
    "a production model without an error": (
        {},
        {"fold_mape": (12.0, 0.0, 0.0, 12.0)},
        {},
        [
            f"failed: {BESIDE} 12.00 % and 6.00 %, +inf ± nan % in 4 folds of 1,479 rows; needs at "
            "most +2 %"
        ],
    ),
    "a production model that takes no time": (
        {},
        {"microseconds": 0.0},
        {},
        [f"failed: {TIME} inf times its 0 µs; needs at most 2 times"],
    ),
    "slow, allowed": ({"microseconds": 201.0}, {}, {"latency_factor": 3}, []),
    "no number at all": (
        {"mape": math.nan},
        None,
        {},
        [
            "failed: MAPE nan %; needs at most 30 %",
            "failed: MAPE beside a model of medians nan %; needs at most 27.00 %, 0.9 times its "
            "30.00 %",
            f"failed: {SEGMENT} nan times that of all in make kia (60 rows), nan times that of "
            "all in price decile 01 (100 rows); needs at most 4 times",
        ],
    ),
    "ranges of no number": (
        {"coverage": math.nan, "band_coverage": {"0-3 years": (300, math.nan)}},
        None,
        {},
        [
            "failed: coverage of the 90 % range nan %; needs 85–95 %",
            f"failed: {BAND} nan % in 0-3 years (300 rows: 80.2 %); {CHANCE}",
        ],
    ),
    "nothing in common with production": (
        {"fold_mape": ()},
        {"fold_mape": (), "rows": 0},
        {},
        [
            f"failed: {BESIDE} nan % and nan %, +nan ± nan % in 0 folds of 0 rows; "
            "needs at most +2 %",
        ],
    ),
    "two things wrong": (
        {"coverage": 60.0, "megabytes": 400.0},
        None,
        {},
        [
            "failed: coverage of the 90 % range 60.0 %; needs 85–95 %",
            "failed: model size 400.0 MB; needs at most 100.0 MB",
        ],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=[*CASES])
def test_the_gate_fails_what_misses_a_threshold_and_says_why(
    case: tuple[Any, Any, Any, list[str]],
) -> None:
    candidate, champion, thresholds, expected = case
    decision = judged(candidate, champion, thresholds)
    assert failures(decision) == expected
    assert decision.accepted == (not expected)


def test_every_check_gives_a_reason_with_its_figures() -> None:
    assert judged(champion={}).reasons == (
        "passed: MAPE 12.00 %; needs at most 30 %",
        "passed: MAPE beside a model of medians 12.00 %; needs at most 27.00 %, 0.9 times its "
        "30.00 %",
        "passed: share within 10 % 56.0 %; needs at least 25 %",
        "passed: coverage of the 90 % range 90.0 %; needs 85–95 %",
        f"passed: {BAND} 88.0 % in 10+ years (200 rows: 79.1 %); {CHANCE}",
        f"passed: {SEGMENT} 2.50 times that of all in price decile 01 (100 rows); needs at most "
        "4 times",
        "passed: model size 0.6 MB; needs at most 100.0 MB",
        f"passed: {BESIDE} 12.00 % and 12.00 %, +0.0 ± 0.0 % in 4 folds of 1,479 rows; needs at "
        "most +2 %",
        f"passed: {TIME} 1.10 times its 100 µs; needs at most 2 times",
    )


def test_without_a_champion_the_gate_says_so() -> None:
    assert judged().reasons[-1] == "note: no production model to compare with"


def test_other_data_than_those_of_production_are_said() -> None:
    decision = judged(champion={"data_digest": OTHER_DATA, "rows": 300, "note": "20 were left out"})
    assert decision.accepted
    assert decision.notes == (
        "the data are not those of version 3 in production (aaaaaaaaaaaa, there bbbbbbbbbbbb); "
        "both models were scored on the same 300 rows of the new test data",
        "20 were left out",
    )


def test_folds_that_do_not_pair_are_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match=r"is (shorter|longer) than") as error:
        judged({"fold_mape": (12.0,)}, {})
    assert not isinstance(error.value, CarpriceError)
