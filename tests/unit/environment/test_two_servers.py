"""Two servers on one database share the work, and meet no instance twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from runtara.core.model import Status, TerminationReason
from runtara.testing.clock import ManualClock
from tests.support.environment import Guest, World, completes, never_ends, new_machine, pass_time, running_server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def worlds(tmp_path: Path, clock: ManualClock) -> AsyncIterator[tuple[World, World]]:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(new_machine(tmp_path / "one", clock=clock))
        two = await stack.enter_async_context(new_machine(tmp_path / "two", clock=clock, beside=one))
        first = await stack.enter_async_context(running_server(one, clock=clock, name="one", places=4))
        second = await stack.enter_async_context(running_server(two, clock=clock, name="two", places=4))
        yield first, second


async def test_every_instance_is_launched_once(worlds: tuple[World, World]) -> None:
    first, second = worlds

    async def works(guest: Guest) -> int:
        await anyio.lowlevel.checkpoint()
        return await completes(guest)

    numbers = [await first.start(works) for _ in range(100)]
    second.engine.due.ring()
    for instance_no in numbers:
        while (await first.get(instance_no)).status is not Status.COMPLETED:
            await anyio.wait_all_tasks_blocked()
        assert (await first.get(instance_no)).epoch == 1
    assert first.host.launches + second.host.launches == 100
    assert first.host.launches > 4
    assert second.host.launches > 4


async def test_an_image_of_one_server_runs_on_the_other(worlds: tuple[World, World]) -> None:
    first, second = worlds
    busy = [await first.start(never_ends) for _ in range(4)]
    for instance_no in busy:
        await first.process(instance_no)
    instance_no = await first.start(completes)
    second.engine.due.ring()
    await second.until(instance_no, Status.COMPLETED)
    assert second.host.launches == 1


async def test_a_stop_by_the_other_server_ends_the_process_soon(
    worlds: tuple[World, World], clock: ManualClock
) -> None:
    first, second = worlds
    instance_no = await first.start(never_ends)
    await first.process(instance_no)
    stopped = await second.environment.stop_instance(await second.get(instance_no), grace_s=0)
    assert (stopped.status, stopped.termination_reason) == (Status.CANCELLED, TerminationReason.STOPPED)
    assert first.host.running == 1
    await pass_time(clock, 20)
    await first.idle()
    assert first.host.running == 0
    assert (await first.get(instance_no)).exit_code == 128 + 15
