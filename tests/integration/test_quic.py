"""What only QUIC can do and suffer: datagrams lost, forged, reordered and moved; servers that vanish."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import uvloop

from runtara.errors import InvalidRequest, OutcomeUnknown, Unavailable
from runtara.protocol import messages as m
from runtara.testing.contracts.transport import ANYWHERE, Pair, Raw, Server, ServerIdentity, eventually
from runtara.transport.base import Address, ClientOptions, Transport
from runtara.transport.quic import QuicTransport, quic_transport
from runtara.transport.quic.channel import STREAM_ID
from runtara.transport.quic.libraries import LIBRARIES
from tests.support.certificates import certificates
from tests.support.relay import Relay

MIB = 1024 * 1024
LONG_S = 30.0


def make_server(transport: Transport) -> Server:
    made = certificates()
    return Server(transport, ServerIdentity(made.leaf, made.leaf_key, made.ca, made.other_ca))


@pytest.fixture(params=["qh3", "aioquic"])
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def server(library: str) -> AsyncIterator[Server]:
    server = make_server(quic_transport(library))
    await server.listen()
    yield server
    await server.hang_up()
    await server.listener.aclose()


@asynccontextmanager
async def through_relay(server: Server, *, seed: int = 0, loss: float = 0.0) -> AsyncIterator[Relay]:
    async with Relay(server.address, seed=seed, loss=loss) as relay:
        yield relay
        await server.hang_up()


def endpoint_of(server: Server) -> Any:
    return server.listener._endpoint  # type: ignore[attr-defined]


def vanish(server: Server) -> None:
    """As after kill -9: the socket is gone, and nobody was told."""
    endpoint_of(server).close()


async def ask(pair: Pair, times: int = 1) -> None:
    for number in range(times):
        state = b"%d" % number
        answer = await pair.client.call(m.SaveCheckpoint("k", state), timeout_s=20)
        assert answer == m.CheckpointSaved(state)


# ---- the library


def test_the_library_is_chosen_by_name_and_is_qh3_by_default() -> None:
    assert quic_transport().name == quic_transport("").name == "quic/qh3"
    assert quic_transport("aioquic").name == "quic/aioquic"


def test_an_unknown_library_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        quic_transport("quiche")


def test_a_library_that_is_not_installed_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing(LIBRARIES["qh3"]):  # type: ignore[misc]
        name = "a_library_that_nobody_has"

    monkeypatch.setitem(LIBRARIES, "qh3", Missing)
    with pytest.raises(InvalidRequest) as caught:
        quic_transport("qh3")
    assert caught.value.hint is not None
    assert "pip install" in caught.value.hint
    assert quic_transport().name == "quic/aioquic"


async def test_a_certificate_that_is_none_is_refused_and_gives_the_port_back(server: Server) -> None:
    other = make_server(server.transport)
    with pytest.raises(InvalidRequest):
        await other.listen(replace(server.options, certificate_pem=b"not a certificate"))
    address = await free_address()
    with pytest.raises(InvalidRequest):
        await other.listen(replace(server.options, private_key_pem=b"not a key"), at=address)
    await other.listen(at=address)
    await other.listener.aclose()


async def free_address() -> Address:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return Address(*probe.getsockname())


async def test_a_host_that_nobody_knows_is_unavailable(server: Server) -> None:
    with pytest.raises(Unavailable):
        await server.connect(at=Address("no-such-host.invalid", 1))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_host_with_several_addresses_is_tried_at_each(
    library: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server(quic_transport(library))
    await server.listen(at=Address(host, 0))
    port = server.address.port

    async def both(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
        return [
            (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    await ask(await server.connect(at=Address("both", port)))
    await server.hang_up()
    await server.listener.aclose()


async def test_ipv6_works(library: str) -> None:
    server = make_server(quic_transport(library))
    await server.listen(at=Address("::1", 0))
    pair = await server.connect()
    await ask(pair)
    assert pair.server.channel.peer.startswith("[::1]:")
    await server.hang_up()
    await server.listener.aclose()


def test_it_works_on_uvloop_too(library: str) -> None:
    """Servers run on it; the rest of the tests on asyncio's own loop."""

    async def tour() -> None:
        server = make_server(quic_transport(library))
        await server.listen()
        pairs = [await server.connect() for _ in range(5)]
        pairs.append(await server.connect(options=ClientOptions(psk=server.credentials.mint())))
        await asyncio.gather(*(ask(pair, 50) for pair in pairs))
        state = random.Random(3).randbytes(4 * MIB)
        for side in (pairs[0].client, pairs[0].server):
            assert await side.call(m.SaveCheckpoint("k", state), timeout_s=20) == m.CheckpointSaved(state)
        pairs[0].server.push(m.Drain())
        assert await pairs[0].client_answers.pushed_messages.get() == m.Drain()
        await server.listener.aclose()
        for pair in pairs:
            assert await pair.client.wait_closed() is None

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(tour())


