from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from runtara.errors import Unavailable
from runtara.transport.base import Address
from runtara.transport.quic import sockets
from runtara.transport.quic.sockets import (
    BACKLOG_DATAGRAMS_MAX,
    Sender,
    is_loopback,
    open_client_socket,
    open_server_socket,
    resolve,
)

ADDRESS = Address("127.0.0.1", 0)


def nobody_refuses() -> None:
    raise AssertionError("refused")


@pytest.fixture
def pipe() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a datagram pipe that is full after a few: unlike UDP on one machine."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def sender_of(sock: socket.socket) -> Sender:
    return Sender(sock, asyncio.get_running_loop(), is_connected=True, refused=nobody_refuses)


async def drain(theirs: socket.socket, count: int) -> list[bytes]:
    loop = asyncio.get_running_loop()
    return [await asyncio.wait_for(loop.sock_recv(theirs, 100), 5) for _ in range(count)]


async def test_what_does_not_fit_waits_and_keeps_its_order(pipe: tuple[socket.socket, socket.socket]) -> None:
    sender, expected = sender_of(pipe[0]), [b"%d" % number for number in range(1000)]
    for start in range(0, 1000, 100):
        sender.send([(data, ("nowhere", 0)) for data in expected[start : start + 100]])
    assert await drain(pipe[1], 1000) == expected
    sender.send([(b"after", ("nowhere", 0))])
    assert await drain(pipe[1], 1) == [b"after"]


async def test_what_waits_is_bounded_and_the_rest_is_lost(pipe: tuple[socket.socket, socket.socket]) -> None:
    sender = sender_of(pipe[0])
    sender.send([(b"%d" % number, ("nowhere", 0)) for number in range(3 * BACKLOG_DATAGRAMS_MAX)])
    received = await drain(pipe[1], BACKLOG_DATAGRAMS_MAX)
    assert received == [b"%d" % number for number in range(BACKLOG_DATAGRAMS_MAX)]
    left = 0
    while True:
        try:
            left += len(await asyncio.wait_for(drain(pipe[1], 1), 0.05))
        except TimeoutError:
            break
    # What the pipe itself holds came on top.
    assert left < 1000


async def test_a_closed_sender_forgets_what_waits(pipe: tuple[socket.socket, socket.socket]) -> None:
    sender = sender_of(pipe[0])
    sender.send([(b"x", ("nowhere", 0))] * 5000)
    sender.close()
    sender.close()
    with pytest.raises(TimeoutError):
        await drain_until_empty(pipe[1])


async def drain_until_empty(theirs: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.wait_for(loop.sock_recv(theirs, 100), 0.05)


async def test_a_refusal_is_told_once_whoever_hears_it() -> None:
    refusals: list[None] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        dead = gone.getsockname()
    sock = open_client_socket(socket.AF_INET, dead, address=ADDRESS, buffer_bytes=65536)
    loop = asyncio.get_running_loop()
    sender = Sender(sock, loop, is_connected=True, refused=lambda: refusals.append(None))
    sender.send([(b"first", dead)])
    sender.send([(b"second", dead)])
    assert refusals == [], "not from within the call"
    await asyncio.sleep(0)
    assert len(refusals) == 1
    sock.close()


async def test_an_error_of_the_network_is_a_loss() -> None:
    sock = open_server_socket(socket.AF_INET, ("127.0.0.1", 0), address=ADDRESS, buffer_bytes=65536)
    sender = Sender(sock, asyncio.get_running_loop(), is_connected=False, refused=nobody_refuses)
    sender.send([(bytes(70_000), ("127.0.0.1", 9)), (b"too long, and then this", sock.getsockname())])
    assert await drain(sock, 1) == [b"too long, and then this"]
    sock.close()


def test_without_the_right_to_force_it_the_buffer_is_what_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_SO_RCVBUFFORCE", 9999)
    sock = open_server_socket(socket.AF_INET, ("127.0.0.1", 0), address=ADDRESS, buffer_bytes=100_000)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 100_000
    sock.close()


def test_an_address_that_cannot_be_reached_is_unavailable() -> None:
    with pytest.raises(Unavailable) as caught:
        open_client_socket(socket.AF_INET, ("255.255.255.255", 9), address=ADDRESS, buffer_bytes=65536)
    assert caught.value.attributes["address"] == "127.0.0.1:0"


def test_an_address_that_is_not_ours_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        open_server_socket(socket.AF_INET, ("192.0.2.1", 0), address=ADDRESS, buffer_bytes=65536)


@pytest.mark.parametrize(
    ("host", "is_near"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%lo", False),
    ],
)
def test_loopback_is_known_in_every_notation(host: str, is_near: bool) -> None:
    assert is_loopback((host, 1)) is is_near


async def test_a_name_that_cannot_be_one_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await resolve(Address("a" * 300, 1))


async def test_an_address_resolves_to_itself() -> None:
    assert await resolve(Address("127.0.0.1", 7)) == [(socket.AF_INET, ("127.0.0.1", 7))]
    assert await resolve(Address("::1", 7)) == [(socket.AF_INET6, ("::1", 7, 0, 0))]


async def test_a_name_resolves_to_addresses() -> None:
    assert all(is_loopback(sockaddr) for _, sockaddr in await resolve(Address("localhost", 7)))
