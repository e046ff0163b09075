"""A chunk of raw rows, and helpers of the readers of files and databases."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Chunk:
    """Consecutive raw rows of one file, query or sample.

    Parameters
    ----------
    frame
        The rows; the index counts the rows of the file from 0.
    filename
        The file's name without folder and endings; empty for SQL and the sample.
    label
        The source's path or address for messages, without secrets.
    """

    frame: pd.DataFrame
    filename: str
    label: str = ""


def scheme_of(source: str) -> str | None:
    """Return the scheme of an address, in lower case; None for a path, on Windows too."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.\-]+)://", source)
    return found[1].lower() if found else None


def slices(frame: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    """Cut a frame into parts of at most ``rows`` rows."""
    for first in range(0, len(frame), rows):
        yield frame.iloc[first : first + rows]


def one_line(error: object) -> str:
    """Return the first line of an error's text, or its kind where it has none."""
    return " ".join(str(error).split("\n")[0].split()) or type(error).__name__
