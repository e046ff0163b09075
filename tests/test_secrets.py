"""No commit holds a secret: detect-secrets reads every version of every file."""

import io
import json
import secrets
import string
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("detect_secrets", reason="needs detect-secrets")

from detect_secrets import SecretsCollection
from detect_secrets.settings import get_plugins, transient_settings
from detect_secrets.transformers import get_transformed_file

ROOT = Path(__file__).parents[1]
Files = Iterable[tuple[str, str, bytes]]
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


def present() -> Iterator[tuple[str, str, bytes]]:
    """Yield the files that git has or would add, as they are now, like versions."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for path in filter(None, listed.decode().split("\0")):
        if (ROOT / path).is_file():
            yield "present", path, (ROOT / path).read_bytes()


def is_transformed(path: str, content: bytes) -> bool:
    """Return whether detect-secrets reads a file as YAML or as settings, or not: it is no text."""
    if path.endswith((".yaml", ".yml")):
        return True
    try:
        file: Any = io.StringIO(content.decode())
    except UnicodeDecodeError:
        return True
    file.name = path
    return any(get_transformed_file(file, is_eager) for is_eager in (False, True))


def is_seen(path: str, line: bytes) -> bool:
    text = line.decode().rstrip()
    return any(plugin.analyze_line(path, text) for plugin in get_plugins())


def found(files: Files, scratch: Path, settings: dict[str, Any] = SETTINGS) -> list[str]:
    """Return what detect-secrets finds in any version of any file.

    Of a file that it does not transform it is given each line once, if a plugin sees something.
    """
    numbers: dict[str, Sequence[int]] = {}
    known: dict[tuple[str, bool], set[bytes]] = defaultdict(set)
    with transient_settings(settings):
        collection = SecretsCollection(root=str(scratch))
        for blob, path, content in files:
            is_whole = is_transformed(path, content)
            before = known[Path(path).suffix, is_whole]
            parts = [content] if is_whole else content.splitlines(keepends=True)
            new = {number: part for number, part in enumerate(parts, 1) if part not in before}
            if not is_whole:
                new = {number: part for number, part in new.items() if is_seen(path, part)}
            before.update(parts)
            if new:
                name, first = f"{blob}/{path}", b"" if is_whole else b"not transformed\n"
                numbers[name] = range(1, len(content) + 2) if is_whole else [0, *new]
                (scratch / name).parent.mkdir(parents=True, exist_ok=True)
                (scratch / name).write_bytes(first + b"".join(new.values()))
                collection.scan_file(name)
    return [
        f"{path}:{numbers[path][secret.line_number - 1]} {secret.type}"
        for path, secret in collection
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


def test_no_commit_holds_a_secret_and_the_present_files_need_no_exception(
    repository: Path, tmp_path: Path
) -> None:
    assert SETTINGS["results"] == {}
    assert "verification" not in str(SETTINGS["filters_used"])  # nobody is asked about a secret
    filters = [one for one in SETTINGS["filters_used"] if not one["path"].startswith(EXCEPTIONS)]
    assert len(filters) == len(SETTINGS["filters_used"]) - 2
    files = chain(present(), versions(repository))
    told = found(files, tmp_path / "all", {**SETTINGS, "filters_used": filters})
    assert [one for one in told if one.startswith("present/")] == []
    suspect = {one.rpartition(":")[0] for one in told}
    files = (one for one in versions(repository) if f"{one[0]}/{one[1]}" in suspect)
    assert found(files, tmp_path / "suspect") == []


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
    told = found(versions(folder), tmp_path / "versions")
    assert told
    assert all(f"/{name}:3 " in one for one in told)
    assert secret not in str(told)
