"""A few connections to one server, opened when needed and again when lost; and one request over them, with retries."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import anyio

from runtara.clock import Clock
from runtara.errors import InternalError, OutcomeUnknown, Unavailable
from runtara.limits import MANAGEMENT_REQUESTS_PER_CONNECTION_MAX
from runtara.protocol import messages as m
from runtara.transport.peer import Peer, Reply

__all__ = ("Connection", "Connections", "Subscription")

_log = logging.getLogger(__name__)

R = TypeVar("R", bound=m.Message)

# Below what the server takes of one connection, so that a thousand tasks wait here for their turn and are not refused.
_REQUESTS_PER_CONNECTION: Final = MANAGEMENT_REQUESTS_PER_CONNECTION_MAX // 2

_DELAY_FIRST_S: Final = 0.05
_DELAY_MAX_S: Final = 2.0


class Subscription:
    """What one watch is told: the latest view, and whether its connection is gone."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._latest: m.InstanceView | None = None
        self._is_lost = False
        self._told = anyio.Event()

    async def next(self) -> m.InstanceView:
        """The next view; of several in quick succession the latest. Raises ``Unavailable`` when the link is lost."""
        await self._told.wait()
        self._told = anyio.Event()
        view, self._latest = self._latest, None
        if view is not None:
            if self._is_lost:
                self._told.set()
            return view
        raise Unavailable("the connection of a watch was lost")

    def tell(self, view: m.InstanceView) -> None:
        """It changed."""
        self._latest = view
        self._told.set()

    def lose(self) -> None:
        """Nothing more will come."""
        self._is_lost = True
        self._told.set()


class Connection:
    """A ``PeerHandler``: the client's side of one connection."""

    peer: Peer

    def __init__(self) -> None:
        self._subscriptions: dict[int, Subscription] = {}
        self._last_number = 0

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """A subscription with a number of its own, until the end of the block."""
        self._last_number += 1
        subscription = Subscription(self._last_number)
        self._subscriptions[subscription.number] = subscription
        try:
            yield subscription
        finally:
            del self._subscriptions[subscription.number]

    def opened(self, peer: Peer) -> None:
        """See ``PeerHandler``."""
        self.peer = peer

    def request(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        """See ``PeerHandler``. Servers ask a management client nothing but whether it lives."""
        reply.send(m.Ok())
        return True

    def pushed(self, peer: Peer, message: m.Message) -> None:
        """See ``PeerHandler``."""
        if isinstance(message, m.InstanceChanged):
            subscription = self._subscriptions.get(message.watch_no)
            if subscription is not None:
                subscription.tell(message.instance)

    def closed(self, peer: Peer, error: Exception | None) -> None:
        """See ``PeerHandler``."""
        for subscription in self._subscriptions.values():
            subscription.lose()


class _Slot:
    """A place for one connection."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.connection: Connection | None = None


class Connections:
    """At most ``size`` connections; requests take turns over them."""

    def __init__(self, dial: Callable[[], Awaitable[Connection]], *, size: int, clock: Clock) -> None:
        self.clock = clock
        self._dial = dial
        self._slots = [_Slot() for _ in range(size)]
        self._turn = 0
        self._is_closed = False
        self._places = anyio.Semaphore(size * _REQUESTS_PER_CONNECTION)

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closed

    async def get(self) -> Connection:
        """An open connection. Raises what opening one raises; ``Unavailable`` after ``close``."""
        self._turn += 1
        slot = self._slots[self._turn % len(self._slots)]
        async with slot.lock:
            if self._is_closed:
                raise Unavailable("the client is closed")
            if slot.connection is None or slot.connection.peer.is_closed:
                slot.connection = await self._dial()
            return slot.connection

    async def call(self, request: m.Message, kind: type[R], *, timeout_s: float, repeats: bool = True) -> R:
        """The answer, asked for again as long as that may help and ``timeout_s`` has not passed.

        With ``repeats`` False a request that may have been executed is not sent again.

        Raises:
            OutcomeUnknown: it may have been executed.
            Unavailable: it was not.
            RuntaraError: the server's answer.
        """
        deadline = self.clock.monotonic() + timeout_s
        for delay_s in _delays():
            try:
                answer = await self._call_once(request, deadline)
            except Unavailable as error:
                if isinstance(error, OutcomeUnknown) and not repeats:
                    raise
                await self._wait_before_next(error, delay_s, deadline)
            else:
                return _expect(answer, kind)
        raise AssertionError("delays never end")

    async def _call_once(self, request: m.Message, deadline: float) -> m.Message:
        with anyio.move_on_after(self._left_s(deadline)) as patience:
            async with self._places:
                connection = await self.get()
                # From here on the peer keeps the time: it knows whether the request has left.
                patience.deadline = math.inf
                return await connection.peer.call(request, timeout_s=self._left_s(deadline))
        raise Unavailable("there was no connection in time")

    def _left_s(self, deadline: float) -> float:
        return max(deadline - self.clock.monotonic(), 0.001)

    async def _wait_before_next(self, error: Unavailable, delay_s: float, deadline: float) -> None:
        """Wait; raise the error instead when the deadline comes first, or there is no use."""
        delay_s = max(delay_s, (error.retry_after_ms or 0) / 1000)
        if self._is_closed or self.clock.monotonic() + delay_s >= deadline:
            raise error
        _log.debug("asking again in %.2f s: %s", delay_s, error.message)
        await self.clock.sleep(delay_s)

    def close(self) -> None:
        """End all connections. Safe twice."""
        self._is_closed = True
        for slot in self._slots:
            if slot.connection is not None:
                slot.connection.peer.close(reason="client closed")


def _delays() -> Iterator[float]:
    delay_s = _DELAY_FIRST_S
    while True:
        yield delay_s
        delay_s = min(delay_s * 2, _DELAY_MAX_S)


def _expect(answer: m.Message, kind: type[R]) -> R:
    if not isinstance(answer, kind):
        raise InternalError(f"the server answered with {type(answer).__name__}, not {kind.__name__}")
    return answer