# ---- loss


@pytest.mark.slow
async def test_everything_arrives_though_one_percent_is_lost_each_way(server: Server) -> None:
    async with through_relay(server, seed=1, loss=0.01) as relay:
        pairs = [await server.connect(at=relay.address) for _ in range(10)]
        await asyncio.gather(*(ask(pair, 300) for pair in pairs))
        state = random.Random(1).randbytes(3 * MIB)
        answer = await pairs[0].client.call(m.SaveCheckpoint("k", state), timeout_s=50)
        assert answer == m.CheckpointSaved(state)
        assert relay.lost > 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
async def test_a_handshake_survives_heavy_loss(server: Server, seed: int) -> None:
    async with through_relay(server, seed=seed, loss=0.2) as relay:
        pair = await server.connect(at=relay.address, options=replace(server.client_options, idle_timeout_s=5.0))
        await ask(pair, 10)


# ---- the ACK rule


async def test_a_request_takes_two_datagrams_though_the_answer_takes_a_while(server: Server) -> None:
    async with through_relay(server) as relay:
        pair = await server.connect(at=relay.address)
        pair.server_answers.is_quick = True
        await ask(pair, 20)
        before = relay.passed
        for _ in range(50):
            call = asyncio.ensure_future(pair.client.call(m.GetCheckpoint("k"), timeout_s=10))
            _, reply = await pair.server_answers.requests.get()
            # As long as a commit takes, and longer than the libraries wait with an acknowledgement.
            await asyncio.sleep(0.003)
            reply.send(m.CheckpointState(b""))
            await call
        # Without the rule it is four. Some acknowledgements travel alone where the machine stalls.
        assert relay.passed - before < 150


async def test_an_acknowledgement_does_not_wait_for_an_answer_that_never_comes(server: Server) -> None:
    """Later than the promised 25 ms it would be sent again, and again."""
    async with through_relay(server) as relay:
        options = replace(server.client_options, ping_interval_s=LONG_S, idle_timeout_s=LONG_S)
        pair = await server.connect(at=relay.address, options=options)
        pair.server_answers.is_quick = True
        await ask(pair, 20)
        await asyncio.sleep(0.1)
        before = relay.passed
        call = asyncio.ensure_future(pair.client.call(m.GetCheckpoint("k"), timeout_s=0.4))
        with pytest.raises(OutcomeUnknown):
            await call
        assert relay.passed - before == 2


async def test_a_slow_handshake_does_not_make_a_slow_connection(server: Server) -> None:
    """Qh3 went on pacing by the round trip of the handshake."""
    async with through_relay(server) as relay:
        relay.hold_s = 0.1
        pair = await server.connect(at=relay.address)
        relay.hold_s = 0.0
        # A fifth of a second; it was 2.5.
        async with asyncio.timeout(1.5):
            await ask(pair, 600)


# ---- servers that vanish


async def test_a_vanished_server_is_noticed_without_waiting_for_a_timeout(server: Server) -> None:
    options = replace(server.client_options, idle_timeout_s=LONG_S, ping_interval_s=0.05)
    pair = await server.connect(options=options)
    vanish(server)
    error = await asyncio.wait_for(pair.client.wait_closed(), 2)
    assert isinstance(error, Unavailable)
    assert "gone" in error.message


