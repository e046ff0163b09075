"""No commit holds a secret: detect-secrets reads every version of every file."""

import io
import json
import secrets
import string
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("detect_secrets", reason="needs detect-secrets")

from detect_secrets import SecretsCollection
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).parents[1]
# Plugins and filters; the only exceptions are the placeholders that docs/ci.md lists.
SETTINGS = json.loads((ROOT / ".secrets.baseline").read_text(encoding="utf-8"))
EXCEPTIONS = "detect_secrets.filters.regex.should_exclude_"


def git(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.com")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, input=given, capture_output=True, check=True).stdout


def versions(repository: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield blob, path and content of every version of every file that a commit has."""
    listed = git(repository, "rev-list", "--all", "--objects", "--filter=object:type=blob")
    paths = dict(line.split(" ", 1) for line in listed.decode().splitlines() if " " in line)
    batch = io.BytesIO(git(repository, "cat-file", "--batch", given="\n".join(paths).encode()))
    while head := batch.readline():
        blob, kind, size = head.decode().split()
        content = batch.read(int(size) + 1)[:-1]
        if kind == "blob":
            yield blob, paths[blob], content


def found(
    folder: Path, paths: Iterable[str], settings: dict[str, Any] = SETTINGS
) -> list[tuple[str, int, str]]:
    """Return file, line and kind of what detect-secrets finds in files below a folder."""
    with transient_settings(settings):
        collection = SecretsCollection(root=str(folder))
        for path in paths:
            collection.scan_file(path)
        return [(path, secret.line_number, secret.type) for path, secret in collection]


def found_in_history(
    repository: Path, scratch: Path, searched_before: Iterable[Path] = ()
) -> list[str]:
    """Return what is found in any version of any file, but for files that were searched before.

    Python files are searched line by line, others as a whole: of a Python file only the lines are
    searched that no file searched before it has.
    """
    numbers: dict[str, list[int]] = {}
    before = {path.read_bytes(): path.suffix for path in searched_before}
    known = {
        line
        for content, suffix in before.items()
        if suffix == ".py"
        for line in content.splitlines(keepends=True)
    }
    for blob, path, content in versions(repository):
        if content in before:
            continue
        lines = content.splitlines(keepends=True)
        is_python = path.endswith(".py")
        searched = [
            (number, line)
            for number, line in enumerate(lines, 1)
            if not (is_python and line in known)
        ]
        if is_python:
            known.update(lines)
        target = scratch / blob / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"".join(line for _, line in searched))
        numbers[f"{blob}/{path}"] = [number for number, _ in searched]
    return [
        f"{path}:{numbers[path][line - 1]} {kind}" for path, line, kind in found(scratch, numbers)
    ]


@pytest.fixture
def repository() -> Path:
    """The project's own repository with its whole history."""
    try:
        shallow = git(ROOT, "rev-parse", "--is-shallow-repository").decode().strip()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git repository here")
    if shallow == "true":
        pytest.skip("a shallow clone has no history; CI searches it in the job `lint`")
    return ROOT


def present() -> list[str]:
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return [path for path in listed.decode().split("\0") if path and (ROOT / path).is_file()]


def test_no_commit_holds_a_secret(repository: Path, tmp_path: Path) -> None:
    """The present files are searched by the next test."""
    assert found_in_history(repository, tmp_path, map(ROOT.joinpath, present())) == []


@pytest.mark.usefixtures("repository")
def test_the_present_files_need_no_exception() -> None:
    filters = [one for one in SETTINGS["filters_used"] if not one["path"].startswith(EXCEPTIONS)]
    assert len(filters) == len(SETTINGS["filters_used"]) - 2
    assert found(ROOT, present(), {**SETTINGS, "filters_used": filters}) == []


@pytest.mark.parametrize(
    ("name", "text", "letters", "length", "later"),
    [
        ("notes.md", "ask with ghp_{}", string.ascii_letters, 36, "nothing"),
        ("deploy.sh", "export AWS_ACCESS_KEY_ID=AKIA{}", string.ascii_uppercase, 16, "nothing"),
        ("settings.py", 'password = "{}"', string.ascii_letters + string.digits, 20, "first\nlast"),
        ("site.yaml", "source: postgresql://ann:{}@db/cars", string.ascii_letters, 12, "nothing"),
    ],
)
def test_a_secret_is_found_where_it_was_though_a_later_commit_removed_it(
    tmp_path: Path, name: str, text: str, letters: str, length: int, later: str
) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    secret = "".join(secrets.choice(letters) for _ in range(length))
    for content in (f"first\nsecond\n{text.format(secret)}\nlast\n", f"{later}\n"):
        (folder / name).write_text(content, encoding="utf-8")
        git(folder, "add", name)
        git(folder, "commit", "--quiet", "-m", "a commit")
    told = found_in_history(folder, tmp_path / "versions")
    assert told
    assert all(f"/{name}:3 " in one for one in told)
    assert secret not in str(told)
