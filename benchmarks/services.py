"""The services that are compared: how each is started, asked and read."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bodies import mlflow_form, plain_form, v2_form
from sample_registry import MODEL, MODEL_URI
from servers import Server, clean_environment, free_port, running

BARE: Final = "bare ASGI application"
EMPTY: Final = "empty route"
CARPRICE: Final = "carprice"
BESIDE: Final = "carprice beside"
MLFLOW: Final = "mlflow models serve"
REFERENCE: Final = "pandas + pyfunc"
MLSERVER: Final = "MLServer"

CARPRICE_OPTIONS: Final = ("-m", "api", "--host", "127.0.0.1", "--port")
"""What people run, with its default settings, access log included; the port follows."""
EMPTY_OPTIONS: Final = ("--loop", "uvloop", "--http", "httptools", "--no-access-log")
_PEERS: Final = Path(__file__).resolve().parent / "peers"


@dataclass(frozen=True)
class Place:
    """Where services run.

    Attributes
    ----------
    registry : address of the model registry.
    scratch : folder for all that is written.
    mlserver : folder of MLServer's programs, if it is compared.
    beside : Python of an environment with another version of carprice, if one is compared.
    """

    registry: str
    scratch: Path
    mlserver: Path | None = None
    beside: Path | None = None


@dataclass(frozen=True)
class ServiceUnderTest:
    """One service under test.

    Attributes
    ----------
    path : of the route that values a listing.
    form : makes a listing that route's request.
    price : reads the price from its answer; None where the answer is not a price.
    command : program and arguments, for a port.
    variables : environment variables beside the registry's address.
    programs : folder of its programs; default: that of this Python.
    cache : folder of the models that it keeps; None where it keeps none.
    """

    path: str
    form: Callable[[dict[str, Any]], dict[str, Any]]
    price: Callable[[Any], float] | None
    command: Callable[[Place, int], list[str]]
    variables: Callable[[Place], Mapping[str, str]] = field(default=lambda _: {})
    programs: Callable[[Place], Path | None] = field(default=lambda _: None)
    cache: Callable[[Place], Path] | None = None

    def environment(self, place: Place) -> dict[str, str]:
        """Return the environment to start it in."""
        variables = {"MLFLOW_TRACKING_URI": place.registry, **self.variables(place)}
        return clean_environment(variables, self.programs(place))


def _carprice(folder: str, python: Callable[[Place], Path | str]) -> ServiceUnderTest:
    """Return carprice's service, run by a Python, with a cache of its own below the scratch."""

    def cache(place: Place) -> Path:
        return place.scratch / folder

    return ServiceUnderTest(
        "/predict",
        plain_form,
        lambda answer: float(answer["predictedPrice"]),
        lambda place, port: [str(python(place)), *CARPRICE_OPTIONS, str(port)],
        lambda place: {"CARPRICE_MODEL_CACHE": str(cache(place))},
        cache=cache,
    )


def _uvicorn_of_peer(module: str, port: int, *options: str) -> list[str]:
    target = [f"{module}:app", "--app-dir", str(_PEERS), "--host", "127.0.0.1"]
    return [sys.executable, "-m", "uvicorn", *target, "--port", str(port), *options]


def _serve_by_mlflow(_: Place, port: int) -> list[str]:
    options = ["-m", MODEL_URI, "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    return [sys.executable, "-m", "mlflow", "models", "serve", *options]


def _serve_by_mlserver(place: Place, port: int) -> list[str]:
    """Write MLServer's two settings files; the model stays in the server's own process."""
    folder = place.scratch / "mlserver"
    folder.mkdir(exist_ok=True)
    server = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": MODEL,
        "implementation": "mlserver_mlflow.MLflowRuntime",
        "parameters": {"uri": MODEL_URI},
    }
    for name, content in (("settings", server), ("model-settings", model)):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return ["mlserver", "start", str(folder)]


def _price_of_v2(answer: Any) -> float:
    outputs = {one["name"]: one["data"] for one in answer["outputs"]}
    return float(outputs["predictedPrice"][0])


SERVICES: Final[Mapping[str, ServiceUnderTest]] = {
    BARE: ServiceUnderTest(
        "/predict",
        plain_form,
        None,
        lambda _, port: _uvicorn_of_peer("bare_service", port, *EMPTY_OPTIONS),
    ),
    EMPTY: ServiceUnderTest(
        "/predict",
        plain_form,
        None,
        lambda _, port: _uvicorn_of_peer("empty_service", port, *EMPTY_OPTIONS),
    ),
    CARPRICE: _carprice("carprice-models", lambda _: sys.executable),
    BESIDE: _carprice("models-beside", lambda place: place.beside or sys.executable),
    MLFLOW: ServiceUnderTest(
        "/invocations",
        mlflow_form,
        lambda answer: float(answer["predictions"][0]["predictedPrice"]),
        _serve_by_mlflow,
    ),
    REFERENCE: ServiceUnderTest(
        "/predict",
        plain_form,
        lambda answer: float(answer["predictedPrice"]),
        lambda _, port: _uvicorn_of_peer("reference_service", port),
        lambda _: {"MODEL_URI": MODEL_URI},
    ),
    MLSERVER: ServiceUnderTest(
        f"/v2/models/{MODEL}/infer",
        v2_form,
        _price_of_v2,
        _serve_by_mlserver,
        programs=lambda place: place.mlserver,
    ),
}


@contextmanager
def started(
    name: str, place: Place, core: int, body: str, *, keep_output: bool = True
) -> Iterator[tuple[Server, float]]:
    """Run a service on a core until the block ends; give it and its seconds to the first price."""
    service, port = SERVICES[name], free_port()
    command, environment = service.command(place, port), service.environment(place)
    with running(
        command, port, place.scratch, environment, core, keep_output=keep_output
    ) as server:
        yield server, server.wait_for_answer(service.path, body)
