from pathlib import Path

import pytest

from carprice.components.workspace import Workspace, read_json, require_output
from carprice.errors import InputError
from carprice.files import write_json, write_text, writing


class BrokenError(Exception):
    pass


def test_a_file_is_written_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "report.txt"
    for text in ("whole, and longer", "new"):
        with writing(target) as path:
            path.write_text(text)
            assert not target.exists() or target.read_text() != text
        assert target.read_text() == text
        assert [*target.parent.iterdir()] == [target]


@pytest.mark.parametrize("target", ["old.txt", "none.txt", "old/new/newer/report.txt"])
def test_a_failure_leaves_what_was_there_and_nothing_else(target: str, tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "old").mkdir()

    def fail_halfway() -> None:
        with writing(tmp_path / target) as path:
            path.write_text("half")
            raise BrokenError

    with pytest.raises(BrokenError):
        fail_halfway()
    assert (tmp_path / "old.txt").read_text() == "old"
    assert {path.name for path in tmp_path.rglob("*")} == {"old", "old.txt"}


def test_text_is_the_same_bytes_everywhere(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "€\n2\n")
    assert (tmp_path / "a.txt").read_bytes() == "€\n2\n".encode()


@pytest.mark.parametrize("content", [{}, {"a": [1, 2.5, None]}, {"währung": "₹"}, [], 5])
def test_json_is_read_as_it_was_written(content: object, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, content)
    assert path.read_text(encoding="utf-8").endswith("\n")
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"a": object()})
    assert read_json(path, made_by="ingest") == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is not readable JSON; run `carprice ingest` again"),
        (b'{"a": ', r"is not readable JSON; run `carprice ingest` again"),
        (b"\xff\xfe", r"is not readable JSON; run `carprice ingest` again"),
        (None, r"does not exist; run `carprice ingest` first"),
    ],
)
def test_a_missing_or_damaged_file_names_the_stage_that_writes_it(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "market.json"
    if content is not None:
        path.write_bytes(content)
        assert require_output(path, made_by="ingest") == path
    with pytest.raises(InputError, match=rf"market\.json {message}"):
        read_json(path, made_by="ingest")


def test_every_path_is_below_the_root(tmp_path: Path) -> None:
    paths = [path for name, path in vars(Workspace(tmp_path)).items() if name != "root"]
    assert len(set(paths)) == len(paths) > 10
    assert all(path.is_relative_to(tmp_path) and path != tmp_path for path in paths)
