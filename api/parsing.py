"""Bodies → listings: JSON and CSV, one or many; each row of a batch is read or has its problem."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final

import jiter
from pydantic import ValidationError

from api.bodies import FieldProblem, ListingRequest
from api.problems import Kind, ProblemError, invalid_field, invalid_fields, invalid_listing
from carprice.listings.problems import ERRORS_OF_ROW, MOST_ERRORS, nearest_field, read_csv_cell
from carprice.schema import REQUIRED, alias

_read_fields = ListingRequest.model_validate
FIELD_BY_NAME: Final = {
    spelling: field for field in ListingRequest.model_fields for spelling in (field, alias(field))
}
_MOST_KEYS: Final = 2 * len(ListingRequest.model_fields)

Row = ListingRequest | ProblemError


@dataclass(frozen=True)
class Batch:
    """The rows of a request, and the share of prices that their ranges shall hold.

    ``header`` and ``cells`` are those of a CSV as they came; empty where it was JSON.
    """

    rows: Sequence[Row]
    confidence: float
    header: Sequence[str] = ()
    cells: Sequence[Sequence[str]] = ()


def read_listing(body: bytes) -> ListingRequest:
    """Read one listing from JSON; the problem, 422, names each wrong field."""
    content = parse_json(body)
    try:
        return _read_fields(content)
    except ValidationError as error:
        raise invalid_listing(error) from None


def read_json_batch(body: bytes, most: int, confidence: float) -> Batch:
    """Read ``{"listings": […]}``; 422 for a body of another form, 413 for too many rows."""
    content = parse_json(body)
    if not isinstance(content, dict) or set(content) != {"listings"}:
        raise ProblemError(Kind.MALFORMED, 'the body must be {"listings": [ … ]} and nothing else')
    rows = content["listings"]
    if not isinstance(rows, list):
        raise invalid_field("listings", "must be an array of listings")
    check_rows(len(rows), most)
    return Batch([*map(read_row, rows)], confidence)


def parse_json(body: bytes, *, strict: bool = False) -> Any:
    """Parse JSON in which no key is repeated; 422 if it is not JSON, or repeats a key.

    Unless ``strict``, an object inside of the body that repeats a key, such as a row, is no error
    of the whole: it comes as its :class:`ProblemError`.
    """
    try:
        return jiter.from_json(body, catch_duplicate_keys=True)
    except ValueError:
        try:
            jiter.from_json(body)
        except ValueError as error:
            message = f"the body is not valid JSON: {error}"
            raise ProblemError(Kind.MALFORMED, message) from None
    # Only the standard library tells in which object a key is repeated.
    content = json.loads(body, object_pairs_hook=partial(_object, strict=strict))
    if isinstance(content, ProblemError):
        raise content
    return content


def check_rows(count: int, most: int) -> None:
    """Refuse a batch of too many rows with 413."""
    if count > most:
        raise ProblemError(
            Kind.TOO_LARGE, f"the batch has {count:,} rows; send at most {most:,} in one request"
        )


def read_row(row: object) -> Row:
    """Read one row of a batch; where it is wrong, return its problem."""
    if isinstance(row, ProblemError):
        return row
    if isinstance(row, dict) and len(row) > _MOST_KEYS:
        message = f"the row has {len(row):,} keys; a listing has at most {_MOST_KEYS}"
        return ProblemError(Kind.LISTING, message)
    try:
        return _read_fields(row)
    except ValidationError as error:
        return invalid_listing(error, most=ERRORS_OF_ROW)


def read_csv(body: bytes, most: int, confidence: float) -> Batch:
    """Read CSV with a header of field names, camelCase or snake_case, in any order.

    Empty cells and the usual marks are missing values. 422 if it is no CSV in UTF-8, or a column is
    unknown or there twice; 413 for too many rows.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"the body is not UTF-8 (byte {error.start}); save the file as UTF-8"
        raise ProblemError(Kind.MALFORMED, message) from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(lines, [])
        fields = read_header(header)
        cells = [*islice(filter(None, lines), most + 1)]
        check_rows(len(cells), most)
    except csv.Error as error:
        message = f"line {lines.line_num} is not CSV: {error}"
        raise ProblemError(Kind.MALFORMED, message) from None
    return Batch([_read_csv_cells(fields, line) for line in cells], confidence, header, cells)


def read_header(header: Sequence[str]) -> list[str]:
    """Return the fields of columns; 422 if one is unknown, there twice, or missing and required."""
    fields: list[str] = []
    errors: list[FieldProblem] = []
    for name in (cell.strip() for cell in header):
        if len(errors) == MOST_ERRORS:
            break
        field = FIELD_BY_NAME.get(name)
        if field is None:
            message = f"there is no such column; {nearest_field(name)}"
            errors.append(FieldProblem(field=name[:200] or "(empty)", message=message))
        elif field in fields:
            errors.append(FieldProblem(field=name, message="is there twice; leave one column out"))
        else:
            fields.append(field)
    missing = [alias(name) for name in REQUIRED if name not in fields]
    errors += [FieldProblem(field=name, message="this column is required") for name in missing]
    if errors:
        raise invalid_fields(errors)
    return fields


def _read_csv_cells(fields: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) != len(fields):
        message = f"the row has {len(cells)} cells, the header {len(fields)}"
        return ProblemError(Kind.LISTING, message)
    return read_row(
        {field: read_csv_cell(field, cell) for field, cell in zip(fields, cells, strict=True)}
    )


def _object(pairs: list[tuple[str, Any]], *, strict: bool) -> dict[str, Any] | ProblemError:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            error = invalid_field(key[:200], "is there twice; leave one out")
            if strict:
                raise error
            return error
        content[key] = value
    return content
