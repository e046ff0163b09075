"""What is searched when the model is tuned, and how: the trees' parameters.

The ridge's scales are not: each market's rows choose them (:mod:`carprice.model.block_scales`).

The ranges are around the recipe (the defaults of :mod:`carprice.settings`), not around the present
values, so that a study can go on after its winner was written into the params file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from operator import getitem
from typing import TYPE_CHECKING, Any, Final

from carprice.errors import InputError
from carprice.experiments.candidates import EXTRA
from carprice.model.blend import parameters_of
from carprice.settings import TrainSettings, flatten

if TYPE_CHECKING:
    from optuna import Trial

_DIGITS: Final = 4


class Sampler(StrEnum):
    """How the next values are chosen."""

    TPE = "tpe"
    RANDOM = "random"
    QMC = "qmc"


class Pruner(StrEnum):
    """When a trial is given up before its last fold."""

    MEDIAN = "median"
    HALVING = "halving"
    NONE = "none"


def require_optuna() -> None:
    """Raise an InputError that tells what to install, if Optuna is not."""
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise InputError(f"tuning needs Optuna, which is not installed; {EXTRA}") from None


@dataclass(frozen=True)
class Range:
    """Smallest and largest value of a parameter, and how it is searched.

    Examples
    --------
    >>> str(Range(0.01, 0.3, log=True))
    '0.01 to 0.3, log'
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __str__(self) -> str:
        """Return the range for people."""
        return f"{self.low:g} to {self.high:g}" + (", log" if self.log else "")


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


_TREES: Final = {
    "max_depth": Range(2, 12, whole=True),
    "learning_rate": Range(0.01, 0.3, log=True),
    "subsample": Range(0.4, 1.0),
    "colsample_bytree": Range(0.2, 1.0),
    "min_child_weight": Range(1.0, 64.0, log=True),
    "reg_lambda": Range(0.1, 30.0, log=True),
}
BOOSTER: Final = {
    f"train.booster.{trees}.{name}": one
    for trees in ("residual", "direct")
    for name, one in _TREES.items()
}
Space = Mapping[str, Range]
Values = Mapping[str, float]
GROUPS: Final[Mapping[str, Space]] = {"booster": BOOSTER}


def space_of(wanted: Sequence[str]) -> Space:
    """Return the parameters of the groups, or the single ones, that are wanted; all without any.

    Raises
    ------
    InputError
        If one of them is no parameter that is tuned.

    Examples
    --------
    >>> [*space_of(["train.booster.direct.max_depth"])], len(space_of(["booster"]))
    (['train.booster.direct.max_depth'], 12)
    """
    every = {name: one for group in GROUPS.values() for name, one in group.items()}
    known = {**GROUPS, **{name: {name: one} for name, one in every.items()}}
    for name in wanted:
        if name not in known:
            raise InputError(
                f"--only {name!r} is nothing that is tuned; there are the group "
                f"{', '.join(GROUPS)}, and {', '.join(every)}"
            )
    return {key: one for name in wanted for key, one in known[name].items()} or every


def suggest(trial: "Trial", space: Space) -> dict[str, float]:
    """Choose a trial's values and return them as :func:`rounded` does."""
    for name, one in space.items():
        if one.whole:
            trial.suggest_int(name, int(one.low), int(one.high))
        else:
            trial.suggest_float(name, one.low, one.high, log=one.log)
    return rounded(trial.params, space)


def rounded(params: Mapping[str, Any], space: Space) -> dict[str, float]:
    """Return those values that are of the space, rounded to four digits as for a params file."""
    return {
        name: int(params[name]) if one.whole else _rounded(params[name])
        for name, one in space.items()
        if name in params
    }


def present_values(train: TrainSettings, space: Space) -> dict[str, float]:
    """Return the values that the settings have; what follows the number of cars has none."""
    content = flatten({"train": train.model_dump()})
    both = {name: content[f"train.booster.{name}"] for name in _TREES}
    own = ((name, content[name], both.get(name.rpartition(".")[2])) for name in space)
    found = {name: for_both if value is None else value for name, value, for_both in own}
    return {name: value for name, value in found.items() if value is not None}


def with_all_values(train: TrainSettings, cars: float) -> TrainSettings:
    """Return the settings with what they leave to the number of cars."""
    residual, direct = parameters_of(train.booster, cars)
    booster = {"residual": residual, "direct": direct}
    return TrainSettings.model_validate({**train.model_dump(), "booster": booster})


def with_values(train: TrainSettings, values: Values) -> TrainSettings:
    """Return the settings with other values."""
    content = train.model_dump()
    for name, value in values.items():
        *sections, key = name.split(".")[1:]
        reduce(getitem, sections, content)[key] = value
    return TrainSettings.model_validate(content)
