import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from carprice.model_folder import folder_digest
from carprice.model_tests import clean_process
from carprice.model_tests.clean_process import Service, running, stop
from carprice.model_tests.clean_start import OnlyTheseFinder
from carprice.model_tests.results import ModelTestFailedError, ModelTestResults, Status
from carprice.model_tests.serving_requirements import SERVING, canonical, installed, requirements
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


def test_what_serving_does_not_require_cannot_be_imported() -> None:
    heavy = ("pandas", "mlflow", "sklearn", "xgboost", "boto3", "dvc", "scipy", "matplotlib")
    found = refused(*heavy, "yaml", "pytest", "opentelemetry.sdk.trace")
    assert {*found} == {*heavy, "yaml", "pytest", "opentelemetry.sdk.trace"}
    assert found["pandas"] == "No module named 'pandas': serving does not require it"


def test_what_serving_requires_can_be_imported() -> None:
    needed = ("numpy", "onnxruntime", "fastapi", "uvicorn", "rapidfuzz.fuzz", "google.protobuf")
    assert refused(*needed, "carprice.model", "api.app", "sqlite3", "email.mime.text") == {}


def test_every_serving_distribution_is_a_dependency_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {canonical(Requirement(one).name) for one in project["dependencies"]}
    assert declared >= {*SERVING}
    assert {canonical(Requirement(one).name) for one in requirements()} <= {*SERVING}
    assert any(one.startswith("fastapi") for one in requirements())


def test_the_requirements_of_requirements_belong_to_the_set() -> None:
    every = installed()
    assert {"starlette", "pydantic-core", "click"} < {*every}
    assert not {"mlflow", "pandas", "dvc", "carprice"} & {*every}
    assert installed(["no-such-distribution"]) == ()


def test_the_service_serves_the_tested_model_on_every_page(service: Service, finished: Any) -> None:
    every = ModelTestResults()
    digest = folder_digest(finished[0].model)
    every.run_all("clean process", clean_process.checks(service, digest))
    assert [one.message for one in every.failures] == []
    assert len(every.every) == 2


def test_a_service_with_another_model_is_found_out(service: Service) -> None:
    every = ModelTestResults()
    every.run_all("clean process", clean_process.checks(service, "0" * 64))
    (failure,) = every.failures
    assert failure.name == "it serves the tested bytes"
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
        assert service.ask("GET", "/docs")[0] == 200
        assert service.ask("POST", "/predict", example_listing())[0] == 200
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


def test_a_service_that_never_gets_ready_is_ended_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        clean_process, "_command", lambda _: [sys.executable, "-c", "import time; time.sleep(60)"]
    )
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            started.append(self)

    monkeypatch.setattr(clean_process.subprocess, "Popen", Recorded)
    with (
        pytest.raises(ModelTestFailedError, match=r"it is not ready after 0\.3 s"),
        running(tmp_path / "model", tmp_path, 0.3),
    ):
        pytest.fail("it should not have started")
    assert started[0].poll() is not None


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
                stop(Service(0, process, log))
            assert "s3cret" not in str(failed.value)
        finally:
            process.kill()
            process.wait()


def test_a_result_is_one_line_and_a_crash_is_a_failure() -> None:
    def crash() -> str:
        raise ZeroDivisionError("a\nb at https://me:<s3cret>@example.org")

    every = ModelTestResults()
    assert not every.run("a", "b", crash)
    every.not_run("a", "c", "nothing is left")
    assert every.run("a", "d", lambda: "fine")
    assert every.every[0].message == "crashed: ZeroDivisionError: a b at https://***@example.org"
    assert [one.status for one in every.failures] == [Status.FAILED, Status.NOT_RUN]


def test_the_finder_leaves_what_is_allowed_to_the_others() -> None:
    finder = OnlyTheseFinder(installed())
    for name in ("os.path", "carprice.model", "api", "numpy", "google"):
        assert finder.find_spec(name) is None
    for name in ("pandas", "no_such_module"):
        with pytest.raises(ModuleNotFoundError, match=f"No module named '{name}'"):
            finder.find_spec(name)


def test_the_requirements_can_be_printed_for_pip() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "carprice.model_tests.serving_requirements"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == requirements()
