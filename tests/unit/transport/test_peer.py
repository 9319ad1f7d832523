"""What the contract of the transport does not show: the peer above a channel that misbehaves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from runtara.errors import FrameMalformed, OutcomeUnknown, Unavailable
from runtara.limits import UNSENT_BYTES_MAX
from runtara.protocol import messages as m
from runtara.protocol.connection import Connection, ReplyReceived, RequestReceived, Role
from runtara.testing.contracts.transport import Answers, Server, ServerIdentity
from runtara.transport.base import Address, Channel, PskIdentity
from runtara.transport.memory import MemoryNetwork, Weather
from runtara.transport.peer import Peer, connect_peer, listen_peers
from tests.support.certificates import certificates

HELLO = m.Hello((1,), "test")


@dataclass
class Pipe:
    """A channel that keeps what is sent and can pretend that nobody reads it."""

    identity: PskIdentity | None = None
    peer: str = "pipe"
    last_received: float = 0.0
    unsent_bytes: int = 0
    sent: list[bytes] = field(default_factory=list)
    closed_because: str | None = None
    may_drain: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    async def drained(self) -> None:
        if self.unsent_bytes:
            await self.may_drain.wait()

    def close(self, *, reason: str = "") -> None:
        self.closed_because = reason


def server_peer(pipe: Pipe, answers: Answers) -> tuple[Peer, Connection[str]]:
    """A server's peer on the pipe, and the client's connection that was welcomed by it."""
    peer, client = Peer(answers, role=Role.SERVER), Connection[str](Role.CLIENT)
    channel: Channel = pipe
    peer.opened(channel)
    peer.received(client.request(HELLO, context="hello"))
    assert client.receive(pipe.sent.pop()) == [ReplyReceived("hello", m.Welcome(1, "contract"))]
    return peer, client


async def test_the_channel_hears_whether_an_answer_follows() -> None:
    pipe = Pipe()
    peer, client = server_peer(pipe, Answers())
    assert peer.received(client.request(m.Ping(), context="answered at once"))
    assert not peer.received(client.request(m.GetCheckpoint("k"), context="answered some time"))
    assert not peer.received(client.push(m.Ping()))
    assert not peer.received(client.request(m.Ping(), context="half")[:-1])
    peer.closed(None)


async def test_a_peer_that_does_not_read_is_given_up() -> None:
    pipe = Pipe()
    peer, _ = server_peer(pipe, Answers())
    pipe.unsent_bytes = UNSENT_BYTES_MAX + 1
    message = m.CheckpointState(bytes(300_000))
    while pipe.closed_because is None:
        assert len(pipe.sent) < 10
        peer.push(message)
    assert pipe.closed_because == "unread"
    peer.closed(None)
    assert isinstance(await peer.wait_closed(), Unavailable)


async def test_a_peer_that_reads_slowly_is_not() -> None:
    pipe = Pipe()
    peer, _ = server_peer(pipe, Answers())
    pipe.unsent_bytes = UNSENT_BYTES_MAX
    for _ in range(20):
        peer.push(m.CheckpointState(bytes(300_000)))
    assert pipe.closed_because is None
    peer.closed(None)


async def test_a_request_that_cannot_leave_in_time_was_not_made() -> None:
    pipe = Pipe()
    peer, _ = server_peer(pipe, Answers())
    pipe.unsent_bytes = 1
    with pytest.raises(Unavailable) as caught:
        await peer.call(m.Ping(), timeout_s=0.01)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert pipe.sent == []
    peer.closed(None)


async def test_an_answer_after_the_close_is_ignored() -> None:
    pipe, answers = Pipe(), Answers()
    peer, client = server_peer(pipe, answers)
    peer.received(client.request(m.GetCheckpoint("k"), context="held"))
    _, reply = await answers.requests.get()
    peer.close()
    reply.send(m.CheckpointState(b"late"))
    assert pipe.sent == []


async def test_what_comes_after_the_own_close_is_not_served() -> None:
    pipe, answers = Pipe(), Answers()
    peer, client = server_peer(pipe, answers)
    peer.close()
    peer.received(client.push(m.Ping()) + client.request(m.Ping(), context="late"))
    assert answers.pushed_messages.empty()
    assert pipe.sent == []


async def test_a_broken_protocol_is_said_and_closed() -> None:
    pipe, answers = Pipe(), Answers()
    peer, client = server_peer(pipe, answers)
    peer.received(b"\x00\x00\x00\x00")
    assert "malformed" in (pipe.closed_because or "")
    assert len(pipe.sent) == 1
    client.receive(pipe.sent[0])
    peer.closed(None)
    assert isinstance(await peer.wait_closed(), FrameMalformed)


async def test_a_server_answers_from_the_client_s_own_bytes() -> None:
    """The two sans-I/O sides talk through nothing but bytes."""
    pipe = Pipe()
    peer, client = server_peer(pipe, Answers())
    asked = asyncio.ensure_future(peer.call(m.SaveCheckpoint("k", b"s"), timeout_s=5))
    await asyncio.sleep(0)
    [request] = client.receive(pipe.sent.pop())
    assert request == RequestReceived(1, m.SaveCheckpoint("k", b"s"))
    peer.received(client.reply(1, m.Ok()))
    assert await asked == m.Ok()
    peer.closed(None)


# ---- over the memory network


@pytest.fixture
def server() -> Server:
    made = certificates()
    network = MemoryNetwork()
    return Server(network.transport(), ServerIdentity(made.leaf, made.leaf_key, made.ca, made.other_ca))


async def test_a_client_that_says_no_hello_is_closed(server: Server) -> None:
    server.listener = await listen_peers(
        server.transport, Address("host", 0), server.options, server.accept, greeting_s=0.01
    )
    raw = await server.connect_raw()
    await asyncio.wait_for(raw.is_closed.wait(), 5)
    answers = await server.accepted.get()
    assert isinstance(answers.error, Unavailable)


async def test_a_welcomed_client_is_not_closed_for_being_late(server: Server) -> None:
    server.listener = await listen_peers(
        server.transport, Address("host", 0), server.options, server.accept, greeting_s=0.01
    )
    pair = await server.connect()
    await asyncio.sleep(0.03)
    assert await pair.client.call(m.Ping(), timeout_s=5) == m.Ok()


async def test_a_connection_that_is_lost_before_the_welcome_is_unavailable(server: Server) -> None:
    network = MemoryNetwork(weather=Weather(cut_share=1.0))
    server.transport = network.transport()
    await server.listen()
    with pytest.raises(Unavailable) as caught:
        await server.connect()
    assert not isinstance(caught.value, OutcomeUnknown)


class Mute(Answers):
    def request(self, peer: Peer, message: m.Message, reply: object) -> bool:
        return False


async def test_a_server_that_does_not_answer_hello_is_unavailable(server: Server) -> None:
    listener = await listen_peers(server.transport, Address("host", 0), server.options, Mute)
    with pytest.raises(Unavailable) as caught:
        await connect_peer(server.transport, listener.address, server.client_options, HELLO, Answers(), timeout_s=0.02)
    assert not isinstance(caught.value, OutcomeUnknown)


class Rude(Answers):
    def request(self, peer: Peer, message: m.Message, reply: object) -> bool:
        reply.send(m.Ok())  # type: ignore[attr-defined]
        return True


async def test_a_server_that_answers_hello_with_something_else_is_refused(server: Server) -> None:
    listener = await listen_peers(server.transport, Address("host", 0), server.options, Rude)
    with pytest.raises(FrameMalformed):
        await connect_peer(server.transport, listener.address, server.client_options, HELLO, Answers(), timeout_s=5)
