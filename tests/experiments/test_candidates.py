import sys
from dataclasses import replace

import pytest

from carprice.errors import InputError
from carprice.experiments.candidates import BASELINES, COMPARED, ComparedModel, choose


def test_the_comparison_has_what_it_promises_and_no_candidate_stands_twice() -> None:
    for table in (BASELINES, COMPARED):
        assert len({one.name for one in table}) == len(table)
    algorithms = {one.algorithm for one in COMPARED}
    assert {"ridge", "forest", "xgboost", "lightgbm", "catboost", "hedonic"} <= algorithms
    assert {one.target for one in COMPARED} == {"raw", "log"}
    assert {one.encoding for one in COMPARED} >= {"one-hot", "ordinal", "native", "target"}
    assert {one.imputation for one in COMPARED} >= {"mean", "median", "none"}


@pytest.mark.parametrize("algorithm", ["ridge", "forest", "xgboost", "lightgbm", "catboost"])
def test_each_algorithm_learns_raw_and_log_price_with_all_else_alike(algorithm: str) -> None:
    own = {one for one in COMPARED if one.algorithm == algorithm}
    assert any(replace(one, target="raw") in own for one in own if one.target == "log")


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (["hedonic"], ["hedonic/log"]),
        (["ridge/*/one-hot/median"], ["ridge/raw/one-hot/median", "ridge/log/one-hot/median"]),
        (["carprice/log", "hedonic"], ["hedonic/log", "carprice/log"]),
    ],
)
def test_algorithms_names_and_patterns_choose(wanted: list[str], names: list[str]) -> None:
    assert [one.name for one in choose(COMPARED, wanted)] == names


def test_a_name_that_fits_nothing_lists_what_there_is() -> None:
    with pytest.raises(InputError, match=r"'prophet' fits no candidate; .* hedonic, carprice, rid"):
        choose(COMPARED, ["hedonic", "prophet"])


def test_quick_lessens_the_trees_and_nothing_else() -> None:
    candidate = ComparedModel("xgboost", "log", "native", "none")
    full, quick = candidate.parameters(quick=False), candidate.parameters(quick=True)
    assert quick["n_estimators"] < full["n_estimators"]
    assert full.keys() == quick.keys()
    assert ComparedModel("ridge").parameters(quick=True) == {"alpha": 1.0}


def test_a_module_that_is_not_there_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    assert not ComparedModel("lightgbm").is_installed
    assert ComparedModel("ridge").is_installed
