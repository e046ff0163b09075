"""Loads a model and prices a car in a process of its own, which can be killed and has no secrets.

What comes from a registry is tried so before it is loaded for good. ``python -m
carprice.model.trial FOLDER`` does it, and prints one line of JSON at the end: ``digest`` of what it
loaded, or ``error``.
"""

import json
import math
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

# The class itself: a test that watches what other modules start does not see this.
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Final

from carprice.errors import CarpriceError, CorruptModelError, RefusedError
from carprice.model.price_model import PriceModel
from carprice.schema import Listing, example_listing

KEPT_VARIABLES: Final = (
    *("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL"),
    *("SYSTEMROOT", "TEMP", "TMP", "TMPDIR"),
)
"""Variables that the system needs to start a process; a process without secrets gets no other."""
_PYTHONS: Final = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS")
_MOST_MEMORY: Final = 8 * 1024**3
_MOST_SECONDS: Final = 600  # of computing, if nobody ends it
_SHORT_DIGEST: Final = 12


def kept(*more: str) -> dict[str, str]:
    """Return the environment's :data:`KEPT_VARIABLES`, and some more."""
    return {name: os.environ[name] for name in (*KEPT_VARIABLES, *more) if name in os.environ}


def child_without_secrets(module: str, folder: Path) -> "Popen[bytes]":
    """Start ``python -m module folder``, its standard input and output at pipes.

    Raises
    ------
    RefusedError
        If the system starts no process.
    """
    # -P: a file in the working folder must not take the place of a library.
    command = [sys.executable, "-P", "-m", module, str(folder)]
    try:
        # Standard input is closed when this process ends, and ends the other one.
        return Popen(command, env=kept(*_PYTHONS), stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    except OSError as error:
        reason = error.strerror or error
        raise RefusedError(f"no process to load a model can be started: {reason}") from None


class Trial:
    """One try of a model folder; :meth:`end` from another thread ends it early."""

    def __init__(self, folder: Path, digest: str) -> None:
        self._folder, self._digest = folder, digest
        self._what = f"model {digest[:_SHORT_DIGEST]}"
        self._process = child_without_secrets("carprice.model.trial", folder)

    def run(self, seconds: float) -> None:
        """Wait until the model was loaded and has priced a car.

        Raises
        ------
        CorruptModelError
            If it is not of the digest, cannot be loaded or priced with, or takes longer.
        """
        process, stdin = self._process, self._process.stdin
        process.stdin = None  # else it would be closed now
        try:
            told, _ = process.communicate(timeout=seconds)
        except TimeoutExpired:
            raise CorruptModelError(
                f"{self._what} did not load and price a car within {seconds:g} s, and was ended; "
                "train it again, or raise CARPRICE_LOAD_SECONDS"
            ) from None
        finally:
            self.end()
            for pipe in (stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self._judge(told)

    def end(self) -> None:
        """End the process, whatever it does."""
        with suppress(OSError):
            self._process.kill()
        with suppress(TimeoutExpired):
            self._process.wait(1)

    def _judge(self, told: bytes) -> None:
        try:
            answer: Mapping[str, str] = json.loads(told.splitlines()[-1])
            error, digest = answer.get("error"), answer.get("digest")
        except (ValueError, LookupError, AttributeError):
            code = self._process.returncode
            raise CorruptModelError(
                f"{self._what} ended the process that loaded it (exit code {code}); train it again"
            ) from None
        if error:
            raise CorruptModelError(str(error)[:1000])
        if digest != self._digest:
            raise CorruptModelError(
                f"{self._folder} is not the model that was fetched; fetch it again"
            )


def try_model(folder: Path, digest: str, seconds: float) -> None:
    """Load a model of a digest and price a car in another process; see :meth:`Trial.run`."""
    Trial(folder, digest).run(seconds)


def price_the_example(model: PriceModel) -> None:
    """Refuse a model that cannot price the schema's example listing.

    Raises
    ------
    CorruptModelError
        If it fails, or its price is none.
    """
    name = f"model {model.digest[:_SHORT_DIGEST]}"
    try:
        found = model.pricer.value(vars(Listing.model_validate(example_listing())))
    except Exception as error:
        raise CorruptModelError(
            f"{name} cannot be served: it fails with {type(error).__name__}; train it again with "
            "this version of carprice"
        ) from error
    price, low, high = found.prices
    if not 0 < low <= price <= high < math.inf:
        raise CorruptModelError(
            f"{name} cannot be served: it prices the example listing at {price:g} ({low:g} to "
            f"{high:g}); train it again"
        )


def _end_with_the_parent() -> None:
    with suppress(OSError):
        while os.read(0, 1):
            pass
    os._exit(1)


def limit() -> None:
    """Bound what this process may take of memory and computing, where the system can."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (_MOST_SECONDS, _MOST_SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Run as a program."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    limit()
    try:
        model = PriceModel.load(Path(sys.argv[1]))
        price_the_example(model)
        answer = {"digest": model.digest}
    except CarpriceError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": "the model takes more memory than any model needs; train it again"}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)  # at once, whatever threads there are


if __name__ == "__main__":
    main()
