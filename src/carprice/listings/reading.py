"""Read, map and clean a source in one go; ingest and the look at the data both do it this way."""

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from carprice.arrays import Each, Progress
from carprice.errors import InputError
from carprice.listings.car_ids import CarId
from carprice.listings.cars import (
    CAR,
    Repeats,
    are_duplicates,
    car_digests,
    count_repeats,
    latest_of_each,
    told_as_near,
    with_cars,
)
from carprice.listings.cells import stacked, with_categories, with_texts
from carprice.listings.cleaning import (
    Counts,
    clean,
    default_price_range,
    find_valuation_date,
)
from carprice.listings.column_map import MappedChunk, map_chunks
from carprice.listings.ignored_columns import IgnoredColumn, inspect_ignored
from carprice.listings.notation import Notation
from carprice.listings.numbers import Decimal
from carprice.listings.partitions import Keep, Manner, read_parts, without_secrets
from carprice.listings.plausibility import doubts, refuse_implausible
from carprice.listings.remedies import rule_of, told_unreadable
from carprice.listings.sources import addresses, copy_files, pieces_of, read_chunks
from carprice.listings.sources.locations import unchanged
from carprice.listings.tally import Tally
from carprice.listings.unreadable import Unreadable
from carprice.redaction import redact
from carprice.schema import CAR_ID, PRICE, REQUIRED, REQUIRED_OF_A_ROW, alias
from carprice.settings import ColumnRule, IngestSettings

_ROWS_INSPECTED: Final = 20_000
_FEWEST_ROWS: Final = 50
_COLUMNS_NAMED: Final = 10


@dataclass(frozen=True)
class Source:
    """All rows of a source, mapped to the fields of a listing.

    Attributes
    ----------
    frame : one column for each field, ``price``, and ``id`` where one is mapped.
    car_digests : :func:`carprice.listings.cars.car_digests` of the frame.
    row_digests : a hash of each raw row, to find exact duplicates.
    ignored : the columns that no field reads, of the first 20,000 rows.
    unreadable : what could not be read, by field.
    respaced : number of rows with needless spaces, by field.
    origin : the source's columns that each field was read from.
    notes : what was assumed of how the numbers are written, and of rows that are left out.
    left_out : number of rows that ``ingest.rows`` leaves out, by reason.
    defaulted : number of rows that took a rule's ``default``, by field and default.
    decimals : the decimal sign of each field's texts, where it is known.
    unmatched : the texts in which a rule's ``match`` or ``words`` find nothing, by field.
    likely_id : a column that no field reads, though it seems to name cars.
    """

    frame: pd.DataFrame
    car_digests: npt.NDArray[np.uint64]
    row_digests: npt.NDArray[np.uint64]
    ignored: pd.DataFrame
    unreadable: dict[str, Unreadable]
    respaced: Mapping[str, int]
    origin: dict[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, int] = attribute(default_factory=dict)
    defaulted: Mapping[tuple[str, str], int] = attribute(default_factory=dict)
    decimals: Mapping[str, Decimal] = attribute(default_factory=dict)
    unmatched: Mapping[str, Unreadable] = attribute(default_factory=dict)
    likely_id: CarId | None = None

    @property
    def rows_read(self) -> int:
        """All rows of the source."""
        return len(self.frame) + sum(self.left_out.values())

    def judged(self) -> list[IgnoredColumn]:
        """Return the ignored columns, each with whether it looks computed from the price."""
        head = self.frame.iloc[: len(self.ignored)]
        again = pd.Series(self.car_digests[: len(head)]).duplicated().to_numpy()
        ids = head.get(CAR_ID) if self.likely_id is None else self.ignored[self.likely_id.name]
        if ids is not None:
            again = again | (ids.duplicated() & ids.notna()).to_numpy()
        first = ~again
        price, year = (head.loc[first, name].to_numpy(dtype=np.float64) for name in (PRICE, "year"))
        return inspect_ignored(self.ignored.loc[first], price, year)


@dataclass(frozen=True)
class Listings:
    """Clean listings, and what was rejected or repaired to get them.

    Attributes
    ----------
    frame : one column for each field, ``price``, and :data:`carprice.listings.cars.CAR` where a car
        is listed more than once or ``id`` is mapped, unless ``ingest.repeats`` is ``ignore``.
    doubts : what is odd about the figures of the whole, though it may be right.
    """

    frame: pd.DataFrame
    counts: Counts
    repeats: Repeats
    valuation_date: datetime.date
    price_range: tuple[float, float]
    doubts: tuple[str, ...] = ()


