import numpy as np
import pytest
import scipy.sparse as sp

from carprice.model.normal_equations import NormalEquations, RidgeSolver, solve_with_folds

ROWS, COLUMNS, FOLDS = 300, 25, 5


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(ROWS, COLUMNS)) * (rng.random((ROWS, COLUMNS)) < 0.2)
    matrix[:, 0] = 1
    matrix[:, -1] = matrix[:, -2]
    target = matrix @ rng.normal(size=COLUMNS) + rng.normal(0, 0.3, ROWS)
    return matrix, target, rng.uniform(0.1, 4, ROWS)


FACTORS = np.array([1, *np.linspace(0.3, 3, COLUMNS - 1)])
PENALTY = np.array([1e-9, *FACTORS[1:] ** -2])


def dense_ridge(matrix: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    gram = (matrix * weight[:, None]).T @ matrix + np.diag(PENALTY)
    return np.linalg.solve(gram, (matrix * weight[:, None]).T @ target)


def equations(matrix: np.ndarray, target: np.ndarray, weight: np.ndarray) -> NormalEquations:
    return NormalEquations.of(sp.csr_matrix(matrix), target, weight)


def solver(rows: tuple[np.ndarray, ...]) -> RidgeSolver:
    return RidgeSolver(equations(*rows))


def by_fold(rows: tuple[np.ndarray, ...]) -> list[NormalEquations]:
    return [equations(*(part[fold::FOLDS] for part in rows)) for fold in range(FOLDS)]


def test_the_solution_of_all_rows_is_that_of_a_dense_ridge(rows) -> None:
    solution, _ = solve_with_folds(solver(rows), by_fold(rows), FACTORS)
    assert solution == pytest.approx(dense_ridge(*rows), abs=1e-8)


def test_pieces_add_up_to_the_whole_and_can_be_taken_away(rows) -> None:
    pieces = [equations(*(part[a:b] for part in rows)) for a, b in ((0, 7), (7, 7), (7, ROWS))]
    whole = equations(*rows)
    for found, expected in (
        (pieces[0] + pieces[1] + pieces[2], whole),
        (whole - pieces[0], pieces[2]),
    ):
        assert found.gram.toarray() == pytest.approx(expected.gram.toarray(), abs=1e-10)
        assert found.moment == pytest.approx(expected.moment, abs=1e-10)
        assert found.square == pytest.approx(expected.square, abs=1e-8)
    matrix, target, weight = rows
    solution = np.linspace(-1, 1, COLUMNS)
    expected_error = weight @ (target - matrix @ solution) ** 2
    assert whole.squared_error(solution) == pytest.approx(expected_error)


def test_solutions_without_a_fold_are_those_of_separate_fits(rows) -> None:
    whole, without = solve_with_folds(solver(rows), by_fold(rows), FACTORS)
    assert without.shape == (FOLDS, COLUMNS)
    for fold in range(FOLDS):
        others = np.arange(ROWS) % FOLDS != fold
        expected = dense_ridge(*(part[others] for part in rows))
        assert without[fold] == pytest.approx(expected, abs=1e-7)
        assert np.abs(expected - whole).max() > 1e-3


def test_an_empty_fold_leaves_the_solution_as_it_is(rows) -> None:
    folds = [equations(*rows), NormalEquations.none(COLUMNS)]
    whole, without = solve_with_folds(solver(rows), folds, FACTORS)
    assert without[1] == pytest.approx(whole, abs=1e-9)
    assert without[0] == pytest.approx(np.zeros(COLUMNS), abs=1e-9)
