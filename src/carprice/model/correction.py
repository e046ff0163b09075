"""What keeps a model's level and ranges near the market without training it again.

A correction is an optional part of the model folder, under its digests: a folder with another one
is another model. It moves ln(price) by a shift, of all cars and of their make, and both ends of a
range from the price, in ln, by a factor of the car's age band. Nothing else of the model changes.

:mod:`carprice.monitoring.recalibration` learns it; the pricer applies it, in one place.
"""

import datetime
import json
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from carprice.model.intervals import AGE_BANDS
from carprice.model_folder import read_files, write_folder

FILE: Final = "correction.json"
LARGEST_SHIFT: Final = 0.5
"""Of ln(price), of all cars and of a make together; the correction of a folder has no larger."""
SCALE_LIMITS: Final = (0.2, 5.0)
"""Within which the factors of the ranges of any folder are."""
_EDGES: Final = list(AGE_BANDS.values())


@dataclass(frozen=True)
class HeldOut:
    """What a correction does to cars that it was not learned from, listed later than those it was.

    Figures are without it, with it, and with the one that the model had before, where it had one;
    in per cent: the mean size of ln(price / price observed), MAPE, the mean of
    ln(price / price observed), coverage of the 90 % range.
    """

    rows: int
    error: tuple[float, ...]
    mape: tuple[float, ...]
    bias: tuple[float, ...]
    coverage: tuple[float, ...]


@dataclass(frozen=True)
class Correction:
    """A shift of ln(price) and a factor of the ranges, for prices of a day or later.

    It applies to listings of ``since`` or later, and to those without a date, which are asked for
    now; not to earlier ones, whose prices the model itself knows.

    Attributes
    ----------
    since, until : days of the oldest and newest price that it was learned from.
    rows : how many those are.
    shift : of the ln(price) of all cars.
    by_make : what is added to that for the cars of a make; makes of few rows are not there.
    undated : what is added to that for a listing without a date. The model prices it on the
        valuation date, at the age of that year; it is asked for now.
    scale : by which a range's distances from the price, in ln, are multiplied; by age band.
    held_out : figures of later cars; None where they were not measured.
    """

    since: datetime.date
    until: datetime.date
    rows: int
    shift: float
    by_make: Mapping[str, float] = field(default_factory=dict)
    scale: tuple[float, ...] = (1.0,) * len(AGE_BANDS)
    held_out: HeldOut | None = None
    undated: float = 0.0

    @property
    def reason(self) -> str:
        """The name of its part of a price."""
        return f"market since {self.since.isoformat()}"

    def shift_of(self, make: str) -> float:
        """Return the shift of ln(price) of a car by its make, normalised."""
        return self.shift + self.by_make.get(make, 0.0)

    def scale_at(self, age: float) -> float:
        """Return the factor of the range of a car of an age in years."""
        return self.scale[bisect_left(_EDGES, age)]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        content = asdict(self)
        content |= {"since": self.since.isoformat(), "until": self.until.isoformat()}
        return content if self.held_out else {k: v for k, v in content.items() if k != "held_out"}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        held_out = None
        if found := content.get("held_out"):
            pairs = {name: tuple(pair) for name, pair in found.items() if name != "rows"}
            held_out = HeldOut(found["rows"], **pairs)
        return cls(
            since=datetime.date.fromisoformat(content["since"]),
            until=datetime.date.fromisoformat(content["until"]),
            rows=content["rows"],
            shift=content["shift"],
            by_make=content["by_make"],
            scale=tuple(content["scale"]),
            held_out=held_out,
            undated=content.get("undated", 0.0),
        )


def read_correction(folder: Path) -> Correction | None:
    """Return the correction of a model folder that has been checked; None where there is none."""
    path = folder / FILE
    return Correction.from_json(json.loads(path.read_bytes())) if path.is_file() else None


def write_corrected(source: Path, target: Path, correction: Correction) -> str:
    """Write a model folder again with a correction, in place of its own if it has one.

    All other files are the same, byte for byte. Return the digest of the new folder.

    Raises
    ------
    InputError
        If there is no model folder.
    CorruptModelError
        If it is not as it was written.
    """
    files = read_files(source)

    def write_files(folder: Path) -> None:
        for name, content in files.contents.items():
            if name != FILE:
                (folder / name).write_bytes(content)
        (folder / FILE).write_bytes(json.dumps(correction.to_json(), sort_keys=True).encode())

    ours = ("format_version", "files", "checksum")
    description = {name: told for name, told in files.manifest.items() if name not in ours}
    return write_folder(target, description, write_files)
