"""When a challenger is dropped: it fails, gives no price, does not answer, or takes far longer."""

import asyncio
import logging
import math
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Final, Literal

from api.served import ChallengerModel, ServedModel
from carprice.model.pricer import Valuation
from carprice.redaction import hide_secrets

logger = logging.getLogger("carprice.service")
Failure = Literal["error", "no_price", "no_answer"]
Reason = Literal[Failure, "slow"]
Answer = tuple[Sequence[Valuation], dict[str, Any]]
"""The prices of an answer, and what it says."""
Work = Callable[[ServedModel], Answer]
"""Makes an answer by a model."""
Tell = Callable[[ServedModel, Valuation], dict[str, Any]]
"""Tells what an answer says of a price, by the model that gave it."""

LONGEST_SECONDS: Final = 1.0
"""A challenger that has given no price after so long does not answer."""
MOST_AT_ONCE: Final = 8
"""More than the failures for which it is dropped, so that one that hangs is."""
MOST_FAILURES: Final = 5
LAST_PRICES: Final = 100
FEWEST_TIMES: Final = 50
MOST_TIMES_AS_LONG: Final = 5.0
UNNOTICED_SECONDS: Final = 0.05
_WORDS: Final[dict[Failure, str]] = {
    "error": "pricing fails",
    "no_price": "what it gives is no price",
    "no_answer": f"it does not answer within {LONGEST_SECONDS:g} s",
}


class Watch:
    """The last prices of one challenger: how many failed, and how long they took.

    Beside them, how long production took. Any thread may tell.

    Parameters
    ----------
    on_unfit : called once, with the reason and what tells it to a person.
    """

    def __init__(self, on_unfit: Callable[[Reason, str], object]) -> None:
        self._on_unfit = on_unfit
        self._lock = threading.Lock()
        self._failures: deque[Failure | None] = deque(maxlen=LAST_PRICES)
        self._own: deque[float] = deque(maxlen=LAST_PRICES)
        self._champions: deque[float] = deque(maxlen=LAST_PRICES)
        self._is_unfit = False

    def champion_took(self, seconds: float) -> None:
        """Note how long production took for a price."""
        with self._lock:
            self._champions.append(seconds)

    def note(self, failure: Failure | None, seconds: float) -> None:
        """Note a price of the challenger, or that it gave none, and the seconds that it took."""
        with self._lock:
            self._failures.append(failure)
            if failure is None:
                self._own.append(seconds)
            reason, told = self._judge(failure)
            if self._is_unfit or reason is None:
                return
            self._is_unfit = True
        self._on_unfit(reason, told)

    def _judge(self, failure: Failure | None) -> tuple[Reason | None, str]:
        if failure is not None:
            failures = sum(one is not None for one in self._failures)
            if failures < MOST_FAILURES:
                return None, ""
            return failure, f"{_WORDS[failure]} ({failures} of the last {len(self._failures)})"
        if min(len(self._own), len(self._champions)) < FEWEST_TIMES:
            return None, ""
        own, champions = fmean(self._own), fmean(self._champions)
        if own <= max(UNNOTICED_SECONDS, MOST_TIMES_AS_LONG * champions):
            return None, ""
        return "slow", f"a price takes {own:.3f} s, by the production model {champions:.4f} s"


@dataclass(frozen=True)
class Watched:
    """A loaded challenger, and the watch over it.

    Attributes
    ----------
    room : for the answers for cars that it is at.
    begun : when each of these answers was begun.
    first_error : taken by the error that is logged.
    """

    served: ChallengerModel
    watch: Watch
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))
    begun: dict[asyncio.Future[Any], float] = field(default_factory=dict)
    first_error: threading.Lock = field(default_factory=threading.Lock)

    @property
    def busy_seconds(self) -> float:
        """For how long it has been at the answer that it began first; 0 where it is at none."""
        return time.perf_counter() - min(self.begun.values()) if self.begun else 0.0

    def begin(self, working: asyncio.Future[Any]) -> None:
        """Note an answer for which there was room; it has that until it is done."""
        self.begun[working] = time.perf_counter()
        working.add_done_callback(self._end)

    def _end(self, working: asyncio.Future[Any]) -> None:
        del self.begun[working]
        self.room.release()

    def answer(self, work: Work) -> tuple[Answer | None, Failure | None, float]:
        """Return an answer, why there is none, and the seconds for each of its prices.

        The first error is logged with its trace. An answer with a price that is none is no answer.
        """
        answer: Answer | None = None
        failure: Failure | None = None
        began, count = time.perf_counter(), 1
        try:
            answer = work(self.served)
        except Exception:
            failure = "error"
            self._tell_once(hide_secrets(traceback.format_exc()))
        else:
            count = max(len(answer[0]), 1)
            if not all(map(_is_a_price, answer[0])):
                answer, failure = None, "no_price"
        return answer, failure, (time.perf_counter() - began) / count

    def _tell_once(self, trace: str) -> None:
        if self.first_error.acquire(blocking=False):
            logger.warning("Version %s, the challenger, fails\n%s", self.served.version, trace)


def _is_a_price(valuation: Valuation) -> bool:
    price, low, high = valuation.prices
    return 0 < low <= price <= high < math.inf
