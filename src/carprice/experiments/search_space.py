"""What is searched when the model is tuned: every scale of the ridge, and the booster's parameters.

The ranges are around the recipe (the defaults of :mod:`carprice.settings`), not around the present
values, so that a study can go on after its winner was written into the params file.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from carprice.errors import InputError
from carprice.registry.tracking import flatten
from carprice.settings import HedonicScales, TrainSettings

if TYPE_CHECKING:
    from optuna import Trial

_SPREAD: Final = 4.0
"""A scale is searched from the recipe's divided by this to that times this."""
_DIGITS: Final = 4


@dataclass(frozen=True)
class Range:
    """Smallest and largest value of a parameter, and how it is searched."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


def as_text(one: Range) -> str:
    """Return a range for people.

    Examples
    --------
    >>> as_text(Range(0.01, 0.3, log=True))
    '0.01 to 0.3, log'
    """
    return f"{one.low:g} to {one.high:g}" + (", log" if one.log else "")


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


HEDONIC: Final = {
    f"train.hedonic.{name}": Range(
        _rounded(field.default / _SPREAD), _rounded(field.default * _SPREAD), log=True
    )
    for name, field in HedonicScales.model_fields.items()
}
BOOSTER: Final = {
    "train.booster.max_depth": Range(2, 12, whole=True),
    "train.booster.learning_rate": Range(0.01, 0.3, log=True),
    "train.booster.subsample": Range(0.4, 1.0),
    "train.booster.colsample_bytree": Range(0.2, 1.0),
    "train.booster.min_child_weight": Range(1.0, 64.0, log=True),
    "train.booster.reg_lambda": Range(0.1, 30.0, log=True),
}
GROUPS: Final[Mapping[str, Mapping[str, Range]]] = {"hedonic": HEDONIC, "booster": BOOSTER}

Space = Mapping[str, Range]
Values = Mapping[str, float]


def space_of(wanted: Sequence[str]) -> Space:
    """Return the parameters of the groups, or the single ones, that are wanted; all without any.

    Raises
    ------
    InputError
        If one of them is no parameter that is tuned.

    Examples
    --------
    >>> [*space_of(["train.hedonic.make"])], len(space_of(["booster"])), len(space_of([]))
    (['train.hedonic.make'], 6, 22)
    """
    every = {**HEDONIC, **BOOSTER}
    chosen: dict[str, Range] = {}
    for name in wanted:
        found = GROUPS.get(name) or {key: one for key, one in every.items() if key == name}
        if not found:
            raise InputError(
                f"--only {name!r} is nothing that is tuned; there are the groups "
                f"{', '.join(GROUPS)}, and {', '.join(every)}"
            )
        chosen |= found
    return chosen or every


def suggest(trial: "Trial", space: Space) -> dict[str, float]:
    """Choose a trial's values and return them as :func:`values_of` does."""
    for name, one in space.items():
        if one.whole:
            trial.suggest_int(name, int(one.low), int(one.high))
        else:
            trial.suggest_float(name, one.low, one.high, log=one.log)
    return values_of(trial.params, space)


def values_of(params: Mapping[str, Any], space: Space) -> dict[str, float]:
    """Return values rounded to four digits: as they would stand in a params file."""
    return {
        name: int(params[name]) if one.whole else _rounded(params[name])
        for name, one in space.items()
    }


def present_values(train: TrainSettings, space: Space) -> dict[str, float]:
    """Return the values that the settings have."""
    content = flatten({"train": train.model_dump()})
    return {name: content[name] for name in space}


def with_values(train: TrainSettings, values: Values) -> TrainSettings:
    """Return the settings with other values."""
    content = train.model_dump()
    for name, value in values.items():
        _, section, key = name.split(".")
        content[section][key] = value
    return TrainSettings.model_validate(content)


def to_json(space: Space) -> dict[str, Any]:
    """Return the space as plain JSON values."""
    return {name: asdict(one) for name, one in space.items()}


def is_same(one: Values, other: Values) -> bool:
    """Tell whether two sets of values are equal."""
    return one.keys() == other.keys() and all(
        math.isclose(one[name], other[name], rel_tol=1e-9) for name in one
    )
