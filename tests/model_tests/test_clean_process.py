import contextlib
import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from carprice.model_folder import folder_digest
from carprice.model_tests import clean_process
from carprice.model_tests.clean_process import RunningService, running, stop
from carprice.model_tests.results import ModelTestFailedError, ModelTestResults
from carprice.model_tests.serving_requirements import SERVING, installed, requirements
from carprice.schema import example_listing

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import importlib, json, sys
from carprice.model_tests.clean_start import OnlyTheseFinder
*names, asked = sys.argv[1:]
sys.meta_path.insert(0, OnlyTheseFinder(names))
found = {}
for name in asked.split(","):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        found[name] = str(error)
print(json.dumps(found))
"""


def refused(*modules: str) -> dict[str, str]:
    """Return the modules that cannot be imported where only serving's distributions can be."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, *installed(), ",".join(modules)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_what_serving_requires_and_nothing_else_can_be_imported() -> None:
    heavy = ("pandas", "mlflow", "sklearn", "xgboost", "boto3", "dvc", "scipy", "matplotlib")
    others = (*heavy, "yaml", "pytest", "opentelemetry.sdk.trace", "no_such_module")
    needed = ("numpy", "onnxruntime", "fastapi", "uvicorn", "rapidfuzz.fuzz", "google.protobuf")
    found = refused(*needed, "carprice.model", "api.app", "sqlite3", "email.mime.text", *others)
    assert {*found} == {*others}
    assert found["pandas"] == "No module named 'pandas': serving does not require it"


def test_every_serving_distribution_is_a_dependency_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {canonicalize_name(Requirement(one).name) for one in project["dependencies"]}
    assert declared >= {*SERVING}
    assert {canonicalize_name(Requirement(one).name) for one in requirements()} <= {*SERVING}
    assert any(one.startswith("fastapi") for one in requirements())


def test_the_requirements_of_requirements_belong_to_the_set() -> None:
    every = installed()
    assert {"starlette", "pydantic-core", "click"} < {*every}
    assert not {"mlflow", "pandas", "dvc", "carprice"} & {*every}
    assert installed(["no-such-distribution"]) == ()


def test_the_service_serves_the_tested_model_and_no_other_on_every_page(
    service: RunningService, finished: Any
) -> None:
    every = ModelTestResults()
    for digest in (folder_digest(finished[0].model), "0" * 64):
        every.run_all("clean process", clean_process.checks(service, digest))
    (failure,) = every.failures
    assert len(every.every) == 4
    assert failure.message.endswith("needs 000000000000 from the image")


def test_the_callers_environment_does_not_disturb(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "CARPRICE_API_KEYS": ":".join(["me", "0" * 64]),
        "CARPRICE_POLL_SECONDS": "no number",
        "CARPRICE_DOCS": "false",
        "MLFLOW_TRACKING_URI": "https://me:<s3cret>@example.invalid",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "PYTHONPATH": str(tmp_path),
        "PORT": "1",
        "WEB_CONCURRENCY": "3",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "api.py").write_text("raise SystemExit('this is not the service')")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with running(finished[0].model, scratch, 120) as service:
        assert service.http.get("/docs").status_code == 200
        assert service.http.post("/predict", json=example_listing()).status_code == 200
        assert stop(service) == "exit code 0 after SIGTERM; needs 0"
    assert "s3cret" not in service.log.read_text(encoding="utf-8")


def test_a_requirement_that_is_missing_is_named(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = tuple(name for name in installed() if name != "onnxruntime")
    monkeypatch.setattr(clean_process, "installed", lambda: without)
    with (
        pytest.raises(
            ModelTestFailedError, match=r"No module named 'onnxruntime': serving does not"
        ),
        running(finished[0].model, tmp_path, 120),
    ):
        pytest.fail("it should not have started")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> "list[subprocess.Popen[bytes]]":
    """The processes that the test starts."""
    found: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            found.append(self)

    monkeypatch.setattr(clean_process.subprocess, "Popen", Recorded)
    return found


def test_a_service_that_never_gets_ready_is_ended_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: Any
) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(clean_process, "_command", lambda _: command)
    with (
        pytest.raises(ModelTestFailedError, match=r"it is not ready after 0\.3 s"),
        running(tmp_path / "model", tmp_path, 0.3),
    ):
        pytest.fail("it should not have started")
    assert started[0].poll() is not None


def test_a_service_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; "
        "from carprice.model_tests.clean_process import running; "
        "running(Path('no model'), Path(sys.argv[1]), 60).__enter__()"
    )
    deadline = time.monotonic() + 60
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) as caller:
        while not (found := psutil.Process(caller.pid).children()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        caller.kill()
    with contextlib.suppress(psutil.NoSuchProcess):
        while found[0].status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_service_that_ends_with_an_error_or_not_at_all_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean_process, "_STOP_SECONDS", 0.5)
    for handler, message in (
        ("lambda *_: print('https://me:s3cret@example.org said no') or sys.exit(3)", "code 3"),
        ("signal.SIG_IGN", "it still runs 0.5 s after SIGTERM"),
    ):
        program = (
            f"import signal, sys, time; signal.signal(signal.SIGTERM, {handler}); "
            "print('up', flush=True); time.sleep(60)"
        )
        log = tmp_path / "log"
        with log.open("wb") as output:
            process = subprocess.Popen([sys.executable, "-c", program], stdout=output)
        try:
            while b"up" not in log.read_bytes():
                assert process.poll() is None
            with pytest.raises(ModelTestFailedError, match=message) as failed:
                stop(RunningService(process, log, httpx.Client()))
            assert "s3cret" not in str(failed.value)
        finally:
            process.kill()
            process.wait()


def test_the_requirements_can_be_printed_for_pip() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "carprice.model_tests.serving_requirements"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == requirements()
