import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("ingest", "transform", "train", "evaluate", "register")


def run(folder: Path, *command: str) -> str:
    """Run a command in a folder; return all that it printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def stages_run(printed: str) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", printed)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, copy_project: Callable[[Path], Path]) -> Path:
    """A copy of the project in a git repository of its own, with a small sample."""
    folder = copy_project(tmp_path_factory.mktemp("up") / "project")
    change_params(
        folder,
        lambda params: (
            params["ingest"]["sample"].update(rows=2000),
            params["train"]["booster"].update(n_estimators=60, learning_rate=0.1),
        ),
    )
    run(folder, "git", "init", "--quiet")
    return folder


def change_params(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(params)
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def start_up(serve: Any, folder: Path) -> Any:
    return serve([sys.executable, "-m", "carprice.cli", "up", "--port", "{port}"], folder)


def test_the_project_runs_reuses_and_reruns_what_changed(project: Path, serve: Any) -> None:
    """One project from first start to a changed seed; each part rests on the one before."""
    first_start_serves_the_sample(project, serve)
    second_repro_runs_register_alone(project)
    dvc_shows_metrics_and_plots(project)
    second_start_reuses_everything(project, serve)
    a_new_seed_reruns_training_and_what_follows(project)


def first_start_serves_the_sample(project: Path, serve: Any) -> None:
    with start_up(serve, project) as server:
        health = json.loads(server.get("/")[1])
        assert (health["status"], health["modelVersion"]) == ("ok", "1")
        printed = server.log.read_text()
        (line,) = [line for line in printed.splitlines() if line.startswith("curl ")]
        words = shlex.split(line)
        assert words[2] == f"http://localhost:{server.port}/predict"
        status, answer = server.post("/predict", words[words.index("-d") + 1].encode())
        assert status == 200
        assert answer["priceLow"] < answer["predictedPrice"] < answer["priceHigh"]
        assert answer["modelVersion"] == "1"
        assert stages_run(printed) == ["ingest", "transform", "train", "evaluate"]
        assert "Version 1 is the first model, and now in production." in printed
        assert "MAPE" in printed
        server.process.send_signal(signal.SIGINT)
        server.process.wait(30)
    assert "Traceback" not in server.log.read_text()


def second_repro_runs_register_alone(project: Path) -> None:
    run(project, "dvc", "repro")
    printed = run(project, "dvc", "repro")
    assert stages_run(printed) == ["register"]
    assert "version 1 is already there, and may be staged" in printed


def dvc_shows_metrics_and_plots(project: Path) -> None:
    metrics = json.loads(run(project, "dvc", "metrics", "show", "--json"))
    (shown,) = metrics[""]["data"].values()
    assert shown["data"] == json.loads((project / "reports" / "metrics.json").read_text())
    run(project, "dvc", "plots", "show")
    page = (project / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    for title in ("predicted against asked", "error by make", "importance"):
        assert title in page


def second_start_reuses_everything(project: Path, serve: Any) -> None:
    with start_up(serve, project) as server:
        printed = server.log.read_text()
        assert stages_run(printed) == []
        assert "version 1 is already there" in printed
        assert "is the first model" not in printed
        assert json.loads(server.get("/")[1])["modelVersion"] == "1"


def a_new_seed_reruns_training_and_what_follows(project: Path) -> None:
    change_params(project, lambda params: params["train"].update(seed=1))
    printed = run(project, "dvc", "repro")
    assert stages_run(printed) == ["train", "evaluate", "register"]
    assert "version 2 is new" in printed
    changed = json.loads(run(project, "carprice", "status", "--json"))
    assert [one["number"] for one in changed] == [2, 1]
    assert "production" in changed[1]["aliases"]
