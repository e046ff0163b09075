"""Bodies → listings: JSON and CSV, one or many; each row of a batch is read or has its problem."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from api.bodies import ListingRequest
from api.json_reader import LONGEST_ROW, MOST_KEYS, parse_json, too_many_keys
from api.problems import Kind, ProblemError, invalid_field, invalid_fields, invalid_listing
from api.receiving import SMALL_BYTES
from carprice.listings.own import with_own
from carprice.listings.problems import (
    ERRORS_OF_ROW,
    MOST_ERRORS,
    WrongField,
    nearest_field,
    read_csv_cell,
)
from carprice.schema import ASKING_PRICE, REQUIRED, alias, name_in_requests

if TYPE_CHECKING:
    from api.served import ServedModel

_ASKING_PRICE: Final = frozenset((ASKING_PRICE, alias(ASKING_PRICE)))
_LINES: Final = 1000
_LINES_OF_ROW: Final = 8

Row = ListingRequest | ProblemError


class ListingForm:
    """What a listing may hold: the schema's fields, and a market's own columns.

    Attributes
    ----------
    own : the market's own columns.
    request : the kind of listing.
    field_by_name : the fields, by each of their names.
    """

    def __init__(self, own: tuple[str, ...] = ()) -> None:
        self.own = own
        self.request: type[ListingRequest] = with_own(ListingRequest, own)
        self.validate_json = self.request.model_validate_json
        self.field_by_name = {
            spelling: field
            for field in (*ListingRequest.model_fields, *own)
            for spelling in (alias(field), name_in_requests(field))
        }

    def nearest(self, name: str) -> str:
        """Say which field an unknown name may stand for."""
        return nearest_field(name, self.own)


PLAIN: Final = ListingForm()
"""The form of a market without columns of its own."""


@dataclass(frozen=True)
class Batch:
    """The rows of a request, and the share of prices that their ranges shall hold.

    ``header`` and ``cells`` are those of a CSV as they came; empty where it was JSON.
    ``judges`` tells whether asking prices are judged: other people's protocols have no place for
    that. ``quote_ids`` has an id for each row that was priced, while there is a prediction log.
    ``by`` has, by their places, the model of rows that are not priced by production's.
    """

    rows: Sequence[Row]
    confidence: float
    header: Sequence[str] = ()
    cells: Sequence[Sequence[str]] = ()
    judges: bool = False
    quote_ids: Sequence[str] = ()
    by: Mapping[int, "ServedModel"] = field(default_factory=dict)

    @property
    def has_asking_prices(self) -> bool:
        """Whether asking prices are to be judged, were it of one row."""
        return self.judges and any(
            isinstance(row, ListingRequest) and row.asking_price is not None for row in self.rows
        )

    @property
    def tells_deals(self) -> bool:
        """Whether the answer has columns for it: a CSV has them where it has the column."""
        names = {cell.strip() for cell in self.header}
        return self.has_asking_prices or not names.isdisjoint(_ASKING_PRICE)


def read_listing(body: bytes, form: ListingForm = PLAIN) -> ListingRequest:
    """Read one listing from JSON; the problem, 422, names each wrong field."""
    if len(body) <= SMALL_BYTES and (listing := _read_at_once(body, form)) is not None:
        return listing
    content = parse_json(body)
    if isinstance(content, dict) and len(content) > MOST_KEYS:
        raise too_many_keys(content)
    try:
        return form.request.model_validate(content)
    except ValidationError as error:
        raise invalid_listing(error, own=form.own) from None


def _read_at_once(body: bytes, form: ListingForm) -> ListingRequest | None:
    """Read a listing that is right, and has no key twice: each key has a colon.

    None where something is wrong, or a text has a colon too: whoever reads it slowly tells.
    """
    try:
        listing = form.validate_json(body)
    except ValidationError:
        return None
    return listing if body.count(b":") == len(listing.model_fields_set) else None


def read_json_batch(body: bytes, most: int, confidence: float, form: ListingForm = PLAIN) -> Batch:
    """Read ``{"listings": […]}``; 422 for a body of another form, 413 for too many rows."""
    read = partial(read_row, form=form)
    content = parse_json(body, most, read)
    if not isinstance(content, dict) or set(content) != {"listings"}:
        raise ProblemError(Kind.MALFORMED, 'the body must be {"listings": [ … ]} and nothing else')
    rows = content["listings"]
    if not isinstance(rows, list):
        raise invalid_field("listings", "must be an array of listings")
    check_rows(len(rows), most)
    return Batch([*map(read, rows)], confidence, judges=True)


def check_rows(count: int, most: int) -> None:
    """Refuse a batch of too many rows with 413."""
    if count > most:
        raise ProblemError(
            Kind.TOO_LARGE, f"the batch has {count:,} rows; send at most {most:,} in one request"
        )


def read_row(row: object, form: ListingForm = PLAIN) -> Row:
    """Read one row of a batch, unless it is read; where it is wrong, return its problem."""
    if isinstance(row, ListingRequest | ProblemError):
        return row
    if isinstance(row, dict) and len(row) > MOST_KEYS:
        return too_many_keys(row)
    try:
        return form.request.model_validate(row)
    except ValidationError as error:
        return invalid_listing(error, most=ERRORS_OF_ROW, own=form.own)


def read_csv(body: bytes, most: int, confidence: float, form: ListingForm = PLAIN) -> Batch:
    """Read CSV with a header of field names, camelCase or snake_case, in any order.

    Empty cells and the usual marks are missing values. 422 if it is no CSV in UTF-8, or a column is
    unknown or there twice; 413 for too many rows, or a row that is too long.
    """
    lines = _Lines(body)
    records = csv.reader(lines, strict=True)
    rows: list[Row] = []
    cells: list[list[str]] = []
    try:
        header = next(records, [])
        fields = read_header(header, form)
        for record in records:
            lines.begin_row(_LINES + _LINES_OF_ROW * most)
            if record:
                check_rows(len(rows) + 1, most)
                rows.append(_read_csv_cells(fields, record, form))
                cells.append(record[: len(header)])
    except UnicodeDecodeError:
        message = f"the body is not UTF-8 (byte {_first_wrong(body)}); save the file as UTF-8"
        raise ProblemError(Kind.MALFORMED, message) from None
    except csv.Error as error:
        message = f"line {records.line_num} is not CSV: {error}"
        raise ProblemError(Kind.MALFORMED, message) from None
    return Batch(rows, confidence, header, cells, judges=True)


class _Lines:
    """The lines of a CSV, read one after another; 413 where there are too many, or a row is long.

    A row has several where line ends are quoted.
    """

    def __init__(self, body: bytes) -> None:
        self._text = io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline="")
        self._number = 0
        self._rest = LONGEST_ROW

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self._number += 1
        line = self._text.readline(self._rest + 1)
        self._rest -= len(line)
        if self._rest < 0:
            message = f"the row at line {self._number:,} has more than {LONGEST_ROW:,} characters"
            raise ProblemError(Kind.TOO_LARGE, message)
        if not line:
            raise StopIteration
        return line

    def begin_row(self, most: int) -> None:
        """Allow another row."""
        self._rest = LONGEST_ROW
        if self._number > most:
            raise ProblemError(Kind.TOO_LARGE, f"the body has more than {most:,} lines")


def _first_wrong(body: bytes) -> int:
    try:
        body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return error.start
    return len(body)


def read_header(header: Sequence[str], form: ListingForm = PLAIN) -> list[str]:
    """Return the fields of columns; 422 if one is unknown, there twice, or missing and required."""
    fields: list[str] = []
    errors: list[WrongField] = []
    for name in (cell.strip() for cell in header):
        if len(errors) == MOST_ERRORS:
            break
        field = form.field_by_name.get(name)
        if field is None:
            message = f"there is no such column; {form.nearest(name)}"
            errors.append(WrongField(name[:200] or "(empty)", message))
        elif field in fields:
            errors.append(WrongField(name, "is there twice; leave one column out"))
        else:
            fields.append(field)
    missing = [alias(name) for name in REQUIRED if name not in fields]
    errors += [WrongField(name, "this column is required") for name in missing]
    if errors:
        raise invalid_fields(errors)
    return fields


def _read_csv_cells(fields: Sequence[str], cells: Sequence[str], form: ListingForm) -> Row:
    if len(cells) != len(fields):
        message = f"the row has {len(cells)} cells, the header {len(fields)}"
        return ProblemError(Kind.LISTING, message)
    pairs = zip(fields, cells, strict=True)
    row = {name_in_requests(field): read_csv_cell(field, cell) for field, cell in pairs}
    return read_row(row, form)
