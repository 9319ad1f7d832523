"""The transport inside one process: the same contract as QUIC, with delays, chunks and cuts drawn from a seed.

Given the same seed, clock and calls, everything happens in the same order. Without delays nothing here needs a task;
with them, deliveries wait in tasks that belong to the network and end with ``async with MemoryNetwork(...)``.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from typing import Final, Self

import anyio

from runtara.clock import Clock, SystemClock
from runtara.errors import BadCredential, Unavailable
from runtara.transport.base import (
    UNSENT_HIGH_WATER_BYTES,
    Address,
    Channel,
    ChannelHandler,
    ClientOptions,
    Listener,
    PskIdentity,
    ServerOptions,
)

__all__ = ("MemoryNetwork", "MemoryTransport", "Weather")

_log = logging.getLogger(__name__)

_FIRST_FREE_PORT: Final = 49152


@dataclass(slots=True, kw_only=True)
class Weather:
    """How the network behaves; may be changed while it runs."""

    delay_s: tuple[float, float] = (0.0, 0.0)
    """Each chunk takes a time between these two; chunks of one direction never overtake each other."""
    chunk_bytes: tuple[int, int] | None = None
    """What is sent arrives in pieces of such sizes; None: as it was sent."""
    cut_share: float = 0.0
    """The share of chunks that are lost together with their connection."""


class MemoryNetwork:
    """Listeners by address, and the connections between them and their clients."""

    def __init__(self, *, seed: int = 0, clock: Clock | None = None, weather: Weather | None = None) -> None:
        self.clock = clock or SystemClock()
        self.weather = weather or Weather()
        self.random = random.Random(seed)
        self._listeners: dict[tuple[str, int], _MemoryListener] = {}
        self._links: dict[_Link, None] = {}
        self._deliveries: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for delivery in self._deliveries:
            delivery.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)

    def transport(self) -> MemoryTransport:
        """A transport over this network. All are equal."""
        return MemoryTransport(self)

    def cut(self) -> int:
        """Lose every connection now, with all that is under way; both sides are told. How many there were."""
        links = tuple(self._links)
        for link in links:
            link.cut()
        return len(links)

    # ---- for the transport and its links

    def find(self, address: Address) -> _MemoryListener | None:
        """Who listens there."""
        return self._listeners.get((address.host, address.port))

    def listen(self, address: Address, listener: _MemoryListener) -> Address:
        """Take the address, or a free port for 0. Raises ``Unavailable`` when it is taken."""
        port = address.port or next(p for p in self._free_ports() if (address.host, p) not in self._listeners)
        if (address.host, port) in self._listeners:
            raise Unavailable(f"{address} is in use", address=str(address))
        self._listeners[address.host, port] = listener
        return Address(address.host, port)

    def forget(self, address: Address) -> None:
        """Nobody listens there any more."""
        self._listeners.pop((address.host, address.port), None)

    def links(self) -> dict[_Link, None]:
        """The open connections, oldest first."""
        return self._links

    def draw_delay_s(self) -> float:
        """How long the next chunk takes."""
        low, high = self.weather.delay_s
        return self.random.uniform(low, high) if high > 0 else 0.0

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back after the delay; not within this call even when there is none."""
        if delay_s <= 0:
            asyncio.get_running_loop().call_soon(callback)
            return
        # Not a task group: a fixture of pytest-asyncio is entered and left in different tasks.
        delivery = asyncio.get_running_loop().create_task(self._sleep_then(delay_s, callback))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)

    async def _sleep_then(self, delay_s: float, callback: Callable[[], None]) -> None:
        await self.clock.sleep(delay_s)
        callback()

    def _free_ports(self) -> Iterator[int]:
        yield from range(_FIRST_FREE_PORT, 65536)


