"""A model that is trained on two Dask workers is that of one machine, also where one is lost."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
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
def killing_during(dask_cluster: Any, killing: Any) -> KillingDuring:
    """Return what kills a worker that is at a task of some functions, once for each of them."""
    there = dask_cluster.scheduler.workers

    def kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for worker in [*there.values()]:
                if any(task.key.startswith("_call") for task in [*worker.processing]):
                    os.kill(dask_cluster.workers[worker.name].pid, signal.SIGKILL)
                    return

    def during(each: Each, *names: str) -> Each:
        left = [*names]

        def kills(function: Any, items: Iterable[Any], *shared: Any) -> Iterator[Any]:
            if function.__name__ not in left:
                yield from each(function, items, *shared)
                return
            left.remove(function.__name__)
            before, killer = {*there}, threading.Thread(target=kill)
            killer.start()
            yield from each(function, items, *shared)
            killer.join()
            assert {*there} != before

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


def test_a_cluster_without_workers_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="dask is not installed")
    monkeypatch.setattr(clusters, "_SECONDS_ALONE", 0.1)
    monkeypatch.setattr(clusters, "_SECONDS_BETWEEN", 0.1)

    def lose_all() -> None:
        with opened(ComputeSettings(cluster=workers.scheduler_address)) as cluster:
            assert cluster.each is not None
            assert [*cluster.each(abs, [-1, -2])] == [1, 2]
            workers.scale(0)
            for _ in cluster.each(abs, range(-1000, 0)):
                time.sleep(0.01)

    with distributed.LocalCluster(
        n_workers=1,
        processes=False,
        protocol="tcp://",
        dashboard_address="127.0.0.1:0",
        silence_logs=60,
    ) as workers:
        workers.wait_for_workers(1, timeout=60)
        with pytest.raises(RefusedError, match=r"had no worker for 0\.1 seconds; start some"):
            lose_all()
