"""What something adds to ln(price), per unit of the ridge's bases 1, a and so."""

from collections.abc import Mapping
from typing import Final

Triple = tuple[float, float, float]
NOTHING: Final[Triple] = (0.0, 0.0, 0.0)


def plus(one: Triple, other: Triple) -> Triple:
    """Return the sum of what two things add."""
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def minus(one: Triple, other: Triple) -> Triple:
    """Return what one thing adds more than another."""
    return one[0] - other[0], one[1] - other[1], one[2] - other[2]


def triples(
    one: Mapping[str, float], by_age: Mapping[str, float], by_distance: Mapping[str, float]
) -> dict[str, Triple]:
    """Return what each term of three blocks, of the bases 1, a and so, adds."""
    return {
        term: (one.get(term, 0.0), by_age.get(term, 0.0), by_distance.get(term, 0.0))
        for term in one.keys() | by_age.keys() | by_distance.keys()
    }
