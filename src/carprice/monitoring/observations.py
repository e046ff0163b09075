"""Prices that were seen, beside what the service had said of the car: log, outcomes and listings.

Listings are as ingest cleans them: numbers, texts, equipment joined by ``|``, days; None or NaN
where missing.
"""

import datetime
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.arrays import Progress, quiet
from carprice.errors import CarpriceWarning, InputError
from carprice.listings.cells import with_texts
from carprice.listings.reading import clean_source, read_source
from carprice.listings.sources.chunks import one_line, scheme_of
from carprice.listings.sources.locations import s3_errors
from carprice.listings.spelling import normalise
from carprice.monitoring.outcomes import Outcome
from carprice.monitoring.records import (
    ANSWER_COLUMNS,
    ANSWERED_AT,
    ASKING_PRICE,
    CONFIDENCE,
    HIGH,
    LISTED,
    LOW,
    MILLISECONDS,
    OBSERVATION_COLUMNS,
    OBSERVED_ON,
    OBSERVED_PRICE,
    PRICE,
    PROBLEM,
    QUOTE_ID,
    SHADOW,
    SOURCE,
    TOLD_ON,
)
from carprice.redaction import redact
from carprice.schema import FIELDS, NUMERIC, FieldKind, alias, join_equipment, kind_of, own_of
from carprice.schema import PRICE as LISTING_PRICE
from carprice.settings import IngestSettings

_ANSWER_NUMBERS: Final = (CONFIDENCE, PRICE, LOW, HIGH, ASKING_PRICE, MILLISECONDS)
_LISTED_ON: Final = "listed_on"
_DAYS: Final = "datetime64[s]"
_MOMENTS: Final = "datetime64[us, UTC]"
_KEY: Final = "_key"
_ROW: Final = "_row"
_LISTS: Final = (list, tuple, np.ndarray)
_ONE_DAY: Final = pd.Timedelta(days=1)


def read_log(
    location: str, since: datetime.date | None = None, until: datetime.date | None = None
) -> pd.DataFrame:
    """Return the answers of a prediction log, the oldest first.

    Parameters
    ----------
    location : a folder, or ``s3://bucket/prefix``.
    since, until : the first and the last day (UTC) that is read; default: all.

    Returns
    -------
    Columns :data:`carprice.monitoring.records.ANSWER_COLUMNS`, those of a listing, and the market's
    own. Of a file that is damaged a :class:`~carprice.errors.CarpriceWarning` tells, and it is
    passed over. Files that are hidden or half written, whose names begin with a dot or an
    underscore or do not end in ``.parquet``, are not looked at.

    Raises
    ------
    InputError
        If there is no such place, or it cannot be read.
    """
    tables = [_between(_as_log(table), since, until) for table in _tables(location)]
    filled = [table for table in tables if len(table)]
    log = pd.concat(filled, ignore_index=True) if filled else _as_log(pd.DataFrame())
    own = own_of(log.columns)
    log = log[[*ANSWER_COLUMNS, *FIELDS, *own]]
    return log.sort_values(ANSWERED_AT, kind="stable", ignore_index=True)


def read_fresh(source: str, settings: IngestSettings, progress: Progress = quiet) -> pd.DataFrame:
    """Return the clean listings of a source of the market that were seen on a day that it tells.

    Parameters
    ----------
    source : whatever ``ingest.source`` may be.
    settings : how ingest reads the market's sources: columns, units, cleaning.

    Returns
    -------
    The fields of a listing, the market's own columns, and ``price``, as ingest has them.

    Raises
    ------
    InputError
        If the source cannot be read, or no listing has a day.
    """
    of_source = settings.model_copy(update={"source": source})
    found = with_texts(clean_source(read_source(of_source, progress), of_source).frame)
    dated = found.loc[found[_LISTED_ON].notna()]
    if not len(dated):
        raise InputError(
            f"{redact(source)}: no listing tells the day on which it was seen; map a column of "
            f"days in ingest.columns.{alias(_LISTED_ON)}"
        )
    if undated := len(found) - len(dated):
        warnings.warn(
            f"{redact(source)}: {undated:,} of {len(found):,} listings tell no day and are left "
            f"out (ingest.columns.{alias(_LISTED_ON)})",
            CarpriceWarning,
            stacklevel=2,
        )
    columns = [*FIELDS, *own_of(found.columns), LISTING_PRICE]
    return dated[columns].reset_index(drop=True)