async def test_a_restarted_server_tells_its_former_clients(server: Server) -> None:
    # Seldom enough that no two pings meet the time in which nobody listens.
    options = replace(server.client_options, idle_timeout_s=LONG_S, ping_interval_s=1.0)
    pair = await server.connect(options=options)
    address = server.address
    vanish(server)
    await server.listen(at=address)
    error = await asyncio.wait_for(pair.client.wait_closed(), 10)
    assert isinstance(error, Unavailable)
    assert "restarted" in error.message
    await ask(await server.connect())


async def test_a_server_with_another_key_is_not_believed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    options = replace(server.client_options, idle_timeout_s=1.0, ping_interval_s=0.1)
    pair = await server.connect(options=options)
    address = server.address
    vanish(server)
    await server.listen(at=address)
    endpoint_of(server).resets._key = b"another"
    error = await asyncio.wait_for(pair.client.wait_closed(), 5)
    assert isinstance(error, Unavailable)
    assert "Idle timeout" in error.message


async def test_a_client_that_vanishes_is_noticed_by_the_idle_timeout(server: Server) -> None:
    pair = await server.connect()
    pair.client.channel.endpoint.close()  # type: ignore[attr-defined]
    error = await asyncio.wait_for(pair.server.wait_closed(), 5)
    assert isinstance(error, Unavailable)


async def test_pings_keep_a_silent_connection(server: Server) -> None:
    options = replace(server.client_options, idle_timeout_s=0.4, ping_interval_s=0.1)
    pair = await server.connect(options=options)
    await asyncio.sleep(1.0)
    await ask(pair)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("port_is_dead", [False, True])
def test_dead_ports_are_noticed_on_every_event_loop(
    library: str, loop_factory: Callable[[], asyncio.AbstractEventLoop], port_is_dead: bool
) -> None:
    async def vanished() -> None:
        server = make_server(quic_transport(library))
        await server.listen()
        options = replace(server.client_options, idle_timeout_s=LONG_S, ping_interval_s=0.05)
        pair = await server.connect(options=options)
        await ask(pair)
        vanish(server)
        assert isinstance(await asyncio.wait_for(pair.client.wait_closed(), 2), Unavailable)

    async def never_there() -> None:
        server = make_server(quic_transport(library))
        with pytest.raises(Unavailable):
            await asyncio.wait_for(server.connect(at=await free_address()), 2)

    case: Callable[[], Awaitable[None]] = never_there if port_is_dead else vanished
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(case())  # type: ignore[arg-type]


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_single_refusal_is_asked_about_and_forgotten(
    library: str, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Uvloop stops reading a socket that had an error."""

    async def case() -> None:
        server = make_server(quic_transport(library))
        await server.listen()
        pair = await server.connect()
        sock = pair.client.channel.endpoint._socket  # type: ignore[attr-defined]
        dead, alive = await free_address(), server.address
        sock.connect((dead.host, dead.port))
        sock.send(b"for nobody")
        sock.connect((alive.host, alive.port))
        await ask(pair, 3)
        await server.hang_up()
        await server.listener.aclose()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(case())


async def test_a_host_that_does_not_answer_is_unavailable_in_time(server: Server) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        options = replace(server.client_options, connect_timeout_s=0.2, idle_timeout_s=LONG_S)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(server.connect(at=Address(*silent.getsockname()), options=options), 2)


async def test_a_client_whose_port_changes_goes_on(server: Server) -> None:
    async with through_relay(server) as relay:
        pair = await server.connect(at=relay.address)
        await ask(pair, 5)
        for _ in range(3):
            relay.move()
            await ask(pair, 5)
        assert len(endpoint_of(server).channels) == 1


async def test_connection_ids_change_and_are_retired(server: Server) -> None:
    pair = await server.connect()
    endpoint, channel = endpoint_of(server), pair.client.channel
    await ask(pair)
    seen, most = set(endpoint._routes), len(endpoint._routes)
    for _ in range(12):
        channel.connection.change_connection_id()  # type: ignore[attr-defined]
        channel.endpoint.touch(channel)  # type: ignore[attr-defined]
        await ask(pair, 2)
        # The replacement travels with a later datagram.
        await eventually(lambda: len(endpoint._routes) >= most)
        seen |= set(endpoint._routes)
    assert len(seen) >= most + 10
    assert len(endpoint._routes) <= most + 2
    pair.client.close()
    await pair.server.wait_closed()
    assert not endpoint._routes


# ---- strangers


class Stranger:
    """A socket that is no client."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect((server.address.host, server.address.port))

    def send(self, data: bytes) -> None:
        self._socket.send(data)

    async def receive(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._socket, 2000)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def stranger(server: Server) -> Any:
    stranger = Stranger(server)
    yield stranger
    stranger.close()


UNKNOWN_VERSION = b"\xc0\x1a\x2a\x3a\x4a\x08ABCDEFGH\x05abcde"


async def test_an_unknown_version_is_answered_with_ours(stranger: Stranger) -> None:
    stranger.send(UNKNOWN_VERSION + bytes(1200))
    answer = await asyncio.wait_for(stranger.receive(), 5)
    assert answer[1:5] == bytes(4)
    assert answer[5:20] == b"\x05abcde\x08ABCDEFGH"
    assert answer[20:] == bytes([0, 0, 0, 1])


async def test_version_negotiation_is_never_answered_nor_amplified(server: Server, stranger: Stranger) -> None:
    stranger.send(b"\xc0\x00\x00\x00\x00" + UNKNOWN_VERSION[5:] + bytes(1200))
    stranger.send(UNKNOWN_VERSION + bytes(400))
    await ask(await server.connect())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stranger.receive(), 0.05)


