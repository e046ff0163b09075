import datetime
import gc
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from command_line import Carprice, caller
from rich.console import Console

from carprice.arrays import quiet
from carprice.cli import terminal
from carprice.components.register import register
from carprice.components.workspace import Workspace
from carprice.registry.promotion import promote, record_tests
from carprice.registry.versions import Registry
from carprice.schema import example_listing
from carprice.settings import Settings

NOW = datetime.datetime(2025, 7, 3, tzinfo=datetime.UTC)
COMMANDS = (
    *("up", "serve", "predict", "stock", "run", "ingest", "transform", "train", "evaluate"),
    *(
        "register",
        "replay",
        "sample",
        "map",
        "snapshot",
        "eda",
        "setup",
        "promote",
        "rollback",
        "status",
        "experiments",
    ),
)
SMALL = {
    "ingest": {"source": "sample", "sample": {"rows": 300, "seed": 7}},
    "train": {"folds": 2, "booster": {"n_estimators": 5, "max_depth": 3, "learning_rate": 0.3}},
    "register": {"gate": {"max_mape": None, "naive_factor": 1, "coverage": [0, 1]}},
}


def test_brackets_in_what_is_shown_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80)
    monkeypatch.setattr(terminal, "console", screen)
    terminal.table("cars [/blue]", ("why [/green]",), [("see [/red]",), ("[bold]",)])
    with terminal.step("register") as progress:
        progress("by [/ann]")
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    for words in ("cars [/blue]", "why [/green]", "see [/red]", "[bold]", "register by [/ann]"):
        assert words in shown


