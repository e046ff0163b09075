"""What the service remembers of its answers: put into a queue, written by a thread of its own.

Whoever answers a request neither waits for a disk nor sees an error: what cannot be kept is dropped
and counted. ``docs/prediction-log.md`` tells what is stored.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from secrets import token_hex
from time import time
from typing import Any, Final, Protocol

from carprice.model import PriceModel
from carprice.model.pricer import Valuation

logger = logging.getLogger("carprice.service")
PRODUCTION: Final = "production"


class Served(Protocol):
    """A model, and the version under which it is served."""

    @property
    def model(self) -> PriceModel:
        """The model."""

    @property
    def version(self) -> str:
        """Its number in the registry."""


class PredictionLog:
    """Keeps answers; :meth:`put` never waits and never fails."""

    def __init__(self, most_waiting: int = 20_000) -> None:
        self._most = most_waiting
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._refused = 0
        self._lock = threading.Lock()
        self.on_dropped: Callable[[str, int], object] | None = None

    new_id = staticmethod(lambda: token_hex(16))
    """Returns a quote's id for an answer that has none."""

    def put(
        self,
        quote_id: str,
        route: str,
        served: Served,
        listing: Mapping[str, Any],
        valuation: Valuation | None,
        confidence: float,
        milliseconds: float,
        *,
        alias: str = PRODUCTION,
        shadow: bool = False,
        problem: str = "",
    ) -> None:
        """Note one answer, or a price that was computed beside it; it is written soon.

        Parameters
        ----------
        quote_id : as the answer tells it; a shadow price has that of the answer beside it.
        route : the path that was asked, as the service declares it.
        served : the model that priced it.
        listing : its fields by their names in Python, as ``vars`` of a request has them; they are
            not changed any more.
        valuation : price and range; None where there is none, and ``problem`` says why.
        confidence : share of prices that the range holds.
        milliseconds : how long pricing took.
        alias : under which alias of the registry the model is served.
        shadow : whether the price was not told.
        problem : a word or two of why there is no price, such as the kind of an error.
        """
        if len(self._waiting) >= self._most:
            with self._lock:
                self._refused += 1
            return
        row = (quote_id, time(), route, served, listing, valuation, confidence, milliseconds)
        self._waiting.append((*row, alias, shadow, problem))
