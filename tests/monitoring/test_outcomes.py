import datetime
import multiprocessing
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from delivery import free_port
from postgres import running_postgres

from carprice.errors import InputError
from carprice.monitoring import outcomes
from carprice.monitoring.outcomes import (
    Added,
    Kind,
    Outcome,
    OutcomeStore,
    UnavailableError,
    form_of,
)

NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
DAY = datetime.date(2025, 6, 14)
RIO: dict[str, Any] = {"make": "Kia", "model": "Rio", "year": 2020, "odometer": 9000.0}
TOGETHER = 40


def sold(price: float, quote: str = "", **listing: Any) -> Outcome:
    return Outcome(Kind.SOLD, price, DAY, quote, listing)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a real PostgreSQL server with an empty database."""
    password = secrets.token_hex(12)
    with running_postgres("ann", password) as port:
        yield f"postgresql+psycopg://ann:{password}@127.0.0.1:{port}/postgres"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for outcomes that has none yet."""
    if request.param == "sqlite":
        return str(tmp_path / "kept")
    url: str = request.getfixturevalue("postgres")
    from sqlalchemy import create_engine, text

    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS outcomes"))
    engine.dispose()
    return url


@contextmanager
def opened(place: str) -> Iterator[OutcomeStore]:
    store = OutcomeStore(place)
    try:
        yield store
    finally:
        store.close()


def test_what_is_told_again_counts_once_and_the_latest_correction_wins(place: str) -> None:
    with opened(place) as one, opened(place) as other:
        assert one.add([sold(500.0, "a"), sold(70.0, **RIO)], NOW) == Added(new=2)
        assert other.add([sold(500.0, "a"), sold(70.0, **{**RIO, "odometer": 9000})], NOW) == Added(
            repeated=2
        )
        assert other.add([sold(510.0, "a"), sold(510.0, "a")], NOW) == Added(0, 1, 1)
        late = NOW + datetime.timedelta(days=90)
        assert one.add([sold(500.0, "a")], late) == Added(repeated=1)
        withdrawn = Outcome(Kind.WITHDRAWN, None, DAY, "b")
        assert one.add([withdrawn], late) == Added(new=1)
        prices = [(told.quote_id, told.sold_price) for told in one.latest()]
        assert prices == [("", 70.0), ("a", 510.0), ("b", None)]
        assert one.latest()[0].listing == RIO
        history = one.history("a")
        assert [told.sold_price for told in history] == [500.0, 510.0]
        assert {told.received_at for told in history} == {NOW}
        assert one.history("nobody") == []


def revised(price: float, revision: int) -> Outcome:
    return Outcome(Kind.SOLD, price, DAY, "a", revision=revision)


def test_a_higher_revision_takes_a_correction_back(place: str) -> None:
    whole = [sold(100.0, "a"), sold(90.0, "a"), revised(100.0, 1)]
    with opened(place) as store:
        assert store.add(whole[:2], NOW) == Added(1, 0, 1)
        assert store.add(whole[2:], NOW) == Added(corrections=1)
        assert store.add(whole, NOW) == Added(repeated=3)
        assert [told.sold_price for told in store.latest()] == [100.0]
        assert store.add([revised(80.0, 3), revised(70.0, 2), sold(60.0, "a")], NOW).corrections
        assert [told.sold_price for told in store.latest()] == [80.0]  # the others came late
        history = [(told.revision, told.sold_price) for told in store.history("a")]
        assert history == [(0, 100.0), (0, 90.0), (0, 60.0), (1, 100.0), (2, 70.0), (3, 80.0)]
        assert store.history("a")[-1].to_json()["revision"] == 3


def test_a_listing_is_the_same_however_its_texts_are_written(place: str) -> None:
    shouted = {**RIO, "make": "KIA", "model": " rio ", "features": ["abs", "ABS"]}
    with opened(place) as store:
        assert store.add([sold(70.0, **RIO, features=["ABS"])], NOW) == Added(new=1)
        assert store.add([sold(70.0, **shouted)], NOW) == Added(repeated=1)
        assert store.add([sold(80.0, **shouted)], NOW) == Added(corrections=1)


def test_what_is_old_is_forgotten_with_its_history(place: str) -> None:
    old, day = NOW - datetime.timedelta(days=30), NOW.date()
    with opened(place) as store:
        assert store.forget(day) == 0
        store.add([sold(1.0, "a"), sold(2.0, "a"), sold(1.0, "b")], old)
        store.add([sold(3.0, "b"), sold(1.0, "c")], NOW)
        assert store.forget(day, act=False) == 2
        assert len(store.latest()) == 3
        assert (store.forget(day), store.forget(day)) == (2, 0)
        assert [told.quote_id for told in store.latest()] == ["b", "c"]
        assert [told.sold_price for told in store.history("b")] == [1.0, 3.0]


