"""The benchmarks run and report; whether their figures are good depends on the machine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
SCRIPTS = ("accuracy.py", "load.py", "one_price.py", "scaling.py", "serving.py")


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
