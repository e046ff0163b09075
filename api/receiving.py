"""The bytes of bodies that are in flight, which have a limit together."""

from types import TracebackType
from typing import Final, Self

from api.problems import Kind, ProblemError

ARRIVED: Final = "arrived"
"""Key of a scope's ``state``: whether the whole body is there, so that reading it takes no time."""
SMALL_BYTES: Final = 8 * 1024
"""So small a body is always read, and counts for nothing: one listing, or a few."""


class ByteBudget:
    """How many bytes of bodies may be in flight together; a body that is alone always fits."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    def share(self) -> "Share":
        """Return what one body takes, nothing at first."""
        return Share(self)

    def take(self, size: int, before: int) -> None:
        """Let a share grow from ``before``; 429 where others leave no room."""
        others = self._taken - before
        if others and others + size > self._most:
            raise come_back(
                f"other requests of {others:,} bytes are in flight, and all together may have "
                f"{self._most:,}"
            )
        self._taken = others + size


class Share:
    """What one body takes of a budget until the block ends."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def grow(self, size: int) -> None:
        """Take what a body of so many bytes needs."""
        if size > SMALL_BYTES and size > self._size:
            self._budget.take(size, self._size)
            self._size = size

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._budget.take(0, self._size)
        self._size = 0


def come_back(why: str) -> ProblemError:
    """Return the problem of a request that there is no room for now, its body not read.

    Not 503: the service is well, and a client that sends less at once is answered.
    """
    headers = {"Retry-After": "2", "Connection": "close"}
    return ProblemError(Kind.TOO_MANY, f"{why}; try again in 2 seconds", headers=headers)
