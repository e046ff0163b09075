"""The work here is made of what every process can import."""

import itertools
import math
import operator
import os
import time
from typing import Any

import numpy as np
import pytest

from carprice.experiments.limits import Failed, Limits, run_limited

PATIENT = Limits(60, 4000)


def reason_of(work: Any, arguments: tuple[Any, ...], limits: Limits = PATIENT) -> Failed:
    with pytest.raises(Failed) as failure:
        list(run_limited(work, arguments, limits))
    return failure.value


def test_what_the_work_yields_comes_one_by_one_with_the_memory_held() -> None:
    steps = list(run_limited(map, (math.sqrt, [1, 4, 9]), PATIENT))
    assert [step.content for step in steps] == [1, 2, 3]
    assert 0 <= steps[0].megabytes <= steps[-1].megabytes < 4000


def test_work_that_takes_too_long_is_ended() -> None:
    start = time.monotonic()
    failure = reason_of(map, (time.sleep, [300]), Limits(1, 4000))
    assert str(failure) == "out of time: over 1 s"
    assert time.monotonic() - start < 30


def test_work_that_holds_too_much_memory_is_ended() -> None:
    # Filled with ones, for zeros take no memory until they are written.
    work = (operator.methodcaller("__call__", 2_000_000_000), [np.ones])
    failure = reason_of(map, work, Limits(60, 700))
    assert str(failure) == "out of memory: over 700 MB"
    assert failure.megabytes > 700


def test_an_error_becomes_its_kind_and_first_line() -> None:
    assert str(reason_of(map, (math.sqrt, [4, -1]))).startswith("ValueError: ")


def test_a_process_that_dies_is_told_of() -> None:
    assert str(reason_of(map, (os._exit, [3]))) == "its process ended with exit code 3"
    assert "SIGABRT" in str(reason_of(map, (operator.methodcaller("__call__"), [os.abort])))


def test_closing_ends_the_process() -> None:
    steps = run_limited(
        map, (operator.methodcaller("__call__"), [os.getpid, *[os.getpid] * 3]), PATIENT
    )
    process = next(steps).content
    steps.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_endless_work_can_be_left() -> None:
    for step in run_limited(itertools.count, (), PATIENT):
        if step.content == 3:
            break
    assert step.content == 3
