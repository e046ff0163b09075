"""What of a field could not be read."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from typing import Final

_VALUES_KEPT: Final = 100


@dataclass(frozen=True)
class Unreadable:
    """The values of one field that are there but could not be read.

    Attributes
    ----------
    count : rows with such a value.
    value : the first of these values, as the file has it.
    row : the number of its row in the file, counted from 0.
    others : some of these values, each once.
    readable : some of the field's other values, each once.
    """

    count: int
    value: str
    row: int
    others: tuple[str, ...] = attribute(default=(), compare=False)
    readable: tuple[str, ...] = attribute(default=(), compare=False)

    def plus(self, later: "Unreadable") -> "Unreadable":
        """Return the sum of these and of those of a later chunk."""
        return replace(
            self,
            count=self.count + later.count,
            others=first_of([*self.others, *later.others]),
            readable=first_of([*self.readable, *later.readable]),
        )


def add(found: Mapping[str, Unreadable], total: dict[str, Unreadable]) -> None:
    """Add what a later chunk has, by field, to what the chunks before had."""
    for field, later in found.items():
        total[field] = total[field].plus(later) if field in total else later


def first_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the first hundred of the different texts."""
    return tuple(itertools.islice(dict.fromkeys(texts), _VALUES_KEPT))