def read_source(
    settings: IngestSettings,
    progress: Progress,
    *,
    keep: Path | None = None,
    passed_over: Path | None = None,
    on_rows: Callable[[pd.DataFrame], object] | None = None,
) -> Source:
    """Read and map all rows of a source; an InputError if it cannot be read.

    Parameters
    ----------
    keep, passed_over : see :func:`carprice.listings.sources.read_chunks`.
    on_rows : called with the raw rows of each chunk that are not left out.
    """
    label = redact(settings.source)
    progress(f"reading {label}")
    frames, digests, ignored = [], [], []
    notation = Notation(settings)
    tally = Tally(settings, price_required=True, learns=True)
    chunks = read_chunks(settings, keep=keep, passed_over=passed_over, coded=on_rows is None)
    for chunk, mapped in map_chunks(
        chunks, settings, tally.row_filter, price_required=True, notation=notation
    ):
        rest = _ROWS_INSPECTED - tally.rows
        raw = tally.add(chunk, mapped)
        if on_rows is not None:
            on_rows(raw)
        frame, digest, head = _kept(mapped, raw, max(rest, 0))
        frames.append(frame)
        digests.append(digest)
        if rest > 0:
            ignored.append(head)
        progress(f"reading {label}: {tally.rows:,} rows")
    return _source(settings, tally, notation, frames, digests, ignored)


def read_source_at(
    each: Each,
    settings: IngestSettings,
    progress: Progress,
    *,
    keep: Path,
    passed_over: Path,
) -> Source:
    """Read and map the files of a source on a cluster; see :func:`read_source`.

    Raises
    ------
    InputError
        If the source cannot be read, or changes meanwhile.
    """
    files, label = addresses(settings.source, passed_over), redact(settings.source)
    manner = Manner(without_secrets(settings), {}, learns=True)
    frames, digests = list[pd.DataFrame](), list[npt.NDArray[np.uint64]]()
    ignored, inspected = list[pd.DataFrame](), 0
    notation, tally = Notation(settings), manner.tally()
    with unchanged(files, label):
        progress(f"copying {label}")
        copy_files(settings.source, keep, passed_over)
        progress(f"reading {label}")
        for part, _, after in read_parts(each, manner, pieces_of(files), _keep_after):
            for frame, digest, head in part.kept:
                frames.append(frame)
                digests.append(digest)
                if (rest := _ROWS_INSPECTED - inspected) > 0:
                    ignored.append(head.iloc[:rest])
                    inspected += len(ignored[-1])
            tally.plus(part.tally)
            notation = after.notation
            progress(f"reading {label}: {tally.rows:,} rows")
    return _source(settings, tally, notation, frames, digests, ignored)


def _keep_after(rows: int) -> Keep:
    return partial(_kept, most=max(_ROWS_INSPECTED - rows, 0))


def _kept(
    mapped: MappedChunk, raw: pd.DataFrame, most: int
) -> tuple[pd.DataFrame, npt.NDArray[np.uint64], pd.DataFrame]:
    """Return mapped rows, a digest of each raw one, and what no field reads of the first ones."""
    head = with_texts(raw[[*mapped.ignored]].iloc[:most]).reset_index(drop=True)
    return with_categories(mapped.frame), row_digests(raw), head


def _source(
    settings: IngestSettings,
    tally: Tally,
    notation: Notation,
    frames: list[pd.DataFrame],
    digests: Sequence[npt.NDArray[np.uint64]],
    ignored: Sequence[pd.DataFrame],
) -> Source:
    """Put together what the chunks of a source told; an InputError if it cannot be right."""
    label, rows = redact(settings.source), tally.rows
    notes = (*notation.notes, *tally.row_filter.notes(label))
    notes += tuple(
        f"the rule of {alias(name)} finds nothing in {found.count:,} of {rows:,} rows, such as "
        f"{found.value!r}"
        for name, found in tally.unmatched.items()
        if found.count > (settings.max_unreadable * rows if name in REQUIRED else rows - 1)
    )
    frame = stacked(frames)
    cars = car_digests(frame)
    if likely_id := tally.car_ids.best(frame, cars):
        notes += (
            f"{likely_id.in_words()}: if it names a car, write id: {likely_id.name} in "
            "ingest.columns, else id: null",
        )
    source = Source(
        frame,
        cars,
        np.concatenate(digests),
        pd.concat(ignored, ignore_index=True),
        tally.unreadable,
        tally.respaced,
        tally.origin,
        notes,
        tally.row_filter.left_out,
        tally.defaulted,
        dict(notation.decimals),
        tally.unmatched,
        likely_id,
    )
    tally.units_beside.refuse(source.origin, label)
    if all(one.count <= settings.max_unreadable * rows for one in tally.unreadable.values()):
        refuse_implausible(source.frame, settings, label, rules_of(source, settings))
    return source


