"""Predict into a folder: each piece of the source becomes a Parquet part, on a cluster or here.

A part says in its metadata what it was made of. Where that is as it was, it is not made again, so
that a run that broke off goes on where it stopped.
"""

import hashlib
import itertools
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import pandas as pd
import pyarrow.parquet as pq

import carprice
from carprice.arrays import Progress, in_turn
from carprice.components.cluster import Cluster, model_of
from carprice.components.listings_to_price import fields_required, refuse_all
from carprice.components.predict import Priced, with_prices, write_parquet
from carprice.errors import InputError, RefusedError
from carprice.evaluation.pricing import problems_of
from carprice.files import check_writable, writing
from carprice.listings.column_map import map_chunks
from carprice.listings.partitions import Before, Manner, read_parts, without_secrets
from carprice.listings.sources import Piece, addresses, pieces_of, read_chunks
from carprice.listings.sources.chunks import scheme_of
from carprice.listings.sources.locations import s3_errors, state_of, stored, unchanged
from carprice.model import PriceModel
from carprice.redaction import redact
from carprice.schema import PRICE_NAMES
from carprice.settings import IngestSettings

_PART: Final = re.compile(r"part-(\d{6})\.parquet")
_KEY: Final = "carprice"
_COUNTS: Final = ("carprice_rows", "carprice_priced")


class _Task(NamedTuple):
    """One part to make.

    Attributes
    ----------
    before : what the pieces before it have shown.
    model : as :func:`carprice.components.cluster.model_of` is asked for it.
    target : the part's address.
    made_of : names all that prices hang on beside the piece and ``before``.
    """

    manner: Manner
    piece: Piece
    before: Before
    model: str
    confidence: float
    target: str
    made_of: str


def is_folder(out: str) -> bool:
    """Whether prices are to be written as parts: on S3, or where the name ends in a slash."""
    return scheme_of(out) == "s3" or out.endswith("/")


def check_folder(out: str, source: str) -> None:
    """Find out before any work that a folder cannot take the parts of a source.

    Raises
    ------
    InputError
        If the source has no files, stands in the folder itself, or the folder holds something else.
    """
    files = addresses(source)
    store, folder = stored(out)
    is_local = scheme_of(out) is None
    if is_local:
        check_writable(Path(folder, "part-000000.parquet"))
    with s3_errors(redact(out), RefusedError):
        found = store.ls(folder, detail=False) if store.exists(folder) else []
    names = sorted({PurePosixPath(one).name for one in found} - {PurePosixPath(folder).name})
    own = {PurePosixPath(stored(file)[1]).parent for file in files}
    if PurePosixPath(folder) in own:
        raise InputError(f"--out {redact(out)} holds the source; name another folder")
    count = len(pieces_of(files)) if names else 0
    for name in names:
        part = _PART.fullmatch(name)
        if not name.startswith(".") and (part is None or int(part[1]) >= count):
            raise InputError(
                f"--out {redact(out)} holds {name}, which is none of the {count:,} parts of "
                "this source; name another folder, or empty it"
            )


