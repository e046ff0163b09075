"""MLServer's own virtual environment: its requirements and the project's are too far apart."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
DEFAULT_FOLDER: Final = Path.home() / ".cache" / "carprice-benchmarks" / "mlserver"
_PACKAGES: Final = (
    "mlserver>=1.7",
    "mlserver-mlflow>=1.7",
    "mlflow>=3.17,<4",
    "pandas<3",
    "onnxruntime>=1.20",
    "rapidfuzz>=3.10",
)
"""MLServer 1.7 cannot encode the text columns of pandas 3, and wants an older FastAPI than the
service; what loads the model needs neither the service nor the pipeline."""
_SHOWN_CHARACTERS: Final = 300


class UnavailableError(Exception):
    """MLServer cannot be installed; the message says why."""


def ensure_mlserver(folder: Path, progress: Callable[[str], None]) -> Path:
    """Return the folder of MLServer's programs, installed there first where it is not yet.

    Raises
    ------
    UnavailableError
        If it cannot be installed.
    """
    programs, stamp = folder / "bin", folder / "installed-for"
    wanted = _fingerprint()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return programs
    if folder.exists() and not stamp.is_file() and any(folder.iterdir()):
        raise UnavailableError(f"{folder} holds something else; name a new folder")
    progress(f"installing MLServer into {folder}, which takes a minute or two")
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    stamp.write_text("unfinished", encoding="utf-8")
    install = [str(programs / "python"), "-m", "pip", "install", "--quiet"]
    _run([*install, *_PACKAGES])
    _run([*install, "--no-deps", "-e", str(ROOT)])
    stamp.write_text(wanted, encoding="utf-8")
    return programs


def _fingerprint() -> str:
    """Return what an installation depends on: this Python, this project and its requirements."""
    project = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    return "\n".join((sys.version, *_PACKAGES, project))


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        raise UnavailableError(str(error)) from None
    if done.returncode != 0:
        lines = done.stdout.strip().splitlines() or [f"exit code {done.returncode}"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise UnavailableError("; ".join(errors)[:_SHOWN_CHARACTERS])
