"""A disk that is full, and folders in which nothing can be written: one line, and no output lost.

The limit of a file's size stands in for a full disk: it stops root too, whom no permission stops.
"""

import contextlib
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Carprice, caller

from carprice.components.workspace import Workspace
from carprice.errors import RefusedError
from carprice.registry.tracking import connect, start_run

SMALL = {
    "ingest": {"source": "sample", "sample": {"rows": 300, "seed": 7}},
    "train": {"folds": 2, "booster": {"n_estimators": 5, "max_depth": 3, "learning_rate": 0.3}},
}
STAGES = ("ingest", "transform", "train", "evaluate")


@pytest.fixture
def carprice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Carprice:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    return caller(monkeypatch, capsys)


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Limit files to some bytes; bytecode that Python would cut off there is not written at all."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("command", ["run", *STAGES])
def test_a_stage_that_cannot_write_says_so_and_keeps_what_was_there(
    carprice: Carprice, finished: Any, tmp_path: Path, command: str
) -> None:
    work = tmp_path / "work"
    shutil.copytree(finished[0].root, work)
    (work / "mlflow.db").unlink(missing_ok=True)
    before = contents(work)
    with files_of_at_most(1000):
        done = carprice(command, "--workdir", work)
    assert done.code == 1
    assert " cannot be written: file too large; raise the limit of a file's size" in done.line
    assert contents(work) == before


@pytest.mark.parametrize(
    "command",
    [
        ("predict", "sample", "--model", "MODEL", "--out", "there/out.csv"),
        ("predict", "sample", "--model", "MODEL", "--out", "there/out.parquet"),
        ("stock", "sample", "--model", "MODEL", "--out", "there/out.xlsx"),
        ("sample", "--out", "there/out.csv"),
        ("sample", "--out", "there/out.parquet"),
        ("eda", "--out", "there/out.html"),
    ],
    ids=" ".join,
)
def test_a_file_that_cannot_be_written_is_told_and_the_old_one_stays(
    carprice: Carprice, finished: Any, tmp_path: Path, command: tuple[str, ...]
) -> None:
    words = [str(finished[0].model) if word == "MODEL" else word for word in command]
    out = Path(words[-1])
    out.parent.mkdir()
    out.write_text("good")
    with files_of_at_most(1000):
        done = carprice(*words)
    assert done.code == 1
    assert f"{out} cannot be written: file too large" in done.line
    assert contents(out.parent) == {out.name: b"good"}


@pytest.mark.parametrize(
    "command",
    [
        ("register",),
        ("test-model",),
        ("promote",),
        ("rollback",),
        ("predict", "sample", "--out", "out.csv"),
    ],
    ids=" ".join,
)
def test_a_registry_that_cannot_be_written_is_told_and_stays(
    carprice: Carprice, promoted: Workspace, tmp_path: Path, command: tuple[str, ...]
) -> None:
    work = shutil.copytree(promoted.root, tmp_path / "work")
    before = contents(work)
    with files_of_at_most(1000):
        done = carprice(*command, "--workdir", work)
    assert done.code == 1
    assert f"MLflow at sqlite:///{work}/mlflow.db cannot be written: the disk is full" in done.line
    assert contents(work).items() - before.items() <= {("mlflow.db.lock", b"")}
    assert before.items() <= contents(work).items()


def test_a_disk_that_fills_up_while_a_model_is_fetched_is_told(
    carprice: Carprice, promoted: Workspace, tmp_path: Path
) -> None:
    work = shutil.copytree(promoted.root, tmp_path / "work")
    assert carprice("status", "--workdir", work).code == 0  # the places of its artifacts are right
    with files_of_at_most(20_000):
        done = carprice("predict", "sample", "--out", "out.csv", "--workdir", work)
    assert done.code == 1
    assert f"cannot write {work}/.carprice/models/" in done.line
    assert done.line.endswith("file too large; raise the limit of a file's size (ulimit -f)")


def test_a_database_that_fills_up_during_a_run_is_one_error_and_no_trace(
    empty_registry: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    uri, size = f"sqlite:///{empty_registry}/mlflow.db", (empty_registry / "mlflow.db").stat()
    values = {f"name {n}": "x" * 5000 for n in range(50)}
    connect(uri)
    run = start_run(uri, "test", empty_registry, params=values, tags={})
    told = r"mlflow\.db cannot be written: the disk is full"
    with files_of_at_most(size.st_size + 40_000), pytest.raises(RefusedError, match=told):
        run.__enter__()
    assert "Traceback" not in capfd.readouterr().err


OUTS = (
    (("predict", "sample", "--out"), "x.csv"),
    (("stock", "sample", "--out"), "x.xlsx"),
    (("sample", "--out"), "x.csv"),
    (("eda", "--out"), "x.html"),
)


@pytest.mark.parametrize(("command", "name"), OUTS, ids=lambda value: value[0])
def test_where_a_folder_stands_no_file_is_written_and_no_work_is_done(
    carprice: Carprice, tmp_path: Path, command: tuple[str, ...], name: str
) -> None:
    """There is no model to predict with, and no source either: neither is looked for."""
    Path(name).mkdir()
    done = carprice(*command, name)
    assert done.code == 2
    assert done.line == f"carprice: {name} is a folder; name a file in it, or another"


@pytest.mark.parametrize(("command", "name"), OUTS, ids=lambda value: value[0])
def test_below_a_file_nothing_is_written(
    carprice: Carprice, command: tuple[str, ...], name: str
) -> None:
    Path("file").write_text("good")
    done = carprice(*command, f"file/{name}")
    assert done.code == 1
    assert f"file/{name} cannot be written: " in done.line
    assert done.line.endswith(": a part of its path is a file; choose another folder")


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("cars.csv", "cars.csv"),
        ("./cars.csv", "../{here}/cars.csv"),
        ("*.csv", "cars.csv"),
        ("cars.csv", "link.csv"),
    ],
)
def test_prices_are_not_written_over_the_listings(
    carprice: Carprice, tmp_path: Path, source: str, out: str
) -> None:
    Path("cars.csv").write_text("mine")
    Path("link.csv").symlink_to("cars.csv")
    out = out.format(here=tmp_path.name)
    done = carprice("predict", source, "--out", out)
    assert (done.code, Path("cars.csv").read_text()) == (2, "mine")
    assert done.line == f"carprice: --out {out} is read as the source, too; name another file"


@pytest.mark.parametrize("command", ["run", "ingest"])
def test_a_working_folder_that_is_a_file_is_told(carprice: Carprice, command: str) -> None:
    Path("file").write_text("good")
    done = carprice(command, "--workdir", "file")
    assert done.code == 1
    assert " cannot be written: " in done.line


def test_a_registry_that_cannot_be_used_is_told_before_the_work(carprice: Carprice) -> None:
    Path("mlflow.db").mkdir()
    done = carprice("run")
    assert done.code == 1
    assert "mlflow.db is a folder; move it away, or name another registry" in done.line
    assert not Path("data").exists()
