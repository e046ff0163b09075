"""Propose how a source of listings is read: what `carprice map` does.

``layout`` opens the source; ``choosing`` finds the column and the rule of each field (``names`` and
``content`` say what a column may be, ``fits`` how it is read, ``by_values`` and ``titles`` find
what no name tells, ``units`` the market); ``trial`` reads the rows by them; ``writing`` writes the
params file.
"""

from typing import Final

import pandas as pd

from carprice.arrays import Progress
from carprice.errors import InputError
from carprice.listings.mapping.choosing import propose, score
from carprice.listings.mapping.content import nested, of_objects
from carprice.listings.mapping.layout import open_source
from carprice.listings.mapping.trial import try_out
from carprice.listings.mapping.writing import MARK, to_yaml
from carprice.redaction import redact
from carprice.schema import PRICE, REQUIRED, alias

__all__ = ["propose_params"]

_LONGEST: Final = 200


def propose_params(source: str, progress: Progress) -> tuple[str, int, list[str]]:
    """Propose a params file for a source.

    Returns
    -------
    Its text, the number of its lines that a person should look at, and the fields that are
    required and were not found.

    Raises
    ------
    InputError
        If the source cannot be read by any settings that are likely.
    """
    progress(f"reading {redact(source)}")
    opened = open_source(source, score)
    progress("recognising columns")
    filenames = [chunk.filename for chunk in opened.chunks if chunk.filename]
    proposal = propose(opened.frame, filenames)
    if not proposal.columns_read():
        raise InputError(f"{redact(source)} {_of_no_car(opened.frame)}")
    progress("trying it")
    try_out(proposal, opened, source)
    text = to_yaml(proposal, opened, source)
    questions = sum(MARK in line for line in text.splitlines())
    missing = [alias(name) for name in (PRICE, *REQUIRED) if name not in proposal.rules]
    return text, questions, missing


def _of_no_car(frame: pd.DataFrame) -> str:
    found = "has no column that looks like one of listings of cars"
    if objects := nested(frame):
        return f"{found}: {of_objects(objects)}"
    names = ", ".join(map(str, frame.columns))
    return f"{found}; its columns are {names if len(names) <= _LONGEST else names[:_LONGEST] + '…'}"
