from pathlib import Path

import pytest

from carprice.components.workspace import Workspace, read_json, require_output
from carprice.errors import InputError
from carprice.files import write_json, write_text, writing


class BrokenError(Exception):
    pass


def fail_halfway(target: Path) -> None:
    with writing(target) as path:
        path.write_text("half")
        raise BrokenError


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_file_is_written_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "report.txt"
    with writing(target) as path:
        path.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert files_below(target.parent) == ["report.txt"]


def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "report.txt"
    target.write_text("old")
    with pytest.raises(BrokenError):
        fail_halfway(target)
    assert target.read_text() == "old"
    assert files_below(tmp_path) == ["report.txt"]


def test_a_failure_without_an_old_file_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(BrokenError):
        fail_halfway(tmp_path / "report.txt")
    assert files_below(tmp_path) == []


def test_a_failure_takes_the_folders_along_that_it_made_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with pytest.raises(BrokenError):
        fail_halfway(tmp_path / "old" / "new" / "newer" / "report.txt")
    assert files_below(tmp_path) == ["old"]


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "report.txt"
    write_text(target, "old, and longer")
    write_text(target, "new")
    assert target.read_text() == "new"


def test_text_is_the_same_bytes_everywhere(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "€\n2\n")
    assert (tmp_path / "a.txt").read_bytes() == "€\n2\n".encode()


@pytest.mark.parametrize("content", [{}, {"a": [1, 2.5, None]}, {"währung": "₹"}, [], 5])
def test_json_is_read_as_it_was_written(content: object, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, content)
    assert read_json(path, made_by="ingest") == content
    assert path.read_text(encoding="utf-8").endswith("\n")


def test_json_that_cannot_be_written_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, 1)
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"a": object()})
    assert read_json(path, made_by="ingest") == 1


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe"])
def test_damaged_json_names_the_stage_that_writes_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "market.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"market\.json is not readable JSON; run `carprice inge"):
        read_json(path, made_by="ingest")


def test_a_missing_file_names_the_stage_that_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    with pytest.raises(
        InputError, match=r"metrics\.json does not exist; run `carprice evaluate` f"
    ):
        read_json(path, made_by="evaluate")
    with pytest.raises(InputError, match="run `carprice evaluate` first"):
        require_output(path, made_by="evaluate")


def test_what_is_there_is_returned(tmp_path: Path) -> None:
    assert require_output(tmp_path, made_by="train") == tmp_path


def test_every_path_is_below_the_root(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    names = set(vars(workspace)) - {"root"}
    paths = [getattr(workspace, name) for name in names]
    assert len(set(paths)) == len(paths) > 10
    assert all(path.is_relative_to(tmp_path) and path != tmp_path for path in paths)
