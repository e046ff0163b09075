"""What the readers of files and databases share."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Chunk:
    """Raw rows that stand one after another in one source.

    Parameters
    ----------
    frame
        The rows as they are; the index counts the rows of the file from 0.
    filename
        The file's name without folder and without any ending, empty for SQL and the sample.
    label
        The source as messages may show it: its path or address without secrets.
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
