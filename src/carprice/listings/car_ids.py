"""Find the column that names cars among those that no field reads."""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from carprice.arrays import Floats

_NAME: Final = re.compile(
    r"(?<![a-z])(?:vin|fin|stock|(?:car|vehicle|auto|fahrzeug) ?(?:id|no|nr|number))(?![a-z])"
    r"|chassis|plate|registration|reg ?(?:no|nr|number)|kennzeichen|fahrgestell|matr[ií]cul"
    r"|immatriculation|targa|telaio|bastidor|rejestrac|гос ?номер|车牌",
    re.IGNORECASE,
)
"""Names of columns that name cars."""
_MOST_MISSING: Final = 0.2
_LEAST_DISTINCT: Final = 0.01
_MOST_KINDS: Final = 3
_LEAST_REPEATED: Final = 0.05
_LEAST_AGREEING: Final = 0.95
_MOST_SPREAD: Final = 0.4
_FEWEST: Final = 20

Hashes = np.ndarray


@dataclass(frozen=True)
class CarId:
    """A column that seems to name cars.

    Attributes
    ----------
    rows : rows whose value stands in other rows too, which differ in more than price and day.
    cars : number of these values.
    """

    name: str
    rows: int
    cars: int

    def in_words(self) -> str:
        """Return what was found in one sentence."""
        return (
            f"{self.name} has the same value in {self.rows:,} rows of {self.cars:,} cars that "
            "agree in make, model and year"
        )


class CarIds:
    """Looks for the column that names cars, chunk by chunk."""

    def __init__(self) -> None:
        """Start without a column."""
        self._hashes: dict[str, list[Hashes]] = {}
        self._chunks = 0

    def add(self, raw: pd.DataFrame) -> None:
        """Look at the raw rows of a chunk, of the columns that no field reads."""
        if not len(raw):
            return
        for name in raw if not self._chunks else [*self._hashes]:
            found = _hashes(raw[name]) if name in raw else None
            if found is None:
                self._hashes.pop(name, None)
            else:
                self._hashes.setdefault(name, []).append(found)
        self._chunks += 1

    def plus(self, later: "CarIds") -> None:
        """Add what another found in the chunks after this one's."""
        if not later._chunks:
            return
        if not self._chunks:
            self._hashes = later._hashes
        else:
            both = self._hashes.keys() & later._hashes.keys()
            self._hashes = {
                name: [*hashes, *later._hashes[name]]
                for name, hashes in self._hashes.items()
                if name in both
            }
        self._chunks += later._chunks

    def best(self, listings: pd.DataFrame, cars: Hashes) -> CarId | None:
        """Return the column that most likely names cars; None if none seems to.

        A value names a car if its rows agree in make, model and year, and their odometers are much
        nearer to each other than those of cars of one year: else it names a kind of cars, as it
        does if there are no more values than kinds, unless the column's name says otherwise.

        Parameters
        ----------
        listings : the mapped fields of the same rows.
        cars : the :func:`carprice.listings.cars.car_digests` of these.
        """
        if not self._hashes:
            return None
        kinds = pd.util.hash_pandas_object(listings[["make", "model", "year"]], index=False)
        odometer = listings["odometer"].to_numpy(dtype=np.float64)
        year = listings["year"].to_numpy(dtype=np.float64)
        found = [
            one
            for name, hashes in self._hashes.items()
            if (one := _judge(name, np.concatenate(hashes), cars, kinds.to_numpy(), odometer, year))
        ]
        return max(found, key=lambda one: (_is_named(one.name), one.cars), default=None)


def _is_named(name: str) -> bool:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", " ", name)
    return _NAME.search(spaced) is not None


def _hashes(values: pd.Series) -> Hashes | None:
    """Return a hash of each value, 0 of an empty one; None if the values are no ids."""
    if pd.api.types.is_float_dtype(values.dtype):
        known = values.dropna()
        if not (known == known.round()).all():
            return None
    try:
        hashes = pd.util.hash_pandas_object(values, index=False).to_numpy()
    except TypeError:
        return None
    empty = values.isna().to_numpy()
    distinct = len(pd.unique(hashes[~empty]))
    if empty.mean() > _MOST_MISSING or distinct < max(_FEWEST, _LEAST_DISTINCT * len(values)):
        return None
    return np.where(empty, 0, hashes)


def _judge(
    name: str, ids: Hashes, cars: Hashes, kinds: Hashes, odometer: Floats, year: Floats
) -> CarId | None:
    rows = pd.DataFrame({"id": ids, "car": cars, "kind": kinds, "odometer": odometer, "year": year})
    rows = rows[(rows["id"] != 0) & rows["year"].notna()]
    rows = rows[~_are_repeated(rows, "id", "car")]
    again = rows[rows["id"].duplicated(keep=False)]
    if len(again) < _LEAST_REPEATED * len(rows):
        return None
    of_id = again["id"].map(again["id"][~_are_repeated(again, "id", "kind")].value_counts())
    again, of_id = again[of_id <= _MOST_KINDS], of_id[of_id <= _MOST_KINDS]
    is_one = of_id == 1
    named = again["id"].nunique()
    if named <= again["kind"].nunique() and not _is_named(name):
        return None  # it tells no more than make, model and year do
    if named < _FEWEST or len(again) < _LEAST_REPEATED * len(rows):
        return None
    if is_one.mean() < _LEAST_AGREEING:
        return None
    by_id, by_year = (
        (one["odometer"] - one.groupby(key)["odometer"].transform("median")).abs().median()
        for one, key in ((again, "id"), (rows, "year"))
    )
    if not by_id <= _MOST_SPREAD * by_year:
        return None
    return CarId(name, len(again), named)


def _are_repeated(rows: pd.DataFrame, *names: str) -> pd.Series:
    """Return which rows equal an earlier one in some columns."""
    return pd.util.hash_pandas_object(rows[[*names]], index=False).duplicated()