def clean_source(source: Source, settings: IngestSettings) -> Listings:
    """Return the rows of a source that a model can learn from.

    Raises
    ------
    InputError
        If more of a field cannot be read than ``settings.max_unreadable``, or no row has a year.
    """
    _refuse_unmatched(source, settings)
    counts = Counts()
    counts.rejected.update(source.left_out)
    _count_unreadable(source, settings, counts)
    if settings.repeats == "ignore":
        duplicates = pd.Series(source.row_digests).duplicated().to_numpy()
    else:
        duplicates = are_duplicates(source.frame, source.car_digests, source.row_digests)
    frame = source.frame.loc[~duplicates]
    if len(frame) < len(source.frame):
        counts.rejected["exact duplicate"] = len(source.frame) - len(frame)
    counts.repaired.update(
        {f"stray spaces removed from {alias(name)}": rows for name, rows in source.respaced.items()}
    )
    counts.repaired.update(
        {
            f"{alias(name)} missing, taken for {default!r}": rows
            for (name, default), rows in source.defaulted.items()
        }
    )
    prices = settings.price_range or default_price_range(frame[PRICE])
    day = settings.valuation_date or find_valuation_date(frame)
    kept = clean(frame, day, prices, settings.units.distance, counts)
    del frame  # it holds nearly all rows once more
    kept = with_cars(kept, counts.repaired)
    if settings.repeats == "latest":
        kept = latest_of_each(kept, settings.units.distance, counts.rejected)
    repeats = count_repeats(kept, settings.repeats)
    near: tuple[str, ...] = ()
    is_said = settings.repeats == "ignore" or CAR_ID in settings.columns
    if not is_said and source.likely_id is None:
        near = told_as_near(kept, settings.units.distance)
    is_needed = CAR_ID in kept or repeats.cars < len(kept)
    if settings.repeats == "ignore" or not is_needed:
        kept = kept.drop(columns=CAR)
    kept = kept.drop(columns=CAR_ID, errors="ignore")
    return Listings(
        kept,
        counts,
        repeats,
        day,
        prices,
        (*doubts(source.frame, settings, rules_of(source, settings)), *near),
    )


def refuse_too_few(listings: Listings, settings: IngestSettings, source: Source) -> None:
    """Raise an InputError if listings of fewer than 50 cars are left to learn from.

    It tells all that was found in the source, so that more rows of its kind are read as they are.
    """
    rows, rejected, cars = len(listings.frame), listings.counts.rejected, listings.repeats.cars
    if rows >= _FEWEST_ROWS and settings.repeats != "ignore" and cars < _FEWEST_ROWS:
        raise InputError(
            f"{redact(settings.source)} leaves {rows:,} listings of {cars} different cars to learn "
            f"from, fewer than {_FEWEST_ROWS}; give more cars, map a column that tells these apart "
            "in ingest.columns, or set ingest.repeats to ignore if every row is another car"
        )
    if rows >= _FEWEST_ROWS:
        return
    raise InputError(
        f"{redact(settings.source)} leaves {rows} listings to learn from, fewer than "
        f"{_FEWEST_ROWS} ({'; '.join(_found(listings, source))}); give more rows"
        + (", or correct ingest.columns and ingest.price_range" if rejected else "")
    )


def _found(listings: Listings, source: Source) -> Iterator[str]:
    """Tell what was rejected, repaired, assumed and not read."""
    for what, counts in (
        ("rejected", listings.counts.rejected),
        ("repaired", listings.counts.repaired),
    ):
        told = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        yield f"{what}: {told or 'none'}"
    for name, found in source.unreadable.items():
        yield f"{alias(name)} is {found.value!r} in row {found.row}, which cannot be read"
    if assumed := (*source.notes, *listings.doubts):
        yield f"assumed: {', '.join(assumed)}"
    if names := list(source.ignored.columns):
        yield f"columns not read: {', '.join(map(str, names[:_COLUMNS_NAMED]))}"


def rules_of(source: Source, settings: IngestSettings) -> dict[str, ColumnRule]:
    """Return the rule by which each field was read, also where its column was found by its name."""
    return {name: rule_of(name, names, settings) for name, names in source.origin.items()}


def row_digests(raw: pd.DataFrame) -> npt.NDArray[np.uint64]:
    """Return a number for each row of a raw table, equal for equal rows."""
    try:
        digests = pd.util.hash_pandas_object(raw, index=False)
    except TypeError:
        digests = pd.util.hash_pandas_object(raw.astype(str), index=False)
    return np.asarray(digests, dtype=np.uint64)


def _refuse_unmatched(source: Source, settings: IngestSettings) -> None:
    """Raise an InputError if a rule finds what every row must have in less than half of them."""
    for name in REQUIRED_OF_A_ROW:
        found, rule = source.unmatched.get(name), settings.columns.get(name)
        if found and rule and rule.default is None and 2 * found.count > len(source.frame):
            share = found.count / len(source.frame)
            raise InputError(
                f"{redact(settings.source)}: {alias(name)} is taken out of {found.value!r} in row "
                f"{found.row}, and its rule finds nothing in {100 * share:.0f} % of the rows; "
                f"correct match or words of ingest.columns.{alias(name)}, or, where no rule can "
                "tell it, write it into a column of its own with another tool and map that"
            )


def _count_unreadable(source: Source, settings: IngestSettings, counts: Counts) -> None:
    """Count what cannot be read; an InputError tells all fields of which it is too much."""
    problems, rows = [], len(source.frame)
    for name, found in source.unreadable.items():
        if found.count > settings.max_unreadable * rows:
            problems.append(told_unreadable(name, source.origin[name], found, rows, settings))
        elif name not in (PRICE, "year"):
            counts.repaired[f"{alias(name)} unreadable, made missing"] += found.count
    if problems:
        if rows < _FEWEST_ROWS:
            problems.append(f"it has {rows} rows; at least {_FEWEST_ROWS} cars are needed")
        raise InputError(f"{redact(settings.source)}: {'. Besides, '.join(problems)}")
