import datetime
import itertools
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from asking import BARE, FULL, wait_until

from carprice.appraisal.deal import value_with_deal
from carprice.listings.own import with_own
from carprice.model import PriceModel
from carprice.monitoring import log_files, prediction_log, records
from carprice.monitoring.journal import Journal, claimed, journals, read_journal
from carprice.monitoring.log_files import Folder, write_file
from carprice.monitoring.log_settings import LogSettings, fields_of
from carprice.monitoring.prediction_log import PredictionLog
from carprice.schema import FIELDS, Listing

Log = Callable[..., "Kept"]
DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC)


class Version7:
    def __init__(self, model: Any) -> None:
        self.model, self.version = model, "7"


class Kept:
    """A log, what it counted, and what became of it."""

    def __init__(self, served: Version7, folder: Path, **settings: Any) -> None:
        self.folder, self.served = folder, served
        self.log = PredictionLog(LogSettings(**{"location": str(folder), **settings}))
        self.dropped: Counter[str] = Counter()
        self.written = 0
        self.most_waiting = 0
        self.log.on_dropped = self._drop
        self.log.on_written = self._write
        self.log.on_waiting = self._wait
        self.unsent: list[int] = []
        self.files = 0
        self.log.on_unsent = self.unsent.append
        self.log.on_file = self._count_file

    def _drop(self, reason: str, count: int) -> None:
        self.dropped[reason] += count

    def _write(self, count: int) -> None:
        self.written += count

    def _wait(self, count: int) -> None:
        self.most_waiting = max(count, self.most_waiting)

    def _count_file(self) -> None:
        self.files += 1

    def put(self, number: int = 0, **more: Any) -> None:
        listing = Listing.model_validate({**FULL, "odometer": 1000 + number})
        valuation = value_with_deal(self.served.model, vars(listing), None)
        arguments = (f"{number:032x}", "/predict", self.served, vars(listing), valuation)
        self.log.put(*arguments, 0.9, 0.25, **more)

    def rows(self) -> list[dict[str, Any]]:
        return rows_of(self.folder)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


@pytest.fixture(scope="module")
def served(finished: Any) -> Version7:
    return Version7(PriceModel.load(finished[0].model))


@pytest.fixture
def log(served: Version7, tmp_path: Path) -> Iterator[Log]:
    """Makes a log in a folder of the test; all of them have ended when it is over."""
    made = []

    def making(**settings: Any) -> Kept:
        made.append(Kept(served, tmp_path / "log", **settings))
        made[-1].log.begin()
        return made[-1]

    yield making
    for one in made:
        one.log.end()


def test_a_row_says_what_was_asked_and_answered(log: Log, served: Version7) -> None:
    kept = log()
    car = {**FULL, "listedOn": "2025-03-01"}
    listing = with_own(Listing, ()).model_validate(car)
    valuation = value_with_deal(served.model, vars(listing), 500_000.0, 0.8)
    asked = {**vars(listing), "asking_price": 500_000.0, "feature_count": 2}
    before = datetime.datetime.now(datetime.UTC)
    kept.log.put("a" * 64, "/appraise", served, asked, valuation, 0.8, 1.23456)
    kept.log.put("b", "/predict", served, asked, None, 0.9, 2, alias="challenger", shadow=True,
                 problem="ValueError" * 99)  # fmt: skip
    kept.log.end()
    first, second = kept.rows()
    assert [*first] == [*records.ANSWER_COLUMNS, *FIELDS]
    assert before <= first.pop(records.ANSWERED_AT) <= datetime.datetime.now(datetime.UTC)
    assert {name: value for name, value in first.items() if value is not None} == {
        records.QUOTE_ID: "a" * 64,
        records.ROUTE: "/appraise",
        records.MODEL_VERSION: "7",
        records.MODEL_DIGEST: served.model.digest,
        records.ALIAS: "production",
        records.SHADOW: False,
        records.CONFIDENCE: 0.8,
        records.PRICE: valuation.predicted_price,
        records.LOW: valuation.price_low,
        records.HIGH: valuation.price_high,
        records.VALUATION_DATE: datetime.date(2025, 3, 1),
        records.CURRENCY: "INR",
        records.CAUTIONS: [f"{one.kind}:{one.field}" for one in valuation.cautions],
        records.ASKING_PRICE: 500_000.0,
        records.LABEL: valuation.deal.label,  # type: ignore[attr-defined]
        records.MILLISECONDS: 1.23456,
        records.PROBLEM: "",
        **{name: value for name, value in vars(listing).items() if value not in (None, "")},
        "features": ["Bluetooth", "Tpms"],
    }
    assert [second[name] for name in (records.ALIAS, records.SHADOW)] == ["challenger", True]
    assert (second[records.PRICE], len(second[records.PROBLEM])) == (None, 100)
    assert kept.written == 2
    assert not kept.dropped


