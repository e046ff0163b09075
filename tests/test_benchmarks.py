"""The benchmarks run and report; whether their figures are good depends on the machine."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from carprice.model import PriceModel

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
SCRIPTS = (
    *("abuse.py", "after_release.py", "appraising.py", "challenging.py", "comparables.py"),
    *("contaminated.py", "deals.py", "drift.py", "fleet.py", "gate.py", "load.py"),
    *(
        "logging_cost.py",
        "one_price.py",
        "one_request.py",
        "scaling.py",
        "serving.py",
        "shadowing.py",
    ),
    "time_split.py",
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Runs a benchmark as a program, in this process; returns its exit code."""
    monkeypatch.syspath_prepend(BENCHMARKS)

    def running(script: str, *arguments: object) -> object:
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        try:
            runpy.run_path(str(BENCHMARKS / script), run_name="__main__")
        except SystemExit as end:
            return end.code
        return 0

    return running


@pytest.fixture
def pinned() -> Iterator[None]:
    """Puts back what a benchmark sets for the whole of its process."""
    cores, on_sigterm = os.sched_getaffinity(0), signal.getsignal(signal.SIGTERM)
    yield
    os.sched_setaffinity(0, cores)
    signal.signal(signal.SIGTERM, on_sigterm)


@pytest.mark.skipif(sys.platform != "linux", reason="the service is pinned to a core on Linux only")
@pytest.mark.usefixtures("pinned")
def test_lasting_load_brings_no_error_and_holds_no_memory(
    run: Callable[..., object], promoted: Any, tmp_path: Path
) -> None:
    report = tmp_path / "load.json"
    options = ("--minutes", 0.05, "--maximum-seconds", 1, "--workdir", promoted.root)
    run("load.py", *options, "--json", report)
    figures = json.loads(report.read_text())
    assert figures["errors"] == {}
    assert figures["answers"] > 1000
    assert figures["growth"] <= 1.05


@pytest.mark.skipif(sys.platform != "linux", reason="processes are killed and disks mounted")
@pytest.mark.usefixtures("pinned")
def test_no_request_fails_while_services_are_killed_the_disk_is_full_and_s3_away(
    run: Callable[..., object], promoted: Any, tmp_path: Path
) -> None:
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    report, workdir = tmp_path / "after.json", tmp_path / "work"
    workdir.mkdir()
    shutil.copy(promoted.root / "mlflow.db", workdir)
    options = ("--seconds", 0.5, "--rate", 60, "--workdir", workdir)
    assert run("after_release.py", *options, "--json", report) == 0
    told = json.loads(report.read_text())
    assert (told["failures"], told["problems"]) == ({}, [])
    assert told["in_the_log"] + told["lost_by_kills"] + told["lost_otherwise"] == told["answers"]
    assert told["in_the_log"] > 0.5 * told["answers"] > 100
    assert min(told["shadows"], told["canaries"]) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="the service is pinned to a core on Linux only")
@pytest.mark.usefixtures("pinned")
def test_the_service_stands_attacks(
    run: Callable[..., object], promoted: Any, tmp_path: Path
) -> None:
    report = tmp_path / "abuse.json"
    options = ("--workdir", promoted.root, "--only", "64 KB listing")
    run("abuse.py", "--seconds", 1, *options, "--json", report)
    for one in json.loads(report.read_text())["forms"]:
        assert one["failures"] == 0
        assert one["peak"] < 400
        assert one["statuses"]
        assert not [status for status in one["statuses"] if status.startswith("5")]


