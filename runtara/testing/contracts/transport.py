"""What every transport must do, with a ``Peer`` on top of it. Subclass ``TransportContract`` and give it a network."""

from __future__ import annotations

import asyncio
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from runtara.errors import (
    BadCredential,
    Conflict,
    FrameMalformed,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    OutcomeUnknown,
    Overloaded,
    RuntaraError,
    Unavailable,
    UnsupportedVersion,
)
from runtara.limits import FRAME_BYTES_MAX, GREETING_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX
from runtara.protocol import messages as m
from runtara.protocol.codec import REQUEST, encode
from runtara.protocol.connection import Connection, Event, Goodbye, ReplyReceived, Role
from runtara.protocol.launch import Psk
from runtara.transport.base import (
    UNSENT_HIGH_WATER_BYTES,
    Address,
    Channel,
    ClientOptions,
    Listener,
    PskIdentity,
    ServerOptions,
    Transport,
)
from runtara.transport.peer import Peer, Reply, connect_peer, listen_peers

__all__ = (
    "Answers",
    "Credentials",
    "Link",
    "Pair",
    "Raw",
    "Server",
    "ServerIdentity",
    "TransportContract",
    "eventually",
    "greeted",
    "next_event",
)

ANYWHERE: Final = Address("127.0.0.1", 0)
HELLO: Final = m.Hello((1,), "contract")
MIB: Final = 1024 * 1024


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

    welcome_version: int = 1
    is_quick: bool = False
    """Whether it promises that what it keeps is answered within milliseconds."""
    peer: Peer | None = None
    pushed_messages: asyncio.Queue[m.Message] = field(default_factory=asyncio.Queue)
    requests: asyncio.Queue[tuple[m.Message, Reply]] = field(default_factory=asyncio.Queue)
    error: Exception | None = None
    closings: int = 0
    is_closed: asyncio.Event = field(default_factory=asyncio.Event)

    def opened(self, peer: Peer) -> None:
        """See ``PeerHandler``."""
        self.peer = peer

    def request(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        """Echo a checkpoint's key, refuse to fail, keep what asks for it, and answer the rest with Ok."""
        match message:
            case m.Hello():
                reply.send(m.Welcome(self.welcome_version, "contract"))
            case m.SaveCheckpoint():
                reply.send(m.CheckpointSaved(message.state))
            case m.Fail():
                raise Conflict("as you wish", hint="ask for something else", retry_after_ms=7, answer=[42])
            case m.GetCheckpoint():
                self.requests.put_nowait((message, reply))
                return self.is_quick
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
        self.closings += 1
        self.is_closed.set()


class Credentials:
    """A ``CredentialSource`` that mints."""

    def __init__(self) -> None:
        self._minted: dict[bytes, tuple[Psk, PskIdentity]] = {}

    def mint(self, instance_no: int = 7, epoch: int = 2, *, valid_s: float = 60.0) -> Psk:
        """A credential that ``find`` knows until it is spent."""
        sequence = len(self._minted) + 1
        psk = Psk(secrets.token_bytes(24), secrets.token_bytes(48), time.time() + valid_s)
        self._minted[psk.label] = psk, PskIdentity(instance_no, epoch, sequence)
        return psk

    def find(self, label: bytes) -> tuple[Psk, PskIdentity] | None:
        """See ``CredentialSource.find``."""
        return self._minted.get(label)

    def spend(self, psk: Psk) -> None:
        """It is good no more."""
        del self._minted[psk.label]


class Raw:
    """A ``ChannelHandler`` below the peer, to send what a peer never would."""

    channel: Channel

    def __init__(self) -> None:
        self.data = b""
        self.error: Exception | None = None
        self.is_closed = asyncio.Event()
        self.has_data = asyncio.Event()

    def opened(self, channel: Channel) -> None:
        """See ``ChannelHandler``."""
        self.channel = channel

    def received(self, data: bytes) -> bool:
        """See ``ChannelHandler``."""
        self.data += data
        self.has_data.set()
        return False

    def take(self) -> bytes:
        """What arrived since the last time."""
        data, self.data = self.data, b""
        self.has_data.clear()
        return data

    def closed(self, error: Exception | None) -> None:
        """See ``ChannelHandler``."""
        self.error = error
        self.is_closed.set()


class Server:
    """A listener under test, with what its clients need."""

    def __init__(self, transport: Transport, identity: ServerIdentity) -> None:
        self.transport = transport
        self.identity = identity
        self.credentials = Credentials()
        self.accepted: asyncio.Queue[Answers] = asyncio.Queue()
        self.welcome_version = 1
        self.listener: Listener
        self._clients: list[Peer] = []

    @property
    def options(self) -> ServerOptions:
        """Lets in both minted credentials and clients that pin the CA."""
        return ServerOptions(
            certificate_pem=self.identity.certificate_pem,
            private_key_pem=self.identity.private_key_pem,
            credentials=self.credentials,
            idle_timeout_s=1.0,
        )

    @property
    def client_options(self) -> ClientOptions:
        """Pins the right CA."""
        return ClientOptions(ca_pem=self.identity.ca_pem, idle_timeout_s=1.0, ping_interval_s=0.2)

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.listener.address

    def accept(self) -> Answers:
        """The handler of a new connection."""
        answers = Answers(self.welcome_version)
        self.accepted.put_nowait(answers)
        return answers

    async def listen(self, options: ServerOptions | None = None, *, at: Address = ANYWHERE) -> None:
        """Serve."""
        self.listener = await listen_peers(self.transport, at, options or self.options, self.accept)

    async def connect(
        self, *, at: Address | None = None, options: ClientOptions | None = None, hello: m.Hello = HELLO
    ) -> Pair:
        """A welcomed client, and the handlers of both sides."""
        answers = Answers()
        peer = await connect_peer(
            self.transport, at or self.address, options or self.client_options, hello, answers, timeout_s=10.0
        )
        self._clients.append(peer)
        return Pair(peer, answers, await self.accepted.get())

    async def hang_up(self) -> None:
        """Close all its clients."""
        for client in self._clients:
            client.close()
        for client in self._clients:
            await client.wait_closed()

    async def connect_raw(self) -> Raw:
        """A client without a peer."""
        raw = Raw()
        await self.transport.connect(self.address, self.client_options, raw)
        return raw


@dataclass
class Pair:
    """Both sides of one connection."""

    client: Peer
    client_answers: Answers
    server_answers: Answers

    @property
    def server(self) -> Peer:
        """The server's side."""
        assert self.server_answers.peer is not None
        return self.server_answers.peer


class TransportContract:
    """The suite. A subclass gives the transport, certificates, and a link that can be cut."""

    @pytest.fixture
    def transport(self) -> Transport:
        """Override: the transport under test. May be asynchronous."""
        raise AssertionError("override transport")

    @pytest.fixture
    def identity(self) -> ServerIdentity:
        """Override: certificates."""
        raise AssertionError("override identity")

    def link(self, transport: Transport, address: Address) -> AbstractAsyncContextManager[Link]:
        """Override: a way to the address that can be cut."""
        raise AssertionError("override link")

    @pytest.fixture
    async def server(self, transport: Transport, identity: ServerIdentity) -> AsyncIterator[Server]:
        """A server that listens, and closes at the end."""
        server = Server(transport, identity)
        await server.listen()
        yield server
        await server.hang_up()
        await server.listener.aclose()

    @pytest.fixture
    async def pair(self, server: Server) -> Pair:
        """A connection."""
        return await server.connect()

    # ---- asking, both ways

    async def test_both_sides_know_what_was_said_at_the_greeting(self, pair: Pair) -> None:
        assert pair.client.welcome == m.Welcome(1, "contract")
        assert pair.server.hello == HELLO
        assert pair.server.welcome == pair.client.welcome

    async def test_a_client_asks_a_server(self, pair: Pair) -> None:
        answer = await pair.client.call(m.SaveCheckpoint("k", b"state"), timeout_s=5)
        assert answer == m.CheckpointSaved(b"state")

    async def test_a_server_asks_a_client(self, pair: Pair) -> None:
        answer = await pair.server.call(m.SaveCheckpoint("k", b"state"), timeout_s=5)
        assert answer == m.CheckpointSaved(b"state")

    async def test_both_sides_push(self, pair: Pair) -> None:
        pair.client.push(m.Ping())
        pair.server.push(m.Drain())
        assert await pair.server_answers.pushed_messages.get() == m.Ping()
        assert await pair.client_answers.pushed_messages.get() == m.Drain()

    async def test_an_error_arrives_whole(self, pair: Pair) -> None:
        with pytest.raises(Conflict) as caught:
            await pair.client.call(m.Fail(b"{}"), timeout_s=5)
        error = caught.value
        assert (error.message, error.hint, error.retry_after_ms) == ("as you wish", "ask for something else", 7)
        assert error.attributes == {"answer": [42]}

    async def test_a_handler_that_breaks_answers_with_an_internal_error(self, pair: Pair) -> None:
        with pytest.raises(InternalError):
            await pair.client.call(m.Yield(), timeout_s=5)
        assert await pair.client.call(m.Ping(), timeout_s=5) == m.Ok()

    async def test_many_requests_under_way_are_answered_in_order(self, pair: Pair) -> None:
        answers: list[m.Message | RuntaraError] = []
        is_done = asyncio.Event()

        def on_reply(outcome: m.Message | RuntaraError) -> None:
            answers.append(outcome)
            if len(answers) == 1000:
                is_done.set()

        for number in range(1000):
            pair.client.send_request(m.SaveCheckpoint("k", b"%d" % number), on_reply)
        await asyncio.wait_for(is_done.wait(), 20)
        assert answers == [m.CheckpointSaved(b"%d" % number) for number in range(1000)]

    async def test_an_answer_may_come_later_and_out_of_order(self, pair: Pair) -> None:
        calls = [asyncio.ensure_future(pair.client.call(m.GetCheckpoint(key), timeout_s=10)) for key in "abc"]
        held = [await pair.server_answers.requests.get() for _ in calls]
        for message, reply in reversed(held):
            assert isinstance(message, m.GetCheckpoint)
            reply.send(m.CheckpointState(message.key.encode()))
        assert await asyncio.gather(*calls) == [m.CheckpointState(key) for key in (b"a", b"b", b"c")]

    async def test_only_the_first_answer_counts(self, pair: Pair) -> None:
        call = asyncio.ensure_future(pair.client.call(m.GetCheckpoint("k"), timeout_s=5))
        _, reply = await pair.server_answers.requests.get()
        reply.send(m.CheckpointState(b"first"))
        reply.send(m.CheckpointState(b"second"))
        reply.fail(Conflict("third"))
        assert await call == m.CheckpointState(b"first")
        assert await pair.client.call(m.Ping(), timeout_s=5) == m.Ok()

    @pytest.mark.parametrize("size", [0, 1, 1200, 100_000, 16 * MIB])
    async def test_messages_of_every_size_arrive(self, pair: Pair, size: int) -> None:
        state = secrets.token_bytes(size)
        answer = await pair.client.call(m.SaveCheckpoint("k", state), timeout_s=50)
        assert answer == m.CheckpointSaved(state)

    async def test_a_sender_can_wait_until_the_peer_has_caught_up(self, pair: Pair) -> None:
        pair.client.push(m.SaveCheckpoint("k", bytes(4 * MIB)))
        assert pair.client.channel.unsent_bytes > 0
        await asyncio.wait_for(pair.client.drained(), 20)
        assert pair.client.channel.unsent_bytes <= UNSENT_HIGH_WATER_BYTES
        await asyncio.wait_for(pair.server_answers.pushed_messages.get(), 20)

    async def test_liveness_shows_without_requests(self, pair: Pair) -> None:
        before = pair.server.channel.last_received
        await eventually(lambda: pair.server.channel.last_received > before)

    # ---- limits

    async def test_a_message_over_the_frame_limit_does_not_leave(self, pair: Pair) -> None:
        with pytest.raises(LimitExceeded) as caught:
            await pair.client.call(m.SaveCheckpoint("k", bytes(FRAME_BYTES_MAX)), timeout_s=5)
        assert caught.value.attributes["maximum"] == FRAME_BYTES_MAX
        assert await pair.client.call(m.Ping(), timeout_s=5) == m.Ok()

    async def test_an_answer_over_the_frame_limit_becomes_an_error(self, pair: Pair) -> None:
        call = asyncio.ensure_future(pair.client.call(m.GetCheckpoint("k"), timeout_s=10))
        _, reply = await pair.server_answers.requests.get()
        reply.send(m.CheckpointState(bytes(FRAME_BYTES_MAX)))
        with pytest.raises(LimitExceeded):
            await call

    async def test_one_request_too_many_is_refused_where_it_is_asked(self, pair: Pair) -> None:
        outcomes: list[m.Message | RuntaraError] = []
        for number in range(REQUESTS_IN_FLIGHT_MAX):
            pair.client.send_request(m.GetCheckpoint(str(number)), outcomes.append)
        with pytest.raises(Overloaded) as caught:
            pair.client.send_request(m.Ping(), outcomes.append)
        assert caught.value.retry_after_ms
        _, reply = await pair.server_answers.requests.get()
        reply.send(m.CheckpointState(b""))
        await eventually(lambda: bool(outcomes))
        assert outcomes == [m.CheckpointState(b"")]
        assert await pair.client.call(m.Ping(), timeout_s=5) == m.Ok()

    async def test_one_request_too_many_is_refused_where_it_arrives(self, server: Server) -> None:
        raw, connection = await greeted(server, requests_in_flight_max=REQUESTS_IN_FLIGHT_MAX + 1)
        for number in range(REQUESTS_IN_FLIGHT_MAX + 1):
            raw.channel.send(connection.request(m.GetCheckpoint(str(number)), context=number))
        event = await next_event(raw, connection)
        assert isinstance(event, ReplyReceived)
        assert event.context == REQUESTS_IN_FLIGHT_MAX
        assert isinstance(event.outcome, Overloaded)
        assert event.outcome.retry_after_ms

    # ---- what is no protocol

    @pytest.mark.parametrize(
        ("data", "error_type"),
        [
            (b"\x00\x00\x00\x00", FrameMalformed),
            (b"\x00\x00\x00\x03abc", FrameMalformed),
            (b"\x00\x00\x00\x04\x93\x00\x01\xc1", FrameMalformed),
            (b"\x00\x00\x00\x05\x93\x07\x01\x91\x04", FrameMalformed),
            (b"\x00\x00\x00\x05\x93\x01\x63\x91\x03", FrameMalformed),
            (b"\xff\xff\xff\xff", LimitExceeded),
            ((FRAME_BYTES_MAX + 1).to_bytes(4, "big"), LimitExceeded),
        ],
        ids=["empty", "no-msgpack", "cut-off", "unknown-kind", "unasked-answer", "huge", "one-too-long"],
    )
    async def test_a_malformed_frame_ends_the_connection(
        self, server: Server, data: bytes, error_type: type[RuntaraError]
    ) -> None:
        raw, connection = await greeted(server)
        raw.channel.send(data)
        event = await next_event(raw, connection)
        assert isinstance(event, Goodbye)
        assert isinstance(event.error, error_type)
        await asyncio.wait_for(raw.is_closed.wait(), 5)
        answers = await server.accepted.get()
        await asyncio.wait_for(answers.is_closed.wait(), 5)
        assert isinstance(answers.error, error_type)

    async def test_a_request_that_is_not_understood_is_refused_and_the_connection_lives(self, server: Server) -> None:
        raw, connection = await greeted(server)
        for body in (b"\x91\xcd\x27\x0f", b"\x92\x0e\x01", b"\xc0"):
            connection.request(m.Ping(), context="unknown")
            number = connection.requests_asked
            payload = b"\x93\x00" + bytes([number]) + body
            raw.channel.send(len(payload).to_bytes(4, "big") + payload)
            event = await next_event(raw, connection)
            assert isinstance(event, ReplyReceived)
            assert isinstance(event.outcome, FrameMalformed)
        raw.channel.send(connection.request(m.Ping(), context="known"))
        assert await next_event(raw, connection) == ReplyReceived("known", m.Ok())

    async def test_a_frame_that_is_cut_off_by_the_close_is_nothing(self, server: Server) -> None:
        raw, connection = await greeted(server)
        frame = connection.request(m.SaveCheckpoint("k", bytes(1000)), context=None)
        raw.channel.send(frame[:-1])
        raw.channel.close()
        await asyncio.wait_for(raw.is_closed.wait(), 5)
        answers = await server.accepted.get()
        await asyncio.wait_for(answers.is_closed.wait(), 5)
        assert answers.error is None

    async def test_bytes_may_arrive_one_by_one(self, server: Server) -> None:
        raw, connection = await greeted(server)
        for byte in connection.request(m.Ping(), context="whole"):
            raw.channel.send(bytes([byte]))
            await asyncio.sleep(0)
        assert await next_event(raw, connection) == ReplyReceived("whole", m.Ok())

    # ---- the greeting

    async def test_without_a_common_version_the_client_is_told(self, server: Server) -> None:
        with pytest.raises(UnsupportedVersion) as caught:
            await server.connect(hello=m.Hello((99,), "future"))
        assert caught.value.attributes == {"supported": [1]}

    async def test_a_client_refuses_a_version_that_it_did_not_offer(self, server: Server) -> None:
        server.welcome_version = 2
        with pytest.raises(UnsupportedVersion):
            await server.connect()

    async def test_before_the_welcome_nothing_is_served(self, server: Server) -> None:
        raw = await server.connect_raw()
        raw.channel.send(encode(REQUEST, 1, m.Ping(), frame_bytes_max=1000))
        connection: Connection[str] = Connection(Role.CLIENT)
        connection.request(HELLO, context="hello")
        event = await next_event(raw, connection)
        assert isinstance(event, ReplyReceived)
        assert isinstance(event.outcome, InvalidRequest)
        assert event.outcome.message == "say hello first"

    async def test_a_hello_over_the_greeting_limit_ends_the_connection(self, server: Server) -> None:
        with pytest.raises(LimitExceeded):
            await server.connect(hello=m.Hello((1,), "long", token="x" * GREETING_BYTES_MAX))

    # ---- credentials

    async def test_a_minted_credential_says_who_it_is(self, server: Server) -> None:
        pair = await server.connect(options=ClientOptions(psk=server.credentials.mint(7, 2)))
        assert pair.server.channel.identity == PskIdentity(instance_no=7, epoch=2, sequence=1)
        assert pair.client.channel.identity is None
        assert await pair.client.call(m.Ping(), timeout_s=5) == m.Ok()
        pair.client.close()

    async def test_a_certificate_gives_no_identity(self, pair: Pair) -> None:
        assert pair.server.channel.identity is None

    @pytest.mark.parametrize("requires_psk", [False, True])
    async def test_bad_minted_credentials_are_refused(
        self, transport: Transport, identity: ServerIdentity, requires_psk: bool
    ) -> None:
        server = Server(transport, identity)
        await server.listen(replace(server.options, requires_psk=requires_psk))
        used = server.credentials.mint()
        pair = await server.connect(options=ClientOptions(psk=used))
        server.credentials.spend(used)
        minted = server.credentials.mint()
        bad = {
            "used before": used,
            "never made": Psk(secrets.token_bytes(24), secrets.token_bytes(48), time.time() + 60),
            "expired": server.credentials.mint(valid_s=-1.0),
            "wrong secret": _with_another_secret(minted),
        }
        for what, psk in bad.items():
            with pytest.raises(BadCredential):
                await asyncio.wait_for(server.connect(options=ClientOptions(psk=psk)), 5)
            assert server.accepted.empty(), what
        pair.client.close()
        await server.listener.aclose()

    async def test_a_stranger_who_knows_a_label_cannot_use_it_up(self, server: Server) -> None:
        minted = server.credentials.mint()
        with pytest.raises(BadCredential):
            await server.connect(options=ClientOptions(psk=_with_another_secret(minted)))
        pair = await server.connect(options=ClientOptions(psk=minted))
        assert pair.server.channel.identity is not None
        pair.client.close()

    async def test_without_a_credential_a_listener_for_instances_lets_nobody_in(
        self, transport: Transport, identity: ServerIdentity
    ) -> None:
        server = Server(transport, identity)
        await server.listen(replace(server.options, requires_psk=True))
        with pytest.raises(BadCredential):
            await asyncio.wait_for(server.connect(), 5)
        assert server.accepted.empty()
        await server.listener.aclose()

    @pytest.mark.parametrize("what", ["another CA", "another name"])
    async def test_a_server_that_is_not_the_pinned_one_is_refused(self, server: Server, what: str) -> None:
        options = {
            "another CA": replace(server.client_options, ca_pem=server.identity.other_ca_pem),
            "another name": replace(server.client_options, server_name="elsewhere.example"),
        }[what]
        with pytest.raises(BadCredential):
            await asyncio.wait_for(server.connect(options=options), 5)
        assert server.accepted.empty()

    async def test_verification_can_be_switched_off(self, server: Server) -> None:
        pair = await server.connect(options=ClientOptions(skip_verification=True, server_name="elsewhere.example"))
        assert await pair.client.call(m.Ping(), timeout_s=5) == m.Ok()
        pair.client.close()

    # ---- listeners

    async def test_a_port_in_use_is_unavailable(self, server: Server) -> None:
        with pytest.raises(Unavailable) as caught:
            await listen_peers(server.transport, server.address, server.options, server.accept)
        assert caught.value.attributes["address"] == str(server.address)
        assert (await server.connect()).client.welcome is not None

    async def test_two_listeners_do_not_mix(self, server: Server) -> None:
        other = Server(server.transport, server.identity)
        await other.listen()
        assert other.address != server.address
        await other.connect()
        assert server.accepted.empty()
        with pytest.raises(BadCredential):
            await server.connect(options=ClientOptions(psk=other.credentials.mint()))
        await other.listener.aclose()
        assert (await server.connect()).client.welcome is not None

    async def test_a_closed_listener_gives_its_port_back(self, server: Server) -> None:
        address = server.address
        await server.listener.aclose()
        await server.listener.aclose()
        with pytest.raises(Unavailable):
            await server.connect(at=address, options=replace(server.client_options, connect_timeout_s=0.5))
        await server.listen(at=address)
        assert (await server.connect()).client.welcome is not None

    async def test_nobody_there_is_unavailable(self, server: Server) -> None:
        nowhere = Address(server.address.host, 9)
        with pytest.raises(Unavailable):
            await server.connect(at=nowhere, options=replace(server.client_options, connect_timeout_s=0.5))

    async def test_a_full_listener_lets_nobody_in(self, transport: Transport, identity: ServerIdentity) -> None:
        server = Server(transport, identity)
        await server.listen(replace(server.options, connections_max=1))
        first = await server.connect()
        options = replace(server.client_options, connect_timeout_s=0.3)
        with pytest.raises(Unavailable):
            await server.connect(options=options)
        first.client.close()
        await first.server.wait_closed()
        assert (await server.connect()).client.welcome is not None
        await server.listener.aclose()

    # ---- the end

    @pytest.mark.parametrize("closer", ["client", "server"])
    async def test_either_side_closes(self, pair: Pair, closer: str) -> None:
        peer = pair.client if closer == "client" else pair.server
        peer.close(reason="enough")
        peer.close(reason="really")
        assert await asyncio.wait_for(pair.client.wait_closed(), 5) is None
        assert await asyncio.wait_for(pair.server.wait_closed(), 5) is None
        for side in (pair.client, pair.server):
            with pytest.raises(Unavailable) as caught:
                await side.call(m.Ping(), timeout_s=5)
            assert not isinstance(caught.value, OutcomeUnknown)
            side.push(m.Ping())

    async def test_what_was_sent_before_the_close_arrives(self, pair: Pair) -> None:
        state = secrets.token_bytes(3 * MIB)
        pair.server.push(m.SaveCheckpoint("k", state))
        pair.server.push(m.Fenced())
        pair.server.close()
        assert await asyncio.wait_for(pair.client_answers.pushed_messages.get(), 20) == m.SaveCheckpoint("k", state)
        assert await asyncio.wait_for(pair.client_answers.pushed_messages.get(), 5) == m.Fenced()
        assert await asyncio.wait_for(pair.client.wait_closed(), 5) is None

    async def test_a_request_in_flight_at_the_close_has_an_unknown_outcome(self, pair: Pair) -> None:
        call = asyncio.ensure_future(pair.client.call(m.GetCheckpoint("k"), timeout_s=10))
        _, reply = await pair.server_answers.requests.get()
        pair.server.close()
        with pytest.raises(OutcomeUnknown):
            await call
        reply.send(m.CheckpointState(b"too late"))

    async def test_a_closed_listener_closes_its_connections(self, server: Server) -> None:
        pairs = [await server.connect() for _ in range(3)]
        await server.listener.aclose()
        for pair in pairs:
            assert await asyncio.wait_for(pair.client.wait_closed(), 5) is None

    async def test_a_request_that_is_not_answered_in_time_has_an_unknown_outcome(self, pair: Pair) -> None:
        with pytest.raises(OutcomeUnknown):
            await pair.client.call(m.GetCheckpoint("k"), timeout_s=0.05)
        _, reply = await pair.server_answers.requests.get()
        reply.send(m.CheckpointState(b"late"))
        assert await pair.client.call(m.Ping(), timeout_s=5) == m.Ok()

    async def test_a_caller_that_is_cancelled_disturbs_nobody(self, pair: Pair) -> None:
        call = asyncio.ensure_future(pair.client.call(m.GetCheckpoint("k"), timeout_s=10))
        _, reply = await pair.server_answers.requests.get()
        call.cancel()
        reply.send(m.CheckpointState(b"unheard"))
        assert await pair.client.call(m.Ping(), timeout_s=5) == m.Ok()
        assert call.cancelled()

    async def test_a_cut_leaves_the_outcome_unknown(self, server: Server) -> None:
        async with self.link(server.transport, server.address) as link:
            pair = await server.connect(at=link.address)
            call = asyncio.ensure_future(pair.client.call(m.GetCheckpoint("k"), timeout_s=20))
            await pair.server_answers.requests.get()
            link.cut()
            with pytest.raises(OutcomeUnknown):
                await call
            assert isinstance(await pair.client.wait_closed(), Unavailable)
            assert isinstance(await pair.server.wait_closed(), Unavailable)
            with pytest.raises(Unavailable) as caught:
                await pair.client.call(m.Ping(), timeout_s=5)
            assert not isinstance(caught.value, OutcomeUnknown)

    async def test_handlers_hear_of_the_end_once_and_last(self, pair: Pair) -> None:
        pair.client.close()
        await asyncio.wait_for(pair.client_answers.is_closed.wait(), 5)
        await asyncio.wait_for(pair.server_answers.is_closed.wait(), 5)
        assert pair.client_answers.closings == pair.server_answers.closings == 1
        assert pair.client.is_closed


def _with_another_secret(psk: Psk) -> Psk:
    """Its label with a secret that does not belong to it."""
    return Psk(psk.label, secrets.token_bytes(48), psk.not_after_s)


async def eventually(is_true: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Returns when it is. For what nobody announces."""
    async with asyncio.timeout(within_s):
        while not is_true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def greeted(
    server: Server, *, requests_in_flight_max: int = REQUESTS_IN_FLIGHT_MAX
) -> tuple[Raw, Connection[object]]:
    """A raw client that was welcomed, and the connection that makes its frames."""
    raw = await server.connect_raw()
    connection: Connection[object] = Connection(Role.CLIENT, requests_in_flight_max=requests_in_flight_max)
    raw.channel.send(connection.request(HELLO, context="hello"))
    await next_event(raw, connection)
    return raw, connection


async def next_event(raw: Raw, connection: Connection[Any]) -> Event[Any]:
    """What the server says next, which must be one thing."""
    while True:
        events = connection.receive(raw.take())
        if events:
            assert len(events) == 1
            return events[0]
        await asyncio.wait_for(raw.has_data.wait(), 10)
