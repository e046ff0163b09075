import datetime
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from carprice.errors import CarpriceError
from carprice.evaluation.ageing import Ageing
from carprice.evaluation.gate import Candidate, Champion, Decision, Pair, decide
from carprice.model.correction import HeldOut
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
    "evenness": {"cod": 12.0, "prd": 1.04, "prb": -0.08, "prb_low": -0.1, "prb_high": -0.06},
}
FOLDS = (12.0, 11.0, 13.0, 12.0)
PAIR: dict[str, Any] = {"rows": 1479, "fold_mape": (FOLDS, FOLDS), "microseconds": (110.0, 100.0)}


def times(factor: float) -> dict[str, Any]:
    """Return what makes a candidate worse than production by so much in every fold."""
    return {"fold_mape": (tuple(factor * mape for mape in FOLDS), FOLDS)}


def judged(given: dict[str, Any], champion_data: str = DATA) -> Decision:
    """Judge a candidate by what is given: figures, thresholds, and a pair with production."""
    candidate = {name: given.get(name, value) for name, value in CANDIDATE.items()}
    candidate |= {name: given[name] for name in ("corrected", "ageing") if name in given}
    pair = {name: given[name] for name in given if name in (*PAIR, "note")}
    rest = {name: given[name] for name in given if name not in {*candidate, *pair}}
    champion = Champion(3, champion_data, Pair(**{**PAIR, **pair})) if pair else None
    return decide(Candidate(**candidate), champion, GateSettings.model_validate(rest))


MEDIANS = "MAPE beside a model of medians"
COVERAGE = "coverage of the 90 % range"
BAND = "coverage in every age band"
CHANCE = "needs at least 85 %, minus the sampling error of the band's rows"
SEGMENT = "MAPE of the worst segment"
BESIDE = "MAPE beside production (version 3)"
TIME = "time of one price beside production (version 3)"
ROWS = "folds of 1,479 rows"
YOUNG, OLD = "0-3 years", "10+ years"
NAN = math.nan

