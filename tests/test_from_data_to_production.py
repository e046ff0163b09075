"""One project from its raw data on S3 to production and back, with real servers at every end.

Data and DVC remote on S3, runs and models behind DagsHub's path and logins, and the service. DVC
and the service are processes of their own; the other commands run in this one, which has MLflow.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from command_line import Carprice, caller

from carprice.model_folder import file_digest
from carprice.sample.market import generate
from carprice.schema import example_listing

ROOT = Path(__file__).resolve().parent.parent


class Project:
    """A clone of the project, and everything that was printed in it."""

    def __init__(self, folder: Path, environment: dict[str, str], carprice: Carprice) -> None:
        self.folder = folder
        self._environment = {**environment, "COLUMNS": "200"}
        self._carprice = carprice
        self._log = folder.with_suffix(".log")

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command; return all that it printed."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **self._environment, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        return self._checked(command, done.returncode, done.stdout, code)

    def carprice(self, *command: str, code: int = 0) -> str:
        """Run ``carprice`` in this process; return all that it printed."""
        with pytest.MonkeyPatch.context() as patch, contextlib.chdir(self.folder):
            for name, value in self._environment.items():
                patch.setenv(name, value)
            done = self._carprice(*command)
        return self._checked(("carprice", *command), done.code, done.printed, code)

    def _checked(self, command: tuple[str, ...], code: int, printed: str, expected: int) -> str:
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{printed}")
        assert code == expected, f"{command}: {code}\n{printed}"
        return printed

    def change(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change params.yaml."""
        path = self.folder / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(params)
        path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")

    def clone(self, folder: Path) -> "Project":
        """Return an empty clone."""
        self.run("git", "clone", "--quiet", str(self.folder), str(folder))
        return Project(folder, self._environment, self._carprice)

    def commit(self) -> None:
        """Commit everything that git does not ignore."""
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        self.run("git", "add", "--all")
        self.run("git", *identity, "commit", "--quiet", "--message", "A run")

    def versions(self) -> dict[int, dict[str, Any]]:
        """Return the versions of the registry."""
        return {one["number"]: one for one in json.loads(self.carprice("status", "--json"))}


def aliases(project: Project) -> dict[str, int]:
    return {alias: number for number, one in project.versions().items() for alias in one["aliases"]}


def upload(bucket: Any, key: str, listings: pd.DataFrame) -> None:
    bucket.put_object(Bucket="market", Key=key, Body=listings.to_csv(index=False).encode())


