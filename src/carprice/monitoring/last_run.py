"""``monitoring.json``: what a look at the model in use found, for machines."""

import datetime
import math
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from carprice.errors import InputError
from carprice.monitoring.checks import Chart, Check, Monitored
from carprice.monitoring.s3 import S3, open_store

FORMAT: Final = 1
MOST_BYTES: Final = 4_000_000
"""Largest file that is read back."""
_MADE_BY: Final = "name the monitoring.json that carprice monitor writes"
ERRORS: Final[Mapping[str, str]] = {
    "bias": "Middle of predicted over observed prices, minus one, per cent",
    "mdape": "Median of how far prices are off, per cent",
    "within_10": "Share of the prices that are off by ten per cent at most, per cent",
    "coverage": "Share of the prices that lie within their range at 90 %, per cent",
}
"""Figures of observed prices, and what each is."""
OBSERVED: Final = ("outcomes", "fresh_listings")
"""What there may be such figures of."""
MARKET: Final[Mapping[str, str]] = {
    "level": "What like cars cost beside what the model says, per cent",
    "level_error": "Standard error of that level, per cent",
}
"""Figures of the market, and what each is."""


def to_json(monitored: Monitored, made: datetime.datetime) -> dict[str, Any]:
    """Return what was found as plain JSON values; a figure that is no number is null.

    ``figures`` are those of :func:`figures`.
    """
    return {
        "format": FORMAT,
        "made": made.isoformat(timespec="seconds"),
        "level": monitored.level.name.lower(),
        "exit_code": int(monitored.level),
        "cause": monitored.cause.value,
        "why": list(monitored.why),
        "figures": figures(monitored.checks),
        "facts": _plain(monitored.facts),
        "checks": [_check(check) for check in monitored.checks],
        "charts": [_chart(chart) for chart in monitored.charts],
    }


def figures(checks: Sequence[Check]) -> dict[str, dict[str, float]]:
    """Return the figures of :data:`ERRORS` by what they are of, and of :data:`MARKET`, if known."""
    values = {check.name: check.values for check in checks}
    found: dict[str, dict[str, Any]] = {
        of: {name: values.get(f"errors_of_{of}", {}).get(name) for name in ERRORS}
        for of in OBSERVED
    }
    level = values.get("level", {})
    error = level.get("standard_error")
    found["market"] = {
        "level": level.get("shift_percent"),
        "level_error": error and 100 * error,  # of ln(price)
    }
    known = {
        of: {name: float(one) for name, one in own.items() if _is_number(one)}
        for of, own in found.items()
    }
    return {of: own for of, own in known.items() if own}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _check(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "group": check.group,
        "level": check.level.name.lower(),
        "told": check.told,
        "values": _plain(check.values),
    }


def _chart(chart: Chart) -> dict[str, Any]:
    return {
        "name": chart.name,
        "group": chart.group,
        "title": chart.title,
        "unit": chart.unit,
        "columns": list(chart.table.columns),
        "rows": _plain(chart.table.rows),
    }


def _plain(value: Any) -> Any:
    """Return a value in which null stands for numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_Name = Annotated[str, Field(max_length=100)]
_Known = Annotated[dict[_Name, Annotated[float, Field(ge=-1e9, le=1e9)]], Field(max_length=100)]
_Figures = Annotated[dict[_Name, _Known], Field(max_length=100)]


class LastRun(BaseModel):
    """What others read of ``monitoring.json``.

    Attributes
    ----------
    made : when it was found.
    level : the verdict.
    figures : as :func:`figures` returns them.
    """

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    format: Literal[1]
    made: AwareDatetime
    level: Literal["fine", "look", "retrain"]
    figures: _Figures


def read_last_run(place: str | Path) -> LastRun:
    """Read a ``monitoring.json``: a file, or ``s3://bucket/folder/name``.

    Raises
    ------
    InputError
        If there is none, its file cannot be read, or it is something else.
    OSError
        If S3 does not answer, or refuses.
    """
    in_s3 = str(place).startswith(S3)
    content = _from_s3(str(place)) if in_s3 else _from_file(Path(place))
    if len(content) > MOST_BYTES:
        raise InputError(f"{place} has more than {MOST_BYTES // 1_000_000} MB; {_MADE_BY}")
    try:
        return LastRun.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise InputError(f"{place} is no monitoring.json: {where}: {first['msg']}") from None


def _from_file(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is no file; {_MADE_BY}")
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {_MADE_BY}") from None


def _from_s3(address: str) -> bytes:
    name = address.removeprefix(S3)
    try:
        with open_store(name.partition("/")[0]).open_input_file(name) as file:
            return bytes(file.read(MOST_BYTES + 1))
    except FileNotFoundError:
        raise InputError(f"{address} is not there; carprice monitor --publish writes it") from None
