"""An attempt that was stopped and goes on beside its successor: it may not write, and says so when it ends.

A server never launches a successor while a process of its own lives: a timeout and a stop kill what is stopped, too.
So the owner must lose the instance to another server while the process is stopped.

The program stands at a gate and is stopped there. Its gate opens while it is stopped; its successor comes to the same
gate and is held there, still running, when the old attempt goes on and tries to save its next step.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtara.client import Client
from tests.support.images import register_program
from tests.support.processes import adopting_orphans, exit_code_of_orphan, gone, only_attempt_of
from tests.support.server import ServerProcess, serve
from tests.support.steps import World, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LEASE_S = "2"
GATE_AT, STEPS = 2, 4
EXIT_SUPERSEDED = 75


@dataclass
class Stage:
    """A server that owns the instance, one that will, and the program's file and gate."""

    owner: ServerProcess
    heir: ServerProcess
    outside: World
    file: Path

    @property
    def effects(self) -> list[str]:
        return self.file.read_text().splitlines()

    async def stop_the_attempt(self, client: Client) -> tuple[str, int]:
        """An instance whose process stands at the gate, stopped, with the gate's answer waiting; and its pid."""
        await register_program(client, "one_effect")
        self.outside.hold("/gate")
        given = {"file": str(self.file), "steps": STEPS, "gate": f"{self.outside.url}/gate", "gate_at": GATE_AT}
        handle = await client.start_instance("one_effect", input=given)
        await self.outside.asked("/gate", 1)
        pid = only_attempt_of(self.owner.data_dir).pid
        os.kill(pid, signal.SIGSTOP)
        self.outside.release("/gate")
        self.outside.hold("/gate")
        return handle.instance_id, pid

    async def successor_stands_at_the_gate(self) -> None:
        await self.outside.asked("/gate", 2)

    async def assert_only_the_successor_wrote(self, client: Client, instance_id: str) -> None:
        async def attempts() -> dict[str, int]:
            rows = client.checkpoints(instance_id, tenant_id="default")
            return {row.key.rsplit("effect/")[-1]: row.attempt async for row in rows if "effect/" in row.key}

        assert await attempts() == {"0": 1, "1": 1}, "the old attempt wrote"
        self.outside.release("/gate")
        changes = [instance async for instance in client.watch(instance_id, tenant_id="default")]
        assert (changes[-1].status, changes[-1].attempt, changes[-1].output) == ("completed", 2, [1, 1, 2, 2])
        assert await attempts() == {"0": 1, "1": 1, "2": 2, "3": 2}
        events = [e async for e in client.events(instance_id, tenant_id="default")]
        assert [e.attempt for e in events] == sorted(e.attempt for e in events)
        # What was recorded was done once. The old attempt may have done one more step before it heard of its end: that
        # was not recorded.
        assert [effect for effect in self.effects if effect != "1 2"] == ["1 0", "1 1", "2 2", "2 3"]
        assert self.effects.count("1 2") <= 1


def said_by(server: ServerProcess) -> str:
    """What the programs that it launched wrote to stderr."""
    return "".join(path.read_text() for path in (server.data_dir / "instances").rglob("stderr*"))


@asynccontextmanager
async def stage(directory: Path, env: dict[str, str]) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        outside = await stack.enter_async_context(world())
        owner = await stack.enter_async_context(serve(directory / "owner", env=env))
        yield Stage(owner, ServerProcess(directory / "heir", env), outside, directory / "effects")


async def test_a_stopped_attempt_whose_connection_still_stands_cannot_write_after_its_successor_began(
    tmp_path: Path, empty_database_url: str
) -> None:
    shared = {"RUNTARA_DATABASE_URL": empty_database_url, "RUNTARA_ADMIN_PORT": "0", "RUNTARA_LEASE_SECS": LEASE_S}
    async with serve(tmp_path / "core", "--core-only", env=shared) as core:
        # Both launch; all programs connect to the core, which lives on when the owner is killed.
        env = shared | {"RUNTARA_CORE_ADDR": core.ready["instance"]}
        with adopting_orphans():
            async with stage(tmp_path, env) as it, Client.local(core.data_dir) as at_core:
                async with Client.local(it.owner.data_dir) as client:
                    instance_id, pid = await it.stop_the_attempt(client)
                await it.heir.start()
                try:
                    await it.owner.kill()
                    await it.successor_stands_at_the_gate()
                    os.kill(pid, signal.SIGCONT)
                    assert await exit_code_of_orphan(pid) == EXIT_SUPERSEDED
                    assert "successor" in said_by(it.owner)
                    assert it.effects.count("1 2") == 1, "it was to try to write, and it did not get that far"
                    await it.assert_only_the_successor_wrote(at_core, instance_id)
                finally:
                    await it.heir.stop()


async def test_a_server_that_was_stopped_beyond_its_lease_and_its_attempt_cannot_write(
    tmp_path: Path, empty_database_url: str
) -> None:
    env = {"RUNTARA_DATABASE_URL": empty_database_url, "RUNTARA_LEASE_SECS": LEASE_S}
    async with stage(tmp_path, env) as it:
        async with Client.local(it.owner.data_dir) as client:
            instance_id, pid = await it.stop_the_attempt(client)
        await it.heir.start()
        try:
            os.kill(it.owner.pid, signal.SIGSTOP)
            await it.successor_stands_at_the_gate()
            os.kill(it.owner.pid, signal.SIGCONT)
            os.kill(pid, signal.SIGCONT)
            await gone(pid)
            assert "successor" in said_by(it.owner)
            async with Client.local(it.heir.data_dir) as client:
                await it.assert_only_the_successor_wrote(client, instance_id)
        finally:
            await it.heir.stop()
