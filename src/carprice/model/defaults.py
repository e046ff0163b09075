"""Impute unknown numbers and kinds: what is usual for the model, else for its make, else for all.

Without this, trees send a listing that leaves out what nearly every training row has (an engine,
say) to the few odd rows that lacked it. A number that all cars of a model lack (an electric car's
displacement) stays unknown, and so does an odometer where the market often leaves it out.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from carprice.arrays import Floats
from carprice.listings.features import PLAIN_NUMBERS, Features

USUAL_OF_MODEL: Final = ("litres", *PLAIN_NUMBERS)
KIND: Final = ("transmission", "body", "fuel")
_AGES: Final = 26
_OFTEN_MISSING: Final = 0.05


@dataclass(frozen=True)
class Defaults:
    """Medians of :data:`USUAL_OF_MODEL` by model, by make and overall; of the odometer by age.

    Attributes
    ----------
    by_group : a model's or make's key → its medians; NaN where all its rows lack the number.
    kinds : a model's or make's key, or "" for all rows → the commonest transmission, body and fuel.
    overall : medians of all rows.
    odometer_by_age : 26 medians, of ages 0 to 24 and 25 or more; NaN where odometers stay unknown.
    """

    by_group: dict[str, Floats]
    kinds: dict[str, tuple[str, ...]]
    overall: Floats
    odometer_by_age: Floats

    @classmethod
    def fit(cls, features: Features) -> Self:
        """Learn the medians of training rows."""
        numbers = np.column_stack([features.numbers[name] for name in USUAL_OF_MODEL])
        rows: dict[str, list[int]] = defaultdict(list)
        for level in ("make", "model"):
            for row, key in enumerate(features.texts[level]):
                rows[key].append(row)
        odometer, ages = features.numbers["odometer"], _age_codes(features)
        if np.isnan(odometer).mean() > _OFTEN_MISSING:
            by_age = np.full(_AGES, np.nan)
        else:
            medians = np.array([_median(odometer[ages == age]) for age in range(_AGES)])
            by_age = _never_falling(medians)
        return cls(
            {key: _medians(numbers[own]) for key, own in rows.items()},
            _commonest_kinds(features),
            _medians(numbers),
            by_age,
        )

    def complete(self, features: Features) -> Features:
        """Return the training rows with unknown numbers, transmission, body and fuel filled."""
        texts, numbers = dict(features.texts), dict(features.numbers)
        model = texts["model"]
        for place, name in enumerate(KIND):
            pairs = zip(texts[name], model, strict=True)
            texts[name] = [own or self.kinds[key][place] for own, key in pairs]
        powertrains = zip(model, texts["fuel"], texts["transmission"], strict=True)
        texts["model_powertrain"] = ["|".join(row) for row in powertrains]
        for place, name in enumerate(USUAL_OF_MODEL):
            unknown = np.flatnonzero(np.isnan(numbers[name]))
            numbers[name] = numbers[name].copy()
            numbers[name][unknown] = [self.by_group[model[row]][place] for row in unknown.tolist()]
        odometer, usual = numbers["odometer"], self.odometer_by_age[_age_codes(features)]
        numbers["odometer"] = np.where(np.isnan(odometer), usual, odometer)
        numbers["odometer_per_year"] = numbers["odometer"] / (numbers["age"] + 0.5)
        return Features(texts, numbers, features.equipment)

    def to_json(self) -> dict[str, Any]:
        """Return the medians as plain JSON values; null for NaN."""
        return {
            "numbers": USUAL_OF_MODEL,
            "by_group": {key: _nulls(medians) for key, medians in self.by_group.items()},
            "kinds": self.kinds,
            "overall": _nulls(self.overall),
            "odometer_by_age": _nulls(self.odometer_by_age),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        by_group = {key: np.array(own, np.float64) for key, own in content["by_group"].items()}
        kinds = {key: tuple(kind) for key, kind in content["kinds"].items()}
        others = (np.array(content[name], np.float64) for name in ("overall", "odometer_by_age"))
        return cls(by_group, kinds, *others)


def _commonest_kinds(features: Features) -> dict[str, tuple[str, ...]]:
    texts = features.texts
    counts: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    kinds = zip(*(texts[name] for name in KIND), strict=True)
    for kind, model, make in zip(kinds, texts["model"], texts["make"], strict=True):
        for key in (model, make, ""):
            counts[key][kind] += 1
    return {key: _commonest(count) for key, count in counts.items()}


def _commonest(counts: Counter[tuple[str, ...]]) -> tuple[str, ...]:
    return min(counts, key=lambda kind: (-counts[kind], kind))


def _never_falling(medians: Floats) -> Floats:
    """Return the running maximum of distances by age; an unknown one is that of the age before."""
    known = medians[~np.isnan(medians)]
    start = known[0] if len(known) else np.nan
    return np.maximum.accumulate(np.where(np.isnan(medians), start, medians))


def _medians(numbers: Floats) -> Floats:
    return np.array([_median(column) for column in numbers.T])


def _median(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _age_codes(features: Features) -> npt.NDArray[np.intp]:
    return np.clip(features.numbers["age"], 0, _AGES - 1).astype(np.intp)


def _nulls(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
