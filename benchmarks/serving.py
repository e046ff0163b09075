"""carprice's service beside a bare application, the empty route and other ways to serve its model.

Each service runs alone on one core, and wrk asks it from another for the prices of 1,000 different
listings in turn, over 1 and 16 connections. Needs Linux, wrk, and no other load on the machine.
"""

import argparse
import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import wrk
from bodies import compact_json, sample_listings
from command import Parser, report, run
from measuring import (
    COLD,
    CONNECTIONS,
    WARM,
    Bench,
    Measurements,
    learn_prices,
    measure_registry,
    measure_service,
)
from mlserver_venv import DEFAULT_FOLDER, UnavailableError, ensure_mlserver
from rich.console import Console
from rich.table import Table
from sample_registry import sample_registry
from servers import Cores, ServerError
from services import BARE, BESIDE, CARPRICE, EMPTY, MLFLOW, MLSERVER, REFERENCE, SERVICES, Place

from carprice.arrays import Progress

LEAST_OF_BARE: Final = 0.25
LEAST_OF_EMPTY: Final = 0.70
LEAST_OF_MLFLOW: Final = 50.0
LEAST_OF_BESIDE: Final = 0.95
"""Of the other version's: what repeats of one version differ by on a quiet machine is less."""
MOST_OF_P99: Final = 3.0
MOST_OF_START: Final = 1.5
ALWAYS: Final = (BARE, EMPTY, CARPRICE)
SKIPPABLE: Final = {"mlflow": MLFLOW, "reference": REFERENCE, "mlserver": MLSERVER}
FEW, MANY = CONNECTIONS

_EPILOG: Final = (
    "example: python benchmarks/serving.py --seconds 2 --repeats 1 --skip mlserver\n"
    "exit codes: 0 done, 1 a requirement is missed or errors happened, 2 cannot run here"
)


@dataclass(frozen=True)
class Requirement:
    """One requirement with the numbers that it was held against; None where one is missing."""

    requirement: str
    found: str
    is_met: bool | None


def checks(findings: Measurements) -> list[Requirement]:
    """Hold the figures against what is required of carprice."""
    beside = [] if BESIDE in findings.skipped else [_check_rate(findings, BESIDE, LEAST_OF_BESIDE)]
    return [
        *beside,
        _check_rate(findings, BARE, LEAST_OF_BARE),
        _check_rate(findings, EMPTY, LEAST_OF_EMPTY),
        _check_rate(findings, MLFLOW, LEAST_OF_MLFLOW),
        _check_p99(findings),
        _check_start(findings, COLD, "an empty model cache, the registry's answer a download"),
        _check_start(findings, WARM, "a filled model cache, the registry's answer one request"),
    ]


def _ratio(findings: Measurements, other: str, figure: str, connections: int) -> tuple[str, float]:
    """Return how carprice's median of a figure compares with another service's."""
    names = (CARPRICE, other)
    ours, theirs = (findings.services[name].median(figure, connections) for name in names)
    digits, unit = (0, "") if figure == "rate" else (2, " ms")
    told = f"{ours:,.{digits}f} / {theirs:,.{digits}f}{unit} = {ours / theirs:.2f}"
    return told, ours / theirs


def _check_rate(findings: Measurements, other: str, least: float) -> Requirement:
    requirement = f"{MANY} connections: at least {least:g} times the requests/s of {other}"
    if not findings.has(CARPRICE, other):
        return Requirement(requirement, "not measured", None)
    told, ratio = _ratio(findings, other, "rate", MANY)
    return Requirement(requirement, told, ratio >= least)


def _check_p99(findings: Measurements) -> Requirement:
    requirement = f"{FEW} connection: p99 at most {MOST_OF_P99:g} times that of {EMPTY}"
    if not findings.has(CARPRICE, EMPTY):
        return Requirement(requirement, "not measured", None)
    told, ratio = _ratio(findings, EMPTY, "p99_ms", FEW)
    return Requirement(requirement, told, ratio <= MOST_OF_P99)


def _check_start(findings: Measurements, found: str, what: str) -> Requirement:
    requirement = (
        f"ready within {MOST_OF_START:g} times the start of {EMPTY} plus the registry's answer "
        f"({what})"
    )
    if not findings.has(CARPRICE, EMPTY) or not findings.registry[found]:
        return Requirement(requirement, "not measured", None)
    ours, empty = findings.services[CARPRICE].start(found), findings.services[EMPTY].start()
    registry = findings.registry_answer(found)
    allowed = MOST_OF_START * empty + registry
    told = f"{ours:.2f} s of {MOST_OF_START:g} × {empty:.2f} + {registry:.2f} = {allowed:.2f} s"
    return Requirement(requirement, told, ours <= allowed)


def load_table(findings: Measurements, title: str) -> Table:
    """Return one row a service and number of connections."""
    table = Table(title=title, title_justify="left")
    table.add_column("service", no_wrap=True)
    for name in ("conn.", "req/s", "× empty", "× mlflow", "p50 ms", "× empty"):
        table.add_column(name, justify="right")
    for name in ("× mlflow", "p99 ms", "× empty", "× mlflow", "core µs"):
        table.add_column(name, justify="right")
    for connections in CONNECTIONS:
        for name in _measured(findings):
            cells = [name, str(connections)]
            for figure, digits in (("rate", 0), ("p50_ms", 2), ("p99_ms", 2)):
                values = {
                    one: findings.services[one].median(figure, connections)
                    for one in _measured(findings)
                }
                cells += _with_ratios(values[name], values, digits)
            table.add_row(*cells, f"{findings.services[name].median('core_us', connections):.0f}")
        table.add_section()
    return table


