"""Tensors of the Open Inference Protocol → listings, and prices → tensors."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from api.batch_pool import json_array
from api.json_reader import parse_json
from api.parsing import PLAIN, Batch, ListingForm, check_rows, read_row
from api.problems import invalid_fields
from api.protocols.dataframes import all_or_problem, known, validated
from api.protocols.messages import InferenceRequest, RequestInput
from api.protocols.schemas import FLOATS, OUTPUTS, datatypes_of
from api.served import PricedRow
from carprice.listings.problems import MOST_ERRORS, WrongField, shown
from carprice.model.pricer import Valuation
from carprice.schema import REQUIRED, alias, name_in_requests

_PLAIN_TYPES = {"BYTES": str, "BOOL": bool}
_MANY = 10**12  # more need not be told apart


@dataclass(frozen=True)
class Inference(Batch):
    """The listings of one request, the output tensors that it asks for, and its id."""

    outputs: Sequence[str] = ()
    id: str | None = None


def read_inference(
    body: bytes, most: int, confidence: float, form: ListingForm = PLAIN
) -> Inference:
    """Read a request; ``confidence`` is for one that names none.

    422 naming the tensor that is wrong; 413 for too many rows.
    """
    request = validated(InferenceRequest, parse_json(body, most, strict=True), "")
    rows = _rows_of(request.inputs)
    check_rows(rows, most)
    columns = _columns_of(request.inputs, rows, form)
    records: list[dict[str, Any]] = [{} for _ in range(rows)]
    for field, cells in columns.items():
        for record, cell in zip(records, cells, strict=True):
            if known(cell) and cell != "":
                record[name_in_requests(field)] = cell
    if "confidence" in request.parameters.model_fields_set:
        confidence = request.parameters.confidence
    return Inference(
        all_or_problem((read_row(record, form) for record in records), _cell_name),
        confidence,
        outputs=[*dict.fromkeys(output.name for output in request.outputs)] or [*OUTPUTS],
        id=request.id if "id" in request.model_fields_set else None,
    )


def output_tensors(rows: Sequence[PricedRow], names: Sequence[str]) -> bytes:
    """Return the tensors of an answer as JSON; warnings are JSON text in it."""
    contents = [row.content() for row in rows if isinstance(row, Valuation)]
    for content in contents:
        content["warnings"] = to_json(content["warnings"]).decode()
    tensors = []
    for name in names:
        head = {"name": name, "datatype": OUTPUTS[name], "shape": [len(contents)]}
        data = json_array(content[name] for content in contents)
        tensors.append(to_json(head)[:-1] + b',"data":' + data + b"}")
    return b"[" + b",".join(tensors) + b"]"


def _rows_of(tensors: Sequence[RequestInput]) -> int:
    if not tensors:
        return 0
    (first, *_) = [*tensors[0].shape, None]
    return min(first, _MANY) if type(first) is int else len(tensors[0].data)


def _columns_of(
    tensors: Sequence[RequestInput], rows: int, form: ListingForm
) -> dict[str, list[Any]]:
    """Return the tensors' values by field; 422 naming each tensor that is wrong or missing."""
    columns = {}
    errors = []
    field_by_name = form.field_by_name
    counted = Counter(field_by_name.get(tensor.name, tensor.name) for tensor in tensors)
    for tensor in tensors:
        field = field_by_name.get(tensor.name)
        if field is None:
            message = f"there is no such tensor; {form.nearest(tensor.name)}"
        elif counted[field] > 1:
            message = "is there more than once; leave one out"
        else:
            message = _wrong_form(tensor, rows) or _wrong_type(tensor, field)
        if message:
            errors.append(WrongField(f"tensor {tensor.name[:200]}", message))
        elif field is not None:
            columns[field] = _flat(tensor)
        if len(errors) == MOST_ERRORS:
            break
    if len(errors) < MOST_ERRORS:
        errors += [
            WrongField(f"tensor {alias(field)}", "this tensor is required")
            for field in REQUIRED
            if field not in counted
        ]
    if errors:
        raise invalid_fields(errors)
    return columns


def _wrong_form(tensor: RequestInput, rows: int) -> str:
    shape, found = tensor.shape, len(tensor.data)
    if any(isinstance(size, bool) for size in shape) or shape not in ([rows], [rows, 1]):
        wanted = f"[n] or [n, 1], with one n for all tensors: {rows}"
        return f"the shape is {shown(shape)}; it must be {wanted}"
    if found != rows:
        return f"the shape is {shown(shape)}, the data has {found} values"
    return ""


def _flat(tensor: RequestInput) -> list[Any]:
    nested = len(tensor.shape) == 2 and all(
        isinstance(cell, list) and len(cell) == 1 for cell in tensor.data
    )
    return [cell[0] for cell in tensor.data] if nested else tensor.data


def _wrong_type(tensor: RequestInput, field: str) -> str:
    datatypes = datatypes_of(field)
    if tensor.datatype not in datatypes:
        return f"the datatype is {tensor.datatype[:50]!r}; it must be {' or '.join(datatypes)}"
    for place, cell in enumerate(_flat(tensor)):
        if known(cell) and not _fits(cell, tensor.datatype):
            return f"value {place} is no {tensor.datatype}: {str(shown(cell))!r}"
    return ""


def _fits(cell: object, datatype: str) -> bool:
    if datatype in _PLAIN_TYPES:
        return isinstance(cell, _PLAIN_TYPES[datatype])
    if isinstance(cell, float):
        return datatype in FLOATS or cell.is_integer()
    return isinstance(cell, int) and not isinstance(cell, bool)


def _cell_name(row: int, field: str) -> str:
    name, _, rest = field.partition(".")
    return f"tensor {name}[{row}]{rest and '.'}{rest}"
