"""Shrunken group effects: what make, model, trim and variant are worth, on the log-price scale.

Each level's effect is the mean residual of its group, shrunk to zero by ``n / (n + shrinkage)``
(the empirical-Bayes estimate of a random intercept; Gelman & Hill 2007, ch. 12), fitted from the
coarsest level to the finest. So a rare group backs off to its parent and an unseen one has none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from carprice.features import CATEGORIES, Features, Floats

LEVELS: Final = ("make", "model", "model_powertrain", "model_trim", "model_variant")
SIDE_LEVELS: Final = (*CATEGORIES, "gear")
"""Categories outside the hierarchy; their effects go to the booster, not into the anchor."""
_AGES: Final = 26
_AGE_SHRINKAGE: Final = 5.0

Codes = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Table:
    """Effects of one level's groups and the number of rows behind each."""

    effects: dict[str, float]
    rows: dict[str, int]

    def look_up(self, keys: Sequence[str]) -> Floats:
        """Return each key's effect, 0 for an unseen one."""
        effects = self.effects
        return np.array([effects.get(key, 0.0) for key in keys])

    def count(self, keys: Sequence[str]) -> Floats:
        """Return the number of training rows behind each key."""
        rows = self.rows
        return np.array([rows.get(key, 0) for key in keys], dtype=np.float64)


@dataclass(frozen=True)
class GroupEffects:
    """ln(price) = intercept + age + make + model + powertrain + trim + variant."""

    intercept: float
    by_age: Floats
    tables: dict[str, Table]

    @classmethod
    def fit(cls, features: Features, target: Floats, shrinkage: float) -> Self:
        """Fit all levels to ``target``, the ln(price) of each row."""
        intercept = float(target.mean())
        ages = _age_codes(features)
        by_age = _shrunken_means(ages, target - intercept, _AGES, _AGE_SHRINKAGE)
        residual = target - intercept - by_age[ages]
        tables = {}
        for level in LEVELS:
            table, fitted = _fit_table(features.texts[level], residual, shrinkage)
            tables[level] = table
            residual = residual - fitted
        for level in SIDE_LEVELS:
            tables[level], _ = _fit_table(features.texts[level], residual, shrinkage)
        return cls(intercept, by_age, tables)

    def predict(self, features: Features) -> Floats:
        """Return the anchor of ln(price) for each row."""
        return self.intercept + self.by_age[_age_codes(features)] + sum(self._anchors(features))

    def encode(self, features: Features) -> dict[str, Floats]:
        """Return the effects as numeric features, and the rows behind model and variant."""
        total = np.zeros(len(features))
        encoded = {}
        for level, effect in zip(LEVELS, self._anchors(features), strict=True):
            total = total + effect
            encoded[f"{level}_level"] = total
        for level in SIDE_LEVELS:
            encoded[f"{level}_effect"] = self.tables[level].look_up(features.texts[level])
        for level in ("model", "model_variant"):
            encoded[f"{level}_rows"] = np.log1p(self.tables[level].count(features.texts[level]))
        return encoded

    def _anchors(self, features: Features) -> Iterator[Floats]:
        return (self.tables[level].look_up(features.texts[level]) for level in LEVELS)

    def to_json(self) -> dict[str, Any]:
        """Return the effects as plain JSON values."""
        tables = {
            level: {key: [effect, table.rows[key]] for key, effect in table.effects.items()}
            for level, table in self.tables.items()
        }
        return {"intercept": self.intercept, "by_age": self.by_age.tolist(), "tables": tables}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        tables = {
            level: Table(
                {key: effect for key, (effect, _) in groups.items()},
                {key: rows for key, (_, rows) in groups.items()},
            )
            for level, groups in content["tables"].items()
        }
        return cls(content["intercept"], np.array(content["by_age"]), tables)


def _age_codes(features: Features) -> Codes:
    return np.clip(features.numbers["age"], 0, _AGES - 1).astype(np.intp)


def _fit_table(keys: Sequence[str], residual: Floats, shrinkage: float) -> tuple[Table, Floats]:
    names = sorted(set(keys))
    position = {name: code for code, name in enumerate(names)}
    codes = np.array([position[key] for key in keys], dtype=np.intp)
    means = _shrunken_means(codes, residual, len(names), shrinkage)
    rows = np.bincount(codes, minlength=len(names))
    table = Table(
        dict(zip(names, means.tolist(), strict=True)), dict(zip(names, rows.tolist(), strict=True))
    )
    return table, means[codes]


def _shrunken_means(codes: Codes, values: Floats, groups: int, shrinkage: float) -> Floats:
    rows = np.bincount(codes, minlength=groups)
    sums = np.bincount(codes, weights=values, minlength=groups)
    return np.asarray(sums / (rows + shrinkage), dtype=np.float64)
