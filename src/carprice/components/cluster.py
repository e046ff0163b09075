"""Where tasks run: in this process, or on a Dask cluster of this machine or of others.

A cluster has a bounded number of tasks, see :class:`carprice.arrays.Each`. Dask runs a task of a
lost worker again on another.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import logging
import secrets
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

import carprice
from carprice.arrays import Columns, Each
from carprice.errors import RefusedError
from carprice.model import PriceModel, Prices
from carprice.settings import ComputeSettings

T = TypeVar("T")
R = TypeVar("R")
_SECONDS: Final = 10
_SECONDS_ALONE: Final = 60
"""So long may tasks wait for a worker; one that is lost is started again in less."""
_SECONDS_BETWEEN: Final = 2.0
_WAITING: Final = {"pending", "lost"}
_WARNED_OF: Final = "distributed.admin.large-graph-warning-threshold"
_ROWS: Final = 20_000
_REMEDY: Final = "install the same carprice on all workers"
_MODELS: dict[str, Callable[[], PriceModel]] = {}
"""How a process has the models that were shared with it."""

Share = Callable[[PriceModel], str]


class Cluster:
    """What runs tasks.

    Attributes
    ----------
    share : lets the tasks have a model, and returns what :func:`model_of` is to be asked for.
    each : what makes something of many items on a cluster's workers; None where it is this process.
    """

    def __init__(self, share: Share, each: Each | None = None) -> None:
        """Use this process, or a cluster; see :func:`opened`."""
        self.share, self.each = share, each

    def predictor(self, model: PriceModel) -> Callable[[Columns, float], Prices]:
        """Return what prices listings by a model as the model itself does, on the workers."""
        if self.each is None:
            return model.predict
        each, name = self.each, self.share(model)

        def predict(columns: Columns, confidence: float) -> Prices:
            rows = len(next(iter(columns.values())))
            some = (
                {field: values[at : at + _ROWS] for field, values in columns.items()}
                for at in range(0, max(rows, 1), _ROWS)
            )
            parts = [vars(one).values() for one in each(_prices, some, name, confidence)]
            return Prices(*map(np.concatenate, zip(*parts, strict=True)))

        return predict


def _prices(columns: Columns, name: str, confidence: float) -> Prices:
    return model_of(name).predict(columns, confidence)


def model_of(name: str) -> PriceModel:
    """Return a model that was shared with the process of a task."""
    return _MODELS[name]()


@contextlib.contextmanager
def opened(settings: ComputeSettings) -> Iterator[Cluster]:
    """Give what runs tasks, and close it at the end of the block.

    Raises
    ------
    RefusedError
        If a scheduler does not answer or has no worker, a worker has another version of carprice,
        or the block loses the scheduler, all workers, or one after another by the same task.
    """
    if settings.cluster == "local":
        yield Cluster(_keep)
        return
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(_client(settings))
        import dask

        # It warns of what it knows no better place for: arguments that are sent once.
        stack.enter_context(dask.config.set({_WARNED_OF: "1TB"}))
        _refuse_other_versions(client)
        with _losses_told(), _workers_watched(client):
            share, each = functools.partial(_share, stack, client), functools.partial(_each, client)
            yield Cluster(share, each)


@contextlib.contextmanager
def _client(settings: ComputeSettings) -> Iterator[Any]:
    """Give a client, of workers that are started here or of a scheduler that is there."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise RefusedError(
            "a cluster needs Dask: pip install 'carprice[scale]', or set compute.cluster to local"
        ) from None
    for name in [one for one in logging.root.manager.loggerDict if one.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they show the arguments of tasks
    if settings.cluster == "dask":
        with (
            LocalCluster(
                n_workers=settings.workers,
                threads_per_worker=1,
                memory_limit=settings.memory,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    address = settings.cluster
    try:
        client = Client(address, timeout=_SECONDS, set_as_default=False)
    except (OSError, TimeoutError):
        raise RefusedError(
            f"no Dask scheduler answers at {address} within {_SECONDS} seconds; start it (`dask "
            "scheduler`), or correct compute.cluster"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_SECONDS)
        except TimeoutError:
            raise RefusedError(
                f"the Dask scheduler at {address} has no worker; start some: dask worker {address}"
            ) from None
        yield client


def _refuse_other_versions(client: Any) -> None:
    """Raise a RefusedError if a worker runs another carprice than this process."""
    own = importlib.metadata.version("carprice")
    # This function's own module may not be there in another version.
    versions = client.run(importlib.metadata.version, "carprice", on_error="return")
    for worker, found in sorted(versions.items()):
        if isinstance(found, Exception):
            raise RefusedError(f"the worker {worker} has no carprice; {_REMEDY}")
        if found != own:
            raise RefusedError(
                f"the worker {worker} has carprice {found}, and this command {own}; {_REMEDY}"
            )
    code = code_digest()
    for worker, found in sorted(client.run(code_digest, on_error="return").items()):
        if found != code:
            raise RefusedError(_other_code(worker))


def _other_code(worker: str) -> str:
    return f"the worker {worker} has other code of carprice than this command; {_REMEDY}"


@functools.cache
def code_digest() -> str:
    """Return a digest of the code of this package."""
    digest, folder = hashlib.sha256(), Path(carprice.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _losses_told() -> Iterator[None]:
    """Turn the loss of workers and of the scheduler into an error of one line."""
    from distributed import KilledWorker
    from distributed.comm.core import CommClosedError

    try:
        yield
    except KilledWorker:
        raise RefusedError(
            "a task lost worker after worker, as one does that needs more memory than a worker "
            "has; give each more (compute.memory), or split the largest files"
        ) from None
    except (CancelledError, CommClosedError):
        raise RefusedError(
            "the Dask scheduler was lost; run the same command again, parts that are finished stay"
        ) from None


@contextlib.contextmanager
def _workers_watched(client: Any) -> Iterator[None]:
    """Turn tasks that wait for some time, while there is no worker, into an error of one line.

    Dask itself waits for workers. What waits for tasks is woken up by cancelling them.
    """
    from distributed import Future

    ended, lost = threading.Event(), threading.Event()

    def watch() -> None:
        last = time.monotonic()
        while not ended.wait(_SECONDS_BETWEEN):
            with contextlib.suppress(Exception):  # a lost scheduler is told by the tasks it loses
                now, tasks = time.monotonic(), [*client.futures.items()]
                if client.nthreads() or not any(one.status in _WAITING for _, one in tasks):
                    last = now
                elif now - last > _SECONDS_ALONE:
                    lost.set()
                    client.cancel([Future(key, client) for key, _ in tasks], force=True)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except CancelledError:
        if not lost.is_set():
            raise
        raise RefusedError(
            f"the Dask cluster had no worker for {_SECONDS_ALONE} seconds; start some, and run the "
            "same command again, parts that are finished stay"
        ) from None
    finally:
        ended.set()
        watcher.join(_SECONDS)


def _each(
    client: Any, function: Callable[..., R], items: Iterable[Any], *shared: Any
) -> Iterator[R]:
    """Run a task for each item; see :class:`carprice.arrays.Each`.

    What is shared is a task's result: workers have it from each other, and it is there again when
    the one that had it is lost. For each thread that the workers have by then, two items are on
    their way, and one more.
    """
    held, waiting = client.submit(_same, shared, pure=False), deque[Any]()
    code = code_digest()
    for item in items:
        waiting.append(client.submit(_call, function, item, held, code, pure=False))
        while len(waiting) > 2 * _threads(client):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _threads(client: Any) -> int:
    """Return how many threads the workers have; none where the scheduler does not answer."""
    with contextlib.suppress(Exception):  # a lost scheduler is told by the tasks it loses
        return sum(client.nthreads().values())
    return 0


def _same(value: T) -> T:
    return value


def _call(function: Callable[..., R], item: object, shared: Iterable[Any], code: str) -> R:
    """Run a task, but not with other code than the command's: the worker may have come later."""
    if code_digest() != code:
        from distributed import get_worker

        raise RefusedError(_other_code(get_worker().address))
    return function(item, *shared)


def _share(stack: contextlib.ExitStack, client: Any, model: PriceModel) -> str:
    """Send a model's files to the workers there are, and to those that will come."""
    from distributed import WorkerPlugin

    class Models(WorkerPlugin):
        """Keeps the files of a model in a worker's process, as long as the command runs."""

        def __init__(self, name: str, files: Mapping[str, bytes]) -> None:
            self.name, self._files = name, files

        def setup(self, worker: object) -> None:  # noqa: ARG002
            keep_files(self.name, self._files)

        def teardown(self, worker: object) -> None:  # noqa: ARG002
            forget(self.name)

    with tempfile.TemporaryDirectory(prefix="carprice-") as folder:
        path = Path(folder, "model")
        model.save(path)
        files = {file.name: file.read_bytes() for file in path.iterdir()}
    name = _new_name()
    client.register_plugin(Models(name, files))
    stack.callback(_forgotten, client, name)
    return name


def _forgotten(client: Any, name: str) -> None:
    with contextlib.suppress(Exception):  # the scheduler may be lost
        client.unregister_worker_plugin(name)


def _keep(model: PriceModel) -> str:
    """Let the tasks of this process have a model that is there."""
    name = _new_name()
    _MODELS[name] = lambda: model
    return name


def keep_files(name: str, files: Mapping[str, bytes]) -> None:
    """Let the tasks of this process have a model, which is loaded when one first asks."""

    @functools.cache
    def load() -> PriceModel:
        with tempfile.TemporaryDirectory(prefix="carprice-") as folder:
            for file, content in files.items():
                Path(folder, file).write_bytes(content)
            return PriceModel.load(Path(folder))

    _MODELS[name] = load


def forget(name: str) -> None:
    """Let go of a model."""
    _MODELS.pop(name, None)


def _new_name() -> str:
    return f"carprice-{secrets.token_hex(8)}"