def test_fields_are_left_out_and_own_columns_kept_under_their_names(
    served: Version7, log: Log
) -> None:
    kept = log(without=frozenset({"variant", "features", "number:doors"}))

    class Model:
        digest, market = "d", served.model.market
        own = ("flag:accident", "number:doors")

    listing = with_own(Listing, Model.own)(**BARE, variant="secret", accident=True, doors=5.0)
    kept.put(1)
    wait_until(lambda: kept.written == 1)
    kept.log.put("c", "/predict", Version7(Model), vars(listing), None, 0.9, 0.1)
    kept.log.put("d", "/predict", served, vars(listing), None, 0.9, 0.1)
    kept.log.end()
    by_id = {row[records.QUOTE_ID]: row for row in kept.rows()}
    assert len(by_id) == 3
    assert all(row["variant"] is row["features"] is None for row in by_id.values())
    assert by_id["c"]["flag:accident"] == "yes"
    assert by_id["d"]["flag:accident"] is None
    assert not any("number:doors" in row for row in by_id.values())
    for path in kept.folder.iterdir():
        assert b"secret" not in path.read_bytes()


def test_files_are_finished_by_size_and_time(log: Log) -> None:
    kept = log(bytes=2000, seconds=1000)
    for number in range(10):
        kept.put(number)
        wait_until(lambda: kept.written == number + 1)  # noqa: B023
    wait_until(lambda: len([*kept.folder.glob("*.parquet")]) >= 2)
    kept.log.end()
    # Names of files that were begun within a second sort by chance.
    assert sorted(row["odometer"] for row in kept.rows()) == [1000.0 + one for one in range(10)]
    soon = log(seconds=0.1)
    soon.put(77)
    wait_until(lambda: len(soon.rows()) == 11)
    names = sorted(path.name for path in soon.folder.iterdir())
    assert not [name for name in names if name.startswith(".")]
    assert kept.files + soon.files == len(names)


def test_a_share_of_the_ids_is_kept(served: Version7, log: Log) -> None:
    kept = log(share=0.25)
    ids = [kept.log.new_id() for _ in range(2000)]
    for quote_id, shadow in itertools.product(ids, (False, True)):
        kept.log.put(quote_id, "/predict", served, BARE, None, 0.9, 0.1, shadow=shadow)
    kept.log.end()
    found = Counter(row[records.QUOTE_ID] for row in kept.rows())
    assert set(found.values()) == {2}  # an answer and its shadow, or neither
    assert found.keys() == {one for one in ids if int(one[:16], 16) < 2**62}
    assert 350 < len(found) < 650
    assert not kept.dropped


def test_a_full_queue_drops_and_counts(served: Version7, tmp_path: Path, caplog: Any) -> None:
    kept = Kept(served, tmp_path / "log", most_waiting=10)
    for number in range(100):
        kept.put(number)
    with caplog.at_level(logging.WARNING):
        kept.log.begin()
        kept.log.end()
    assert kept.dropped == {"queue": 90}
    assert (len(kept.rows()), kept.most_waiting) == (10, 10)
    assert len(caplog.messages) == 1
    assert "come faster than they can be written" in caplog.text


def test_a_folder_that_cannot_be_written_loses_rows_and_says_so_once(
    served: Version7, tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_log, "_QUIET_SECONDS", 0.1)
    (tmp_path / "file").write_text("")
    kept = Kept(served, tmp_path / "file" / "log")
    with caplog.at_level(logging.INFO):
        kept.log.begin()
        for number in range(5):
            kept.put(number)
            wait_until(lambda: kept.dropped["disk"] == number + 1)  # noqa: B023
        (tmp_path / "file").unlink()
        kept.put(6)
        wait_until(lambda: kept.written == 1)
        wait_until(lambda: "is whole again; dropped were 5 (disk)" in caplog.text)
        kept.log.end()
    assert [row["odometer"] for row in kept.rows()] == [1006.0]
    assert len([text for text in caplog.messages if "are dropped" in text]) == 1


