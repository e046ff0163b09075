"""The experiments as a person runs them, each in one small market of its own folder."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
import pytest
from command_line import Done, caller, run

from carprice.experiments import comparison
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
Experiments = Callable[..., Done]


@pytest.fixture
def experiments(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    empty_registry: Path,
) -> Experiments:
    """Run ``carprice experiments`` in the test's own folder."""
    monkeypatch.chdir(empty_registry)
    Path("params.yaml").write_text(PARAMS, encoding="utf-8")
    carprice = caller(monkeypatch, capsys)
    return lambda *arguments: carprice("experiments", *arguments)


def runs_of(experiment: str) -> list[str]:
    """Return the names of an experiment's runs."""
    client = connect(f"sqlite:///{Path('mlflow.db').resolve()}")
    number = client.get_experiment_by_name(experiment).experiment_id
    return [run.info.run_name for run in client.search_runs([number])]


def cars(makes: int, rows: int = 240) -> str:
    names = ("Kia", "Fiat", "Ford")
    lines = [
        f"{names[n % makes]},M{n % 5},{2005 + n % 17},{37 * n % 97}311,{9000 - 400 * (n % 17) + n}"
        for n in range(rows)
    ]
    return "\n".join(["make,model,year,odometer,price", *lines]) + "\n"


def test_the_help_teaches(experiments: Experiments) -> None:
    everything = experiments("--help")
    assert "Why the model is what it is" in everything.out
    shared = ("params", "source", "workdir", "quick", "rows", "folds", "metric", "only", "out")
    for command in ("baseline", "compare", "tune"):
        assert f" {command} " in everything.out
        told = experiments(command, "--help")
        assert told.code == 0
        assert all(f"--{option}" in told.out for option in shared)
        assert "MLflow experiment" in told.out


def test_baseline_prints_the_ranking_and_leaves_tables_pictures_and_runs(
    experiments: Experiments,
) -> None:
    done = experiments("baseline", "--quick", "--folds", 3)
    assert done.code == 0, done.err
    for words in ("median/raw", "linear/raw", "MAPE, %", "behind the best"):
        assert words in done.err
    names = {path.name for path in Path("reports/experiments/baseline").iterdir()}
    assert names == {"ranking.csv", "folds.csv", "error_and_time.png", "behind_the_best.png"}
    assert len(runs_of("baseline")) == 5
    assert not Path("data").exists()


def test_compare_takes_a_source_and_some_candidates_and_says_what_the_log_changes(
    experiments: Experiments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "catboost", None)
    Path("cars.csv").write_text(cars(makes=2), encoding="utf-8")
    only = ("--only", "ridge/*/one-hot/median", "--only", "catboost/log/native/*")
    done = experiments("compare", "--source", "cars.csv", "--folds", 3, *only, "--out", "here")
    assert done.code == 0, done.err
    for words in ("Log price instead of raw", "Failed", "catboost is not installed", "pip install"):
        assert words in done.err
    assert Path("here/behind_the_best.png").is_file()
    reason = "catboost is not installed; pip install 'carprice[experiments]'\n"
    assert Path("here/ranking.csv").read_text(encoding="utf-8").endswith(reason)


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        ("", (), "cars.csv is empty"),
        (cars(2, rows=0), (), "no rows below its header"),
        (cars(2, rows=30), (), "leaves 30 listings to learn from, fewer than 50"),
        (cars(2, rows=60), ("--folds", 10), "48 training listings are too few for 10 folds"),
        (None, (), "cars.csv does not exist"),
        (cars(2), ("--only", "prophet"), "the algorithms are median, model-median, linear,"),
        (cars(2), ("--params", "none.yaml"), "params file none.yaml does not exist"),
    ],
)
def test_bad_use_is_one_line(
    experiments: Experiments, content: str | None, arguments: Sequence[object], words: str
) -> None:
    if content is not None:
        Path("cars.csv").write_text(content, encoding="utf-8")
    done = experiments("baseline", "--source", "cars.csv", *arguments)
    assert done.code == 2
    assert words in done.line


