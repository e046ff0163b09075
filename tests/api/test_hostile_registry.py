"""A hostile or broken registry, against real services: they serve a good model, and end in time."""

import os
import re
import secrets
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from asking import BARE
from forged import changed_json, endless_graph, forged
from hostile_registry import (
    ALIAS,
    ARTIFACTS,
    PLACE,
    Answering,
    HostileRegistry,
    deep,
    drip,
    endless,
    half,
    hostile_registry,
    redirecting,
    saying,
    silent,
)
from web import stub_server

from carprice.errors import CarpriceError, CorruptModelError, RefusedError
from carprice.model import PriceModel
from carprice.model_folder import LARGEST_FILE, folder_digest
from carprice.registry.artifacts import download
from carprice.registry.cache import Production, confirm
from carprice.registry.fetch import fetch_from
from carprice.registry.logins import refuse_another_server
from carprice.registry.rest import HttpRegistry
from carprice.registry.tracking import connect
from carprice.registry.versions import Registry, Version

NAME = "used-car-price"
SERVICE = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", "{port}"]
LATE = r"did not answer within"
ELSEWHERE = {ALIAS: redirecting("")}  # to another server, whose address a test knows


@dataclass(frozen=True)
class Case:
    """What a registry does, and what the service says of it.

    Attributes
    ----------
    model : what stands in its folder: ``better`` is good, and is not to be had.
    """

    words: str
    vice: dict[str, Callable[[Answering], None]] = field(default_factory=dict)
    model: str = "better"
    change: dict[str, Any] = field(default_factory=dict)


