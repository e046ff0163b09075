"""What a look at the model in use found: checks, charts with their tables, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Final, Literal


class Level(IntEnum):
    """How grave a check or a verdict is; the value is the exit code of ``carprice monitor``."""

    FINE = 0
    LOOK = 3
    RETRAIN = 4


class Cause(StrEnum):
    """What the verdict names as the reason for what was found."""

    NONE = "nothing"
    TOO_FEW = "too little to tell"
    INPUT = "unusual requests"
    MARKET = "the market moved"
    MIX = "another mix of cars"
    DECAY = "the model decays"


Group = Literal["input", "market", "model"]
GROUPS: Final[tuple[Group, ...]] = ("input", "market", "model")


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    name : its key in ``monitoring.json``, in snake_case.
    group : which question it answers: what comes in, the market, the model.
    level : how grave what it found is.
    told : one sentence with the figures, for a person.
    values : the figures, plain JSON values; intervals as two numbers.
    """

    name: str
    group: Group
    level: Level
    told: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table: one row for each of ``rows``, a value for each of ``columns``; None is missing."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]


@dataclass(frozen=True)
class Chart:
    """A picture and the table of all that it shows.

    Attributes
    ----------
    name : its key, in snake_case.
    group : the group of checks that it belongs to.
    kind : ``line`` over the first column of the table, or ``bar`` of each of its rows.
    value, low, high : columns of the table that are drawn: what was found, and the ends of its
        interval where it has one.
    series : the column that parts the rows into lines; none: one line.
    reference : the column, or the number, that it is compared with; none: nothing.
    unit : of the values, such as ``%``.
    """

    name: str
    group: Group
    title: str
    kind: Literal["line", "bar"]
    table: Table
    value: str
    low: str | None = None
    high: str | None = None
    series: str | None = None
    reference: str | float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Monitored:
    """All that one run of ``carprice monitor`` found.

    Attributes
    ----------
    cause, level : the verdict.
    why : sentences that led to it, the weightiest first.
    facts : what was read: model version and digest, numbers of answers, outcomes and fresh
        listings, first and last day; plain JSON values.
    """

    cause: Cause
    level: Level
    why: Sequence[str]
    checks: Sequence[Check]
    charts: Sequence[Chart]
    facts: Mapping[str, Any] = field(default_factory=dict)
