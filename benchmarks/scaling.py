"""How time and memory of ingest, transform, train and predict grow with the sample's rows.

Every stage runs in a process of its own, so that the peak memory told is that stage's own.
``carprice predict`` prices all rows, and is timed from its start to its end.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from carprice.arrays import Progress, quiet
from carprice.components.ingest import ingest
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.sample.market import generate
from carprice.settings import IngestSettings, SplitSettings, TrainSettings

ROWS: Final = (10_000, 100_000, 1_000_000)
COMPARED_WITH: Final = 100_000
SEED: Final = 7
TEST_SHARE: Final = 0.01
"""Nearly all rows are learned from, so that the table's row counts are those of training."""
_KILOBYTES: Final = 1024 if sys.platform != "darwin" else 1


def source_of(folder: Path) -> Path:
    """Return where the sample's listings stand."""
    return folder / "sample.parquet"


def run_generate(folder: Path, rows: int) -> None:
    """Write the sample's listings."""
    generate(rows, SEED).to_parquet(source_of(folder), index=False)


def run_ingest(folder: Path, _: int) -> dict[str, Any]:
    """Ingest the sample's listings."""
    settings = IngestSettings(
        source=str(source_of(folder)), split=SplitSettings(test_size=TEST_SHARE)
    )
    report = ingest(settings, Workspace(folder), quiet)
    return {"rows": report["rows_train"]}


def run_transform(folder: Path, _: int) -> None:
    """Parse the training listings."""
    transform(Workspace(folder))


def run_train(folder: Path, _: int) -> None:
    """Fit the model with its default parameters."""
    train(TrainSettings(), Workspace(folder), quiet)


STAGES: Final[dict[str, Callable[[Path, int], dict[str, Any] | None]]] = {
    "generate": run_generate,
    "ingest": run_ingest,
    "transform": run_transform,
    "train": run_train,
}


def measure(stage: str, folder: Path, rows: int) -> dict[str, Any]:
    """Run a stage in this process; return its seconds, its peak memory and what it tells."""
    start = time.perf_counter()
    told = STAGES[stage](folder, rows) or {}
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KILOBYTES
    return {"seconds": seconds, "megabytes": peak / 1e6, **told}


def measure_apart(stage: str, folder: Path, rows: int) -> dict[str, Any]:
    """Run a stage in a fresh process."""
    command = [sys.executable, __file__, "--stage", stage, "--workdir", str(folder)]
    done = subprocess.run(
        [*command, "--rows", str(rows)], check=True, stdout=subprocess.PIPE, text=True
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def measure_predict(python: str, source: Path, model: Path) -> dict[str, Any]:
    """Price listings with the command line of a Python; return the seconds."""
    folder = source.parent
    (folder / "params.yaml").write_text("{}\n", encoding="utf-8")
    files = ["--model", str(model), "--out", str(folder / "priced.parquet")]
    command = [python, "-m", "carprice.cli", "predict", str(source), *files]
    start = time.perf_counter()
    subprocess.run(
        command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return {"seconds": time.perf_counter() - start}


def scale(rows: int, options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Run all stages on so many rows; return the figures by stage."""
    pythons = {"predict": sys.executable}
    if options.beside:
        pythons["beside"] = str(options.beside)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        figures = {}
        for stage in STAGES:
            progress(f"{rows:,} rows: {stage}")
            figures[stage] = measure_apart(stage, folder, rows)
        priced = folder / "priced"
        priced.mkdir()
        measure_apart("generate", priced, options.predict_rows or rows)
        for stage, python in pythons.items():
            progress(f"{options.predict_rows or rows:,} rows: {stage}")
            figures[stage] = measure_predict(python, source_of(priced), Workspace(folder).model)
    return figures


def per_row(figures: dict[str, Any]) -> float:
    """Return the microseconds of training a row."""
    return float(1e6 * figures["train"]["seconds"] / figures["ingest"]["rows"])


def scaling_table(measured: dict[int, dict[str, Any]]) -> Table:
    """Return one row a size of the sample."""
    table = Table(title="The sample market on this machine", title_justify="left")
    header: tuple[str, ...] = (
        "rows",
        "rows trained on",
        "ingest s",
        "transform s",
        "train s",
        "train µs/row",
    )
    header += ("train peak MB", f"per row, × that of {COMPARED_WITH:,}", "predict s")
    is_beside = any("beside" in figures for figures in measured.values())
    for name in (*header, *(["predict s, beside"] if is_beside else [])):
        table.add_column(name, justify="right")
    standard = per_row(measured[COMPARED_WITH]) if COMPARED_WITH in measured else None
    for rows, figures in measured.items():
        table.add_row(
            f"{rows:,}",
            f"{figures['ingest']['rows']:,}",
            *(f"{figures[stage]['seconds']:.1f}" for stage in ("ingest", "transform", "train")),
            f"{per_row(figures):,.0f}",
            f"{figures['train']['megabytes']:,.0f}",
            "" if standard is None else f"{per_row(figures) / standard:.2f}",
            *(
                f"{figures[name]['seconds']:.1f}"
                for name in ("predict", "beside")
                if name in figures
            ),
        )
    return table


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python benchmarks/scaling.py --rows 10000 100000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=list(ROWS),
        help="sizes of the sample (default: %(default)s); 1,000,000 take some minutes",
    )
    parser.add_argument(
        "--predict-rows",
        type=int,
        metavar="N",
        help="rows that `carprice predict` prices (default: as many as are learned from)",
    )
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="PYTHON",
        help="also time the `carprice predict` that this Python has installed: another commit's",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--workdir", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run from the command line."""
    options = read_options()
    if options.stage is not None:
        sys.stdout.write(json.dumps(measure(options.stage, options.workdir, options.rows[0])))
        return
    with Console(stderr=True).status("") as status:
        measured = {rows: scale(rows, options, status.update) for rows in sorted(options.rows)}
    Console(width=None if sys.stdout.isatty() else 130, highlight=False).print(
        scaling_table(measured)
    )
    if options.json is not None:
        options.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
