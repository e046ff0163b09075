import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from carprice.errors import CorruptModelError, InputError
from carprice.model_folder import (
    FORMAT_VERSION,
    MANIFEST,
    file_digest,
    folder_digest,
    read_manifest,
    write_folder,
)


class BrokenError(Exception):
    pass


def write_two(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"\x00\x01\x02")
    (folder / "b.json").write_text("{}")


def break_off(folder: Path) -> None:
    write_two(folder)
    raise BrokenError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "model", {"numbers": ["age"], "score": 0.1}, write_two)
    return tmp_path / "model"


def rewritten(folder: Path, change: Callable[[dict], object]) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def test_the_description_is_read_as_it_was_written(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert (manifest["numbers"], manifest["score"]) == (["age"], 0.1)
    assert manifest["format_version"] == FORMAT_VERSION
    assert manifest["files"] == {name: file_digest(folder / name) for name in ("a.bin", "b.json")}


def test_the_same_content_and_a_copy_have_the_same_digest(folder: Path, tmp_path: Path) -> None:
    again = write_folder(tmp_path / "again", {"score": 0.1, "numbers": ["age"]}, write_two)
    other = write_folder(tmp_path / "other", {"score": 0.2, "numbers": ["age"]}, write_two)
    shutil.copytree(folder, tmp_path / "deep" / "copy")
    assert again == folder_digest(folder) == folder_digest(tmp_path / "deep" / "copy")
    assert read_manifest(tmp_path / "deep" / "copy") == read_manifest(folder)
    assert other != again


@pytest.mark.parametrize("name", ["a.bin", "b.json"])
@pytest.mark.parametrize(
    "damage", [lambda data: b"\xff" + data[1:], lambda data: data + b" ", lambda _: None]
)
def test_a_changed_or_missing_file_is_found(name: str, damage: Callable, folder: Path) -> None:
    data = damage((folder / name).read_bytes())
    (folder / name).unlink()
    if data is not None:
        (folder / name).write_bytes(data)
    with pytest.raises(CorruptModelError, match=rf"{name} is missing or not .*; fetch or train"):
        read_manifest(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"5", b"\xff\xfe", b"{}", b'{"format_version": 1, "files": 3}'],
)
def test_a_manifest_that_is_none_is_damage(content: bytes, folder: Path) -> None:
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(CorruptModelError, match=r"model\.json is not readable as .*; fetch or tra"):
        read_manifest(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(score=0.2),
        lambda content: content.pop("numbers"),
        lambda content: content.update(files={}),
        lambda content: content.pop("checksum"),
        lambda content: content.update(checksum="0" * 64),
    ],
)
def test_a_changed_manifest_is_found(change: Callable[[dict], object], folder: Path) -> None:
    rewritten(folder, change)
    with pytest.raises(CorruptModelError, match="is not what was written"):
        read_manifest(folder)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 0, "1", None])
def test_another_format_is_an_error_with_a_remedy(version: object, folder: Path) -> None:
    rewritten(folder, lambda content: content.update(format_version=version))
    with pytest.raises(InputError, match=f"format version {version!r}, .*; upgrade carprice or"):
        read_manifest(folder)


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_what_is_no_model_folder_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a model folder: it has no model\.json"):
        read_manifest(tmp_path / name)


def test_a_failure_keeps_the_old_folder_and_leaves_nothing_else(folder: Path) -> None:
    before = folder_digest(folder)
    with pytest.raises(BrokenError):
        write_folder(folder, {}, break_off)
    assert folder_digest(folder) == before
    assert len(read_manifest(folder)["files"]) == 2
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_an_older_folder_is_replaced_with_all_its_files(folder: Path) -> None:
    write_folder(folder, {"score": 2}, lambda target: (target / "c").write_text("c") and None)
    assert sorted(path.name for path in folder.iterdir()) == ["c", MANIFEST]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
