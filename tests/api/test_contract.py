"""The running service keeps to its own OpenAPI document, in a fuzzer's and a browser's hands."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from browser import needs_browser, try_a_price_out
from openapi_spec_validator import validate

# The deterministic phase would send each of these two 2,000 bodies; what is wrong with theirs has
# tables in tests/api/protocols, and random bodies are sent all the same.
LESS = """
[[operations]]
include-path-regex = "/infer|/invocations"
phases.coverage.enabled = false
"""


@pytest.fixture(scope="module")
def document(running: Any) -> dict[str, Any]:
    return json.loads(running.get("/openapi.json")[1])  # type: ignore[no-any-return]


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)


def test_each_body_and_each_error_has_an_example(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            bodies = operation.get("requestBody", {}).get("content", {}).values()
            assert all("example" in body or "examples" in body for body in bodies), path
            for status, response in operation["responses"].items():
                if not status.startswith("2"):
                    assert response["content"], (path, method, status)
    problem = document["components"]["schemas"]["Problem"]["properties"]
    assert all("examples" in problem[name] for name in ("type", "title", "status", "detail"))


def test_a_fuzzer_finds_nothing(running: Any, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(LESS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{running.url}/openapi.json"),
            *("--checks", "all", "--max-examples", "20", "--continue-on-failure", "--no-color"),
            *("--exclude-path-regex", "/versions/", "--workers", "1", "--seed", "1"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    generated = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert generated, done.stdout[-2000:]
    assert int(generated[1]) == int(generated[2]) >= 1000
    statuses = {
        json.loads(line)["status"]
        for line in running.log.read_text().split("\n")  # paths hold other ends of lines
        if '"carprice.access"' in line
    }
    assert {200, 422} <= statuses
    assert not {status for status in statuses if status >= 500}


@needs_browser
def test_swagger_ui_tries_a_price_out_in_a_browser(running: Any) -> None:
    try_a_price_out(running.url)