async def test_garbage_harms_nobody(server: Server, stranger: Stranger) -> None:
    chance = random.Random(7)
    heard: list[bytes] = []
    endpoint = endpoint_of(server)
    pair = await server.connect()
    for channel in endpoint.channels:
        heard += [b"\x40" + connection_id for connection_id in channel.connection_ids]
    for number in range(3000):
        stranger.send(garbage(chance, heard))
        if number % 30 == 0:
            await ask(pair)
    await ask(pair)
    await ask(await server.connect())


def garbage(chance: random.Random, heard: list[bytes]) -> bytes:
    size = chance.choice((0, 1, 5, 6, 7, 20, 21, 40, 200, 1200, 1400, 3000))
    match chance.randrange(5):
        case 0:
            return chance.randbytes(size)
        case 1:
            return bytes([0xC0 | chance.randrange(64)]) + chance.randbytes(size)
        case 2:
            lengths = bytes([chance.choice((0, 8, 20, 21, 255))]) + chance.randbytes(8)
            return b"\xc3\x00\x00\x00\x01" + lengths + chance.randbytes(size)
        case 3:
            return chance.choice(heard) + chance.randbytes(size)
        case _:
            return UNKNOWN_VERSION[: chance.randrange(len(UNKNOWN_VERSION))] + chance.randbytes(size)


def first_packet(number: int) -> bytes:
    """It looks like the first packet of a connection and is none."""
    return b"\xc3\x00\x00\x00\x01\x08" + number.to_bytes(8, "big") + b"\x00\x00\x44\x00" + bytes(1200)


async def test_half_open_connections_are_few_and_end(library: str) -> None:
    server = make_server(quic_transport(library))
    await server.listen(replace(server.options, half_open_max=5, handshake_timeout_s=0.3, idle_timeout_s=LONG_S))
    stranger = Stranger(server)
    for number in range(20):
        stranger.send(first_packet(number))
    endpoint = endpoint_of(server)
    await eventually(lambda: len(endpoint.channels) == 5)
    options = replace(server.client_options, connect_timeout_s=0.1)
    with pytest.raises(Unavailable):
        await server.connect(options=options)
    await eventually(lambda: not endpoint.channels)
    await ask(await server.connect())
    stranger.close()
    await server.listener.aclose()


async def test_half_open_connections_do_not_take_the_place_of_open_ones(server: Server) -> None:
    pairs = [await server.connect() for _ in range(3)]
    assert len(endpoint_of(server).half_open) == 0
    assert len(endpoint_of(server).channels) == 3
    for pair in pairs:
        await ask(pair)


