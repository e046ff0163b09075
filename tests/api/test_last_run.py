"""``/metrics`` tells what the last ``carprice monitor`` found."""

import datetime
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from asking import wait_until
from delivery import free_port
from fastapi.testclient import TestClient
from monitored import found

from api import last_run as module
from api.service_settings import ServiceSettings
from carprice.components.monitor import publish
from carprice.components.workspace import Workspace
from carprice.errors import InputError
from carprice.files import write_json
from carprice.monitoring.last_run import to_json
from carprice.monitoring.s3 import open_store

NOW = datetime.datetime(2026, 9, 29, 6, 0, tzinfo=datetime.UTC)
ClientWith = Callable[..., AbstractContextManager[TestClient]]
PREFIX = "carprice_monitoring_"


def told(client: TestClient) -> dict[str, float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    lines = [line.split() for line in answer.text.splitlines() if line.startswith(PREFIX)]
    return {name.removeprefix(PREFIX): float(value) for name, value in lines}


def test_figures_of_the_last_run_are_told_and_read_again_when_it_changed(
    client_with: ClientWith, tmp_path: Path
) -> None:
    path = tmp_path / "monitoring.json"
    content = to_json(found(), NOW)
    write_json(path, content)
    with client_with(monitoring=str(path)) as client:
        assert told(client) == {
            "readable": 1.0,
            "verdict": 4.0,
            "timestamp_seconds": NOW.timestamp(),
            'bias_percent{of="outcomes"}': -2.4,
            'mdape_percent{of="outcomes"}': 12.1,
            'within_10_percent{of="outcomes"}': 44.0,
            'coverage_percent{of="outcomes"}': 81.5,
            "market_level_percent": -1.2,
            "market_level_error_percent": pytest.approx(0.7),
        }
        write_json(path, {**content, "level": "look", "figures": {"other": {"bias": 1.0}}})
        assert told(client) == {
            "readable": 1.0,
            "verdict": 3.0,
            "timestamp_seconds": NOW.timestamp(),
        }


def test_a_wrong_file_is_told_once_and_stops_nothing(
    client_with: ClientWith, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "monitoring.json"

    def warnings() -> list[str]:
        return [one.getMessage() for one in caplog.records if "monitor" in one.getMessage()]

    with caplog.at_level(logging.WARNING), client_with(monitoring=str(path)) as client:
        assert told(client) == told(client) == {"readable": 0.0}
        assert len(warnings()) == 1
        assert "cannot be read (No such file or directory)" in warnings()[0]
        path.write_text("{}", encoding="utf-8")
        assert told(client) == told(client) == {"readable": 0.0}
        assert len(warnings()) == 2
        assert "is no monitoring.json: format: Field required" in warnings()[1]
        write_json(path, to_json(found(), NOW))
        assert told(client)["readable"] == 1.0
        path.unlink()
        assert told(client) == {"readable": 0.0}
        assert len(warnings()) == 3
        assert client.get("/live").status_code == 200


def test_a_disk_that_hangs_holds_up_nobody_and_what_was_read_last_is_told(
    client_with: ClientWith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "monitoring.json"
    write_json(path, to_json(found(), NOW))
    hold, begun, read = threading.Event(), [], []
    stat = module._signature

    def hanging(path: Path) -> object:
        begun.append(path)
        hold.wait(120)
        read.append(path)
        return stat(path)

    with client_with(monitoring=str(path)) as client:
        before = told(client)
        assert before["readable"] == 1.0
        monkeypatch.setattr(module, "_signature", hanging)
        monkeypatch.setattr(module, "_MOMENT_SECONDS", 0.2)
        monkeypatch.setattr(module, "_HANGS_SECONDS", 3600.0)
        with ThreadPoolExecutor(3) as threads:
            scrapes = [threads.submit(told, client) for _ in range(3)]
            wait_until(lambda: bool(begun))
            assert client.get("/live").status_code == 200
            for scrape in scrapes:
                assert scrape.result() == before
        monkeypatch.setattr(module, "_HANGS_SECONDS", 0.0)
        assert told(client) == {**before, "readable": 0.0}
        assert len(begun) == 1
        assert not read  # it hangs still
        hold.set()
        wait_until(lambda: told(client) == before)


def test_what_is_published_in_s3_is_told_also_while_s3_is_away(
    client_with: ClientWith,
    bucket: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("pyarrow")
    workspace, place = Workspace(tmp_path), "s3://market/log/monitoring.json"
    monkeypatch.setattr(module, "_S3_SECONDS", 0.0)
    with caplog.at_level(logging.WARNING), client_with(monitoring=place) as client:
        wait_until(lambda: told(client) == {"readable": 0.0} and "is not there" in caplog.text)
        write_json(workspace.monitoring, to_json(found(), NOW))
        publish(workspace, place)
        polls: list[dict[str, float]] = []

        def is_told() -> bool:
            polls.append(told(client))
            return polls[-1]["readable"] == 1.0

        wait_until(is_told)
        whole = polls[-1]
        assert whole["verdict"] == 4.0
        bucket.put_object(Bucket="market", Key="log/monitoring.json", Body=b"{}")
        wait_until(lambda: told(client) == {"readable": 0.0})
        publish(workspace, place)
        wait_until(lambda: told(client) == whole)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        away = {**whole, "readable": 0.0}
        wait_until(lambda: told(client) == away and "cannot be read now" in caplog.text)


def test_an_address_that_is_none_is_told_once_and_waited_for(
    client_with: ClientWith,
    aws: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "minio:9000")
    with (
        caplog.at_level(logging.WARNING),
        client_with(monitoring="s3://market/monitoring.json") as client,
    ):
        wait_until(lambda: told(client) == {"readable": 0.0} and "cannot be read" in caplog.text)
        reader = client.app.state.service.last_run
        assert reader._next_at > 0
        monkeypatch.setattr(reader, "_next_at", 0.0)
        wait_until(lambda: told(client) == {"readable": 0.0} and reader._next_at > 0)
        assert caplog.text.count("cannot be read now") == 1


def test_a_store_is_opened_once_and_leaves_the_environment_as_it_is(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    opened = open_store("market")
    assert open_store("another") is opened
    assert opened.region == "us-east-1"
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    "place", ["s3://market", "s3://market/", "s3://key:{}@market/a".format("word"), "gs://market/a"]
)
def test_what_is_no_place_is_refused_before_anything_starts(place: str) -> None:
    with pytest.raises(InputError, match=r"CARPRICE_MONITORING: is (no|neither a file nor) s3://"):
        ServiceSettings.from_environment({"CARPRICE_MONITORING": place})


def test_without_a_place_nothing_is_told(client: TestClient) -> None:
    assert told(client) == {}
