from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from runtara.errors import Unavailable
from runtara.protocol import messages as m
from runtara.testing.clock import ManualClock
from runtara.testing.contracts.transport import Raw, Server, ServerIdentity
from runtara.transport.base import Address, ClientOptions, ServerOptions
from runtara.transport.memory import MemoryNetwork, Weather
from tests.support.certificates import certificates


def server_options() -> ServerOptions:
    made = certificates()
    return ServerOptions(certificate_pem=made.leaf, private_key_pem=made.leaf_key)


CLIENT = ClientOptions(skip_verification=True)
ROUGH = Weather(chunk_bytes=(1, 50), cut_share=0.02)


async def history(seed: int) -> list[bytes]:
    """The pieces in which one message after the other arrives until the connection is cut."""
    network, pieces = MemoryNetwork(seed=seed, weather=ROUGH), []
    transport = network.transport()

    class Listening(Raw):
        def received(self, data: bytes) -> bool:
            pieces.append(data)
            return super().received(data)

    listening = Listening()
    listener = await transport.listen(Address("host", 0), server_options(), lambda: listening)
    channel = await transport.connect(listener.address, CLIENT, Raw())
    while not listening.is_closed.is_set():
        channel.send(bytes(range(100)))
        await channel.drained()
        await asyncio.sleep(0)
        if channel.unsent_bytes == 0 and listening.is_closed.is_set():
            break
    return pieces


async def test_the_same_seed_is_the_same_history() -> None:
    first, again, other = await history(1), await history(1), await history(2)
    assert first == again
    assert first != other
    assert max(map(len, first)) <= 50


async def test_a_delay_takes_the_clock_s_time_and_keeps_the_order() -> None:
    clock = ManualClock()
    weather = Weather()
    async with MemoryNetwork(seed=3, clock=clock, weather=weather) as network:
        transport, receiver = network.transport(), Raw()
        listener = await transport.listen(Address("host", 0), server_options(), lambda: receiver)
        channel = await transport.connect(listener.address, CLIENT, Raw())
        weather.delay_s = (1.0, 60.0)
        for number in range(20):
            channel.send(bytes([number]))
        await clock.advance(timedelta(seconds=0.5))
        assert receiver.data == b""
        await clock.advance(timedelta(seconds=60))
        assert receiver.data == bytes(range(20))
        channel.send(b"under way at the end")


async def test_ports_are_given_and_taken() -> None:
    transport = MemoryNetwork().transport()
    first = await transport.listen(Address("host", 0), server_options(), Raw)
    second = await transport.listen(Address("host", 0), server_options(), Raw)
    assert first.address != second.address
    with pytest.raises(Unavailable):
        await transport.listen(second.address, server_options(), Raw)


async def test_a_network_is_alone() -> None:
    listener = await MemoryNetwork().transport().listen(Address("host", 0), server_options(), Raw)
    with pytest.raises(Unavailable):
        await MemoryNetwork().transport().connect(listener.address, CLIENT, Raw())


async def test_a_handler_that_raises_loses_its_connection_only() -> None:
    class Broken(Raw):
        def received(self, data: bytes) -> bool:
            raise ZeroDivisionError

    handlers = [Broken(), Raw()]
    transport = MemoryNetwork().transport()
    listener = await transport.listen(Address("host", 0), server_options(), iter(handlers).__next__)
    clients = [Raw(), Raw()]
    channels = [await transport.connect(listener.address, CLIENT, client) for client in clients]
    for channel in channels:
        channel.send(b"x")
    await asyncio.wait_for(clients[0].is_closed.wait(), 5)
    assert isinstance(clients[0].error, Unavailable)
    assert isinstance(handlers[0].error, Unavailable)
    assert handlers[1].data == b"x"
    assert not clients[1].is_closed.is_set()


async def test_a_cut_says_how_many_connections_it_cost() -> None:
    made = certificates()
    network = MemoryNetwork()
    server = Server(network.transport(), ServerIdentity(made.leaf, made.leaf_key, made.ca, made.other_ca))
    await server.listen()
    pairs = [await server.connect() for _ in range(3)]
    assert network.cut() == 3
    for pair in pairs:
        assert isinstance(await pair.client.wait_closed(), Unavailable)
    assert network.cut() == 0
    again = await server.connect()
    assert await again.client.call(m.Ping(), timeout_s=5) == m.Ok()