CASES = {
    "an endless file": Case("has more than 134,217,728 bytes", {"booster.onnx": endless}),
    "an endless answer": Case("its answer has more than 1,000,000 bytes", {ALIAS: endless}),
    "half a file": Case("IncompleteRead", {"hedonic.json": half}),
    "half an answer": Case("IncompleteRead", {PLACE: half}),
    "2,000 files": Case(
        r"holds 2,0\d\d files, and no model has more",
        change={"names": tuple(f"more-{number}.json" for number in range(2000))},
    ),
    "one more file": Case("holds carprice.py, which is no", change={"names": ("carprice.py",)}),
    "a loop of 2^62 turns": Case("is no model that carprice wrote", model="loop"),
    "endless prices": Case("cannot be served: it fails with", model="endless prices"),
    "a traversal": Case("'../../etc/passwd', which no", change={"names": ("../../etc/passwd",)}),
    "an absolute name": Case("'/etc/passwd', which no", change={"names": ("/etc/passwd",)}),
    "another separator": Case("which no model has", change={"names": ("..\\evil.json",)}),
    "a line in a name": Case("which no model has", change={"names": ("a\nb.json",)}),
    "a forged digest": Case("its digest differs", change={"digest": "0" * 64}),
    "a digest that is a path": Case("has no digest among", change={"digest": "../../evil"}),
    "a version of 4,000 digits": Case("no number of at most", change={"version": "9" * 4000}),
    "another host": Case("is for the registry's own server", change={"place": "{other}"}),
    "another host, MLflow's scheme": Case(
        "is for the registry's own server", change={"place": "mlflow-artifacts://{netloc}/a"}
    ),
    "sent on for ever": Case(rf"{LATE}|redirects", {ALIAS: redirecting("")}),
    "sent on to another host": Case(rf"{LATE}|as an MLflow", ELSEWHERE),
    "a byte now and then": Case(LATE, {ALIAS: drip}),
    "a file byte by byte": Case(LATE, {"scale.onnx": drip}),
    "nothing": Case(LATE, {ALIAS: silent}),
    "lists in lists": Case(rf"{LATE}|unexpected|as an MLflow", {ALIAS: deep}),
    "another kind of JSON": Case(
        rf"{LATE}|as an MLflow|unexpected|no production", {ALIAS: saying(b'{"model_version": [7]}')}
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def models(
    finished: Any, another_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Model folders by what is said of them."""
    folder, good = tmp_path_factory.mktemp("hostile"), finished[0].model
    columns = len(PriceModel.load(good).encoder.columns)
    loop = {"booster.onnx": endless_graph(columns)}
    prices = changed_json(good, "hedonic.json", lambda part: part.update(intercept=1e6))
    return {
        "good": good,
        "better": another_model(good, folder / "better", 41),
        "loop": forged(good, folder / "loop", loop),
        "endless prices": forged(good, folder / "prices", prices),
    }


def registry_of(case: Case, models: dict[str, Path], other: str) -> HostileRegistry:
    folder = models[case.model]
    change = {"digest": folder_digest(folder), **case.change}
    if "place" in change:
        netloc = other.removeprefix("http://")
        change["place"] = change["place"].format(other=f"{other}/a", netloc=netloc)
    vice = {ALIAS: redirecting(f"{other}{ALIAS}")} if case.vice == ELSEWHERE else case.vice
    return HostileRegistry(folder, vice=vice, **change)


def wait_for(server: Any, words: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        told: dict[str, Any] = requests.get(server.url, timeout=30).json()
        if re.search(words, told["detail"] or ""):
            return told
        assert time.monotonic() < deadline, (told, server.log.read_text()[-3000:])
        time.sleep(0.05)


IN_A_SERVICE = (
    *("an endless file", "half a file", "2,000 files", "a loop of 2^62 turns", "endless prices"),
    *("a traversal", "a forged digest", "another host", "sent on to another host"),
    *("sent on for ever", "a file byte by byte", "nothing"),
)
QUICK = [name for name, case in CASES.items() if LATE not in case.words]


@pytest.mark.parametrize("name", IN_A_SERVICE)
def test_a_good_model_is_served_and_why_is_told_and_sigterm_ends_it(
    name: str, models: dict[str, Path], serve: Any, tmp_path: Path
) -> None:
    case, token = CASES[name], secrets.token_hex(20)
    cache, is_cached = tmp_path / "cache", len(name) % 2  # half of them have the image's model
    with (
        stub_server(content={}) as other,
        hostile_registry(registry_of(case, models, other.url)) as registry,
    ):
        if is_cached:
            digest = folder_digest(models["good"])
            shutil.copytree(models["good"], cache / digest)
            confirm(registry.url, NAME, cache, Production("3", digest))
        environment = {
            "MLFLOW_TRACKING_URI": registry.url,
            "MLFLOW_TRACKING_TOKEN": token,
            "CARPRICE_MODEL_CACHE": str(cache),
            "CARPRICE_BAKED_MODEL": str(models["good"]),
            "CARPRICE_START_SECONDS": "2" if case.words == LATE else "6",
            "CARPRICE_DRAIN_SECONDS": "0",
        }
        with serve(SERVICE, tmp_path, "/live", environment) as server:
            told = wait_for(server, case.words)
            assert (told["status"], told["source"]) == ("ok", "cache" if is_cached else "image")
            status, answer = server.post("/predict", BARE)
            assert (status, answer["modelVersion"]) == (200, told["modelVersion"])
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(25) == 0
        log = server.log.read_text()
    assert token not in log + str(told)
    assert "Traceback" not in log
    assert {*registry.logins} <= {f"Bearer {token}"}
    assert {*other.logins} <= {None}
    assert registry.sent <= 4 * LARGEST_FILE
    left = [path for path in cache.rglob("*") if path.name.startswith(".download-")]
    assert left == []
    assert not (cache / folder_digest(models["loop"])).exists() or case.model == "loop"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc to look for processes in")
def test_a_worker_that_is_started_again_never_says_that_it_has_no_model(
    models: dict[str, Path], serve: Any, tmp_path: Path
) -> None:
    digest, cache = folder_digest(models["good"]), tmp_path / "cache"
    shutil.copytree(models["good"], cache / digest)
    with hostile_registry(registry_of(CASES["nothing"], models, "")) as registry:
        confirm(registry.url, NAME, cache, Production("3", digest))
        environment = {
            "MLFLOW_TRACKING_URI": registry.url,
            "CARPRICE_MODEL_CACHE": str(cache),
            "CARPRICE_START_SECONDS": "60",
            "CARPRICE_DRAIN_SECONDS": "0",
        }
        with serve([*SERVICE, "--workers", "2"], tmp_path, "/ready", environment) as server:
            workers = children_of(server.process.pid)
            os.kill(workers[-1], signal.SIGKILL)
            statuses: Counter[int] = Counter()
            deadline = time.monotonic() + 60
            again: set[int] = set()
            while not again or len(registry.asked) < 3 or sum(statuses.values()) < 40:
                assert time.monotonic() < deadline, server.log.read_text()[-3000:]
                for path in ("/", "/ready"):
                    statuses[requests.get(server.url + path, timeout=30).status_code] += 1
                statuses[server.post("/predict", BARE)[0]] += 1
                again = {*children_of(server.process.pid)} - {*workers}
                time.sleep(0.05)
            for _ in range(20):  # each on a connection of its own, and so to either worker
                statuses[requests.get(server.url, timeout=30).status_code] += 1
    assert {*statuses} == {200}


def children_of(parent: int) -> list[int]:
    found = []
    for one in psutil.Process(parent).children():
        with suppress(psutil.Error):  # one that has just ended
            if "resource_tracker" not in " ".join(one.cmdline()):
                found.append(one.pid)
    return found


@pytest.mark.parametrize("name", QUICK)
def test_what_is_fetched_by_plain_http_is_refused_in_one_line_and_leaves_no_folder(
    name: str, models: dict[str, Path], tmp_path: Path
) -> None:
    case = CASES[name]
    with (
        stub_server() as other,
        hostile_registry(registry_of(case, models, other.url)) as registry,
        closing(HttpRegistry(registry.url, NAME)) as asking,
    ):
        if case.model != "better":  # only loading finds that
            assert fetch_from(asking, tmp_path, "")["digest"] == registry.digest
            return
        with pytest.raises(CarpriceError) as told:
            fetch_from(asking, tmp_path, "")
    assert other.asked == []
    assert re.search(case.words, str(told.value))
    assert "\n" not in str(told.value)
    assert [*tmp_path.iterdir()] == []
    assert registry.sent <= 3 * LARGEST_FILE


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (Case("", {"booster.onnx": endless}), "is larger than any of a model"),
        (Case("", {ARTIFACTS: endless}), "the list of files at .* is larger than any"),
        (Case("", {ARTIFACTS: deep}), "does not tell the files of a model as an MLflow server"),
        (Case("", {ARTIFACTS: saying(b'{"files": [7]}')}), "does not tell the files of a model"),
        (CASES["2,000 files"], "lists more than 64 files"),
        (CASES["a traversal"], "lists a file .*passwd"),
        (CASES["an absolute name"], "lists a file .*passwd"),
        (CASES["another separator"], "lists a file"),
        (CASES["another host"], "is for the registry's own server alone"),
        (CASES["another host, MLflow's scheme"], "is for the registry's own server alone"),
    ],
)
def test_mlflows_client_is_bounded_too_and_gives_no_other_server_the_login(
    case: Case, words: str, models: dict[str, Path], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0")
    with (
        stub_server() as other,
        hostile_registry(registry_of(case, models, other.url)) as registry,
        pytest.raises(CarpriceError, match=words),
    ):
        download(registry.url, registry.url, registry.place, tmp_path)
    assert other.asked == []
    assert {*registry.logins} <= {"Bearer t0"}
    assert registry.sent <= 3 * LARGEST_FILE
    assert "passwd" not in {path.name for path in tmp_path.rglob("*")}
    assert not case.change or [*tmp_path.iterdir()] == []


LEADING = (  # to the place of a run, of a logged model or of another model's version
    *("models:/evil/1", "Models:/evil/1", "models:/m_evil", "models:/m-abc", "models:/evil@x"),
    *("runs:/a-b/x", "runs:/abc", "runs:/abc/x", "runs://evil/abc/x", "runs:/abc/../x"),
)


@pytest.mark.parametrize("scheme", ["http", "mlflow-artifacts"])
def test_a_registry_that_leads_to_another_server_gives_it_no_login(
    scheme: str, models: dict[str, Path], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    version = Version(4, (), {}, "abc")
    with (
        stub_server(content={"files": [{"path": "report.json", "is_dir": False}]}) as other,
        hostile_registry(HostileRegistry(models["good"], "")) as registry,
    ):
        place = f"{other.url}{ARTIFACTS}/1".replace("http:", f"{scheme}:")
        registry.leads_to = place
        client = connect(registry.url)
        asking = Registry(registry.url, NAME)
        for registry.place in LEADING:
            with pytest.raises(RefusedError, match=r"names no place|is for the registry's own"):
                asking.download(version, tmp_path)
        for registry.leads_to in (place, *LEADING):
            with pytest.raises(RefusedError, match=r"names no place|is for the registry's own"):
                asking.read_file(version, "data/report.json", tmp_path)
        registry.leads_to = place
        (tmp_path / "log.txt").touch()
        with pytest.raises(RefusedError, match="is for the registry's own server alone"):
            asking.log_files(version, {tmp_path / "log.txt": "logs"})
        with pytest.raises(RefusedError, match="is for the registry's own server alone"):
            client.download_artifacts("abc", "data/report.json", str(tmp_path))
    assert other.asked == []
    assert {*registry.logins} == {"Bearer t0"}
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


def test_a_file_of_a_run_is_read_from_the_registrys_own_server_and_is_bounded(
    models: dict[str, Path], tmp_path: Path
) -> None:
    name = "data/hedonic.json"
    with hostile_registry(HostileRegistry(models["good"], "")) as registry:
        asking, version = Registry(registry.url, NAME), Version(4, (), {}, "abc")
        registry.vice = {
            ARTIFACTS: saying(b'{"files": [{"path": "hedonic.json", "is_dir": false}]}')
        }
        found = asking.read_file(version, name, tmp_path)
        assert found == tmp_path / name
        assert found.read_bytes() == (models["good"] / "hedonic.json").read_bytes()
        assert asking.read_file(version, "data/scale.onnx", tmp_path) is None
        registry.vice = {**registry.vice, "hedonic.json": endless}
        with pytest.raises(CorruptModelError, match="is larger than any of a model"):
            asking.read_file(version, name, tmp_path)
    assert registry.sent <= 2 * LARGEST_FILE


@pytest.mark.parametrize(
    ("place", "is_own"),
    [
        ("mlflow-artifacts:/1/models", True),
        ("mlflow-artifacts://registry:5000/1", True),
        ("http://registry:5000/api/2.0/mlflow-artifacts/artifacts/1", True),
        ("http://REGISTRY:5000/a", True),
        ("s3://bucket/1", True),
        ("file:///srv/mlruns/1", True),
        ("https://registry:5000/a", False),
        ("http://registry:5001/a", False),
        ("http://registry/a", False),
        ("http://registry:5000.evil.example/a", False),
        ("http://ann@registry:5000/a", False),
        ("http://registry:5000@evil.example/a", False),
        ("mlflow-artifacts://registry/1", False),
        ("mlflow-artifacts://evil.example:5000/1", False),
    ],
)
def test_only_the_registrys_own_server_may_hand_out_its_files(place: str, is_own: bool) -> None:
    uri = "http://ann:<s3cret>@registry:5000/mlflow"
    if is_own:
        refuse_another_server(uri, place)
        return
    with pytest.raises(RefusedError, match="--serve-artifacts") as told:
        refuse_another_server(uri, place)
    assert "s3cret" not in str(told.value)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_a_process_ends_in_time_though_a_thread_of_it_hangs(serve: Any, tmp_path: Path) -> None:
    program = (
        "import sys, threading, time, api.draining; api.draining._LAST_SECONDS = 1.0\n"
        "threading.Thread(target=time.sleep, args=(120,)).start()\n"
        "from api.server import run; run('api.main:app', '127.0.0.1', int(sys.argv[1]))"
    )
    environment = {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "CARPRICE_MODEL_CACHE": str(tmp_path),
        "CARPRICE_DRAIN_SECONDS": "0",
    }
    command = [sys.executable, "-c", program, "{port}"]
    with serve(command, tmp_path, "/live", environment) as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0
    assert "although something was still busy" in server.log.read_text()
