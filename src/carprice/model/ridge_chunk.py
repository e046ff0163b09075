"""Some rows of the ridge's design, alone: what a process needs that has none of the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from carprice.arrays import Codes, Floats
from carprice.model.normal_equations import NormalEquations


class ChunkBlock(NamedTuple):
    """The columns of a block.

    Attributes
    ----------
    text, basis : see :class:`carprice.model.blocks.Block`.
    by_text : the texts that the rows have × terms: the values of each text's terms.
    """

    text: str
    basis: str
    by_text: sp.csr_matrix


@dataclass(frozen=True)
class RidgeChunk:
    """Some rows, by their folds.

    Attributes
    ----------
    blocks : in the order of the columns.
    codes : name of a text → the place of each row's text among those that the rows have.
    bases : the functions of age and distance by name, see
        :func:`carprice.model.hedonic_fit.bases_of`.
    folds : where the rows of each fold stand.
    """

    blocks: Sequence[ChunkBlock]
    codes: Mapping[str, Codes]
    bases: Mapping[str, Floats]
    folds: Sequence[slice]

    def matrix(self) -> sp.csr_matrix:
        """Return the rows × all columns; the first one is the intercept."""
        parts = [sp.csr_matrix(np.ones((len(self.bases["one"]), 1)))]
        for text, basis, by_text in self.blocks:
            parts.append(sp.diags(self.bases[basis]) @ by_text[self.codes[text]])
        return sp.hstack(parts, format="csr")


class PricedChunk(NamedTuple):
    """Some rows, their ln(price), and what each counts."""

    chunk: RidgeChunk
    log_price: Floats
    weight: Floats


def sums_of(rows: PricedChunk) -> list[NormalEquations]:
    """Return the normal equations of each fold."""
    matrix = rows.chunk.matrix()
    return [
        NormalEquations.of(matrix[own], rows.log_price[own], rows.weight[own])
        for own in rows.chunk.folds
    ]


def told_of(chunk: RidgeChunk, by_fold: Floats) -> Floats:
    """Return the ln(price) of each row by the ridge (folds × columns) without its fold."""
    matrix = chunk.matrix()
    told = [matrix[own] @ by_fold[fold] for fold, own in enumerate(chunk.folds)]
    return np.concatenate(told)
