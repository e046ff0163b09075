import contextlib
import datetime
import decimal
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from command_line import Carprice, caller, run
from web import stub_server

from carprice.components.ingest import ingest
from carprice.components.workspace import Workspace, read_json
from carprice.errors import InputError
from carprice.listings.snapshot import snapshot_digest
from carprice.listings.sources import Chunk, read_chunks
from carprice.listings.sources.chunks import kept_in_parts
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


def files(folder: Path, pattern: str, *names: str) -> dict[str, Any]:
    """Write files of cars; where there are several, the make is told by the file's name."""
    for seed, name in enumerate(names):
        write_csv(folder / name, cars(seed).drop(columns="make"))
    make = {"filename": True} if len(names) > 1 else {"constant": "Kia"}
    return {"source": f"{folder}/{pattern}", "columns": {"make": make}}


def a_query(folder: Path) -> dict[str, Any]:
    with contextlib.closing(sqlite3.connect(folder / "cars.db")) as database:
        frame = cars(1).assign(listedOn="2024-05-31")
        frame["note"] = [None, 1, "x"] * (len(frame) // 3)
        frame.to_sql("cars", database, index=False)
    source = f"sqlite:///{(folder / 'cars.db').as_posix()}"
    return {"source": source, "query": "SELECT * FROM cars"}


SAME_NAMES = ("*/*.csv", "2024/vw.csv", "2023/vw.csv")
KINDS = {
    "one file": lambda folder: files(folder, "cars.csv", "cars.csv"),
    "names that are makes": lambda folder: files(folder, "*.csv", "vw.csv", "audi.csv"),
    "files of one name": lambda folder: files(folder, *SAME_NAMES),
    "folders that order": lambda folder: files(folder, "*/*.csv", "a/z.csv", "b/y.csv"),
    "query": a_query,
    "sample": lambda _: {"source": "sample", "sample": {"rows": 300, "seed": 3}},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_run_on_the_snapshot_has_the_same_data(
    kind: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    settings = kind(tmp_path / "in")
    report, workspace = ingested(tmp_path / "first", **settings)
    assert report["raw_digest"] == snapshot_digest(workspace.snapshot)
    assert f"`{report['raw_digest']}`" in workspace.data_card.read_text("utf-8")
    again = {**settings, "source": f"{workspace.snapshot}/**/*"}
    second, copy = ingested(tmp_path / "second", **again)
    assert second["data_digest"] == report["data_digest"]
    assert second["raw_digest"] == report["raw_digest"]
    assert files_in(copy.snapshot) == files_in(workspace.snapshot)
    third, _ = ingested(tmp_path / "first", **again)
    assert third["raw_digest"] == report["raw_digest"]


def test_files_are_kept_byte_for_byte_and_are_no_links(tmp_path: Path) -> None:
    settings = files(tmp_path / "in", *SAME_NAMES)
    originals = sorted((tmp_path / "in").rglob("*.csv"))
    before = [path.read_bytes() for path in originals]
    for path in originals:
        path.chmod(0o444)  # and may not be written to
    first, _ = ingested(tmp_path / "work", **settings)
    second, workspace = ingested(tmp_path / "work", **settings)
    assert first == second
    assert [*files_in(workspace.snapshot).values()] == before
    assert [*files_in(workspace.snapshot)] == ["000001/vw.csv", "000002/vw.csv"]
    for path in workspace.snapshot.rglob("*.csv"):
        path.chmod(0o644)
        path.write_bytes(b"changed")
    assert [path.read_bytes() for path in originals] == before


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


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("a.csv", "b.csv"), ["a.csv", "b.csv"]),
        (("b.csv", "a.csv"), ["000001/b.csv", "000002/a.csv"]),
        (("a.csv", "a.csv"), ["000001/a.csv", "000002/a.csv"]),
        (("A.csv", "a.csv"), ["000001/A.csv", "000002/a.csv"]),
        (("B.csv", "a.csv"), ["000001/B.csv", "000002/a.csv"]),
        (("a:b.csv",), ["a:b.csv"]),
        (("a:b\\c?.csv",), ["a_b_c_.csv"]),  # of a store elsewhere
    ],
)
def test_copies_keep_names_and_order(names: tuple[str, ...], expected: list[str]) -> None:
    found = [
        File(name, name, lambda _: None, None if "\\" in name else Path(name)) for name in names
    ]
    assert [str(name) for name in names_of_copies(found)] == expected


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
    frame = pd.DataFrame({"value": pd.Series(values, dtype=object)})
    (chunk,) = kept_in_parts((one for one in [Chunk(frame, "")]), tmp_path)
    assert chunk.frame is frame
    assert pq.read_table(tmp_path / "part-000001.parquet")["value"].to_pylist() == kept


