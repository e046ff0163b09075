import contextlib
import datetime
import decimal
import functools
import http.server
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from carprice.cli import main
from carprice.components.ingest import ingest
from carprice.components.workspace import Workspace, read_json
from carprice.errors import InputError
from carprice.listings.snapshot import snapshot_digest
from carprice.listings.sources import read_chunks
from carprice.listings.sources.locations import File, names_of_copies
from carprice.sample.market import generate
from carprice.settings import IngestSettings

ROOT = Path(__file__).resolve().parents[2]
REMOTE = ("remote", "add", "--default", "--force", "storage")
UNKNOWN = "0" * 32 + ".dir"


def ingested(folder: Path, **settings: Any) -> tuple[dict[str, Any], Workspace]:
    workspace = Workspace(folder)
    checked = IngestSettings.model_validate(settings)
    return ingest(checked, workspace, lambda _: None), workspace


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def cars(seed: int, rows: int = 300) -> pd.DataFrame:
    return generate(rows, seed)


def write_csv(path: Path, frame: pd.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


# What is kept


def one_file(folder: Path) -> dict[str, Any]:
    return {"source": str(write_csv(folder / "cars.csv", cars(1)))}


def the_make_in_the_files_name(folder: Path) -> dict[str, Any]:
    for seed, name in enumerate(("vw.csv", "audi.csv")):
        write_csv(folder / name, cars(seed).drop(columns="make"))
    return {"source": f"{folder}/*.csv", "columns": {"make": {"filename": True}}}


def files_of_the_same_name(folder: Path) -> dict[str, Any]:
    for seed, year in enumerate(("2024", "2023")):
        write_csv(folder / year / "vw.csv", cars(seed).drop(columns="make"))
    return {"source": f"{folder}/*/*.csv", "columns": {"make": {"filename": True}}}


def files_whose_folders_order_them(folder: Path) -> dict[str, Any]:
    write_csv(folder / "a" / "z.csv", cars(1))
    write_csv(folder / "b" / "y.csv", cars(2))
    return {"source": f"{folder}/*/*.csv"}


def a_query(folder: Path) -> dict[str, Any]:
    with contextlib.closing(sqlite3.connect(folder / "cars.db")) as database:
        frame = cars(1).assign(listedOn="2024-05-31")
        frame["note"] = [None, 1, "x"] * (len(frame) // 3)
        frame.to_sql("cars", database, index=False)
    source = f"sqlite:///{(folder / 'cars.db').as_posix()}"
    return {"source": source, "query": "SELECT * FROM cars"}


def the_sample(folder: Path) -> dict[str, Any]:
    return {"source": "sample", "sample": {"rows": 300, "seed": 3}}


KINDS = (
    *(one_file, the_make_in_the_files_name, files_of_the_same_name),
    *(files_whose_folders_order_them, a_query, the_sample),
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_on_the_snapshot_has_the_same_data(
    kind: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    settings = kind(tmp_path / "in")
    report, workspace = ingested(tmp_path / "first", **settings)
    assert report["raw_digest"] == snapshot_digest(workspace.snapshot)
    assert f"`{report['raw_digest']}`" in workspace.data_card.read_text()
    again = {**settings, "source": f"{workspace.snapshot}/**/*"}
    second, copy = ingested(tmp_path / "second", **again)
    assert second["data_digest"] == report["data_digest"]
    assert second["raw_digest"] == report["raw_digest"]
    assert files_in(copy.snapshot) == files_in(workspace.snapshot)
    third, _ = ingested(tmp_path / "first", **again)
    assert third["raw_digest"] == report["raw_digest"]


def test_files_are_kept_byte_for_byte_and_are_no_links(tmp_path: Path) -> None:
    settings = files_of_the_same_name(tmp_path / "in")
    originals = sorted((tmp_path / "in").rglob("*.csv"))
    before = [path.read_bytes() for path in originals]
    _, workspace = ingested(tmp_path / "work", **settings)
    assert [*files_in(workspace.snapshot).values()] == before
    assert [*files_in(workspace.snapshot)] == ["000001/vw.csv", "000002/vw.csv"]
    for path in workspace.snapshot.rglob("*.csv"):
        path.write_bytes(b"changed")
    assert [path.read_bytes() for path in originals] == before


def test_a_source_that_may_not_be_written_to_is_copied_all_the_same(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "cars.csv", cars(1))
    source.chmod(0o444)
    first, _ = ingested(tmp_path / "work", source=str(source))
    second, _ = ingested(tmp_path / "work", source=str(source))
    assert first == second


def test_a_failed_run_keeps_the_last_snapshot_and_leaves_nothing_else(tmp_path: Path) -> None:
    ingested(tmp_path / "work", source="sample", sample={"rows": 300})
    before = files_in(tmp_path / "work")
    few = write_csv(tmp_path / "few.csv", cars(1, rows=20))
    with pytest.raises(InputError, match=r"few\.csv leaves"):
        ingested(tmp_path / "work", source=str(few))
    assert files_in(tmp_path / "work") == before


def test_errors_name_the_source_and_not_its_copy(tmp_path: Path) -> None:
    (tmp_path / "cars.csv").write_text("make,year\nKia\n1,2,3\n")
    with pytest.raises(InputError) as raised:
        ingested(tmp_path / "work", source=str(tmp_path / "cars.csv"))
    assert str(raised.value).startswith(str(tmp_path / "cars.csv"))
    assert "snapshot" not in str(raised.value)


def test_a_pattern_that_covers_the_snapshot_does_not_read_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "data" / "raw" / "cars.csv", cars(1))
    settings = IngestSettings(source="data/**/*.csv")
    reports = [ingest(settings, Workspace(Path()), lambda _: None) for _ in range(2)]
    assert reports[0] == reports[1]
    assert [*files_in(tmp_path / "data" / "snapshot")] == ["cars.csv"]


def copies(*names: str, remote: bool = False) -> list[str]:
    paths = [None if remote else Path(name) for name in names]
    files = [
        File(name, name, lambda _: None, path) for name, path in zip(names, paths, strict=True)
    ]
    return [str(name) for name in names_of_copies(files)]


def test_copies_keep_names_and_order() -> None:
    assert copies("a.csv", "b.csv") == ["a.csv", "b.csv"]
    assert copies("b.csv", "a.csv") == ["000001/b.csv", "000002/a.csv"]
    assert copies("a.csv", "a.csv") == ["000001/a.csv", "000002/a.csv"]
    assert copies("A.csv", "a.csv") == ["000001/A.csv", "000002/a.csv"]
    assert copies("B.csv", "a.csv") == ["000001/B.csv", "000002/a.csv"]
    assert copies("a:b.csv") == ["a:b.csv"]
    assert copies("a:b\\c?.csv", remote=True) == ["a_b_c_.csv"]


def test_rows_of_a_query_pass_unchanged_and_are_kept_chunk_by_chunk(tmp_path: Path) -> None:
    settings = IngestSettings.model_validate(a_query(tmp_path))
    (tmp_path / "keep").mkdir()
    plain = [*read_chunks(settings, chunk_rows=120)]
    kept = [*read_chunks(settings, chunk_rows=120, keep=tmp_path / "keep")]
    for one, other in zip(plain, kept, strict=True):
        pd.testing.assert_frame_equal(one.frame, other.frame)
        assert (one.filename, one.label) == (other.filename, other.label)
    assert [*files_in(tmp_path / "keep")] == [f"part-00000{n}.parquet" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([1, None, 3], [1, None, 3]),
        ([1, 2.5], [1.0, 2.5]),
        ([1, "x", None, 2.0], ["1", "x", None, "2"]),
        ([2**70, 1], [str(2**70), "1"]),
        ([{"a": 1}, {}], ["{'a': 1}", "{}"]),
        ([["Tpms"], []], [["Tpms"], []]),
        ([[{"a": 1}], []], ["[{'a': 1}]", "[]"]),
        (["\ud800", "é"], ["\\ud800", "é"]),
        ([object, None], ["<class 'object'>", None]),
        ([decimal.Decimal("1.50")], [decimal.Decimal("1.50")]),
        ([datetime.date(2024, 5, 31)], [datetime.date(2024, 5, 31)]),
        ([b"\x00", b"\xff"], [b"\x00", b"\xff"]),
        ([None, None], [None, None]),
    ],
)
def test_any_value_of_a_database_can_be_kept(
    values: list[Any], kept: list[Any], tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    from carprice.listings.sources import Chunk
    from carprice.listings.sources.copies import kept_in_parts

    frame = pd.DataFrame({"value": pd.Series(values, dtype=object)})
    (chunk,) = kept_in_parts((one for one in [Chunk(frame, "")]), tmp_path)
    assert chunk.frame is frame
    assert pq.read_table(tmp_path / "part-000001.parquet")["value"].to_pylist() == kept


# Sources elsewhere


class _Counting(http.server.SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    monkeypatch.setenv("NO_PROXY", "*")
    write_csv(tmp_path / "site" / "cars.csv", cars(1))
    asked: list[str] = []
    kind = type("_Handler", (_Counting,), {"asked": asked})
    handler = functools.partial(kind, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://ann:<s3cret>@127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_a_web_file_is_read_once_and_its_login_is_nowhere(
    site: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, asked = site
    _, workspace = ingested(tmp_path / "work", source=f"{url}/cars.csv?token=s3cret")
    assert len(asked) == 1
    assert files_in(workspace.snapshot) == files_in(tmp_path / "site")
    for name, content in files_in(tmp_path / "work").items():
        assert "s3cret" not in name
        assert b"s3cret" not in content


def test_objects_of_s3_are_kept(bucket: Any, tmp_path: Path) -> None:
    for seed, key in enumerate(("in/2023/cars.csv", "in/2024/cars.csv")):
        bucket.put_object(Bucket="market", Key=key, Body=cars(seed).to_csv(index=False).encode())
    report, workspace = ingested(tmp_path / "work", source="s3://market/in/*/cars.csv")
    assert [*files_in(workspace.snapshot)] == ["000001/cars.csv", "000002/cars.csv"]
    assert report["rows_read"] == 600


# DVC


def run(folder: Path, *command: str, code: int = 0) -> str:
    """Run a command in a folder; return all that it printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def line(printed: str) -> str:
    (one,) = printed.strip().splitlines()
    assert one.startswith("carprice: ")
    return one


def dvc(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "dvc", *arguments)


def carprice(*arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-m", "carprice.cli", *map(str, arguments))


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory,
    copy_project: Callable[[Path], Path],
    dvc_config: str,
) -> Path:
    """A copy of the project with two raw files of one name, ``dvc repro`` of all stages done.

    The remote is still the placeholder, and no store could be asked. Read only.
    """
    folder = copy_project(tmp_path_factory.mktemp("dvc") / "project")
    (folder / ".dvc" / "config").write_text(dvc_config)
    (folder / "dvc.lock").unlink(missing_ok=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["ingest"]["source"] = "data/raw/*/cars.csv"
    params["train"].update(folds=2)
    params["train"]["booster"].update(n_estimators=5, max_depth=3, learning_rate=0.3)
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    for seed, year in enumerate(("2023", "2024")):
        write_csv(folder / "data" / "raw" / year / "cars.csv", cars(seed))
    run(folder, "git", "init", "--quiet")
    run(folder, *dvc("repro"))
    return folder


def clone(project: Path, folder: Path, *left_out: str) -> Path:
    """Return what git would clone of a project, with ``dvc.lock``."""
    shutil.copytree(project / "src", folder / "src")
    (folder / ".dvc").mkdir()
    for name in (".dvc/config", ".dvcignore", ".gitignore", "dvc.yaml", "dvc.lock", "params.yaml"):
        if name not in left_out:
            shutil.copy(project / name, folder / name)
    (folder / "data" / "raw").mkdir(parents=True)
    run(folder, "git", "init", "--quiet")
    return folder


def digest_of(project: Path) -> str:
    return str(read_json(project / "data" / "report.json", "ingest")["raw_digest"])


def test_dvc_gives_the_snapshot_the_same_digest(project: Path) -> None:
    lock = yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))
    outs = {one["path"]: one for one in lock["stages"]["ingest"]["outs"]}
    assert outs["data/snapshot"]["md5"] == digest_of(project)
    assert outs["data/snapshot"]["nfiles"] == 2


def test_repro_does_not_ask_the_placeholder(
    project: Path, tmp_path: Path, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    fresh = clone(project, tmp_path / "fresh", "dvc.lock")
    shutil.copytree(project / "data" / "raw", fresh / "data" / "raw", dirs_exist_ok=True)
    begun = time.monotonic()
    printed = run(fresh, *dvc("repro", "ingest"))
    assert time.monotonic() - begun < 60
    assert "s3" not in printed.lower()
    assert digest_of(fresh) == digest_of(project)
    refused = run(fresh, *dvc("push"), code=255)
    assert 'Invalid bucket name "<your-bucket>"' in refused


def test_data_goes_by_push_and_pull_and_by_its_digest(
    project: Path, bucket: Any, aws: str, tmp_path: Path
) -> None:
    """One bucket from the first push to a snapshot in a clone that never saw the run."""
    first = tmp_path / "first"
    shutil.copytree(project, first)
    digest = digest_of(first)
    raw = files_in(first / "data" / "snapshot")
    run(first, *dvc(*REMOTE, "s3://market/cars"))
    run(first, *dvc("push"))

    second = clone(first, tmp_path / "second")
    run(second, *dvc("pull"))
    assert files_in(second / "data" / "snapshot") == raw
    for name in ("listings", "features"):
        assert files_in(second / "data" / name) == files_in(first / "data" / name)
    assert files_in(second / "models") == files_in(first / "models")

    third = clone(first, tmp_path / "third", "dvc.lock")
    before = sorted(path.name for path in third.iterdir())
    out = tmp_path / "elsewhere" / "raw"
    printed = run(third, *carprice("snapshot", digest, "--out", out))
    assert printed.strip() == f"2 files of {digest} in {out}."
    assert files_in(out) == raw
    assert sorted(path.name for path in third.iterdir()) == before
    assert aws not in printed + (first / ".dvc" / "config").read_text()

    refused = run(third, *carprice("snapshot", UNKNOWN, "--out", tmp_path / "none"), code=1)
    assert f"{UNKNOWN} is neither in DVC's cache nor at s3://market/cars" in line(refused)
    assert not (tmp_path / "none").exists()


@pytest.fixture
def in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run a command that is refused; return its exit code and its one line."""

    def ask(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["carprice", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0), line(capsys.readouterr().err)

    return ask


def test_the_cache_is_enough_and_the_copy_is_no_link_into_it(
    in_project: Path, no_aws_login: None, tmp_path: Path
) -> None:
    out = tmp_path / "raw"
    run(in_project, *dvc("config", "--local", "cache.type", "hardlink"))
    try:
        run(in_project, *carprice("snapshot", digest_of(in_project), "--out", out))
    finally:
        (in_project / ".dvc" / "config.local").unlink()
    assert files_in(out) == files_in(in_project / "data" / "snapshot")
    assert {path.stat().st_nlink for path in out.rglob("*.csv")} == {1}


def test_the_copy_gives_the_same_data_again(in_project: Path, tmp_path: Path) -> None:
    out = tmp_path / "raw"
    run(in_project, *carprice("snapshot", digest_of(in_project), "--out", out))
    report, _ = ingested(tmp_path / "again", source=f"{out}/**/*")
    original = read_json(in_project / "data" / "report.json", "ingest")
    assert report["data_digest"] == original["data_digest"]


@pytest.mark.parametrize("digest", ["", "5de3", "5" * 32, "../" + "5" * 32 + ".dir"])
def test_what_is_no_digest_is_refused(
    digest: str, in_project: Path, tmp_path: Path, refused: Any
) -> None:
    code, message = refused("snapshot", digest, "--out", tmp_path / "raw")
    assert code == 2
    assert "is no digest of raw data" in message


def test_a_folder_that_is_there_is_not_written_over(
    in_project: Path, tmp_path: Path, refused: Any
) -> None:
    (tmp_path / "raw").mkdir()
    code, message = refused("snapshot", digest_of(in_project), "--out", tmp_path / "raw")
    assert code == 2
    assert re.search(r"--out .*raw is there already; name a new folder", message)
    assert [*(tmp_path / "raw").iterdir()] == []


def test_a_folder_that_cannot_be_made_is_named(
    in_project: Path, tmp_path: Path, refused: Any
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "raw"
    code, message = refused("snapshot", digest_of(in_project), "--out", out)
    assert code == 1
    assert f"--out {out} cannot be written" in message


def test_what_is_not_cached_needs_a_remote(in_project: Path, tmp_path: Path, refused: Any) -> None:
    code, message = refused("snapshot", UNKNOWN, "--out", tmp_path / "raw")
    assert code == 1
    assert "not in DVC's cache, and there is no data remote to ask; run `dvc remote a" in message
    assert not [*in_project.glob("snapshot-*")]


def test_a_remote_that_cannot_be_reached_is_named(
    project: Path, tmp_path: Path, refused: Any, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = clone(project, tmp_path / "clone")
    monkeypatch.chdir(other)
    run(other, *dvc(*REMOTE, "s3://nowhere/cars"))
    code, message = refused("snapshot", digest_of(project), "--out", tmp_path / "raw")
    assert code == 1
    assert "s3://nowhere/cars: there is no bucket 'nowhere'" in message


def test_changed_bytes_in_the_cache_are_found(project: Path, tmp_path: Path, refused: Any) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(project, broken)
    raw = files_in(broken / "data" / "snapshot").values()
    (damaged, _) = (
        path
        for path in (broken / ".dvc" / "cache").rglob("*")
        if path.is_file() and path.read_bytes() in raw
    )
    damaged.chmod(0o644)
    damaged.write_bytes(b"make\nKia\n")
    damaged.chmod(0o444)
    with contextlib.chdir(broken):
        code, message = refused("snapshot", digest_of(project), "--out", tmp_path / "raw")
    assert code == 1
    assert "DVC's cache holds other bytes than" in message
    assert not (tmp_path / "raw").exists()


def test_a_folder_without_dvc_is_refused(
    tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, message = refused("snapshot", UNKNOWN, "--out", "raw")
    assert code == 2
    assert "is no DVC project" in message
