"""What became of each test. A test that fails or crashes never stops the others."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from carprice.errors import CarpriceError
from carprice.redaction import hide_secrets

Check = Callable[[], str]
"""Looks at one thing and says what it found; raises :class:`NotAsItShouldBe` where that is bad."""


class NotAsItShouldBe(Exception):  # noqa: N818 - what it says, not that something broke
    """What was found is not what is needed; the message says both."""


class Verdict(StrEnum):
    """How a test ended. Only a model whose every test passed has passed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Outcome:
    """One test: its suite and name, how it ended, what was found, and how long that took."""

    suite: str
    name: str
    verdict: Verdict
    message: str
    seconds: float = 0.0

    @property
    def title(self) -> str:
        """Suite and name."""
        return f"{self.suite}: {self.name}"


@dataclass
class Outcomes:
    """The tests so far, in the order in which they ran; no message shows the registry's login."""

    uri: str = ""
    every: list[Outcome] = field(default_factory=list)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """Those that did not pass."""
        return tuple(one for one in self.every if one.verdict is not Verdict.PASSED)

    def run(self, suite: str, name: str, check: Check) -> bool:
        """Run a test and note its outcome; whether it passed."""
        start = time.perf_counter()
        try:
            verdict, message = Verdict.PASSED, check()
        except (NotAsItShouldBe, CarpriceError) as error:
            verdict, message = Verdict.FAILED, str(error)
        except Exception as error:
            verdict, message = Verdict.FAILED, f"crashed: {type(error).__name__}: {error}"
        seconds = time.perf_counter() - start
        self.every.append(Outcome(suite, name, verdict, self._one_line(message), seconds))
        return verdict is Verdict.PASSED

    def not_run(self, suite: str, name: str, why: str) -> None:
        """Note a test that there was nothing left to run on; it counts as not passed."""
        self.every.append(Outcome(suite, name, Verdict.NOT_RUN, self._one_line(why)))

    def by_suite(self) -> tuple[Outcome, ...]:
        """Return all outcomes with those of a suite together, in the order of their first."""
        suites = dict.fromkeys(one.suite for one in self.every)
        return tuple(one for suite in suites for one in self.every if one.suite == suite)

    def run_all(self, suite: str, checks: Mapping[str, Check]) -> None:
        """Run the tests of a suite, each under its name."""
        for name, check in checks.items():
            self.run(suite, name, check)

    def _one_line(self, text: str) -> str:
        return hide_secrets(" ".join(text.split()), self.uri)


def need(found: bool, message: str) -> str:
    """Return the message of a test that passes, or fail with it."""
    if not found:
        raise NotAsItShouldBe(message)
    return message
