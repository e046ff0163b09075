"""Features → the trees' matrix: numbers, one-hot categories, equipment and the hedonic anchor."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from carprice.arrays import Floats
from carprice.listings.features import CAR_CATEGORIES, NUMBERS, TYPE_CATEGORIES, Features
from carprice.schema import EQUIPMENT_SEPARATOR

Matrix = npt.NDArray[np.float32]

ANCHORS: Final = ("hedonic_price", "hedonic_make", "hedonic_model")
FALLING: Final = ("age", "odometer", "ownership")
"""Numbers with a monotone constraint: the price may not rise with them."""
ONE_HOT: Final = (*TYPE_CATEGORIES, *CAR_CATEGORIES)
"""Categories whose common values are columns."""
COUNTED: Final = ("model", "model_trim", "model_variant")  # texts whose training rows are counted
_FEWEST_ROWS: Final = 20
_MOST_LEVELS: Final = 30


@dataclass(frozen=True)
class Anchor:
    """Out-of-fold ln(price) of the ridge for each row, and what make alone and model alone add."""

    log_price: Floats
    make: Floats
    model: Floats


@dataclass(frozen=True)
class Encoder:
    """The columns of the trees' matrix: what is common enough in the training rows.

    Attributes
    ----------
    numbers : numbers that are columns.
    levels : category → its common values, each a 0/1 column.
    equipment : common equipment, each a 0/1 column.
    rows : name of a text of :data:`COUNTED` → its values → number of training rows with the value.
    """

    numbers: Sequence[str]
    levels: Mapping[str, Sequence[str]]
    equipment: Sequence[str]
    rows: Mapping[str, Mapping[str, int]]

    @classmethod
    def fit(cls, features: Features) -> Self:
        """Learn what is common in training rows."""
        counts: Counter[str] = Counter()
        for names, rows in Counter(features.equipment).items():
            counts.update(dict.fromkeys(filter(None, names.split(EQUIPMENT_SEPARATOR)), rows))
        known = [name for name in NUMBERS if not np.isnan(features.numbers[name]).all()]
        return cls(
            tuple(name for name in known if name != "odometer_per_year"),
            {name: _common(Counter(features.texts[name])) for name in ONE_HOT},
            _common(counts, most=200),
            {name: dict(Counter(features.texts[name])) for name in COUNTED},
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the matrix's columns."""
        levels = (f"{name}={level}" for name in ONE_HOT for level in self.levels[name])
        counted = (f"{name}_rows" for name in COUNTED)
        return (*ANCHORS, *self.numbers, *levels, *self.equipment, *counted)

    @property
    def directions(self) -> tuple[int, ...]:
        """Monotone constraint of each column: -1 if the trees' sum may not rise with it, else 0."""
        return tuple(-1 if name in FALLING else 0 for name in self.columns)

    def training_matrix(self, features: Features, anchor: Anchor) -> Matrix:
        """Return n completed training rows × columns, float32; a row does not count itself."""
        numbers = (features.numbers[name] for name in self.numbers)
        others = [[self.rows[name][text] - 1 for text in features.texts[name]] for name in COUNTED]
        parts = (
            np.column_stack([anchor.log_price, anchor.make, anchor.model, *numbers]),
            *(_one_hot(features.texts[name], self.levels[name]) for name in ONE_HOT),
            _flags(features.equipment, self.equipment),
            np.log1p(np.array(others, dtype=np.float64).T),
        )
        return np.column_stack(parts).astype(np.float32)


def _common(counts: Counter[str], most: int = _MOST_LEVELS) -> tuple[str, ...]:
    return tuple(
        sorted(name for name, rows in counts.most_common(most) if name and rows >= _FEWEST_ROWS)
    )


def _one_hot(texts: Sequence[str], values: Sequence[str]) -> Floats:
    codes = {value: place for place, value in enumerate(values)}
    rows = np.eye(len(values) + 1, len(values))
    return rows[[codes.get(text, len(values)) for text in texts]]


def _flags(equipment: Sequence[str], known: Sequence[str]) -> Floats:
    distinct = {names: row for row, names in enumerate(dict.fromkeys(equipment))}
    owned = [frozenset(names.split(EQUIPMENT_SEPARATOR)) for names in distinct]
    flags = np.array([[name in own for name in known] for own in owned], dtype=np.float64)
    return flags[[distinct[names] for names in equipment]]