def test_a_market_of_one_make_is_told_of_and_without_a_terminal_each_candidate_is_a_line(
    experiments: Experiments, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("kia.csv").write_text(cars(makes=1), encoding="utf-8")
    source = ("--source", "kia.csv", "--folds", 2)
    done = experiments("baseline", *source, "--only", "median")
    assert done.code == 0, done.err
    assert "All 192 listings are of one make (kia): what is found holds for it alone." in done.err
    assert re.search(r"^1 of 1: median/raw: mape \d+", done.err, re.MULTILINE)
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    failed = experiments("compare", *source, "--only", "lightgbm/log/target/none")
    assert failed.code == 1
    assert "\n1 of 1: lightgbm/log/target/none: lightgbm is not installed" in failed.err
    assert "no candidate came to an end: lightgbm/log/target/none: lightgbm is" in failed.refusal


def test_an_interrupted_comparison_goes_on_with_the_same_command(
    experiments: Experiments, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = comparison.measure

    def all_but_the_second(model, *rest):
        if model.name == "carprice/log":
            raise KeyboardInterrupt
        return measure(model, *rest)

    command = ("compare", "--folds", 2, "--only", "hedonic", "--only", "carprice")
    with monkeypatch.context() as patch:
        patch.setattr(comparison, "measure", all_but_the_second)
        assert "interrupted after 1 of 2 candidates; the same" in experiments(*command).refusal
    done = experiments(*command)
    assert done.code == 0, done.err
    assert "Went on from where the same experiment was left." in done.err
    names = runs_of("comparison")
    assert (names.count("hedonic/log"), names.count("carprice/log")) == (1, 2)


def test_tune_writes_the_winner_when_asked_and_nothing_else(
    experiments: Experiments, tmp_path: Path
) -> None:
    params = tmp_path / "params.yaml"
    few = ("--folds", 2, "--only", "train.booster.direct.max_depth", "--trials")
    done = experiments("tune", *few, 2)
    assert done.code == 0, done.err
    assert params.read_text(encoding="utf-8") == PARAMS
    assert "present values" in done.err
    assert re.search(r"^trial 0: mape \d+", done.err, re.MULTILINE)
    done = experiments("tune", *few, 4, "--write")
    assert done.code == 0, done.err
    assert "Went on with the trials that the study had." in done.err
    best = load_settings(params).train.booster.direct.max_depth
    written = params.read_text(encoding="utf-8")
    assert written == PARAMS.replace("n_est", f"direct: {{max_depth: {best}}}, n_est")
    again = experiments("tune", *few, 4, "--write")  # its best are the present values now
    assert again.code == 0, again.err
    assert params.read_text(encoding="utf-8") == written
    (study,) = optuna.get_all_study_names(f"sqlite:///{tmp_path / 'optuna.db'}")
    refused = experiments(
        "tune", "--folds", 2, "--only", "train.booster.direct.subsample", "--study", study
    )
    assert refused.code == 2
    assert re.search("is of another search space: .* --study", refused.line)
    assert len(runs_of("tuning")) == 5


def test_write_is_refused_at_once_where_the_present_values_cannot_be_measured(
    experiments: Experiments,
) -> None:
    Path("params.yaml").write_text(PARAMS.replace("max_depth: 2", "max_depth: 16"))
    done = experiments("tune", "--write", "--only", "booster")
    assert done.code == 1
    assert (
        "train.booster.residual.max_depth is 16, and searched from 2 to 12; bring it into"
        in done.line
    )


# What both need is imported once, so that they start closer to each other as well.
BOTH = """
import os, sys
import matplotlib.pyplot, mlflow, sklearn.model_selection
from carprice.cli import main
from carprice.experiments import tuning
for name in ("one", "two"):
    if os.fork() == 0:
        sys.argv.append(name)
        main()
sys.exit(any([os.wait()[1] for _ in range(2)]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork a process")
def test_two_processes_that_start_at_once_share_an_empty_storage(
    experiments: Experiments, tmp_path: Path
) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    few = ("--folds", "2", "--only", "train.booster.direct.max_depth", "--trials", "4")
    study = ("--storage", storage, "--study", "ours")
    run(tmp_path, sys.executable, "-c", BOTH, "experiments", "tune", *few, *study, "--out")
    assert Path("one").is_dir()
    assert Path("two").is_dir()
    trials = optuna.load_study(study_name="ours", storage=storage).get_trials()
    ended = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert len(ended) == 4
    assert sum(bool(trial.user_attrs.get("present")) for trial in ended) == 1
    parent, *names = sorted(runs_of("tuning"), key=lambda name: name.startswith("trial"))
    assert parent.startswith("tune ours")
    assert sorted(names) == sorted(f"trial {trial.number}" for trial in ended)
