"""MLServer's own virtual environment: its requirements and the project's are too far apart."""

import subprocess
from pathlib import Path
from typing import Final

from carprice.arrays import Progress

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


def ensure_mlserver(folder: Path, progress: Progress) -> Path:
    """Return the folder of MLServer's programs; what is not installed there yet is installed.

    Raises
    ------
    UnavailableError
        If it cannot be installed.
    """
    progress(f"installing MLServer into {folder}, which takes a minute the first time")
    if not (folder / "pyvenv.cfg").is_file():
        _uv("venv", str(folder))
    install = ("pip", "install", "--python", str(folder))
    _uv(*install, *_PACKAGES)
    _uv(*install, "--no-deps", "--editable", str(ROOT))
    return folder / "bin"


def _uv(*words: str) -> None:
    try:
        done = subprocess.run(["uv", *words], check=False, capture_output=True, text=True)
    except OSError as error:
        raise UnavailableError(f"{error}; pip install uv") from None
    if done.returncode != 0:
        raise UnavailableError(" ".join(done.stderr.split())[-_SHOWN_CHARACTERS:])
