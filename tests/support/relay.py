"""A UDP relay between clients and a server, which loses datagrams by a seed and can be cut, held up and moved."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from runtara.transport.base import Address


class Relay:
    """Clients send to ``address``; for each of them a socket of its own talks to the server."""

    def __init__(self, server: Address, *, seed: int = 0, loss: float = 0.0) -> None:
        self.loss = loss
        self.lost = 0
        self.passed = 0
        self.is_cut = False
        self.hold_s = 0.0
        """How long datagrams of the server are held up."""
        self._server = server
        self._random = random.Random(seed)
        self._ways: dict[Any, _Way] = {}
        self._transport: asyncio.DatagramTransport

    async def __aenter__(self) -> Relay:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Front(self), local_addr=("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()
        for way in self._ways.values():
            way.close()

    @property
    def address(self) -> Address:
        return Address(*self._transport.get_extra_info("sockname")[:2])

    def cut(self) -> None:
        """Nothing passes any more."""
        self.is_cut = True

    def move(self) -> None:
        """From now on the server sees every client at another port, as behind a router that forgot."""
        for way in self._ways.values():
            way.close()
        self._ways.clear()

    def up(self, data: bytes, client: Any) -> None:
        if self._passes():
            if client not in self._ways:
                self._ways[client] = _Way(self, client, self._server)
            self._ways[client].send(data)

    def down(self, data: bytes, client: Any) -> None:
        if self._passes() and not self._transport.is_closing():
            if self.hold_s:
                asyncio.get_running_loop().call_later(self.hold_s, self._transport.sendto, data, client)
            else:
                self._transport.sendto(data, client)

    def _passes(self) -> bool:
        passes = not self.is_cut and self._random.random() >= self.loss
        self.passed += passes
        self.lost += not passes
        return passes


class _Front(asyncio.DatagramProtocol):
    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._relay.up(data, addr)


class _Way(asyncio.DatagramProtocol):
    """The socket of one client."""

    def __init__(self, relay: Relay, client: Any, server: Address) -> None:
        self._relay = relay
        self._client = client
        self._early: list[bytes] | None = []
        self._transport: asyncio.DatagramTransport | None = None
        loop = asyncio.get_running_loop()
        self._opening = loop.create_task(
            loop.create_datagram_endpoint(lambda: self, remote_addr=(server.host, server.port))
        )

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        for data in self._early or ():
            transport.sendto(data)
        self._early = None

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._relay.down(data, self._client)

    def send(self, data: bytes) -> None:
        if self._early is not None:
            self._early.append(data)
        elif self._transport is not None:
            self._transport.sendto(data)

    def close(self) -> None:
        self._opening.cancel()
        if self._transport is not None:
            self._transport.close()
