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
from tests.support.images import register_scenario
from tests.support.processes import gone, only_attempt_of
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


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    async with world() as outside, serve(tmp_path / "data") as server, Client.local(tmp_path / "data") as client:
        image = await register_scenario(client, chain(outside.url, STEPS), tmp_path)
        outside.hold("/3")
        handle = await client.start_instance(image, input={})
        await outside.arrived("/3")
        yield Run(server, client, outside, handle)


async def kill_instance(run: Run) -> None:
    pid = only_attempt_of(run.server.data_dir).pid
    os.kill(pid, signal.SIGKILL)
    await gone(pid)


async def kill_server(run: Run) -> None:
    await run.server.kill()
    await run.server.start()


async def kill_database(run: Run) -> None:
    """Its server brings it back."""
    pid = int((run.server.data_dir / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    await gone(pid)


async def kill_server_and_instance(run: Run) -> None:
    pid = only_attempt_of(run.server.data_dir).pid
    await run.server.kill()
    os.kill(pid, signal.SIGKILL)
    await gone(pid)
    await run.server.start()


KILLS: list[Callable[[Run], Awaitable[None]]] = [kill_instance, kill_server, kill_database, kill_server_and_instance]


@pytest.mark.parametrize("kill", KILLS)
async def test_a_run_completes_by_itself_after_a_kill_in_the_middle_of_a_step(
    run: Run, kill: Callable[[Run], Awaitable[None]]
) -> None:
    killed_at = asyncio.get_running_loop().time()
    await kill(run)
    back_at = asyncio.get_running_loop().time()
    run.world.release("/3")
    result = await run.handle.result(timeout_s=60)

    assert result["last"]["body"] == {"path": f"/{STEPS}"}
    counts = run.world.counts
    assert {path: counts[path] for path in ("/1", "/2", "/4", "/5")} == dict.fromkeys(("/1", "/2", "/4", "/5"), 1)
    assert 1 <= counts["/3"] <= 2
    assert len(run.world.keys("/3")) == 1, "a repeated step carries the same idempotency key"
    resumed_at = next(request.at for request in run.world.requests if request.at > killed_at)
    print(
        f"{kill.__name__}: the first resumed step {(resumed_at - killed_at) * 1e3:.0f} ms after the kill, "
        f"{(resumed_at - back_at) * 1e3:.0f} ms after it was back"
    )
    assert resumed_at - back_at < RESUMED_WITHIN_S
