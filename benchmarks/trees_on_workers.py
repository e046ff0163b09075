"""Trees on two Dask workers: as one task, and by ``xgboost.dask``, which shares the rows out.

Tells whether both give the trees of one machine, what they cost, and what becomes of them when a
worker is killed meanwhile. Made data: 60 columns, of which three matter.
"""

import argparse
import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import xgboost

COLUMNS: Final = 60
TREES: Final = 150
TEST_ROWS: Final = 10_000
SECONDS_TO_KILL: Final = 3.0
MOST_SECONDS: Final = 180
"""Trees that take longer, after a worker was killed, are taken for never."""
PARAMETERS: Final = {
    "max_depth": 7,
    "learning_rate": 0.08,
    "subsample": 0.7,
    "colsample_bytree": 0.5,
    "min_child_weight": 5,
    "base_score": 0.0,
    "seed": 1,
    "tree_method": "hist",
    "nthread": 1,
    "monotone_constraints": (-1, *[0] * (COLUMNS - 1)),
}


def made(rows: int) -> tuple[Any, Any, Any]:
    """Return columns, a target and weights of so many rows."""
    random = np.random.default_rng(0)
    columns = random.normal(size=(rows, COLUMNS)).astype(np.float32)
    columns[:, COLUMNS // 2 :] = columns[:, COLUMNS // 2 :] > 1
    target = 0.3 * columns[:, 0] + np.sin(columns[:, 1]) * columns[:, -1]
    return columns, target + random.normal(size=rows) / 10, random.random(rows)


def fit(columns: Any, target: Any, weights: Any) -> xgboost.Booster:
    """Fit trees in this process."""
    data = xgboost.QuantileDMatrix(columns, target, weight=weights)
    return xgboost.train(PARAMETERS, data, TREES)


def fit_at_once(client: Any, columns: Any, target: Any, weights: Any) -> xgboost.Booster:
    """Fit trees by ``xgboost.dask``, half of the rows on each worker."""
    from dask import array  # noqa: PLC0415 (of the extra scale)
    from xgboost import dask  # noqa: PLC0415
    from xgboost.collective import Config  # noqa: PLC0415

    half = -(-len(target) // 2)
    parted: Callable[..., Any] = array.from_array
    data = dask.DaskQuantileDMatrix(
        client,
        parted(columns, chunks=(half, COLUMNS)),
        parted(target, chunks=half),
        weight=parted(weights, chunks=half),
    )
    patient = Config(retry=1, timeout=20)
    found = dask.train(client, PARAMETERS, data, num_boost_round=TREES, coll_cfg=patient)
    booster: xgboost.Booster = found["booster"]
    return booster


def kill_one_at_work(cluster: Any) -> None:
    """Kill the process of a worker that has a task."""
    at_work = [one for one in cluster.scheduler.workers.values() if one.processing]
    for one in at_work[:1]:
        os.kill(cluster.workers[one.name].pid, signal.SIGKILL)


def told(line: str) -> None:
    """Print a line now."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run from the command line."""
    from distributed import Client, LocalCluster  # noqa: PLC0415 (of the extra scale)

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000)
    rows = parser.parse_args().rows
    columns, target, weights = (one[:rows] for one in made(rows + TEST_ROWS))
    others, truth, _ = (one[rows:] for one in made(rows + TEST_ROWS))
    test = xgboost.DMatrix(others)

    def tell(name: str, trees: xgboost.Booster, seconds: float) -> Any:
        digest = hashlib.sha256(bytes(trees.save_raw("ubj"))).hexdigest()[:8]
        predicted = trees.predict(test)
        error = float(np.sqrt(np.mean((predicted - truth) ** 2)))
        told(f"{name}: {digest}, test RMSE {error:.5f}, {seconds:.1f} CPU s")
        return predicted

    before = time.process_time()
    one = tell("one machine", fit(columns, target, weights), time.process_time() - before)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=60
        ) as cluster,
        Client(cluster) as client,
    ):
        ways: dict[str, Callable[[], xgboost.Booster]] = {
            "one task": lambda: client.submit(fit, columns, target, weights, pure=False).result(),
            "xgboost.dask": lambda: fit_at_once(client, columns, target, weights),
        }
        for name, way in ways.items():
            client.wait_for_workers(2)
            before = sum(client.run(time.process_time).values())
            trees = way()
            spent = sum(client.run(time.process_time).values()) - before
            apart = np.abs(tell(name, trees, spent) - one)
            told(f"  from one machine's: {apart.mean():.4f} on average, {apart.max():.4f} at most")
        for name, way in ways.items():
            client.wait_for_workers(2)
            killer = threading.Timer(SECONDS_TO_KILL, kill_one_at_work, (cluster,))
            killer.start()
            found = ThreadPoolExecutor(1).submit(way)
            try:
                tell(f"{name}, a worker killed", found.result(MOST_SECONDS), 0.0)
            except xgboost.core.XGBoostError as error:
                told(f"{name}, a worker killed: XGBoostError: {str(error).splitlines()[0]}")
            except TimeoutError:
                told(f"{name}, a worker killed: nothing within {MOST_SECONDS} seconds")
                os._exit(0)  # the thread waits for ever
            killer.join()


if __name__ == "__main__":
    main()
