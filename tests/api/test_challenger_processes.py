"""The challenger in real services, beside a real registry over HTTP."""

import datetime
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import requests
from asking import BARE, Traffic, wait_until

from carprice.monitoring.canary import share_of
from carprice.registry.promotion import promote
from carprice.registry.versions import CHALLENGER

NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
CARS = [{**BARE, "odometer": 40_000 + 7 * number} for number in range(300)]
SHARE = 0.3
BROKEN = """
import sys
from api.served import ChallengerModel
from api.server import run
price = ChallengerModel.value
ChallengerModel.value = lambda self, listing, *more, **options: (
    1 / 0 if listing.seats == 9 else price(self, listing, *more, **options)
)
run("api.main:app", "127.0.0.1", int(sys.argv[1]))
"""


def state_of(server: Any) -> tuple[str, str | None]:
    """Return the state of a service's challenger, and its version."""
    told = requests.get(f"{server.url}/model", timeout=30).json()["challenger"]
    return told["state"], told["version"]


def versions_of(server: Any, cars: Iterable[dict[str, Any]] = CARS) -> list[str]:
    """Return which version answers for each car."""
    with requests.Session() as session:
        answers = [session.post(f"{server.url}/predict", json=car, timeout=30) for car in cars]
    assert {one.status_code for one in answers} == {200}
    return [one.json()["modelVersion"] for one in answers]


def expected(champion: str, challenger: str) -> list[str]:
    return [challenger if share_of(car) < SHARE else champion for car in CARS]


@pytest.mark.parametrize("store", ["server"], indirect=True)
def test_a_car_stays_with_its_model_in_all_instances_and_no_request_fails_as_aliases_move(
    store: Any,
    following: dict[str, str],
    start: Any,
    serve: Any,
    finished: Any,
    another_model: Callable[..., Path],
    tmp_path: Path,
) -> None:
    registry = store.registry
    dearer = another_model(finished[0].model, tmp_path / "second", 31)
    second = store.stage(dearer, is_shared=False)
    registry.point(CHALLENGER, second.number, NOW)
    settings = {
        **following,
        "CARPRICE_REQUIRE_RECORD": "true",
        "CARPRICE_CHALLENGER": "canary",
        "CARPRICE_CANARY_SHARE": str(SHARE),
        "CARPRICE_DRAIN_SECONDS": "0",
    }
    assert abs(expected("1", "2").count("2") / len(CARS) - SHARE) < 0.05
    with start(**settings) as one, start(**settings) as other:
        both = (one, other)

        def wait_for(*state: str | None) -> None:
            for server in both:
                wait_until(lambda server=server: state_of(server) == state)

        wait_for("prices", "2")
        assert versions_of(one) == versions_of(other) == expected("1", "2")
        traffic = [Traffic(server.port) for server in both]
        with traffic[0].flowing(pause=0.005), traffic[1].flowing(pause=0.005):
            registry.clear(CHALLENGER)
            wait_for("none", None)
            assert {*versions_of(one)} == {"1"}
            registry.point(CHALLENGER, second.number, NOW)
            wait_for("prices", "2")
            promote(registry, NOW, "it is better")
            wait_for("none", None)
            registry.point(CHALLENGER, 1, NOW)  # the other way round
            wait_for("prices", "1")
        assert versions_of(one) == expected("2", "1")
        assert {status for each in traffic for status in each.statuses} == {200}
        assert min(sum(each.statuses.values()) for each in traffic) > 100
        assert "Traceback" not in one.log.read_text() + other.log.read_text()
    environment = {**settings, "CARPRICE_MODEL_CACHE": str(tmp_path / "cache")}
    with serve([sys.executable, "-c", BROKEN, "{port}"], tmp_path, "/", environment) as server:
        wait_until(lambda: state_of(server) == ("prices", "1"))
        assert versions_of(server) == expected("2", "1")  # after a start, with an empty cache too
        assert {*versions_of(server, ({**car, "seats": 9} for car in CARS))} == {"2"}
        assert state_of(server) == ("dropped", None)
        assert {*versions_of(server)} == {"2"}
        metrics = requests.get(f"{server.url}/metrics", timeout=30).text
        assert 'carprice_challenger_dropped_total{reason="error"} 1.0' in metrics
        told = server.log.read_text()
    assert told.count("Version 1, the challenger, is dropped: pricing fails (5 of the last") == 1
