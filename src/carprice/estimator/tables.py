"""Read a DataFrame of listings by the column map, and warn of all that is lost on the way."""

import itertools
import re
import traceback
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml

from carprice.arrays import Floats
from carprice.errors import CarpriceWarning, InputError
from carprice.listings.column_map import MappedChunk, map_columns
from carprice.listings.notation import Notation
from carprice.listings.numbers import Decimal
from carprice.listings.remedies import remedy, rule_of
from carprice.listings.sources.chunks import Chunk
from carprice.listings.units_beside import UnitsBeside
from carprice.schema import PRICE, alias
from carprice.settings import IngestSettings

SOURCE: Final = "X"
"""What messages call the DataFrame."""
_RULE: Final = re.compile(r"\b(\w+): (\{.*?\}) in ingest\.columns")
_KEPT: Final = re.compile(r"add (.+): (\[.*?\]) to ingest\.rows\.keep")
_PACKAGE: Final = str(Path(__file__).parents[1])


class ListingsError(InputError, ValueError):
    """A DataFrame or a setting to change; a ValueError too, as scikit-learn's estimators raise."""


@contextmanager
def errors_for_python() -> Iterator[None]:
    """Reword errors that name keys of params.yaml: in Python they are keyword arguments."""
    try:
        yield
    except ListingsError:
        raise
    except InputError as error:
        raise ListingsError(for_python(str(error))) from None


def for_python(message: str) -> str:
    """Return a message in which keys of params.yaml are keyword arguments, and YAML is Python.

    Examples
    --------
    >>> for_python("write year: {from: built, number: true} in ingest.columns")
    "write columns={'year': {'from': 'built', 'number': True}}"
    """
    told = _RULE.sub(lambda found: f"columns={{{found[1]!r}: {yaml.safe_load(found[2])}}}", message)
    told = _KEPT.sub(r"give only the rows whose \1 is in \2", told)
    return told.replace("ingest.units.", "").replace("ingest.", "")


def warn(message: str) -> None:
    """Warn at the line that called this package."""
    # From Python 3.12 on, skip_file_prefixes=(_PACKAGE,) of warnings.warn does this.
    frames = reversed(traceback.extract_stack())
    own = itertools.takewhile(lambda frame: frame.filename.startswith(_PACKAGE), frames)
    warnings.warn(message, CarpriceWarning, stacklevel=1 + len([*own]))


def checked_frame(table: Any) -> pd.DataFrame:
    """Return a DataFrame with rows counted from 0; refuse all else, and two columns of a name."""
    if not isinstance(table, pd.DataFrame):
        raise ListingsError(
            f"X is a {type(table).__name__}; give a pandas DataFrame with one row a listing "
            "(of a transformer before: set_output(transform='pandas'); for one row: df.iloc[[0]])"
        )
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise ListingsError(f"X has two columns named {repeated[0]!r}; drop or rename one")
    return table.reset_index(drop=True)


def checked_prices(prices: Any, rows: int) -> Floats:
    """Return the prices of n rows as numbers; refuse what is not one finite number for each row."""
    values = np.asarray(prices)
    if values.shape not in ((rows,), (rows, 1)):
        raise ListingsError(
            f"y has the shape {values.shape}, X has {rows} rows; give one price for each row"
        )
    values = values.ravel()
    read = pd.to_numeric(pd.Series(values), errors="coerce")
    numbers: Floats = read.to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise ListingsError(
            f"y is {str(values[bad[0]])!r} in row {bad[0]}, and no finite number in {len(bad)} "
            "rows; drop these rows, or make numbers of the prices"
        )
    return numbers


def read_fields(
    table: pd.DataFrame,
    settings: IngestSettings,
    decimals: Mapping[str, Decimal] | None = None,
    *,
    price_required: bool,
) -> MappedChunk:
    """Read the fields of listings; refuse if a column that the map names or all need is missing.

    Parameters
    ----------
    decimals : the decimal signs of the listings that the model learned from.
    """
    notation = Notation(settings, decimals or {})
    chunk = Chunk(table, filename="", label=SOURCE)
    with errors_for_python():
        return map_columns(chunk, settings, notation, price_required=price_required)


def warn_of_unreadable(mapped: MappedChunk, settings: IngestSettings, become: str) -> None:
    """Warn of values that cannot be read; ``become`` says what is made of their rows."""
    for field, found in mapped.unreadable.items():
        if field == PRICE:
            continue
        rule, share = (
            rule_of(field, mapped.origin[field], settings),
            found.count / len(mapped.frame),
        )
        told = remedy(field, rule, found.others, found.readable, share, settings, become="")
        warn(
            f"{alias(field)} is {found.value!r} in row {found.row} and cannot be read in "
            f"{found.count} rows, which {become}; {for_python(told)}"
        )


def warn_of_units(
    table: pd.DataFrame, mapped: MappedChunk, settings: IngestSettings, *, price_required: bool
) -> None:
    """Warn of columns that tell other units or currencies than the listings are read in."""
    beside = UnitsBeside(settings, price_required=price_required)
    beside.add(table, mapped.ignored, mapped.origin)
    try:
        beside.refuse(mapped.origin, SOURCE)
    except InputError as error:
        warn(for_python(str(error)))


def warn_of_ignored(names: Collection[str]) -> None:
    """Warn of columns that no field is read from."""
    if names:
        warn(
            f"X has columns that are no field of a listing, and are ignored: {', '.join(names)}; "
            "name them in columns={field: column}, or drop them"
        )
