import asyncio
import contextlib
import dataclasses
import datetime
import json
import logging
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import processes_with
from forged import changed_json, forged

from api import production
from api.keeper import ModelKeeper, fetch_production
from api.production import ask
from api.served import ServedModel
from api.service_settings import ServiceSettings
from carprice.errors import CorruptModelError, InputError, NoProductionModelError, RefusedError
from carprice.model import PriceModel
from carprice.model.trial import price_the_example
from carprice.model_folder import folder_digest, write_folder
from carprice.registry.cache import Production, confirm, known_good
from carprice.registry.record import Record


@pytest.fixture
def silence() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.keeper._FIRST_WAIT_SECONDS", 0.05)


@pytest.fixture
def only_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What plain HTTP leaves to MLflow's client, and so to a child process."""
    monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", "none")


def settings_of(uri: str, cache: Path, **more: Any) -> ServiceSettings:
    return ServiceSettings(tracking_uri=uri, model_cache=cache, **more)


def run_instead(monkeypatch: pytest.MonkeyPatch, *command: str) -> None:
    """Let the child process be this one."""
    monkeypatch.setattr(production, "_command", lambda *_: [*command])


def answering(monkeypatch: pytest.MonkeyPatch, *answers: object) -> list[str]:
    """Let the registry answer these in turn, the last for ever; return what is had at each."""
    asked: list[str] = []

    async def answer(_: ServiceSettings, have: str = "") -> object:
        await asyncio.sleep(0)
        asked.append(have)
        found = answers[min(len(asked), len(answers)) - 1]
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("api.keeper.ask", answer)
    return asked


def told(folder: Path, version: str, *, temporary: bool = False) -> production.RegistryReply:
    digest = PriceModel.load(folder).digest
    return production.RegistryReply(version, digest, folder, temporary)


async def run_until(keeper: ModelKeeper, is_so: Callable[[], object]) -> None:
    task = asyncio.create_task(keeper.run())
    deadline = time.monotonic() + 90
    while not is_so():
        assert time.monotonic() < deadline, keeper.problem
        await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def served_by(keeper: ModelKeeper) -> ServedModel:
    await run_until(keeper, lambda: keeper.served)
    assert keeper.served is not None
    return keeper.served


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc to look for processes in")
@pytest.mark.usefixtures("only_mlflow")
def test_a_cancelled_keeper_leaves_no_child(silence: str, tmp_path: Path) -> None:
    keeper = ModelKeeper(settings_of(silence, tmp_path / "cache"))
    asyncio.run(run_until(keeper, lambda: processes_with(f"--cache={tmp_path / 'cache'}")))
    assert processes_with(f"--cache={tmp_path / 'cache'}") == []


