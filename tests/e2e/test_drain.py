"""A stop of the server leaves nothing running, whatever the programs do, and the next start goes on with all."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runtara.client import Client, Event, InstanceHandle
from runtara.errors import NotFound
from tests.support.images import register_program, register_scenario
from tests.support.processes import attempts_of, gone
from tests.support.server import ServerProcess, refuses_new_work, serve
from tests.support.steps import World, chain, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

DRAIN_S = 1.0
# SIGTERM, two seconds for it, SIGKILL, and the time to write down what was killed.
ENDED_WITHIN_S = DRAIN_S + 2.0 + 5.0


async def at_step(outside: World, client: Client, step: int, count: int) -> list[InstanceHandle]:
    """Instances of the chain that stand in that step."""
    outside.hold(f"/{step}")
    handles = [await client.start_instance("chain", input={}) for _ in range(count)]
    await outside.asked(f"/{step}", count)
    return handles


async def events_of(client: Client, handle: InstanceHandle) -> list[Event]:
    return [event async for event in client.events(handle.instance_id)]


async def stopped_in_s(server: ServerProcess) -> float:
    began_at = asyncio.get_running_loop().time()
    assert await server.stop() == 0
    return asyncio.get_running_loop().time() - began_at


async def test_programs_suspend_at_their_next_checkpoint_and_go_on_after_the_next_start(tmp_path: Path) -> None:
    async with world() as outside, serve(tmp_path / "data") as server:
        async with Client.local(server.data_dir) as client:
            await register_scenario(client, chain(outside.url, 3), tmp_path)
            await register_program(client, "steered")
            asleep = await client.start_instance("steered", input={"nap_s": 3600})
            handles = await at_step(outside, client, 2, 3)
            processes = attempts_of(server.data_dir)
            stopping = asyncio.create_task(stopped_in_s(server))
            await refuses_new_work(server.data_dir)
        outside.release("/2")
        print(f"stopped {await stopping:.1f} s after it was asked to")
        for process in processes:
            await gone(process.pid)
        await server.start()
        async with Client.local(server.data_dir) as client:
            ended = [await InstanceHandle(client, handle.started).wait(timeout_s=30) for handle in handles]
            histories = [await events_of(client, handle) for handle in handles]
            sleeper = await client.get_instance(asleep.instance_id)
            with pytest.raises(NotFound):
                await client.get_instance("late")
    assert [(each.status, each.attempt) for each in ended] == [("completed", 2)] * 3
    assert outside.counts == {"/1": 3, "/2": 3, "/3": 3}
    for events in histories:
        assert [event.type for event in events] == [
            "instance.created", "instance.started", "instance.suspended", "instance.started", "instance.completed",
        ]  # fmt: skip
    assert (sleeper.status, sleeper.termination_reason) == ("suspended", "sleeping")


async def test_a_program_that_does_not_suspend_is_ended_in_time_and_that_is_no_crash_of_it(tmp_path: Path) -> None:
    async with world() as outside, serve(tmp_path / "data", env={"RUNTARA_DRAIN_SECS": str(DRAIN_S)}) as server:
        async with Client.local(server.data_dir) as client:
            await register_scenario(client, chain(outside.url, 3), tmp_path)
            (handle,) = await at_step(outside, client, 2, 1)
            (process,) = attempts_of(server.data_dir)
        took_s = await stopped_in_s(server)
        print(f"ended a program that did not suspend within {took_s:.1f} s")
        assert took_s < ENDED_WITHIN_S
        await gone(process.pid)
        outside.release("/2")
        await server.start()
        async with Client.local(server.data_dir) as client:
            ended = await InstanceHandle(client, handle.started).wait(timeout_s=30)
            events = await events_of(client, handle)
    assert (ended.status, ended.attempt, ended.attempts_without_progress) == ("completed", 2, 0)
    assert [event.type for event in events] == [
        "instance.created", "instance.started", "instance.suspended", "instance.started", "instance.completed",
    ]  # fmt: skip
    assert outside.counts == {"/1": 1, "/2": 2, "/3": 1}
    assert len(outside.keys("/2")) == 1
