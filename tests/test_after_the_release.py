"""After the release, without a hand on it: from answers to a better model in production, and back.

The service is a process of its own, with prediction log, outcomes and shadow; the commands that a
schedule would call run in this process, on the days of a story: prices fall by 25 %, the model is
trained again, challenges, and wins; then prices are what they were, and it goes.
"""

import datetime
import json
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml
from command_line import Carprice, caller

from carprice.monitoring.observations import read_fresh, read_log
from carprice.monitoring.outcomes import OUTCOMES_FILE
from carprice.registry.promotion import promote, record_tests
from carprice.sample.market import generate
from carprice.schema import FIELDS, alias
from carprice.settings import IngestSettings, SampleSettings, Settings

BEGUN = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
CARS, DAYS, FALL = 300, 20, 0.75
_PATIENCE = 60.0


class Dealer:
    """Asks the service for prices of cars, sells them, and tells what for."""

    def __init__(self, server: Any, log: Path) -> None:
        settings = IngestSettings(source="sample", sample=SampleSettings(rows=1000, seed=99))
        self._cars = read_fresh("sample", settings).drop_duplicates("odometer")
        self._server, self._log = server, log

    def sells(self, begins: int, factor: float) -> None:
        """Have the next cars priced, and sell them in the days after one."""
        cars, self._cars = self._cars.iloc[:CARS], self._cars.iloc[CARS:]
        assert len(cars) == CARS
        listings = [_listing(car) for _, car in cars.iterrows()]
        status, answered = self._server.post("/predict/batch", {"listings": listings})
        assert status == 200, answered
        quotes = [row["price"]["quoteId"] for row in answered["rows"]]
        sold = [
            {
                "quoteId": quote,
                "soldPrice": round(factor * price),
                "soldOn": str(_day(begins + number % DAYS).date()),
                "kind": "sold",
            }
            for number, (quote, price) in enumerate(zip(quotes, cars["price"], strict=True))
        ]
        assert self._server.post("/outcomes", {"outcomes": sold}) == (
            200,
            {"new": CARS, "repeated": 0, "corrections": 0},
        )
        file = self._log / OUTCOMES_FILE
        with closing(sqlite3.connect(file, timeout=_PATIENCE)) as database, database:
            # The service has the world's clock: as if each sale had been told on its day.
            database.execute("UPDATE outcomes SET received_at = sold_on || ' 12:00:00.000000'")
        waits_for(lambda: {*quotes} <= {*read_log(str(self._log))["quote_id"]})


def _listing(car: Any) -> dict[str, Any]:
    told = {field: car[field] for field in FIELDS if not pd.isna(car[field])}
    told |= {"features": told["features"].split("|") if told.get("features") else []}
    return {alias(field): value for field, value in told.items() if field != "listed_on"}


def _day(number: float) -> datetime.datetime:
    return BEGUN + datetime.timedelta(days=number)


def waits_for(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.parametrize("store", ["server"], indirect=True)
def test_from_answers_to_a_better_model_in_production_and_back(
    store: Any,
    finished: Any,
    small_settings: Settings,
    serve: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    carprice: Carprice = caller(monkeypatch, capsys)
    registry, log = store.registry, tmp_path / "log"
    store.stage(finished[0].model)
    promote(registry, BEGUN, "the release")
    params = small_settings.model_dump(mode="json", by_alias=True)
    params["ingest"]["source"] = "market.csv"
    params["tracking"]["uri"] = registry.uri
    params["register"]["name"] = registry.name
    params["monitor"]["log"] = str(log)
    params["challenge"] |= {"fewest": 100, "fewest_days": 7, "step_days": 1}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    today = [BEGUN]
    for module in ("monitor", "challenge"):
        monkeypatch.setattr(f"carprice.cli.{module}.now", lambda: today[0])

    def tested(registry: Any, version: Any, limits: Any, *_: Any) -> Any:
        """Record that a version passed the tests, which take half a minute."""
        record_tests(registry, version, (), today[0], limits)
        return SimpleNamespace(failures=())

    monkeypatch.setattr("carprice.cli.monitor.test_version", tested)

    def on_day(number: float, *command: str) -> str:
        today[0] = _day(number)
        return carprice(*command).printed

    environment = {
        "MLFLOW_TRACKING_URI": registry.uri,
        "CARPRICE_MODEL_NAME": registry.name,
        "CARPRICE_PREDICTION_LOG": str(log),
        "CARPRICE_OUTCOMES": str(log),
        "CARPRICE_PREDICTION_LOG_SECONDS": "0.5",
        "CARPRICE_CHALLENGER": "shadow",
        "CARPRICE_SHADOW_SHARE": "1",
        "CARPRICE_POLL_SECONDS": "0.5",
        "CARPRICE_DRAIN_SECONDS": "0",
    }
    command = [sys.executable, "-m", "carprice.cli", "serve", "--port", "{port}"]
    with serve(command, tmp_path, "/ready", environment) as server:

        def model() -> Any:
            return json.loads(server.get("/model")[1])

        dealer = Dealer(server, log)
        dealer.sells(1, FALL)
        # What a source asks now; the daily look finds that prices are not what the model says.
        listed = generate(2000, seed=8)
        listed["listingPrice"] *= FALL
        listed.to_csv("market.csv", index=False)
        printed = on_day(21, "monitor", "--act")
        assert "retrain" in printed
        assert registry.at("challenger").number == 2, printed
        assert registry.at("production").number == 1
        waits_for(lambda: model()["challenger"]["state"] == "prices")
        dealer.sells(22, FALL)
        waits_for(lambda: int(read_log(str(log))["shadow"].sum()) >= CARS)
        printed = on_day(42, "challenge", "decide", "--act")
        assert "Version 2 is in production." in printed, printed
        waits_for(lambda: model()["version"] == "2")
        assert "wait" in on_day(43, "challenge", "decide", "--act")
        dealer.sells(43, 1.0)
        printed = on_day(64, "challenge", "decide", "--act")
        assert "Version 1 is in production again." in printed, printed
        waits_for(lambda: model()["version"] == "1")
    happened = [
        (one["version"], one["what"]) for one in json.loads(on_day(65, "history", "--json"))
    ]
    wanted = [
        *((1, "promoted"), (1, "retraining began"), (2, "registered"), (2, "challenger")),
        *((1, "replaced"), (2, "promoted"), (2, "rolled back"), (1, "restored")),
    ]
    assert [one for one in happened if one in wanted] == wanted
