"""What many listings cost on a cluster, by the slopes that ``scaling.py --json`` measured.

Hours, dollars, bytes sent and memory of each stage, a straight line through the two largest sizes
at which it was measured; and beside it what the same takes without workers. No network is reckoned
with, and prices are assumptions.
"""

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

BYTES_OF_A_ROW: Final = {"ingest": 160, "transform": 0, "train": 110, "predict": 0}
"""Sent by the workers to the command's process: a mapped row of the sample, pickled; sums of the
ridge, as if 50,000 rows of two models had those of 1,000; prices go to the store."""


@dataclass(frozen=True)
class Line:
    """Something that grows with the rows: so much at none, and so much a row."""

    start: float
    slope: float

    @classmethod
    def through(cls, few: tuple[float, float], many: tuple[float, float]) -> "Line":
        """Return the line through two points (rows, value).

        Examples
        --------
        >>> Line.through((100, 5.0), (400, 11.0))
        Line(start=3.0, slope=0.02)
        """
        slope = (many[1] - few[1]) / (many[0] - few[0])
        return cls(few[1] - slope * few[0], slope)

    def at(self, rows: float) -> float:
        """Return the value at so many rows."""
        return self.start + self.slope * rows

    def rows_at(self, value: float) -> float:
        """Return the rows at which it comes to a value; infinite where it does not grow."""
        return (value - self.start) / self.slope if self.slope > 0 else math.inf


Sizes = list[tuple[int, dict[str, Any]]]


def line(sizes: Sizes, name: str, figure: str) -> Line:
    """Return the line of a figure of a stage through two sizes."""
    (few, one), (many, other) = sizes
    return Line.through((few, one[name].get(figure, 0)), (many, other[name].get(figure, 0)))


def largest(measured: Mapping[str, Any], name: str) -> Sizes:
    """Return the two largest sizes at which something was measured, or fewer."""
    return sorted((int(rows), of) for rows, of in measured.items() if name in of)[-2:]


def told(measured: Mapping[str, Any], options: argparse.Namespace) -> list[str]:
    """Return one line for each stage."""
    rows, cores = options.rows, options.machines * options.cores
    found = [f"{rows:,} rows in {math.ceil(rows / options.part):,} files of {options.part:,}"]
    for stage, sent in BYTES_OF_A_ROW.items():
        name = f"{stage} on {options.workers}"
        sizes = largest(measured, name)
        if len(sizes) < 2:
            found.append(f"{name}: not measured at two sizes")
            continue
        workers, here = (line(sizes, name, one) for one in ("cpu_of_workers", "cpu"))
        memory = line(sizes, name, "megabytes")
        hours = (workers.at(rows) / cores + here.at(rows)) / 3600
        dollars = hours * (options.machines * options.dollars + options.dollars_here)
        most = memory.rows_at(1000 * options.memory)
        limit = "is no limit" if most > 1000 * rows else f"is full at {most / 1e6:,.0f} million"
        found.append(
            f"{stage}: {workers.slope * 1e6:.0f} µs a row on workers, {here.slope * 1e6:.0f} here; "
            f"{hours:.2f} h and {dollars:.2f} dollars on {options.machines} machines of "
            f"{options.cores} cores; {sent * rows / 1e9:,.0f} GB sent here; memory here "
            f"{memory.at(rows) / 1000:,.0f} GB, {options.memory} GB {limit}"
        )
        if len(alone := largest(measured, stage)) == 2:
            hours = line(alone, stage, "seconds").at(rows) / 3600
            dollars = hours * options.dollars_here
            found.append(f"{stage} without workers: {hours:.2f} h and {dollars:.2f} dollars")
    return found


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "measured", type=Path, nargs="+", help="what scaling.py --json wrote, in one run or more"
    )
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--part", type=int, default=200_000, help="rows of a file")
    parser.add_argument("--workers", type=int, default=2, help="of the measurement to go by")
    parser.add_argument("--machines", type=int, default=16, help="that workers run on")
    parser.add_argument("--cores", type=int, default=4, help="of each of them")
    parser.add_argument("--dollars", type=float, default=0.2, help="an hour of each, assumed")
    parser.add_argument("--memory", type=int, default=256, help="GB of the command's machine")
    parser.add_argument("--dollars-here", type=float, default=2.1, help="an hour of it, assumed")
    options = parser.parse_args()
    measured = defaultdict[str, dict[str, Any]](dict)
    for file in options.measured:
        for rows, figures in json.loads(file.read_text(encoding="utf-8")).items():
            measured[rows] |= figures
    sys.stdout.write("\n".join(told(measured, options)) + "\n")


if __name__ == "__main__":
    main()
