"""Features → the trees' matrix: numbers, one-hot categories, equipment and the hedonic anchor."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from carprice.arrays import Codes, Floats, coded
from carprice.listings.features import CAR_CATEGORIES, NUMBERS, TYPE_CATEGORIES, Features
from carprice.model.car import Car, CarType
from carprice.model.worth import WORTHS
from carprice.schema import EQUIPMENT_SEPARATOR, own_numbers, own_texts

Matrix = npt.NDArray[np.float32]
Row: TypeAlias = "memoryview[float]"

_RIDGE: Final = "hedonic_price"
WORTHS_OF_BEFORE: Final = ("make", "model")
FALLING: Final = ("age", "odometer", "ownership")
"""Numbers with a monotone constraint: the price may not rise with them."""
MOVED: Final = ("age", "odometer")
"""Numbers that differ along a car's curve."""
Falling: TypeAlias = Mapping[str, Sequence[float]]
"""Number → the least and the most between which the price falls with it; everywhere if absent."""
ONE_HOT: Final = (*TYPE_CATEGORIES, *CAR_CATEGORIES)
"""Categories whose common values are columns."""
COUNTED: Final = ("model", "model_trim", "model_variant")  # texts whose training rows are counted
_NOT_READ: Final = ("odometer_per_year", "listed")
"""Numbers that are no columns: what the day of a listing adds is the ridge's alone, as trees that
know it learn how the other cars of that day were priced, of which later days have none."""
_FEWEST_ROWS: Final = 20
_MOST_LEVELS: Final = 30


@dataclass(frozen=True)
class Anchor:
    """What the ridge says of each row, out of fold.

    Attributes
    ----------
    worths : by name, of :data:`carprice.model.worth.WORTHS`.
    falling : where the ridge's price falls.
    tails : how much each row counts by how far its price is from what others expect, see
        :mod:`carprice.model.tails`; mean 1.
    """

    log_price: Floats
    worths: Mapping[str, Floats]
    falling: Falling
    tails: Floats

    def take(self, rows: Codes) -> Self:
        """Return the given rows."""
        worths = {name: worth[rows] for name, worth in self.worths.items()}
        return type(self)(self.log_price[rows], worths, self.falling, self.tails[rows])


@dataclass(frozen=True)
class Encoder:
    """The columns of the trees' matrix: what is common enough in the training rows.

    Attributes
    ----------
    numbers : numbers that are columns.
    levels : category → its common values, each a 0/1 column.
    equipment : common equipment, each a 0/1 column.
    rows : name of a text of :data:`COUNTED` → its values → number of training rows with the value.
    worths : those of :data:`carprice.model.worth.WORTHS` that are columns.
    falling : where the price falls with a number. How far the number is beyond that is a column of
        its own, with which the price may do as it likes.
    """

    numbers: Sequence[str]
    levels: Mapping[str, Sequence[str]]
    equipment: Sequence[str]
    rows: Mapping[str, Mapping[str, int]]
    worths: Sequence[str] = WORTHS_OF_BEFORE
    falling: Falling = field(default_factory=dict)

    @classmethod
    def fit(cls, features: Features, falling: Falling | None = None) -> Self:
        """Learn what is common in training rows."""
        counts: Counter[str] = Counter()
        for names, rows in Counter(features.equipment).items():
            counts.update(dict.fromkeys(filter(None, names.split(EQUIPMENT_SEPARATOR)), rows))
        every = (*NUMBERS, *own_numbers(features.own))
        known = [name for name in every if not np.isnan(features.numbers[name]).all()]
        one_hot = (*ONE_HOT, *own_texts(features.own))
        return cls(
            tuple(name for name in known if name not in _NOT_READ),
            {name: _common(Counter(features.texts[name])) for name in one_hot},
            _common(counts, most=200),
            {name: dict(Counter(features.texts[name])) for name in COUNTED},
            WORTHS,
            falling or {},
        )

    @property
    def one_hot(self) -> tuple[str, ...]:
        """The categories of :attr:`levels` in the order of the columns: own ones last."""
        return (*ONE_HOT, *own_texts(self.levels))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the matrix's columns."""
        levels = (f"{name}={level}" for name in self.one_hot for level in self.levels[name])
        counted = (f"{name}_rows" for name in COUNTED)
        beyond = (f"{name}_beyond" for name in self.falling)
        worths = (f"hedonic_{name}" for name in self.worths)
        return (_RIDGE, *worths, *self.numbers, *beyond, *levels, *self.equipment, *counted)

    @property
    def residual(self) -> tuple[int, ...]:
        """Places of the columns that residual trees read: all but the counts of rows."""
        return tuple(range(len(self.columns) - len(COUNTED)))

    @property
    def direct(self) -> tuple[int, ...]:
        """Places of the columns that direct trees read: those, but for the ridge's ln(price)."""
        return self.residual[1:]

    @property
    def directions(self) -> tuple[int, ...]:
        """Monotone constraint of each column: -1 if the trees' sum may not rise with it, else 0."""
        return tuple(-1 if name in FALLING else 0 for name in self.columns)


