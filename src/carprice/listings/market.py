"""The market that listings come from, its unit of distance, and the odometers a car can have."""

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt

from carprice.arrays import Floats
from carprice.errors import InputError

_KM_PER_MILE: Final = 1.609344
_ODOMETER_KM: Final = (100.0, 500_000.0)
"""Least and most that a used car can have driven; one of up to a year may have driven less."""
_YEARS_TO_MOST: Final = 6.25
"""Years in which a taxi comes to the most: 80,000 km a year."""
_TIMES_MOST: Final = 1.6


@dataclass(frozen=True)
class Market:
    """Currency, distance unit, valuation date, and the digest of the training data.

    Ingest writes it, and the model folder keeps it.

    Attributes
    ----------
    decimals : the sign before decimals in the texts of each numeric field, where it is known.
    """

    currency: str
    distance_unit: str
    valuation_date: datetime.date
    data_digest: str
    decimals: Mapping[str, Literal[".", ","]] = field(default_factory=dict, hash=False)

    @property
    def units(self) -> tuple[str, str]:
        """The currency and the distance unit."""
        return self.currency, self.distance_unit

    @property
    def km_per_unit(self) -> float:
        """Kilometres in the market's distance unit."""
        return km_per_unit(self.distance_unit)

    def to_json(self) -> dict[str, Any]:
        """Return the market as plain JSON values; without decimal signs where none is known."""
        content = {**asdict(self), "valuation_date": self.valuation_date.isoformat()}
        return content if self.decimals else {k: v for k, v in content.items() if k != "decimals"}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        day = datetime.date.fromisoformat(content["valuation_date"])
        names = ("currency", "distance_unit", "data_digest")
        return cls(
            **{name: content[name] for name in names},
            valuation_date=day,
            decimals=content.get("decimals", {}),
        )


def check_units(ours: tuple[str, str], theirs: tuple[str, str], told: str) -> None:
    """Raise InputError where currencies or distance units, such as EUR and km, differ.

    Parameters
    ----------
    told : a sentence with ``{ours}`` and ``{theirs}``, and with what to do.
    """
    if ours != theirs:
        raise InputError(told.format(ours=" and ".join(ours), theirs=" and ".join(theirs)))


def km_per_unit(distance_unit: str) -> float:
    """Return the kilometres in a distance unit, ``km`` or ``miles``."""
    return _KM_PER_MILE if distance_unit == "miles" else 1.0


def odometer_limits(distance_unit: str) -> tuple[float, float]:
    """Return the plausible odometers of a used car in the market's unit."""
    low, high = _ODOMETER_KM
    return low / km_per_unit(distance_unit), high / km_per_unit(distance_unit)


def is_impossible(odometer: Any, age: Any, limits: tuple[float, float]) -> Any:
    """Whether a car of an age in years cannot have that odometer: of one car, or of each row.

    A used car has driven at most 500,000 km, and at least 100 km unless it is at most a year old.

    Parameters
    ----------
    limits : see :func:`odometer_limits`.
    """
    low, high = limits
    return (odometer > high) | (odometer < 0) | ((odometer < low) & (age > 1))


def is_believed(odometer: float, age: float, limits: tuple[float, float]) -> bool:
    """Whether a car that is asked for is priced with its odometer, or as if it were not known.

    Other than in a car to learn from, one above the most is believed up to 80,000 km a year, and
    800,000 km: as not known, such a car would be dearer than one driven less.

    Examples
    --------
    >>> [is_believed(600_000, age, odometer_limits("km")) for age in (7, 8)]
    [False, True]
    >>> is_believed(900_000, 17, odometer_limits("km"))
    False
    """
    if limits[0] <= odometer <= limits[1]:
        return True
    most = limits[1] * min(max(age / _YEARS_TO_MOST, 1.0), _TIMES_MOST)
    return odometer <= most and not is_impossible(min(odometer, limits[1]), age, limits)


def are_believed(
    odometer: Floats, age: Floats, limits: tuple[float, float]
) -> npt.NDArray[np.bool_]:
    """Return :func:`is_believed` of each of n cars; one that is not known (NaN) is not.

    Examples
    --------
    >>> odometer, age = np.array([600_000, 600_000, np.nan]), np.array([7.0, 8.0, 8.0])
    >>> are_believed(odometer, age, odometer_limits("km")).tolist()
    [False, True, False]
    """
    most = limits[1] * np.clip(age / _YEARS_TO_MOST, 1.0, _TIMES_MOST)
    impossible = is_impossible(np.minimum(odometer, limits[1]), age, limits)
    return np.asarray((odometer <= most) & ~impossible)
