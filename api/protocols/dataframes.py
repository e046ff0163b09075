"""Data frames as MLflow's clients send them → listings; a row that is wrong refuses them all."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from api.bodies import ListingRequest
from api.json_reader import MOST_KEYS, parse_json, too_many_keys
from api.parsing import PLAIN, Batch, ListingForm, Row, check_rows, read_csv, read_header, read_row
from api.problems import Kind, ProblemError, invalid_field, invalid_fields, invalid_listing
from api.protocols.messages import DataframeSplit, ScoringParams
from api.protocols.schemas import FORMS
from carprice.listings.problems import WrongField
from carprice.schema import name_in_requests

_SHOWN_ROWS = 10
_ROOT = "rows"

M = TypeVar("M", bound=BaseModel)


def read_csv_frame(body: bytes, most: int, confidence: float, form: ListingForm = PLAIN) -> Batch:
    """Read CSV with a header; 422 naming the column, or the row and field, that is wrong."""
    rows = read_csv(body, most, confidence, form).rows
    return Batch(all_or_problem(rows, _in(_ROOT)), confidence)


def read_json_frame(body: bytes, most: int, confidence: float, form: ListingForm = PLAIN) -> Batch:
    """Read any of MLflow's JSON forms; ``confidence`` is for those that name none.

    422 naming the form, or the row and field, that is wrong; 413 for too many rows.
    """
    content = parse_json(body, most, partial(_read_record, form=form), strict=True)
    if isinstance(content, list):
        return Batch(_read_records(content, most, _ROOT, form), confidence)
    if isinstance(content, dict) and "data" in content:
        return Batch(_read_split(content, most, "", form), confidence)
    way = _way_of(content)
    params = validated(ScoringParams, content.get("params", {}), "params")
    if "confidence" in params.model_fields_set:
        confidence = params.confidence
    return Batch(_READ[way](content[way], most, way, form), confidence)


def validated(model: type[M], content: object, place: str) -> M:
    """Read a part of a body; ``place`` is what errors call it, empty for the whole."""
    if not isinstance(content, dict):
        raise invalid_field(place or "body", "must be a JSON object", Kind.MALFORMED)
    if len(content) > MOST_KEYS:
        raise too_many_keys(content)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise invalid_listing(error, f"{place}." if place else "") from None


def all_or_problem(rows: Iterable[Row], name: Callable[[int, str], str]) -> list[ListingRequest]:
    """Return the rows if all could be read; else 422 naming the first ones that are wrong.

    ``name`` gives the place of a field in the request from the row's number and the field.
    """
    listings: list[ListingRequest] = []
    errors: list[WrongField] = []
    wrong = 0
    for place, row in enumerate(rows):
        if isinstance(row, ListingRequest):
            listings.append(row)
            continue
        wrong += 1
        found = row.errors or [WrongField("", str(row))]
        errors += [one._replace(field=name(place, one.field)) for one in found]
        if wrong == _SHOWN_ROWS:
            break
    if errors:
        raise invalid_fields(errors)
    return listings


def known(value: object) -> bool:
    """Return whether a cell is no missing value: data frames write NaN for those."""
    return value is not None and value == value  # noqa: PLR0124


def _way_of(content: object) -> str:
    names = list(content) if isinstance(content, dict) else []
    given = [name for name in FORMS if name in names]
    if len(given) != 1 or set(names) - {*given, "params"}:
        found = f"the keys {', '.join(names) or 'none'}"[:200] if names else "something else"
        raise ProblemError(
            Kind.MALFORMED,
            f"the body must be a JSON object with exactly one of {', '.join(FORMS)}, and with "
            f"params where they are needed; found {found}",
        )
    return given[0]


def _in(place: str) -> Callable[[int, str], str]:
    return lambda row, field: f"{place}[{row}].{field}".rstrip(".")


def _read_records(
    content: object, most: int, place: str, form: ListingForm
) -> list[ListingRequest]:
    if not isinstance(content, list):
        raise invalid_field(place, "must be an array of records", Kind.MALFORMED)
    check_rows(len(content), most)
    rows = (read_row(_read_record(row, form), form) for row in content)
    return all_or_problem(rows, _in(place))


def _read_split(content: object, most: int, place: str, form: ListingForm) -> list[ListingRequest]:
    split = validated(DataframeSplit, content, place)
    check_rows(len(split.data), most)
    fields = read_header(split.columns, form)
    where = f"{place}.data".lstrip(".")
    for number, cells in enumerate(split.data):
        if len(cells) != len(fields):
            message = f"has {len(cells)} cells; there are {len(fields)} columns"
            raise invalid_field(f"{where}[{number}]", message)
    return _read_cells(fields, split.data, where, form)


def _read_inputs(content: object, most: int, place: str, form: ListingForm) -> list[ListingRequest]:
    """Read records, one record, or an object of columns."""
    if not isinstance(content, dict):
        return _read_records(content, most, place, form)
    if any(isinstance(cells, list) for name, cells in content.items() if name != "features"):
        return _read_columns(content, most, place, form)
    return _read_records([content], most, place, form)


def _read_columns(
    content: Mapping[str, Any], most: int, place: str, form: ListingForm
) -> list[ListingRequest]:
    fields = read_header(list(content), form)
    rows = max(len(cells) for cells in content.values() if isinstance(cells, list))
    errors = [
        WrongField(f"{place}.{name}", f"must be an array of {rows} values")
        for name, cells in content.items()
        if not isinstance(cells, list) or len(cells) != rows
    ]
    if errors:
        raise invalid_fields(errors)
    check_rows(rows, most)
    return _read_cells(fields, zip(*content.values(), strict=True), place, form)


def _read_cells(
    fields: Sequence[str], rows: Iterable[Sequence[Any]], place: str, form: ListingForm
) -> list[ListingRequest]:
    names = [*map(name_in_requests, fields)]
    records = (
        {name: cell for name, cell in zip(names, cells, strict=True) if known(cell)}
        for cells in rows
    )
    return all_or_problem((read_row(record, form) for record in records), _in(place))


def _read_record(row: object, form: ListingForm) -> object:
    """Read a row that is an object; one of a data frame's cells is returned unchanged."""
    if not isinstance(row, dict):
        return row
    record = {name: cell if known(cell) else None for name, cell in row.items()}
    return read_row(record, form)


_READ: Mapping[str, Callable[[object, int, str, ListingForm], list[ListingRequest]]] = {
    "dataframe_split": _read_split,
    "dataframe_records": _read_records,
    "inputs": _read_inputs,
    "instances": _read_inputs,
}
