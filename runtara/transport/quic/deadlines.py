"""One timer of the event loop for all connections of an endpoint."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from time import monotonic
from typing import Final, Generic, Protocol, TypeVar

__all__ = ("NEVER", "Deadlines", "Timed")

NEVER: Final = float("inf")

# uvloop's timers count whole milliseconds; less would fire early and spin.
_SHORTEST_WAIT_S: Final = 0.001


class Timed(Protocol):
    """What can have a deadline."""

    wakes_at: float
    """When it will be looked at; belongs to ``Deadlines``, ``NEVER`` at the start."""


TimedT = TypeVar("TimedT", bound=Timed)


class Deadlines(Generic[TimedT]):
    """Calls ``due`` with whatever has reached its time, then ``done`` once.

    Deadlines move later all the time and are met almost never. So they are not moved: whoever is looked at too
    early says so by setting its next time.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        due: Callable[[TimedT, float], None],
        done: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._due = due
        self._done = done
        self._heap: list[tuple[float, int, TimedT]] = []
        self._order = itertools.count()
        self._handle: asyncio.TimerHandle | None = None
        self._armed_at = NEVER
        self._is_closed = False

    def at(self, when: float, item: TimedT) -> None:
        """Look at the item at ``when`` (monotonic seconds) or earlier."""
        if when >= item.wakes_at:
            return
        item.wakes_at = when
        heapq.heappush(self._heap, (when, next(self._order), item))
        if when < self._armed_at and not self._is_closed:
            self._arm(when)

    def close(self) -> None:
        """Nothing is due any more. Safe twice."""
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._is_closed = True

    def _arm(self, when: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._armed_at = when
        self._handle = self._loop.call_later(max(_SHORTEST_WAIT_S, when - monotonic()), self._fire)

    def _fire(self) -> None:
        now, heap = monotonic(), self._heap
        self._handle, self._armed_at = None, -NEVER  # nothing arms the timer while we walk
        while heap and heap[0][0] <= now:
            when, _, item = heapq.heappop(heap)
            if item.wakes_at == when:
                item.wakes_at = NEVER
                self._due(item, now)
        self._done()
        self._armed_at = NEVER
        if heap and not self._is_closed:
            self._arm(heap[0][0])
