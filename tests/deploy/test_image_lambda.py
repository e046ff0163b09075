"""The image that deploy/lambda/Dockerfile makes, as Lambda runs it.

AWS's Lambda Web Adapter comes from a registry that tests cannot reach: lambda_adapter.py stands in
for it, and lambda_platform.py for Lambda.
"""

import base64
import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from containers import LISTING, Container, built, inspected, podman, running
from lambda_platform import LambdaPlatform, lambda_platform, of_balancer, of_function_url

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 350_000_000
JSON = {"Content_Type": "application/json"}
BODY = json.dumps(LISTING).encode()


@pytest.fixture(scope="module")
def lambda_image(
    image: str, model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("adapter")
    program = shutil.copy(ROOT / "tests/support/lambda_adapter.py", folder / "lambda-adapter")
    Path(program).chmod(0o755)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY lambda-adapter /lambda-adapter\n")
    adapter = built(folder)
    arguments = (f"--build-arg=IMAGE={image}", f"--build-arg=ADAPTER={adapter}")
    name = built(model_folder, f"--file={ROOT / 'deploy/lambda/Dockerfile'}", *arguments)
    yield name
    podman("rmi", name, adapter, check=False)


@pytest.fixture(scope="module")
def function(lambda_image: str) -> Iterator[tuple[Container, LambdaPlatform]]:
    """The function, waiting for events: Lambda's own user, no shared memory, /tmp alone."""
    with lambda_platform() as platform:
        options = ("--user=993:990", "--ipc=none")
        told = {"AWS_LAMBDA_RUNTIME_API": platform.address}
        with running(lambda_image, *options, environment=told) as container:
            port = f"--env=AWS_LWA_PORT={container.port}"
            extension = "/opt/extensions/lambda-adapter"
            podman("exec", "--detach", port, container.name, extension)
            assert platform.is_initialized.wait(60), container.log
            assert platform.extensions == ["lambda-adapter"]
            yield container, platform


@pytest.fixture
def platform(function: tuple[Container, LambdaPlatform]) -> LambdaPlatform:
    return function[1]


def told(answer: Any) -> Any:
    assert answer["isBase64Encoded"] is False
    return json.loads(answer["body"])


def test_it_is_small_and_starts_the_service_as_ever(lambda_image: str, image: str) -> None:
    made, base = inspected(lambda_image), inspected(image)
    assert made["Size"] <= LARGEST
    for key in ("Entrypoint", "Cmd", "User"):
        assert made["Config"][key] == base["Config"][key]
    # After SIGTERM Lambda waits two seconds.
    assert "CARPRICE_DRAIN_SECONDS=0" in made["Config"]["Env"]


def test_a_function_urls_events_are_answered_as_requests_are(
    function: tuple[Container, LambdaPlatform],
) -> None:
    container, platform = function
    health = platform.invoke(of_function_url("GET", "/"))
    assert (health["statusCode"], told(health)["source"]) == (200, "image")
    price = platform.invoke(of_function_url("POST", "/predict", BODY, **JSON))
    assert price["statusCode"] == 200
    assert told(price) == container.ask("/predict", LISTING).json()
    assert price["headers"]["content-type"] == "application/json"
    narrow = platform.invoke(of_function_url("POST", "/predict", BODY, "confidence=0.6", **JSON))
    assert told(narrow)["confidence"] == 0.6
    wide = told(price)
    assert told(narrow)["priceLow"] > wide["priceLow"]
    page = platform.invoke(of_function_url("GET", "/app", Accept="text/html"))
    assert page["body"].startswith("<!doctype html>")
    assert platform.invoke(of_function_url("GET", "/metrics"))["statusCode"] == 404


def test_a_load_balancers_events_are_answered_too(platform: LambdaPlatform) -> None:
    price = platform.invoke(of_balancer("POST", "/predict", BODY, {"confidence": "0.6"}, **JSON))
    assert (price["statusCode"], price["statusDescription"]) == (200, "200 OK")
    assert price["multiValueHeaders"]["content-type"] == ["application/json"]
    assert told(price)["confidence"] == 0.6
    assert platform.invoke(of_balancer("GET", "/ready"))["statusCode"] == 200


def test_what_is_wrong_is_told_and_no_failure_of_the_function(platform: LambdaPlatform) -> None:
    listing = json.dumps({**LISTING, "year": "soon"}).encode()
    wrong = platform.invoke(of_function_url("POST", "/predict", listing, **JSON))
    assert wrong["statusCode"] == 422
    assert told(wrong)["errors"][0]["field"] == "year"
    packed = of_function_url(
        "POST", "/predict", gzip.compress(BODY), Content_Encoding="gzip", **JSON
    )
    assert packed["isBase64Encoded"]
    refused = platform.invoke(packed)
    assert refused["statusCode"] == 415
    assert "gzip" in told(refused)["detail"]


def test_a_body_may_come_in_base64(platform: LambdaPlatform) -> None:
    table = "make,model,year,odometer\nHyundai,Creta,2018,61000\nŠkoda,Octavia,2017,90000\n"
    event = of_function_url("POST", "/predict/batch", Content_Type="text/csv", Accept="text/csv")
    event |= {"body": base64.b64encode(table.encode()).decode(), "isBase64Encoded": True}
    answer = platform.invoke(event)
    assert answer["statusCode"] == 200
    assert [line.split(",")[0] for line in answer["body"].splitlines()[1:]] == ["Hyundai", "Škoda"]


def test_it_answers_after_it_was_frozen_and_ends_when_it_is_told(
    function: tuple[Container, LambdaPlatform],
) -> None:
    container, platform = function
    podman("kill", "--signal", "STOP", container.name)
    podman("kill", "--signal", "CONT", container.name)
    price = platform.invoke(of_function_url("POST", "/predict", BODY, **JSON))
    assert price["statusCode"] == 200
    assert container.stop() == 0
    assert "Application shutdown complete" in container.log
    assert "egistry" not in container.log
    assert '"client":"192.0.2.1"' in container.log  # and not the adapter
