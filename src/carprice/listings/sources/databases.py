"""Rows of a SQL query, from any database that SQLAlchemy knows."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from carprice.errors import InputError
from carprice.listings.sources.chunks import Chunks, Frames, as_chunks, one_line, scheme_of
from carprice.redaction import hide_secrets, redact
from carprice.settings import IngestSettings


@contextlib.contextmanager
def _database_errors(origin: str) -> Iterator[None]:
    label = redact(origin)
    scheme = scheme_of(origin)
    try:
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
    except ImportError:
        raise InputError(f"{label} needs SQLAlchemy; pip install 'carprice[sql]'") from None
    try:
        yield
    except NoSuchModuleError:
        raise InputError(
            f"{label}: {scheme}:// is neither a file store nor an installed database; sources are "
            "a path, s3://, https://, a SQLAlchemy URL (pip install 'carprice[sql]') or sample"
        ) from None
    except ModuleNotFoundError as error:
        raise InputError(
            f"{label} needs the database driver {error.name}; pip install 'carprice[sql]' "
            f"for PostgreSQL (postgresql+psycopg://), else pip install {error.name}"
        ) from None
    except ArgumentError:
        raise InputError(
            f"{label} is not a SQLAlchemy URL; write dialect+driver://user:<password>@host/database"
        ) from None
    except SQLAlchemyError as error:
        reason = one_line(getattr(error, "orig", None) or error)
        raise InputError(f"{label}: the database refused: {hide_secrets(reason, origin)}") from None


def database_chunks(origin: str, settings: IngestSettings, chunk_rows: int) -> Chunks:
    """Read what ``settings.query`` selects from the database at a SQLAlchemy URL."""
    label = redact(origin)
    with _database_errors(origin):
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError

        try:
            engine = create_engine(origin)
        except ValueError:  # of a port or a host that is none
            raise ArgumentError from None
        if not settings.query:
            raise InputError(
                f"{label} is a database; put the SELECT that reads the listings into ingest.query"
            )
        _database_exists(engine.url, label)
        frames = _frames(engine, settings.query, label, chunk_rows)
        empty = f"{label}: ingest.query returned no rows; check its conditions"
        try:
            yield from as_chunks(frames, "", label, empty)
        finally:
            engine.dispose()


def _database_exists(url: Any, label: str) -> None:
    """SQLite would make a new, empty database of a misspelt name."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name.startswith((":", "file:")):
        return
    if not Path(name).is_file():
        raise InputError(f"{label}: the database file {name} does not exist; correct ingest.source")


def _frames(engine: Any, query: str, label: str, chunk_rows: int) -> Frames:
    with engine.connect() as connection:
        options = {"stream_results": True, "yield_per": chunk_rows, "no_parameters": True}
        result = connection.execution_options(**options).exec_driver_sql(query)
        if not result.returns_rows:
            raise InputError(f"{label}: ingest.query returns no rows; it needs to be a SELECT")
        names = [str(name).strip() for name in result.keys()]  # noqa: SIM118
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise InputError(
                f"{label}: ingest.query returns the column {repeated[0]!r} twice; "
                "name each column once, with AS"
            )
        for part in result.partitions(chunk_rows):
            yield pd.DataFrame([tuple(row) for row in part], columns=names, dtype=object)