@pytest.fixture
def carprice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Carprice:
    """Run a command in an empty folder, with small settings in params.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PORT", raising=False)
    write_params(tmp_path / "params.yaml", SMALL)

    return caller(monkeypatch, capsys)


def write_params(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def copied(workspace: Workspace, tmp_path: Path) -> Path:
    shutil.copytree(workspace.root, tmp_path / "copy")
    return tmp_path / "copy"


def test_every_command_says_what_it_does(carprice: Carprice) -> None:
    everything = carprice("--help")
    assert everything.code == 0
    for command in COMMANDS:
        assert f" {command} " in everything.out
        shown = carprice(command, "--help")
        assert shown.code == 0
        assert f"carprice {command}" in shown.out
        assert len(shown.out.splitlines()) > 5


def test_without_a_command_the_help_is_shown(carprice: Carprice) -> None:
    shown = carprice()
    assert "Start with `carprice up`" in shown.out + shown.err


def test_the_installed_command_ends_in_one_line_and_the_exit_code(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("carprice")), "run", "--params", "none.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "carprice: params file none.yaml does not exist; give another with --params\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    ["serve", "run", "ingest", "train", "eda", "register", "promote", "rollback", "status", "up"],
)
def test_a_missing_params_file_is_named(carprice: Carprice, tmp_path: Path, command: str) -> None:
    (tmp_path / "params.yaml").unlink()
    done = carprice(command)
    assert done.code == 2
    assert "params.yaml does not exist" in done.line


GOOD = "make,model,year,odometer,price\n" + "".join(
    f"Kia,Rio,{2010 + n % 10},{20000 + n},{5000 + n}\n" for n in range(80)
)


@pytest.mark.parametrize("command", ["run", "eda"])
@pytest.mark.parametrize(
    ("params", "content", "words"),
    [
        ("tran: {}", GOOD, "params.yaml: tran is not a parameter; remove it or correct its"),
        ("train: {folds: many}", GOOD, "found 'many'"),
        ("ingest: [", GOOD, "params file params.yaml is not valid YAML"),
        ("ingest: {source: '${CARPRICE_NOT_SET}'}", GOOD, "CARPRICE_NOT_SET is not set"),
        ("", None, "cars.csv does not exist; correct ingest.source"),
        ("", "", "cars.csv is empty"),
        ("", GOOD.replace("price", "asked"), "cars.csv has no column for price"),
        ("", GOOD.replace(",2", ",about 2"), "year is 'about 2010' in row 0, and cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line_and_nothing_is_written(
    carprice: Carprice, tmp_path: Path, command: str, params: str, content: str | None, words: str
) -> None:
    (tmp_path / "params.yaml").write_text(params)
    if content is not None:
        (tmp_path / "cars.csv").write_text(content)
    before = {*tmp_path.rglob("*")}
    source = () if "source" in params else ("--source", "cars.csv")
    done = carprice(command, *source)
    assert done.code == 2
    assert words in done.line
    assert {*tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("transform", 2, "train.parquet does not exist; run `carprice ingest` first"),
        ("train", 2, "train.parquet does not exist; run `carprice transform` first"),
        ("evaluate", 2, "candidate does not exist; run `carprice train` first"),
        ("register", 2, "candidate does not exist; run `carprice train` first"),
        ("up", 2, "dvc.yaml is not in this folder; run `carprice up` in the project's folder, or"),
        ("eda --out eda.txt", 2, "--out eda.txt: the ending must be .html"),
        ("sample --out a.xlsx", 2, "--out a.xlsx: the ending must be .csv or .parquet"),
        ("predict sample -o out.csv --model .", 2, "is not a model folder: it has no model.json"),
        ("predict sample -o out.csv", 1, "has no production version of used-car-price; run the"),
        ("promote", 1, "has no staging version of used-car-price; run the pipeline first"),
        ("rollback", 1, "knows no earlier production version"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line_and_leaves_nothing(
    carprice: Carprice, empty_registry: Path, command: str, code: int, words: str
) -> None:
    done = carprice(*command.split())
    assert done.code == code
    assert words in done.line
    left = {path.name for path in empty_registry.iterdir()}
    assert left - {"mlflow.db.lock"} == {"params.yaml", "mlflow.db"}


@pytest.mark.slow
@pytest.mark.usefixtures("empty_registry")
def test_the_stages_one_by_one_say_what_they_did(carprice: Carprice, tmp_path: Path) -> None:
    said = {name: carprice(name) for name in ("ingest", "transform", "train", "evaluate")}
    assert [done.code for done in said.values()] == [0, 0, 0, 0]
    assert "of 300 rows kept; see data/data_card.md" in said["ingest"].err
    assert "rows" in said["transform"].err
    assert "cross-validated MAPE" in said["train"].err
    assert "ranges cover" in said["evaluate"].err
    assert "version 1 is new, and may be staged" in carprice("register").err
    assert "version 1 is already there, and may be staged" in carprice("register").err
    assert (tmp_path / "reports" / "registration.json").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("empty_registry")
def test_run_prints_pure_json_on_standard_output(carprice: Carprice, tmp_path: Path) -> None:
    write_params(tmp_path / "other.yaml", SMALL)
    sample = tmp_path / "cars.csv"
    assert carprice("sample", "--rows", 300, "--out", sample).code == 0
    where = ("--params", "other.yaml", "--workdir", "out", "--source", sample)
    done = carprice("run", *where, "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert figures["mape"] > 0
    assert figures["registration"]["version"] == 1
    assert figures == {
        **json.loads((tmp_path / "out" / "reports" / "metrics.json").read_text("utf-8")),
        "registration": figures["registration"],
    }
    report = json.loads((tmp_path / "out" / "data" / "report.json").read_text("utf-8"))
    assert report["source"] == str(sample)


def test_eda_writes_one_page_and_says_what_to_be_careful_about(
    carprice: Carprice, tmp_path: Path
) -> None:
    done = carprice("eda")
    assert done.code == 0, done.err
    assert done.out == ""
    *careful, last = done.err.splitlines()
    assert last.startswith("eda: ")
    assert last.endswith("of 300 rows kept; see reports/eda.html")
    assert "  careful: 5 columns look computed from the price" in careful
    page = (tmp_path / "reports" / "eda.html").read_text(encoding="utf-8")
    assert "What to know before you train" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml", "reports"]


@pytest.mark.slow
@pytest.mark.usefixtures("empty_registry")
def test_run_prints_the_figures_and_why_the_candidate_is_refused(
    carprice: Carprice, tmp_path: Path
) -> None:
    strict = {**SMALL, "register": {"gate": {"max_mape": 1}}}
    write_params(tmp_path / "params.yaml", strict)
    done = carprice("run")
    assert (done.code, done.out) == (0, "")
    for words in (
        *("Figures of the test rows", "MAPE", "90 % range covers", "The gate on version 1"),
        *("FAILED", "version 1 is new, and is refused"),
    ):
        assert words in done.err
    promoted = carprice("promote")
    assert promoted.code == 1
    assert "the gate refused version 1: failed: MAPE" in promoted.line


@pytest.mark.parametrize(("ending", "read"), [(".csv", pd.read_csv), (".parquet", pd.read_parquet)])
def test_sample_writes_the_same_rows_for_the_same_seed(
    carprice: Carprice, tmp_path: Path, ending: str, read: Callable[[Path], pd.DataFrame]
) -> None:
    for name in ("one", "two"):
        done = carprice("sample", "--rows", 50, "--seed", 3, "--out", tmp_path / f"{name}{ending}")
        assert (done.code, done.out) == (0, "")
        assert "50 rows in " in done.err
    one, two = (read(tmp_path / f"{name}{ending}") for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)
    assert len(one) == 50
    assert carprice("sample", "--rows", 50, "--with-truth", "-o", f"true{ending}").code == 0
    true = read(tmp_path / f"true{ending}")
    assert [*true.columns] == [*one.columns, "truePrice"]
    assert (true["truePrice"] > 0).all()


@pytest.fixture
def two_versions(promoted: Workspace, another_model: Callable[..., Path], tmp_path: Path) -> Path:
    """A workspace whose registry has version 1 in production and 2 in staging."""
    workspace = Workspace(copied(promoted, tmp_path))
    equal = another_model(workspace.model, tmp_path / "equal")
    shutil.rmtree(workspace.model)
    equal.rename(workspace.model)
    register(Settings.model_validate(SMALL), workspace, NOW, quiet)
    return workspace.root


def test_map_writes_a_params_file_that_runs(carprice: Carprice, tmp_path: Path) -> None:
    carprice("sample", "--rows", 400, "--out", "cars.csv")
    text = (tmp_path / "cars.csv").read_text("utf-8")
    header, _, rows = text.partition("\n")
    other = header.replace("listingPrice", "Price (INR)").replace("odometer", "kms_driven")
    (tmp_path / "cars.csv").write_text(f"{other}\n{rows}", "utf-8")
    done = carprice("map", "cars.csv", "--out", "cars.yaml")
    assert (done.code, done.out) == (0, "")
    assert "cars.yaml is written" in done.err
    assert "then: carprice run --params cars.yaml" in done.err
    proposed = yaml.safe_load((tmp_path / "cars.yaml").read_text("utf-8"))
    assert proposed["ingest"]["columns"]["price"] == "Price (INR)"
    assert proposed["ingest"]["units"] == {"currency": "INR", "distance": "km"}
    assert carprice("ingest", "--params", "cars.yaml").code == 0
    shown = carprice("map", "cars.csv")
    assert shown.out == (tmp_path / "cars.yaml").read_text("utf-8")
    assert "carprice map cars.csv --out FILE" in shown.err
    again = carprice("map", "cars.csv", "--out", "cars.yaml")
    assert again.code == 2
    assert again.line == "carprice: --out cars.yaml is there already; name a new file"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cars.txt", "make\n", "the unknown ending '.txt'"),
        ("cars.csv", "a,b\nx,y\n", "has no column that looks like one of listings of cars"),
        ("cars.csv", "price,price\n1,2\n", "has 2 columns of the name 'price'"),
        ("cars.csv", "make,model\n", "has no rows below its header"),
    ],
)
def test_map_says_in_one_line_what_it_cannot_read(
    carprice: Carprice, tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    done = carprice("map", name)
    assert (done.code, done.out) == (2, "")
    assert message in done.line


def test_map_names_what_it_did_not_find(carprice: Carprice, tmp_path: Path) -> None:
    lines = [f"Kia,Rio,{2005 + n % 17},{1000 * n + 20_000}" for n in range(60)]
    (tmp_path / "cars.csv").write_text("\n".join(["make,model,year,km", *lines]), "utf-8")
    done = carprice("map", "cars.csv")
    assert done.code == 0
    assert "no column was recognised for price; name it in FILE" in done.err
    assert "    # price:  # ? no column was recognised: write its name here" in done.out


@pytest.mark.slow
def test_status_promote_and_rollback_tell_what_is_where(
    carprice: Carprice, two_versions: Path, registry_address: Callable[[Workspace], str]
) -> None:
    where = ("--workdir", two_versions)

    def aliases() -> dict[int, set[str]]:
        versions = json.loads(carprice("status", "--json", *where).out)
        return {one["number"]: set(one["aliases"]) for one in versions}

    assert aliases() == {1: {"production"}, 2: {"staging"}}
    events = json.loads(carprice("history", "--json", *where).out)
    second = [one["what"] for one in events if one["version"] == 2]
    assert second == ["registered", "accepted by the gate"]
    assert {"time", "version", "what", "by", "why"} == {*events[0]}
    table = carprice("history", *where)
    assert table.code == 0
    assert "accepted by the gate" in " ".join(table.err.split())
    done = carprice("promote", *where)
    assert done.code == 1
    assert "it has not been through the model tests; run `carprice test-model`" in done.line
    registry = Registry(registry_address(Workspace(two_versions)), "used-car-price")
    settings = Settings.model_validate(SMALL).register_
    record_tests(registry, registry.numbered(2), (), NOW, settings)
    done = carprice("promote", "--why", "it is better", *where)
    assert (done.code, done.err.strip()) == (0, "Version 2 is in production.")
    assert aliases() == {1: {"previous"}, 2: {"staging", "production"}}
    table = carprice("status", *where)
    assert table.code == 0
    for words in ("production", "staging", "previous", "accepted", "MAPE"):
        assert words in table.err
    done = carprice("rollback", "--why", "complaints", *where)
    assert (done.code, done.err.strip()) == (0, "Version 1 is in production again.")
    assert aliases() == {1: {"production"}, 2: {"previous"}}
    done = carprice("rollback", "--to", 2, *where)
    assert (done.code, done.err.strip()) == (0, "Version 2 is in production again.")
    assert aliases() == {1: {"previous"}, 2: {"production"}}


@pytest.mark.usefixtures("empty_registry")
def test_status_of_an_empty_registry_names_the_next_step(carprice: Carprice) -> None:
    done = carprice("status")
    assert done.code == 0
    assert "No version is registered; run `carprice up` or `dvc repro`" in done.err
    assert json.loads(carprice("status", "--json").out) == []


@pytest.mark.parametrize("command", ["status", "promote", "rollback", "register"])
def test_a_registry_that_does_not_answer_is_one_line(
    carprice: Carprice, promoted: Workspace, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:<s3cret>@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = carprice(command, "--workdir", promoted.root)
    assert done.code == 1
    assert "127.0.0.1:9 cannot be reached" in done.line
    assert "s3cret" not in done.line


def test_predict_prices_every_row_with_the_production_model(
    carprice: Carprice, promoted: Workspace, tmp_path: Path
) -> None:
    rows = [example_listing(), {**example_listing(), "make": None}, example_listing()]
    frame = pd.DataFrame(rows)
    frame["features"] = "Bluetooth|AlloyWheels"
    frame.to_csv(tmp_path / "in.csv", index=False)
    workdir = copied(promoted, tmp_path)
    done = carprice("predict", "in.csv", "--out", "out.csv", "--workdir", workdir)
    assert done.code == 0, done.err
    assert "2 of 3 rows priced into out.csv; the column problem says why" in done.err
    out = pd.read_csv(tmp_path / "out.csv")
    assert list(out.columns[: len(frame.columns)]) == list(frame.columns)
    assert out["predictedPrice"].notna().tolist() == [True, False, True]
    assert out["problem"].fillna("").tolist() == ["", "make: this field is required", ""]


def test_stock_writes_a_workbook_and_tells_what_it_comes_to(
    carprice: Carprice, promoted: Workspace, tmp_path: Path
) -> None:
    cars = [{**example_listing(), "stockNo": name, "price": 500_000} for name in "abcd"]
    for day, some in (("2025-06-01", cars), ("2025-06-16", [*cars[1:], {"stockNo": "e"}])):
        frame = pd.DataFrame(some)
        frame["features"] = None
        frame.to_csv(tmp_path / f"shop-{day}.csv", index=False)
    workdir = copied(promoted, tmp_path)
    words = ("--id", "stockNo", "--out", "stock.xlsx", "--workdir", workdir)
    done = carprice("stock", "shop-*.csv", *words)
    assert done.code == 0, done.err
    assert gc.isenabled()
    assert "3 of 4 rows priced into stock.xlsx; the column problem says why" in done.err
    assert (
        "1 listings of earlier snapshots are gone (sold or not, nobody says); the stock lasts "
        "60 days at the pace of the last 15 (1.0 departures)."
    ) in " ".join(done.err.split())
    assert "price to market" in done.err
    assert [*pd.read_excel("stock.xlsx", sheet_name=None)] == ["stock", "summary", "gone"]
    none = carprice("stock", "shop-2025-06-01.csv", "--out", "one.csv", "--workdir", workdir)
    assert "Beside it: one-summary.csv." in none.err
    assert "gone" not in none.err
    for wrong, told in (
        (("--out", "stock.txt"), "the ending must be one of .csv, .parquet, .xlsx"),
        (("--out", "s.csv", "--id", "vin"), "has no column 'vin', which --id names"),
    ):
        refused = carprice("stock", "shop-*.csv", "--workdir", workdir, *wrong)
        assert refused.code == 2
        assert told in refused.line


def test_predict_with_a_corrupt_model_folder_writes_nothing(
    carprice: Carprice, promoted: Workspace, tmp_path: Path
) -> None:
    workdir = copied(promoted, tmp_path)
    booster = workdir / "models" / "candidate" / "booster.onnx"
    content = bytearray(booster.read_bytes())
    content[100] ^= 1
    booster.write_bytes(content)
    done = carprice("predict", "sample", "-o", "out.csv", "--model", booster.parent)
    assert done.code == 1
    assert "booster.onnx is missing or not the file that was written" in done.line
    assert not (tmp_path / "out.csv").exists()
    evaluated = carprice("evaluate", "--workdir", workdir)
    assert evaluated.code == 1
    assert "booster.onnx is missing or not the file that was written" in evaluated.line


@pytest.mark.parametrize("command", ["serve", "up"])
@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("[::1]", "[::1]")]
)
def test_a_port_in_use_is_told_before_any_work(
    carprice: Carprice, command: str, host: str, shown: str
) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as holder:
        try:
            holder.bind((host.strip("[]"), 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        holder.listen()
        port = holder.getsockname()[1]
        done = carprice(command, "--host", host, "--port", port)
    assert done.code == 1
    what = f"cannot listen on {shown}:{port}: address already in use; choose another with --port"
    assert done.line == f"carprice: {what}"


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_a_host_that_is_not_this_machine_is_told(carprice: Carprice, host: str) -> None:
    done = carprice("serve", "--host", host)
    assert done.code == 1
    assert f"cannot listen on {host}:8000: " in done.line
    assert done.line.endswith("; choose another with --host")


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ((), "http://localhost:8123"),
        (("--host", "::1"), "http://[::1]:8123"),
        (("--host", "::"), "http://[::1]:8123"),
        (("--host", "localhost", "--root-path", "cars/"), "http://localhost:8123/cars"),
    ],
)
def test_the_printed_address_can_be_asked(
    carprice: Carprice, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], address: str
) -> None:
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: None)
    monkeypatch.setattr("carprice.cli.serve._check_port_is_free", lambda *_: None)
    done = carprice("serve", "--port", 8123, *options)
    assert done.code == 0
    assert f"Service at {address}, its pages at {address}/docs." in done.err
    assert f"curl -s {address}/predict -H" in done.err


@pytest.mark.parametrize("store", ["server"], indirect=True)
def test_serve_answers_503_until_a_model_is_promoted_and_then_200(
    store: Any, finished: Any, serve: Any, tmp_path: Path
) -> None:
    """The service heals by itself; nobody restarts it."""
    registry = store.registry
    store.stage(finished[0].model)
    write_params(tmp_path / "params.yaml", {"register": {"name": registry.name}})
    environment = {"MLFLOW_TRACKING_URI": registry.uri, "CARPRICE_DRAIN_SECONDS": "0"}
    command = [sys.executable, "-m", "carprice.cli", "serve", "--port", "{port}"]
    with serve(command, tmp_path, "/openapi.json", environment) as server:
        deadline = time.monotonic() + 60
        while "carprice promote" not in (answer := server.get("/"))[1]:
            assert answer[0] == 503
            assert time.monotonic() < deadline, answer
        promote(registry, NOW, "for the test")
        while (answer := server.get("/"))[0] != 200:
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)
        assert json.loads(answer[1])["modelVersion"] == "1"
        assert server.post("/predict", example_listing())[0] == 200
        printed = server.log.read_text()
        assert f"Service at http://localhost:{server.port}" in printed
        assert f"curl -s http://localhost:{server.port}/predict" in printed


@pytest.mark.slow
def test_up_with_the_pipeline_done_promotes_the_first_model_and_serves_it(
    carprice: Carprice,
    finished: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pipeline and the server are stood in for; test_up.py runs both for real."""
    shutil.copytree(finished[0].root, tmp_path, dirs_exist_ok=True)
    served: list[tuple[str, int]] = []
    monkeypatch.setattr("carprice.cli.serve._reproduce_until_evaluated", lambda: None)
    monkeypatch.setattr("uvicorn.run", lambda _, host, port, **__: served.append((host, port)))
    first = carprice("up", "--port", 8123)
    assert first.code == 0
    assert "Version 1 is the first model, and now in production." in first.err
    assert "Model version 1" in first.err
    assert "curl -s http://localhost:8123/predict" in first.err
    again = carprice("up", "--port", 8123)
    assert "is the first model" not in again.err
    assert served == [("127.0.0.1", 8123)] * 2


def test_what_goes_to_a_file_is_utf8_in_any_locale(tmp_path: Path) -> None:
    (tmp_path / "cars.csv").write_text("Марка,Цена\n" + "Лада,300000\n" * 60, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "carprice.cli", "map", "cars.csv"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "price: Цена" in done.stdout.decode("utf-8")
