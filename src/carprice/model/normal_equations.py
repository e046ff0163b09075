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
from scipy.sparse.linalg import LinearOperator, SuperLU, cg, splu

from carprice.arrays import Codes, Floats
from carprice.threads import in_threads

_INTERCEPT_PENALTY: Final = 1e-9
_TOLERANCE: Final = 1e-10
_MOST_STEPS: Final = 2000


@dataclass(frozen=True)
class NormalEquations:
    """XᵀWX (columns × columns, sparse), XᵀWy (columns) and yᵀWy of some rows."""

    gram: sp.csc_matrix
    moment: Floats
    square: float

    @classmethod
    def none(cls, columns: int) -> Self:
        """Return the sum of no rows."""
        return cls(sp.csc_matrix((columns, columns)), np.zeros(columns), 0.0)

    @classmethod
    def of(cls, matrix: sp.csr_matrix, target: Floats, weight: Floats) -> Self:
        """Sum up the rows of a sparse matrix (rows × columns)."""
        weighted = sp.diags(weight) @ matrix
        square = float(np.sum(weight * target**2))  # BLAS rounds by its number of threads
        return cls((matrix.T @ weighted).tocsc(), np.asarray(weighted.T @ target), square)

    def __add__(self, other: Self) -> Self:
        square = self.square + other.square
        return type(self)(self.gram + other.gram, self.moment + other.moment, square)

    def __sub__(self, other: Self) -> Self:
        square = self.square - other.square
        return type(self)(self.gram - other.gram, self.moment - other.moment, square)

    def times(self, columns: sp.csc_matrix) -> Self:
        """Return the sums of the same rows, were their matrix multiplied by another one."""
        gram = columns.T.tocsc() @ (self.gram @ columns)
        return type(self)(gram, columns.T @ self.moment, self.square)

    def squared_error(self, solution: Floats) -> float:
        """Return Σ w (y - Xb)² of coefficients b (columns)."""
        fitted = float(np.sum(solution * (self.gram @ solution - 2 * self.moment)))
        return max(self.square + fitted, 0.0)


class RidgeSolver:
    """Solves the ridge of some rows for any factors that its columns are multiplied by.

    With S the diagonal of the factors, it solves (SXᵀWXS + αI) u = SXᵀWy, where α is 1 but for the
    intercept, column 0, which is next to free.

    Attributes
    ----------
    order : of the columns, in which the factorisation stays sparse; found if none is given.
    """

    def __init__(self, sums: NormalEquations, order: Codes | None = None) -> None:
        self.sums = sums
        self._penalty = np.ones(len(sums.moment))
        self._penalty[0] = _INTERCEPT_PENALTY
        self.order = _sparse_order(sums.gram) if order is None else order
        self._gram = sums.gram[self.order][:, self.order]
        self._gram.sort_indices()

    def at(self, factors: Floats) -> "RidgeFactor":
        """Factorise the ridge for some factors of its columns."""
        own, gram = factors[self.order], self._gram
        values = gram.data * own[gram.indices] * np.repeat(own, np.diff(gram.indptr))
        scaled = sp.csc_matrix((values, gram.indices, gram.indptr), gram.shape)
        penalty = sp.diags(self._penalty[self.order], format="csc")
        factor = _factorised(scaled + penalty, "NATURAL")
        return RidgeFactor(factor, self.order, factors * self.sums.moment)

    def without(self, fold: NormalEquations, factors: Floats, whole: "RidgeFactor") -> Floats:
        """Return u of the rows that are not in a fold.

        They differ little from all rows, so that conjugate gradients with the factorisation of all
        as preconditioner find it in a few steps.
        """
        every = self.sums.gram
        shape = every.shape
        found, failed = cg(
            LinearOperator(
                shape,
                lambda u: (
                    factors * (every @ (factors * u) - fold.gram @ (factors * u))
                    + self._penalty * u
                ),
            ),
            factors * (self.sums.moment - fold.moment),
            x0=whole.solution(),
            rtol=_TOLERANCE,
            maxiter=_MOST_STEPS,
            M=LinearOperator(shape, whole.solve),
        )
        if failed:
            raise ArithmeticError(f"the ridge without one fold did not converge in {failed} steps")
        return np.asarray(found)


class RidgeFactor:
    """A factorised ridge, made by :meth:`RidgeSolver.at`."""

    def __init__(self, factor: SuperLU, order: Codes, moment: Floats) -> None:
        self._factor, self._order, self._moment = factor, order, moment

    def solve(self, right: Floats) -> Floats:
        """Return (SXᵀWXS + αI)⁻¹ times a vector (columns) or some (columns × vectors)."""
        found = np.empty_like(right)
        found[self._order] = self._factor.solve(right[self._order])
        return found

    def solution(self) -> Floats:
        """Return u."""
        return self.solve(self._moment)


def solve_with_folds(
    solver: RidgeSolver, folds: Sequence[NormalEquations], factors: Floats
) -> tuple[Floats, Floats]:
    """Solve the ridge on all rows, and once without each fold.

    Parameters
    ----------
    solver : of all rows.
    folds : normal equations of each fold's rows.
    factors : what each column is multiplied by before it is shrunk.

    Returns
    -------
    tuple
        Coefficients fitted on all rows (columns), and without each fold (folds × columns).
    """
    whole = solver.at(factors)
    by_fold = [*in_threads(lambda fold: solver.without(fold, factors, whole), folds)]
    return factors * whole.solution(), factors * np.array(by_fold)


def _sparse_order(gram: sp.csc_matrix) -> Codes:
    """Return an order of minimum degree, in which like columns are ordered as one.

    A text's columns, one for each basis, meet the same others but where a basis is 0. Most of the
    time goes with the number of columns that differ.
    """
    columns = gram.shape[0]
    pattern = sp.csc_matrix((np.ones(gram.nnz), gram.indices, gram.indptr), gram.shape)
    marks = np.random.default_rng(0).integers(2**32, size=columns).astype(np.float64)
    _, first, group = np.unique(pattern.T @ marks, return_index=True, return_inverse=True)
    distinct = pattern[first][:, first] + columns * sp.eye(len(first), format="csc")
    return np.argsort(_factorised(distinct, "MMD_AT_PLUS_A").perm_c[group], kind="stable")


def _factorised(matrix: sp.csc_matrix, order: str) -> SuperLU:
    return splu(
        matrix,
        permc_spec=order,
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
