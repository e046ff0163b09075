import numpy as np
import pytest

from carprice.experiments.candidates import ComparedModel
from carprice.experiments.ranking import (
    FIGURES,
    TIMES,
    Difference,
    Result,
    choices_table,
    paired_difference,
    rank,
    ranking_table,
)


def result(candidate: ComparedModel, mapes: list[float], reason: str = "") -> Result:
    names = (*FIGURES, *TIMES)
    folds = tuple({**dict.fromkeys(names, 1.0), "mape": mape} for mape in mapes)
    return Result(candidate, folds, reason)


BEST = result(ComparedModel("hedonic"), [12.0, 13.0, 12.5, 12.2, 12.8])
NEAR = result(ComparedModel("carprice"), [12.1, 12.9, 12.6, 12.1, 12.9])
FAR = result(ComparedModel("ridge", "log", "one-hot", "mean"), [14.0, 15.2, 14.4, 14.1, 14.9])
RAW = result(ComparedModel("ridge", "raw", "one-hot", "mean"), [19.0, 20.2, 19.4, 19.1, 19.9])
BROKEN = result(ComparedModel("catboost"), [1.0], "out of time: over 1 s")


def test_the_best_is_first_and_marks_what_the_folds_cannot_tell_from_it() -> None:
    ranked = rank([RAW, FAR, BROKEN, NEAR, BEST], "mape")
    assert [one for one, _ in ranked] == [BEST, NEAR, FAR, RAW]
    assert [behind.is_distinct for _, behind in ranked] == [False, False, True, True]
    assert ranked[0][1] == Difference(0, 0, 0)


def test_the_table_has_means_standard_errors_and_reasons() -> None:
    table = ranking_table([RAW, FAR, BROKEN, NEAR, BEST], "mape")
    first, last = table.iloc[0], table.iloc[-1]
    assert first["mape"] == pytest.approx(12.5)
    assert first["mape_se"] == pytest.approx(
        np.std([12.0, 13.0, 12.5, 12.2, 12.8], ddof=1) / 5**0.5
    )
    assert (last["candidate"], last["reason"]) == ("catboost/log", "out of time: over 1 s")
    assert table["place"].tolist()[:4] == [1, 2, 3, 4]
    assert table["folds_behind"].tolist()[::2] == [0, 5, pytest.approx(np.nan, nan_ok=True)]


def test_the_interval_counts_that_folds_share_their_training_rows() -> None:
    """t(4) at 97.5 % is 2.776; 1/5 + 1/4 instead of 1/5 makes the interval 1.5 times as wide."""
    apart = np.array([1.0, 2.0, 1.5, 1.2, 1.8])
    difference = paired_difference(apart, np.zeros(5))
    assert difference.mean == pytest.approx(1.5)
    half = 2.7764 * apart.std(ddof=1) * (1 / 5 + 1 / 4) ** 0.5
    assert difference.high - difference.mean == pytest.approx(half, rel=1e-4)
    assert difference.is_distinct


def test_the_interval_covers_when_nothing_differs() -> None:
    rng = np.random.default_rng(0)
    draws = [paired_difference(rng.normal(size=5), rng.normal(size=5)) for _ in range(2000)]
    assert np.mean([not one.is_distinct for one in draws]) > 0.95


def test_choices_compare_candidates_alike_in_all_else() -> None:
    table = choices_table([BEST, NEAR, RAW, FAR, BROKEN], "mape")
    (row,) = table.to_dict("records")
    assert (row["choice"], row["first"], row["second"]) == ("target", "raw", "log")
    assert row["change"] == pytest.approx(-5.0)
    assert row["distinct"]
    assert choices_table([BEST], "mape").empty  # without pairs
