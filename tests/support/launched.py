"""Programs of a whole server that do nothing themselves: a test holds their launch records, and speaks for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from runtara.client import Client
from runtara.protocol import messages as m
from runtara.protocol.launch import LaunchRecord, Psk
from runtara.testing.contracts.transport import Answers
from runtara.transport.base import ClientOptions
from runtara.transport.peer import Peer, connect_peer
from tests.support.management import Program, World


async def launch(world: World, client: Client, *instance_ids: str) -> dict[str, LaunchRecord]:
    """What the server told each of them, when all of them run. The client's tenant has an image ``orders`` then."""
    records: dict[str, LaunchRecord] = {}
    launched = {instance_id: asyncio.Event() for instance_id in instance_ids}

    async def keeps_its_record(program: Program) -> int:
        record = program.process.request.record
        records[record.instance_id] = record
        launched[record.instance_id].set()
        await anyio.sleep_forever()
        return 0

    await client.register_image(b"print('orders')\n", name="orders")
    for instance_id in instance_ids:
        world.behaviours[instance_id] = keeps_its_record
        await client.start_instance("orders", instance_id=instance_id, input={"secret": 1})
        await launched[instance_id].wait()
    return records


@asynccontextmanager
async def connected(world: World, psk: Psk) -> AsyncIterator[Peer]:
    """A welcomed connection with that credential, not registered yet."""
    hello = m.Hello(m.PROTOCOL_VERSIONS, "the program itself")
    address, options = world.server.instance_address, ClientOptions(psk=psk)
    peer = await connect_peer(world.network.transport(), address, options, hello, Answers(), timeout_s=10.0)
    try:
        yield peer
    finally:
        peer.close()
        await peer.wait_closed()
