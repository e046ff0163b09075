"""What is wrong with a listing that is to be priced: the same bounds and words at every door."""

import datetime
import math
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from pydantic import ValidationError

from carprice.errors import InputError
from carprice.listings.own import with_own
from carprice.schema import (
    ASKING_PRICE,
    FIELDS,
    KINDS,
    NUMERIC,
    REQUIRED,
    FieldKind,
    Listing,
    alias,
    bounds,
    is_own,
    kind_of,
    name_in_requests,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from carprice.arrays import Columns

MOST_ERRORS: Final = 25
"""How many wrong fields are named: naming each of thousands would take seconds."""
ERRORS_OF_ROW: Final = 5
"""How many of one row among many."""
MISSING_MARKS: Final = frozenset(
    (
        "#N/A",
        "#NA",
        "N/A",
        "NA",
        "<NA>",
        "n/a",
        "NULL",
        "null",
        "None",
        "NaN",
        "nan",
        "-NaN",
        "-nan",
    )
)
"""What means missing in a cell of a CSV or Excel file."""
_FLOAT: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_SHOWN: Final = 200
_SHOWN_BITS: Final = 64
_LONGEST_NAME: Final = 40
_EXACT: Final = 2**53
_IS_REQUIRED: Final = "this field is required"
_SPELLINGS: Final = {
    spelling: alias(field)
    for field in (*FIELDS, ASKING_PRICE)
    for spelling in (field, alias(field))
}


class WrongField(NamedTuple):
    """One field that is wrong, by its name in JSON; ``value`` is what was found."""

    field: str
    message: str
    value: Any = None

    def __str__(self) -> str:
        """Return field, message and what was found as one text."""
        found = "" if self.value is None else f" (found {self.value!r})"
        return f"{self.field}: {self.message}{found}"


def read_cell(field: str, cell: str) -> Any:
    """Return a cell's text as a number where the field has numbers; None where it is empty.

    Own columns have numbers where their field says so; see :func:`carprice.schema.kind_of`.

    What is no number stays a text, which :class:`carprice.schema.Listing` refuses.

    Examples
    --------
    >>> read_cell("odometer", " 42000 "), read_cell("odometer", "42,000 km"), read_cell("make", "")
    (42000.0, '42,000 km', None)
    """
    text = cell.strip()
    if kind_of(field) in NUMERIC and _FLOAT.fullmatch(text):
        return float(text)
    return text or None


def read_csv_cell(field: str, cell: str) -> Any:
    """Return a cell of a CSV, in which the usual marks mean missing, as :func:`read_cell` does."""
    return None if cell.strip() in MISSING_MARKS else read_cell(field, cell)


def read_value(field: str, value: Any) -> Any:
    """Return a value of a table as a listing takes it; None where it is missing."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, str):
        return read_cell(field, value)
    if isinstance(value, datetime.datetime):
        return value.date()
    is_missing = isinstance(value, float) and math.isnan(value)
    return None if is_missing else value


def wrong_fields(
    error: ValidationError, prefix: str = "", most: int = MOST_ERRORS, own: Iterable[str] = ()
) -> list[WrongField]:
    """Return what is wrong with a listing.

    Parameters
    ----------
    prefix : names its place in a request.
    most : how many wrong fields are told.
    own : the market's own columns, which it may have too.
    """
    details = error.errors(include_url=False, include_context=False)[:most]
    return [_wrong_field(detail, prefix, own) for detail in details]


def problem_of(
    fields: Mapping[str, Any],
    required: Collection[str] = REQUIRED,
    own: tuple[str, ...] = (),
) -> str:
    """Return why a listing cannot be priced, in words; empty if it can.

    Parameters
    ----------
    fields : its values by field name, see :func:`read_value`; of own columns by their own names.
    required : what it must have, of :data:`carprice.schema.REQUIRED`.
    own : the market's own columns, which it may have too.

    Examples
    --------
    >>> problem_of({"make": "Kia", "model": "Rio", "year": 2019, "odometer": "many"})
    "odometer: Input should be a valid number (found 'many')"
    """
    try:
        with_own(Listing, own).model_validate(fields)
    except ValidationError as error:
        optional = {alias(name) for name in REQUIRED if name not in required}
        found = [
            wrong
            for wrong in wrong_fields(error, most=ERRORS_OF_ROW, own=own)
            if not (wrong.message == _IS_REQUIRED and wrong.field in optional)
        ]
        return "; ".join(map(str, found))
    return ""


def refuse_wrong(columns: "Columns", own: tuple[str, ...] = ()) -> None:
    """Raise an InputError that names the first listing with a number out of its bounds.

    Parameters
    ----------
    columns : values by field name, of own columns by their own names; None or NaN where missing.
    own : the market's own columns; their flags are looked at too.
    """
    for field in (*KINDS, *own):
        name, kind = name_in_requests(field), kind_of(field)
        if kind not in (*NUMERIC, FieldKind.FLAG) or columns.get(name) is None:
            continue
        try:
            low, high = bounds(field)
            numbers = np.array(columns[name], dtype=np.float64)
            wrong = (numbers < low) | (numbers > high)
        except (TypeError, ValueError):
            wrong = np.array([_wrong_of(field, value) != "" for value in columns[name]])
        if wrong.any():
            row = int(np.argmax(wrong))
            told = _wrong_of(field, columns[name][row])
            raise InputError(f"listing {row}: {told}")


def _wrong_of(field: str, value: Any) -> str:
    own = (field,) if is_own(field) else ()
    given = {name_in_requests(field): read_value(field, value)}
    return problem_of(given, required=(), own=own)


def nearest_field(name: str, own: Iterable[str] = ()) -> str:
    """Say which field, or own column of the market, an unknown name may stand for."""
    from rapidfuzz import fuzz, process

    spellings = {**_SPELLINGS, **{alias(field): alias(field) for field in own}}
    close = process.extractOne(name[:_LONGEST_NAME], spellings, scorer=fuzz.ratio, score_cutoff=75)
    if close:
        return f"did you mean {spellings[close[0]]}?"
    return f"the fields are {', '.join(map(alias, (*FIELDS, *own)))}"


def _wrong_field(detail: "ErrorDetails", prefix: str, own: Iterable[str]) -> WrongField:
    kind, (*loc,), found = detail["type"], detail["loc"], None
    if kind != "extra_forbidden":
        loc[:1] = [_SPELLINGS.get(str(name), name) for name in loc[:1]]
    field = prefix + ".".join(map(str, loc))[:_SHOWN] or "body"
    if kind == "missing" or (_is_missing(detail["input"]) and _is_required(loc)):
        message = _IS_REQUIRED
    elif kind == "extra_forbidden":
        message = f"there is no such field; {nearest_field(str(loc[-1]), own)}"
    elif not loc:
        field, message = "body", "must be a JSON object of a listing's fields"
    else:
        # JSON has no tuples, which is what a listing's features are read into.
        message = "Input should be a valid array" if kind == "tuple_type" else detail["msg"]
        found = shown(detail["input"])
    return WrongField(field, message, found)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _is_required(loc: Iterable[int | str]) -> bool:
    return [*loc] in [[name] for field in REQUIRED for name in (field, alias(field))]


def shown(found: Any) -> Any:
    """Return a value as an error may repeat it: plain JSON, and not long."""
    if isinstance(found, int) and found.bit_length() > _SHOWN_BITS:
        # Python refuses to print some of them.
        return float(found) if found.bit_length() < sys.float_info.max_exp else "a huge number"
    if found is None or isinstance(found, int):
        return found
    if isinstance(found, float) and math.isfinite(found):
        return int(found) if found.is_integer() and abs(found) < _EXACT else found
    text = str(found) if isinstance(found, str | Exception) else _begin_of(_printed(found))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _printed(found: Any) -> Iterator[str]:
    """Yield what ``repr`` returns bit by bit: a huge value need not be printed to its end."""
    if type(found) is dict:
        yield "{"
        for place, (key, value) in enumerate(found.items()):
            yield f"{', ' if place else ''}{key!r}: "
            yield from _printed(value)
        yield "}"
    elif type(found) is list:
        yield "["
        for place, value in enumerate(found):
            yield ", " if place else ""
            yield from _printed(value)
        yield "]"
    else:
        yield repr(found)


def _begin_of(parts: Iterable[str]) -> str:
    text = ""
    for part in parts:
        text += part
        if len(text) > _SHOWN:
            break
    return text
