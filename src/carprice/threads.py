"""How the numeric libraries share the machine: how many threads they start, and how those wait.

``carprice`` calls :func:`configure` before any library loads, because libgomp (XGBoost, LightGBM,
scikit-learn) and OpenBLAS read the environment once. Libraries with an argument of their own, such
as CatBoost, are given :func:`thread_count`.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

R = TypeVar("R")

PROCESS_CGROUPS = Path("/proc/self/cgroup")
CGROUP_ROOT = Path("/sys/fs/cgroup")


def configure(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the number of threads and passive waiting, unless the user has set them.

    With active waiting, libgomp's default, threads spin while they wait for each other. On a
    machine that is shared or has a CPU quota they spin away the time of the one they wait for.
    OpenBLAS, MKL and Arrow read ``OMP_NUM_THREADS`` too; their own variables go before it.
    """
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("OMP_NUM_THREADS", str(usable_cores()))


def thread_count(environment: Mapping[str, str] = os.environ) -> int:
    """Return the threads that a computation may use: the user's ``OMP_NUM_THREADS`` or the cores.

    OpenMP's list of numbers for nested levels counts by its first number.
    """
    number = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(number) if number.isdecimal() and int(number) > 0 else usable_cores()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Have BLAS use one thread in the block: it rounds by their number, and they spin in waiting.

    What the ridge asks of it is too small for several.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


def in_threads(function: Callable[..., R], items: Iterable[Any], *shared: Any) -> Iterator[R]:
    """Yield what a function makes of each item, in their order, from :func:`thread_count` threads.

    It is given ``shared`` after each item. The numeric libraries compute beside each other; Python
    itself does not. At most one result more than there are threads waits to be taken.
    """
    count, waiting = thread_count(), deque[Future[R]]()
    with ThreadPoolExecutor(count) as pool:
        for item in items:
            waiting.append(pool.submit(function, item, *shared))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def beside(function: Callable[[], R]) -> Future[R]:
    """Begin to compute in a thread of its own."""
    pool = ThreadPoolExecutor(1)
    begun = pool.submit(function)
    pool.shutdown(wait=False)
    return begun


def usable_cores(process_cgroups: Path = PROCESS_CGROUPS, cgroup_root: Path = CGROUP_ROOT) -> int:
    """Return the cores that this process may use, at least 1.

    That is the cores of its scheduler affinity, or the CPU quota of its cgroup, rounded up, where
    that is less. Both are known on Linux only; elsewhere it is the cores of the machine. The
    kernel's list ``process_cgroups`` names the cgroups, which are mounted at ``cgroup_root``.
    """
    scheduled = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min([scheduled, *_quotas(process_cgroups, cgroup_root)]))


def _quotas(process_cgroups: Path, cgroup_root: Path) -> Iterator[int]:
    """Yield the cores that each cgroup of the process allows, from its own up to the root.

    In a container the path may name a cgroup of the host that is not mounted; then the root of
    the mount is the container's own.
    """
    for line in _read(process_cgroups).splitlines():
        _, controllers, path = line.split(":", 2)
        inside = Path(path.lstrip("/"))
        for cgroup in (inside, *inside.parents):
            if not controllers:
                quota = _read(cgroup_root / cgroup / "cpu.max").split()
            elif "cpu" in controllers.split(","):
                folder = cgroup_root / "cpu" / cgroup
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                quota = [_read(folder / name).strip() for name in names]
            else:
                continue
            # "max" in version 2 and -1 in version 1 stand for no quota.
            if len(quota) == 2 and all(number.isdecimal() for number in quota):
                microseconds, period = map(int, quota)
                if period:
                    yield -(-microseconds // period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
