"""The contract of a transport: one ordered, reliable, two-way channel of bytes per connection. Nothing here runs.

It is callback-shaped on purpose: an answer that is sent from within ``received`` can ride in the datagram that
acknowledges the request, and the handler says whether an answer will follow soon (the ACK rule,
docs/decisions/0006-one-endpoint-for-both-quic-libraries.md).
Everything above a channel (frames, requests, sessions) is ``transport.peer``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from runtara.protocol.launch import Psk

__all__ = (
    "UNSENT_HIGH_WATER_BYTES",
    "Address",
    "Channel",
    "ChannelHandler",
    "ClientOptions",
    "CredentialSource",
    "Listener",
    "PskIdentity",
    "ServerOptions",
    "Transport",
)

UNSENT_HIGH_WATER_BYTES: Final = 1024 * 1024
"""Above this a sender that can wait should: see ``Channel.drained``."""


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PskIdentity:
    """Who a minted credential was made for."""

    instance_no: int
    epoch: int
    sequence: int
    """Counts the credentials of an attempt; each is good for one registration."""


class CredentialSource(Protocol):
    """Where a listener finds minted credentials."""

    def find(self, label: bytes) -> tuple[Psk, PskIdentity] | None:
        """The credential of this label; None when it is unknown, expired or spent.

        It proves nothing yet, and is not used up: whoever sees a label may show it. The layer that lets the peer in
        spends it.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How a listener presents itself and whom it lets in."""

    certificate_pem: bytes
    private_key_pem: bytes
    credentials: CredentialSource | None = None
    requires_psk: bool = False
    """True: a connection without a minted credential is closed during its handshake."""
    idle_timeout_s: float = 5.0
    handshake_timeout_s: float = 10.0
    connections_max: int = 10_000
    half_open_max: int = 1_000
    receive_buffer_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How a client proves itself and what it accepts."""

    server_name: str = "localhost"
    ca_pem: bytes | None = None
    """The certificate authority that the server must have; ignored with a ``psk``, which authenticates both sides."""
    psk: Psk | None = None
    skip_verification: bool = False
    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 5.0
    ping_interval_s: float = 1.0


class Channel(Protocol):
    """One open connection."""

    @property
    def identity(self) -> PskIdentity | None:
        """Whose minted credential opened it; None for one with a certificate only, and on the client's side."""

    @property
    def peer(self) -> str:
        """The other side's address, for logs."""

    def send(self, data: bytes) -> None:
        """Queue bytes; they leave with the current step of the loop. Raises ``Unavailable`` when it is closed."""

    @property
    def unsent_bytes(self) -> int:
        """How much was queued and is not yet acknowledged by the peer, as far as the implementation knows."""

    async def drained(self) -> None:
        """Returns when ``unsent_bytes`` is at most ``UNSENT_HIGH_WATER_BYTES``, or the channel is closed."""

    def close(self, *, reason: str = "") -> None:
        """End it; what was queued is still tried. ``closed`` of the handler follows. Safe twice."""

    @property
    def last_received(self) -> float:
        """Monotonic seconds of the last datagram of any kind: liveness without requests."""


class ChannelHandler(Protocol):
    """What the layer above does with a channel. No method may block or raise."""

    def opened(self, channel: Channel) -> None:
        """Called once, before anything else."""

    def received(self, data: bytes) -> bool:
        """The next bytes. True when an answer will be sent within milliseconds: the acknowledgement waits for it."""

    def closed(self, error: Exception | None) -> None:
        """Called once, last. None after a close that either side wanted; ``Unavailable`` after a loss or timeout."""


class Listener(Protocol):
    """An open server socket."""

    @property
    def address(self) -> Address:
        """Where it really listens (a port of 0 was chosen by the system)."""

    async def aclose(self) -> None:
        """Close it and all its channels. Safe twice."""


class Transport(Protocol):
    """A way to carry channels."""

    @property
    def name(self) -> str:
        """``quic/qh3``, ``quic/aioquic`` or ``memory``."""

    async def listen(self, address: Address, options: ServerOptions, accept: Callable[[], ChannelHandler]) -> Listener:
        """Serve; ``accept`` makes the handler of each new channel, after its handshake.

        Raises ``Unavailable`` (with ``address`` among its attributes) when the port is taken.
        """

    async def connect(self, address: Address, options: ClientOptions, handler: ChannelHandler) -> Channel:
        """An open channel; ``handler.opened`` was called.

        Raises:
            BadCredential: the server refused the credential, or its certificate is not the pinned one.
            Unavailable: nobody answered in ``connect_timeout_s``.
        """