# Sources elsewhere


def test_a_web_file_is_read_once_and_its_login_is_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    content = cars(1).to_csv(index=False).encode()
    with stub_server(content=content) as site:
        address = site.url.replace("//", "//ann:<s3cret>@") + "/cars.csv?token=s3cret"
        _, workspace = ingested(tmp_path / "work", source=address)
    assert len(site.asked) == 1
    assert files_in(workspace.snapshot) == {"cars.csv": content}
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


@pytest.fixture
def carprice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Carprice:
    monkeypatch.setenv("COLUMNS", "300")
    return caller(monkeypatch, capsys)


def dvc(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "dvc", *arguments)


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory,
    copy_project: Callable[[Path], Path],
    dvc_config: str,
) -> Path:
    """A copy of the project with two raw files of one name, whose first two stages are done.

    The remote is still the placeholder, and no store answers. Read only.
    """
    folder = copy_project(tmp_path_factory.mktemp("dvc") / "project")
    (folder / ".dvc" / "config").write_text(dvc_config)
    (folder / "dvc.lock").unlink(missing_ok=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["ingest"]["source"] = "data/raw/*/cars.csv"
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    for seed, year in enumerate(("2023", "2024")):
        write_csv(folder / "data" / "raw" / year / "cars.csv", cars(seed))
    run(folder, "git", "init", "--quiet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        printed = run(folder, *dvc("repro", "transform"))
    (folder.parent / "repro.log").write_text(printed)
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


def test_repro_digests_the_snapshot_as_we_do_and_does_not_ask_the_placeholder(
    project: Path, aws: str
) -> None:
    lock = yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))
    outs = {one["path"]: one for one in lock["stages"]["ingest"]["outs"]}
    assert outs["data/snapshot"]["md5"] == digest_of(project)
    assert outs["data/snapshot"]["nfiles"] == 2
    assert "s3" not in (project.parent / "repro.log").read_text().lower()
    refused = run(project, *dvc("push"), code=255)
    assert 'Invalid bucket name "<your-bucket>"' in refused


def test_data_goes_by_push_and_pull_and_by_its_digest(
    project: Path, bucket: Any, aws: str, carprice: Carprice, tmp_path: Path
) -> None:
    """One bucket from the first push to a snapshot in a clone that never saw the run."""
    first = tmp_path / "first"
    shutil.copytree(project, first)
    digest = digest_of(first)
    raw = files_in(first / "data" / "snapshot")
    run(first, *dvc(*REMOTE, "s3://market/cars"))
    run(first, *dvc("push"))

    second = clone(first, tmp_path / "second")
    run(second, *dvc("pull", "transform", "ingest"))
    assert files_in(second / "data" / "snapshot") == raw
    for name in ("listings", "features"):
        assert files_in(second / "data" / name) == files_in(first / "data" / name)

    third = clone(first, tmp_path / "third", "dvc.lock")
    before = sorted(path.name for path in third.iterdir())
    out = tmp_path / "elsewhere" / "raw"
    with contextlib.chdir(third):
        done = carprice("snapshot", digest, "--out", out)
        refused = carprice("snapshot", UNKNOWN, "--out", tmp_path / "none")
    assert done.printed.strip() == f"2 files of {digest} in {out}."
    assert files_in(out) == raw
    assert sorted(path.name for path in third.iterdir()) == before
    assert aws not in done.printed + (first / ".dvc" / "config").read_text()
    assert refused.code == 1
    assert f"{UNKNOWN} is neither in DVC's cache nor at s3://market/cars" in refused.line
    assert not (tmp_path / "none").exists()