def predict_parts(
    cluster: Cluster,
    model: PriceModel,
    settings: IngestSettings,
    source: str,
    out: str,
    confidence: float,
    progress: Progress,
) -> Priced:
    """Price every row of a source's pieces, each into a part of a folder, in their order.

    All are read and mapped first: what speaks against the whole is raised before any part is
    written. Columns, prices, warnings and problems are those of
    :func:`carprice.components.predict.predict`.

    Raises
    ------
    InputError
        As :func:`carprice.components.predict.predict` does, or if a file changes meanwhile.
    RefusedError
        If a part cannot be written.
    """
    settings, files = without_secrets(settings.with_own(model.own)), addresses(source)
    manner, label = Manner(settings, model.market.decimals, learns=False), redact(source)
    each = cluster.each or in_turn
    tally, befores, notes = manner.tally(), list[Before](), list[str]()
    with unchanged(files, label) as check:
        pieces = pieces_of(files)
        known = len(pieces)
        for part, before, after in read_parts(each, manner, pieces, lambda _: _nothing):
            tally.plus(part.tally)
            befores.append(before)
            notes = after.notation.notes
            progress(f"reading: part {len(befores):,} of {known:,}, {tally.rows_read:,} rows")
        refuse_all(tally, settings, label, asks=False)
        check()
        shared = cluster.share(model)
        made_of = [carprice.__version__, model.digest, settings.model_dump_json(), str(confidence)]
        folder = out.rstrip("/") if scheme_of(out) else str(Path(out).expanduser().absolute())
        targets = (f"{folder}/part-{place:06}.parquet" for place in itertools.count())
        tasks = (
            _Task(manner, piece, before, shared, confidence, target, "\n".join(made_of))
            for piece, before, target in zip(pieces, befores, targets, strict=False)
        )
        rows = priced = kept = 0
        for place, found in enumerate(each(_price_part, tasks), start=1):
            of_part, with_price, was_there = found
            rows, priced, kept = rows + of_part, priced + with_price, kept + was_there
            there = f", {kept:,} of them were there" if kept else ""
            progress(f"{rows:,} rows: part {place:,} of {known:,}{there}")
    for left in Path(folder).glob(".part-*.parquet-*"):
        shutil.rmtree(left, ignore_errors=True)  # of workers that were lost
    return Priced(rows, priced, tuple(notes))


def _nothing(*_: object) -> None:
    """Keep nothing of a chunk."""


def _price_part(task: _Task) -> tuple[int, int, bool]:
    """Write a part; return its rows, those with a price, and whether it was there before."""
    key = _key(task)
    if (found := _counts_of(task.target, key)) is not None:
        return *found, True
    model, manner = model_of(task.model), task.manner
    settings, before = manner.settings, task.before.copy()
    required, counts = fields_required(settings), [0, 0]

    def chunks() -> Iterator[pd.DataFrame]:
        for chunk, mapped in map_chunks(
            read_chunks(settings, source=task.piece.address, rows=task.piece.rows),
            settings,
            manner.tally().row_filter,
            price_required=False,
            notation=before.notation,
            found=before.found,
        ):
            problems = problems_of(mapped.frame, mapped.raw_unreadable, required)
            priced = with_prices(model, chunk.frame, mapped, problems, task.confidence)
            counts[0] += len(priced)
            counts[1] += int(priced[PRICE_NAMES[0]].notna().sum())
            yield priced

    def notes() -> dict[str, str]:
        return {_KEY: key, **dict(zip(_COUNTS, map(str, counts), strict=True))}

    if scheme_of(task.target) is None:
        with writing(Path(task.target)) as path:
            write_parquet(path, chunks(), notes)
    else:
        store, target = stored(task.target)
        with tempfile.TemporaryDirectory(prefix="carprice-") as folder:
            path = Path(folder, PurePosixPath(target).name)
            write_parquet(path, chunks(), notes)
            with s3_errors(redact(task.target), RefusedError):
                store.put_file(str(path), target)
    return counts[0], counts[1], False


def _key(task: _Task) -> str:
    """Return what names all that a part is made of."""
    file, decided = task.piece.address, task.before.notation.decided()
    parts = (task.made_of, repr(task.piece), state_of(file), repr(decided))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _counts_of(target: str, key: str) -> tuple[int, int] | None:
    """Return rows and prices of a part that is there; None if there is none made of the same."""
    store, path = stored(target)
    try:
        with s3_errors(redact(target), RefusedError), store.open(path) as file:
            notes = pq.read_metadata(file).metadata or {}
    except (OSError, RefusedError, ValueError):  # what is no Parquet file is a ValueError
        return None
    if notes.get(_KEY.encode(), b"").decode() != key:
        return None
    rows, priced = (int(notes[name.encode()]) for name in _COUNTS)
    return rows, priced
