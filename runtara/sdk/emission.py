"""Events on their way: what gathers in one step of the loop, or while the last batch is stored, is the next batch.

One batch at a time, so that events stay in order when the server refuses one for the moment. A batch whose answer was
lost is sent again, with the same numbers, and the server stores what it has not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from runtara.errors import Overloaded
from runtara.limits import GUEST_QUEUE_BYTES_MAX
from runtara.protocol.messages import AppendEvents, Message
from runtara.sdk.checks import check_event

__all__ = ("Emission",)

_Event: TypeAlias = tuple[str, bytes | None]

Post: TypeAlias = Callable[[Message, Callable[[Message | BaseException], None], int], None]
"""Message, callback, bytes."""

_BATCH_EVENTS_MAX: Final = 500
_BATCH_BYTES_MAX: Final = 4 * 1024 * 1024


class Emission:
    """See the module. ``post`` sends a batch and calls back with its answer; it does not raise."""

    def __init__(self, *, post: Post) -> None:
        self._post = post
        self._events: deque[_Event] = deque()
        self._bytes = 0
        self._emitted = 0
        self._stored = 0
        self._in_flight = 0
        self._is_due = False
        self._waiting: set[asyncio.Future[None]] = set()

    def add(self, subtype: str, payload: bytes | None) -> None:
        """Store it soon. Raises ``InvalidRequest``, ``LimitExceeded``, or ``Overloaded`` when too much waits."""
        check_event(subtype, payload)
        if self._bytes > GUEST_QUEUE_BYTES_MAX:
            raise Overloaded("too many events wait to be stored", hint="Wait for flush() before emitting more.")
        self._events.append((subtype, payload))
        self._bytes += _size(payload)
        self._emitted += 1
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self.hurry)

    def hurry(self) -> None:
        """Send what gathered, unless a batch is under way."""
        self._is_due = False
        if self._in_flight == 0 and self._events:
            batch = self._take()
            size = sum(_size(payload) for _, payload in batch)
            self._in_flight = len(batch)
            # All before it have their answer.
            self._post(AppendEvents(tuple(batch), self._stored + 1), self._answered, size)

    async def settled(self) -> None:
        """Returns when everything that was added before is stored, or was refused."""
        self.hurry()
        emitted = self._emitted
        while self._stored < emitted:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(waiting)
            await waiting

    def _take(self) -> list[_Event]:
        batch: list[_Event] = []
        size = 0
        while self._events and len(batch) < _BATCH_EVENTS_MAX and size < _BATCH_BYTES_MAX:
            batch.append(self._events.popleft())
            size += _size(batch[-1][1])
        self._bytes -= size
        return batch

    def _answered(self, outcome: Message | BaseException) -> None:
        self._stored += self._in_flight
        self._in_flight = 0
        self.hurry()
        waiting, self._waiting = self._waiting, set()
        for one in waiting:
            if not one.done():
                one.set_result(None)


def _size(payload: bytes | None) -> int:
    return len(payload or b"")
