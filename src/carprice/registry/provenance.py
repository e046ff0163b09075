"""Where a run comes from: the commit of the code, and DVC's lock."""

import hashlib
import subprocess
from pathlib import Path


def git_commit(folder: Path) -> str:
    """Return the commit that the folder's repository stands at; empty outside of one."""
    return _git(folder, "rev-parse", "HEAD")


def git_tags(folder: Path) -> dict[str, str]:
    """Return the tags that name the code of a run; MLflow's pages show the second as its version.

    ``git_changes`` tells how many tracked files differ from the commit.
    """
    commit = git_commit(folder)
    if not commit:
        return {"git_commit": ""}
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no").splitlines()
    return {
        "git_commit": commit,
        "mlflow.source.git.commit": commit,
        "git_changes": str(len(changed)),
    }


def lock_tags(folder: Path) -> dict[str, str]:
    """Return the tag with the SHA-256 of DVC's lock, which names every input and output."""
    lock = folder / "dvc.lock"
    if not lock.is_file():
        return {}
    return {"dvc_lock": hashlib.sha256(lock.read_bytes()).hexdigest()}


def _git(folder: Path, *arguments: str) -> str:
    try:
        asked = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""
