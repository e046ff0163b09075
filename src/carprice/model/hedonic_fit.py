"""Fit the hedonic ridge chunk by chunk, with out-of-fold predictions from the same sums."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.isotonic import IsotonicRegression

from carprice.arrays import Floats
from carprice.listings.features import Features
from carprice.model.encoder import Anchor
from carprice.model.hedonic import (
    KM_KNOTS,
    NAMES,
    Column,
    Hedonic,
    bases_of,
    blocks_of,
    texts_of,
    total_of,
)
from carprice.model.normal_equations import NormalEquations, solve_with_folds

_CHUNK_ROWS: Final = 100_000
_OLDEST: Final = 40
_INTERCEPT_PENALTY: Final = 1e-9

Codes = npt.NDArray[np.intp]


def fit_hedonic(
    features: Features,
    numbers: Mapping[str, Floats],
    log_price: Floats,
    folds: Codes,
    scales: Mapping[str, float],
    km_per_unit: float,
) -> tuple[Hedonic, Anchor]:
    """Fit on all rows; return the model and what the other folds' rows say of each row.

    Parameters
    ----------
    features, numbers : parsed listings, n rows, with unknown numbers filled where they can be.
    log_price : their ln(price).
    folds : the fold of each row, from 0.
    scales : see :func:`carprice.model.hedonic.blocks_of`.
    km_per_unit : kilometres in the market's distance unit.
    """
    oldest = int(min(np.quantile(numbers["age"], 0.995), _OLDEST))
    design = _Design.learn(features, numbers, scales, km_per_unit, oldest)
    weight = age_weight(numbers["age"])
    count = int(folds.max()) + 1
    empty = sp.csr_matrix((0, design.columns))
    equations = [NormalEquations.of(empty, np.zeros(0), np.zeros(0)) for _ in range(count)]
    for rows, matrix in design.chunks(len(features)):
        for fold in range(count):
            here = np.flatnonzero(folds[rows] == fold)
            equations[fold] = equations[fold] + NormalEquations.of(
                matrix[here], log_price[rows][here], weight[rows][here]
            )
    penalty = np.ones(design.columns)
    penalty[0] = _INTERCEPT_PENALTY
    solution, without = solve_with_folds(equations, penalty)
    held_out = {name: np.empty(len(features)) for name in ("ridge", *NAMES)}
    columns = {"ridge": slice(None), **design.columns_of(NAMES)}
    for rows, matrix in design.chunks(len(features)):
        for name, own in columns.items():
            predictions = matrix[:, own] @ without[:, own].T
            held_out[name][rows] = predictions[np.arange(predictions.shape[0]), folds[rows]]
    hedonic = design.hedonic(solution, features, numbers)
    log_price = total_of(0.0, {"ridge": held_out["ridge"], **hedonic.corrections(numbers)})
    return hedonic, Anchor(log_price, held_out["make"], held_out["model"])


def age_weight(age: Floats) -> Floats:
    """Return the weight of a row: old cars' prices are noisier.

    Examples
    --------
    >>> age_weight(np.array([0.0, 7.0, 20.0])).round(2).tolist()
    [4.0, 1.0, 0.15]
    """
    return np.clip(np.exp(-1.16 * (age / 5 - 1.4)), 0.15, 4.0)


@dataclass(frozen=True)
class _Design:
    """The sparse matrix of all blocks, made chunk by chunk; its first column is the intercept."""

    fitted: tuple[Column, ...]
    by_text: tuple[sp.csr_matrix, ...]
    codes: tuple[Codes, ...]
    bases: dict[str, Floats]
    km_per_unit: float
    oldest: int

    @property
    def columns(self) -> int:
        return 1 + sum(len(column.position) for column in self.fitted)

    @classmethod
    def learn(
        cls,
        features: Features,
        numbers: Mapping[str, Floats],
        scales: Mapping[str, float],
        km_per_unit: float,
        oldest: int,
    ) -> "_Design":
        texts = texts_of(features, numbers, oldest)
        fitted, by_text, codes = [], [], []
        known: dict[str, tuple[list[str], Codes]] = {}
        for block in blocks_of(scales):
            if block.text not in known:
                known[block.text] = _factorise(texts[block.text])
            distinct, code = known[block.text]
            column = Column.learn(block, distinct, np.bincount(code, minlength=len(distinct)))
            fitted.append(column)
            by_text.append(_rows_of(column, distinct))
            codes.append(code)
        bases = bases_of(numbers, km_per_unit, oldest)
        return cls(tuple(fitted), tuple(by_text), tuple(codes), bases, km_per_unit, oldest)

    def columns_of(self, names: Sequence[str]) -> dict[str, slice]:
        """Return where the columns of some blocks stand."""
        found, start = {}, 1
        for column in self.fitted:
            stop = start + len(column.position)
            if column.block.name in names:
                found[column.block.name] = slice(start, stop)
            start = stop
        return found

    def chunks(self, rows: int) -> Iterator[tuple[slice, sp.csr_matrix]]:
        for start in range(0, rows, _CHUNK_ROWS):
            chunk = slice(start, min(start + _CHUNK_ROWS, rows))
            parts = [sp.csr_matrix(np.ones((chunk.stop - start, 1)))]
            for column, by_text, code in zip(self.fitted, self.by_text, self.codes, strict=True):
                factor = self.bases[column.block.basis][chunk] * column.block.scale
                parts.append(sp.diags(factor) @ by_text[code[chunk]])
            yield chunk, sp.hstack(parts, format="csr")

    def hedonic(
        self, solution: Floats, features: Features, numbers: Mapping[str, Floats]
    ) -> Hedonic:
        coefficients: dict[str, dict[str, float]] = {}
        start = 1
        for column in self.fitted:
            own = solution[start : start + len(column.position)] * column.block.scale
            coefficients[column.block.name] = dict(zip(column.position, own.tolist(), strict=True))
            start += len(column.position)
        raw = Hedonic(
            blocks=tuple(column.block for column in self.fitted),
            intercept=float(solution[0]),
            coefficients=coefficients,
            idf={column.block.name: column.idf for column in self.fitted if column.idf},
            by_age=np.zeros(self.oldest + 1),
            by_distance=np.zeros(len(KM_KNOTS)),
            km_per_unit=self.km_per_unit,
            typical={},
            spread={},
            usual={},
        )
        return raw.with_falling_curves(features, numbers, _falling)


def _falling(curve: Floats, rows: Floats, least: float) -> Floats:
    """Return what makes a curve fall by at least so much a point, by a weighted isotonic fit."""
    points = np.arange(len(curve))
    fall = least * points
    isotonic = IsotonicRegression(increasing=False)
    fitted = isotonic.fit(points, curve + fall, sample_weight=rows + 1e-3).predict(points)
    return np.asarray(fitted - fall - curve)


def _factorise(texts: Sequence[str]) -> tuple[list[str], Codes]:
    position: dict[str, int] = {}
    codes = np.array([position.setdefault(text, len(position)) for text in texts], dtype=np.intp)
    return list(position), codes


def _rows_of(column: Column, distinct: Sequence[str]) -> sp.csr_matrix:
    rows = [column.row(text) for text in distinct]
    lengths = [len(row) for row in rows]
    indices = [column.position[term] for row in rows for term, _ in row]
    values = [value for row in rows for _, value in row]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return sp.csr_matrix((values, indices, starts), shape=(len(distinct), len(column.position)))
