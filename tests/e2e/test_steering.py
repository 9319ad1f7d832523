"""Pause, resume and cancel on instances that run, sleep, wait for a place or are paused: every combination, for real.

One server with one place, so that a probe that has run to its end proves that nothing before it was launched.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from runtara.client import Client, Instance, InstanceHandle
from runtara.errors import IllegalTransition
from tests.support.images import register_program
from tests.support.processes import AttemptProcess, attempts_of, gone
from tests.support.server import ServerProcess, serve
from tests.support.steps import World, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

REFUSED = "refused"
A_PLACE = {"pending", "running"}
"""What is due with a free place may be either by the time that somebody looks."""


@dataclass(frozen=True)
class Row:
    """One combination. A status is written with its reason where it has one."""

    state: str
    verb: str
    answer: str
    """What the verb returns, or that it is refused."""
    again: str
    """The same of a second time."""
    settled: str
    """Where it comes to rest when everything that it waited for has happened."""
    attempts: int
    """Launches by then."""


TABLE = [
    Row("running", "pause", "running", "running", "suspended paused", 1),
    Row("running", "resume", REFUSED, REFUSED, "completed", 1),
    Row("running", "cancel", "running", "running", "cancelled", 1),
    Row("sleeping", "pause", "suspended paused", "suspended paused", "suspended paused", 1),
    Row("sleeping", "resume", REFUSED, REFUSED, "suspended sleeping", 1),
    Row("sleeping", "cancel", "cancelled", "cancelled", "cancelled", 1),
    Row("queued", "pause", "suspended paused", "suspended paused", "suspended paused", 0),
    Row("queued", "resume", REFUSED, REFUSED, "completed", 1),
    Row("queued", "cancel", "cancelled", "cancelled", "cancelled", 0),
    Row("paused", "pause", "suspended paused", "suspended paused", "suspended paused", 1),
    Row("paused", "resume", "pending", REFUSED, "completed", 2),
    Row("paused", "cancel", "cancelled", "cancelled", "cancelled", 1),
    Row("paused in its sleep", "resume", "suspended sleeping", REFUSED, "suspended sleeping", 1),
]


def shown(instance: Instance) -> str:
    reason = instance.termination_reason
    return instance.status if reason in (None, instance.status) else f"{instance.status} {reason}"


@dataclass
class Stage:
    """The server, and instances brought into each state."""

    server: ServerProcess
    client: Client
    outside: World
    numbers: Any

    async def start(self, **given: Any) -> InstanceHandle:
        return await self.client.start_instance("steered", input=given)

    async def at_the_gate(self) -> InstanceHandle:
        gate = f"/gate/{next(self.numbers)}"
        self.outside.hold(gate)
        handle = await self.start(gate=f"{self.outside.url}{gate}")
        await self.outside.asked(gate, 1)
        return handle

    def open_gates(self) -> None:
        for gate in self.outside.held:
            self.outside.release(gate)

    async def until(self, handle: InstanceHandle, wanted: str) -> Instance:
        async with asyncio.timeout(30), aclosing(handle.changes()) as changes:
            async for instance in changes:
                if shown(instance) == wanted:
                    return instance
        raise AssertionError(f"it ended as {shown(instance)}")

    async def running(self) -> InstanceHandle:
        return await self.at_the_gate()

    async def sleeping(self) -> InstanceHandle:
        handle = await self.start(nap_s=3600)
        await self.until(handle, "suspended sleeping")
        await self.empty()
        return handle

    async def queued(self) -> InstanceHandle:
        await self.at_the_gate()
        return await self.start()

    async def paused(self) -> InstanceHandle:
        handle = await self.at_the_gate()
        await handle.pause()
        self.open_gates()
        await self.until(handle, "suspended paused")
        return handle

    async def paused_in_its_sleep(self) -> InstanceHandle:
        handle = await self.sleeping()
        await handle.pause()
        return handle

    @property
    def processes(self) -> list[AttemptProcess]:
        return attempts_of(self.server.data_dir)

    async def empty(self) -> None:
        """Returns when no process is left."""
        for attempt in self.processes:
            await gone(attempt.pid)

    async def probe(self) -> None:
        """Returns when the place was taken by an instance that was started now."""
        await (await self.start()).result(timeout_s=30)

    async def launches(self, handle: InstanceHandle) -> int:
        return len([event async for event in handle.events() if event.type == "instance.started"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    data_dir: Path = tmp_path_factory.mktemp("steering") / "data"
    env = {"RUNTARA_MAX_CONCURRENT_INSTANCES": "1", "RUNTARA_SLEEP_THRESHOLD_SECS": "1"}
    async with world() as outside, serve(data_dir, env=env) as server, Client.local(data_dir) as client:
        await register_program(client, "steered")
        yield Stage(server, client, outside, count())


async def asked(verb: Callable[[], Awaitable[Instance]]) -> str:
    try:
        return shown(await verb())
    except IllegalTransition:
        return REFUSED


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.verb} {row.state}")
async def test_each_verb_does_in_each_state_what_the_table_says(stage: Stage, row: Row) -> None:
    handle = await getattr(stage, row.state.replace(" ", "_"))()
    at_the_gate = stage.processes if stage.outside.held else []
    verb = getattr(handle, row.verb)
    answer = await asked(verb)
    assert answer == row.answer or {answer, row.answer} <= A_PLACE
    assert await asked(verb) == row.again
    if at_the_gate:
        assert stage.processes == at_the_gate, "nothing is ended by force, and nothing is launched beside it"
    stage.open_gates()
    settled = await stage.until(handle, row.settled)
    assert settled.attempt == row.attempts
    await stage.probe()
    after = await handle.status()
    assert (shown(after), after.attempt) == (row.settled, row.attempts), "a parked one was launched"
    assert await stage.launches(handle) == row.attempts


async def test_a_pause_that_was_asked_for_twice_is_undone_by_one_resume(stage: Stage) -> None:
    handle = await stage.running()
    await handle.pause()
    await handle.pause()
    stage.open_gates()
    await stage.until(handle, "suspended paused")
    await handle.resume()
    assert (await handle.wait(timeout_s=30)).status == "completed"


async def test_a_pause_that_was_not_acknowledged_yet_is_withdrawn_by_a_resume(stage: Stage) -> None:
    handle = await stage.running()
    await handle.pause()
    assert shown(await handle.resume()) == "running"
    stage.open_gates()
    assert await handle.result(timeout_s=30) == 1


async def test_what_was_paused_in_its_sleep_sleeps_on_until_the_same_time(stage: Stage) -> None:
    handle = await stage.sleeping()
    before = (await handle.status()).wake_at
    assert before is not None
    assert (await handle.pause()).wake_at is None
    assert (await handle.resume()).wake_at == before