def observe(
    log: pd.DataFrame, outcomes: Sequence[Outcome], fresh: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return one row for each price that was seen: of outcomes first, then of fresh listings.

    An outcome has beside it what the service had said of its quote; without a quote, or of one that
    the log does not know, the last answer for the same listing up to that day, else the first one
    after it. However often a car was answered or told of, its sale counts once. What a challenger
    said in the shadow is no answer.

    Parameters
    ----------
    log : as :func:`read_log` returns it; may be empty.
    outcomes : one of each subject, see
        :meth:`carprice.monitoring.outcomes.OutcomeStore.latest` and
        :func:`carprice.monitoring.pairs.settled`. Those without a price are left
        out, and those of which neither the log nor they themselves have the listing.
    fresh : as :func:`read_fresh` returns it. Cars that a model learned from may be among them.

    Returns
    -------
    Columns :data:`carprice.monitoring.records.OBSERVATION_COLUMNS`, those of a listing and the
    market's own; ``observed_on`` is a day, ``answered_at`` a moment in UTC.
    """
    answers = _answers(log)
    told = _of_outcomes([one for one in outcomes if one.sold_price is not None], answers)
    listed = _of_fresh(fresh)
    own = own_of({*log.columns, *told.columns, *listed.columns})
    columns = [*OBSERVATION_COLUMNS, *FIELDS, *own]
    parts = [_typed(part.reindex(columns=columns)) for part in (told, listed) if len(part)]
    if not parts:
        return _typed(pd.DataFrame(columns=columns))
    return pd.concat(parts, ignore_index=True)


def _tables(location: str) -> Iterator[pd.DataFrame]:
    """Yield the tables of the files of a log; tell of those that cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, content in _files(location):
        try:
            table = pq.read_table(io.BytesIO(content)).to_pandas()
            if missing := {QUOTE_ID, ANSWERED_AT} - {*table.columns}:
                raise ValueError(f"it has no column {min(missing)}")
            yield table
        except (pa.ArrowException, OSError, ValueError) as error:
            warnings.warn(
                f"{name} is no whole file of a prediction log and is passed over "
                f"({one_line(error)}); delete it if it stays so",
                CarpriceWarning,
                stacklevel=3,
            )


def _files(location: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the Parquet files that are finished."""
    label = redact(location)
    if scheme_of(location) == "s3":
        import fsspec

        with s3_errors(label):
            store = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
            prefix = location.partition("://")[2].rstrip("/")
            names = [name for name in store.find(prefix) if _is_finished(name[len(prefix) :])]
            for name in sorted(names):
                yield f"s3://{name}", store.cat_file(name)
        return
    folder = Path(location)
    if not folder.is_dir():
        raise InputError(
            f"{label} is no folder; name that of CARPRICE_PREDICTION_LOG, or s3://bucket/prefix"
        )
    for path in sorted(folder.rglob("*.parquet")):
        if _is_finished(path.relative_to(folder).as_posix()) and path.is_file():
            try:
                content = path.read_bytes()
            except FileNotFoundError:  # deleted meanwhile, since it was old
                continue
            except OSError as error:
                raise InputError(
                    f"{path} cannot be read: {error.strerror}; allow it to who runs this"
                ) from None
            yield str(path), content


def _is_finished(name: str) -> bool:
    is_hidden = any(part.startswith((".", "_")) for part in name.split("/"))
    return name.endswith(".parquet") and not is_hidden


def _as_log(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with all columns of a log, each of its kind."""
    log = table.reindex(columns=[*ANSWER_COLUMNS, *FIELDS, *own_of(table.columns)])
    log[ANSWERED_AT] = pd.to_datetime(log[ANSWERED_AT], utc=True).astype(_MOMENTS)
    log[SHADOW] = log[SHADOW].eq(True)  # missing is none
    log[PROBLEM] = log[PROBLEM].astype(object).where(log[PROBLEM].notna(), "")
    return _typed(log)


def _between(
    log: pd.DataFrame, since: datetime.date | None, until: datetime.date | None
) -> pd.DataFrame:
    moments = log[ANSWERED_AT]
    kept = moments.notna()
    if since is not None:
        kept &= moments >= pd.Timestamp(since, tz="UTC")
    if until is not None:
        kept &= moments < pd.Timestamp(until, tz="UTC") + _ONE_DAY
    return log.loc[kept]


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose fields have the types of cleaned listings."""
    typed: dict[str, Any] = {}
    for name, values in table.items():
        field = str(name)
        if field in _ANSWER_NUMBERS or field == OBSERVED_PRICE:
            typed[field] = values.astype(np.float64)
        elif field in (OBSERVED_ON, TOLD_ON):
            typed[field] = pd.to_datetime(values).astype(_DAYS)
        elif field == ANSWERED_AT:
            typed[field] = pd.to_datetime(values, utc=True).astype(_MOMENTS)
        elif field in FIELDS or ":" in field:
            typed[field] = _typed_field(field, values)
        elif pd.api.types.is_object_dtype(values) or pd.api.types.is_string_dtype(values):
            typed[field] = values.astype(object).where(values.notna(), None)
        else:
            typed[field] = values
    return pd.DataFrame(typed, index=table.index)


def _typed_field(field: str, values: "pd.Series[Any]") -> "pd.Series[Any]":
    kind = kind_of(field)
    if kind in NUMERIC:
        return pd.to_numeric(values, errors="coerce").astype(np.float64)
    if kind is FieldKind.DATE:
        return pd.to_datetime(values, errors="coerce").astype(_DAYS)
    texts = values.astype(object)
    if kind is FieldKind.EQUIPMENT:
        texts = texts.map(
            lambda one: join_equipment(map(str, one)) if isinstance(one, _LISTS) else one
        )
    return texts.where(texts.notna(), None)


def _answers(log: pd.DataFrame) -> pd.DataFrame:
    """Return the first answer of each quote that was told and has a price."""
    told = log.loc[~log[SHADOW].astype(bool) & log[PRICE].notna()] if len(log) else log
    return told.sort_values(ANSWERED_AT, kind="stable").drop_duplicates(QUOTE_ID, ignore_index=True)


def _of_outcomes(outcomes: Sequence[Outcome], answers: pd.DataFrame) -> pd.DataFrame:
    if not outcomes:
        return pd.DataFrame()
    told = pd.DataFrame(
        {
            SOURCE: [str(one.kind) for one in outcomes],
            OBSERVED_PRICE: [one.sold_price for one in outcomes],
            OBSERVED_ON: [one.sold_on for one in outcomes],
            TOLD_ON: [one.received_at and one.received_at.date() for one in outcomes],
            QUOTE_ID: [one.quote_id or None for one in outcomes],
        }
    )
    own = own_of({*answers.columns, *(name for one in outcomes for name in one.listing)})
    fields = [*FIELDS, *own]
    given = _typed(pd.DataFrame([dict(one.listing) for one in outcomes], columns=fields))
    found = _answer_rows(told, given, answers)
    said = answers.reindex(columns=[*OBSERVATION_COLUMNS, *fields]).reindex(found)
    said = said.reset_index(drop=True)
    listings = _typed(said[fields]).combine_first(given)[fields]
    answered = said[[*OBSERVATION_COLUMNS]].assign(
        **{name: told[name] for name in (SOURCE, OBSERVED_PRICE, OBSERVED_ON, TOLD_ON)},
        **{QUOTE_ID: said[QUOTE_ID].where(said[QUOTE_ID].notna(), told[QUOTE_ID])},
    )
    rows = pd.concat([answered, listings], axis=1)
    rows = rows.loc[listings["make"].notna()]
    once = pd.DataFrame(
        {
            _KEY: _keys(rows[fields]),
            **{name: rows[name] for name in (SOURCE, OBSERVED_ON, OBSERVED_PRICE)},
        }
    ).duplicated()
    return rows.loc[~once.to_numpy()]


def _answer_rows(
    told: pd.DataFrame, given: pd.DataFrame, answers: pd.DataFrame
) -> "np.ndarray[Any, np.dtype[np.intp]]":
    """Return the row of the answers that belongs to each outcome; -1 where there is none."""
    by_quote = pd.Index(answers[QUOTE_ID]) if len(answers) else pd.Index([])
    found = np.asarray(by_quote.get_indexer(pd.Index(told[QUOTE_ID].fillna(""))), dtype=np.intp)
    open_ = (found < 0) & given["make"].notna().to_numpy()
    if not open_.any() or not len(answers):
        return found
    asked = pd.DataFrame(
        {
            _KEY: _keys(given.loc[open_]),
            "moment": pd.to_datetime(told.loc[open_, OBSERVED_ON]).to_numpy("datetime64[us]"),
            "outcome": np.flatnonzero(open_),
        }
    )
    asked["moment"] += _ONE_DAY - pd.Timedelta(microseconds=1)
    known = pd.DataFrame(
        {
            _KEY: _keys(answers.reindex(columns=given.columns)),
            "moment": answers[ANSWERED_AT].dt.tz_localize(None).to_numpy("datetime64[us]"),
            _ROW: np.arange(len(answers)),
        }
    )
    asked, known = (one.sort_values("moment", kind="stable") for one in (asked, known))
    for direction in ("backward", "forward"):
        matched = pd.merge_asof(asked, known, on="moment", by=_KEY, direction=direction)
        matched = matched.loc[matched[_ROW].notna()]
        fits = matched.loc[found[matched["outcome"]] < 0]
        found[fits["outcome"]] = fits[_ROW].to_numpy(dtype=np.intp)
    return found


def _keys(listings: pd.DataFrame) -> "pd.Series[Any]":
    """Return a number for each listing, the same for the same car however its names are spelt."""
    parts = {}
    for name in sorted(map(str, listings.columns)):
        values = listings[name]
        if values.dtype == object:
            parts[name] = values.map(lambda one: normalise(one) if isinstance(one, str) else "")
        else:
            parts[name] = values.astype(str)
    return pd.util.hash_pandas_object(pd.DataFrame(parts, index=listings.index), index=False)


def _of_fresh(fresh: pd.DataFrame | None) -> pd.DataFrame:
    if fresh is None or not len(fresh):
        return pd.DataFrame()
    return fresh.assign(
        **{
            SOURCE: LISTED,
            OBSERVED_PRICE: fresh[LISTING_PRICE],
            OBSERVED_ON: fresh[_LISTED_ON],
        }
    ).drop(columns=LISTING_PRICE)
