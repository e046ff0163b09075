"""Run model tests and keep their results. One that fails or crashes never stops the others."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from carprice.errors import CarpriceError
from carprice.redaction import hide_secrets

ModelTest = Callable[[], str]
"""Returns what it found, or raises :class:`ModelTestFailedError` where that is bad."""


class ModelTestFailedError(Exception):
    """A model test failed; the message says what was found and what is needed."""


class Status(StrEnum):
    """How a test ended. Only a model whose every test passed has passed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class ModelTestResult:
    """One test: its suite and name, how it ended, what was found, and how long that took."""

    suite: str
    name: str
    status: Status
    message: str
    seconds: float = 0.0

    @property
    def title(self) -> str:
        """Suite and name."""
        return f"{self.suite}: {self.name}"


@dataclass
class ModelTestResults:
    """The results so far, in the order of the runs; no message shows the registry's login."""

    uri: str = ""
    every: list[ModelTestResult] = field(default_factory=list)

    @property
    def failures(self) -> tuple[ModelTestResult, ...]:
        """Those that did not pass."""
        return tuple(one for one in self.every if one.status is not Status.PASSED)

    def run(self, suite: str, name: str, test: ModelTest) -> bool:
        """Run a test and note its result; whether it passed."""
        start = time.perf_counter()
        try:
            status, message = Status.PASSED, test()
        except (ModelTestFailedError, CarpriceError) as error:
            status, message = Status.FAILED, str(error)
        except Exception as error:
            status, message = Status.FAILED, f"crashed: {type(error).__name__}: {error}"
        seconds = time.perf_counter() - start
        self.every.append(ModelTestResult(suite, name, status, self._one_line(message), seconds))
        return status is Status.PASSED

    def not_run(self, suite: str, name: str, why: str) -> None:
        """Note a test that there was nothing left to run on; it counts as not passed."""
        self.every.append(ModelTestResult(suite, name, Status.NOT_RUN, self._one_line(why)))

    def by_suite(self) -> tuple[ModelTestResult, ...]:
        """Return all results with those of a suite together, in the order of their first."""
        suites = dict.fromkeys(one.suite for one in self.every)
        return tuple(one for suite in suites for one in self.every if one.suite == suite)

    def run_all(self, suite: str, tests: Mapping[str, ModelTest]) -> None:
        """Run the tests of a suite, each under its name."""
        for name, test in tests.items():
            self.run(suite, name, test)

    def _one_line(self, text: str) -> str:
        return hide_secrets(" ".join(text.split()), self.uri)


def require(passed: bool, message: str) -> str:
    """Return the message if a test passes.

    Raises
    ------
    ModelTestFailedError
        With the message, if it does not.
    """
    if not passed:
        raise ModelTestFailedError(message)
    return message