def test_the_file_and_its_folder_are_for_their_user_alone(tmp_path: Path) -> None:
    with opened(str(tmp_path / "kept")) as store:
        store.add([sold(1.0, "a")], NOW)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("kept", "kept/outcomes.db")]
    assert modes == [0o700, 0o600]


def test_a_lock_that_stays_is_not_waited_for_forever(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import create_engine, text

    monkeypatch.setattr(outcomes, "_PATIENCE", 0.3)
    engine = create_engine(postgres)
    with opened(postgres) as store, engine.connect() as other:
        store.add([sold(1.0, "locked")], NOW)
        other.execute(text("LOCK TABLE outcomes"))
        with pytest.raises(UnavailableError, match="timeout"):
            store.add([sold(2.0, "locked")], NOW)
        other.rollback()
        assert store.add([sold(2.0, "locked")], NOW) == Added(corrections=1)
        with store._engine.connect() as connection:
            options = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
    engine.dispose()
    assert options["tcp_user_timeout"] == "10000"


def test_far_off_prices_are_kept(place: str) -> None:
    prices = [0.01, 1.0, 1e12, 99_999_999.99]
    with opened(place) as store:
        store.add([sold(price, f"q{price}") for price in prices], NOW)
        assert [one.sold_price for one in store.latest()] == sorted(prices, key=lambda p: f"q{p}")


def tell(place: str, gate: Any, count: int, results: Any) -> None:
    """Tell outcomes as another instance does; all begin at the same moment."""
    with opened(place) as store:
        gate.wait()
        added = Added()
        for start in range(0, count, 10):
            rows = [sold(100.0 + row, f"q{row}") for row in range(start, start + 10)]
            added += store.add(rows, NOW)
        results.put((added.new, added.repeated, added.corrections))


def test_two_processes_that_tell_the_same_at_once_are_kept_once(place: str) -> None:
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=tell, args=(place, gate, TOGETHER, results)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    told = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [sum(column) for column in zip(*told, strict=True)] == [TOGETHER, TOGETHER, 0]
    with opened(place) as store:
        assert len(store.latest()) == TOGETHER


def test_a_thousand_outcomes_are_kept_all_or_none(place: str) -> None:
    rows = [sold(1.0 + row, f"q{row}") for row in range(1000)]
    broken = Outcome(Kind.SOLD, 5.0, DAY, "x" * 300)
    with opened(place) as store:
        assert store.add(rows, NOW).new == 1000
        if not place.startswith("postgresql"):  # SQLite takes texts of any length
            return
        with pytest.raises(UnavailableError, match="nothing was kept"):
            store.add([sold(1.0, "new"), broken], NOW)
        assert len(store.latest()) == 1000


def test_a_database_that_is_away_is_told_without_its_password() -> None:
    password = secrets.token_hex(8)
    place = f"postgresql+psycopg://ann:{password}@127.0.0.1:{free_port()}/cars"
    with opened(place) as store, pytest.raises(UnavailableError) as caught:
        store.add([sold(1.0, "a")], NOW)
    told = str(caught.value)
    assert re.search(
        r"ann:\*\*\*@127\.0\.0\.1:\d+/cars does not do what was asked: .*refused", told
    )
    assert password not in told
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("s3://bucket/outcomes", "at s3://bucket/outcomes: no such database is known; write a"),
        ("nodb://ann:<pw>@host/x", r"at nodb://ann:\*\*\*@host/x: no such database is known"),
        ("postgresql://host:port/x", "it is no SQLAlchemy URL"),
        ("oracle://ann:<pw>@host/x", r"oracle://ann:\*\*\*@host/x need the database driver"),
        (__file__, "it is a file; name a folder"),
    ],
)
def test_what_is_no_place_for_outcomes_is_refused(place: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        OutcomeStore(place)
    assert "<pw>" not in str(caught.value)


def test_a_listing_is_kept_by_its_fields_and_own_columns() -> None:
    own = ("category:steering", "flag:accident")
    listing = {**RIO, "accident": True, "features": "Bluetooth,AlloyWheels", "color": ""}
    form = form_of(own).model_validate(
        {"listing": listing, "soldPrice": 70, "soldOn": "2025-06-14", "kind": "offered"}
    )
    kept = form.outcome(own)
    assert kept.listing == {
        **RIO,
        "features": ["AlloyWheels", "Bluetooth"],
        "flag:accident": "yes",
    }
    assert (kept.kind, kept.sold_price, kept.quote_id) == (Kind.OFFERED, 70.0, "")
    assert kept.subject.startswith("car:")
    assert kept.subject == Outcome(Kind.SOLD, 1.0, DAY, "", dict(kept.listing)).subject
