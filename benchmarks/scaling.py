"""How time and memory of ingest, transform and train grow with the sample's rows and with workers.

Each stage is the command ``carprice``, timed from its start to its end, on one machine (0 workers)
or on so many Dask workers of this machine. Its processes are looked at several times a second: what
they compute, and the most memory that each of them has. A case is left out, and why is told, where
by the line through two smaller sizes it would take more memory than the machine has, or more time
than is left of ``--minutes``; and where it takes more.
"""

import argparse
import contextlib
import itertools
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil
from on_paper import Line
from rich.console import Console
from rich.table import Table

from carprice.components.workspace import Workspace
from carprice.files import write_json
from carprice.model_folder import folder_digest
from carprice.sample.market import generate

ROWS: Final = (10_000, 100_000, 1_000_000)
COMPARED_WITH: Final = 1_000_000
SEED: Final = 7
TEST_SHARE: Final = 0.01
"""Nearly all rows are learned from."""
ROWS_OF_A_FILE: Final = 50_000
MEMORY: Final = "2GB"
STAGES: Final = ("ingest", "transform", "train", "predict")
_SECONDS_BETWEEN: Final = 0.2
_SHARE_OF_MEMORY: Final = 0.9

Figures = dict[str, Any]


def sample_of(folder: Path, rows: int) -> Path:
    """Return a folder with the sample's listings, in files of so many rows as small workers bear.

    Files that a smaller sample has are its own.
    """
    found = folder / f"sample-{rows}"
    found.mkdir()
    for place, first in enumerate(range(0, rows, ROWS_OF_A_FILE)):
        count = min(ROWS_OF_A_FILE, rows - first)
        file = folder / f"{place:06}-{count}.parquet"
        if not file.exists():
            generate(count, SEED + place).to_parquet(file, index=False)
        (found / f"{place:06}.parquet").symlink_to(file)
    return found


def command_of(
    stage: str, sample: Path, workers: int, python: str, model: Path | None = None
) -> list[str]:
    """Return the command of a stage, to be run in a folder of its own."""
    command = [python, "-m", "carprice.cli", stage]
    if stage == "transform":
        return command
    if stage == "predict":
        command += [str(sample / "*.parquet"), "--out", "priced/"]
        command += ["--model", str(model or Workspace(Path()).model)]
    return [*command, "--params", "params.yaml", *(["--cluster", "dask"] if workers else [])]


def measure(command: list[str], folder: Path, workers: int, seconds: float) -> Figures:
    """Run a command; return its seconds, and what it and its workers compute and have of memory.

    Raises
    ------
    subprocess.SubprocessError
        If the command fails, or takes longer than it may.
    """
    computed, peaks = dict[int, float](), dict[int, float]()
    start = time.perf_counter()
    with (folder / "told.txt").open("wb") as told:
        process = psutil.Popen(command, cwd=folder, stdout=told, stderr=told)
    with ended(process):
        while process.poll() is None:
            for one in family(process):
                with contextlib.suppress(psutil.Error, OSError):
                    times = one.cpu_times()
                    computed[one.pid] = times.user + times.system
                    peaks[one.pid] = max(peak_megabytes(one), peaks.get(one.pid, 0))
            if time.perf_counter() - start > seconds:
                raise subprocess.TimeoutExpired(command, seconds)
            time.sleep(_SECONDS_BETWEEN)
    if process.returncode:
        output = (folder / "told.txt").read_text(encoding="utf-8", errors="replace")
        raise subprocess.CalledProcessError(process.returncode, command, output)
    figures: Figures = {"seconds": time.perf_counter() - start}
    figures |= {"cpu": computed.pop(process.pid, 0), "megabytes": peaks.pop(process.pid, 0)}
    if workers:
        figures["cpu_of_workers"] = sum(computed.values())
        figures["worker"] = max(peaks.values(), default=0)
        figures["lost"] = max(len(peaks) - workers, 0)
    return figures


@contextlib.contextmanager
def ended(process: psutil.Popen) -> Iterator[None]:
    """End a process and its workers after the block, if it has not ended."""
    try:
        yield
    finally:
        left = family(process)
        for one in left:
            with contextlib.suppress(psutil.Error):
                one.kill()
        psutil.wait_procs(left)


