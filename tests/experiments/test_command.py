"""The experiments as a person runs them, each in one small market of its own folder."""

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest

from carprice.cli import main
from carprice.experiments.candidates import ALGORITHMS, Algorithm
from carprice.registry.tracking import connect
from carprice.settings import load_settings

PARAMS = """\
# how we train
ingest: {source: sample, sample: {rows: 400, seed: 7}}
train:
  folds: 2 # inner ones
  patience: 5
  booster: {n_estimators: 10, max_depth: 2, learning_rate: 0.3} # small
"""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        (line,) = self.err.strip().splitlines()
        return line


Carprice = Callable[..., Done]


@pytest.fixture
def carprice(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    empty_database: Path,
) -> Carprice:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    Path("params.yaml").write_text(PARAMS, encoding="utf-8")

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["carprice", "experiments", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return Done(int(stop.value.code or 0), printed.out, printed.err)

    return run


def experiment_of(folder: Path, name: str) -> list:
    client = connect(f"sqlite:///{folder / 'mlflow.db'}")
    number = client.get_experiment_by_name(name).experiment_id
    return list(client.search_runs([number]))


def test_the_help_teaches(carprice: Carprice) -> None:
    everything = carprice("--help")
    assert "Why the model is what it is" in everything.out
    for command in ("baseline", "compare", "tune"):
        assert f" {command} " in everything.out
        told = carprice(command, "--help")
        assert told.code == 0
        for option in (
            "--params",
            "--source",
            "--workdir",
            "--quick",
            "--folds",
            "--only",
            "--out",
        ):
            assert option in told.out
        assert "MLflow experiment" in told.out


def test_baseline_prints_the_ranking_and_leaves_tables_pictures_and_runs(
    carprice: Carprice, tmp_path: Path
) -> None:
    done = carprice("baseline", "--quick", "--folds", 3)
    assert done.code == 0, done.err
    for words in ("median/raw", "linear/raw", "MAPE, %", "behind the best"):
        assert words in done.err
    folder = tmp_path / "reports" / "experiments" / "baseline"
    names = {path.name for path in folder.iterdir()}
    assert names == {"ranking.csv", "folds.csv", "error_and_time.png", "behind_the_best.png"}
    assert len(experiment_of(tmp_path, "baseline")) == 5
    assert not (tmp_path / "data").exists()


def test_compare_takes_a_source_and_some_candidates_and_says_what_the_log_changes(
    carprice: Carprice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ALGORITHMS, "catboost", Algorithm("no_such_module"))
    (tmp_path / "cars.csv").write_text(cars(makes=2), encoding="utf-8")
    only = ("--only", "ridge/*/one-hot/median", "--only", "catboost/log/native/*")
    done = carprice("compare", "--source", "cars.csv", "--folds", 3, *only, "--out", "here")
    assert done.code == 0, done.err
    for words in ("Log price instead of raw", "Failed", "catboost is not installed", "pip install"):
        assert words in done.err
    assert (tmp_path / "here" / "behind_the_best.png").is_file()


def cars(makes: int, rows: int = 240) -> str:
    names = ("Kia", "Fiat", "Ford")
    lines = [
        f"{names[n % makes]},M{n % 5},{2005 + n % 17},{37 * n % 97}311,{9000 - 400 * (n % 17) + n}"
        for n in range(rows)
    ]
    return "\n".join(["make,model,year,odometer,price", *lines]) + "\n"


def test_listings_of_one_make_are_told_of(carprice: Carprice, tmp_path: Path) -> None:
    (tmp_path / "kia.csv").write_text(cars(makes=1), encoding="utf-8")
    done = carprice("baseline", "--source", "kia.csv", "--folds", 2, "--only", "median")
    assert done.code == 0, done.err
    assert "All 192 listings are of one make (kia): what is found holds for it alone." in done.err


@pytest.mark.parametrize(
    ("content", "arguments", "code", "words"),
    [
        ("", (), 2, "cars.csv is empty"),
        (cars(2, rows=0), (), 2, "no rows below its header"),
        (cars(2, rows=30), (), 2, "leaves 30 listings to learn from, fewer than 50"),
        (cars(2, rows=60), ("--folds", 10), 2, "48 training listings are too few for 10 folds"),
        (None, (), 2, "cars.csv does not exist"),
        (cars(2), ("--only", "prophet"), 2, "the algorithms are median, model-median, linear,"),
        (cars(2), ("--params", "none.yaml"), 2, "params file none.yaml does not exist"),
    ],
)
def test_bad_use_is_one_line(
    carprice: Carprice,
    tmp_path: Path,
    content: str | None,
    arguments: Sequence[object],
    code: int,
    words: str,
) -> None:
    if content is not None:
        (tmp_path / "cars.csv").write_text(content, encoding="utf-8")
    done = carprice("baseline", "--source", "cars.csv", *arguments)
    assert done.code == code
    assert words in done.line


def test_without_a_terminal_each_candidate_and_trial_is_a_line(
    carprice: Carprice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cars.csv").write_text(cars(2), encoding="utf-8")
    source = ("--source", "cars.csv", "--only", "median")
    done = carprice("baseline", *source, "--folds", 2)
    assert re.search(r"^1 of 1: median/raw: mape \d+", done.err, re.MULTILINE)
    tuned = carprice("tune", "--folds", 2, "--only", "booster", "--trials", 1)
    assert re.search(r"^trial 0: mape \d+", tuned.err, re.MULTILINE)
    monkeypatch.setitem(ALGORITHMS, "median", Algorithm("no_such_module"))
    failed = carprice("baseline", *source)
    assert failed.code == 1
    of_the_candidate, error = failed.err.strip().splitlines()
    assert of_the_candidate.startswith("1 of 1: median/raw: median is not installed")
    assert "no candidate came to an end: median/raw: median is not installed" in error


def test_tune_writes_the_winner_when_asked_and_nothing_else(
    carprice: Carprice, tmp_path: Path
) -> None:
    params = tmp_path / "params.yaml"
    few = ("--folds", 2, "--only", "train.booster.max_depth", "--trials")
    done = carprice("tune", *few, 2)
    assert done.code == 0, done.err
    assert params.read_text(encoding="utf-8") == PARAMS
    assert "present values" in done.err
    done = carprice("tune", *few, 4, "--write")
    assert done.code == 0, done.err
    assert "Went on with the trials that the study had." in done.err
    best = load_settings(params).train.booster.max_depth
    written = params.read_text(encoding="utf-8")
    assert written == PARAMS.replace("max_depth: 2", f"max_depth: {best}")
    assert carprice("tune", *few, 4, "--write").code == 0  # its best are the present values now
    assert params.read_text(encoding="utf-8") == written
    (study,) = optuna.get_all_study_names(f"sqlite:///{tmp_path / 'optuna.db'}")
    refused = carprice("tune", "--folds", 2, "--only", "hedonic", "--study", study)
    assert refused.code == 2
    assert "is of another search space: " in refused.line
    assert "--study" in refused.line
    runs = experiment_of(tmp_path, "tuning")
    assert len(runs) == 5


def test_write_is_refused_at_once_where_the_present_values_cannot_be_measured(
    carprice: Carprice, tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS.replace("max_depth: 2", "max_depth: 16"))
    done = carprice("tune", "--write", "--only", "booster")
    assert done.code == 1
    assert "train.booster.max_depth is 16, and searched from 2 to 12" in done.line


def test_two_processes_that_start_at_once_share_an_empty_storage(
    carprice: Carprice, tmp_path: Path
) -> None:
    few = ("--folds", "2", "--only", "train.booster.max_depth", "--trials", "4")
    storage = ("--storage", f"sqlite:///{tmp_path / 'shared.db'}", "--study", "ours")
    command = [sys.executable, "-m", "carprice.cli", "experiments", "tune", *few, *storage]
    processes = [
        subprocess.Popen(
            [*command, "--out", str(tmp_path / name)],
            stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for name in ("one", "two")
    ]
    told = [process.communicate(timeout=900)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    trials = optuna.load_study(study_name="ours", storage=storage[1]).get_trials()
    ended = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert len(ended) == 4
    assert sum(bool(trial.user_attrs.get("present")) for trial in ended) == 1
    names = [run.info.run_name for run in experiment_of(tmp_path, "tuning")]
    assert sorted(name for name in names if name.startswith("trial")) == sorted(
        f"trial {trial.number}" for trial in ended
    )
    assert len(names) == 5


def test_an_experiment_that_was_killed_goes_on_where_it_was(
    carprice: Carprice, tmp_path: Path
) -> None:
    slow = PARAMS.replace("n_estimators: 10", "n_estimators: 300").replace(
        "patience: 5", "patience: 300"
    )
    (tmp_path / "slow.yaml").write_text(slow, encoding="utf-8")
    command = ("compare", "--params", "slow.yaml", "--folds", "3", "--only", "*/log")
    process = subprocess.Popen(
        [sys.executable, "-m", "carprice.cli", "experiments", *command],
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    _wait_until(
        lambda: _states(tmp_path) == {"hedonic/log": "FINISHED", "carprice/log": "RUNNING"}, process
    )
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = carprice(*command)
    assert done.code == 0, done.err
    assert "Went on from where the same experiment was left." in done.err
    runs = [run.info.run_name for run in experiment_of(tmp_path, "comparison")]
    assert runs.count("hedonic/log") == 1
    assert runs.count("carprice/log") == 2


def _states(folder: Path) -> dict[str, str]:
    """Return the states of nested runs, without MLflow, which would make the database."""
    database = folder / "mlflow.db"
    if not database.is_file():
        return {}
    with contextlib.closing(sqlite3.connect(database)) as connection:
        try:
            found = connection.execute("select name, status from runs where name like '%/log'")
            return dict(found.fetchall())
        except sqlite3.OperationalError:
            return {}


def _wait_until(is_so: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 600
    while not is_so():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
