"""A model that is trained on two Dask workers is that of one machine, also where one is lost."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carprice.arrays import Each, quiet
from carprice.components import cluster as clusters
from carprice.components.cluster import Cluster, opened
from carprice.components.ingest import ingest
from carprice.components.transform import transform
from carprice.components.workspace import Workspace, read_json
from carprice.errors import RefusedError
from carprice.listings.frames import read_features
from carprice.listings.market import Market
from carprice.model import PriceModel, hedonic_fit, price_model
from carprice.model.blocks import BLOCKS
from carprice.settings import ComputeSettings, TrainSettings, load_settings
from carprice.threads import beside

ROOT = Path(__file__).parents[2]
ROWS = 300
SETTINGS = TrainSettings.model_validate(
    {
        "folds": 3,
        "hedonic": {"scales": {block.name: block.scale for block in BLOCKS}},
        "booster": {"n_estimators": 20, "max_depth": 3, "learning_rate": 0.1},
    }
)
KillingDuring = Callable[..., Each]


@pytest.fixture
def on_workers(scheduler: str) -> Iterator[Cluster]:
    with opened(ComputeSettings(cluster=scheduler)) as cluster:
        yield cluster


@pytest.fixture
def killing_during(tmp_path: Path) -> KillingDuring:
    """Return what has a task of some functions kill its worker, once for each of them."""

    def during(each: Each, *names: str) -> Each:
        def kills(function: Any, items: Iterable[Any], *shared: Any) -> Iterator[Any]:
            killed = tmp_path / function.__name__

            def kill_first(*given: Any) -> Any:
                """Kill the worker that is the first to come here."""
                with contextlib.suppress(FileExistsError):
                    killed.touch(exist_ok=False)
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*given)

            if function.__name__ not in names or killed.exists():
                return each(function, items, *shared)
            return each(kill_first, items, *shared)

        return kills

    return during


def trained(workspace: Workspace, folder: Path, each: Each | None) -> tuple[str, PriceModel]:
    """Fit a model to some rows; return its digest, too."""
    features, log_price = read_features(workspace.train_features)
    some = np.arange(ROWS)
    market = Market.from_json(read_json(workspace.market, made_by="ingest"))
    model = PriceModel.fit(
        features.take(some), log_price[some], market, SETTINGS, quiet, None, each
    )
    return model.save(folder), model


def few_at_a_time(patch: pytest.MonkeyPatch) -> None:
    """Have some hundred rows go the way of many."""
    for name, rows in (("_CHUNK_ROWS", 150), ("_MANY_ROWS", 70), ("_DRAFT_ROWS", 200)):
        patch.setattr(hedonic_fit, name, rows)
    limits = ("_CALIBRATION_ROWS", 80), ("_MOST_CROSS_FITTED", 200), ("_TREE_ROWS", 240)
    for name, rows in limits:
        patch.setattr(price_model, name, rows)


def test_a_model_of_many_rows_is_that_of_one_machine_though_workers_are_killed(
    finished: Any,
    on_workers: Cluster,
    killing_during: KillingDuring,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    few_at_a_time(monkeypatch)
    assert on_workers.each is not None
    each = killing_during(on_workers.each, "sums_of", "fit_beside")
    there, model = trained(finished[0], tmp_path / "there", each)
    here, one = trained(finished[0], tmp_path / "here", None)
    assert model.hedonic.coefficients == one.hedonic.coefficients
    assert there == here
    assert {"sums_of", "fit_beside"} <= {path.name for path in tmp_path.iterdir()}  # were killed


def test_a_model_of_few_rows_is_that_of_one_machine(
    finished: Any, on_workers: Cluster, tmp_path: Path
) -> None:
    there, _ = trained(finished[0], tmp_path / "there", on_workers.each)
    here, _ = trained(finished[0], tmp_path / "here", None)
    assert there == here


def test_a_model_of_real_listings_is_that_of_one_machine(
    real_data: Path, on_workers: Cluster, tmp_path: Path
) -> None:
    example = load_settings(ROOT / "examples" / "cardekho.yaml").ingest
    source = str(real_data / "cardekho" / "car_details_v3.csv")
    workspace = Workspace(tmp_path)
    ingest(example.model_copy(update={"source": source}), workspace, quiet)
    transform(workspace)
    there, _ = trained(workspace, tmp_path / "there", on_workers.each)
    here, _ = trained(workspace, tmp_path / "here", None)
    assert there == here


class Clock:
    """The seconds of those who watch a cluster."""

    def __init__(self) -> None:
        self.now, self.asked = 0.0, 0

    def monotonic(self) -> float:
        self.asked += 1
        return self.now

    def goes_on(self, seconds: float) -> None:
        """Go on, and come back when those who watch have seen it."""
        self.now += seconds
        asked = self.asked
        until(lambda: self.asked > asked + 1)


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def one_worker() -> Iterator[Any]:
    """A cluster with one worker, in this process."""
    distributed = pytest.importorskip("distributed", reason="dask is not installed")
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        dashboard_address="127.0.0.1:0",
        silence_logs=60,
    ) as workers:
        workers.wait_for_workers(1, timeout=120)
        yield workers


def test_a_cluster_may_have_no_worker_for_a_minute_while_tasks_wait(
    one_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    there, clock, found = one_worker.scheduler.workers, Clock(), list[int]()
    asks, fails = Client.nthreads, [OSError("no answer")]

    def fails_once(client: Any) -> Any:
        if fails and threading.current_thread() is not threading.main_thread():
            raise fails.pop()
        return asks(client)

    monkeypatch.setattr(Client, "nthreads", fails_once)
    monkeypatch.setattr(clusters, "time", clock)
    monkeypatch.setattr(clusters, "_SECONDS_BETWEEN", 0.01)

    def lose_all() -> None:
        one_worker.scale(0)
        until(lambda: not there)

    def submitted(each: Each, item: int) -> Future[list[int]]:
        until(lambda: not one_worker.scheduler.tasks)
        waits = beside(lambda: [*each(abs, [item])])
        until(lambda: len(one_worker.scheduler.tasks) == 2)  # and what they share
        return waits

    def work() -> None:
        with opened(ComputeSettings(cluster=one_worker.scheduler_address)) as cluster:
            assert cluster.each is not None
            lose_all()
            clock.goes_on(1000)  # with what the command does itself
            waits = submitted(cluster.each, -1)
            clock.goes_on(59)
            one_worker.scale(1)
            found.extend(waits.result())
            found.extend(cluster.each(abs, [-2, -3]))
            lose_all()
            waits = submitted(cluster.each, -4)
            clock.goes_on(61)
            waits.result()

    with pytest.raises(RefusedError, match="had no worker for 60 seconds; start some"):
        work()
    assert found == [1, 2, 3]
    assert not fails


def test_more_workers_have_more_on_their_way(one_worker: Any) -> None:
    taken = list[int]()

    def items() -> Iterator[int]:
        for item in range(12):
            taken.append(item)
            yield -item

    with opened(ComputeSettings(cluster=one_worker.scheduler_address)) as cluster:
        assert cluster.each is not None
        found = cluster.each(abs, items())
        assert next(found) == 0
        assert len(taken) == 2 * 1 + 1
        one_worker.scale(2)
        one_worker.wait_for_workers(2, timeout=120)
        assert next(found) == 1
        assert len(taken) == 1 + 2 * 2 + 1
        assert [*found] == [*range(2, 12)]
