"""Some rows of the ridge's design, alone: what a process needs that has none of the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import scipy.sparse as sp

from carprice.arrays import Codes, Floats, coded_together
from carprice.model.normal_equations import NormalEquations

_OF_TYPE: Final = (
    *("", "make", "model", "body", "model_trim", "model_variant", "words"),
    *("engine", "model_engine", "model_spec", "model_tax", "transmission", "fuel", "gear"),
    *("drive", "kind", "model_powertrain", "make_powertrain"),
)
"""Texts that rows of one type of car have alike."""


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
    is_part : whether they are a part of many rows, which are summed by their types.
    """

    blocks: Sequence[ChunkBlock]
    codes: Mapping[str, Codes]
    bases: Mapping[str, Floats]
    folds: Sequence[slice]
    is_part: bool = False

    def matrix(self) -> sp.csr_matrix:
        """Return the rows × all columns; the first one is the intercept."""
        parts = [sp.csr_matrix(np.ones((len(self.bases["one"]), 1)))]
        for text, basis, by_text in self.blocks:
            parts.append(sp.diags(self.bases[basis]) @ by_text[self.codes[text]])
        return sp.hstack(parts, format="csr")

    def by_type(self) -> tuple[sp.csr_matrix, sp.csc_matrix]:
        """Return two factors of :meth:`matrix`: the rows × fewer columns, and these × all columns.

        What texts of its type add to a row hangs on the type and the bases alone. So the first has
        a column for each type and basis in place of theirs, and those of the other blocks as they
        are: its rows have about a third as many values.
        """
        first, types = coded_together(*(self.codes[text] for text in _OF_TYPE))
        bases, rows = [*self.bases], len(types)
        places = types[:, None] * len(bases) + np.arange(len(bases))
        values = np.stack([*self.bases.values()], axis=1)
        width, column = len(first) * len(bases), 1
        ends = np.arange(rows + 1) * len(bases)
        parts = [sp.csr_matrix((values.ravel(), places.ravel(), ends), (rows, width))]
        of_type = np.arange(len(first)) * len(bases)
        ones = np.ones(len(first))
        entries = [(ones, of_type + bases.index("one"), np.zeros(len(first), dtype=np.intp))]
        for text, basis, by_text in self.blocks:
            count = by_text.shape[1]
            if text in _OF_TYPE:
                own = by_text[self.codes[text][first]].tocoo()
                entries.append((own.data, of_type[own.row] + bases.index(basis), column + own.col))
            else:
                parts.append(sp.diags(self.bases[basis]) @ by_text[self.codes[text]])
                same = np.arange(count)
                entries.append((np.ones(count), width + same, column + same))
                width += count
            column += count
        data, short, wide = (np.concatenate(one) for one in zip(*entries, strict=True))
        return (
            sp.hstack(parts, format="csr"),
            sp.csc_matrix((data, (short, wide)), (width, column)),
        )


class PricedChunk(NamedTuple):
    """Some rows, their ln(price), and what each counts."""

    chunk: RidgeChunk
    log_price: Floats
    weight: Floats


def sums_of(rows: PricedChunk) -> list[NormalEquations]:
    """Return the normal equations of each fold."""
    chunk, price, weight = rows
    matrix, columns = chunk.by_type() if chunk.is_part else (chunk.matrix(), None)
    sums = (NormalEquations.of(matrix[own], price[own], weight[own]) for own in chunk.folds)
    return [one if columns is None else one.times(columns) for one in sums]


def told_of(chunk: RidgeChunk, by_fold: Floats) -> Floats:
    """Return the ln(price) of each row by the ridge (folds × columns) without its fold."""
    if not chunk.is_part:
        matrix = chunk.matrix()
        return np.concatenate([matrix[own] @ by_fold[at] for at, own in enumerate(chunk.folds)])
    folds = np.repeat(np.arange(len(by_fold)), [own.stop - own.start for own in chunk.folds])
    told: Floats = by_fold[folds, 0]
    column = 1
    for text, basis, by_text in chunk.blocks:
        if count := by_text.shape[1]:
            worth = by_text @ by_fold[:, column : column + count].T
            told += chunk.bases[basis] * worth[chunk.codes[text], folds]
            column += count
    return told
