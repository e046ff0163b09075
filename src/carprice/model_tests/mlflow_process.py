"""MLflow loads a downloaded model and prices with it in a process of its own, without secrets.

``python -m carprice.model_tests.mlflow_process FOLDER`` is that process: it says that the model is
loaded, and then answers rows of listings with rows of prices, one line of JSON for each.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from threading import Timer
from typing import IO, Any, Final, TextIO, cast

import pandas as pd

from carprice.model.trial import child_without_secrets, limit
from carprice.model_tests.results import ModelTestFailedError
from carprice.registry.versions import described, load_pyfunc

_SECONDS: Final = 120.0


class MlflowProcess:
    """A model that MLflow loaded in another process; it is asked as a pyfunc is.

    Attributes
    ----------
    metadata : what the file MLmodel says, which is read without loading anything.
    """

    def __init__(self, process: "Popen[bytes]", metadata: Any) -> None:
        self.metadata = metadata
        self._process = process
        self._stdin = cast("IO[bytes]", process.stdin)
        self._stdout = cast("IO[bytes]", process.stdout)
        self._answer(b"")

    def predict(self, listings: pd.DataFrame) -> pd.DataFrame:
        """Return one row a listing, in the types that JSON has.

        Raises
        ------
        ModelTestFailedError
            If MLflow or the model refuses them, ends the process, or takes too long.
        """
        rows = json.dumps(listings.to_dict("records"), default=str)
        return pd.DataFrame(self._answer(f"{rows}\n".encode()))

    def _answer(self, asked: bytes) -> list[dict[str, Any]]:
        deadline = Timer(_SECONDS, self._process.kill)
        deadline.start()
        try:
            self._stdin.write(asked)
            self._stdin.flush()
            told = self._stdout.readline()
        except OSError:  # it has ended
            told = b""
        finally:
            deadline.cancel()
        if not told:
            raise ModelTestFailedError(
                f"the process in which MLflow loads it ended, or was ended after {_SECONDS:g} s"
            )
        answer = json.loads(told)
        if "error" in answer:
            raise ModelTestFailedError(answer["error"])
        rows: list[dict[str, Any]] = answer["rows"]
        return rows


@contextmanager
def loaded(downloaded: Path) -> Iterator[MlflowProcess]:
    """Have MLflow load a model, whose files were checked, in another process until the block ends.

    Raises
    ------
    ModelTestFailedError
        If it does not load.
    """
    with child_without_secrets(__name__, downloaded) as process:
        try:
            yield MlflowProcess(process, described(downloaded))
        finally:
            process.kill()


def _answer_rows(out: TextIO) -> None:
    def tell(**answer: Any) -> None:
        out.write(json.dumps(answer, default=str) + "\n")
        out.flush()

    try:
        pyfunc = load_pyfunc(Path(sys.argv[1]))
    except Exception as error:
        tell(error=f"{type(error).__name__}: {error}"[:1000])
        return
    tell(rows=[])
    for line in sys.stdin:
        try:
            tell(
                rows=pd.DataFrame(pyfunc.predict(pd.DataFrame(json.loads(line)))).to_dict("records")
            )
        except Exception as error:
            tell(error=f"{type(error).__name__}: {error}"[:1000])


if __name__ == "__main__":
    limit()
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    _answer_rows(answers)
