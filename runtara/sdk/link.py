"""Keeps the attempt connected: dials, presents it, and does so again whenever the connection ends.

A server may be away for minutes, for a deploy or after a crash; nothing of that reaches the program. The credential
of a launch is good for one connection; each one brings the next, and a long one renews what it holds in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from runtara import __version__
from runtara.clock import Clock
from runtara.errors import InternalError, InvalidRequest, RuntaraError, Unavailable
from runtara.protocol.launch import Psk
from runtara.protocol.messages import PROTOCOL_VERSIONS, Hello, Message, NewCredential, Register, Registered
from runtara.sdk.outbox import Outbox
from runtara.sdk.patience import Backoff, Patience
from runtara.transport.base import Address, ClientOptions, Transport
from runtara.transport.peer import Peer, Reply, connect_peer

__all__ = ("Dialer", "Link", "LinkEvents")

# Of a credential that is nearly over when it comes: the clocks of the two sides differ.
_RENEWAL_S_MIN: Final = 10.0
# A token does not wear out; to present oneself now and then costs nothing and needs no case of its own.
_RENEWAL_S_MAX: Final = 3600.0


@dataclass(kw_only=True)
class Dialer:
    """Where the server is, and how to prove who we are."""

    transport: Transport
    address: Address
    options: ClientOptions
    """With the newest credential, when there is one."""
    token: str | None = None

    async def dial(self, handler: Link) -> Peer:
        """A welcomed peer. Raises as ``connect_peer`` does."""
        hello = Hello(PROTOCOL_VERSIONS, f"runtara-sdk/{__version__}", self.token)
        timeout_s = self.options.connect_timeout_s
        return await connect_peer(self.transport, self.address, self.options, hello, handler, timeout_s=timeout_s)

    @property
    def psk(self) -> Psk | None:
        """The credential of the next connection."""
        return self.options.psk

    def renew(self, psk: Psk) -> None:
        """Use this one next time."""
        self.options = replace(self.options, psk=psk)


class LinkEvents(Protocol):
    """What the link tells the attempt. No method may block or raise."""

    def registered(self, answer: Registered) -> None:
        """The attempt is known to the server, for the first time or again."""

    def pushed(self, message: Message) -> None:
        """Something happened at the server."""

    def refused(self, error: RuntaraError) -> None:
        """The server does not let this attempt in (any more). The link has ended."""


class Link:
    """A ``PeerHandler`` of all connections of an attempt, one after the other."""

    def __init__(
        self,
        *,
        dialer: Dialer,
        register: Callable[[], Register],
        outbox: Outbox,
        events: LinkEvents,
        patience: Patience,
        backoff: Backoff,
        clock: Clock,
        answer_timeout_s: float,
    ) -> None:
        self._dialer = dialer
        self._register = register
        self._outbox = outbox
        self._events = events
        self._patience = patience
        self._backoff = backoff
        self._clock = clock
        self._answer_timeout_s = answer_timeout_s

    async def run(self) -> None:
        """Keep the connection until cancelled, or until the server refuses.

        Raises:
            ServerLost: the server was away for too long.
        """
        try:
            while True:
                peer = await self._connect()
                try:
                    await self._keep(peer)
                finally:
                    peer.close(reason="the attempt ends")
        except RuntaraError as error:
            self._events.refused(error)

    # ---- connecting

    async def _connect(self) -> Peer:
        """A peer at which the attempt is registered."""
        while True:
            try:
                peer = await self._dialer.dial(self)
                try:
                    await self._present(peer)
                except BaseException:
                    peer.close(reason="not registered")
                    raise
            except Unavailable as error:
                await self._back_off(error)
            else:
                return peer

    async def _present(self, peer: Peer) -> None:
        """Register, and send what is unanswered.

        A server whose database is away is asked again on the same connection: the next credential comes with its
        answer, and the former one is spent.
        """
        while True:
            try:
                answer = await peer.call(self._register(), timeout_s=self._answer_timeout_s)
            except Unavailable as error:
                if peer.is_closed:
                    raise
                await self._back_off(error)
                continue
            if not isinstance(answer, Registered):
                raise InternalError(f"the server answered Register with {type(answer).__name__}")
            self._backoff.reset()
            self._patience.restore()
            self._events.registered(answer)
            self._outbox.attach(peer)
            return

    async def _back_off(self, error: RuntaraError) -> None:
        self._patience.spend(error)
        await self._clock.sleep(self._backoff.next_s(error))

    async def _keep(self, peer: Peer) -> None:
        """Returns when the connection has ended. Renews the credential when half of its time is over."""
        closed = asyncio.ensure_future(peer.wait_closed())
        try:
            while not closed.done():
                alarm = asyncio.ensure_future(self._clock.sleep(self._renewal_s()))
                await asyncio.wait({closed, alarm}, return_when=asyncio.FIRST_COMPLETED)
                alarm.cancel()
                if not closed.done():
                    await self._present(peer)
        except Unavailable:
            pass  # The connection ended while it renewed.
        finally:
            closed.cancel()

    def _renewal_s(self) -> float:
        psk = self._dialer.psk
        if psk is None:
            return _RENEWAL_S_MAX
        return max((psk.not_after_s - self._clock.now().timestamp()) / 2, _RENEWAL_S_MIN)

    # ---- PeerHandler

    def opened(self, peer: Peer) -> None:
        """See ``PeerHandler``."""

    def request(self, peer: Peer, message: Message, reply: Reply) -> bool:
        """See ``PeerHandler``. Servers ask nothing of programs."""
        reply.fail(InvalidRequest("a program answers no requests"))
        return True

    def pushed(self, peer: Peer, message: Message) -> None:
        """See ``PeerHandler``."""
        if isinstance(message, NewCredential):
            self._dialer.renew(message.psk)
        else:
            self._events.pushed(message)

    def closed(self, peer: Peer, error: Exception | None) -> None:
        """See ``PeerHandler``. ``run`` sees to it."""
