import os
import subprocess
import sys

from carprice.experiments.processes import is_alive, this_process


def test_this_process_is_alive_and_one_that_ended_is_not() -> None:
    assert is_alive(this_process()) is True
    program = "from carprice.experiments.processes import this_process; print(this_process())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert is_alive(done.stdout.strip()) is False


def test_another_process_of_the_same_number_is_not_taken_for_it() -> None:
    host = this_process().split("/")[0]
    assert is_alive(f"{host}/{os.getpid()}/12") is False


def test_of_another_host_or_of_nonsense_nothing_is_known() -> None:
    for name in ("elsewhere/1/2", "", "nonsense", f"{this_process()}/x"):
        assert is_alive(name) is None
