"""Features → the trees' matrix: numbers, one-hot categories, equipment and the hedonic anchor."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from carprice.arrays import Floats
from carprice.listings.features import NUMBERS, Features
from carprice.schema import EQUIPMENT_SEPARATOR

Matrix = npt.NDArray[np.float32]

ANCHORS: Final = ("hedonic_price", "hedonic_make", "hedonic_model")
FALLING: Final = ("age", "odometer", "ownership")
"""Numbers with which no price may rise."""
_CATEGORIES: Final = (
    "transmission",
    "body",
    "fuel",
    "gear",
    "drive",
    "color",
    "condition",
    "seller",
    "region",
)
COUNTED: Final = ("model", "model_trim", "model_variant")
_LEFT_OUT: Final = ("odometer_per_year",)
_FEWEST: Final = 20
_MOST_LEVELS: Final = 30


@dataclass(frozen=True)
class Anchor:
    """What the ridge says of each row: ln(price), and what make alone and model alone add to it."""

    log_price: Floats
    make: Floats
    model: Floats


@dataclass(frozen=True)
class Encoder:
    """Which numbers, categories and equipment a market has enough of.

    Attributes
    ----------
    numbers : numbers that are columns.
    levels : category → its common values, each a 0/1 column.
    equipment : common equipment, each a 0/1 column.
    rows : model, trim and variant → how many training rows have it; the fewer, the less is known.
    """

    numbers: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    equipment: tuple[str, ...]
    rows: dict[str, dict[str, int]]

    @classmethod
    def fit(cls, features: Features) -> Self:
        """Learn what is common in training rows."""
        counts: Counter[str] = Counter()
        for names, rows in Counter(features.equipment).items():
            counts.update(dict.fromkeys(filter(None, names.split(EQUIPMENT_SEPARATOR)), rows))
        return cls(
            tuple(
                name
                for name in NUMBERS
                if name not in _LEFT_OUT and not np.isnan(features.numbers[name]).all()
            ),
            {name: _common(Counter(features.texts[name])) for name in _CATEGORIES},
            _common(counts, most=200),
            {name: dict(Counter(features.texts[name])) for name in COUNTED},
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the matrix's columns."""
        levels = (f"{name}={level}" for name, values in self.levels.items() for level in values)
        counted = (f"{name}_rows" for name in COUNTED)
        return (*ANCHORS, *self.numbers, *levels, *self.equipment, *counted)

    @property
    def directions(self) -> tuple[int, ...]:
        """For each column: -1 if the trees' sum may only fall with it, else 0."""
        return tuple(-1 if name in FALLING else 0 for name in self.columns)

    def training_matrix(self, features: Features, anchor: Anchor) -> Matrix:
        """Return one float32 row for each training row, of which none counts itself.

        Parameters
        ----------
        features : the completed rows that were learned from.
        anchor : what the ridge says of them.
        """
        numbers = (features.numbers[name] for name in self.numbers)
        columns = [anchor.log_price, anchor.make, anchor.model, *numbers]
        parts = [np.column_stack(columns)]
        for name, values in self.levels.items():
            parts.append(_one_hot(features.texts[name], values))
        parts.append(_flags(features.equipment, self.equipment))
        others = [[self.rows[name][text] - 1 for text in features.texts[name]] for name in COUNTED]
        parts.append(np.log1p(np.array(others, dtype=np.float64).T))
        return np.column_stack(parts).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return the columns as plain JSON values."""
        return {
            "numbers": self.numbers,
            "levels": self.levels,
            "equipment": self.equipment,
            "rows": self.rows,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        levels = {name: tuple(content["levels"][name]) for name in _CATEGORIES}
        equipment = tuple(content["equipment"])
        return cls(tuple(content["numbers"]), levels, equipment, content["rows"])


def _common(counts: Counter[str], most: int = _MOST_LEVELS) -> tuple[str, ...]:
    return tuple(
        sorted(name for name, rows in counts.most_common(most) if name and rows >= _FEWEST)
    )


def _one_hot(texts: Sequence[str], values: Sequence[str]) -> Floats:
    codes = {value: place for place, value in enumerate(values)}
    rows = np.eye(len(values) + 1, len(values))
    return rows[[codes.get(text, len(values)) for text in texts]]


def _flags(equipment: Sequence[str], known: Sequence[str]) -> Floats:
    position = {name: place for place, name in enumerate(known)}
    distinct = {names: row for row, names in enumerate(dict.fromkeys(equipment))}
    flags = np.zeros((len(distinct), len(position)))
    for names, row in distinct.items():
        for name in names.split(EQUIPMENT_SEPARATOR):
            if name in position:
                flags[row, position[name]] = 1.0
    return flags[[distinct[names] for names in equipment]]