@pytest.fixture
def in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


def test_the_cache_is_enough_and_the_copy_is_no_link_into_it(
    in_project: Path, no_aws_login: None, carprice: Carprice, tmp_path: Path
) -> None:
    out = tmp_path / "raw"
    run(in_project, *dvc("config", "--local", "cache.type", "hardlink"))
    try:
        assert carprice("snapshot", digest_of(in_project), "--out", out).code == 0
    finally:
        (in_project / ".dvc" / "config.local").unlink()
    assert files_in(out) == files_in(in_project / "data" / "snapshot")
    assert {path.stat().st_nlink for path in out.rglob("*.csv")} == {1}
    report, _ = ingested(tmp_path / "again", source=f"{out}/**/*")
    original = read_json(in_project / "data" / "report.json", "ingest")
    assert report["data_digest"] == original["data_digest"]


@pytest.mark.parametrize(
    ("digest", "out", "code", "message"),
    [
        ("", "raw", 2, "is no digest of raw data"),
        ("5de3", "raw", 2, "is no digest of raw data"),
        ("5" * 32, "raw", 2, "is no digest of raw data"),
        ("../" + "5" * 32 + ".dir", "raw", 2, "is no digest of raw data"),
        (None, "full", 2, "full is there already; name a new folder"),
        (None, "file/raw", 1, "file/raw cannot be written"),
        (UNKNOWN, "raw", 1, "is no data remote to ask; run `dvc remote add"),
    ],
)
def test_a_snapshot_that_cannot_be_written_is_refused(
    digest: str | None,
    out: str,
    code: int,
    message: str,
    in_project: Path,
    carprice: Carprice,
    tmp_path: Path,
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "file").write_text("")
    known = digest_of(in_project) if digest is None else digest
    done = carprice("snapshot", known, "--out", tmp_path / out)
    assert done.code == code
    assert message in done.line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]
    assert [*(tmp_path / "full").iterdir()] == []
    assert not [*in_project.glob("snapshot-*")]


def test_a_remote_that_cannot_be_reached_is_named(
    project: Path, tmp_path: Path, carprice: Carprice, aws: str
) -> None:
    other = clone(project, tmp_path / "clone")
    run(other, *dvc(*REMOTE, "s3://nowhere/cars"))
    with contextlib.chdir(other):
        done = carprice("snapshot", digest_of(project), "--out", tmp_path / "raw")
    assert done.code == 1
    assert "s3://nowhere/cars: there is no bucket 'nowhere'" in done.line


def test_changed_bytes_in_the_cache_are_found(
    project: Path, tmp_path: Path, carprice: Carprice
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(project, broken)
    raw = files_in(broken / "data" / "snapshot").values()
    cached = (path for path in (broken / ".dvc" / "cache").rglob("*") if path.is_file())
    damaged = next(path for path in cached if path.read_bytes() in raw)
    damaged.chmod(0o644)
    damaged.write_bytes(b"make\nKia\n")
    damaged.chmod(0o444)
    with contextlib.chdir(broken):
        done = carprice("snapshot", digest_of(project), "--out", tmp_path / "raw")
    assert done.code == 1
    assert "DVC's cache holds other bytes than" in done.line
    assert not (tmp_path / "raw").exists()


def test_a_folder_without_dvc_is_refused(
    tmp_path: Path, carprice: Carprice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = carprice("snapshot", UNKNOWN, "--out", "raw")
    assert done.code == 2
    assert "is no DVC project" in done.line
