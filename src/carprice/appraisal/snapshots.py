"""What dated snapshots of one shop's stock tell: days listed, price drops, listings gone, supply.

A listing that is gone was sold, withdrawn or moved to another shop; nothing here calls it sold.
"""

import datetime
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

SUPPLY_DAYS: Final = 45
"""The last days whose departures tell how fast a stock goes."""

Sighting = tuple[str, datetime.date, float | None]
"""What names a car, the day of the snapshot, and the price asked; None where it is not known."""


@dataclass(frozen=True, slots=True)
class History:
    """What snapshots tell of one listing.

    Attributes
    ----------
    first : the day that it was listed, or else first seen.
    last : the day of the last snapshot that has it.
    drops, dropped : how often its price fell from one snapshot to the next that has one, and by how
        much in all; what it rose in between is not taken off.
    """

    first: datetime.date
    last: datetime.date
    drops: int
    dropped: float

    @property
    def days_listed(self) -> int:
        """Days from the first to the last; of a listing that is gone, the least that it may be."""
        return (self.last - self.first).days


def histories(
    sightings: Iterable[Sighting], listed: Mapping[str, datetime.date] | None = None
) -> dict[str, History]:
    """Return the history of each listing; of several sightings on a day the first counts.

    Parameters
    ----------
    listed : the day that a listing says it was listed, where it does; one after its first sighting
        is not believed.

    Examples
    --------
    >>> may, june, july = (datetime.date(2025, month, 1) for month in (5, 6, 7))
    >>> told = histories([("a", may, 900.0), ("a", june, 850.0), ("a", july, 840.0)])["a"]
    >>> told.days_listed, told.drops, told.dropped
    (61, 2, 60.0)
    """
    prices: dict[str, dict[datetime.date, float | None]] = defaultdict(dict)
    for car, day, price in sightings:
        prices[car].setdefault(day, price)
    told = {}
    for car, by_day in prices.items():
        days = sorted(by_day)
        known = [price for day in days if (price := by_day[day]) is not None]
        falls = [before - after for before, after in pairwise(known) if after < before]
        first = min(days[0], (listed or {}).get(car, days[0]))
        told[car] = History(first, days[-1], len(falls), sum(falls))
    return told


@dataclass(frozen=True, slots=True)
class Supply:
    """How long a stock lasts at the pace of its last departures.

    Attributes
    ----------
    stock : listings in the newest snapshot.
    departures : listings that went in the days that count; a part of one where it may have gone
        before these.
    over : the days that count: :data:`SUPPLY_DAYS`, or fewer where the snapshots begin later.
    """

    stock: int
    departures: float
    over: int

    @property
    def days(self) -> float | None:
        """Stock over daily departures; None where nothing went, or there is one snapshot."""
        return self.stock * self.over / self.departures if self.departures else None

    def sentence(self, gone: int) -> str:
        """Tell it, and how many listings of earlier snapshots are gone.

        Examples
        --------
        >>> Supply(4, 2.0, 30).sentence(2).partition("; ")[2]
        'the stock lasts 60 days at the pace of the last 30 (2.0 departures).'
        """
        told = f"{gone:,} listings of earlier snapshots are gone (sold or not, nobody says)"
        if self.days is None:
            return f"{told}; none went in the last {self.over} days, which tells no supply."
        return (
            f"{told}; the stock lasts {self.days:,.0f} days at the pace of the last {self.over} "
            f"({self.departures:,.1f} departures)."
        )


def supply(last_days: Iterable[datetime.date], days: Sequence[datetime.date]) -> Supply:
    """Return the supply of a stock, or of a part of it.

    A listing went on some day after the last snapshot that has it and up to the next one; each of
    these days counts alike.

    Parameters
    ----------
    last_days : of each listing, in the stock or gone, the day of the last snapshot that has it.
    days : of all snapshots, ascending.

    Examples
    --------
    >>> days = [datetime.date(2025, 6, day) for day in (1, 11, 21)]
    >>> lasts = supply([days[2], days[2], days[1], days[0]], days)
    >>> lasts, lasts.days
    (Supply(stock=2, departures=2.0, over=20), 20.0)
    """
    newest = days[-1]
    start = max(days[0], newest - datetime.timedelta(SUPPLY_DAYS))
    stock, departures = 0, 0.0
    for last in last_days:
        if last == newest:
            stock += 1
            continue
        after = days[bisect_right(days, last)]
        departures += max((after - max(last, start)).days, 0) / (after - last).days
    return Supply(stock, departures, (newest - start).days)
