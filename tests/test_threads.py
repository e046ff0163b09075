import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from carprice.threads import configure, in_threads, thread_count, usable_cores

NEEDS_AFFINITY = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system has no scheduler affinity to set"
)


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 2, id="v2: rounded up"),
        pytest.param("0::/\n", {"cpu.max": "20000 100000\n"}, 1, id="v2: part of a core"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, 64, id="v2: no quota"),
        pytest.param(
            "0::/jobs/ours\n",
            {"jobs/ours/cpu.max": "max 100000", "jobs/cpu.max": "300000 100000"},
            3,
            id="v2: the quota of the cgroup above",
        ),
        pytest.param(
            "0::/of/the/host\n", {"cpu.max": "400000 100000"}, 4, id="v2: the path is the host's"
        ),
        pytest.param(
            "5:memory:/ours\n3:cpu,cpuacct:/ours\n0::/\n",
            {
                "cpu/ours/cpu.cfs_quota_us": "250000\n",
                "cpu/ours/cpu.cfs_period_us": "100000\n",
                "cpu/cpu.cfs_quota_us": "-1\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
            3,
            id="v1",
        ),
        pytest.param(
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            64,
            id="v1: no quota",
        ),
        pytest.param("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "100000\n"}, 64, id="v1: no period"),
        pytest.param("0::/\n", {"cpu.max": "100000 0\n"}, 64, id="a period of nothing"),
        pytest.param("0::/\n", {"cpu.max": "\xff"}, 64, id="not a number"),
        pytest.param("0::/\n", {}, 64, id="no file"),
        pytest.param("", {}, 64, id="no cgroups"),
    ],
)
def test_a_cpu_quota_limits_the_cores(
    tmp_path: Path, membership: str, files: dict[str, str], cores: int
) -> None:
    if membership:
        (tmp_path / "membership").write_text(membership)
    for name, content in files.items():
        path = tmp_path / "cgroups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="latin-1")
    assert usable_cores(tmp_path / "membership", tmp_path / "cgroups") == cores


def test_without_an_affinity_the_machine_s_cores_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert usable_cores(tmp_path / "none", tmp_path / "none") == 7


@pytest.mark.parametrize(
    ("own", "made"),
    [
        ({"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "ACTIVE"}, {}),
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(usable_cores())}),
    ],
)
def test_threads_wait_passively_on_our_cores_unless_the_user_has_set_it(
    own: dict[str, str], made: dict[str, str]
) -> None:
    environment = dict(own)
    configure(environment)
    assert environment == own | made


@pytest.mark.parametrize(
    ("setting", "threads"),
    [("3", 3), (" 4 ", 4), ("2,8", 2), ("0", None), ("many", None), ("", None)],
)
def test_the_user_s_number_of_threads_counts_where_it_is_one(
    setting: str, threads: int | None
) -> None:
    assert thread_count({"OMP_NUM_THREADS": setting}) == (threads or usable_cores())


def run(program: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a program without the settings that this process has of its own."""
    free = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env={**free, **environment}, capture_output=True, text=True, check=True
    )


@NEEDS_AFFINITY
def test_a_process_that_may_use_one_core_starts_one_thread() -> None:
    program = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        "import carprice; print(os.environ['OMP_NUM_THREADS'])"
    )
    assert run(program).stdout.split() == ["1"]


# XGBoost alone is imported in a fifth of the time, and trains with the same threads.
LOADED = """
import os, sys
sys.modules |= {"pandas": None, "sklearn": None}
import carprice, numpy, xgboost
"""
TRAINING = """
one = numpy.arange(5000.0)
before = len(os.listdir("/proc/self/task"))
xgboost.train({"nthread": -1}, xgboost.DMatrix(one[:, None], one), 2)
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
@pytest.mark.skipif(
    usable_cores() < 2, reason="XGBoost starts no more threads than there are cores"
)
def test_xgboost_trains_with_the_threads_that_it_is_given() -> None:
    one, two = (int(run(LOADED + TRAINING, OMP_NUM_THREADS=n).stdout) for n in ("1", "2"))
    assert two == one + 1


@pytest.mark.slow
def test_xgboost_waits_passively() -> None:
    told = run(LOADED, OMP_DISPLAY_ENV="TRUE").stderr
    if "OMP_WAIT_POLICY" not in told:
        pytest.skip("this OpenMP library does not tell its settings")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in told
    assert f"OMP_NUM_THREADS = '{usable_cores()}'" in told


def test_no_library_loads_before_the_settings_are_made() -> None:
    program = "import sys, carprice; print(*{'numpy', 'joblib', 'xgboost'} & set(sys.modules))"
    assert run(program).stdout.split() == []


def test_results_come_in_the_order_of_the_items_and_no_more_wait_than_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    asked: list[int] = []

    def items() -> Iterator[int]:
        for item in range(9):
            asked.append(item)
            yield item

    found = in_threads(lambda item: item * item, items())
    assert next(found) == 0
    assert len(asked) <= 4
    assert [*found] == [item * item for item in range(1, 9)]
    assert [*in_threads(len, [])] == []
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda item: 1 // item, [1, 0, 1]))
