"""Ridge regression by its normal equations, which are sums over rows.

Weighted ridge minimises Σ w (y - Xb)² + α |b|² (Hoerl & Kennard 1970); its solution solves
(XᵀWX + αI) b = XᵀWy. Both sides are sums over rows, so that chunks of rows are added, and a fold is
left out by subtraction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, cg, splu

from carprice.arrays import Floats

_TOLERANCE: Final = 1e-10
_MOST_STEPS: Final = 2000


@dataclass(frozen=True)
class NormalEquations:
    """XᵀWX (columns × columns, sparse) and XᵀWy (columns) of some rows."""

    gram: sp.csc_matrix
    moment: Floats

    @classmethod
    def none(cls, columns: int) -> Self:
        """Return the sum of no rows."""
        return cls(sp.csc_matrix((columns, columns)), np.zeros(columns))

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
        Coefficients fitted on all rows (columns), and without each fold (folds × columns).
    """
    whole = sum(folds[1:], start=folds[0])
    ridge = sp.diags(penalty, format="csc")
    factor = splu(
        (whole.gram + ridge).tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    solution = factor.solve(whole.moment)
    preconditioner = LinearOperator(whole.gram.shape, factor.solve)
    by_fold = []
    for fold in folds:
        others = whole - fold
        found, failed = cg(
            (others.gram + ridge).tocsr(),
            others.moment,
            x0=solution,
            rtol=_TOLERANCE,
            maxiter=_MOST_STEPS,
            M=preconditioner,
        )
        if failed:
            raise ArithmeticError(f"the ridge without one fold did not converge in {failed} steps")
        by_fold.append(found)
    return solution, np.array(by_fold)
