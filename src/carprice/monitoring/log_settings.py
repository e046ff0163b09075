"""Where the prediction log is, and what it may take: checked before the service starts."""

import re
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from carprice.schema import ASKING_PRICE, FIELDS, alias, is_own, why_not_own

_S3: Final = "s3://"
_PREFIX: Final = re.compile(rf"{_S3}[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9](/[A-Za-z0-9._=-]+)*/?")


@dataclass(frozen=True)
class LogSettings:
    """Where the log is, and what it may take.

    Attributes
    ----------
    location : a folder, or ``s3://bucket/prefix``.
    spool : folder of this machine for what is not sent yet, where the log is no folder.
    share : of the quotes that are kept, by their ids.
    without : fields of the listing that are left out.
    days : after so many files are deleted; 0: never.
    seconds, bytes : when a journal is finished.
    spool_bytes : what may wait to be sent.
    most_waiting : rows that may wait to be written.
    """

    location: str
    spool: Path = Path(".carprice") / "prediction-log"
    share: float = 1.0
    without: frozenset[str] = frozenset()
    days: int = 365
    seconds: float = 3600.0
    bytes: int = 16 * 1024 * 1024
    spool_bytes: int = 1024 * 1024 * 1024
    most_waiting: int = 20_000

    @property
    def is_s3(self) -> bool:
        """Whether the log is in S3, and not in a folder of this machine."""
        return self.location.startswith(_S3)


def check_location(location: str) -> None:
    """Raise :class:`ValueError` for a location that is no folder and no prefix in S3."""
    if location.startswith(_S3) and not _PREFIX.fullmatch(location):
        raise ValueError("is no s3://bucket/prefix of letters, digits, '.', '_', '=' and '-'")
    if "://" in location.removeprefix(_S3):
        raise ValueError("is neither a folder nor s3://bucket/prefix")


def check_needs() -> None:
    """Raise :class:`ValueError` where a log cannot be kept, whatever its settings."""
    if sys.platform == "win32":
        raise ValueError("needs Linux or macOS")
    check_arrow()


def check_arrow() -> None:
    """Raise :class:`ValueError` where pyarrow is missing."""
    if find_spec("pyarrow") is None:
        raise ValueError(
            "needs pyarrow, which is not installed here; build the image with "
            "--build-arg PREDICTION_LOG=yes, or run pip install pyarrow"
        )


def fields_of(text: str) -> frozenset[str]:
    """Return the fields that a comma-separated list names, in either spelling; also askingPrice.

    A market's own column is written with its kind, ``flag:accident``. :class:`ValueError` for a
    name that is no field: what is to be left out must not be kept by a slip.

    Examples
    --------
    >>> sorted(fields_of("color, fuelType,flag:accident"))
    ['color', 'flag:accident', 'fuel_type']
    >>> sorted(fields_of("askingPrice"))
    ['asking_price']
    """
    fields = {
        spelling: name for name in (*FIELDS, ASKING_PRICE) for spelling in (name, alias(name))
    }
    names = [name for name in map(str.strip, text.split(",")) if name]
    for name in names:
        is_known = name in fields or (is_own(name) and not why_not_own(name, of_before=True))
        if not is_known:
            raise ValueError(
                f"{name[:50]!r} is no field of a listing; write own columns with their kind, such "
                "as flag:accident"
            )
    return frozenset(fields.get(name, name) for name in names)
