"""Run model tests and keep their results. One that fails or crashes never stops the others."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from carprice.errors import CarpriceError
from carprice.files import writing
from carprice.redaction import hide_secrets

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
T = TypeVar("T")
ModelTest = Callable[[], str]
"""Returns what it found; raises :class:`ModelTestFailedError` where that is bad, and
:class:`UndecidedError` where the data do not tell."""


class ModelTestFailedError(Exception):
    """A model test failed; the message says what was found and what is needed."""


class UndecidedError(Exception):
    """The data do not decide whether a model does right; the message says what was found."""


class Status(StrEnum):
    """How a test ended. A model passes whose every test passed or is undecided: a warning."""

    PASSED = "passed"
    UNDECIDED = "warning"
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

    @property
    def is_good(self) -> bool:
        """Whether nothing was found that speaks against the model."""
        return self.status in (Status.PASSED, Status.UNDECIDED)


@dataclass
class ModelTestResults:
    """The results so far, in the order of the tests; messages hide the login in ``uri``."""

    uri: str = ""
    every: list[ModelTestResult] = field(default_factory=list)

    @property
    def failures(self) -> tuple[ModelTestResult, ...]:
        """Those that did not pass."""
        return tuple(one for one in self.every if not one.is_good)

    @property
    def warnings(self) -> tuple[ModelTestResult, ...]:
        """Those that the data do not decide."""
        return tuple(one for one in self.every if one.status is Status.UNDECIDED)

    def get(
        self, suite: str, name: str, load: Callable[[], T], told: Callable[[T], str]
    ) -> T | None:
        """Load what later tests need, as a test with message ``told``; None if that fails."""
        start, found = time.perf_counter(), None
        try:
            found = load()
            status, message = Status.PASSED, told(found)
        except UndecidedError as error:
            status, message = Status.UNDECIDED, str(error)
        except (ModelTestFailedError, CarpriceError) as error:
            status, message = Status.FAILED, str(error)
        except Exception as error:
            status, message = Status.FAILED, f"crashed: {type(error).__name__}: {error}"
        self._note(suite, name, status, message, time.perf_counter() - start)
        return found if status is Status.PASSED else None

    def run(self, suite: str, name: str, test: ModelTest) -> bool:
        """Run a test and note its result; return whether nothing speaks against the model."""
        self.get(suite, name, test, str)
        return self.every[-1].is_good

    def run_all(self, suite: str, tests: Mapping[str, ModelTest]) -> None:
        """Run the tests of a suite, each under its name."""
        for name, test in tests.items():
            self.run(suite, name, test)

    def not_run(self, suite: str, name: str, why: str) -> None:
        """Note a test that could not be run; it counts as not passed."""
        self._note(suite, name, Status.NOT_RUN, why)

    def by_suite(self) -> tuple[ModelTestResult, ...]:
        """Return all results grouped by suite, in the order of each suite's first test."""
        suites = [*dict.fromkeys(one.suite for one in self.every)]
        return tuple(sorted(self.every, key=lambda one: suites.index(one.suite)))

    def _note(
        self, suite: str, name: str, status: Status, message: str, seconds: float = 0.0
    ) -> None:
        told = hide_secrets(" ".join(message.split()), self.uri)
        self.every.append(ModelTestResult(suite, name, status, told, seconds))


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


def write_junit(results: Sequence[ModelTestResult], target: Path) -> None:
    """Write JUnit XML, a suite for each kind of test and a case for each test."""
    document = JUnitXml("carprice model tests")
    for name in dict.fromkeys(one.suite for one in results):
        suite = TestSuite(name)
        suite.add_testcases([_case(one) for one in results if one.suite == name])
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    with writing(target) as path:
        document.write(str(path), pretty=True)


def _case(result: ModelTestResult) -> TestCase:
    message = _NOT_XML.sub("\ufffd", result.message)
    case = TestCase(result.name, classname=result.suite, time=round(result.seconds, 3))
    if result.status is Status.FAILED:
        failure = Failure(message, "failed")
        failure.text = message
        case.result = [failure]
    elif result.status is Status.NOT_RUN:
        case.result = [Skipped(message, "not run")]
    else:
        is_open = result.status is Status.UNDECIDED
        case.system_out = f"{result.status}: {message}" if is_open else message
    return case
