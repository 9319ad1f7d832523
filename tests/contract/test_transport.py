from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from runtara.testing.contracts.transport import Link, ServerIdentity, TransportContract
from runtara.transport.base import Address, Transport
from runtara.transport.memory import MemoryNetwork, Weather
from runtara.transport.quic import quic_transport
from tests.support.certificates import certificates
from tests.support.relay import Relay


class WithCertificates(TransportContract):
    @pytest.fixture
    def identity(self) -> ServerIdentity:
        made = certificates()
        return ServerIdentity(made.leaf, made.leaf_key, made.ca, made.other_ca)


class RelayLink(Link):
    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    @property
    def address(self) -> Address:
        return self._relay.address

    def cut(self) -> None:
        self._relay.cut()


class OverQuic(WithCertificates):
    library: str

    @pytest.fixture
    def transport(self) -> Transport:
        return quic_transport(self.library)

    @asynccontextmanager
    async def link(self, transport: Transport, address: Address) -> AsyncIterator[Link]:
        async with Relay(address) as relay:
            yield RelayLink(relay)


class TestQuicWithQh3(OverQuic):
    library = "qh3"


class TestQuicWithAioquic(OverQuic):
    library = "aioquic"


class MemoryLink(Link):
    def __init__(self, network: MemoryNetwork, address: Address) -> None:
        self._network = network
        self._address = address

    @property
    def address(self) -> Address:
        return self._address

    def cut(self) -> None:
        self._network.cut()


class OverMemory(WithCertificates):
    weather = Weather()

    @pytest.fixture
    async def network(self) -> AsyncIterator[MemoryNetwork]:
        async with MemoryNetwork(seed=1, weather=self.weather) as network:
            yield network

    @pytest.fixture
    def transport(self, network: MemoryNetwork) -> Transport:
        self.network_under_test = network
        return network.transport()

    @asynccontextmanager
    async def link(self, transport: Transport, address: Address) -> AsyncIterator[Link]:
        yield MemoryLink(self.network_under_test, address)


class TestMemory(OverMemory):
    pass


class TestMemoryInBadWeather(OverMemory):
    weather = Weather(delay_s=(0.0, 0.001), chunk_bytes=(1, 200_000))
