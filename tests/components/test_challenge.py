"""A good model and one that learned from other cars' prices, each as the other's challenger."""

import datetime
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import Carprice, caller

from carprice.components.challenge import Evidence, act, contests, next_of, settle
from carprice.errors import InputError, RefusedError
from carprice.model import PriceModel
from carprice.monitoring.observations import observe
from carprice.monitoring.outcomes import Kind, Outcome, OutcomeStore
from carprice.monitoring.pairs import paired, settled
from carprice.monitoring.records import ANSWER_COLUMNS
from carprice.monitoring.sequential import end_of_steps, step_of
from carprice.registry.challenge import start
from carprice.registry.promotion import history, limits_of, promote
from carprice.registry.versions import Registry
from carprice.settings import Settings

NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
FIRST = NOW.date() + datetime.timedelta(days=1)
LIMITS = {"fewest": 100, "step_days": 1, "longest_days": 60, "watch_days": 60}
TAGS = {
    "gate_thresholds": Settings().register_.gate.model_dump_json(),
    "tests_limits": limits_of(Settings().register_),
}
"""The limits that gate and tests go by, which the made-up versions lack."""
NO_LOG = pd.DataFrame(columns=[*ANSWER_COLUMNS])
on_a_database = pytest.mark.parametrize("store", ["database"], indirect=True)


def after(days: float) -> datetime.datetime:
    return NOW + datetime.timedelta(days=days)


@pytest.fixture(scope="module")
def models(finished: Any, shuffled: Any) -> tuple[Path, Path]:
    """The good one and the bad one."""
    return finished[0].model, shuffled.model


@pytest.fixture(scope="module")
def cars(finished: Any) -> pd.DataFrame:
    """Cars that no model learned from, seen on twenty days after the models' data."""
    test = pd.read_parquet(finished[0].test_listings).drop_duplicates("odometer")
    days = pd.to_datetime([FIRST + datetime.timedelta(days=one % 20) for one in range(len(test))])
    listed = test.assign(listed_on=days.astype(test["listed_on"].dtype))
    model = PriceModel.load(finished[0].model)
    known = paired(model, model, observe(NO_LOG, (), listed), FIRST)
    assert len(known.ours) > 200
    return listed


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate({"challenge": LIMITS})


def prepared(store: Any, champion: Path, challenger: Path) -> Registry:
    """Return a registry with one model in production, and another one that challenges it."""
    registry: Registry = store.registry
    store.stage(champion)
    promote(registry, NOW, "first")
    registry.tag(store.stage(challenger).number, TAGS)
    start(registry, NOW, "retrained")
    return registry


def seen(cars: pd.DataFrame, log: pd.DataFrame = NO_LOG) -> Callable[[], Evidence]:
    return lambda: Evidence(log, observe(NO_LOG, (), cars))


def aliases(registry: Registry) -> dict[str, int]:
    return {name: one.number for one in registry.versions() for name in one.aliases}


def last(registry: Registry, number: int) -> tuple[str, str]:
    event = [one for one in history(registry) if one.version == number][-1]
    return str(event.what), event.why


