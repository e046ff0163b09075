"""Run the real service in a process that can import only what serving requires, and test it."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from carprice.model.trial import kept
from carprice.model_tests.documented import Asked, documented
from carprice.model_tests.results import ModelTest, ModelTestFailedError, require
from carprice.model_tests.serving_requirements import installed
from carprice.redaction import redact
from carprice.schema import REQUIRED, alias, example_listing

SUITE: Final = "clean process"
_HOST: Final = "127.0.0.1"
_ANSWER_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.02
_SHOWN: Final = 1500
_MODEL_NAME: Final = "used-car-price"


@dataclass(frozen=True)
class RunningService:
    """A running service, its log, and a client that asks it without a proxy in between."""

    process: "subprocess.Popen[bytes]"
    log: Path
    http: httpx.Client

    def last_words(self) -> str:
        """Return the end of its log, without secrets."""
        return redact(self.log.read_text(encoding="utf-8", errors="replace").strip()[-_SHOWN:])


@contextlib.contextmanager
def running(model: Path, scratch: Path, seconds: float) -> Iterator[RunningService]:
    """Run the service with a model folder until the block ends.

    Parameters
    ----------
    model : the model folder that it serves; its registry is down and its cache empty.
    scratch : an empty folder for its files.
    seconds : how long it may take until it is ready.

    Raises
    ------
    ModelTestFailedError
        If it does not get ready.
    """
    log, port = scratch / "service.log", _free_port()
    address = f"http://{_HOST}:{port}"
    with (
        socket.socket() as nobody,
        log.open("wb") as output,
        httpx.Client(base_url=address, timeout=_ANSWER_SECONDS, trust_env=False) as http,
    ):
        nobody.bind((_HOST, 0))  # bound but never listening: a registry that is down
        registry = f"http://{_HOST}:{nobody.getsockname()[1]}"
        with subprocess.Popen(
            _command(port),
            cwd=scratch,
            env=_environment(model, scratch, registry),
            stdin=subprocess.PIPE,  # closes when this process is killed; the service then ends
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process:
            service = RunningService(process, log, http)
            try:
                _wait(service, seconds)
                yield service
            finally:
                process.kill()


def checks(service: RunningService, digest: str) -> dict[str, ModelTest]:
    """Return the tests of a running service by their names."""
    return {
        "it serves the tested bytes": partial(_serves, service, digest),
        "every page answers": partial(_every_page, service),
    }


def stop(service: RunningService) -> str:
    """Ask the service to stop and see that it does; the last test of it.

    Raises
    ------
    ModelTestFailedError
        If it does not end by itself, or with an error.
    """
    service.process.terminate()
    try:
        code = service.process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        raise ModelTestFailedError(
            f"it still runs {_STOP_SECONDS:g} s after SIGTERM: {service.last_words()}"
        ) from None
    if sys.platform == "win32":  # which has no SIGTERM: the service was killed
        return "it was ended"
    words = f": {service.last_words()}" if code else ""
    return require(code == 0, f"exit code {code} after SIGTERM; needs 0{words}")


def _command(port: int) -> list[str]:
    # -I: neither the working folder nor the caller's PYTHONPATH can lend a library.
    start = [sys.executable, "-I", "-m", "carprice.model_tests.clean_start", *installed()]
    return [*start, "--", "--host", _HOST, "--port", str(port), "--workers", "1"]


def _environment(model: Path, scratch: Path, registry: str) -> Mapping[str, str]:
    return {
        **kept(),
        "HOME": str(scratch),
        "MLFLOW_TRACKING_URI": registry,
        "CARPRICE_MODEL_NAME": _MODEL_NAME,
        "CARPRICE_MODEL_CACHE": str(scratch / "cache"),
        "CARPRICE_BAKED_MODEL": str(model.resolve()),
        "CARPRICE_START_SECONDS": "5",
        "CARPRICE_DRAIN_SECONDS": "0",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(service: RunningService, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and service.process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if service.http.get("/ready").is_success:
                return
        time.sleep(_PAUSE_SECONDS)
    code = service.process.poll()
    ended = f"it is not ready after {seconds:g} s" if code is None else f"it ended with {code}"
    raise ModelTestFailedError(f"{ended}: {service.last_words()}")


def _serves(service: RunningService, digest: str) -> str:
    answer = service.http.get("/model")
    found = answer.json() if answer.is_success else {}
    served, source = found.get("digest"), found.get("source")
    return require(
        served == digest and source == "image",
        f"GET /model answers {answer.status_code} with digest {str(served)[:12]} from the "
        f"{source}; needs {digest[:12]} from the image",
    )


def _every_page(service: RunningService) -> str:
    """Request every page once: a page may import libraries on its first request."""
    listing = example_listing()
    least = {name: listing[name] for name in map(alias, REQUIRED)}
    misspelt = {**listing, "model": f"{listing['model']}x", "variant": None}
    document = service.http.get("/openapi.json").json()
    parameters = {"name": _MODEL_NAME, "version": service.http.get("/model").json()["version"]}
    pages = (
        *(Asked("GET", path) for path in ("/docs", "/redoc", "/openapi.json", "/metrics", "/v2/")),
        *documented(document, parameters),
        *(
            Asked("POST", path, json.dumps(body).encode(), "application/json")
            for path, body in (
                ("/predict?confidence=0.5", misspelt),
                ("/predict/batch", {"listings": [listing, misspelt]}),
            )
        ),
    )
    wrong = []
    for one in pages:
        answer = service.http.request(**one.sent())
        if answer.status_code != httpx.codes.OK:
            wrong.append(f"{one.method} {one.path} answers {_shown(answer)}")
    answer = service.http.post("/predict", json={**least, alias("fuel_type") + "x": "Petrol"})
    if answer.status_code != httpx.codes.UNPROCESSABLE_ENTITY:
        wrong.append(f"a misspelt field is answered with {_shown(answer)}")
    told = "; ".join(wrong) or f"{len(pages)} requests with 200, a misspelt field with 422"
    return require(not wrong, told)


def _shown(answer: httpx.Response) -> str:
    return f"{answer.status_code} ({answer.text[:200]})"
