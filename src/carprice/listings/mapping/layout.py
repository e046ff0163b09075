"""Open a source of any layout: header row, sheet and encoding are guessed where they must be."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pandas as pd

from carprice.errors import InputError, LayoutError
from carprice.listings.mapping.content import make_at_start
from carprice.listings.mapping.names import WHOLE, ColumnName, field_levels
from carprice.listings.sources import Chunk, first_chunks, is_database, sheets_of
from carprice.redaction import redact
from carprice.settings import IngestSettings

ROWS: Final = 10_000
"""Rows that are looked at."""
_MOST_TRIED: Final = 12
_ENCODINGS: Final = ("cp1252", "cp1250", "cp1251", "cp1254", "gb18030", "cp932", "cp949")
"""Encodings that are tried beside those that are likely by their letters."""
_SEPARATORS: Final = (" ", "~", "^", ":")
"""Signs that part the columns of few files, beside the usual ones."""
_LEAST_SCORE: Final = 4.0
"""Fields that a sheet has at least if it holds listings."""

Score = Callable[[pd.DataFrame], float]


@dataclass(frozen=True)
class Opened:
    """The first rows of a source.

    Attributes
    ----------
    chunks : of each file one.
    keys : of ``ingest`` in params.yaml, by which they were read.
    doubts : by key, why it was guessed so.
    """

    chunks: list[Chunk]
    keys: Mapping[str, Any] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)

    @property
    def frame(self) -> pd.DataFrame:
        """All rows, with the columns of all files."""
        return pd.concat([chunk.frame for chunk in self.chunks], ignore_index=True)


def open_source(source: str, score: Score) -> Opened:
    """Read the first rows of a source, with the settings that fit it best.

    Parameters
    ----------
    score : how much of a table is understood; of several settings the best is taken.

    Raises
    ------
    InputError
        If no settings read it.
    """
    if is_database(source):
        raise InputError(
            f"{redact(source)} is no file, and carprice map reads files; write the rows into one, "
            "such as cars.csv, and put source and query of the database into what is proposed"
        )
    sheets = sheets_of(IngestSettings.model_validate({"source": source}))
    if len(sheets) < 2:
        return _attempt(source, {}, score)
    scores = {
        sheet: (score(opened.frame), opened)
        for sheet, opened in _attempts(source, {}, [{"sheet": one} for one in sheets], score)
    }
    if not scores:
        return _attempt(source, {}, score)
    best = max(scores, key=lambda sheet: scores[sheet][0])
    others = [sheet for sheet in scores if sheet != best and scores[sheet][0] >= _LEAST_SCORE]
    opened = scores[best][1]
    doubts = dict(opened.doubts)
    if others:
        doubts["sheet"] = f"{', '.join(others)}: listings too, which are not read"
    elif best != sheets[0]:
        doubts["sheet"] = f"no listings were found on {', '.join(s for s in sheets if s != best)}"
    return Opened(opened.chunks, opened.keys, doubts)


def _attempt(source: str, keys: dict[str, Any], score: Score) -> Opened:
    settings = IngestSettings.model_validate({"source": source, **keys})
    try:
        opened = Opened(first_chunks(settings, ROWS), keys)
    except LayoutError as error:
        remedies = list(error.remedies)
        if "encoding" in remedies[0]:
            remedies += [
                {"encoding": name} for name in _ENCODINGS if {"encoding": name} not in remedies
            ]
        found = [*_attempts(source, keys, remedies, score)]
        if not found:
            raise
        _, best = max(found, key=lambda one: score(one[1].frame))
        (key,) = error.remedies[0]
        reason = re.split(r"[;:] set ", str(error))[0].replace(best.chunks[0].label, "").strip(": ")
        how = "guessed by names and values" if key == "encoding" else "guessed"
        return Opened(best.chunks, best.keys, {**best.doubts, key: f"{how}: the file {reason}"})
    if "separator" not in keys and opened.frame.shape[1] == 1:
        found = [*_attempts(source, keys, [{"separator": one} for one in _SEPARATORS], score)]
        sign, best = max(found, key=lambda one: score(one[1].frame), default=("", opened))
        if score(best.frame) >= _LEAST_SCORE:
            reason = f"guessed: no usual sign parts the columns, {sign!r} does"
            return Opened(best.chunks, best.keys, {**best.doubts, "separator": reason})
    if "header_row" not in keys and _has_no_header(opened.frame):
        first = ", ".join(map(str, opened.frame.columns))
        again = _attempt(source, {**keys, "header_row": 0}, score)
        if [*again.frame.columns] != [*opened.frame.columns]:
            reason = f"guessed: the first row is no header but a car: {first[:60]}"
            return Opened(again.chunks, again.keys, {**again.doubts, "header_row": reason})
    return opened


def _attempts(
    source: str, keys: dict[str, Any], remedies: Any, score: Score
) -> Iterator[tuple[Any, Opened]]:
    """Yield what each remedy reads, after its value; one that reads nothing is left out."""
    error: InputError | None = None
    for remedy in remedies[:_MOST_TRIED]:
        if remedy.keys() & keys.keys():
            continue
        try:
            yield next(iter(remedy.values())), _attempt(source, {**keys, **remedy}, score)
        except InputError as found:
            error = error or found
    if error is not None and len(remedies) == 1:
        raise error


def _has_no_header(frame: pd.DataFrame) -> bool:
    """Whether the names of columns are values: no field's names, but a make among them."""
    names = [ColumnName.of(str(name)) for name in frame.columns]
    levels = [level for name in names for level, _ in field_levels(name).values()]
    return max(levels, default=0) < WHOLE and any(make_at_start(name.text) for name in names)
