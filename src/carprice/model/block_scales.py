"""One scale a block of the ridge: the one that the market's own rows make likely.

The columns of a block are multiplied by its scale s and then shrunk by α = 1, so that s²σ² is the
variance that its coefficients are taken to have before any row was seen. Empirical Bayes estimates
that variance from the rows, by MacKay's fixed point (MacKay 1992, "Bayesian interpolation", Neural
Computation 4): s² becomes |b|² / (γσ²), where γ is how many of the block's coefficients the rows
determine. All of it comes from the normal equations.
"""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from carprice.arrays import Floats
from carprice.errors import InputError
from carprice.model.normal_equations import RidgeSolver

_STEPS: Final = 6
_PROBES: Final = 8
_FEWEST_COLUMNS: Final = 6
_LEAST_DETERMINED: Final = 0.02, 50  # of so many columns at most
_LEAST_FREE: Final = 0.2  # share of the cars
_LARGEST_CHANGE: Final = 4.0  # of s², in one step
_LIMITS: Final = 0.003, 12.0
_SMALLEST_VARIANCE: Final = 1e-12  # of ln(price)


def choose_scales(
    solver: RidgeSolver,
    cars: float,
    columns: Mapping[str, slice],
    start: Mapping[str, float],
    fixed: Mapping[str, float],
) -> dict[str, float]:
    """Return the scale of each block.

    Blocks of few columns say little of their variance, and keep the scale that they start with.

    Parameters
    ----------
    solver : of all rows; column 0 is the intercept.
    cars : the number of cars among the rows.
    columns : block name → its columns.
    start : block name → the scale to start with.
    fixed : block name → a scale that is not chosen.

    Raises
    ------
    InputError
        If ``fixed`` names what is no block.
    """
    for name in fixed:
        if name not in start:
            raise InputError(
                f"train.hedonic.scales names {name!r}, which is no block of the ridge; there are "
                f"{', '.join(start)}"
            )
    scales = {**start, **fixed}
    chosen = {
        name: own
        for name, own in columns.items()
        if name not in fixed and own.stop - own.start >= _FEWEST_COLUMNS
    }
    width = len(solver.sums.moment)
    signs = np.random.default_rng(0).choice((-1.0, 1.0), (width, _PROBES))
    for _ in range(_STEPS if chosen else 0):
        factors = factors_of(scales, columns, width)
        factor = solver.at(factors)
        solution = factor.solution()
        # Hutchinson 1989: the diagonal's sum, from random signs.
        diagonal = (signs * factor.solve(signs)).mean(axis=1)
        determined = {
            name: _determined(own.stop - own.start, float(diagonal[own].sum()))
            for name, own in columns.items()
        }
        free = max(cars - sum(determined.values()), _LEAST_FREE * cars)
        variance = max(solver.sums.squared_error(factors * solution) / free, _SMALLEST_VARIANCE)
        for name, own in chosen.items():
            ratio = float(solution[own] @ solution[own]) / (determined[name] * variance)
            change = math.sqrt(min(max(ratio, 1 / _LARGEST_CHANGE), _LARGEST_CHANGE))
            scales[name] = min(max(scales[name] * change, _LIMITS[0]), _LIMITS[1])
    return scales


def factors_of(scales: Mapping[str, float], columns: Mapping[str, slice], width: int) -> Floats:
    """Return what each column is multiplied by; the intercept stays as it is."""
    factors = np.ones(width)
    for name, own in columns.items():
        factors[own] = scales[name]
    return factors


def _determined(columns: int, open_columns: float) -> float:
    """Return how many of a block's coefficients the rows determine; the estimate is noisy."""
    share, most = _LEAST_DETERMINED
    return max(columns - open_columns, share * min(columns, most))
