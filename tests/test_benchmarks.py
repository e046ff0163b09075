"""The benchmarks run and report; whether their figures are good depends on the machine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
SCRIPTS = ("gate.py", "load.py", "one_price.py", "scaling.py", "serving.py")


@pytest.mark.skipif(sys.platform != "linux", reason="the service is pinned to a core on Linux only")
def test_lasting_load_brings_no_error_and_holds_no_memory(promoted: Any, tmp_path: Path) -> None:
    report = tmp_path / "load.json"
    done = subprocess.run(
        [
            *(sys.executable, str(BENCHMARKS / "load.py"), "--minutes", "0.3"),
            *("--maximum-seconds", "3", "--workdir", str(promoted.root), "--json", str(report)),
        ],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert report.is_file(), done.stdout + done.stderr
    figures = json.loads(report.read_text())
    assert figures["errors"] == {}
    assert figures["answers"] > 1000
    assert figures["growth"] <= 1.05


def test_the_gate_benchmark_judges_good_and_bad_candidates(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(
        "ingest: {sample: {rows: 1500}}\n"
        "train: {folds: 2, booster: {n_estimators: 20, max_depth: 3, learning_rate: 0.3}}\n",
        encoding="utf-8",
    )
    report = tmp_path / "gate.json"
    done = subprocess.run(
        [
            *(sys.executable, str(BENCHMARKS / "gate.py")),
            *("--params", str(tmp_path / "params.yaml"), "--json", str(report)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    accepted = {one["candidate"]: one["accepted"] for one in json.loads(report.read_text())}
    assert accepted["all prices shuffled"] is False
    assert accepted["a tenth of the rows"] is False
    assert "this gate: right about" in done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_explains_itself(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