@on_a_database
def test_a_better_one_is_promoted_and_rolled_back_when_it_proves_worse(
    store: Any, models: Sequence[Path], cars: pd.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    good, bad = models
    registry = prepared(store, bad, good)

    def look(now: datetime.datetime, found: pd.DataFrame = cars) -> Any:
        return contests(registry, settings, tmp_path, seen(found), now)

    few = cars.loc[cars["listed_on"] < pd.Timestamp(after(10).date())]
    (contest,) = look(after(10), few)
    assert (contest.decision.step, next_of([contest])) == ("wait", None)
    assert "it takes 14 days" in contest.decision.why
    (contest,) = look(after(21))
    assert contest.decision.step == "promote"
    assert contest.found.high < 0
    assert contest.by_source["listed"].cars == contest.found.cars
    assert contest.by_source["sold"].cars == 0
    assert act(registry, contest, settings, after(21)) == "Version 2 is in production."
    assert aliases(registry) == {"staging": 2, "production": 2, "previous": 1}
    what, why = last(registry, 2)
    assert what == "promoted"
    assert why == f"challenge: {contest.decision.why}"
    # It is watched by what is seen from then on: prices that the version before tells better.
    (contest,) = look(after(22))
    assert contest.is_watch
    assert contest.found.cars == 0
    prices = PriceModel.load(bad).predict(_columns(cars)).price
    days = cars["listed_on"] + pd.Timedelta(days=21)
    worse = cars.assign(price=1.02 * prices, listed_on=days)
    (contest,) = look(after(45), worse)
    assert contest.decision.step == "roll back"
    # Only as long as it is watched; and by no listings that begin later than that.
    assert look(after(21 + LIMITS["watch_days"]), worse) == []
    with pytest.raises(InputError, match="begin on 2025-07-27, and what is to be decided on 2025"):
        look(after(45), worse.loc[worse["listed_on"] >= "2025-07-27"])
    assert act(registry, contest, settings, after(45)) == "Version 1 is in production again."
    assert aliases(registry) == {"production": 1, "previous": 2}
    assert ("rolled back", f"after its challenge: {contest.decision.why}") in [
        (one.what, one.why) for one in history(registry)
    ]
    assert look(after(46)) == []


def _columns(cars: pd.DataFrame) -> Any:
    from carprice.listings.frames import as_columns

    return as_columns(cars)


@on_a_database
def test_listings_that_begin_after_the_challenge_are_refused(
    store: Any, models: Sequence[Path], cars: pd.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    """Those of the last days, each day anew, would not hold what is promised of all looks."""
    registry = prepared(store, *models)
    days = cars["listed_on"]
    a_weekend, too_few = (cars.loc[days >= pd.Timestamp(after(one).date())] for one in (3, 4))
    (contest,) = contests(registry, settings, tmp_path, seen(a_weekend), after(5))
    assert contest.found.days == 2
    with pytest.raises(InputError, match="kept since then, those too that are no longer offered"):
        contests(registry, settings, tmp_path, seen(too_few), after(5))


@on_a_database
def test_a_worse_one_is_dropped_and_one_of_which_nothing_is_known_when_time_is_over(
    store: Any, models: Sequence[Path], cars: pd.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    registry = prepared(store, *models)
    (contest,) = contests(registry, settings, tmp_path, seen(cars.head(50)), after(60))
    assert contest.decision.step == "drop"
    assert "nothing else was decided within 60 days" in contest.decision.why
    (contest,) = contests(registry, settings, tmp_path, seen(cars), after(21))
    assert contest.decision.step == "drop"
    assert contest.found.low > 0
    assert act(registry, contest, settings, after(21)) == "Version 2 is no challenger any more."
    assert aliases(registry) == {"staging": 2, "production": 1}
    assert last(registry, 2) == ("challenger dropped", contest.decision.why)
    assert contests(registry, settings, tmp_path, seen(cars), after(22)) == []


@on_a_database
def test_a_broken_one_is_dropped_at_once(
    store: Any, models: Sequence[Path], settings: Settings, tmp_path: Path
) -> None:
    registry = prepared(store, *models)
    digests = [registry.numbered(number).digest for number in (1, 2)]
    rows = [
        {
            "model_digest": digests[shadow],
            "answered_at": after(0.1),
            "route": "/predict",
            "shadow": bool(shadow),
            "milliseconds": 5.0 + shadow,
            "problem": "the model gave no number" if shadow and one < 5 else "",
        }
        for one in range(40)
        for shadow in (0, 1)
    ]
    log = pd.DataFrame(rows).reindex(columns=[*ANSWER_COLUMNS])
    (contest,) = contests(
        registry, settings, tmp_path, lambda: Evidence(log, observe(NO_LOG, ())), after(0.2)
    )
    assert contest.decision.step == "drop"
    assert contest.decision.why.startswith("it is broken: no price for 5 of 40 listings")
    assert (contest.served.milliseconds, contest.served.beside) == (6.0, 5.0)
    before = log.assign(answered_at=after(-1))
    (contest,) = contests(
        registry, settings, tmp_path, lambda: Evidence(before, observe(NO_LOG, ())), after(0.2)
    )
    assert (contest.decision.step, contest.served.answers) == ("wait", 0)


@on_a_database
def test_damaged_bytes_are_no_challenger(
    store: Any, models: Sequence[Path], cars: pd.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    registry: Registry = store.registry
    store.stage(models[1])
    promote(registry, NOW, "first")
    version = store.stage(models[0], is_shared=False)
    start(registry, NOW, "")
    store.artifact(version, "booster.onnx").write_bytes(b"none")
    (contest,) = contests(registry, settings, tmp_path, seen(cars), after(21))
    assert contest.decision.step == "drop"
    assert "booster.onnx is missing or not the file" in contest.decision.why


@on_a_database
def test_where_another_version_came_to_production_the_challenge_starts_anew(
    store: Any,
    models: Sequence[Path],
    cars: pd.DataFrame,
    settings: Settings,
    tmp_path: Path,
    another_model: Callable[..., Path],
) -> None:
    good, bad = models
    registry = prepared(store, bad, good)
    found = contests(registry, settings, tmp_path / "cache", seen(cars), after(21))
    store.stage(another_model(bad, tmp_path / "other"))
    promote(registry, after(11), "by hand")
    with pytest.raises(RefusedError, match="is version 3 meanwhile, and not version 1"):
        act(registry, found[0], settings, after(21))
    (contest,) = contests(registry, settings, tmp_path / "cache", seen(cars), after(21))
    assert contest.since == after(11)
    assert contest.found.days == 10
    limits = Settings.model_validate({"challenge": {**LIMITS, "fewest_days": 7}})
    (contest,) = contests(registry, limits, tmp_path / "cache", seen(cars), after(21))
    assert contest.decision.step == "wait"
    assert "better beyond doubt, but the gate compared it with another" in contest.decision.why
    (contest,) = contests(registry, limits, tmp_path / "cache", seen(cars), after(71))
    assert contest.decision.step == "drop"


@on_a_database
def test_the_alias_that_a_broken_off_command_left_is_cleared(
    store: Any, models: Sequence[Path], settings: Settings, tmp_path: Path
) -> None:
    registry = prepared(store, *models)
    promote(registry, after(1), "by hand")
    assert contests(registry, settings, tmp_path, seen(pd.DataFrame()), after(2)) == []
    settle(registry)
    assert aliases(registry) == {"staging": 2, "production": 2, "previous": 1}


def test_what_does_not_count_is_left_out_and_told(
    models: Sequence[Path], cars: pd.DataFrame, finished: Any
) -> None:
    good, bad = map(PriceModel.load, models)
    some = cars.head(40)
    learned = pd.read_parquet(finished[0].train_listings).head(10)
    learned = learned.assign(listed_on=some["listed_on"].iloc[0])
    early = some.tail(5).assign(listed_on=pd.Timestamp("2025-06-30"))
    again = some.head(3).assign(listed_on=some["listed_on"].iloc[:3] + pd.Timedelta(days=9))
    wrong = some.head(2).assign(year=np.nan)
    listed = pd.concat([some, learned, early, again, wrong], ignore_index=True)
    outcomes = [
        Outcome(Kind.OFFERED, 1.0, FIRST, "", {"make": "Kia"}),
        Outcome(Kind.SOLD, 500_000.0, FIRST, "", _listing(cars.iloc[60])),
    ]
    pairs = paired(bad, good, observe(NO_LOG, outcomes, listed), datetime.date(2025, 6, 1))
    assert pairs.left_out == {
        "neither sold nor listed": 1,
        "seen before the challenge, or before the models' data end": 5,
        "no listing that can be priced": 2,
        "of a car that a model learned from": 10,
        "of a car that was seen before": 3,
    }
    assert (pairs.sources == "sold").sum() == 1
    assert len(pairs.ours) == 41
    early = paired(bad, good, observe(NO_LOG, (), some), FIRST, FIRST + datetime.timedelta(days=5))
    assert early.days.max() == np.datetime64(FIRST + datetime.timedelta(days=4))
    assert early.left_out == {
        "seen or told on the last days, whose step is not over": int(
            (some["listed_on"] >= pd.Timestamp(FIRST + datetime.timedelta(days=5))).sum()
        )
    }
    late = paired(bad, good, observe(NO_LOG, outcomes, listed), FIRST + datetime.timedelta(days=5))
    assert late.days.min() == np.datetime64(FIRST + datetime.timedelta(days=5))


def test_what_is_told_later_changes_no_step_that_is_over(
    models: Sequence[Path], cars: pd.DataFrame, tmp_path: Path
) -> None:
    """Each look finds the steps of those before it as they were, whatever was told meanwhile."""
    step = 7
    good, bad = map(PriceModel.load, models)
    rng, store = np.random.default_rng(0), OutcomeStore(str(tmp_path))
    told: list[tuple[datetime.datetime, Outcome]] = []
    for number in range(60):
        car = cars.iloc[number % 50]  # ten of them are sold twice
        sold_on = FIRST + datetime.timedelta(days=int(rng.integers(20)))
        first = Outcome(Kind.SOLD, float(car["price"]), sold_on, f"q{number}", _listing(car))
        moment = datetime.datetime.combine(sold_on, datetime.time(12), datetime.UTC)
        for kind in rng.choice([Kind.SOLD, Kind.OFFERED, Kind.WITHDRAWN], 3, p=[0.6, 0.2, 0.2]):
            moment += datetime.timedelta(days=float(rng.exponential(8)))
            price = None if kind is Kind.WITHDRAWN else float(car["price"] * rng.uniform(0.9, 1.1))
            revision = int(rng.integers(2))
            told.append((moment, replace(first, kind=kind, sold_price=price, revision=revision)))
    told.sort(key=lambda one: one[0])
    before: dict[int, tuple[float, ...]] = {}
    for day in range(70):
        today = FIRST + datetime.timedelta(days=day)
        store.add([one for at, one in told if at.date() == today], after(1 + day))
        tomorrow = today + datetime.timedelta(days=1)
        until = end_of_steps(tomorrow, step)
        if until != tomorrow:
            continue
        seen = observe(NO_LOG, settled(store.told(), step))
        pairs = paired(bad, good, seen, FIRST, until)
        steps = np.array([step_of(one, step) for one in pairs.days.tolist()], dtype=np.int64)
        found = {one: tuple(sorted(pairs.ours[steps == one])) for one in set(steps.tolist())}
        new = step_of(today, step)
        assert {one: errors for one, errors in found.items() if one != new} == before
        before = found
    store.close()
    assert 30 < sum(map(len, before.values())) <= 50


def test_a_sale_counts_as_it_stood_when_its_step_was_over() -> None:
    def told(day: int, price: float | None, kind: Kind = Kind.SOLD, revision: int = 0) -> Outcome:
        moment = after(day)
        return Outcome(kind, price, FIRST, "a", {}, moment, revision)

    def counts(*history: Outcome) -> tuple[float | None, datetime.date]:
        (one,) = settled(history, 7)
        assert one.received_at is not None
        return one.sold_price, one.received_at.date()

    thursday = after(2)
    assert thursday.weekday() == 3
    day = {number: after(number).date() for number in range(20)}
    assert counts(told(2, 100.0), told(8, 90.0), told(9, 80.0)) == (90.0, day[8])
    assert counts(told(2, 100.0, revision=1), told(8, 90.0)) == (100.0, day[8])
    offered, withdrawn = told(2, 70.0, Kind.OFFERED), told(3, None, Kind.WITHDRAWN)
    assert counts(offered, told(9, 80.0), told(16, 60.0)) == (80.0, day[9])
    assert counts(told(2, 100.0), withdrawn, told(16, 60.0)) == (60.0, day[16])
    assert counts(offered, withdrawn) == (None, day[3])


def test_models_of_other_units_are_refused_and_one_without_its_cars_is_told(
    models: Sequence[Path], cars: pd.DataFrame
) -> None:
    good, bad = map(PriceModel.load, models)
    some = observe(NO_LOG, (), cars.head(5))
    for name, value, said in (
        ("currency", "EUR", f"prices in {good.market.currency} and km, the other in EUR and km"),
        ("distance_unit", "miles", f"the other in {good.market.currency} and miles"),
    ):
        other = replace(good, market=replace(good.market, **{name: value}))
        with pytest.raises(InputError, match=re.escape(said)):
            paired(bad, other, some, FIRST)
    assert paired(bad, good, some, FIRST).notes == ()
    (note,) = paired(replace(bad, learned=None), good, some, FIRST).notes
    assert note.startswith("the older model does not tell which cars it learned from")


def _listing(car: Any) -> dict[str, Any]:
    fields = ("make", "model", "variant", "year", "odometer", "fuel_type", "transmission_type")
    return {name: car[name] for name in fields if not pd.isna(car[name])}


@on_a_database
def test_the_commands_tell_decide_and_act(
    store: Any,
    models: Sequence[Path],
    cars: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    carprice: Carprice = caller(monkeypatch, capsys)
    registry: Registry = store.registry
    good, bad = models
    store.stage(bad)
    promote(registry, NOW, "first")
    store.stage(good)
    params = tmp_path / "params.yaml"
    content = {
        "tracking": {"uri": registry.uri},
        "register": {"name": registry.name},
        "challenge": LIMITS,
    }
    params.write_text(yaml.safe_dump(content), encoding="utf-8")
    fresh, place = tmp_path / "fresh.parquet", tmp_path / "log"
    place.mkdir()
    cars.iloc[1:].to_parquet(fresh, index=False)
    told = OutcomeStore(str(place))
    told.add(
        [Outcome(Kind.SOLD, float(cars.iloc[0]["price"]), FIRST, "", _listing(cars.iloc[0]))], NOW
    )
    told.close()
    where = ("--params", params, "--workdir", tmp_path)
    evidence = ("--log", place, "--listings", fresh)

    def at(now: datetime.datetime) -> None:
        monkeypatch.setattr("carprice.cli.challenge.now", lambda: now)

    at(NOW)
    assert "No version challenges production" in carprice("challenge", "decide", *where).err
    assert "--staged" in carprice("challenge", "start", *where).line
    assert "is in production itself" in carprice("challenge", "start", 1, *where).line
    refused = carprice("challenge", "start", "--staged", *where)
    assert refused.code == 1
    assert "the gate judged it by other thresholds" in refused.line
    registry.tag(2, TAGS)
    assert "Version 2 challenges production." in carprice("challenge", "start", 2, *where).err
    assert carprice("challenge", "status", *where).code == 2  # nothing was named to look at
    at(after(25))
    done = carprice("challenge", "status", *where, *evidence, "--json")
    (found,) = json.loads(done.out)
    assert (found["kind"], found["step"], found["exitCode"]) == ("challenge", "promote", 4)
    assert found["newer"]["version"] == 2
    assert found["bySource"]["sold"]["cars"] == 1
    assert found["bySource"]["sold"]["high"] is None
    assert found["difference"]["high"] < 0
    shown = carprice("challenge", "status", *where, *evidence)
    assert shown.code == 0
    assert "Version 2 challenges version 1 since 2025-07-01" in shown.err
    assert carprice("challenge", "decide", *where, *evidence).code == 4
    assert aliases(registry)["production"] == 1
    done = carprice("challenge", "decide", "--act", *where, *evidence)
    assert (done.code, aliases(registry)["production"]) == (0, 2)
    assert "Version 2 is in production." in done.err
    again = carprice("challenge", "decide", "--act", *where, *evidence)
    assert again.code == 0
    assert "Version 2: wait; error not known" in again.err
