import hashlib
import subprocess
from pathlib import Path

import pytest

from carprice.registry.provenance import git_commit, git_tags, lock_tags


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "params.yaml").write_text("train: {}\n", encoding="utf-8")
    git(tmp_path, "add", "params.yaml")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)


def test_the_commit_and_what_differs_from_it_are_named(repository: Path) -> None:
    commit = git_commit(repository)
    assert len(commit) == 40
    named = {"git_commit": commit, "mlflow.source.git.commit": commit}
    assert git_tags(repository) == {**named, "git_changes": "0"}
    (repository / "params.yaml").write_text("train: {seed: 1}\n", encoding="utf-8")
    (repository / "untracked").write_text("", encoding="utf-8")
    assert git_tags(repository) == {**named, "git_changes": "1"}


def test_outside_of_a_repository_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert git_tags(tmp_path) == {"git_commit": ""}
    monkeypatch.setenv("PATH", "")
    assert git_commit(tmp_path) == ""


def test_the_lock_is_named_by_its_digest_where_there_is_one(tmp_path: Path) -> None:
    assert lock_tags(tmp_path) == {}
    (tmp_path / "dvc.lock").write_bytes(b"schema: '2.0'\n")
    assert lock_tags(tmp_path) == {"dvc_lock": hashlib.sha256(b"schema: '2.0'\n").hexdigest()}
