"""The work here is made of what every process can import."""

import itertools
import math
import operator
import os
import time
from typing import Any

import pytest

from carprice.experiments.time_limit import WorkFailed, run_with_time_limit

CALL = operator.methodcaller("__call__")


def test_what_the_work_yields_comes_one_by_one() -> None:
    assert list(run_with_time_limit(map, (math.sqrt, [1, 4, 9]), 60)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "seconds", "reason"),
    [
        ((time.sleep, [300]), 0.5, "out of time: over 0.5 s"),
        ((math.sqrt, [4, -1]), 60, "ValueError: "),
        ((os._exit, [3]), 60, "its process ended with exit code 3"),
        ((CALL, [os.abort]), 60, "its process was ended by SIGABRT"),
    ],
)
def test_work_that_fails_is_told_of(
    arguments: tuple[Any, ...], seconds: float, reason: str
) -> None:
    with pytest.raises(WorkFailed) as failure:
        list(run_with_time_limit(map, arguments, seconds))
    assert str(failure.value).startswith(reason)


def test_endless_work_can_be_left_and_its_process_ends() -> None:
    items = run_with_time_limit(map, (CALL, itertools.repeat(os.getpid)), 60)
    process = next(items)
    items.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