# what is given → the failed checks, word for word
CASES: dict[str, tuple[dict[str, Any], *tuple[str, ...]]] = {
    "good, and the first": ({},),
    "as good as production": (times(1),),
    "better than production": (times(0.9),),
    "MAPE at the limit": ({"mape": 26.99, "max_mape": 26.99},),
    "MAPE too large": ({"mape": 26.0, "max_mape": 15}, "MAPE 26.00 %; needs at most 15 %"),
    "no limit of MAPE": ({"mape": 45.0, "naive_mape": 90.0, "max_mape": None},),
    "no better than medians": (
        {"mape": 27.1},
        f"{MEDIANS} 27.10 %; needs at most 27.00 %, 0.9 times its 30.00 %",
    ),
    "medians with another factor": ({"mape": 27.1, "naive_factor": 1},),
    "too few within 10 %": (
        {"within_10": 24.9},
        "share within 10 % 24.9 %; needs at least 25 %",
    ),
    "no limit of the share": ({"within_10": 1.0, "min_within_10": None},),
    "evenness within its limits": ({"max_cod": 12, "prd": (0.98, 1.04), "max_prb": 0.06},),
    "uneven": (
        {"max_cod": 11.9, "prd": (0.98, 1.03), "max_prb": 0.05},
        "COD 12.0 %; needs at most 11.9 %",
        "PRD 1.040; needs 0.98–1.03",
        "PRB -0.080 (-0.100 to -0.060); needs a 95 % interval that reaches into ±0.05",
    ),
    "a bias that may be chance": (
        {"max_prb": 0.01, "evenness": {"prb": 0.3, "prb_low": -0.1, "prb_high": 0.7}},
    ),
    "evenness not known": (
        {"max_cod": 11, "prd": (0.98, 1.03), "max_prb": 0.05, "evenness": {}},
        "COD nan %; needs at most 11 %",
        "PRD nan; needs 0.98–1.03",
        "PRB not known; needs a 95 % interval that reaches into ±0.05",
    ),
    "ranges too narrow": ({"coverage": 84.9}, f"{COVERAGE} 84.9 %; needs 85–95 %"),
    "ranges too wide": ({"coverage": 95.1}, f"{COVERAGE} 95.1 %; needs 85–95 %"),
    "ranges wrong for old cars": (
        {"band_coverage": {YOUNG: (300, 95.0), OLD: (200, 74.0)}},
        f"{BAND} 74.0 % in {OLD} (200 rows: 79.1 %); {CHANCE}",
    ),
    "ranges wrong in two bands": (
        {"band_coverage": {YOUNG: (1300, 70.0), OLD: (200, 74.0)}},
        f"{BAND} 70.0 % in {YOUNG} (1,300 rows: 82.7 %), 74.0 % in {OLD} (200 rows: 79.1 %); "
        f"{CHANCE}",
    ),
    "a band low by chance": ({"band_coverage": {OLD: (61, 75.4)}},),
    "a band lower than by chance": (
        {"band_coverage": {OLD: (61, 73.8)}},
        f"{BAND} 73.8 % in {OLD} (61 rows: 74.4 %); {CHANCE}",
    ),
    "a band of few rows": ({"band_coverage": {OLD: (29, 40.0)}},),
    "a segment far off": (
        {"segment_mape": {"make kia": (30, 48.6), "make bmw": (40, 20.0)}},
        f"{SEGMENT} 4.05 times that of all in make kia (30 rows); needs at most 4 times",
    ),
    "a far segment of few rows": ({"segment_mape": {"make kia": (29, 60.0)}},),
    "more segments far off than can be named": (
        {"segment_mape": {f"make {number}": (30, 60.0) for number in range(7)}},
        f"{SEGMENT} "
        + ", ".join(f"5.00 times that of all in make {n} (30 rows)" for n in range(5))
        + ", 2 more; needs at most 4 times",
    ),
    "a segment, stricter": (
        {"segment_factor": 2},
        f"{SEGMENT} 2.50 times that of all in price decile 01 (100 rows); needs at most 2 times",
    ),
    "too large a folder": ({"megabytes": 120.0}, "model size 120.0 MB; needs at most 100.0 MB"),
    "a little worse than production": (times(1.019),),
    "worse than production": (
        times(1.03),
        f"{BESIDE} 12.36 % and 12.00 %, +3.0 ± 0.0 % in 4 {ROWS}; needs at most +2 %",
    ),
    "no margin": (
        {"champion_margin": 0, **times(1.001)},
        f"{BESIDE} 12.01 % and 12.00 %, +0.1 ± 0.0 % in 4 {ROWS}; needs at most +0 %",
    ),
    "worse in pairs though not in the mean": (
        {"fold_mape": ((5.0, 40.0), (4.0, 41.0))},
        f"{BESIDE} 22.50 % and 22.50 %, +11.3 ± 13.7 % in 2 {ROWS}; needs at most +2 %",
    ),
    "slow beside production": (
        {"microseconds": (201.0, 100.0)},
        f"{TIME} 2.01 times its 100 µs; needs at most 2 times",
    ),
    "slow, allowed": ({"latency_factor": 3, "microseconds": (201.0, 100.0)},),
    "a production model without an error": (
        {"fold_mape": (FOLDS, (12.0, 0.0, 0.0, 12.0))},
        f"{BESIDE} 12.00 % and 6.00 %, +inf ± nan % in 4 {ROWS}; needs at most +2 %",
    ),
    "a production model that takes no time": (
        {"microseconds": (110.0, 0.0)},
        f"{TIME} inf times its 0 µs; needs at most 2 times",
    ),
    "no number at all": (
        {"mape": NAN},
        "MAPE nan %; needs at most 30 %",
        f"{MEDIANS} nan %; needs at most 27.00 %, 0.9 times its 30.00 %",
        f"{SEGMENT} nan times that of all in make kia (60 rows), nan times that of all in "
        "price decile 01 (100 rows); needs at most 4 times",
    ),
    "ranges of no number": (
        {"coverage": NAN, "band_coverage": {YOUNG: (300, NAN)}},
        f"{COVERAGE} nan %; needs 85–95 %",
        f"{BAND} nan % in {YOUNG} (300 rows: 80.2 %); {CHANCE}",
    ),
    "nothing in common with production": (
        {"fold_mape": ((), ()), "rows": 0},
        f"{BESIDE} nan % and nan %, +nan ± nan % in 0 folds of 0 rows; needs at most +2 %",
    ),
    "two things wrong": (
        {"coverage": 60.0, "megabytes": 400.0},
        f"{COVERAGE} 60.0 %; needs 85–95 %",
        "model size 400.0 MB; needs at most 100.0 MB",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=[*CASES])
def test_the_gate_fails_what_misses_a_threshold_and_says_why(
    case: tuple[dict[str, Any], *tuple[str, ...]],
) -> None:
    given, *expected = case
    decision = judged(given)
    failed = [str(check) for check in decision.checks if not check.passed]
    assert failed == [f"failed: {one}" for one in expected]
    assert decision.accepted == (not expected)


def test_every_check_gives_a_reason_with_its_figures() -> None:
    assert judged(times(1)).reasons == (
        "passed: MAPE 12.00 %; needs at most 30 %",
        f"passed: {MEDIANS} 12.00 %; needs at most 27.00 %, 0.9 times its 30.00 %",
        "passed: share within 10 % 56.0 %; needs at least 25 %",
        f"passed: {COVERAGE} 90.0 %; needs 85–95 %",
        f"passed: {BAND} 88.0 % in {OLD} (200 rows: 79.1 %); {CHANCE}",
        f"passed: {SEGMENT} 2.50 times that of all in price decile 01 (100 rows); needs at most "
        "4 times",
        "passed: model size 0.6 MB; needs at most 100.0 MB",
        f"passed: {BESIDE} 12.00 % and 12.00 %, +0.0 ± 0.0 % in 4 folds of 1,479 rows; needs at "
        "most +2 %",
        f"passed: {TIME} 1.10 times its 100 µs; needs at most 2 times",
    )


def test_what_production_is_and_learned_from_is_noted() -> None:
    assert judged({}).reasons[-1] == "note: no production model to compare with"
    decision = judged({"rows": 300, "note": "20 were left out"}, OTHER_DATA)
    assert decision.accepted
    assert decision.notes == (
        "the data are not those of version 3 in production (aaaaaaaaaaaa, there bbbbbbbbbbbb); "
        "both models were scored on the same 300 rows of the new test data",
        "20 were left out",
    )


def test_folds_that_do_not_pair_are_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match=r"is (shorter|longer) than") as error:
        judged({"fold_mape": ((12.0,), FOLDS)})
    assert not isinstance(error.value, CarpriceError)


