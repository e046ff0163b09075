"""The files of a stock: which are snapshots, of which days, and which rows are told of them."""

import datetime
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

from carprice.appraisal.snapshots import History, Sighting, histories
from carprice.errors import InputError

_DAY: Final = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)"
)
_WRITE_DAY: Final = (
    "write it into the file's name, such as stock-2025-06-30.csv, or give all its rows one day in "
    "listedOn"
)


@dataclass(frozen=True)
class Sheet:
    """Rows of a file: all of them, or some that stand beside each other.

    Attributes
    ----------
    label : names the file.
    named_day : the day that its name tells; None if it tells none.
    ids : what names the car of each row; None where nothing does.
    listed : the day on which each was listed; None where it is not known.
    asking : the price asked for each; None where none above 0 is known.
    """

    label: str
    named_day: datetime.date | None
    ids: Sequence[str | None]
    listed: Sequence[datetime.date | None]
    asking: Sequence[float | None]

    @classmethod
    def of(
        cls,
        label: str,
        ids: Sequence[str | None],
        listed: Sequence[datetime.date | None],
        asking: Sequence[float | None],
    ) -> Self:
        """Return the rows of a file, whose name may tell the day."""
        return cls(label, day_in_name(label), ids, listed, asking)

    @property
    def days(self) -> Sequence[datetime.date | None]:
        """The day of each row: that of the file's name, or the listing's own."""
        return self.listed if self.named_day is None else [self.named_day] * len(self.ids)

    def sightings(self) -> Iterator[Sighting]:
        """Yield the cars that have a name and a day."""
        for car, day, price in zip(self.ids, self.days, self.asking, strict=True):
            if car is not None and day is not None:
                yield car, day, price


def day_in_name(label: str) -> datetime.date | None:
    """Return the last day that the name of a file tells.

    Examples
    --------
    >>> day_in_name("shop/stock-2025-06-30.csv"), day_in_name("20250630.xlsx")
    (datetime.date(2025, 6, 30), datetime.date(2025, 6, 30))
    >>> day_in_name("stock-2025-06-31.csv"), day_in_name("2025-06-30/stock.csv")
    (None, None)
    """
    for found in reversed([*_DAY.finditer(re.split(r"[/\\]", label)[-1])]):
        try:
            return datetime.date(int(found[1]), int(found[3]), int(found[4]))
        except ValueError:  # 31 June
            continue
    return None


def snapshot_days(
    sheets: Sequence[Sheet], remedy: str, *, has_ids: bool
) -> tuple[datetime.date, ...]:
    """Return the days of the snapshots, ascending; empty where there is one stock alone.

    Parameters
    ----------
    remedy : how the column is named that tells cars apart, as in "name the column …".
    has_ids : whether all files have it.

    Raises
    ------
    InputError
        If there are several files, and nothing names their cars, or one has no day.
    """
    by_file: dict[str, list[Sheet]] = {}
    for sheet in sheets:
        by_file.setdefault(sheet.label, []).append(sheet)
    if len(by_file) == 1:
        is_one = not has_ids or sheets[0].named_day is not None or not _look_like_snapshots(sheets)
        return () if is_one else _ascending(sheets)
    if not has_ids:
        raise InputError(
            f"{len(by_file)} files are snapshots of one stock, and nothing tells which listings "
            f"are of one car; name the column that does {remedy}"
        )
    for label, own in by_file.items():
        days = {day for sheet in own for day in sheet.days}
        if own[0].named_day is None and (len(days) > 1 or None in days):
            raise InputError(f"{label}: of several snapshots each needs a day; {_WRITE_DAY}")
    return _ascending(sheets)


def histories_of(sheets: Sequence[Sheet]) -> dict[str, History]:
    """Return the history of each car that has a name; it was listed when its listing says so."""
    listed: dict[str, datetime.date] = {}
    for sheet in sheets:
        for car, day in zip(sheet.ids, sheet.listed, strict=True):
            if car is not None and day is not None:
                listed[car] = min(day, listed.get(car, day))
    return histories(itertools.chain.from_iterable(map(Sheet.sightings, sheets)), listed)


def rows_to_tell(
    sheet: Sheet, days: Sequence[datetime.date], told: Mapping[str, History]
) -> list[bool]:
    """Return which rows are of the stock, or the last sighting of a listing that is gone.

    Parameters
    ----------
    days, told : days of the snapshots and histories of cars; empty where there are none.
    """
    return [
        not days or day is None or day == days[-1] or (car is not None and told[car].last == day)
        for car, day in zip(sheet.ids, sheet.days, strict=True)
    ]


def day_of_stock(sheets: Sequence[Sheet]) -> datetime.date | None:
    """Return the day of a single stock: of its file's name, else the newest on which one listed.

    None where no row says when it was listed, so that no days are counted up to it.
    """
    listed = [day for sheet in sheets for day in sheet.listed if day is not None]
    return (sheets[0].named_day or max(listed)) if listed else None


def days_listed(listed: datetime.date | None, until: datetime.date) -> int | None:
    """Return for how long a car of a single stock is listed; None where that is not known."""
    return None if listed is None or listed > until else (until - listed).days


def oddities(sheets: Sequence[Sheet], days: Sequence[datetime.date]) -> Iterator[str]:
    """Tell what speaks against the figures of a stock, or of its snapshots' days."""
    if not days:
        if sheets[0].named_day is None and (again := _seen_again(sheets)):
            yield (
                f"of the cars {again:,} stand on several days of listedOn, and most on one: the "
                "file is read as one stock, with all of its rows; if its days are those of "
                "snapshots, write each into a file that has its day in its name"
            )
        return
    seen: set[tuple[str, datetime.date]] = set()
    without = twice = 0
    for sheet in sheets:
        for car, day in zip(sheet.ids, sheet.days, strict=True):
            if car is None or day is None:
                without += 1
            else:
                twice += (car, day) in seen
                seen.add((car, day))
    if without:
        yield f"{without:,} rows have no day, or nothing that names their car; they have no history"
    if twice:
        yield (
            f"{twice:,} rows repeat a car of the same day; if these are other cars, the column "
            "that names cars does not tell them apart"
        )


def _seen_again(sheets: Sequence[Sheet]) -> int:
    """Return how many cars stand on several days."""
    of_car: dict[str, set[datetime.date]] = {}
    for sheet in sheets:
        for car, day, _ in sheet.sightings():
            of_car.setdefault(car, set()).add(day)
    return sum(len(days) > 1 for days in of_car.values())


def _look_like_snapshots(sheets: Sequence[Sheet]) -> bool:
    """Whether the days of one file are those of snapshots, and not the days cars were listed on.

    Of two snapshots in a row most cars are the same: in all, and in the newest two.
    """
    by_day: dict[datetime.date, set[str]] = {}
    for sheet in sheets:
        for car, day, _ in sheet.sightings():
            by_day.setdefault(day, set()).add(car)
    in_order = [by_day[day] for day in sorted(by_day)]
    shared = [len(before & after) for before, after in pairwise(in_order)]
    larger = [max(len(before), len(after)) for before, after in pairwise(in_order)]
    return bool(shared) and all(
        2 * same >= cars for same, cars in ((sum(shared), sum(larger)), (shared[-1], larger[-1]))
    )


def _ascending(sheets: Sequence[Sheet]) -> tuple[datetime.date, ...]:
    return tuple(sorted({day for sheet in sheets for day in sheet.days if day is not None}))