class TreeRows:
    """Writes cars as rows of :attr:`Encoder.columns`."""

    def __init__(self, encoder: Encoder) -> None:
        self.columns = len(encoder.columns)
        self._worths = tuple(encoder.worths)
        place = count(1 + len(self._worths))
        self._numbers = [(name, next(place)) for name in encoder.numbers]
        of_number = dict(self._numbers)
        self._beyond = [
            (of_number[name], next(place), least, most)
            for name, (least, most) in encoder.falling.items()
        ]
        self._moved = [(name, of_number[name]) for name in MOVED if name in of_number]
        places = {
            name: {level: next(place) for level in encoder.levels[name]} for name in encoder.one_hot
        }
        self._of_types = [(name, places[name]) for name in TYPE_CATEGORIES]
        self._own_texts = own_texts(encoder.levels)
        self._of_cars = [places[name] for name in (*CAR_CATEGORIES, *self._own_texts)]
        self._equipment = {name: next(place) for name in encoder.equipment}
        self._rows = [(name, encoder.rows[name], next(place)) for name in COUNTED]

    def of_type(self, car_type: CarType, worths: Mapping[str, float]) -> Row:
        """Return the row of a type, in which what differs from car to car is 0.

        Parameters
        ----------
        worths : see :attr:`carprice.model.worth.TypeWorth.worths`; what is not there is 0.
        """
        row, texts = np.zeros(self.columns, dtype=np.float32), car_type.texts
        row[1 : 1 + len(self._worths)] = [worths.get(name, 0.0) for name in self._worths]
        for name, places in self._of_types:
            if texts[name] in places:
                row[places[texts[name]]] = 1.0
        for name, rows, place in self._rows:
            row[place] = math.log1p(rows.get(texts[name], 0))
        return memoryview(row.tobytes()).cast("f")

    def write(self, cells: Row, of_type: Row, ridge: float, car: Car) -> None:
        """Write a car's row over what was there; ``ridge`` is the ridge's ln(price)."""
        numbers = car.numbers
        cells[:] = of_type
        cells[0] = ridge
        for name, place in self._numbers:
            cells[place] = numbers[name]
        for place, beyond, least, most in self._beyond:
            number = cells[place]
            within = least if number < least else most if number > most else number
            cells[place], cells[beyond] = within, number - within
        # No place is 0, which is the anchor's: 0 would be lost with the None of unknown values.
        for place in filter(None, map(dict.get, self._of_cars, car.categories)):
            cells[place] = 1.0
        for place in filter(None, map(self._equipment.get, car.equipment)):
            cells[place] = 1.0

    def matrix(self, cars: Iterable[tuple[Row, float, Car]], rows: int) -> Matrix:
        """Return the arguments of :meth:`write` of many cars as rows × columns."""
        matrix = np.zeros((rows, self.columns), dtype=np.float32)
        cells = matrix.data.cast("B").cast("f")
        for start, car in zip(count(0, self.columns), cars, strict=False):
            self.write(cells[start : start + self.columns], *car)
        return matrix

    def moved(self, of_type: Row, ridges: Sequence[float], cars: Sequence[Car]) -> Matrix:
        """Return the same as :meth:`matrix` of a car at some ages and distances, in less time."""
        matrix = np.empty((len(cars), self.columns), dtype=np.float32)
        self.write(matrix[:1].data.cast("B").cast("f"), of_type, ridges[0], cars[0])
        matrix[1:], matrix[:, 0] = matrix[0], ridges
        for name, place in self._moved:
            matrix[:, place] = [car.numbers[name] for car in cars]
        self._part(matrix, {place for _, place in self._moved})
        return matrix

    def _part(self, matrix: Matrix, places: Collection[int]) -> None:
        """Part numbers that stand whole at some places, into within and beyond falling prices."""
        for place, beyond, least, most in self._beyond:
            if place in places:
                number = matrix[:, place].astype(np.float64)
                within = np.minimum(np.maximum(number, least), most)
                matrix[:, place], matrix[:, beyond] = within, number - within

    def training_matrix(self, complete: Features, anchor: Anchor) -> Matrix:
        """Return n training rows × columns, float32; a row does not count itself.

        Parameters
        ----------
        complete : the rows, completed by :meth:`carprice.model.car.CarReader.complete`.
        """
        matrix = np.zeros((len(complete), self.columns), dtype=np.float32)
        for place, known in enumerate((anchor.log_price, *map(anchor.worths.get, self._worths))):
            matrix[:, place] = known
        for name, place in self._numbers:
            matrix[:, place] = complete.numbers[name]
        self._part(matrix, {place for _, place in self._numbers})
        of_cars = zip((*CAR_CATEGORIES, *self._own_texts), self._of_cars, strict=True)
        for name, places in (*self._of_types, *of_cars):
            different, codes = coded(complete.texts[name])
            columns = np.array([places.get(text, 0) for text in different], dtype=np.intp)[codes]
            rows = np.flatnonzero(columns)
            matrix[rows, columns[rows]] = 1.0
        different, codes = coded(complete.equipment)
        for name, place in self._equipment.items():
            has = [name in names.split(EQUIPMENT_SEPARATOR) for names in different]
            matrix[:, place] = np.array(has, dtype=np.float32)[codes]
        for name, rows_of, place in self._rows:
            different, codes = coded(complete.texts[name])
            counts = [math.log1p(rows_of.get(text, 1) - 1) for text in different]
            matrix[:, place] = np.array(counts, dtype=np.float32)[codes]
        return matrix


def _common(counts: Counter[str], most: int = _MOST_LEVELS) -> tuple[str, ...]:
    return tuple(
        sorted(name for name, rows in counts.most_common(most) if name and rows >= _FEWEST_ROWS)
    )
