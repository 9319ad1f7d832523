"""The requests of the attempt that have no answer yet, whatever becomes of connections.

    post ──▶ waiting ──▶ in flight ──answer──▶ done
                ▲            │
                └────────────┘  the connection ended, or the server could not do it now

Requests leave in the order in which they were posted, as many at once as the window allows. All of them may be sent
again: the server does a thing once, or says that it was done. So an outcome that is unknown is none of the program's
business; it ends here.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from runtara.clock import Clock
from runtara.errors import Overloaded, RuntaraError, Unavailable
from runtara.limits import GUEST_QUEUE_BYTES_MAX
from runtara.protocol.messages import Message
from runtara.sdk.alarm import Alarm
from runtara.sdk.base import ServerLost
from runtara.sdk.patience import Backoff, Patience
from runtara.transport.peer import Peer

__all__ = ("OnAnswer", "Outbox")

OnAnswer: TypeAlias = Callable[[Message | BaseException], None]
"""Called once, with the answer, or with what was raised instead of one."""

# Enough to keep a group-committing server busy; far below what a connection may have in flight.
_REQUESTS_IN_FLIGHT_MAX: Final = 256
_BYTES_IN_FLIGHT_MAX: Final = 16 * 1024 * 1024

# The program waits at its next call when so much is queued.
_HIGH_WATER_BYTES: Final = 8 * 1024 * 1024

# What an entry costs beside its state, so that a million small ones count as well.
_ENTRY_BYTES: Final = 512


class _Entry:
    __slots__ = ("message", "on_answer", "size_bytes")

    def __init__(self, message: Message, on_answer: OnAnswer, size_bytes: int) -> None:
        self.message = message
        self.on_answer = on_answer
        self.size_bytes = size_bytes + _ENTRY_BYTES


class Outbox:
    """See the module. Belongs to one event loop.

    ``patience`` says how long the server may be unable to answer. A connection on which nothing is answered for
    ``answer_timeout_s`` is closed, so that another one takes its place.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        patience: Patience,
        backoff: Backoff,
        on_lost: Callable[[ServerLost], None],
        answer_timeout_s: float,
    ) -> None:
        self._patience = patience
        self._backoff = backoff
        self._on_lost = on_lost
        self._answer_timeout_s = answer_timeout_s
        self._peer: Peer | None = None
        self._entries: dict[int, _Entry] = {}
        self._last = 0
        self._waiting: list[int] = []
        self._bytes = 0
        self._in_flight = 0
        self._bytes_in_flight = 0
        self._pause = Alarm(clock)
        self._replies = 0
        self._watchdog = Alarm(clock)
        self._watchers: dict[asyncio.Future[None], Callable[[], bool]] = {}

    # ---- for the program

    def post(self, message: Message, on_answer: OnAnswer, *, size_bytes: int = 0) -> None:
        """Send it, now or as soon as there is a connection and room in its window."""
        entry = _Entry(message, on_answer, size_bytes)
        self._last += 1
        self._entries[self._last] = entry
        self._bytes += entry.size_bytes
        heapq.heappush(self._waiting, self._last)
        self._pump()

    def reserve(self, size_bytes: int) -> None:
        """Raises ``Overloaded`` when the queue has no room for a post of so many bytes."""
        if self._entries and self._bytes + size_bytes > GUEST_QUEUE_BYTES_MAX:
            raise Overloaded(
                f"{self._bytes + size_bytes} bytes wait to be stored, over the limit of {GUEST_QUEUE_BYTES_MAX}",
                hint="Wait for flush() before sending more.",
                limit="guest_queue_bytes",
                maximum=GUEST_QUEUE_BYTES_MAX,
            )

    async def settled(self) -> None:
        """Returns when everything that was posted before has its answer."""
        last = self._last
        await self._until(lambda: next(iter(self._entries), last + 1) > last)

    async def room(self) -> None:
        """Returns when the queue is short, which it usually is."""
        await self._until(lambda: self._bytes < _HIGH_WATER_BYTES)

    def abandon(self, reason: BaseException) -> None:
        """Nothing will be sent or answered any more: answer everything with ``reason``."""
        self._peer = None
        self._pause.cancel()
        self._watchdog.cancel()
        entries, self._entries = self._entries, {}
        self._waiting.clear()
        self._bytes = 0
        for entry in entries.values():
            entry.on_answer(reason)
        self._tell_watchers()

    # ---- for the link

    def attach(self, peer: Peer) -> None:
        """Use this connection from now on, beginning with what is unanswered."""
        self._peer = peer
        self._pause.cancel()
        self._pump()

    # ---- sending

    def _pump(self) -> None:
        while self._waiting and self._may_send(self._entries[self._waiting[0]]):
            self._send(heapq.heappop(self._waiting))

    def _may_send(self, entry: _Entry) -> bool:
        if self._peer is None or self._peer.is_closed or self._pause.is_set:
            return False
        if self._in_flight == 0:
            return True
        fits = self._bytes_in_flight + entry.size_bytes <= _BYTES_IN_FLIGHT_MAX
        return fits and self._in_flight < _REQUESTS_IN_FLIGHT_MAX

    def _send(self, number: int) -> None:
        assert self._peer is not None
        entry = self._entries[number]
        self._in_flight += 1
        self._bytes_in_flight += entry.size_bytes
        if not self._watchdog.is_set:
            self._watch()
        on_reply = partial(self._replied, number, entry)
        try:
            self._peer.send_request(entry.message, on_reply)
        except RuntaraError as error:
            on_reply(error)

    def _replied(self, number: int, entry: _Entry, outcome: Message | RuntaraError) -> None:
        self._in_flight -= 1
        self._bytes_in_flight -= entry.size_bytes
        self._replies += 1
        if self._entries.get(number) is not entry:
            return
        if isinstance(outcome, Unavailable):
            self._try_again(number, outcome)
        else:
            self._answer(number, entry, outcome)

    def _answer(self, number: int, entry: _Entry, outcome: Message | RuntaraError) -> None:
        del self._entries[number]
        self._bytes -= entry.size_bytes
        self._patience.restore()
        self._backoff.reset()
        entry.on_answer(outcome)
        self._tell_watchers()
        self._pump()

    def _watch(self) -> None:
        """Look again after the time in which an answer must come."""
        self._watchdog.set(self._answer_timeout_s, partial(self._look, self._replies))

    def _look(self, replies_before: int) -> None:
        if self._in_flight == 0:
            return
        if self._replies == replies_before and self._peer is not None:
            self._peer.close(reason="no answer")
        else:
            self._watch()

    # ---- trying again

    def _try_again(self, number: int, error: Unavailable) -> None:
        heapq.heappush(self._waiting, number)
        if self._peer is None or self._peer.is_closed or self._pause.is_set:
            return  # The next connection, or the end of the pause, takes all that gathers until then.
        try:
            self._patience.spend(error)
        except ServerLost as lost:
            self._on_lost(lost)
        else:
            self._pause.set(self._backoff.next_s(error), self._pump)

    # ---- waiting

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watchers[watcher] = condition
            try:
                await watcher
            finally:
                self._watchers.pop(watcher, None)

    def _tell_watchers(self) -> None:
        for watcher, condition in tuple(self._watchers.items()):
            if not watcher.done() and condition():
                watcher.set_result(None)
