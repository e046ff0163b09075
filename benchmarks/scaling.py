"""How time and memory of ingest, transform, train and predict grow with the sample's rows.

Every stage runs in a process of its own, so that the peak memory told is that stage's own.
``carprice predict`` prices all rows, and is timed from its start to its end. With ``--workers``,
ingest, train and predict run on so many Dask workers of this machine, too; the start of these is
not counted.
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

from carprice.arrays import Each, Progress, quiet
from carprice.components.cluster import Cluster, opened
from carprice.components.ingest import ingest
from carprice.components.predict_parts import predict_parts
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.model import PriceModel
from carprice.sample.market import generate
from carprice.settings import ComputeSettings, IngestSettings, SplitSettings, TrainSettings

ROWS: Final = (10_000, 100_000, 1_000_000)
COMPARED_WITH: Final = 100_000
SEED: Final = 7
TEST_SHARE: Final = 0.01
"""Nearly all rows are learned from, so that the table's row counts are those of training."""
ROWS_OF_A_FILE: Final = 50_000
_KILOBYTES: Final = 1024 if sys.platform != "darwin" else 1


def source_of(folder: Path) -> Path:
    """Return the pattern of the sample's files."""
    return folder / "sample" / "*.parquet"


def run_generate(folder: Path, rows: int) -> None:
    """Write the sample's listings, in files of so many rows as fit into a small worker."""
    source_of(folder).parent.mkdir()
    for place, first in enumerate(range(0, rows, ROWS_OF_A_FILE)):
        part = generate(min(ROWS_OF_A_FILE, rows - first), SEED + place)
        part.to_parquet(source_of(folder).with_name(f"{place:06}.parquet"), index=False)


def run_ingest(folder: Path, _: int, each: Each | None = None) -> dict[str, Any]:
    """Ingest the sample's listings."""
    settings = IngestSettings(
        source=str(source_of(folder)), split=SplitSettings(test_size=TEST_SHARE)
    )
    report = ingest(settings, Workspace(folder), quiet, each=each)
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
    start, before = time.perf_counter(), time.process_time()
    told = STAGES[stage](folder, rows) or {}
    seconds, cpu = time.perf_counter() - start, time.process_time() - before
    return {"seconds": seconds, "cpu": cpu, "megabytes": peak_megabytes(), **told}


def measure_on_workers(stage: str, folder: Path, rows: int, workers: int) -> dict[str, Any]:
    """Run a stage on workers; return also the peak memory of the one that had most."""
    from distributed import Client, LocalCluster  # noqa: PLC0415 (of the extra scale)

    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=MEMORY,
        dashboard_address="127.0.0.1:0",
    ) as own:
        own.wait_for_workers(workers)
        with (
            opened(ComputeSettings(cluster=own.scheduler_address)) as cluster,
            Client(own) as client,
        ):
            before = sum(client.run(time.process_time).values()), time.process_time()
            start = time.perf_counter()
            told = STAGES_ON[stage](folder, rows, cluster)
            seconds = time.perf_counter() - start
            figures = {
                "cpu": time.process_time() - before[1],
                "cpu_of_workers": sum(client.run(time.process_time).values()) - before[0],
                "worker": max(client.run(peak_megabytes).values()),
            }
    return {"seconds": seconds, "megabytes": peak_megabytes(), **figures, **told}


def peak_megabytes() -> float:
    """Return the peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KILOBYTES / 1e6


def ingest_on(folder: Path, rows: int, cluster: Cluster) -> dict[str, Any]:
    """Ingest into a folder of its own."""
    other = folder / "on-workers"
    other.mkdir(exist_ok=True)
    if not source_of(other).parent.exists():
        source_of(other).parent.symlink_to(source_of(folder).parent)
    return run_ingest(other, rows, cluster.each)


def train_on(folder: Path, _: int, cluster: Cluster) -> dict[str, Any]:
    """Fit the model in place of that of one machine; tell whether it is the same."""
    workspace = Workspace(folder)
    before = PriceModel.load(workspace.model).digest if workspace.model.exists() else None
    train(TrainSettings(), workspace, quiet, cluster.each)
    return {"same": PriceModel.load(workspace.model).digest == before}


def predict_on(folder: Path, _: int, cluster: Cluster) -> dict[str, Any]:
    """Price all listings into parts."""
    model = PriceModel.load(Workspace(folder).model)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        source, settings = str(source_of(folder)), IngestSettings()
        done = predict_parts(cluster, model, settings, source, f"{out}/", 0.9, quiet)
    return {"rows": done.rows}


MEMORY: Final = "2GB"
STAGES_ON: Final = {"ingest": ingest_on, "train": train_on, "predict": predict_on}


def measure_apart(stage: str, folder: Path, rows: int, workers: int = 0) -> dict[str, Any]:
    """Run a stage in a fresh process."""
    command = [sys.executable, __file__, "--stage", stage, "--workdir", str(folder)]
    command += ["--workers", str(workers)] if workers else []
    done = subprocess.run(
        [*command, "--rows", str(rows)], check=True, stdout=subprocess.PIPE, text=True
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def measure_predict(python: str, source: Path, model: Path) -> dict[str, Any]:
    """Price listings with the command line of a Python; return the seconds."""
    folder = source.parent.parent
    (folder / "params.yaml").write_text("{}\n", encoding="utf-8")
    files = ["--model", str(model), "--out", "priced.parquet"]
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
        for workers in options.workers:
            for stage in STAGES_ON:
                progress(f"{rows:,} rows: {stage} on {workers} workers")
                name = f"{stage} on {workers}"
                figures[name] = measure_apart(stage, folder, rows, workers)
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


def workers_table(measured: dict[int, dict[str, Any]]) -> Table:
    """Return one row a size of the sample, stage and number of workers."""
    table = Table(title=f"On Dask workers of {MEMORY} on this machine", title_justify="left")
    for name in (
        "rows",
        "stage",
        "workers",
        "s",
        "CPU s here",
        "CPU s of the workers",
        "CPU µs/row",
    ):
        table.add_column(name, justify="right")
    for name in ("peak MB here", "peak MB of a worker"):
        table.add_column(name, justify="right")
    for rows, figures in measured.items():
        for name, found in figures.items():
            stage, _, workers = name.partition(" on ")
            if workers:
                table.add_row(
                    *(f"{rows:,}", stage, workers, f"{found['seconds']:.1f}"),
                    *(f"{found[one]:.1f}" for one in ("cpu", "cpu_of_workers")),
                    f"{1e6 * (found['cpu'] + found['cpu_of_workers']) / rows:,.0f}",
                    *(f"{found[one]:,.0f}" for one in ("megabytes", "worker")),
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
    parser.add_argument(
        "--workers",
        type=int,
        nargs="*",
        default=[],
        metavar="N",
        help="also ingest, train and predict on so many Dask workers, for each number given",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file")
    parser.add_argument("--stage", choices={*STAGES, *STAGES_ON}, help=argparse.SUPPRESS)
    parser.add_argument("--workdir", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run from the command line."""
    options = read_options()
    if options.stage is not None:
        given = options.stage, options.workdir, options.rows[0]
        found = measure_on_workers(*given, *options.workers) if options.workers else measure(*given)
        sys.stdout.write(json.dumps(found))
        return
    with Console(stderr=True).status("") as status:
        measured = {rows: scale(rows, options, status.update) for rows in sorted(options.rows)}
    console = Console(width=None if sys.stdout.isatty() else 130, highlight=False)
    console.print(scaling_table(measured))
    if options.workers:
        console.print(workers_table(measured))
    if options.json is not None:
        options.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
