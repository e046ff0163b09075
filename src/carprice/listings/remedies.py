"""Find the rule that reads what a column's own rule does not, by trying it on the values."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pandas as pd
import yaml

from carprice.errors import InputError
from carprice.listings.cells import Cells
from carprice.listings.notation import Notation
from carprice.listings.values import EXCEL_DAYS, prepared, read_column
from carprice.schema import NUMERIC, FieldKind, alias, kind_of
from carprice.settings import ColumnRule, IngestSettings

_DATES: Final = (
    True,
    EXCEL_DAYS,
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%Y/%m/%d",
    "%b %Y",
    "%Y",
)
_YEAR: Final = r"((?:19|20)\d\d)"


def remedy(field: str, rule: ColumnRule, values: Sequence[str], settings: IngestSettings) -> str:
    """Return what to write into params.yaml so that values are read; in words, if nothing helps.

    Parameters
    ----------
    rule : the rule that does not read them.
    values : distinct values that cannot be read.
    """
    for changes, decimal in _candidates(field, settings):
        changed = rule.model_copy(update=changes)
        own = settings.model_copy(update={"decimal": decimal})
        raw = pd.Series([*values], dtype=object)
        try:
            cells, notation = prepared(field, raw, changed), Notation(own)
            if kind_of(field) in NUMERIC and isinstance(cells, Cells):
                notation.settle({field: (cells, changed)}, "")
            _, bad = read_column(field, cells, changed, notation, "")
        except InputError:
            continue
        if bad.mean() <= settings.max_unreadable:
            told = [_in_columns(field, changed)] if changes else []
            if decimal != settings.decimal:
                told.append(f"decimal: '{decimal}' in ingest")
            return "write " + " and ".join(told)
    if kind_of(field) is FieldKind.DATE:
        return (
            f"give ingest.columns.{alias(field)} the format of its dates, such as "
            "date: '%d.%m.%Y', or another column"
        )
    if kind_of(field) is FieldKind.EQUIPMENT:  # of lists, all can be read: these are flags
        return (
            f"say in ingest.columns.{alias(field)} what each word means: values: "
            f"{_flow({values[0]: 1})} with 1 for yes, 0 for no and null for unknown"
        )
    return (
        f"give ingest.columns.{alias(field)} another column or rule, or say which values mean "
        f"missing: values: {_flow({values[0]: None})}"
    )


def _candidates(field: str, settings: IngestSettings) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield changes of the rule and the decimal sign, the smallest change first."""
    kind = kind_of(field)
    if kind is FieldKind.DATE:
        yield from (
            ({"date": pattern}, settings.decimal) for pattern in (True, EXCEL_DAYS, *_DATES)
        )
    if field == "year":
        yield {"match": _YEAR}, settings.decimal
    if kind in NUMERIC:
        signs = dict.fromkeys((settings.decimal, ".", ","))
        for changes in ({}, {"number": True}):
            yield from ((changes, sign) for sign in signs if changes or sign != settings.decimal)


def _in_columns(field: str, rule: ColumnRule) -> str:
    content = rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return f"{alias(field)}: {_flow(content)} in ingest.columns"


def _flow(content: dict[str, Any]) -> str:
    """Return a mapping as YAML on one line."""
    options: dict[str, Any] = {"allow_unicode": True, "sort_keys": False, "width": 10**6}
    return str(yaml.safe_dump(content, default_flow_style=True, **options)).strip()
