"""What every transport must do, with a ``Peer`` on top of it. Subclass ``TransportContract`` and give it a network."""

from __future__ import annotations

import asyncio
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from runtara.errors import (
    BadCredential,
    Conflict,
    FrameMalformed,
    InvalidRequest,
    LimitExceeded,
    OutcomeUnknown,
    Overloaded,
    RuntaraError,
    Unavailable,
    UnsupportedVersion,
)
from runtara.limits import FRAME_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX
from runtara.protocol import messages as m
from runtara.protocol.launch import Psk
from runtara.transport.base import (
    Address,
    Channel,
    ClientOptions,
    CredentialSource,
    Listener,
    PskIdentity,
    ServerOptions,
    Transport,
)
from runtara.transport.peer import Peer, Reply, connect_peer, listen_peers

__all__ = ("Link", "ServerIdentity", "TransportContract")

ANYWHERE = Address("127.0.0.1", 0)
MIB = 1024 * 1024


@dataclass(frozen=True)
class ServerIdentity:
    """Certificates of the test, in PEM. The leaf is for ``localhost``."""

    certificate_pem: bytes
    private_key_pem: bytes
    ca_pem: bytes
    other_ca_pem: bytes


class Link(ABC):
    """The way between a client and a server that the test can cut."""

    @property
    @abstractmethod
    def address(self) -> Address:
        """Where the client connects to."""

    @abstractmethod
    def cut(self) -> None:
        """From now on nothing passes in either direction; both sides notice sooner or later."""


@dataclass
class Answers:
    """A ``PeerHandler`` for tests: echoes, fails, holds back, and remembers everything."""

    version: int = 1
    peer: Peer | None = None
    pushed_messages: asyncio.Queue[m.Message] = field(default_factory=asyncio.Queue)
    requests: asyncio.Queue[tuple[m.Message, Reply]] = field(default_factory=asyncio.Queue)
    error: Exception | None = None
    is_closed: asyncio.Event = field(default_factory=asyncio.Event)

    def opened(self, peer: Peer) -> None:
        """See ``PeerHandler``."""
        self.peer = peer

    def request(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        """Echo a checkpoint's key, refuse to fail, keep what asks for it, and answer the rest with Ok."""
        match message:
            case m.Hello():
                reply.send(m.Welcome(self.version, "contract"))
            case m.SaveCheckpoint():
                reply.send(m.CheckpointSaved(message.state))
            case m.Fail():
                raise Conflict("as you wish", hint="ask for something else", retry_after_ms=7, answer=[42])
            case m.GetCheckpoint():
                self.requests.put_nowait((message, reply))
                return False
            case m.Yield():
                raise ZeroDivisionError
            case _:
                reply.send(m.Ok())
        return True

    def pushed(self, peer: Peer, message: m.Message) -> None:
        """See ``PeerHandler``."""
        self.pushed_messages.put_nowait(message)

    def closed(self, peer: Peer, error: Exception | None) -> None:
        """See ``PeerHandler``."""
        self.error = error
        self.is_closed.set()


class Credentials:
    """A ``CredentialSource`` that mints."""

    def __init__(self) -> None:
        self._minted: dict[bytes, tuple[Psk, PskIdentity]] = {}

    def mint(self, instance_no: int = 7, epoch: int = 2, *, valid_s: float = 60.0) -> Psk:
        """A credential that ``take`` knows once."""
        sequence = len(self._minted) + 1
        psk = Psk(secrets.token_bytes(24), secrets.token_bytes(48), time.time() + valid_s)
        self._minted[psk.label] = psk, PskIdentity(instance_no, epoch, sequence)
        return psk

    def take(self, label: bytes) -> tuple[Psk, PskIdentity] | None:
        """See ``CredentialSource.take``."""
        return self._minted.pop(label, None)


class Pair:
    """A listener with everything that its clients need."""

    def __init__(self, transport: Transport, identity: ServerIdentity, listener: Listener) -> None:
        self.transport = transport
        self.identity = identity
        self.listener = listener
        self.accepted: asyncio.Queue[Answers] = asyncio.Queue()

    @property
    def client_options(self) -> ClientOptions:
        """Pins the right CA."""
        return ClientOptions(ca_pem=self.identity.ca_pem, connect_timeout_s=5.0, idle_timeout_s=1.0)

    async def connect(
        self, *, at: Address | None = None, options: ClientOptions | None = None, hello: m.Hello | None = None
    ) -> tuple[Peer, Answers]:
        """A welcomed client and the handler of the server's side of it."""
        peer = await connect_peer(
            self.transport,
            at or self.listener.address,
            options or self.client_options,
            hello or m.Hello((1,), "contract"),
            Answers(),
            timeout_s=10.0,
        )
        return peer, await self.accepted.get()


class TransportContract:
    """The suite. ``make test`` runs it over QUIC with each library and over memory."""

    @pytest.fixture
    async def transport(self) -> AsyncIterator[Transport]:
        """Override: the transport under test."""
        raise NotImplementedError
        yield

    @pytest.fixture
    def identity(self) -> ServerIdentity:
        """Override: certificates."""
        raise NotImplementedError

    def link(self, transport: Transport, address: Address) -> AbstractAsyncContextManager[Link]:
        """Override: a way to the address that can be cut."""
        raise NotImplementedError
