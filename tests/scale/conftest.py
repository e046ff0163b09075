"""Two Dask workers of this machine: for all tests of this folder, or for one that kills them."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carprice.arrays import Progress
from carprice.sample.market import generate


@contextmanager
def started() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="dask is not installed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        memory_limit="1.5GB",
        dashboard_address="127.0.0.1:0",
        silence_logs=60,
    ) as cluster:
        cluster.wait_for_workers(2, timeout=120)
        yield cluster


@pytest.fixture(scope="session")
def lasting_cluster() -> Iterator[Any]:
    with started() as cluster:
        yield cluster


@pytest.fixture
def dask_cluster(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The cluster of all tests; a test that kills has its own, for a worker may not come back."""
    if {"killing", "killing_during"}.isdisjoint(request.fixturenames):
        yield request.getfixturevalue("lasting_cluster")
        return
    with started() as cluster:
        yield cluster


@pytest.fixture
def scheduler(dask_cluster: Any) -> str:
    """The address of the scheduler."""
    return str(dask_cluster.scheduler_address)


@pytest.fixture
def killing(dask_cluster: Any) -> Iterator[Callable[[str], Progress]]:
    """Return what kills a worker's process, once, when the progress tells something."""
    left = [next(iter(dask_cluster.workers.values()))]

    def when(told: str) -> Progress:
        def progress(text: str) -> None:
            if left and told in text:
                os.kill(left.pop().pid, signal.SIGKILL)

        return progress

    yield when
    assert not left


@pytest.fixture(scope="session")
def sales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample in six files, of which the last repeats rows of the others."""
    folder = tmp_path_factory.mktemp("sales")
    cars = generate(2400, 3)
    for place in range(5):
        part = cars.iloc[place * 480 : (place + 1) * 480]
        part.to_csv(folder / f"cars-{place}.csv", index=False)
    again = pd.concat([cars.iloc[100:160], cars.iloc[900:930], cars.iloc[2300:2310]])
    again.to_csv(folder / "cars-5.csv", index=False)
    return folder
