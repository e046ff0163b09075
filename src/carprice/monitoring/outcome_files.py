"""Outcomes from files: a row for each, a column for each field of the outcome or the listing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
from pydantic import ValidationError

from carprice.errors import InputError
from carprice.listings.problems import ERRORS_OF_ROW, read_csv_cell, read_value
from carprice.listings.sources import read_chunks
from carprice.listings.sources.chunks import nearest
from carprice.monitoring.outcomes import OUTCOME_NAMES, Outcome, form_of, wrong_of_outcome
from carprice.schema import FIELDS, alias, names_of
from carprice.settings import IngestSettings

_LISTING: Final = "listing"
_OF_OUTCOME: Final = {
    spelling: name
    for name in ("quote_id", "sold_price", "sold_on", "kind", "revision", _LISTING)
    for spelling in {name, alias(name)}
}
_READ_AS: Final = {"quote_id": "make", "kind": "make", "sold_on": "listed_on", "revision": "year"}
"""Fields of a listing whose cells are read alike; the rest are numbers."""
_MOST_ROWS_TOLD: Final = 5


@dataclass(frozen=True)
class OutcomeFiles:
    """Outcomes that were read, and the columns that say nothing of them."""

    outcomes: Sequence[Outcome]
    ignored: Sequence[str]


def read_outcome_files(
    sources: Sequence[str], settings: IngestSettings, own: tuple[str, ...] = ()
) -> OutcomeFiles:
    """Read outcomes from CSV, Parquet, JSON lines or Excel, here or on S3.

    Columns are ``quoteId`` or the fields of a listing, ``soldPrice``, ``soldOn`` and ``kind``,
    camelCase or snake_case; JSON lines may be as ``POST /outcomes`` takes them, too.

    Parameters
    ----------
    settings : how files are written: encoding, separator and such; columns are not mapped.
    own : the market's own columns.

    Raises
    ------
    InputError
        If a file cannot be read, or rows are wrong: it names file and row, counted from 1.
    """
    fields = {spelling: field for field in (*FIELDS, *own) for spelling in names_of(field)}
    form, outcomes, told, wrong = form_of(own), list[Outcome](), list[str](), 0
    ignored: dict[str, None] = {}
    for source in sources:
        for chunk in read_chunks(settings.model_copy(update={"source": source})):
            columns = {name: fields.get(name, name) for name in chunk.frame.columns}
            known = {name: to for name, to in columns.items() if name in {**fields, **_OF_OUTCOME}}
            _check_columns([*chunk.frame.columns], known, chunk.label)
            ignored |= dict.fromkeys(name for name in columns if name not in known)
            frame = chunk.frame[[*known]]
            for row, values in zip(frame.index, frame.itertuples(index=False), strict=True):
                content = _content(dict(zip(known.values(), values, strict=True)))
                try:
                    outcomes.append(form.model_validate(content).outcome(own))
                except ValidationError as error:
                    wrong += 1
                    if wrong <= _MOST_ROWS_TOLD:
                        found = wrong_of_outcome(error, most=ERRORS_OF_ROW, own=own)
                        told.append(f"{chunk.label}, row {row + 1}: {'; '.join(map(str, found))}")
    if wrong:
        more = f"; and {wrong - len(told):,} rows more" if wrong > len(told) else ""
        raise InputError(f"{'; '.join(told)}{more}; nothing was kept")
    return OutcomeFiles(outcomes, [*ignored])


def _check_columns(columns: Sequence[str], known: Mapping[str, str], label: str) -> None:
    fields = {*map(str, known.values())}
    if "sold_on" not in {_OF_OUTCOME.get(name) for name in known}:
        raise InputError(
            f"{label} has no column soldOn, the day on which the car was sold; it has "
            f"{nearest('soldOn', columns)}"
        )
    if not fields & {"make", _LISTING, "quoteId", "quote_id"}:
        raise InputError(
            f"{label} has neither a column quoteId nor the fields of a listing, such as make; it "
            f"has {nearest('quoteId', columns)}. Columns of an outcome are "
            f"{', '.join(OUTCOME_NAMES)}"
        )


def _content(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as ``POST /outcomes`` takes it, without what is missing."""
    content: dict[str, Any] = {}
    listing: dict[str, Any] = {}
    for name, cell in row.items():
        of_outcome = _OF_OUTCOME.get(name)
        value = cell if isinstance(cell, dict) else _value(of_outcome or name, cell)
        if value is None:
            continue
        if of_outcome:
            content[alias(of_outcome)] = value
        else:
            listing[alias(name)] = value
    if listing:
        content.setdefault(_LISTING, listing)
    return content


def _value(name: str, cell: Any) -> Any:
    field = _READ_AS.get(name, name)
    if isinstance(cell, str):
        return read_csv_cell(field, cell)
    return None if pd.api.types.is_scalar(cell) and pd.isna(cell) else read_value(field, cell)