async def test_a_second_stream_ends_the_connection(server: Server) -> None:
    raw = await server.connect_raw()
    channel: Any = raw.channel
    channel.connection.send_stream_data(STREAM_ID + 4, b"another stream", False)
    channel.endpoint.touch(channel)
    await asyncio.wait_for(raw.is_closed.wait(), 5)
    assert isinstance(raw.error, Unavailable)


class Disguised:
    """A connection that differs in some methods."""

    def __init__(self, connection: Any, **methods: Any) -> None:
        self._connection = connection
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        return self._methods.get(name) or getattr(self._connection, name)


async def test_a_client_that_opens_with_something_else_is_refused(library: str, server: Server) -> None:
    class Foreign(LIBRARIES[library]):  # type: ignore[misc]
        def dial(self, configuration: Any) -> Any:
            connection = super().dial(configuration)

            def send(stream_id: int, data: bytes, end_stream: bool = False) -> None:
                connection.send_stream_data(stream_id, b"GET / HTTP/1.1", end_stream)

            return Disguised(connection, send_stream_data=send)

    server.transport = QuicTransport(Foreign())
    with pytest.raises(Unavailable):
        await asyncio.wait_for(server.connect_raw(), 5)
    assert server.accepted.empty()


# ---- faults inside


class Exploding(Exception):
    pass


class Panic(BaseException):
    """As qh3's Rust raises it."""


@pytest.mark.parametrize("fault", [Exploding, Panic])
@pytest.mark.parametrize("where", ["receive", "datagrams_to_send", "get_timer", "next_event", "handle_timer"])
async def test_a_fault_of_the_library_ends_one_connection_only(
    server: Server, where: str, fault: type[BaseException]
) -> None:
    healthy, broken = await server.connect(), await server.connect()
    channel: Any = broken.server.channel

    def fail(*_: object) -> Any:
        raise fault

    methods = ("receive_datagram", "receive_many_datagrams") if where == "receive" else (where,)
    channel.connection = Disguised(channel.connection, **dict.fromkeys(methods, fail))
    broken.client.push(m.SaveCheckpoint("k", bytes(5000)))
    error = await asyncio.wait_for(broken.server.wait_closed(), 5)
    assert isinstance(error, Unavailable)
    await ask(healthy, 3)
    await ask(await server.connect())


class Clumsy(Raw):
    """Raises wherever it is called."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    def opened(self, channel: Any) -> None:
        super().opened(channel)
        self._fail("opened")

    def received(self, data: bytes) -> bool:
        self._fail("received")
        return super().received(data)

    def closed(self, error: Exception | None) -> None:
        super().closed(error)
        self._fail("closed")

    def _fail(self, where: str) -> None:
        if where == self._where:
            raise Exploding


@pytest.mark.parametrize("where", ["opened", "received", "closed"])
async def test_a_fault_of_a_handler_ends_one_connection_only(library: str, where: str) -> None:
    server = make_server(quic_transport(library))
    handlers: list[Raw] = [Raw(), Clumsy(where)]
    to_accept = iter(handlers)
    server.listener = await server.transport.listen(ANYWHERE, server.options, to_accept.__next__)
    healthy, broken = await server.connect_raw(), Raw()
    try:
        channel = await server.transport.connect(server.address, server.client_options, broken)
        channel.send(b"x")
        if where == "closed":
            channel.close()
    except Unavailable:
        assert where == "opened"
    await asyncio.wait_for(handlers[1].is_closed.wait(), 5)
    healthy.channel.send(b"still here")
    await eventually(lambda: handlers[0].data == b"still here")
    await server.listener.aclose()


async def test_an_accept_that_fails_refuses_the_client(library: str) -> None:
    server = make_server(QuicTransport(LIBRARIES[library]()))

    def refuse() -> Any:
        raise Exploding

    server.listener = await server.transport.listen(ANYWHERE, server.options, refuse)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(server.connect_raw(), 5)
    await server.listener.aclose()