def start_table(findings: Measurements) -> Table:
    """Return memory and time to the first answer."""
    table = Table(title="Memory after the load, and start to first price", title_justify="left")
    table.add_column("service", no_wrap=True)
    for name in ("MB", "× empty", "× mlflow", "first price s", "× empty", "× mlflow"):
        table.add_column(name, justify="right")
    names = _measured(findings)
    megabytes = {name: findings.services[name].megabytes for name in names}
    starts = {name: findings.services[name].start() for name in names}
    for name in names:
        memory = _with_ratios(megabytes[name], megabytes, 0)
        if SERVICES[name].cache is not None:
            table.add_row(
                f"{name}, empty cache", "", "", "", *_with_ratios(starts[name], starts, 2)
            )
            warm = findings.services[name].start(WARM)
            table.add_row(f"{name}, filled cache", *memory, *_with_ratios(warm, starts, 2))
        else:
            table.add_row(name, *memory, *_with_ratios(starts[name], starts, 2))
    table.add_section()
    for found, what in ((COLD, "registry: download"), (WARM, "registry: one request")):
        seconds = findings.registry_answer(found)
        table.add_row(what, "", "", "", *_with_ratios(seconds, starts, 3))
    return table


def _measured(findings: Measurements) -> list[str]:
    return [name for name in SERVICES if findings.has(name)]


def _with_ratios(value: float, values: dict[str, float], digits: int) -> list[str]:
    ratios = (f"{value / values[one]:.2f}" if one in values else "" for one in (EMPTY, MLFLOW))
    return [f"{value:,.{digits}f}", *ratios]


def as_json(findings: Measurements, made: Sequence[Requirement]) -> dict[str, Any]:
    """Return all figures of all repeats, and the checks."""
    return {
        "services": {name: dataclasses.asdict(one) for name, one in findings.services.items()},
        "registry_seconds": findings.registry,
        "checks": [dataclasses.asdict(check) for check in made],
        "problems": findings.problems,
        "skipped": findings.skipped,
    }


def show(out: Console, findings: Measurements, made: Sequence[Requirement], title: str) -> None:
    """Print tables, requirements and problems for people."""
    if findings.has(*ALWAYS):
        out.print(load_table(findings, title))
        out.print(start_table(findings))
    for name, why in findings.skipped.items():
        out.print(f"SKIPPED  {name}: {why}", markup=False, soft_wrap=True)
    for check in made:
        verdict = {True: "PASS", False: "FAIL", None: "    "}[check.is_met]
        out.print(f"{verdict:<8} {check.requirement}: {check.found}", markup=False, soft_wrap=True)
    for problem in findings.problems:
        out.print(f"ERROR    {problem}", markup=False, soft_wrap=True)


def measure(options: argparse.Namespace, scratch: Path, progress: Progress) -> Measurements:
    """Measure all services so often; the order rotates from one repeat to the next."""
    cores = Cores.of_this_machine()
    findings = Measurements(skipped={SKIPPABLE[name]: "by --skip" for name in options.skip})
    if options.beside is None:
        findings.skipped[BESIDE] = "--beside names no other version"
    mlserver = None
    if MLSERVER not in findings.skipped:
        try:
            mlserver = ensure_mlserver(options.mlserver_venv, progress)
        except UnavailableError as error:
            findings.skipped[MLSERVER] = f"it cannot be installed: {error}"
    names = [name for name in SERVICES if name not in findings.skipped]
    listings = sample_listings()
    texts = {name: [compact_json(SERVICES[name].form(one)) for one in listings] for name in names}
    with sample_registry(options.workdir, scratch, progress) as registry:
        if cores.are_two:
            os.sched_setaffinity(0, {cores.load})
        place = Place(registry, scratch, mlserver, options.beside)
        bench = Bench(place, cores, options.seconds, texts, progress)
        learn_prices(bench)
        for repeat in range(options.repeats):
            measure_registry(bench, findings)
            for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
                progress(f"{name}: repeat {repeat + 1} of {options.repeats}")
                try:
                    measure_service(bench, name, findings)
                except (ServerError, subprocess.CalledProcessError) as error:
                    findings.problems.append(f"{name}: {error}")
    return findings


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(__doc__, _EPILOG)
    parser.add_argument(
        "--repeats", type=int, default=3, help="of every measurement; medians are told (default: 3)"
    )
    parser.add_argument(
        "--seconds", type=int, default=5, help="of each load (default: %(default)s)"
    )
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        choices=SKIPPABLE,
        help="leave out this service; may be given more than once",
    )
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="PYTHON",
        help="also measure the carprice that this Python has installed: another commit's",
    )
    parser.add_argument(
        "--mlserver-venv",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help="virtual environment for MLServer, made on first use (default: %(default)s)",
    )
    options = parser.read()
    if options.repeats < 1 or options.seconds < 1:
        parser.error("--repeats and --seconds must be at least 1")
    if options.beside is not None and not os.access(options.beside, os.X_OK):
        parser.error(f"--beside: {options.beside} is no program; name an environment's Python")
    return options


def main() -> int:
    """Run from the command line."""
    options = read_options()
    # Before the load is pinned to its core: this process has but one from then on.
    title = f"{Cores.of_this_machine()}; medians of {options.repeats} × {options.seconds} s"
    findings = run(
        lambda scratch, progress: measure(options, scratch, progress),
        missing=None if wrk.is_installed() else wrk.MISSING,
    )
    made = checks(findings)
    report(as_json(findings, made), options.json, lambda out: show(out, findings, made, title))
    return int(bool(findings.problems) or any(check.is_met is False for check in made))


if __name__ == "__main__":
    sys.exit(main())