class MemoryTransport:
    """See ``Transport``."""

    name = "memory"

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network

    async def listen(self, address: Address, options: ServerOptions, accept: Callable[[], ChannelHandler]) -> Listener:
        """See ``Transport.listen``."""
        listener = _MemoryListener(self._network, options, accept)
        listener.address = self._network.listen(address, listener)
        return listener

    async def connect(self, address: Address, options: ClientOptions, handler: ChannelHandler) -> Channel:
        """See ``Transport.connect``."""
        await self._network.clock.sleep(2 * self._network.draw_delay_s())
        listener = self._network.find(address)
        if listener is None or listener.is_full:
            raise Unavailable(f"nobody answers at {address}", address=str(address))
        identity = _authenticate(listener.options, options, now_s=self._network.clock.now().timestamp())
        server_handler = listener.accept()
        link = _Link(self._network, listener, address, identity)
        link.open(client_handler=handler, server_handler=server_handler)
        return link.client


class _MemoryListener:
    """See ``Listener``."""

    address: Address

    def __init__(self, network: MemoryNetwork, options: ServerOptions, accept: Callable[[], ChannelHandler]) -> None:
        self._network = network
        self.options = options
        self.accept = accept

    @property
    def is_full(self) -> bool:
        """Whether it has as many connections as it may have."""
        return len(self._mine()) >= self.options.connections_max

    async def aclose(self) -> None:
        """See ``Listener.aclose``."""
        self._network.forget(self.address)
        mine = self._mine()
        for link in mine:
            link.server.close(reason="the listener closes")
        for link in mine:
            await link.over.wait()

    def _mine(self) -> list[_Link]:
        return [link for link in self._network.links() if link.listener is self]


@dataclass(eq=False, slots=True)
class _Link:
    """One connection: two ends, and what is under way between them."""

    network: MemoryNetwork
    listener: _MemoryListener
    address: Address
    identity: PskIdentity | None
    client: _MemoryChannel = field(init=False)
    server: _MemoryChannel = field(init=False)
    is_cut: bool = False
    over: anyio.Event = field(default_factory=anyio.Event)

    def open(self, *, client_handler: ChannelHandler, server_handler: ChannelHandler) -> None:
        """Join the two ends; the server's handler hears of it first."""
        self.client = _MemoryChannel(self, client_handler, identity=None, peer=str(self.address))
        self.server = _MemoryChannel(self, server_handler, identity=self.identity, peer="memory client")
        self.client.other, self.server.other = self.server, self.client
        self.network.links()[self] = None
        self.server.call(lambda: server_handler.opened(self.server))
        self.client.call(lambda: client_handler.opened(self.client))

    def cut(self) -> None:
        """Lose the connection."""
        if not self.is_cut and not self.over.is_set():
            self.is_cut = True
            for end in (self.client, self.server):
                self.network.later(0.0, partial(end.end, Unavailable("the connection was cut")))

    def ended(self) -> None:
        """One end is closed; when both are, nothing is left."""
        if self.client.is_ended and self.server.is_ended:
            self.network.links().pop(self, None)
            self.over.set()


