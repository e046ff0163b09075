"""Ridge regression by its normal equations: sums over rows, so that pieces can simply be added.

Weighted ridge minimises Σ w (y - Xb)² + α |b|² (Hoerl & Kennard 1970); its solution solves
(XᵀWX + αI) b = XᵀWy, and both sides are sums over rows. So data may come in chunks or from several
machines, and leaving a fold out is a subtraction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, SuperLU, cg, splu

from carprice.arrays import Floats

_TOLERANCE: Final = 1e-10
_MOST_STEPS: Final = 2000


@dataclass(frozen=True)
class NormalEquations:
    """XᵀWX (columns × columns, sparse) and XᵀWy (columns) of some rows."""

    gram: sp.csc_matrix
    moment: Floats

    @classmethod
    def of(cls, matrix: sp.csr_matrix, target: Floats, weight: Floats) -> Self:
        """Sum up the rows of a sparse matrix (rows × columns)."""
        weighted = sp.diags(weight) @ matrix
        return cls((matrix.T @ weighted).tocsc(), np.asarray(weighted.T @ target))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.gram + other.gram, self.moment + other.moment)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.gram - other.gram, self.moment - other.moment)


def solve_with_folds(folds: Sequence[NormalEquations], penalty: Floats) -> tuple[Floats, Floats]:
    """Solve the ridge on all rows, and once without each fold.

    The whole system is factorised once; the ones without a fold differ little from it, so that
    conjugate gradients with that factor as preconditioner solve them in a few steps.

    Parameters
    ----------
    folds : normal equations of each fold's rows.
    penalty : α of each column.

    Returns
    -------
    tuple
        Coefficients of all rows (columns), and of all but one fold (folds × columns).
    """
    whole = folds[0]
    for fold in folds[1:]:
        whole = whole + fold
    ridge = sp.diags(penalty, format="csc")
    factor = splu(
        (whole.gram + ridge).tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    solution = factor.solve(whole.moment)
    without = [_solve_near(whole - fold, ridge, factor, solution) for fold in folds]
    return solution, np.array(without)


def _solve_near(
    equations: NormalEquations, ridge: sp.csc_matrix, factor: SuperLU, start: Floats
) -> Floats:
    system = (equations.gram + ridge).tocsr()
    preconditioner = LinearOperator(system.shape, factor.solve)
    found, failed = cg(
        system,
        equations.moment,
        x0=start,
        rtol=_TOLERANCE,
        maxiter=_MOST_STEPS,
        M=preconditioner,
    )
    if failed:
        raise ArithmeticError(f"the ridge without one fold did not converge in {failed} steps")
    return np.asarray(found)