def family(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and its workers; none where it has ended."""
    with contextlib.suppress(psutil.Error):
        return [process, *filter(is_worker, process.children())]
    return []


def is_worker(process: psutil.Process) -> bool:
    """Whether a process is a Dask worker, and not what Python starts beside these."""
    with contextlib.suppress(psutil.Error):
        return "spawn_main" in " ".join(process.cmdline())
    return False


def peak_megabytes(process: psutil.Process) -> float:
    """Return the most memory that a process had; without Linux, what it has."""
    with contextlib.suppress(FileNotFoundError):
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace")
        if found := re.search(r"VmHWM:\s+(\d+) kB", status):
            return int(found[1]) * 1024 / 1e6
    return float(process.memory_info().rss / 1e6)


def run_case(sample: Path, workers: int, options: argparse.Namespace, until: float) -> Figures:
    """Run the stages; return the figures by stage, and why it did not come to the end if so."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory(dir=sample.parent) as scratch:
        folder = Path(scratch)
        ingest = {"source": str(sample / "*.parquet"), "split": {"test_size": TEST_SHARE}}
        compute = {"workers": max(workers, 1), "memory": MEMORY}
        write_json(folder / "params.yaml", {"ingest": ingest, "compute": compute})
        for stage in options.stages:
            command = command_of(stage, sample, workers, options.python, options.model)
            there = workers if "--cluster" in command else 0
            try:
                figures[stage] = measure(command, folder, there, until - time.monotonic())
            except subprocess.TimeoutExpired:
                return {**figures, "left out": f"{stage} was ended: the time was up"}
            except subprocess.CalledProcessError as error:
                last = (error.output.strip().splitlines() or ["no word"])[-1]
                return {**figures, "left out": f"{stage} failed ({error.returncode}): {last}"}
            if stage == "train":
                figures[stage]["model"] = folder_digest(Workspace(folder).model)
    return figures


def too_much(rows: int, fewer: dict[int, Figures], workers: int, seconds: float) -> str:
    """Tell why so many rows are not tried, by the two largest sizes that were; else nothing."""
    sizes = sorted(fewer)[-2:]
    if any("left out" in fewer[size] for size in sizes):
        return f"{sizes[-1]:,} rows did not come to the end"
    if len(sizes) < 2:
        return ""

    def needed(figure: Callable[[Figures], float]) -> float:
        few, many = ((size, figure(fewer[size])) for size in sizes)
        return Line.through(few, many).at(rows)

    def megabytes(figures: Figures) -> float:
        each = ([one["megabytes"], *[one.get("worker", 0)] * workers] for one in figures.values())
        return float(max(map(sum, each)))

    free, time_needed = psutil.virtual_memory().available / 1e6, needed(seconds_of)
    if time_needed > seconds:
        return f"it may take {time_needed:,.0f} s, and {seconds:,.0f} are left"
    if (memory := needed(megabytes)) > _SHARE_OF_MEMORY * free:
        return f"it may take {memory:,.0f} MB, and {free:,.0f} are free"
    return ""


def seconds_of(figures: Figures) -> float:
    """Return the seconds of all stages."""
    return sum_of(figures, "seconds")


def sum_of(figures: Figures, *names: str) -> float:
    """Return the sum of some figures of all stages."""
    return float(sum(one.get(name, 0) for one in figures.values() for name in names))


def named(stage: str, workers: int) -> str:
    """Return the name of a stage's figures in the file that ``--json`` writes."""
    return f"{stage} on {workers}" if workers else stage


def as_json(measured: dict[int, dict[int, Figures]]) -> dict[int, Figures]:
    """Return the figures by size and by stage."""
    return {
        rows: {
            named(stage, workers): found
            for workers, figures in cases.items()
            for stage, found in figures.items()
        }
        for rows, cases in measured.items()
    }


def scaling_table(measured: dict[int, dict[int, Figures]]) -> Table:
    """Return one row a size of the sample, number of workers and stage, and one for all stages."""
    table = Table(title="The sample market on this machine", title_justify="left")
    compared = COMPARED_WITH if COMPARED_WITH in measured else min(measured)
    for name in ("rows", "workers", "stage", "s", "CPU s, command", "CPU s, workers"):
        table.add_column(name, justify="right")
    for name in ("µs a row", "CPU µs a row", f"a row, × that of {compared:,}"):
        table.add_column(name, justify="right")
    for name in ("peak MB, command", "peak MB, a worker"):
        table.add_column(name, justify="right")
    for rows, cases in measured.items():
        for workers, figures in sorted(cases.items()):
            finished = {stage: of for stage, of in figures.items() if stage != "left out"}
            is_whole = len(finished) == len(figures)
            for stage in (*finished, *(["all"] if is_whole and len(finished) > 1 else [])):
                some = finished if stage == "all" else {stage: finished[stage]}
                like = measured[compared].get(workers, {})
                like = like if stage == "all" else {stage: like.get(stage, {})}
                table.add_row(
                    *(f"{rows:,}", str(workers), stage),
                    *row_of(rows, workers, some),
                    times(rows, some, compared, like),
                    *(peak(some, name) for name in ("megabytes", "worker")),
                    end_section=stage == "all",
                )
            if not is_whole:
                what = "rest left out" if finished else "left out"
                table.add_row(f"{rows:,}", str(workers), what, end_section=True)
    return table


def row_of(rows: int, workers: int, figures: Figures) -> Iterator[str]:
    """Yield what stages take."""
    seconds, cpu = sum_of(figures, "seconds"), sum_of(figures, "cpu", "cpu_of_workers")
    yield f"{seconds:,.1f}"
    yield f"{sum_of(figures, 'cpu'):,.1f}"
    yield f"{sum_of(figures, 'cpu_of_workers'):,.1f}" if workers else ""
    yield f"{1e6 * seconds / rows:,.1f}"
    yield f"{1e6 * cpu / rows:,.1f}"


def times(rows: int, figures: Figures, others: int, like: Figures) -> str:
    """Return how many times the time of a row is that of a row of another size."""
    if "left out" in like or not (seconds := sum_of(like, "seconds")):
        return ""
    return f"{sum_of(figures, 'seconds') / rows / (seconds / others):.2f}"


def peak(figures: Figures, name: str) -> str:
    """Return the most memory of a kind of process in any of some stages."""
    found = [one[name] for one in figures.values() if name in one]
    return f"{max(found):,.0f}" if found else ""


def told_of_cases(measured: dict[int, dict[int, Figures]]) -> Iterator[str]:
    """Tell what is left out, lost workers and models that are not those of one machine."""
    odd = is_on_workers = is_compared = False
    for rows, cases in measured.items():
        here = cases.get(0, {}).get("train", {}).get("model")
        for workers, figures in cases.items():
            case = f"{rows:,} rows, {workers} workers"
            if reason := figures.pop("left out", ""):
                yield f"{case}: left out, for {reason}"
            if lost := sum_of(figures, "lost"):
                odd = True
                yield f"{case}: {lost:.0f} were lost"
            is_on_workers |= bool(workers and figures)
            there = figures.get("train", {}).get("model")
            is_compared |= bool(workers and here and there)
            if here and there and here != there:
                odd = True
                yield f"{case}: the model is not that of one machine"
    if is_on_workers and not odd:
        same = "; every model on workers is that of one machine, where both are"
        yield f"No worker was lost{same if is_compared else ''}."


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python benchmarks/scaling.py --rows 10000 100000 --workers 0 2",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rows", type=int, nargs="+", default=list(ROWS), help="sizes (default: %(default)s)")
    add(
        "--workers",
        type=int,
        nargs="+",
        default=[0],
        metavar="N",
        help=f"numbers of Dask workers of {MEMORY}, 0 for none, one after another",
    )
    add("--stages", nargs="+", choices=STAGES, default=STAGES[:3], help="default: %(default)s")
    add(
        "--model",
        type=lambda folder: Path(folder).absolute(),
        help="folder of the model that `predict` prices with, whatever the rows; "
        "default: that which `train` has made of them",
    )
    add("--minutes", type=float, default=60, help="for all of it (default: %(default)s)")
    add("--python", default=sys.executable, help="that has carprice: that of another commit")
    add("--json", type=Path, metavar="OUT", help="write the figures to this file, case by case")
    return parser.parse_args()


def main() -> None:
    """Run from the command line."""
    options, errors = read_options(), Console(stderr=True, highlight=False, markup=False)
    until, measured = time.monotonic() + 60 * options.minutes, dict[int, dict[int, Figures]]()
    with tempfile.TemporaryDirectory(prefix="carprice-") as scratch:
        samples = dict[int, Path]()
        for rows in sorted({*options.rows}):
            errors.print(f"{rows:,} rows: writing the sample")
            samples[rows] = sample_of(Path(scratch), rows)
        for workers, (rows, sample) in itertools.product(options.workers, samples.items()):
            fewer = {size: of[workers] for size, of in measured.items() if workers in of}
            reason = too_much(rows, fewer, workers, until - time.monotonic())
            figures = {"left out": reason} if reason else run_case(sample, workers, options, until)
            measured.setdefault(rows, {})[workers] = figures
            told = figures.get("left out") or f"{seconds_of(figures):,.0f} s"
            errors.print(f"{rows:,} rows, {workers} workers: {told}")
            if options.json is not None:
                write_json(options.json, as_json(measured))
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False, markup=False)
    console.print(scaling_table(measured))
    console.print(*told_of_cases(measured), sep="\n")


if __name__ == "__main__":
    main()