class _MemoryChannel:
    """See ``Channel``."""

    other: _MemoryChannel

    def __init__(self, link: _Link, handler: ChannelHandler, *, identity: PskIdentity | None, peer: str) -> None:
        self.identity = identity
        self.peer = peer
        self.is_ended = False
        self._link = link
        self._handler = handler
        self._is_closing = False
        self._under_way: deque[bytes | None] = deque()
        self._unsent_bytes = 0
        self._last_due = 0.0
        self._drained = anyio.Event()

    @property
    def unsent_bytes(self) -> int:
        """See ``Channel.unsent_bytes``."""
        return self._unsent_bytes

    @property
    def last_received(self) -> float:
        """See ``Channel.last_received``. A connection that is not cut is heard all the time."""
        return self._link.network.clock.monotonic()

    def send(self, data: bytes) -> None:
        """See ``Channel.send``."""
        if self._is_closing or self.is_ended:
            raise Unavailable("the channel is closed")
        for chunk in self._chunks(data):
            self._post(chunk)

    async def drained(self) -> None:
        """See ``Channel.drained``."""
        while self._unsent_bytes > UNSENT_HIGH_WATER_BYTES and not self.is_ended:
            if self._drained.is_set():
                self._drained = anyio.Event()
            await self._drained.wait()

    def close(self, *, reason: str = "") -> None:
        """See ``Channel.close``."""
        if not self._is_closing and not self.is_ended:
            self._is_closing = True
            self._post(None)

    # ---- sending: what is under way arrives in order, each piece not before its time

    def _chunks(self, data: bytes) -> Iterator[bytes]:
        sizes = self._link.network.weather.chunk_bytes
        start = 0
        while start < len(data):
            size = len(data) if sizes is None else self._link.network.random.randint(*sizes)
            yield data[start : start + size]
            start += size

    def _post(self, chunk: bytes | None) -> None:
        network = self._link.network
        now = network.clock.monotonic()
        self._last_due = max(self._last_due, now + network.draw_delay_s())
        self._under_way.append(chunk)
        self._unsent_bytes += len(chunk or b"")
        network.later(self._last_due - now, self._arrive)

    def _arrive(self) -> None:
        if self._link.is_cut or not self._under_way:
            return
        chunk = self._under_way.popleft()
        self._unsent_bytes -= len(chunk or b"")
        if self._unsent_bytes <= UNSENT_HIGH_WATER_BYTES:
            self._drained.set()
        if chunk is None:
            self.other.end(None)
            self.end(None)
        elif self._link.network.random.random() < self._link.network.weather.cut_share:
            self._link.cut()
        else:
            self.other.receive(chunk)

    # ---- receiving

    def receive(self, chunk: bytes) -> None:
        """Hand it to the handler, unless this end was closed meanwhile."""
        if not self.is_ended and not self._is_closing:
            self.call(lambda: self._handler.received(chunk))

    def end(self, error: Exception | None) -> None:
        """The connection is over for this end. Safe twice."""
        if self.is_ended:
            return
        self.is_ended = True
        self._drained.set()
        self.call(lambda: self._handler.closed(error))
        self._link.ended()

    def call(self, callback: Callable[[], object]) -> None:
        """A handler that raises loses its connection, as everywhere."""
        try:
            callback()
        except Exception:
            _log.exception("the handler of %s failed", self.peer)
            self._link.cut()


# ---- what TLS does for QUIC


def _authenticate(server: ServerOptions, client: ClientOptions, *, now_s: float) -> PskIdentity | None:
    if client.psk is None:
        if server.requires_psk:
            raise BadCredential("the server lets in minted credentials only")
        if not client.skip_verification:
            _verify(server.certificate_pem, client)
        return None
    found = server.credentials.find(client.psk.label) if server.credentials is not None else None
    if found is None or client.psk.not_after_s < now_s:
        raise BadCredential("the credential is unknown, expired or was used before")
    psk, identity = found
    if not hmac.compare_digest(psk.secret, client.psk.secret):
        raise BadCredential("the credential is wrong")
    return identity


def _verify(certificate_pem: bytes, client: ClientOptions) -> None:
    # Imported here: a program that runs on a launched instance's credential never needs X.509.
    from cryptography import x509
    from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

    if client.ca_pem is None:
        raise BadCredential("the memory network knows no public certificate authorities; pin one")
    try:
        subject: x509.GeneralName = x509.IPAddress(ip_address(client.server_name))
    except ValueError:
        subject = x509.DNSName(client.server_name)
    verifier = PolicyBuilder().store(Store(x509.load_pem_x509_certificates(client.ca_pem)))
    try:
        leaf, *chain = x509.load_pem_x509_certificates(certificate_pem)
        verifier.build_server_verifier(subject).verify(leaf, chain)  # type: ignore[arg-type]
    except VerificationError as error:
        raise BadCredential(f"the server's certificate is not trusted: {error}") from error
