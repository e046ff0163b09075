import functools
import json
import re
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import run, working


def stages_run(printed: str) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", printed)


@pytest.fixture
def project(tmp_path: Path, copy_project: Callable[[Path], Path]) -> Path:
    """A copy of the project in a git repository of its own, with a small sample."""
    folder = copy_project(tmp_path / "project")
    small = (("train.booster", {"n_estimators": 60, "learning_rate": 0.1}),)
    set_params(folder, ("ingest.sample.rows", 1000), ("train.folds", 3), *small)
    run(folder, "git", "init", "--quiet")
    return folder


def set_params(folder: Path, *changes: tuple[str, Any]) -> None:
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for keys, value in changes:
        *sections, key = keys.split(".")
        functools.reduce(dict.__getitem__, sections, params)[key] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def start_up(serve: Any, folder: Path) -> Any:
    command = [sys.executable, "-m", "carprice.cli", "up", "--port", "{port}"]
    return serve(command, folder, environment={"CARPRICE_DRAIN_SECONDS": "0"}, deadline=900)


def test_the_project_runs_reuses_and_reruns_what_changed(project: Path, serve: Any) -> None:
    """One project from first start to a changed seed; each part rests on the one before."""
    # Beside another command the first stage is refused, and so DVC ends.
    with working(project, "carprice up") as other:
        told = run(project, "dvc", "repro", code=255)
    assert f"carprice: `carprice up` (process {other.pid}, since 2025-07-01 12:00:00 UTC)" in told
    assert not (project / "data" / "report.json").exists()

    # The first start serves the sample.
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

    # What a start runs is reused as long as nothing changed.
    assert stages_run(run(project, "dvc", "repro", "evaluate")) == []

    # The next start trains with a new seed, and goes on serving what was promoted.
    set_params(project, ("train.seed", 1))
    with start_up(serve, project) as server:
        printed = server.log.read_text()
        assert stages_run(printed) == ["train", "evaluate"]
        assert "version 2 is new" in printed
        assert "Model version 2" in printed
        assert "is the first model" not in printed
        assert json.loads(server.get("/")[1])["modelVersion"] == "1"

    # DVC shows metrics and plots.
    metrics = json.loads(run(project, "dvc", "metrics", "show", "--json"))
    (shown,) = metrics[""]["data"].values()
    assert shown["data"] == json.loads((project / "reports" / "metrics.json").read_text())
    run(project, "dvc", "plots", "show")
    page = (project / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    for title in ("predicted against asked", "error by make", "importance"):
        assert title in page