def test_figures_of_few_test_cars_are_told_to_be_of_training_cars_too(tmp_path: Path) -> None:
    figures: dict[str, Any] = {"mape": 12.0, "within_10": 56.0, "coverage": 90.0}
    figures |= {"naive": {"mape": 30.0}, "by": {"age_band": {}}, "cars": 300}
    figures |= {"cars_held_out": 240, "margin": {"mape": 1.5, "coverage": 3.4}}
    decision = decide(Candidate.of(figures, tmp_path), None, GateSettings())
    assert decision.notes[0] == (
        "the figures are of 300 cars: 60 test cars, which are few, and 240 training cars, "
        "cross-validated; chance makes ± 1.5 % of the MAPE and ± 3.4 % of the coverage"
    )
    few = {**figures, "cars_held_out": 0}
    assert decide(Candidate.of(few, tmp_path), None, GateSettings()).notes == (
        "no production model to compare with",
    )


CORRECTED = HeldOut(400, (9.0, 8.0), (9.5, 8.4), (8.1, 0.2), (80.0, 90.0))


@pytest.mark.parametrize(
    ("figures", "failed"),
    [
        ({}, ()),
        (
            {"error": (9.0, 9.5)},
            (
                "failed: error of later cars with the correction 9.50 % of ln(price), 400 cars; "
                "needs at most 9.18 %, 1.02 times that without",
            ),
        ),
        (
            {"coverage": (90.0, 79.0)},
            (
                "failed: coverage of later cars with the correction 79.0 %, without 90.0 %; needs "
                "85–95 %, give or take the sampling error of 400 cars",
            ),
        ),
        ({"coverage": (90.0, 82.0)}, ()),
        ({"error": (20.0, 9.9, 9.8)}, ()),
        (
            {"error": (20.0, 16.3, 9.8)},
            (
                "failed: error of later cars with the correction 16.30 % of ln(price), 400 cars; "
                "needs at most 10.00 %, 1.02 times that with the correction the model had",
            ),
        ),
    ],
)
def test_a_correction_is_judged_on_later_cars(
    figures: dict[str, Any], failed: tuple[str, ...]
) -> None:
    decision = judged({"corrected": replace(CORRECTED, **figures)})
    assert tuple(str(one) for one in decision.checks if not one.passed) == failed
    assert len(decision.checks) == len(judged({}).checks) + 2


AGE = "age of the model"
BY_MONTH = {1: 10.0, 2: 12.0, 3: 11.5, 4: 15.0}


@pytest.mark.parametrize(
    ("days", "by_month", "limit", "failed"),
    [
        (0, BY_MONTH, 13, ()),
        (90, BY_MONTH, 13, ()),
        (
            100,
            BY_MONTH,
            13,
            (
                "failed: age of the model 3.3 months (learned to 2025-01-01, listings to "
                "2025-04-11); needs at most 3 months: the MAPE of a backtest passes 13 % in month "
                "4 (15.0 %)",
            ),
        ),
        (100, BY_MONTH, 15, ()),
        (
            150,
            BY_MONTH,
            15,
            (
                "failed: age of the model 4.9 months (learned to 2025-01-01, listings to "
                "2025-05-31); needs at most 4 months, which a backtest has measured (MAPE up to "
                "15.0 %, at most 15 %)",
            ),
        ),
        (
            1,
            {},
            13,
            (
                "failed: age of the model 0.0 months (learned to 2025-01-01, listings to "
                "2025-01-02); needs a backtest, for a MAPE of 13 %: run `carprice experiments "
                "backtest`",
            ),
        ),
        (150, BY_MONTH, None, ()),
    ],
)
def test_a_model_older_than_its_error_allows_is_refused(
    days: int, by_month: dict[int, float], limit: float | None, failed: tuple[str, ...]
) -> None:
    day = datetime.date(2025, 1, 1)
    ageing = Ageing(day, day + datetime.timedelta(days), by_month)
    decision = judged({"ageing": ageing, "max_mape_of_age": limit})
    assert tuple(str(one) for one in decision.checks if not one.passed) == failed
    assert decision.accepted is not bool(failed)


def test_listings_without_dates_have_no_age() -> None:
    assert judged({"ageing": None, "max_mape_of_age": 13}).accepted
