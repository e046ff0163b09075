"""Impute unknown numbers and kinds: what is usual for the model, else for its make, else for all.

Without this, trees send a listing that leaves out what nearly every training row has (an engine,
say) to the few odd rows that lacked it. A number that all cars of a model lack (an electric car's
displacement) stays unknown, and so does an odometer where the market often leaves it out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from carprice.arrays import Codes, Floats, coded, coded_together, picked
from carprice.listings.features import CAR_CATEGORIES, PLAIN_NUMBERS, Features
from carprice.schema import own_numbers, own_of, own_texts

USUAL_OF_MODEL: Final = ("litres", *PLAIN_NUMBERS)
KIND: Final = ("transmission", "body", "fuel")
_AGES: Final = 26
_OFTEN_MISSING: Final = 0.05
_COMMON: Final = 0.25
"""Share of the rows from which on the commonest text stands for one that is not known."""


@dataclass(frozen=True)
class Defaults:
    """Medians of :data:`USUAL_OF_MODEL` by model, by make and overall; of the odometer by age.

    Attributes
    ----------
    usual : a model's or make's key, or "" for all rows → the medians by name; NaN where all its
        rows lack the number.
    kinds : the same keys → the commonest transmission, body and fuel.
    odometer_by_age : 26 medians, of ages 0 to 24 and 25 or more; NaN where odometers stay unknown.
    car : the market's usual car; None in model folders of before.
    categories : the commonest text of those :data:`carprice.listings.features.CAR_CATEGORIES` that
        all training rows have; without it, a car of no condition would be worth the mean of all
        conditions, the rare ones too.
    """

    usual: dict[str, dict[str, float]]
    kinds: dict[str, tuple[str, ...]]
    odometer_by_age: Floats
    car: "UsualCar | None" = None
    categories: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def fit(cls, features: Features) -> Self:
        """Learn the medians of training rows."""
        names = (*USUAL_OF_MODEL, *own_numbers(features.own))
        numbers = np.column_stack([features.numbers[name] for name in names])
        rows = rows_by_kind(features)
        odometer, ages = features.numbers["odometer"], _age_codes(features)
        if np.isnan(odometer).mean() > _OFTEN_MISSING:
            by_age = np.full(_AGES, np.nan)
        else:
            medians = np.array([_median(odometer[ages == age]) for age in range(_AGES)])
            by_age = _never_falling(medians)
        texts = [coded(features.texts[name]) for name in KIND]
        first, codes = coded_together(*(own for _, own in texts))
        kinds = [*zip(*(picked(one, own[first]) for one, own in texts), strict=True)]
        return cls(
            {
                key: dict(zip(names, map(_median, numbers[own].T), strict=True))
                for key, own in rows.items()
            },
            {key: _commonest(kinds, np.bincount(codes[own])) for key, own in rows.items()},
            by_age,
            UsualCar.fit(features),
            dict(_always_known(features)),
        )

    @property
    def own(self) -> tuple[str, ...]:
        """The fields of the market's own columns."""
        return own_of((*self.usual[""], *(self.car.categories if self.car else ())))

    def to_json(self) -> dict[str, Any]:
        """Return the medians as plain JSON values; null for NaN."""
        return {
            "numbers": [*self.usual[""]],
            "by_group": {key: _nulls(own.values()) for key, own in self.usual.items() if key},
            "kinds": self.kinds,
            "overall": _nulls(self.usual[""].values()),
            "odometer_by_age": _nulls(self.odometer_by_age),
            "car": None if self.car is None else asdict(self.car),
            "categories": dict(self.categories),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        medians = {**content["by_group"], "": content["overall"]}
        names = content.get("numbers", USUAL_OF_MODEL)  # fewer in model folders of before
        usual = {
            key: dict(zip(names, np.array(own, np.float64).tolist(), strict=True))
            for key, own in medians.items()
        }
        kinds = {key: tuple(kind) for key, kind in content["kinds"].items()}
        by_age = np.array(content["odometer_by_age"], np.float64)
        car = content.get("car")
        usual_car = None if car is None else UsualCar(**car)
        return cls(usual, kinds, by_age, usual_car, content.get("categories", {}))


@dataclass(frozen=True)
class UsualCar:
    """What is usual in the whole market; reasons are told against it, and nothing is filled by it.

    Attributes
    ----------
    numbers : medians of age and odometer; without one that is never known.
    categories : the commonest text of each of
        :data:`carprice.listings.features.CAR_CATEGORIES`.
    fitness_age : fuel → median.
    """

    numbers: dict[str, float]
    categories: dict[str, str]
    fitness_age: dict[str, float]

    @classmethod
    def fit(cls, features: Features) -> Self:
        """Learn it from training rows."""
        numbers, (fuels, codes) = features.numbers, coded(features.texts["fuel"])
        years = numbers["fitness_age"]
        by_fuel = {fuel: _median(years[codes == code]) for code, fuel in enumerate(fuels)}
        medians = {name: _median(numbers[name]) for name in ("age", "odometer")}
        return cls(
            {name: median for name, median in medians.items() if not np.isnan(median)},
            {
                name: _commonest_text(features.texts[name])
                for name in (*CAR_CATEGORIES, *own_texts(features.own))
            },
            {fuel: median for fuel, median in by_fuel.items() if not np.isnan(median)},
        )


def rows_by_kind(features: Features) -> dict[str, Codes]:
    """Return the rows of each make, of each model as ``make|model``, and of "", the market.

    A make stands before the models, and both in the order of their first rows.
    """
    found: dict[str, Codes] = {}
    for level in ("make", "model"):
        names, codes = coded(features.texts[level])
        parts = np.split(np.argsort(codes, kind="stable"), np.bincount(codes).cumsum()[:-1])
        for name, rows in zip(names, parts, strict=True):
            found[name] = np.concatenate([found[name], rows]) if name in found else rows
    found[""] = np.arange(len(features), dtype=np.intp)
    return found


def _commonest(kinds: Sequence[tuple[str, ...]], counts: Codes) -> tuple[str, ...]:
    """Return the kind of the most rows; ``counts`` is theirs, 0 of those that are left out."""
    return min(kinds[code] for code in np.flatnonzero(counts == counts.max()).tolist())


def _counts(texts: Sequence[str]) -> dict[str, int]:
    """Return how many rows have each text."""
    different, codes = coded(texts)
    return dict(zip(different, np.bincount(codes).tolist(), strict=True))


def _commonest_text(texts: Sequence[str]) -> str:
    counts = _counts(texts)
    return min(counts, key=lambda text: (-counts[text], text))


def _always_known(features: Features) -> Iterator[tuple[str, str]]:
    for name in (*CAR_CATEGORIES, *own_texts(features.own)):
        counts = _counts(features.texts[name])
        usual = _commonest_text(features.texts[name])
        if "" not in counts and counts[usual] >= _COMMON * len(features):
            yield name, usual


def _never_falling(medians: Floats) -> Floats:
    """Return the running maximum of distances by age; an unknown one is that of the age before."""
    known = medians[~np.isnan(medians)]
    start = known[0] if len(known) else np.nan
    return np.maximum.accumulate(np.where(np.isnan(medians), start, medians))


def _median(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _age_codes(features: Features) -> npt.NDArray[np.intp]:
    return np.clip(features.numbers["age"], 0, _AGES - 1).astype(np.intp)


def _nulls(values: Iterable[float]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
