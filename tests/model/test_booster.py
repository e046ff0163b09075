import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from xgboost import XGBRegressor

from carprice.model.booster import Booster, Joined, Part, cross_fit, new_trees

PARAMETERS = {"n_estimators": 40, "max_depth": 4, "learning_rate": 0.2, "n_jobs": 1}
FITTED = {name: value for name, value in PARAMETERS.items() if name != "n_jobs"}


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    drawn = np.random.default_rng(3).normal(size=(500, 6)).astype(np.float32)
    drawn[::7, 2] = np.nan
    drawn[:, 5] = 0
    return drawn


@pytest.fixture(scope="module")
def target(matrix: np.ndarray) -> np.ndarray:
    return np.sin(matrix[:, 0]) + 0.3 * (matrix[:, 1] > 0) * np.nan_to_num(matrix[:, 2])


def fit(matrix: np.ndarray, target: np.ndarray) -> tuple[Booster, np.ndarray]:
    trees = new_trees(FITTED, seed=0).fit(matrix, target)
    return Booster.of(trees, matrix.shape[1]), trees.feature_importances_


@pytest.fixture(scope="module")
def fitted(matrix: np.ndarray, target: np.ndarray) -> tuple[Booster, np.ndarray]:
    return fit(matrix, target)


def test_it_agrees_with_xgboost_also_on_missing_values(fitted, matrix, target) -> None:
    trees = XGBRegressor(**PARAMETERS, base_score=0.0, random_state=0, tree_method="hist")
    trees.fit(matrix, target)
    gaps = np.full((1, matrix.shape[1]), np.nan, dtype=np.float32)
    for rows in (matrix, gaps, matrix[:0]):
        assert fitted[0].predict(rows) == pytest.approx(trees.predict(rows), abs=1e-5)
    assert np.std(trees.predict(matrix)) > 0.3


def test_one_row_gives_the_bits_of_the_batch(fitted, matrix) -> None:
    booster = fitted[0]
    batch = booster.predict(matrix)
    single = [booster.predict(matrix[[row]]).item() for row in range(len(matrix))]
    assert single == batch.tolist()


def test_bound_to_a_row_each_of_some_gives_the_same_bits(fitted, matrix, target) -> None:
    other = Booster.of(new_trees(FITTED, seed=1).fit(matrix, -target), matrix.shape[1])
    row = np.zeros((1, matrix.shape[1]), dtype=np.float32)
    both = Joined(fitted[0], other)
    bound, found = both.bound_to(row), []
    for given in matrix:
        row[:] = given
        found.append(bound())
    assert found == np.stack([each.predict(matrix) for each in (fitted[0], other)], 1).tolist()
    assert found == np.stack(both.predict(matrix), 1).tolist()


def test_two_ensembles_in_one_graph_add_up_each_from_its_own_columns(matrix, target) -> None:
    first = new_trees(FITTED, 0).fit(matrix, target)
    second = new_trees({**FITTED, "n_estimators": 7}, 1).fit(matrix[:, [4, 1]], target)
    whole = Booster.sum_of([Part(first, 0.75, range(6)), Part(second, 0.25, [4, 1])], 6)
    expected = 0.75 * first.predict(matrix) + 0.25 * second.predict(matrix[:, [4, 1]])
    assert whole.predict(matrix) == pytest.approx(expected, abs=1e-5)
    read = Booster.read(whole.graph, 6)
    single = [read.predict(matrix[[row]]).item() for row in range(len(matrix))]
    assert single == whole.predict(matrix).tolist()


def test_importance_is_the_share_of_the_gain(fitted) -> None:
    importance = fitted[1]
    assert importance.sum() == pytest.approx(1, abs=1e-5)
    assert importance[0] == importance.max()
    assert importance[5] == 0


def test_the_same_rows_and_seed_give_the_same_bytes(fitted, matrix, target) -> None:
    assert fit(matrix, target)[0].graph == fitted[0].graph


@pytest.mark.parametrize(("direction", "sign"), [(1, 1), (-1, -1)])
def test_a_direction_keeps_the_trees_from_going_the_other_way(
    direction: int, sign: int, matrix: np.ndarray, target: np.ndarray
) -> None:
    trees = new_trees(FITTED, 0, [direction, 0, 0, 0, 0, 0]).fit(matrix, target)
    grid = np.repeat(matrix[:1], 50, axis=0)
    grid[:, 0] = np.linspace(-3, 3, 50)
    steps = np.diff(Booster.of(trees, 6).predict(grid)) * sign
    free = np.diff(Booster.of(new_trees(FITTED, 0).fit(matrix, target), 6).predict(grid)) * sign
    assert steps.min() >= -1e-6
    assert free.min() < -1e-3


def test_held_out_predictions_are_those_of_trees_without_the_fold(matrix, target) -> None:
    folds = np.arange(len(target)) % 3
    found = cross_fit(matrix, target, folds, FITTED, patience=10, seed=0)
    for fold in range(3):
        trees = new_trees({**FITTED, "n_estimators": found.n_estimators}, seed=0)
        trees.fit(matrix[folds != fold], target[folds != fold])
        expected = trees.predict(matrix[folds == fold])
        assert found.held_out[folds == fold] == pytest.approx(expected, abs=1e-6)


def test_noise_gets_fewer_trees_than_a_signal(matrix, target) -> None:
    folds = np.arange(len(target)) % 3
    noise = np.random.default_rng(0).normal(size=len(target))
    counts = [
        cross_fit(matrix, one, folds, FITTED, patience=10, seed=0).n_estimators
        for one in (noise, target)
    ]
    assert 1 <= counts[0] < counts[1] <= FITTED["n_estimators"]


def test_no_model_is_told_to_anybody(tmp_path: Path) -> None:
    """ONNX Runtime writes its telemetry below the home folder before it sends any."""
    environment = {key: text for key, text in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    for name in ("CI", "GITHUB_ACTIONS", "TF_BUILD"):  # which turn it off, too
        environment.pop(name, None)
    homes = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / ".cache")}
    code = "import carprice.model.booster"
    subprocess.run([sys.executable, "-c", code], env={**environment, **homes}, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
