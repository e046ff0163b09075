import datetime
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import Carprice, caller, working

from carprice.components.folder_lock import only_command
from carprice.errors import RefusedError

NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
Holder = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def holding() -> Iterator[Holder]:
    """Starts a process that holds the lock of a folder; it ends with the test."""
    with ExitStack() as stack:

        def start(folder: Path, command: str) -> "subprocess.Popen[str]":
            return stack.enter_context(working(folder, command))

        yield start


@contextmanager
def refused_by(process: Any, command: str, folder: Path) -> Iterator[None]:
    with pytest.raises(RefusedError) as refused:
        yield
    assert str(refused.value) == (
        f"`{command}` (process {process.pid}, since 2025-07-01 12:00:00 UTC) is working in "
        f"{folder}; wait until it ends, or use another folder"
    )


def test_of_two_commands_the_second_is_told_who_works_there(
    holding: Holder, tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    first = holding(folder, "carprice run")
    with refused_by(first, "carprice run", folder), only_command(folder, "b", NOW):
        pass
    with only_command(tmp_path / "another", "c", NOW):
        pass
    first.communicate("")
    with only_command(folder, "d", NOW):
        assert folder.is_dir()
    assert [*tmp_path.iterdir()] == []  # neither a lock nor the folders made for it


def test_a_killed_command_blocks_nobody(holding: Holder, tmp_path: Path) -> None:
    first = holding(tmp_path, "carprice up")
    first.kill()
    first.wait()
    assert (tmp_path / ".carprice" / "command.json").exists()
    second = holding(tmp_path, "carprice run")
    with refused_by(second, "carprice run", tmp_path), only_command(tmp_path, "b", NOW):
        pass


def test_what_a_command_starts_works_in_its_folder_and_is_seen_when_it_outlives_it(
    holding: Holder, tmp_path: Path
) -> None:
    with only_command(tmp_path, "carprice up", NOW):
        token = os.environ["CARPRICE_LOCK"]
        holding(tmp_path, "carprice ingest").communicate("")
        stage = holding(tmp_path, "carprice train")
        with refused_by(stage, "carprice train", tmp_path), only_command(tmp_path, "b", NOW):
            pass
        left = (tmp_path / ".carprice" / "command.json").read_text()
    assert os.environ["CARPRICE_LOCK"] != token
    (tmp_path / ".carprice" / "command.json").write_text(left)  # as a killed command leaves it
    with refused_by(stage, "carprice train", tmp_path), only_command(tmp_path, "c", NOW):
        pass


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RefusedError, match=r"file cannot be written: .*\.carprice, not a"),
        only_command(tmp_path / "file", "a", NOW),
    ):
        pass


@pytest.fixture
def carprice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Carprice:
    return caller(monkeypatch, capsys)


def test_commands_that_write_stages_files_take_the_lock(
    carprice: Carprice, holding: Holder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    process = holding(tmp_path, "carprice run")
    for command in ("run", "up", "ingest", "transform", "train", "evaluate", "register"):
        done = carprice(command)
        assert done.code == 1, command
        assert re.match(rf"carprice: `carprice run` \(process {process.pid}, since ", done.line)
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml", ".carprice"}
