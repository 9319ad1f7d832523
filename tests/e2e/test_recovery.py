"""Kill anything at the worst moment: the run completes by itself, and no completed step is done twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtara.client import Client, InstanceHandle
from runtara.compiler import CompilationInput, compile_scenario
from tests.support.server import ServerProcess, serve
from tests.support.steps import World, chain, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

STEPS = 5
RESUMED_WITHIN_S = 2.0


@dataclass
class Run:
    """A chain of steps that stands in its third request."""

    server: ServerProcess
    client: Client
    world: World
    handle: InstanceHandle

    async def instance_pid(self) -> int:
        """The process of the running attempt."""
        output = await _children(self.server.pid)
        return next(pid for pid, command in output if "runtara.sdk.boot" in command)


async def _children(parent: int) -> list[tuple[int, str]]:
    process = await asyncio.create_subprocess_exec(
        "ps", "-eo", "pid,args", "--no-headers", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    rows = (line.strip().partition(" ") for line in output.decode().splitlines())
    return [(int(pid), command) for pid, _, command in rows]


async def register_chain(client: Client, scenario: dict[str, object], directory: Path) -> str:
    compiled = compile_scenario(
        CompilationInput(
            tenant_id="default",
            scenario_id="chain",
            version=1,
            execution_graph=scenario,
            output=directory / "chain.pyz",
        ),
        data_dir=directory / "compiler",
    )
    return (await client.register_image(compiled.binary_path, name="chain")).image_id


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    async with world() as outside, serve(tmp_path / "data") as server, Client.local(tmp_path / "data") as client:
        image = await register_chain(client, chain(outside.url, STEPS), tmp_path)
        outside.hold("/3")
        handle = await client.start_instance(image, input={})
        await outside.arrived("/3")
        yield Run(server, client, outside, handle)


async def kill_instance(run: Run) -> None:
    os.kill(await run.instance_pid(), signal.SIGKILL)


async def kill_server(run: Run) -> None:
    await run.server.kill()
    await run.server.start()


async def kill_database(run: Run) -> None:
    pid = int((run.server.data_dir / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)


async def kill_server_and_instance(run: Run) -> None:
    pid = await run.instance_pid()
    await run.server.kill()
    os.kill(pid, signal.SIGKILL)
    await run.server.start()


KILLS: list[Callable[[Run], Awaitable[None]]] = [kill_instance, kill_server, kill_database, kill_server_and_instance]


@pytest.mark.parametrize("kill", KILLS)
async def test_a_run_completes_by_itself_after_a_kill_in_the_middle_of_a_step(
    run: Run, kill: Callable[[Run], Awaitable[None]]
) -> None:
    await kill(run)
    back_at = asyncio.get_running_loop().time()
    run.world.release("/3")
    result = await run.handle.result(timeout_s=60)

    assert result["last"]["body"] == {"path": f"/{STEPS}"}
    counts = run.world.counts
    assert {path: counts[path] for path in ("/1", "/2", "/4", "/5")} == dict.fromkeys(("/1", "/2", "/4", "/5"), 1)
    assert 1 <= counts["/3"] <= 2
    assert len(run.world.keys("/3")) == 1, "a repeated step carries the same idempotency key"
    first_after = next(request.at for request in run.world.requests if request.at > back_at)
    print(f"{kill.__name__}: first resumed step {(first_after - back_at) * 1e3:.0f} ms after the kill")
    assert first_after - back_at < RESUMED_WITHIN_S
