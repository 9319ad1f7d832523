"""Starting, stopping, breaking: a whole server on fakes."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import anyio
import pytest

from runtara.client import Client
from runtara.errors import InternalError, SchemaTooNew, Unavailable
from runtara.server import RuntaraServer
from runtara.server.data_directory import DataDirInUse, DataDirUnusable, hold
from runtara.server.parts import Parts
from tests.support.management import completes, memory_server, memory_world

ARTIFACT = b"print('hello')\n"


@pytest.fixture
async def world(tmp_path):
    async with memory_world(tmp_path / "data") as world:
        yield world


def nothing_is_left(world):
    assert world.opened == world.closed
    assert not world.server.data_dir.endpoints.exists()
    with hold(world.config.data_dir):
        pass


async def test_inside_the_block_it_serves_and_after_it_nothing_is_left(world):
    async with world.server as server:
        assert server.instance_address.port != server.management_address.port
        assert json.loads(server.data_dir.endpoints.read_bytes())["management"] == str(server.management_address)
        async with world.client() as client:
            health = await client.health()
    assert health.healthy
    assert health.detail["database"] == "in memory"
    nothing_is_left(world)
    with pytest.raises(Unavailable, match="does not run"):
        _ = server.management_address


async def test_starting_twice_is_starting_once_and_so_is_stopping(world):
    await asyncio.gather(world.server.start(), world.server.start())
    await world.server.start()
    assert world.opened == 1
    await asyncio.gather(world.server.stop(), world.server.stop())
    await world.server.stop()
    nothing_is_left(world)


async def test_it_can_be_started_again(world):
    for _ in range(2):
        async with world.server, world.client() as client:
            assert (await client.health()).healthy
    assert world.opened == world.closed == 2


async def test_stopping_what_never_started_is_fine(world):
    await world.server.stop()


async def test_a_second_server_on_the_directory_is_refused_and_the_first_goes_on(world):
    async with world.server:
        with pytest.raises(DataDirInUse):
            await world.new_server().start()
        async with world.client() as client:
            assert (await client.health()).healthy


async def test_a_cancelled_host_gets_an_orderly_stop(world):
    serving = anyio.Event()

    async def host():
        async with world.server:
            serving.set()
            await anyio.sleep_forever()

    task = asyncio.create_task(host())
    await serving.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    nothing_is_left(world)


async def test_a_host_that_is_cancelled_while_it_starts_leaves_nothing(world):
    opening = anyio.Event()

    @asynccontextmanager
    async def never(config, data):
        opening.set()
        await anyio.sleep_forever()
        yield

    parts = Parts(open_database=never, transport=world.network.transport(), runner=lambda data: None)
    server = RuntaraServer(world.config, parts=parts)
    task = asyncio.create_task(server.start())
    await opening.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    nothing_is_left(world)


async def test_a_stop_that_is_cancelled_hurries_and_still_leaves_nothing(tmp_path):
    async with memory_world(tmp_path / "data", drain_s=3600) as world:
        await world.server.start()
        async with world.client() as client:
            await client.register_image(ARTIFACT, name="orders")
            handle = await client.start_instance("orders", instance_id="i-1")
            async for instance in handle.changes():
                if instance.status == "running":
                    break
        task = asyncio.create_task(world.server.stop())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        nothing_is_left(world)
        assert (await world.instance("i-1", "default")).status == "suspended"


@pytest.mark.parametrize("error", [Unavailable("the database is away"), SchemaTooNew("too new")], ids=lambda e: e.code)
async def test_a_database_that_cannot_be_used_is_told_as_it_is(world, error):
    @asynccontextmanager
    async def broken(config, data):
        raise error
        yield

    server = RuntaraServer(
        world.config,
        parts=Parts(open_database=broken, transport=world.network.transport(), runner=lambda data: None),
    )
    with pytest.raises(type(error)) as caught:
        await server.start()
    assert caught.value is error
    nothing_is_left(world)


@pytest.mark.parametrize("port", ["quic_port", "env_quic_port"])
async def test_a_port_in_use_is_typed_and_leaves_nothing(world, tmp_path, port):
    async with world.server:
        taken = {"quic_port": world.server.instance_address, "env_quic_port": world.server.management_address}[port]
        async with memory_world(tmp_path / "other", **{port: taken.port}) as other:
            other.network = world.network
            other.server = other.new_server()
            with pytest.raises(Unavailable, match="in use"):
                await other.server.start()
            nothing_is_left(other)


async def test_a_directory_that_cannot_be_used_is_typed(world, tmp_path):
    (tmp_path / "file").touch()
    async with memory_world(tmp_path / "file") as other:
        with pytest.raises(DataDirUnusable):
            await other.server.start()


async def test_a_server_that_breaks_cancels_its_block_and_says_why(world):
    async def host():
        async with world.server as server:
            server.assembly.management.group.start_soon(_break)
            await anyio.sleep_forever()

    with pytest.raises(InternalError, match="the writer is gone"):
        await host()
    nothing_is_left(world)


async def _break():
    raise InternalError("the writer is gone")


async def test_a_server_that_breaks_can_be_waited_for(world):
    await world.server.start()
    world.server.assembly.management.group.start_soon(_break)
    await world.server.wait_stopping()
    with pytest.raises(InternalError, match="the writer is gone"):
        await world.server.stop()
    nothing_is_left(world)


async def test_a_stop_that_is_asked_for_is_told_to_whoever_waits(world):
    async with world.server as server:
        asyncio.get_running_loop().call_soon(server.request_stop)
        await server.wait_stopping()
    nothing_is_left(world)


async def test_a_stopping_server_takes_no_new_work_but_answers(world):
    async with world.server as server, world.client(request_timeout_s=0.2) as client:
        image = await client.register_image(ARTIFACT, name="orders")
        server.assembly.management.is_draining = True
        with pytest.raises(Unavailable, match="stopping"):
            await client.start_instance("orders")
        with pytest.raises(Unavailable, match="stopping"):
            await client.register_image(ARTIFACT, name="other")
        assert (await client.get_image("orders")).image_id == image.image_id


async def test_what_ran_is_suspended_by_a_stop_and_goes_on_at_the_next_start(world):
    async with world.server, world.client() as client:
        await client.register_image(ARTIFACT, name="orders")
        handle = await client.start_instance("orders", instance_id="i-1")
        async for instance in handle.changes():
            if instance.status == "running":
                break
    parked = await world.instance("i-1", "default")
    assert (parked.status, parked.termination_reason) == ("suspended", "shutdown_requested")
    world.behaviours["i-1"] = completes
    async with world.server, world.client() as client:
        instance = [instance async for instance in client.watch("i-1")][-1]
    assert (instance.status, instance.output, instance.attempt) == ("completed", {"total": 3}, 2)


async def test_its_administrators_token_is_the_same_after_a_restart(world):
    async with world.server:
        token = world.server.data_dir.admin_token.read_text()
    async with world.server:
        assert world.server.data_dir.admin_token.read_text() == token
        assert world.server.data_dir.admin_token.stat().st_mode & 0o777 == 0o600
        async with world.client() as client:
            assert len(await client.list_tokens()) == 1


async def test_a_revoked_administrators_token_is_replaced_at_the_next_start(world):
    async with world.server, world.client() as client:
        (token,) = await client.list_tokens()
        await client.revoke_token(token.token_id)
        former = world.server.data_dir.admin_token.read_text()
    async with world.server, world.client() as client:
        assert world.server.data_dir.admin_token.read_text() != former
        assert len(await client.list_tokens()) == 2


async def test_a_core_only_server_answers_for_instances_and_runs_no_images(tmp_path):
    async with memory_server(tmp_path / "data", core_only=True) as world, world.client() as client:
        assert (await client.health()).healthy
        assert [instance async for instance in client.list_instances()] == []
        with pytest.raises(Exception, match="does not answer RegisterImage"):
            await client.register_image(ARTIFACT, name="orders")


async def test_an_insecure_server_takes_strangers_for_administrators(tmp_path):
    async with memory_server(tmp_path / "data", insecure_dev=True) as world:
        client = Client.connect(
            str(world.server.management_address),
            ca=world.server.data_dir.ca_certificate,
            transport=world.network.transport(),
        )
        async with client:
            await client.register_image(ARTIFACT, name="orders")
            await client.create_token(tenant_id="acme")


async def test_a_server_on_all_interfaces_is_told_as_loopback(tmp_path):
    async with memory_world(tmp_path / "data", bind_host="0.0.0.0") as world, world.server as server:
        assert server.management_address.host == "127.0.0.1"
