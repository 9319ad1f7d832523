"""The roles of a server: durability without managed processes, and instances that connect to another server."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from runtara.client import Client, InstanceCancelled
from runtara.config import environ_subset
from tests.support.command import Command
from tests.support.server import ServerProcess, serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ADDER = Path(__file__).parent / "programs" / "adder.py"


async def start_program(server: ServerProcess, instance_id: str) -> asyncio.subprocess.Process:
    """A program that nobody launched."""
    environment = environ_subset(("PATH", "HOME", "RUNTARA_QUIC")) | {
        "RUNTARA_INSTANCE_ID": instance_id,
        "RUNTARA_TENANT_ID": "acme",
        "RUNTARA_SERVER_ADDR": server.ready["instance"],
        "RUNTARA_CA_FILE": str(server.data_dir / "tls" / "ca.pem"),
        "RUNTARA_TOKEN": (server.data_dir / "admin-token").read_text().strip(),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, ADDER, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def said(program: asyncio.subprocess.Process, text: str) -> None:
    """Returns when the program has printed that line."""
    async with asyncio.timeout(30):
        while (line := (await program.stdout.readline()).decode().strip()) != text:
            assert line, "it ended"


async def logged(client: Client, instance_id: str, text: str) -> None:
    """Returns when the launched program has printed that."""
    logs = b""
    async with asyncio.timeout(30), aclosing(client.logs(instance_id, follow=True)) as chunks:
        async for chunk in chunks:
            logs += chunk
            if text.encode() in logs:
                return
    raise AssertionError(f"it ended; it said {logs!r}")


@pytest.fixture
async def core(tmp_path):
    async with serve(tmp_path / "core", "--core-only", env={"RUNTARA_ADMIN_PORT": "0"}) as server:
        yield server


async def test_a_program_that_nobody_launched_is_durable_on_a_core_only_server(core, tmp_path):
    command = Command(tmp_path, core.data_dir)
    async with Client.local(core.data_dir) as client:
        first = await start_program(core, "self-1")
        await said(first, "saved 6")
        first.kill()
        await first.wait()
        second = await start_program(core, "self-1")
        await command("signal", "self-1", "go", "--payload", '{"ok": true}')
        assert await second.wait() == 0
        instance = await client.get_instance("self-1")
        checkpoints = [(row.key, row.attempt) async for row in client.checkpoints("self-1")]
    assert (instance.status, instance.tenant_id, instance.image_id) == ("completed", "acme", None)
    assert instance.output == {"total": 6, "signal": {"ok": True}}
    assert [attempt for _, attempt in checkpoints] == [2, 1, 1, 1]
    assert (await command("list", "--status", "completed", "--json")).json[0]["instance_id"] == "self-1"


async def test_a_program_that_nobody_launched_can_be_cancelled(core, tmp_path):
    command = Command(tmp_path, core.data_dir)
    async with Client.local(core.data_dir) as client:
        program = await start_program(core, "self-2")
        await said(program, "saved 6")
        await command("cancel", "self-2")
        assert await program.wait() == 0
        assert (await client.get_instance("self-2")).status == "cancelled"


async def test_a_program_without_a_good_token_is_refused(core):
    environment = environ_subset(("PATH", "HOME", "RUNTARA_QUIC")) | {
        "RUNTARA_INSTANCE_ID": "self-3",
        "RUNTARA_TENANT_ID": "acme",
        "RUNTARA_SERVER_ADDR": core.ready["instance"],
        "RUNTARA_CA_FILE": str(core.data_dir / "tls" / "ca.pem"),
    }
    for token in ({}, {"RUNTARA_TOKEN": "rt_" + "x" * 43}):
        program = await asyncio.create_subprocess_exec(
            sys.executable, ADDER, env=environment | token, stderr=asyncio.subprocess.PIPE
        )
        _, err = await program.communicate()
        assert program.returncode != 0
        assert b"token" in err
    async with Client.local(core.data_dir) as client:
        assert [row async for row in client.list_instances()] == []


async def test_instances_connect_to_the_server_that_they_are_told(tmp_path, empty_database_url):
    database = {"RUNTARA_DATABASE_URL": empty_database_url, "RUNTARA_ADMIN_PORT": "0"}
    async with serve(tmp_path / "core", "--core-only", env=database) as core:
        told = database | {"RUNTARA_CORE_ADDR": core.ready["instance"]}
        async with (
            serve(tmp_path / "environment", env=told) as environment,
            Client.local(environment.data_dir) as client,
            Client.local(core.data_dir) as at_core,
        ):
            await client.register_image(ADDER, name="adder")
            handle = await client.start_instance("adder", input={"numbers": [4, 5]})
            await logged(client, handle.instance_id, "saved 9")
            assert (await at_core.get_instance(handle.instance_id)).status == "running"
            await handle.send_custom_signal("go", 1)
            assert await handle.result(timeout_s=30) == {"total": 9, "signal": 1}
            other = await client.start_instance("adder")
            await logged(client, other.instance_id, "saved 6")
            await at_core.cancel(other.instance_id)
            with pytest.raises(InstanceCancelled):
                await other.result(timeout_s=30)
