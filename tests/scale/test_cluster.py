"""The pipeline on two Dask workers is that of one machine, also where a worker is lost."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_line import Carprice, caller
from delivery import free_port

from carprice.arrays import Progress, quiet
from carprice.components import cluster as clusters
from carprice.components.cluster import Cluster, opened
from carprice.components.evaluate import evaluate
from carprice.components.ingest import ingest
from carprice.components.predict import predict
from carprice.components.predict_parts import check_folder, predict_parts
from carprice.components.workspace import Workspace
from carprice.errors import InputError, RefusedError
from carprice.listings.sources import limits
from carprice.model import PriceModel
from carprice.settings import ComputeSettings, IngestSettings, load_settings

ROOT = Path(__file__).parents[2]
Killing = Callable[[str], Progress]


@pytest.fixture
def on_workers(scheduler: str) -> Iterator[Cluster]:
    with opened(ComputeSettings(cluster=scheduler)) as cluster:
        yield cluster


@pytest.fixture
def carprice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Carprice:
    return caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def model(finished: Any) -> PriceModel:
    return PriceModel.load(finished[0].model)


def ingested(folder: Path, source: str, progress: Progress = quiet, **given: Any) -> Workspace:
    workspace = Workspace(folder)
    ingest(IngestSettings(source=source), workspace, progress, **given)
    return workspace


def same_files(one: Workspace, other: Workspace, *names: str) -> None:
    for name in names:
        first, second = (getattr(workspace, name).read_bytes() for workspace in (one, other))
        assert first == second, name


LISTINGS = ("train_listings", "test_listings", "market", "report", "data_card")


def test_ingest_is_that_of_one_machine_though_a_worker_is_killed(
    sales: Path, on_workers: Cluster, killing: Killing, tmp_path: Path
) -> None:
    source = str(sales / "*.csv")
    one = ingested(tmp_path / "one", source)
    other = ingested(tmp_path / "other", source, killing(" rows"), each=on_workers.each)
    same_files(one, other, *LISTINGS)
    report = json.loads(one.report.read_text())
    assert report["rejected"]["exact duplicate"] >= 100  # all of the last file, of others


def in_three_files(file: Path, folder: Path) -> None:
    header, *lines = file.read_bytes().splitlines(keepends=True)
    folder.mkdir()
    for place in range(3):
        (folder / f"{place}.csv").write_bytes(b"".join([header, *lines[place::3]]))


def test_ingest_of_real_listings_is_that_of_one_machine(
    real_data: Path, on_workers: Cluster, tmp_path: Path
) -> None:
    in_three_files(real_data / "cardekho" / "car_details_v3.csv", tmp_path / "in")
    example = load_settings(ROOT / "examples" / "cardekho.yaml").ingest
    settings = example.model_copy(update={"source": str(tmp_path / "in" / "*.csv")})
    one, other = Workspace(tmp_path / "one"), Workspace(tmp_path / "other")
    ingest(settings, one, quiet)
    ingest(settings, other, quiet, each=on_workers.each)
    same_files(one, other, *LISTINGS)


def test_evaluation_is_that_of_one_machine_though_a_worker_is_killed(
    finished: Any, on_workers: Cluster, killing: Killing, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(clusters, "_ROWS", 50)
    workspace = Workspace(tmp_path)
    for name in ("data", "models"):
        shutil.copytree(finished[0].root / name, tmp_path / name)

    def predictor(model: PriceModel) -> Any:
        predict = on_workers.predictor(model)
        killing("now")("now")
        return predict

    evaluate(workspace, quiet, predictor)
    same_files(finished[0], workspace, "metrics")


def parts(folder: Path) -> pd.DataFrame:
    return pd.concat(map(pd.read_parquet, sorted(folder.iterdir())), ignore_index=True)


def test_prices_are_those_of_one_machine_though_a_worker_is_killed(
    sales: Path, model: PriceModel, on_workers: Cluster, killing: Killing, tmp_path: Path
) -> None:
    settings, source = IngestSettings(), str(sales / "*.csv")
    done = predict(model, settings, source, tmp_path / "one.parquet", 0.9, quiet)
    there = predict_parts(
        *(on_workers, model, settings, source, f"{tmp_path}/out/", 0.9, killing(" rows: part 1 of"))
    )
    assert done == there
    one, other = pd.read_parquet(tmp_path / "one.parquet"), parts(tmp_path / "out")
    pd.testing.assert_frame_equal(one, other)
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [
        f"part-{place:06}.parquet" for place in range(6)
    ]


def test_a_folder_of_prices_is_resumed(
    sales: Path, model: PriceModel, finished: Any, tmp_path: Path, carprice: Carprice
) -> None:
    out, folder = tmp_path / "out", tmp_path / "in"
    shutil.copytree(sales, folder)
    command = ("predict", str(folder / "*.csv"), "--out", f"{out}/")
    command = (*command, "--model", finished[0].model, "--params", tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("ingest: {source: sample}\n")
    first = carprice(*command)
    assert first.code == 0, first.printed
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    (out / "part-000001.parquet").unlink()
    (out / "part-000002.parquet").write_bytes(b"broken")
    changed = folder / "cars-4.csv"
    changed.write_text(changed.read_text().replace("Maruti", "Hyundai"))
    again = carprice(*command)
    assert again.printed == first.printed
    after = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    made = {name for name in after if after[name] != before[name]}
    assert made == {f"part-00000{place}.parquet" for place in (1, 2, 4)}
    assert carprice(*command, "--confidence", 0.8).code == 0
    last = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert all(last[name] != after[name] for name in after)


def test_a_folder_with_something_else_is_refused(sales: Path, tmp_path: Path) -> None:
    out, source = tmp_path / "out", str(sales / "*.csv")
    out.mkdir()
    (out / "part-000006.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds part-000006\.parquet, which is none of the 6 "):
        check_folder(f"{out}/", source)
    with pytest.raises(InputError, match="holds the source"):
        check_folder(f"{sales}/", source)


def test_what_speaks_against_the_whole_leaves_no_part(
    sales: Path, model: PriceModel, on_workers: Cluster, tmp_path: Path
) -> None:
    shutil.copytree(sales, tmp_path / "in")
    last = tmp_path / "in" / "cars-5.csv"
    rows = pd.read_csv(last, dtype=str)
    pd.concat([rows.assign(year="soon")] * 5).to_csv(last, index=False)
    source = str(tmp_path / "in" / "*.csv")
    with pytest.raises(InputError) as one:
        predict(model, IngestSettings(), source, tmp_path / "one.parquet", 0.9, quiet)
    with pytest.raises(InputError) as other:
        predict_parts(
            *(on_workers, model, IngestSettings(), source, f"{tmp_path}/out/", 0.9, quiet)
        )
    assert str(one.value) == str(other.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cluster", ["local", "dask"])
def test_prices_go_from_s3_to_s3(
    cluster: str, sales: Path, model: PriceModel, bucket: Any, tmp_path: Path
) -> None:
    if cluster == "dask":
        pytest.importorskip("distributed", reason="dask is not installed")
    for place in range(2):
        bucket.upload_file(str(sales / f"cars-{place}.csv"), "market", f"in/{place}.csv")
    settings, source = IngestSettings(), "s3://market/in/*.csv"
    told: list[str] = []
    for _ in range(2):
        check_folder("s3://market/out/", source)
        with opened(ComputeSettings(cluster=cluster)) as here:
            done = predict_parts(
                *(here, model, settings, source, "s3://market/out/", 0.9, told.append)
            )
    assert told[-1].endswith("part 2 of 2, 2 of them were there")
    for place in range(2):
        name = f"part-{place:06}.parquet"
        bucket.download_file("market", f"out/{name}", str(tmp_path / name))
    predict(model, settings, str(sales / "cars-[01].csv"), tmp_path / "one.parquet", 0.9, quiet)
    one = pd.read_parquet(tmp_path / "one.parquet")
    (tmp_path / "one.parquet").unlink()
    pd.testing.assert_frame_equal(one, parts(tmp_path))
    assert done.rows == len(one)


def test_a_large_parquet_file_is_priced_in_pieces(
    sales: Path, model: PriceModel, on_workers: Cluster, tmp_path: Path, monkeypatch: Any
) -> None:
    source, settings = tmp_path / "in" / "cars.parquet", IngestSettings()
    source.parent.mkdir()
    frame = pd.concat(map(pd.read_csv, sorted(sales.iterdir())))
    frame.to_parquet(source, index=False, row_group_size=700)
    monkeypatch.setattr(limits, "_MOST_CELLS", frame.shape[1] * 1000)
    predict(model, settings, str(source), tmp_path / "one.parquet", 0.9, quiet)
    done = predict_parts(on_workers, model, settings, str(source), f"{tmp_path}/out/", 0.9, quiet)
    assert done.rows == len(frame) == 2500
    check_folder(f"{tmp_path}/out/", str(source))
    assert len([*(tmp_path / "out").iterdir()]) == 3
    one, other = pd.read_parquet(tmp_path / "one.parquet"), parts(tmp_path / "out")
    pd.testing.assert_frame_equal(one, other)


@pytest.fixture
def listings(sales: Path, tmp_path: Path) -> Path:
    file = tmp_path / "in" / "cars.parquet"
    file.parent.mkdir()
    pd.read_csv(sales / "cars-0.csv")[:300].to_parquet(file, index=False)
    return file


def priced_in_pieces(
    rows: int, file: Path, model: PriceModel, monkeypatch: Any, progress: Progress = quiet
) -> str:
    """Price a file in pieces of so many rows, into the folder beside it; return the last word."""
    monkeypatch.setattr(limits, "_MOST_CELLS", len(pd.read_parquet(file).columns) * rows)
    told, out = list[str](), f"{file.parent.parent}/out/"

    def telling(words: str) -> None:
        told.append(words)
        progress(words)

    check_folder(out, str(file))
    with opened(ComputeSettings()) as here:
        predict_parts(here, model, IngestSettings(), str(file), out, 0.9, telling)
    return told[-1]


def test_a_folder_of_pieces_is_resumed(
    listings: Path, model: PriceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_pieces = partial(priced_in_pieces, file=listings, model=model, monkeypatch=monkeypatch)
    assert in_pieces(300) == "300 rows: part 1 of 1"  # as a version without pieces made it
    one = parts(tmp_path / "out")
    for rows, of in ((100, 3), (60, 5)):
        assert in_pieces(rows) == f"300 rows: part {of} of {of}"
        pd.testing.assert_frame_equal(one, parts(tmp_path / "out"))
        assert in_pieces(rows) == f"300 rows: part {of} of {of}, {of} of them were there"
        pd.testing.assert_frame_equal(one, parts(tmp_path / "out"))


@pytest.mark.parametrize("rows", [500, 150], ids=["grows", "shrinks"])
@pytest.mark.parametrize("at", ["reading: part 1 of 3", "100 rows: part 1 of 3"])
def test_a_file_that_changes_meanwhile_is_told_as_that(
    rows: int,
    at: str,
    listings: Path,
    model: PriceModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def change(told: str) -> None:
        if told.startswith(at):
            frame = pd.read_parquet(listings)
            pd.concat([frame, frame])[:rows].to_parquet(listings, index=False)

    with pytest.raises(InputError, match=r"cars\.parquet was changed while it was read"):
        priced_in_pieces(100, listings, model, monkeypatch, change)
    assert (tmp_path / "out").exists() == (not at.startswith("reading"))


@contextmanager
def program(*command: str, env: dict[str, str] | None = None) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=env,
    ) as process:  # fmt: skip
        try:
            yield
        finally:
            process.kill()


def commands() -> tuple[str, list[str], list[str]]:
    """Return a free address, and the programs of a scheduler that is there and of a worker."""
    port = free_port()
    address, silent = f"tcp://127.0.0.1:{port}", "--no-dashboard"
    scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    worker = ["distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1"]
    return address, [*scheduler, silent], [*worker, silent]


def test_a_worker_of_another_version_is_refused(
    tmp_path: Path, dask_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "carprice-9.9.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: carprice\nVersion: 9.9.0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(clusters, "_SECONDS", 120)
    address, scheduler, worker = commands()
    with (
        program(*scheduler),
        program(*worker),
        pytest.raises(RefusedError, match=r"has carprice 9\.9\.0, and this command 0"),
        opened(ComputeSettings(cluster=address)),
    ):
        pass


@pytest.mark.parametrize("comes", ["before", "later"])
def test_a_worker_of_other_code_is_refused(
    comes: str, tmp_path: Path, dask_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "src" / "carprice", tmp_path / "carprice")
    with (tmp_path / "carprice" / "arrays.py").open("a") as file:
        file.write("# other code\n")
    monkeypatch.setattr(clusters, "_SECONDS", 120)
    address, scheduler, worker = commands()
    other = program(*worker, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    with (
        program(*scheduler),
        other if comes == "before" else program(*worker),
        pytest.raises(RefusedError, match=r"has other code of carprice than this command"),
        opened(ComputeSettings(cluster=address)) as cluster,
        other if comes == "later" else nullcontext(),
    ):
        deque(cluster.each(time.sleep, itertools.repeat(0.05, 5000)), maxlen=0)  # type: ignore[misc]


def test_a_scheduler_that_is_away_is_told_in_a_line(
    carprice: Carprice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="dask is not installed")
    monkeypatch.setattr(clusters, "_SECONDS", 1)
    (tmp_path / "params.yaml").write_text("ingest: {source: sample}\n")
    address = f"tcp://127.0.0.1:{free_port()}"
    given = ("--params", tmp_path / "params.yaml", "--workdir", tmp_path, "--cluster", address)
    for command in ("run", "ingest", "train"):
        done = carprice(command, *given)
        assert done.code == 1
        assert done.line.startswith(f"carprice: no Dask scheduler answers at {address} within")


@pytest.mark.parametrize("value", ["dusk", "http://here:8786", "tcp://me:<pw>@here:8786"])
def test_an_unknown_cluster_is_refused(value: str, carprice: Carprice, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("ingest: {source: sample}\n")
    done = carprice("run", "--params", tmp_path / "params.yaml", "--cluster", value)
    assert done.code == 2
    assert "compute.cluster" in done.line
    assert "<pw>" not in done.line
