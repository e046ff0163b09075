import numpy as np
import pytest
import scipy.sparse as sp

from carprice.errors import InputError
from carprice.model.block_scales import choose_scales, factors_of
from carprice.model.normal_equations import NormalEquations, RidgeSolver

ROWS = 4000
COLUMNS = {"strong": 40, "weak": 40, "none": 40, "few": 5}
SPREAD = {"strong": 1.0, "weak": 0.1, "none": 0.0, "few": 1.0}
NOISE = 0.2
SLICES = {
    name: slice(1 + sum([*COLUMNS.values()][:place]), 1 + sum([*COLUMNS.values()][: place + 1]))
    for place, name in enumerate(COLUMNS)
}
START = dict.fromkeys(COLUMNS, 0.7)


@pytest.fixture(scope="module")
def solver() -> RidgeSolver:
    """Rows of which each has one of a block's columns; the coefficients' spread is known."""
    rng = np.random.default_rng(0)
    blocks = [
        sp.csr_matrix((np.ones(ROWS), (np.arange(ROWS), rng.integers(0, n, ROWS))), (ROWS, n))
        for n in COLUMNS.values()
    ]
    drawn = [rng.normal(0, SPREAD[name], n) for name, n in COLUMNS.items()]
    matrix = sp.hstack([np.ones((ROWS, 1)), *blocks], format="csr")
    target = 13 + matrix[:, 1:] @ np.concatenate(drawn) + rng.normal(0, NOISE, ROWS)
    return RidgeSolver(NormalEquations.of(matrix, target, np.ones(ROWS)))


def test_scales_are_the_spread_of_the_coefficients_over_that_of_the_noise(
    solver: RidgeSolver,
) -> None:
    found = choose_scales(solver, ROWS, SLICES, START, {})
    assert found["strong"] == pytest.approx(1.0 / NOISE, rel=0.3)
    assert found["weak"] == pytest.approx(0.1 / NOISE, rel=0.4)
    assert found["none"] < 0.1
    assert found["few"] == START["few"]
    assert found == choose_scales(solver, ROWS, SLICES, START, {})


def test_a_scale_that_is_given_stays(solver: RidgeSolver) -> None:
    found = choose_scales(solver, ROWS, SLICES, START, {"weak": 3.0})
    assert found["weak"] == 3.0
    assert found["strong"] > 2
    factors = factors_of(found, SLICES, 126)
    assert (factors[0], factors[41], factors[125]) == (1.0, 3.0, 0.7)


def test_a_block_that_is_none_is_named_with_those_that_are(solver: RidgeSolver) -> None:
    with pytest.raises(InputError, match=r"scales names 'trend', .* strong, weak, none, few"):
        choose_scales(solver, ROWS, SLICES, START, {"trend": 1.0})