def test_a_journal_that_was_deleted_is_counted_and_begun_again(log: Log) -> None:
    kept = log()
    for number in range(3):
        kept.put(number)
    wait_until(lambda: kept.written == 3)
    shutil.rmtree(kept.folder)
    kept.put(4)
    wait_until(lambda: kept.written == 4)
    kept.log.end()
    assert kept.dropped == {"gone": 3}
    assert [row["odometer"] for row in kept.rows()] == [1004.0]


def test_a_text_that_is_no_unicode_costs_its_own_row_alone(served: Version7, log: Log) -> None:
    kept = log()
    kept.log.put("a", "/predict", served, {**BARE, "make": "\ud800"}, None, 0.9, 0.1)
    kept.put(1)
    kept.log.end()
    assert kept.dropped == {"damaged": 1}
    assert len(kept.rows()) == 1


def a_listing(random: Random, odd: bool) -> dict[str, Any]:
    """Return a listing with all fields, each of which is often missing."""
    words = ["Swift", "null", "true", "12", "", " VXi, 1.2 ", "C'était", "車", "a],[b", "#", "1e5"]
    words += ['5.0" screen', "a\\b", "a\nb", "a\tb", "[", "\x7f", "\0", "\u2028"] if odd else []

    def maybe(value: Any) -> Any:
        return value if random.random() < 0.7 else None

    numbers = (0.0, 1e-7, 1e12, 0.1 + 0.2, float(random.randrange(10**6)), random.random() * 1e5)
    values = {name: maybe(random.choice(words)) for name in FIELDS}
    for name, field in Listing.model_fields.items():
        if "float" in str(field.annotation):
            values[name] = maybe(random.choice(numbers))
    names = [random.choice(words) for _ in range(random.randrange(4))]
    values |= {"year": random.randrange(1900, 2100), "ownership": maybe(random.randrange(21))}
    values |= {"features": maybe((*names,)), "listed_on": maybe(datetime.date(2025, 3, 1))}
    return values | {"accident": maybe(random.choice(("yes", "no"))), "doors": maybe(5.0)}


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("in_one_go", [True, False])
def test_rows_are_kept_to_the_value(
    log: Log, served: Version7, odd: bool, in_one_go: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, ways = Random(1), Counter[str]()  # noqa: S311

    def reading(way: str, read: Callable[..., Any], *given: Any) -> Any:
        if way == "_plain" and not in_one_go:
            raise ValueError
        table = read(*given)
        ways[way] += table.num_rows
        return table

    for way in ("_plain", "_parsed"):
        monkeypatch.setattr(log_files, way, partial(reading, way, getattr(log_files, way)))

    class Model:
        digest, market, own = "d", served.model.market, ("flag:accident", "number:doors")

    kept, listings = log(), {f"{one:032x}": a_listing(random, odd) for one in range(300)}
    for quote_id, listing in listings.items():
        kept.log.put(quote_id, "/predict", Version7(Model), listing, None, 0.9, 0.1)
    kept.log.end()
    found = {row[records.QUOTE_ID]: row for row in kept.rows()}
    assert found.keys() == listings.keys()
    for quote_id, listing in listings.items():
        expected = {
            **listing,
            "flag:accident": listing["accident"],
            "number:doors": listing["doors"],
        }
        expected["features"] = None if listing["features"] is None else [*listing["features"]]
        assert {name: found[quote_id][name] for name in (*FIELDS, *Model.own)} == {
            name: expected[name] for name in (*FIELDS, *Model.own)
        }
    assert sum(ways.values()) == 300
    assert (ways["_plain"] > 0) == in_one_go
    assert (ways["_parsed"] > 0) == (odd or not in_one_go)


def test_a_quote_in_what_rows_have_in_common_is_kept(log: Log) -> None:
    class Model:
        digest, market, own = "d", SimpleNamespace(currency='R"$'), ()

    kept = log()
    kept.log.put("a", "/predict", Version7(Model), BARE, None, 0.9, 0.1)
    kept.log.end()
    assert [row[records.CURRENCY] for row in kept.rows()] == ['R"$']
    assert not kept.dropped


def test_a_journal_that_cannot_be_closed_costs_counted_rows_alone(
    served: Version7, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(served, tmp_path / "log")
    kept.put(1)
    kept.log._turn(is_last=False)

    class Model:
        digest, market, own = "d", served.model.market, ("flag:accident",)

    kept.log.put("a", "/predict", Version7(Model), BARE, None, 0.9, 0.1)
    kept.put(2)
    close = Journal.close

    def failing(journal: Journal) -> None:
        close(journal)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Journal, "close", failing)
    kept.log._turn(is_last=False)  # begins a journal for each of them
    monkeypatch.undo()
    assert kept.log._lines == 0
    kept.log.begin()
    kept.log.end()
    assert kept.dropped == {"disk": 3 - kept.written}
    assert len(kept.rows()) == kept.written >= 1


def test_the_last_turn_waits_for_rows_in_another_threads_hands(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, is_held, may_go, put = log(), threading.Event(), threading.Event(), Counter[str]()
    lines_of = prediction_log._Form.lines_of

    def held(*given: Any) -> Any:
        if threading.current_thread() is shadow:
            is_held.set()
            may_go.wait(60)
        return lines_of(*given)

    def answering() -> None:
        while not is_held.is_set():
            kept.put()
            put["shadow"] += 1

    shadow = threading.Thread(target=answering)
    monkeypatch.setattr(prediction_log._Form, "lines_of", held)
    shadow.start()
    assert is_held.wait(60)
    for _ in range(50):
        kept.put(1)
    assert len(kept.log._new) == 50  # nobody who answers waits for the other thread
    kept.log.end(0.3)
    may_go.set()
    shadow.join()
    kept.log.end(60)
    assert len(kept.rows()) == kept.written == put["shadow"] + 50
    assert not kept.dropped


WRITER = """
import os, signal, sys
from carprice.monitoring.journal import Journal
from pathlib import Path
journal = Journal(Path(sys.argv[1]), ("flag:accident",))
for number in range(100):
    journal.append(b'{"quote_id": "%d", "year": 2019, "flag:accident": "no"}\\n' % number, 1)
os.write(journal._file, b'{"quote_id": "torn')
print("ready", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_left_is_recovered_once_and_a_living_ones_left_alone(
    log: Log, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    command = [sys.executable, "-c", WRITER, str(folder)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as killed, subprocess.Popen(command, **pipes) as alive:
        for process in (killed, alive):
            assert process.stdout.readline() == b"ready\n"
        killed.kill()
        killed.wait()
        kept = [log(), log()]
        wait_until(lambda: len(rows_of(folder)) == 100)
        for one in kept:
            one.log.end()
        assert sum(one.dropped["damaged"] for one in kept) == 1
        assert len(journals(folder)) == 1
        (path,) = journals(folder)
        with claimed(path) as is_ours:
            assert not is_ours
        alive.communicate()
    assert {row["flag:accident"] for row in rows_of(folder)} == {"no"}
    last = log()
    wait_until(lambda: len(rows_of(folder)) == 200)
    last.log.end()
    assert [path.suffix for path in folder.iterdir()] == [".parquet"] * 2


def test_to_make_a_file_again_gives_no_row_twice(served: Version7, tmp_path: Path) -> None:
    kept = Kept(served, tmp_path)
    kept.put(1)
    kept.log._turn(is_last=True)
    ((path, name),) = journals(tmp_path).items()
    for _ in range(2):  # a process that is killed between the file and the end of its journal
        assert write_file(path, tmp_path / name) == (1, 0)
    kept.log.begin()
    kept.log.end()
    assert len(kept.rows()) == 1
    assert not journals(tmp_path)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("jsonl", [{"own": ["flag:accident"]}, {"quote_id": "a", "year": 2019}]),
        ("rows", [{"own": [], "columns": ["year", "gone", "quote_id"]}, [2019, True, "a"]]),
    ],
)
def test_journals_of_other_versions_are_read(
    log: Log, tmp_path: Path, suffix: str, content: list[Any]
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    path = folder / f".predictions-20200101T000000Z-{0:016x}.{suffix}"
    path.write_text("".join(json.dumps(line) + "\n" for line in content))
    kept = log(days=0)
    kept.log.end()
    (row,) = kept.rows()
    assert {name: value for name, value in row.items() if value is not None} == {
        records.QUOTE_ID: "a",
        "year": 2019,
    }
    assert not kept.dropped
    assert not path.exists()


@pytest.mark.parametrize(
    ("damage", "rows", "lost"),
    [
        (lambda head, rows: [head, *rows[:2], rows[2][:-30]], 2, 1),
        (lambda head, rows: [head, rows[0].replace(b",2018,", b',"x",'), *rows[1:]], 2, 1),
        (lambda head, rows: [head, b"\0" + rows[0][1:], *rows[1:]], 2, 1),
        (lambda head, rows: [head, *rows, b"\0" * 4096], 3, 1),
        (lambda head, rows: [head[:-3]], 0, 0),
        (lambda head, rows: [], 0, 0),
        (lambda head, rows: [b"[]", *rows], 3, 0),
        (lambda head, rows: [b'{"own": ["a:b"]}', *rows], 3, 0),
        (lambda head, rows: [head, b"[]", *rows], 3, 1),
    ],
)
def test_a_damaged_journal_loses_no_whole_row(
    served: Version7, tmp_path: Path, damage: Callable[..., list[bytes]], rows: int, lost: int
) -> None:
    kept = Kept(served, tmp_path)
    for number in range(3):
        kept.put(number)
    kept.log._turn(is_last=True)
    (path,) = journals(tmp_path)
    head, *lines, _ = path.read_bytes().split(b"\n")
    damaged = damage(head, lines)
    end = b"\n" if damaged[-1:] == lines[-1:] else b""
    path.write_bytes(b"\n".join(damaged) + end)
    kept.log.begin()
    kept.log.end()
    assert len(kept.rows()) == rows
    assert kept.dropped["damaged"] == lost


@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize("is_tail", [True, False])
def test_a_damaged_line_is_counted_and_changes_no_other(
    served: Version7, tmp_path: Path, is_tail: bool, end: bytes
) -> None:
    kept = Kept(served, tmp_path)
    for number in range(6):
        kept.put(number)
    kept.log._turn(is_last=True)
    ((path, _),) = journals(tmp_path).items()
    head, *lines = path.read_bytes().splitlines(keepends=True)
    whole = {row[records.QUOTE_ID]: row for row in as_read(path)[0]}
    assert len(whole) == 6
    length, damaged = len(lines[2]) - 1, [*lines]
    for place in (*range(1, 12), *range(12, length, 5), *range(length - 4, length)):
        cut = lines[2][place:-1] if is_tail else lines[2][:place]
        damaged[2] = cut + end
        path.write_bytes(b"".join([head, *damaged]))
        rows, lost = as_read(path)
        assert all(row == whole[row[records.QUOTE_ID]] for row in rows), cut
        assert (len(rows), lost) == ((5, 1) if end else (4, 1)), cut


def as_read(journal: Path) -> tuple[list[dict[str, Any]], int]:
    table, lost = log_files._table(read_journal(journal))
    return table.to_pylist(), lost


def test_old_files_go_and_others_stay(tmp_path: Path, log: Log) -> None:
    def named(day: datetime.datetime, number: int = 0) -> str:
        return f"predictions-{day:%Y%m%dT%H%M%SZ}-{number:016x}.parquet"

    folder = tmp_path / "log"
    folder.mkdir()
    old, new = named(NOW - 31 * DAY), named(NOW - 29 * DAY)
    others = ["predictions-20000101T000000Z.parquet", "mine.parquet", "outcomes.db"]
    for name in (old, new, *others):
        (folder / name).touch()
    kept = log(days=30)
    wait_until(lambda: not (folder / old).exists())
    kept.log.end()
    assert {path.name for path in folder.iterdir()} == {new, *others}
    Folder(folder).forget(DAY)
    assert {path.name for path in folder.iterdir()} == {*others}


def test_a_clock_that_is_years_ahead_deletes_nothing(tmp_path: Path) -> None:
    name = f"predictions-{NOW - 40 * DAY:%Y%m%dT%H%M%SZ}-{0:016x}.parquet"
    path = tmp_path / name
    path.touch()
    written = (NOW - 40 * DAY).timestamp()
    os.utime(path, (written, written))
    with pytest.raises(ValueError, match="more than 15 days ago; is it right"):
        Folder(tmp_path).forget(30 * DAY)
    (tmp_path / f"predictions-{NOW:%Y%m%dT%H%M%SZ}-{0:016x}.parquet").touch()
    Folder(tmp_path).forget(30 * DAY)
    assert not path.exists()


def refusing(*_: object) -> None:
    raise OSError(13, "Access Denied")


def test_a_log_that_may_not_delete_is_told_once_and_keeps_on(
    log: Log, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Folder, "forget", refusing)
    with caplog.at_level(logging.INFO):
        kept = log(seconds=0.1)
        for number in range(3):
            kept.put(number)
            wait_until(lambda: len(kept.rows()) == number + 1)  # noqa: B023
        kept.log.end()
    (told,) = caplog.messages
    assert told.startswith("Old files of the prediction log are not deleted (Access Denied)")


def test_one_journal_that_cannot_be_read_holds_up_no_other(
    log: Log, tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    broken = folder / f".predictions-20200101T000000Z-{0:016x}.jsonl"
    broken.mkdir()  # nobody, not even root, can read it
    old = folder / f"predictions-20200101T000000Z-{1:016x}.parquet"
    old.touch()
    kept = log(days=30, seconds=0.1)
    kept.put(1)
    wait_until(lambda: not old.exists() and len(kept.rows()) == 1)
    kept.log.end(0.5)
    assert kept.unsent[-1] == broken.stat().st_size
    assert kept.files == 1
    assert [text for text in caplog.messages if "cannot be finished" in text] == [
        "Files of the prediction log cannot be finished (Is a directory); their rows are kept, and "
        "it is tried again"
    ]
    assert broken.exists()


class Store:
    """Takes files, except those of which it says no."""

    def __init__(self, refuses: Callable[[Path], bool]) -> None:
        self.refuses, self.asked, self.taken = refuses, 0, set[str]()

    def deliver(self, path: Path) -> None:
        self.asked += 1
        if self.refuses(path):
            raise OSError("refused")
        path.unlink()
        self.taken.add(path.name)

    def forget(self, _: datetime.timedelta) -> None:
        pass


def spooled(served: Version7, folder: Path, refuses: Callable[[Path], bool]) -> tuple[Kept, Store]:
    """Return a log in S3 that has not begun, and ten files that wait for it."""
    kept = Kept(served, folder, location="s3://bucket/log", spool=folder)
    kept.log._store = store = Store(refuses)  # type: ignore[assignment]
    folder.mkdir()
    for number in range(10):
        (folder / f"predictions-20250101T000000Z-{number:016x}.parquet").write_bytes(b"12345")
    return kept, store


def test_files_that_s3_refuses_hold_up_no_others(served: Version7, tmp_path: Path) -> None:
    kept, store = spooled(served, tmp_path / "log", lambda path: path.stem[-1] < "3")
    assert str(kept.log._sweep()) == "refused"
    assert (store.asked, len(store.taken)) == (3, 0)  # it seems to be away
    assert str(kept.log._sweep()) == "refused"
    assert len(store.taken) == kept.files == 7
    assert kept.unsent == [50, 15]
    store.refuses = lambda _: False
    assert kept.log._sweep() is None
    assert not [*kept.folder.iterdir()]


def test_two_workers_with_one_spool_get_not_in_each_others_way(
    served: Version7, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, store = spooled(served, tmp_path / "log", lambda _: False)
    found = sorted(kept.folder.iterdir())
    monkeypatch.setattr(Path, "glob", lambda *_: iter(found))
    for path in found[:4]:  # the other one has just sent them
        path.unlink()
    assert kept.log._sweep() is None
    assert len(store.taken) == 6


def test_at_the_end_it_is_tried_until_time_is_up(served: Version7, tmp_path: Path) -> None:
    kept, store = spooled(served, tmp_path / "log", lambda _: store.asked < 8)
    kept.log.begin()
    kept.put(1)
    kept.log.end()
    assert len(store.taken) == 11
    assert not [*kept.folder.iterdir()]


def test_a_model_that_was_replaced_is_not_kept(served: Version7, tmp_path: Path) -> None:
    kept = Kept(served, tmp_path / "log")
    versions = [Version7(served.model) for _ in range(3)]
    for number, one in enumerate(versions):  # as the keeper makes them, one at each poll
        one.version = str(number % 2)
        kept.log.put("a", "/predict", one, BARE, None, 0.9, 0.1)
    kept.log._turn(is_last=True)
    assert len(kept.log._forms) == 2
    gone = [weakref.ref(one) for one in versions]
    del one, versions
    assert [found() for found in gone] == [None] * 3


def test_confidences_of_clients_take_no_more_and_more_room(
    served: Version7, tmp_path: Path
) -> None:
    kept = Kept(served, tmp_path / "log")
    for number in range(500):
        kept.log.put("a", "/predict", served, BARE, None, number / 1000, 0.1)
    kept.log._turn(is_last=True)
    assert len(kept.log._forms) <= 200
    kept.log.begin()
    kept.log.end()
    assert [row[records.CONFIDENCE] for row in kept.rows()] == [one / 1000 for one in range(500)]


def test_a_misspelt_own_column_is_told_once(served: Version7, tmp_path: Path, caplog: Any) -> None:
    kept = Kept(served, tmp_path / "log", without=fields_of("color,flag:acident,askingPrice"))

    class Model:
        own = ("flag:accident", "number:doors")

    for _ in range(2):
        kept.log.check(Version7(Model))
    assert caplog.messages == [
        "CARPRICE_PREDICTION_LOG_WITHOUT names flag:acident, which no column of the model of "
        "version 7 is called; its own columns are flag:accident, number:doors: what is misspelt is "
        "kept"
    ]
    Kept(served, tmp_path, without=fields_of("flag:accident, color")).log.check(Version7(Model))
    assert len(caplog.messages) == 1


def test_the_asking_price_can_be_left_out(served: Version7, log: Log) -> None:
    kept = log(without=fields_of("askingPrice"))
    asked = {**BARE, "asking_price": 123_456.0}
    kept.log.put("a", "/predict", served, asked, None, 0.9, 0.1)
    kept.log.end()
    assert [row[records.ASKING_PRICE] for row in kept.rows()] == [None]


def test_files_are_of_their_user_alone(log: Log, tmp_path: Path) -> None:
    def modes(path: Path) -> set[str]:
        return {f"{one.stat().st_mode & 0o777:o}" for one in (path, *path.iterdir())}

    before = os.umask(0o022)
    try:
        kept = log(seconds=0.1)
        kept.put(1)
        wait_until(lambda: kept.rows() != [])
        kept.log.end()
    finally:
        os.umask(before)
    assert modes(kept.folder) == {"600", "700"}
    (tmp_path / "log").chmod(0o750)
    again = log()
    again.put(2)
    again.log.end()
    assert modes(kept.folder) == {"600", "750"}


def test_the_commands_of_the_docs_read_a_log_with_outcomes_beside_it(
    log: Log, tmp_path: Path, served: Version7
) -> None:
    for own in ((), ("flag:accident",)):  # two files, whose columns are not the same
        kept = log()

        class Model:
            digest, market = f"d{own}", served.model.market

        Model.own = own
        listing = with_own(Listing, own)(**BARE)
        kept.log.put("a", "/predict", Version7(Model), vars(listing), None, 0.9, 0.1)
        kept.log.end()
    kept.folder.rename(tmp_path / "predictions")
    (tmp_path / "predictions" / "outcomes.db").write_bytes(b"SQLite format 3")
    docs = Path(__file__).parents[2] / "docs" / "prediction-log.md"
    (command,) = re.findall(r'^python -c "(.*)"$', docs.read_text(encoding="utf-8"), re.MULTILINE)
    done = subprocess.run([sys.executable, "-c", command], cwd=tmp_path, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert "[2 rows x" in done.stdout
    if find_spec("duckdb") is None:  # no dependency of ours
        return
    import duckdb

    (query,) = re.findall(r'^duckdb -c "(.*)"$', docs.read_text(encoding="utf-8"), re.MULTILINE)
    query = query.replace("predictions/", f"{tmp_path}/predictions/")
    assert [row[1] for row in duckdb.sql(query).fetchall()] == [2]