@pytest.fixture
def origin(
    tmp_path: Path,
    copy_project: Callable[[Path], Path],
    bucket: Any,
    dagshub: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Project:
    """The project as its owner has it: connected, not yet run."""
    carprice = caller(monkeypatch, capsys)
    project = Project(copy_project(tmp_path / "origin"), dagshub.environment, carprice)
    listings = generate(1000, 7)
    upload(bucket, "raw/cars.csv", listings)
    shuffled = listings["listingPrice"].sample(frac=1, random_state=0).to_numpy()
    upload(bucket, "raw/shuffled.csv", listings.assign(listingPrice=shuffled))
    project.change(
        lambda params: (
            params["ingest"].update(source="s3://market/raw/cars.csv"),
            params["train"].update(folds=3),
            params["train"].update(
                booster={"n_estimators": 60, "max_depth": 4, "learning_rate": 0.1}
            ),
            params["tracking"].update(dagshub=dagshub.repo),
        )
    )
    project.run("git", "init", "--quiet")
    return project


@pytest.fixture
def clone(origin: Project, tmp_path: Path) -> Project:
    """An empty clone of the project that its owner has run and pushed."""
    origin.run("dvc", "remote", "add", "--default", "--force", "storage", "s3://market/dvc")
    origin.carprice("run")
    origin.run("dvc", "commit", "--force", "--quiet")
    origin.run("dvc", "push")
    origin.commit()
    return origin.clone(tmp_path / "clone")


def served_version(project: Project, dagshub: Any, serve: Callable[..., Any]) -> str:
    """Start the service, ask for a price, and return the version that it comes from."""
    address = {"MLFLOW_TRACKING_URI": dagshub.uri, "CARPRICE_DRAIN_SECONDS": "0"}
    command = [sys.executable, "-m", "api", "--port", "{port}"]
    with serve(command, project.folder, "/ready", {**dagshub.environment, **address}) as server:
        status, answer = server.post("/predict", example_listing())
    assert status == 200
    assert 0 < answer["priceLow"] < answer["predictedPrice"] < answer["priceHigh"]
    return str(answer["modelVersion"])


def test_a_project_goes_from_data_on_s3_to_production_and_back(
    clone: Project, dagshub: Any, aws: str, serve: Callable[..., Any], tmp_path: Path
) -> None:
    """Each part rests on the one before; no login is ever shown or kept."""
    an_empty_clone_pulls_and_reproduces(clone)
    the_first_model_is_promoted_only_once_it_is_tested(clone)
    a_worse_candidate_is_refused(clone)
    a_changed_byte_is_found(clone, dagshub)
    a_better_candidate_goes_to_production(clone)
    assert served_version(clone, dagshub, serve) == "3"
    clone.carprice("rollback", "--why", "complaints")
    assert aliases(clone) == {"production": 1, "previous": 3}
    assert served_version(clone, dagshub, serve) == "1"
    the_history_tells_it_all(clone)
    no_login_is_anywhere(tmp_path, (dagshub.token, aws))


def an_empty_clone_pulls_and_reproduces(clone: Project) -> None:
    clone.run("dvc", "pull")
    assert (clone.folder / "data" / "snapshot" / "cars.csv").is_file()
    printed = clone.run("dvc", "repro")
    assert re.findall(r"Running stage '(\w+)'", printed) == ["evaluate", "register"]
    assert "version 1 is already there, and may be staged" in printed
    assert aliases(clone) == {"staging": 1}


def the_first_model_is_promoted_only_once_it_is_tested(clone: Project) -> None:
    refused = clone.carprice("promote", code=1)
    assert "it has not been through the model tests; run `carprice test-model`" in refused
    clone.carprice("test-model")
    clone.carprice("promote", "--why", "the first")
    assert aliases(clone) == {"staging": 1, "production": 1}


def a_worse_candidate_is_refused(clone: Project) -> None:
    clone.change(lambda params: params["ingest"].update(source="s3://market/raw/shuffled.csv"))
    printed = " ".join(clone.carprice("run").split())
    assert "The gate on version 2" in printed
    assert re.search(r"│ MAPE │ [^│]+ │ at most 30 % │ FAILED │", printed)
    assert "the data are not those of version 1 in production" in printed
    for command in ("test-model", "promote"):
        refused = clone.carprice(command, code=1)
        assert "the gate refused version 2: failed: MAPE" in refused
    assert aliases(clone) == {"production": 1}


def a_changed_byte_is_found(clone: Project, dagshub: Any) -> None:
    clone.change(
        lambda params: (
            params["ingest"].update(source="s3://market/raw/cars.csv"),
            params["train"]["booster"].update(n_estimators=120, learning_rate=0.06),
        )
    )
    clone.carprice("run")
    assert aliases(clone) == {"staging": 3, "production": 1}
    digest = clone.versions()[3]["tags"]["digest"]
    artifacts = dagshub.upstream.log.parent / "artifacts"
    (manifest,) = (path for path in artifacts.rglob("model.json") if file_digest(path) == digest)
    trees = manifest.with_name("booster.onnx")
    good = trees.read_bytes()
    trees.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    refused = clone.carprice("promote", code=1)
    assert "booster.onnx is missing or not the file that was written" in refused
    assert "booster.onnx" in clone.carprice("test-model", code=1)
    trees.write_bytes(good)
    assert "it failed the model tests" in clone.carprice("promote", code=1)
    assert aliases(clone) == {"staging": 3, "production": 1}


def a_better_candidate_goes_to_production(clone: Project) -> None:
    clone.carprice("test-model")
    clone.carprice("promote", "--why", "more trees")
    assert aliases(clone) == {"staging": 3, "production": 3, "previous": 1}


def the_history_tells_it_all(clone: Project) -> None:
    events: dict[int, list[str]] = {}
    for one in json.loads(clone.carprice("history", "--json")):
        events.setdefault(one["version"], []).append(one["what"])
    accepted, passed = ["registered", "accepted by the gate"], "passed the model tests"
    assert events == {
        1: [*accepted, "not promoted", passed, "promoted", "replaced", "restored"],
        2: ["registered", "refused by the gate"],
        3: [
            *(*accepted, "not promoted", "failed the model tests", "not promoted", passed),
            *("promoted", "rolled back", "replaced"),
        ],
    }


def no_login_is_anywhere(folder: Path, secrets: tuple[str, ...]) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 100
    for path in files:
        content = path.read_bytes()
        for secret in secrets:
            assert secret.encode() not in content, path