@pytest.mark.parametrize("is_child", [False, True])
def test_the_deadline_holds_for_a_server_that_says_nothing_and_a_child_that_hears_no_signal(
    silence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    is_child: bool,
) -> None:
    if is_child:
        request.getfixturevalue("only_mlflow")
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    run_instead(monkeypatch, sys.executable, "-c", deaf, f"--cache={tmp_path}")
    monkeypatch.setattr(production, "_POLITE_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(RefusedError, match=r"did not answer within 0.5 s; .*CARPRICE_START_SEC"):
        asyncio.run(ask(settings_of(silence, tmp_path, start_seconds=0.5)))
    while "registry" in {thread.name for thread in threading.enumerate()}:
        time.sleep(0.01)
        assert time.monotonic() - began < 50  # before the child would end by itself
    assert time.monotonic() - began < 50
    assert processes_with(f"--cache={tmp_path}") == []


@pytest.mark.usefixtures("only_mlflow")
@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("print('hello')", "ended with 0 and no answer"),
        ("raise SystemExit(3)", "ended with 3 and no answer"),
        ("print('[]')", "ended with 0 and no answer"),
        ("print('{}')", "ended with 0 and no answer"),
        ('print(\'{"error": "odd", "kind": "KeyError"}\')', "odd"),
        ('print(\'{"error": "odd", "kind": "annotations"}\')', "odd"),
        ('print(\'{"error": "none of it", "kind": "NoProductionModelError"}\')', "none of it"),
    ],
)
def test_what_a_child_says_is_its_error_and_nothing_of_use_a_refusal(
    program: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead(monkeypatch, sys.executable, "-c", program)
    kind = NoProductionModelError if "NoProduction" in program else RefusedError
    with pytest.raises(kind, match=words):
        asyncio.run(ask(settings_of("http://registry:5000", tmp_path)))


@pytest.mark.usefixtures("only_mlflow")
def test_a_child_that_cannot_be_started_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead(monkeypatch, str(tmp_path / "nowhere"))
    with pytest.raises(RefusedError, match="no process to ask the registry can be started"):
        asyncio.run(ask(settings_of("http://registry:5000", tmp_path)))


def test_the_production_model_is_fetched_from_a_local_database(
    promoted: Any, registry_address: Callable[..., str], tmp_path: Path
) -> None:
    uri = registry_address(promoted)
    settings = settings_of(uri, tmp_path / "cache", start_seconds=120)
    answer = asyncio.run(ask(settings))  # in a child
    assert answer.folder == settings.model_cache / answer.digest
    served = fetch_production(settings)
    assert served.model.digest == answer.digest
    assert (served.version, served.source) == ("1", "registry")
    assert served.model.digest == PriceModel.load(promoted.model).digest
    assert served.since == served.loaded


def test_a_model_that_is_handed_in_is_kept_without_asking(
    model: PriceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(monkeypatch, RefusedError("the registry is down"))
    served = ServedModel.of(model, "7")
    keeper = ModelKeeper(settings_of("http://registry:5000", tmp_path), served)
    asyncio.run(keeper.run())
    assert (asked, keeper.served, keeper.problem) == ([], served, "")


def test_polling_swaps_tells_and_outlives_failures_and_failing_hooks(
    finished: Any,
    another_model: Callable[..., Path],
    model: PriceModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = another_model(finished[0].model, tmp_path / "aside" / "other", 21)
    bad = production.RegistryReply("8", "0" * 64, tmp_path / "nowhere")
    asked = answering(
        monkeypatch,
        told(finished[0].model, "7"),
        RefusedError("the registry is down"),
        bad,
        ValueError("odd"),
        told(other, "9", temporary=True),
        dataclasses.replace(told(other, "9"), folder=None),
    )
    swaps, failures = [], []
    keeper = ModelKeeper(
        settings_of("http://registry:5000", tmp_path, poll_seconds=0.02),
        ServedModel.of(model, "7"),
    )

    def swapped(served: ServedModel) -> None:
        swaps.append((served.version, served.source))
        raise OSError("a hook that fails")

    keeper.on_swap, keeper.on_failure = swapped, failures.append
    asyncio.run(run_until(keeper, lambda: len(asked) > 6))
    assert swaps == [("9", "registry")]
    assert failures[0] == "the registry is down"
    assert "not a model folder" in failures[1]
    assert "cannot be loaded (ValueError)" in failures[2]
    assert (len(failures), keeper.problem) == (3, "")
    assert not other.parent.exists()
    assert keeper.served is not None
    assert asked[:5] == [model.digest] * 5
    assert asked[-1] == keeper.served.model.digest
    assert keeper.served.since > keeper.served.loaded


def test_a_folder_that_is_whole_and_no_model_does_not_end_the_asking(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "baked", {}, lambda folder: (folder / "a").write_text("") and None)
    answering(monkeypatch, RefusedError("down"), RefusedError("down"), told(finished[0].model, "3"))
    settings = settings_of("http://registry:5000", tmp_path, baked_model=tmp_path / "baked")
    keeper = ModelKeeper(settings)
    served = asyncio.run(served_by(keeper))
    assert (served.version, served.source) == ("3", "registry")


def test_without_a_registry_the_models_folder_is_served_and_nothing_is_asked(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(monkeypatch, RefusedError("down"))

    def run(folder: Path) -> ModelKeeper:
        keeper = ModelKeeper(settings_of(REGISTRY, tmp_path, baked_model=folder, registry=False))
        asyncio.run(asyncio.wait_for(keeper.run(), timeout=60))
        return keeper

    keeper = run(finished[0].model)
    assert keeper.served is not None
    assert (keeper.served.source, keeper.problem) == ("image", "")
    keeper = run(tmp_path / "nowhere")
    assert keeper.served is None
    assert keeper.problem == "the model cannot be loaded; the log tells why"
    assert asked == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, r"CARPRICE_REGISTRY: leaves no model to serve; .* CARPRICE_BAKED_MODEL"),
        ({"POLL_SECONDS": "300"}, "CARPRICE_POLL_SECONDS: needs the registry"),
        ({"CHALLENGER": "shadow"}, "CARPRICE_CHALLENGER: needs the registry"),
        ({"WEBHOOK_SECRET": "x" * 32}, "CARPRICE_WEBHOOK_SECRET: needs the registry"),
    ],
)
def test_what_needs_a_registry_is_refused_where_there_is_none(
    more: dict[str, str], told: str
) -> None:
    given = {"BAKED_MODEL": "model", **more} if more else {}
    environment = {f"CARPRICE_{name}": value for name, value in given.items()}
    with pytest.raises(InputError, match=told):
        ServiceSettings.from_environment({"CARPRICE_REGISTRY": "false", **environment})


def test_another_model_than_the_one_named_is_not_served(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"version": "5", "digest": "0" * 64, "folder": str(finished[0].model)}
    monkeypatch.setattr("api.keeper.fetch", lambda *_: other)
    with pytest.raises(CorruptModelError, match="is not the model that was fetched"):
        fetch_production(settings_of("http://registry:5000", tmp_path))


def test_a_cached_folder_of_another_model_is_not_served(
    finished: Any, model: PriceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished[0].model, tmp_path / ("0" * 64))
    record = {
        **{"name": "used-car-price", "registry": "http://registry:5000", "version": "2"},
        **{"digest": "0" * 64, "confirmed": "2025-07-01T12:00:00+00:00"},
    }
    (tmp_path / "used-car-price.json").write_text(json.dumps(record))
    answering(monkeypatch, RefusedError("the registry is down"))
    settings = settings_of("http://registry:5000", tmp_path, baked_model=finished[0].model)
    keeper = ModelKeeper(settings)
    served = asyncio.run(served_by(keeper))
    assert served.source == "image"
    made = datetime.datetime.now(datetime.UTC) - served.since
    assert datetime.timedelta(0) < made < datetime.timedelta(hours=1)
    assert keeper.problem.startswith("the registry is down; serving the model of the image")


REGISTRY = "http://registry:5000"


def into_cache(cache: Path, folder: Path, version: str) -> str:
    """Keep a model as known good, and return its digest."""
    digest = folder_digest(folder)
    shutil.copytree(folder, cache / digest)
    assert confirm(REGISTRY, "used-car-price", cache, Production(version, digest)) == ""
    return digest


def without_a_price(good: Path, target: Path) -> Path:
    """Make a model of right digests that loads, and whose prices are endless."""
    change = changed_json(good, "hedonic.json", lambda part: part.update(intercept=1e6))
    return forged(good, target, change)


def versions_noted(cache: Path) -> list[str]:
    return [one.version for one in known_good(cache, "used-car-price", REGISTRY)]


def test_what_cannot_price_never_takes_the_place_of_the_last_good_model(
    finished: Any,
    another_model: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(logging.getLogger("carprice"), "propagate", True)
    good, cache = finished[0].model, tmp_path / "cache"
    bad = without_a_price(good, tmp_path / "bad")
    newer = another_model(good, tmp_path / "newer", 31)
    answers = [told(good, "7"), told(newer, "8")]
    in_cache = []
    for answer in (*answers, production.RegistryReply("9", folder_digest(bad), bad)):
        folder = shutil.copytree(answer.folder, cache / answer.digest)
        in_cache.append(dataclasses.replace(answer, folder=folder))
    asked = answering(monkeypatch, *in_cache)
    keeper = ModelKeeper(settings_of(REGISTRY, cache, poll_seconds=0.02))
    asyncio.run(run_until(keeper, lambda: "cannot be served" in keeper.problem))
    assert keeper.served is not None
    assert (keeper.served.version, keeper.served.source) == ("8", "registry")
    assert "serving version 8, which the registry confirmed last" in keeper.problem
    assert versions_noted(cache) == ["8", "7"]
    assert len(asked) >= 3

    def restarted() -> tuple[str, str]:
        answering(monkeypatch, RefusedError("the registry is down"))
        again = ModelKeeper(settings_of(REGISTRY, cache))
        served = asyncio.run(served_by(again))
        return served.version, served.source

    assert restarted() == ("8", "cache")
    (cache / answers[1].digest / "scale.onnx").unlink()
    assert restarted() == ("7", "cache")
    assert "scale.onnx is missing" in caplog.text
    (cache / answers[0].digest / "scale.onnx").write_text("")
    again = ModelKeeper(settings_of(REGISTRY, cache, baked_model=good))
    assert asyncio.run(served_by(again)).source == "image"


def test_the_cached_model_is_served_before_the_registry_is_asked_and_is_not_loaded_twice(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = into_cache(tmp_path, finished[0].model, "7")
    loads: list[Path] = []
    load = PriceModel.load

    def counted(folder: Path) -> PriceModel:
        loads.append(folder)
        return load(folder)

    monkeypatch.setattr(PriceModel, "load", counted)
    monkeypatch.setattr("api.keeper.try_out", None)  # a known good model needs none
    monkeypatch.setattr("api.keeper._SETTLE_SECONDS", 0.05)
    registry_may_answer = asyncio.Event()
    keeper = ModelKeeper(settings_of(REGISTRY, tmp_path))
    swaps: list[tuple[str, str]] = []
    keeper.on_swap = lambda served: swaps.append((served.version, served.source))

    async def answer(_: ServiceSettings, have: str = "") -> production.RegistryReply:
        assert have == digest
        await registry_may_answer.wait()
        return production.RegistryReply("8", digest, tmp_path / digest)

    async def check() -> None:
        monkeypatch.setattr("api.keeper.ask", answer)
        running = asyncio.create_task(keeper.run())
        while keeper.served is None:
            await asyncio.sleep(0.01)
        assert (keeper.served.version, keeper.served.source) == ("7", "cache")
        assert keeper.problem.startswith("the registry is being asked; serving version 7, which")
        await keeper.settle()  # though the registry says nothing
        registry_may_answer.set()
        await running

    asyncio.run(check())
    assert swaps == [("7", "cache"), ("8", "registry")]
    assert keeper.problem == ""
    assert loads == [tmp_path / digest]
    assert versions_noted(tmp_path) == ["8"]


def test_a_service_that_starts_answers_by_the_registrys_model_first_where_that_can_be(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = into_cache(tmp_path, finished[0].model, "7")
    answering(monkeypatch, production.RegistryReply("8", digest, tmp_path / digest))

    async def version_of(keeper: ModelKeeper) -> str:
        running = asyncio.create_task(keeper.run())
        await keeper.settle()
        version = keeper.served.version if keeper.served else "none"
        running.cancel()
        return version

    assert asyncio.run(version_of(ModelKeeper(settings_of(REGISTRY, tmp_path)))) == "8"
    answering(monkeypatch, RefusedError("the registry is down"))
    assert asyncio.run(version_of(ModelKeeper(settings_of(REGISTRY, tmp_path)))) == "8"
    assert asyncio.run(version_of(ModelKeeper(settings_of(REGISTRY, tmp_path / "none")))) == "none"


def test_a_new_model_that_hangs_is_given_up_and_the_good_one_stays(
    finished: Any, another_model: Callable[..., Path], tmp_path: Path, monkeypatch: Any
) -> None:
    into_cache(tmp_path, finished[0].model, "7")
    newer = another_model(finished[0].model, tmp_path / "newer", 32)
    answering(monkeypatch, told(newer, "8"))
    keeper = ModelKeeper(settings_of(REGISTRY, tmp_path, load_seconds=0.001))
    asyncio.run(run_until(keeper, lambda: "CARPRICE_LOAD_SECONDS" in keeper.problem))
    assert keeper.served is not None
    assert (keeper.served.version, keeper.served.source) == ("7", "cache")
    assert versions_noted(tmp_path) == ["7"]


def test_a_keeper_that_is_cancelled_ends_the_process_that_tries_a_model(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(finished[0].model, tmp_path / "a folder of its own")
    answering(monkeypatch, told(folder, "8"))
    keeper = ModelKeeper(settings_of(REGISTRY, tmp_path / "cache"))
    asyncio.run(run_until(keeper, lambda: processes_with(f"carprice.model.trial {folder}")))
    assert processes_with(f"carprice.model.trial {folder}") == []


@pytest.mark.parametrize("token", ["s3cr3t-token\n", "s3cr3t-\u20ac"])
def test_a_token_that_is_no_header_is_not_shown(
    token: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    monkeypatch.setattr(logging.getLogger("carprice"), "propagate", True)
    keeper = ModelKeeper(settings_of("http://127.0.0.1:9", tmp_path, start_seconds=20))
    failures: list[str] = []
    keeper.on_failure = failures.append
    asyncio.run(run_until(keeper, lambda: failures))
    assert "s3cr3t" not in keeper.problem + caplog.text + "".join(failures)


def test_a_model_that_cannot_price_is_not_served(model: PriceModel) -> None:
    encoder = dataclasses.replace(model.encoder, numbers=model.encoder.numbers[:-2])
    with pytest.raises(CorruptModelError, match=r"cannot be served: it fails with"):
        ServedModel.of(dataclasses.replace(model, encoder=encoder), "9")


@pytest.mark.parametrize(
    ("file", "change", "part"),
    [
        ("defaults.json", lambda it: it["car"]["numbers"].update(age=-1e299), "reasons"),
        (
            "listings.json",
            lambda it: it.update(levels=[1e299] * len(it["levels"])),
            "comparables",
        ),
    ],
)
def test_a_model_of_which_a_part_of_an_appraisal_fails_is_not_served(
    file: str, change: Callable[[Any], object], part: str, finished: Any, tmp_path: Path
) -> None:
    good = finished[0].model
    model = PriceModel.load(forged(good, tmp_path / "odd", changed_json(good, file, change)))
    price_the_example(model)
    with pytest.raises(CorruptModelError, match=f"served: {part} of an appraisal fails with"):
        ServedModel.of(model, "9")


@pytest.fixture
def small_model(finished: Any) -> Path:
    folder: Path = finished[0].model
    return folder


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is tried in a process of its own first, which takes a while."""
    monkeypatch.setattr("api.keeper._is_known", lambda *_: True)


@pytest.fixture
def newer(small_model: Path, another_model: Callable[..., Path], tmp_path: Path) -> Path:
    return another_model(small_model, tmp_path / "newer")


BORNE_OUT = {"tests": "passed", "production_since": "2025-07-02T12:00:00+00:00"}


def said(folder: Path, version: str, key: bytes = b"", **tags: str) -> production.RegistryReply:
    """Return a reply of a registry that says something of the version, signed if there is a key."""
    reply = told(folder, version)
    tags = {**BORNE_OUT, "tests_digest": reply.digest, **tags}
    record = Record("used-car-price", version, reply.digest)
    signed = record.signed_promotion(key, tags["production_since"]) | record.signed_tests(key, "")
    return dataclasses.replace(reply, tags={**tags, **signed})


@pytest.mark.usefixtures("untried")
@pytest.mark.parametrize("tags", [{"tests": "failed"}, {"withdrawn": "rolled back: too dear"}])
def test_a_version_that_its_record_does_not_bear_out_is_served_and_told_of(
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tags: dict[str, str],
) -> None:
    asked = answering(monkeypatch, said(small_model, "7", **tags))
    keeper = ModelKeeper(settings_of("http://registry", tmp_path, poll_seconds=0.01))
    asyncio.run(run_until(keeper, lambda: len(asked) > 3))
    assert keeper.served is not None
    assert (keeper.served.version, keeper.problem) == ("7", "")
    assert keeper.objection.startswith("version 7 of used-car-price is in production, but it ")
    assert "too dear" not in keeper.objection  # for everybody to read
    assert [one.message for one in caplog.records].count(keeper.objection) == 1


@pytest.mark.usefixtures("untried")
def test_such_a_version_is_refused_where_a_record_is_required(
    small_model: Path, newer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[str] = []
    good, bad = said(small_model, "7"), said(newer, "8", tests="failed")
    answering(monkeypatch, good, bad)
    settings = settings_of("http://registry", tmp_path, poll_seconds=0.01, require_record=True)
    keeper = ModelKeeper(settings)
    keeper.on_failure = failures.append
    asyncio.run(run_until(keeper, lambda: len(failures) >= 2))
    assert keeper.served is not None
    assert keeper.served.version == "7"
    assert keeper.objection.startswith("version 8 of used-car-price is in production, but it fail")
    answering(monkeypatch, said(newer, "8"))
    asyncio.run(run_until(keeper, lambda: keeper.served and keeper.served.version == "8"))
    assert keeper.objection == ""


@pytest.mark.usefixtures("untried")
def test_with_a_key_the_record_has_to_be_signed_and_no_older_promotion_comes_back(
    small_model: Path, newer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "k" * 32
    settings = settings_of(
        "http://registry", tmp_path, poll_seconds=0.01, require_record=True, promotion_key=key
    )
    old = said(small_model, "7", key.encode())
    later = said(newer, "8", key.encode(), production_since="2025-07-03T12:00:00+00:00")
    asked = answering(monkeypatch, said(newer, "8"), old, later, old)
    keeper = ModelKeeper(settings)
    asyncio.run(run_until(keeper, lambda: len(asked) == 2))
    assert "nobody who has the CARPRICE_PROMOTION_KEY says that it passed" in keeper.problem
    asyncio.run(run_until(keeper, lambda: len(asked) > 5))
    assert keeper.served is not None
    assert keeper.served.version == "8"
    assert "version 7 was promoted at 2025-07-02T12:00:00+00:00, before what" in keeper.objection


def test_a_key_that_is_too_short_is_no_setting() -> None:
    with pytest.raises(InputError, match="CARPRICE_PROMOTION_KEY: needs 32 characters") as refused:
        ServiceSettings.from_environment({"CARPRICE_PROMOTION_KEY": "y" * 31})
    assert "yyy" not in str(refused.value)