def test_the_gate_benchmark_judges_good_and_bad_candidates(
    run: Callable[..., object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params, report = tmp_path / "params.yaml", tmp_path / "gate.json"
    params.write_text(
        "ingest: {sample: {rows: 1000}}\n"
        "train: {folds: 2, booster: {n_estimators: 20, max_depth: 3, learning_rate: 0.3}}\n",
        encoding="utf-8",
    )
    assert run("gate.py", "--params", params, "--json", report, "--seeds", 1) == 0
    accepted = {one["candidate"]: one["accepted"] for one in json.loads(report.read_text())}
    assert accepted["all prices shuffled"] is False
    assert accepted["a tenth of the rows"] is False
    assert "this gate: right about" in capsys.readouterr().out


def test_challengers_are_simulated(run: Callable[..., object], tmp_path: Path) -> None:
    params, report = tmp_path / "params.yaml", tmp_path / "challenging.json"
    params.write_text(
        "ingest: {sample: {rows: 900}}\n"
        "train: {folds: 2, booster: {n_estimators: 10, max_depth: 3, learning_rate: 0.3}}\n",
        encoding="utf-8",
    )
    options = ("--runs", 40, "--days", 60, "--json", report)
    assert run("challenging.py", "--params", params, *options) in (0, 1)  # few runs: chance
    rows = json.loads(report.read_text())["rows"]
    shares = {(one["method"], one["challenger"]): one["promoted"] for one in rows}
    assert shares["carprice challenge", "worse, +3 %"] == 0
    assert shares["carprice challenge", "equal"] < shares["t-test, peeked at", "equal"]


def test_junk_harms_carprice_less_than_a_model_that_believes_it(
    run: Callable[..., object], tmp_path: Path
) -> None:
    params, report = tmp_path / "params.yaml", tmp_path / "contaminated.json"
    params.write_text(
        "ingest: {sample: {rows: 900}}\n"
        "train: {folds: 2, booster: {n_estimators: 10, max_depth: 3, learning_rate: 0.3}}\n",
        encoding="utf-8",
    )
    options = ("--folds", 1, "--shares", 0.1, "--only", "carprice", "ridge/log/one-hot/median")
    assert run("contaminated.py", "--params", params, "--json", report, *options) == 0
    mape = {(one["model"], one["share"]): one["mape"] for one in json.loads(report.read_text())}
    assert mape["carprice/log", 0.1] < 1.1 * mape["carprice/log", 0.0]
    assert mape["ridge/log/one-hot/median", 0.1] > 1.3 * mape["ridge/log/one-hot/median", 0.0]


@pytest.mark.skipif(sys.platform != "linux", reason="the service is pinned to a core on Linux only")
@pytest.mark.usefixtures("pinned")
def test_appraisals_are_timed_part_by_part(
    run: Callable[..., object], promoted: Any, tmp_path: Path
) -> None:
    report = tmp_path / "appraising.json"
    options = ("--model", promoted.model, "--listings", 60, "--turns", 1, "--comparables", 3000)
    code = run("appraising.py", *options, "--json", report)
    told = {one["path"]: one for one in json.loads(report.read_text())}
    assert told["/appraise"]["bytes"] > told["/appraise?without=curve"]["bytes"] + 1000
    assert told["/appraise"]["bytes"] > told["/appraise?without=comparables"]["bytes"] + 2000
    assert told["/appraise"]["bytes"] > told["/appraise?without=deal"]["bytes"] + 50
    assert code == int(told["/appraise"]["core_p50_ms"] >= 3)
    price = told["/predict"]
    bare = told["/appraise?without=deal,reasons,comparables,curve,basis,quote"]
    assert price["bytes"] > bare["bytes"]  # it judges the asking price
    assert all(0 < one["p50_ms"] <= one["p99_ms"] for one in told.values())
    assert all(one["core_p50_ms"] > 0 for one in told.values())


@pytest.mark.skipif(sys.platform != "linux", reason="the service is pinned to a core on Linux only")
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.usefixtures("pinned")
def test_what_the_prediction_log_costs_is_told_and_no_answer_is_missing(
    run: Callable[..., object], promoted: Any, tmp_path: Path
) -> None:
    report = tmp_path / "logging.json"
    options = ("--model", promoted.model, "--turns", 1, "--seconds", 1, "--file-bytes", 50_000)
    assert run("logging_cost.py", *options, "--json", report) in (0, 1)  # the machine's
    told = json.loads(report.read_text())
    assert told["logged"] >= told["services"]["with the log"]["answers"] > 100
    assert told["ratios"].keys() == {"rates", "core_us", "p99_ms"}
    assert min(told["ratios"].values()) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="the service is pinned to a core on Linux only")
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.usefixtures("pinned")
def test_what_a_fleet_asks_of_registry_and_log_grows_with_its_cores(
    run: Callable[..., object], promoted: Any, tmp_path: Path
) -> None:
    report = tmp_path / "fleet.json"
    options = ("--cores", 4, 40, "--seconds", 1, "--workdir", promoted.root)
    run("fleet.py", *options, "--json", report)
    told = json.loads(report.read_text())
    assert min(told["measured"].values()) > 0
    assert told["measured"]["model_bytes"] == sum(
        path.stat().st_size for path in promoted.model.iterdir()
    )
    few, many = told["fleets"]
    for figure in ("requests", "polls", "registry_share", "download_bytes", "log_bytes_a_month"):
        assert 0 < 10 * few[figure] == pytest.approx(many[figure])


def test_what_comparables_cost_and_how_near_they_come_is_told(
    run: Callable[..., object], tmp_path: Path
) -> None:
    params, report = tmp_path / "params.yaml", tmp_path / "comparables.json"
    params.write_text(
        "ingest: {sample: {rows: 900}}\n"
        "train: {folds: 2, booster: {n_estimators: 10, max_depth: 3, learning_rate: 0.3}}\n",
        encoding="utf-8",
    )
    options = ("--params", params, "--asked", 5, "--listings", 2000, "--json", report)
    options += ("--folder", tmp_path / "kept")
    assert run("comparables.py", *options) in (0, 1)  # the time is the machine's
    told = json.loads(report.read_text())
    everything, cost = told["errors"][-1], told["costs"][0]
    assert everything["effective"] == "all"
    assert sum(one["cars"] for one in told["errors"][:-1]) == everything["cars"] > 100
    assert everything["comparables"] < 2 * everything["model"]
    assert (cost["listings"], cost["listings.bin MB"]) == (2000, 0.048)
    assert cost["folder MB"] < 5
    assert len(PriceModel.load(tmp_path / "kept").listings or ()) == 2000


def test_labels_of_deals_are_counted_by_age_and_between_two_models(
    run: Callable[..., object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params, report = tmp_path / "params.yaml", tmp_path / "deals.json"
    params.write_text(
        "ingest: {sample: {rows: 900}}\n"
        "train: {folds: 2, booster: {n_estimators: 10, max_depth: 3, learning_rate: 0.3}}\n",
        encoding="utf-8",
    )
    assert run("deals.py", "--params", params, "--json", report, "--most-folds", 1) in (0, 1)
    figures = json.loads(report.read_text())
    assert figures["seen"] == 100
    assert figures["flips"] < 30
    assert figures["flips_by_cuts"]["1/5/95/99"] < figures["flips_by_cuts"]["10/25/75/90"]
    assert 30 < figures["up_to"]["all"]["50"] < 70
    for shares in figures["shares"].values():
        assert sum(shares.values()) == pytest.approx(100)
    assert "Labels that differ between two models" in capsys.readouterr().out


def test_an_injected_shift_is_found(
    run: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("recalibrating.py", "--shift", -0.08, "--rows", 900, "--folds", 2) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "injected -0.0800, learned -0.0" in told
    assert "recalibrated: " in told
    assert "further off than chance: " in told


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_explains_itself(
    run: Callable[..., object], script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, "--help") == 0
    assert "usage:" in capsys.readouterr().out


def test_a_look_tells_injected_drift_apart(
    run: Callable[..., object],
    promoted: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = tmp_path / "drift.json"
    options = ("--runs", 2, "--cars", 900, "--model", promoted.model, "--json", report)
    assert run("drift.py", "--markets", "sample", *options) in (0, 1)  # two runs decide nothing
    told = json.loads(report.read_text())["sample"]
    assert {name: sum(one["verdicts"].values()) for name, one in told.items()} == dict.fromkeys(
        ("none", "level -8 %", "mix", "one make -15 %"), 2
    )
    assert told["level -8 %"]["verdicts"] == {"the market moved (retrain)": 2}
    assert told["level -8 %"]["level_error"] < 2
    assert told["one make -15 %"]["verdicts"] == {"the model decays (retrain)": 2}
    assert "root mean square" in " ".join(capsys.readouterr().out.split())


def test_markets_whose_listings_are_not_there_are_skipped_and_told(
    run: Callable[..., object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CARPRICE_DATA", str(tmp_path))
    assert run("drift.py", "--markets", "nz", "us") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "nz: skipped" in told
    assert "us: skipped" in told


def test_the_parts_of_one_request_make_up_its_time(promoted: Any) -> None:
    """In a process of its own: it takes over the log."""
    command = [sys.executable, BENCHMARKS / "one_request.py", "--requests", "160"]
    model = promoted.root / "models" / "candidate"
    told = subprocess.run(
        [*command, "--model", model], check=True, capture_output=True, text=True, timeout=120
    ).stdout
    rows = [line.split("│")[1:4] for line in told.splitlines() if line.count("│") == 4]
    parts = {part.strip(): int(share) for part, share, _ in rows}
    assert {"price", "trees", "HTTP", "reading the body", "log and counters"} <= parts.keys()
    assert 90 <= sum(parts.values()) <= 110


def test_sizes_that_take_too_long_are_left_out_and_told(
    run: Callable[..., object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = tmp_path / "measured.json"
    given = ("--rows", 60, "--workers", 0, 2, "--minutes", 0, "--json", measured)
    assert run("scaling.py", *given) == 0
    reason = "ingest was ended: the time was up"
    told = " ".join(capsys.readouterr().out.split())
    assert f"60 rows, 2 workers: left out, for {reason}" in told
    assert json.loads(measured.read_text()) == {"60": {"left out": reason, "left out on 2": reason}}


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return SimpleNamespace(**runpy.run_path(str(BENCHMARKS / "scaling.py")))


def stage(seconds: float, megabytes: float = 100, **more: Any) -> dict[str, Any]:
    return {"seconds": seconds, "cpu": seconds, "megabytes": megabytes, **more}


def test_more_rows_than_time_or_memory_bear_are_not_tried(scaling: Any) -> None:
    fewer = {rows: dict[str, Any](ingest=stage(rows / 50)) for rows in (100, 200)}
    assert scaling.too_much(1000, {100: fewer[100]}, 0, 0.1) == ""
    assert scaling.too_much(1000, fewer, 0, 21) == ""
    assert scaling.too_much(1000, fewer, 0, 19) == "it may take 20 s, and 19 are left"
    large = {rows: {"ingest": stage(1, 1, worker=rows * 1e6)} for rows in (100, 200)}
    assert "it may take 2,000,000,001 MB, and " in scaling.too_much(1000, large, 2, 19)
    fewer[200]["left out"] = "train was ended"
    assert scaling.too_much(1000, fewer, 0, 21) == "200 rows did not come to the end"


def test_times_of_a_row_are_compared_where_both_are(scaling: Any) -> None:
    few, many = {"ingest": stage(1), "train": stage(3)}, {"ingest": stage(2), "train": stage(4)}
    assert scaling.times(1000, many, 100, few) == "0.15"
    assert scaling.times(1000, many, 100, {**few, "left out": "no memory"}) == ""
    assert scaling.times(1000, many, 100, {"ingest": {}}) == ""


def test_what_finished_is_shown_where_the_rest_is_left_out(
    scaling: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = {0: {"ingest": stage(7), "left out": "train was ended"}, 2: {"left out": "no memory"}}
    Console(width=150).print(scaling.scaling_table({100: cases}))
    rows = [line.split("│")[1:5] for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert [[cell.strip() for cell in row] for row in rows if row[0].strip() == "100"] == [
        ["100", "0", "ingest", "7.0"],
        ["100", "0", "rest left out", ""],
        ["100", "2", "left out", ""],
    ]


def test_workers_and_models_are_told_of_where_there_are_any(scaling: Any) -> None:
    def told(workers: int, **figures: Any) -> list[str]:
        cases = {0: {"train": stage(1, model="a")}, workers: figures}
        return [*scaling.told_of_cases({100: cases})]

    assert told(0, train=stage(1, model="a")) == []
    assert told(2, **{"left out": "no memory"}) == ["100 rows, 2 workers: left out, for no memory"]
    assert told(2, ingest=stage(1, lost=0)) == ["No worker was lost."]
    (both,) = told(2, train=stage(1, model="a", lost=0))
    assert "No worker was lost; every model on workers is that of one machine" in both
    assert told(2, train=stage(1, model="b", lost=1)) == [
        *(
            "100 rows, 2 workers: 1 were lost",
            "100 rows, 2 workers: the model is not that of one machine",
        ),
    ]


def test_a_command_that_ends_at_once_is_measured(scaling: Any, tmp_path: Path) -> None:
    figures = scaling.measure(["true"], tmp_path, 2, 60)
    assert figures["lost"] == 0
    assert figures["seconds"] > 0


def test_what_many_rows_cost_is_a_line_through_what_was_measured(
    run: Callable[..., object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def of(rows: int) -> dict[str, Any]:
        figures = {"cpu": 2 + rows * 10e-6, "cpu_of_workers": 3 + rows * 40e-6}
        figures["megabytes"] = 500 + rows * 2e-3
        return {f"{stage} on 2": figures for stage in ("ingest", "transform", "train", "predict")}

    measured = tmp_path / "measured.json"
    sizes = {rows: of(rows) for rows in (10_000, 100_000, 1_000_000)}
    measured.write_text(json.dumps(sizes))
    assert run("on_paper.py", measured, "--rows", 100_000_000, "--machines", 10) == 0
    files, ingest, transform, train, predict = capsys.readouterr().out.splitlines()
    assert files == "100,000,000 rows in 500 files of 200,000"
    # 4,003 s of work by 40 cores and 1,002 s here: 1,102 s, at 10 times 0.2 and 2.1 dollars an hour
    assert "40 µs a row on workers, 10 here; 0.31 h and 1.26 dollars on 10 machines" in ingest
    assert "16 GB sent here; memory here 200 GB, 256 GB is full at 128 million" in ingest
    assert "11 GB sent here" in train
    assert "; 0 GB sent here" in predict
    assert "; 0 GB sent here" in transform
    del sizes[100_000]["train on 2"], sizes[10_000]["predict on 2"], sizes[100_000]["predict on 2"]
    sizes[10_000]["ingest"], sizes[1_000_000]["ingest"] = {"seconds": 2}, {"seconds": 38}
    alone = "ingest without workers: 1.01 h and 2.12 dollars"
    first, second = ({rows: sizes[rows]} for rows in (100_000, 10_000))
    measured.write_text(json.dumps(first | {1_000_000: sizes[1_000_000]}))
    other = tmp_path / "other.json"
    other.write_text(json.dumps(second))
    assert run("on_paper.py", measured, other, "--rows", 100_000_000, "--machines", 10) == 0
    assert capsys.readouterr().out.splitlines() == [
        *(files, ingest, alone, transform, train),
        "predict on 2: not measured at two sizes",
    ]
