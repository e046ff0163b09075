"""Ingest: any source → clean listings, split into training and test rows, with a report."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import train_test_split

from carprice.atomic import replacing
from carprice.cleaning import (
    Counts,
    clean,
    default_price_range,
    drop_duplicates,
    find_valuation_date,
)
from carprice.columns import MappedChunk, Unreadable, map_columns
from carprice.errors import InputError
from carprice.leaks import inspect_ignored
from carprice.market import Market
from carprice.redaction import redact
from carprice.schema import PRICE, alias
from carprice.settings import IngestSettings
from carprice.snapshot import snapshot_digest
from carprice.sources import Chunk, read_chunks
from carprice.workspace import Workspace, write_json, write_text

Progress = Callable[[str], None]
_ROWS_INSPECTED: Final = 20_000
_FEWEST_ROWS: Final = 50


@dataclass(frozen=True)
class _Read:
    frame: pd.DataFrame
    row_digests: npt.NDArray[np.uint64]
    ignored: pd.DataFrame
    unreadable: dict[str, Unreadable]
    respaced: dict[str, int]
    origin: dict[str, tuple[str, ...]]


def ingest(settings: IngestSettings, workspace: Workspace, progress: Progress) -> dict[str, Any]:
    """Read, clean, check and split the listings; return what ``report.json`` says.

    Raises
    ------
    InputError
        If the source cannot be read, or too few listings are left to learn from.
    """
    with replacing(workspace.snapshot) as snapshot:
        report = _ingest(settings, workspace, snapshot, progress)
    write_json(workspace.report, report)
    write_text(workspace.data_card, data_card(report))
    return report


def _ingest(
    settings: IngestSettings, workspace: Workspace, snapshot: Path, progress: Progress
) -> dict[str, Any]:
    progress(f"reading {redact(settings.source)}")
    read = _read(settings, workspace, snapshot, progress)
    progress("cleaning")
    counts = Counts()
    frame = drop_duplicates(read.frame, read.row_digests)
    if len(frame) < len(read.frame):
        counts.rejected["exact duplicate"] = len(read.frame) - len(frame)
    counts.repaired.update(
        {f"stray spaces removed from {alias(name)}": rows for name, rows in read.respaced.items()}
    )
    _count_unreadable(read, settings, counts)
    valuation_date = settings.valuation_date or find_valuation_date(frame)
    price_range = settings.price_range or default_price_range(frame[PRICE])
    listings = clean(
        frame,
        valuation_date=valuation_date,
        price_range=price_range,
        distance_unit=settings.units.distance,
        counts=counts,
    )
    _check_enough(listings, counts, settings)
    train, test = _split(listings, settings)
    market = Market(
        settings.units.currency, settings.units.distance, valuation_date, _digest(train, test)
    )
    ignored = inspect_ignored(
        read.ignored,
        read.frame[PRICE].to_numpy(dtype=np.float64)[: len(read.ignored)],
        read.frame["year"].to_numpy(dtype=np.float64)[: len(read.ignored)],
    )
    report = {
        "source": redact(settings.source),
        "rows_read": len(read.frame),
        "rows_kept": len(listings),
        "rows_train": len(train),
        "rows_test": len(test),
        "rejected": dict(counts.rejected),
        "repaired": dict(counts.repaired),
        "ignored_columns": [asdict(column) for column in ignored],
        "columns": {alias(name): ", ".join(names) for name, names in read.origin.items() if names},
        "missing": {
            alias(name): int(listings[name].isna().sum()) for name in listings if name != PRICE
        },
        "price": {
            f"{100 * share:g} %": float(listings[PRICE].quantile(share))
            for share in (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)
        },
        "price_range": list(price_range),
        "split": settings.split.model_dump(),
        **market.to_json(),
        "raw_digest": snapshot_digest(snapshot),
    }
    progress("writing")
    with replacing(workspace.train_listings.parent) as folder:
        train.to_parquet(folder / workspace.train_listings.name, index=False)
        test.to_parquet(folder / workspace.test_listings.name, index=False)
        write_json(folder / workspace.market.name, market.to_json())
    return report


def data_card(report: dict[str, Any]) -> str:
    """Return the report as a page of Markdown for people."""
    currency = report["currency"]
    kept, read = report["rows_kept"], report["rows_read"]
    lines = [
        "# Data card",
        "",
        f"{kept:,} of {read:,} rows of `{report['source']}` were kept: {report['rows_train']:,} to "
        f"learn from, {report['rows_test']:,} to test on ({report['split']['method']} split).",
        f"Prices are in {currency}, distances in {report['distance_unit']}; cars are valued for "
        f"{report['valuation_date']} where a listing has no date of its own.",
        f"Data digest: `{report['data_digest']}`",
        "",
        f"Raw data: `{report['raw_digest']}`; `carprice snapshot` brings them back where DVC keeps "
        "them.",
        "",
        *_table(("rejected rows", "rows"), _shares(report["rejected"], read)),
        *_table(("repaired values", "rows"), _shares(report["repaired"], read)),
        *_table(
            ("price", currency), [(share, f"{p:,.0f}") for share, p in report["price"].items()]
        ),
        *_table(("missing after cleaning", "rows"), _shares(report["missing"], kept)),
        *_table(
            ("ignored column", "looks computed from the price"),
            [(column["name"], column["evidence"] or "no") for column in report["ignored_columns"]],
        ),
    ]
    return "\n".join(lines) + "\n"


def _table(header: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    if not rows:
        return [f"No {header[0]}.", ""]
    lines = (f"| {left} | {right} |" for left, right in rows)
    return [f"| {header[0]} | {header[1]} |", "| --- | --- |", *lines, ""]


def _shares(counts: dict[str, int], total: int) -> list[tuple[str, str]]:
    return [
        (reason, f"{rows:,} ({100 * rows / max(total, 1):.1f} %)")
        for reason, rows in counts.items()
        if rows
    ]


def _read(
    settings: IngestSettings, workspace: Workspace, snapshot: Path, progress: Progress
) -> _Read:
    frames, digests, ignored = [], [], []
    unreadable: dict[str, Unreadable] = {}
    respaced: dict[str, int] = {}
    origin: dict[str, tuple[str, ...]] = {}
    rows = 0
    for chunk, mapped in _mapped_chunks(settings, workspace, snapshot):
        frames.append(mapped.frame)
        digests.append(_row_digests(chunk.frame))
        if rows < _ROWS_INSPECTED:
            head = chunk.frame[[*mapped.ignored]].iloc[: _ROWS_INSPECTED - rows]
            ignored.append(head.reset_index(drop=True))
        for name, found in mapped.unreadable.items():
            unreadable[name] = found if name not in unreadable else unreadable[name].plus(found)
        for name, count in mapped.respaced.items():
            respaced[name] = respaced.get(name, 0) + count
        origin |= mapped.origin
        rows += len(mapped.frame)
        progress(f"reading {redact(settings.source)}: {rows:,} rows")
    return _Read(
        pd.concat(frames, ignore_index=True),
        np.concatenate(digests),
        pd.concat(ignored, ignore_index=True),
        unreadable,
        respaced,
        origin,
    )


def _mapped_chunks(
    settings: IngestSettings, workspace: Workspace, snapshot: Path
) -> Iterator[tuple[Chunk, MappedChunk]]:
    for chunk in read_chunks(settings, keep=snapshot, passed_over=workspace.snapshot):
        yield chunk, map_columns(chunk, settings, price_required=True)


def _row_digests(raw: pd.DataFrame) -> npt.NDArray[np.uint64]:
    try:
        digests = pd.util.hash_pandas_object(raw, index=False)
    except TypeError:
        digests = pd.util.hash_pandas_object(raw.astype(str), index=False)
    return np.asarray(digests, dtype=np.uint64)


def _count_unreadable(read: _Read, settings: IngestSettings, counts: Counts) -> None:
    for name, found in read.unreadable.items():
        share = found.count / len(read.frame)
        if share > settings.max_unreadable:
            raise InputError(
                f"{redact(settings.source)}: {alias(name)} is {found.value!r} in row {found.row}, "
                f"and cannot be read in {100 * share:.0f} % of the rows; give "
                f"ingest.columns.{alias(name)} a rule, such as number: true, or another column"
            )
        if name not in (PRICE, "year"):
            counts.repaired[f"{alias(name)} unreadable, made missing"] += found.count


def _check_enough(listings: pd.DataFrame, counts: Counts, settings: IngestSettings) -> None:
    if len(listings) >= _FEWEST_ROWS:
        return
    lost = ", ".join(f"{rows} {reason}" for reason, rows in counts.rejected.most_common(3))
    raise InputError(
        f"{redact(settings.source)} leaves {len(listings)} listings to learn from, fewer than "
        f"{_FEWEST_ROWS} (rejected: {lost or 'none'}); give more rows, or correct ingest.columns "
        "and ingest.price_range"
    )


def _split(listings: pd.DataFrame, settings: IngestSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    split = settings.split
    if split.method == "random":
        train, test = train_test_split(listings, test_size=split.test_size, random_state=split.seed)
        return train, test
    if listings["listed_on"].isna().any():
        raise InputError(
            "ingest.split.method is time, but "
            f"{int(listings['listed_on'].isna().sum())} listings have no date; map "
            "ingest.columns.listedOn or use random"
        )
    ordered = listings.sort_values("listed_on", kind="stable")
    newest = int(np.ceil(split.test_size * len(ordered)))
    return ordered.iloc[:-newest], ordered.iloc[-newest:]


def _digest(*frames: pd.DataFrame) -> str:
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(",".join(frame.columns).encode())
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()
