"""A long sleep costs no process: the row waits, and the instance is launched again when its time has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from runtara.client import Client, Instance, InstanceHandle
from tests.support.images import register_program
from tests.support.processes import attempts_of, gone
from tests.support.server import ServerProcess, serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

SLEEP_S = 5.0
THRESHOLD_S = 1
AT_MOST_LATE_MS = 100
ONE_SLEEP = [
    ("instance.created", 0),
    ("instance.started", 1),
    ("instance.suspended", 1),
    ("instance.started", 2),
    ("instance.completed", 2),
]


@dataclass
class Stage:
    """A server with the program that sleeps."""

    server: ServerProcess
    client: Client

    async def start(self, *, pause_s: float, ticks: int = 1) -> InstanceHandle:
        return await self.client.start_instance("ticks", input={"ticks": ticks, "pause_s": pause_s})

    async def no_process_is_left(self) -> None:
        """Returns when the system says so."""
        for attempt in attempts_of(self.server.data_dir):
            await gone(attempt.pid)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    env = {"RUNTARA_SLEEP_THRESHOLD_SECS": str(THRESHOLD_S)}
    async with serve(tmp_path / "data", env=env) as server, Client.local(server.data_dir) as client:
        await register_program(client, "ticks")
        yield Stage(server, client)


async def asleep(handle: InstanceHandle) -> Instance:
    """The row when it has become a sleeping one."""
    async with asyncio.timeout(20), aclosing(handle.changes()) as changes:
        async for instance in changes:
            if (instance.status, instance.termination_reason) == ("suspended", "sleeping"):
                return instance
    raise AssertionError("it did not go to sleep")


async def history(handle: InstanceHandle) -> list[tuple[str, int]]:
    return [(event.type, event.attempt) async for event in handle.events()]


async def woken_late_ms(handle: InstanceHandle, parked: Instance, pause_s: float = SLEEP_S) -> float:
    """How long after the end of its sleep it was claimed for a launch, both by the time of the database."""
    first, second = [event.created_at async for event in handle.events() if event.type == "instance.started"]
    assert parked.wake_at is not None
    assert second - first > timedelta(seconds=pause_s), "it slept for less than it was told to"
    return (second - parked.wake_at).total_seconds() * 1e3


async def test_a_sleep_above_the_threshold_ends_the_process_and_ends_in_time(stage: Stage) -> None:
    # Three, and the middle one counts, because this machine may be busy; a benchmark measures how late most are.
    pauses_s = [SLEEP_S, SLEEP_S + 0.5, SLEEP_S + 1.0]
    handles = [await stage.start(pause_s=pause_s) for pause_s in pauses_s]
    parked = [await asleep(handle) for handle in handles]
    await stage.no_process_is_left()
    rows = [await handle.status() for handle in handles]
    assert [(row.status, row.attempt) for row in rows] == [("suspended", 1)] * 3, "they sleep without a process"

    assert [await handle.result(timeout_s=30) for handle in handles] == [{"ticks": 1}] * 3
    assert [await history(handle) for handle in handles] == [ONE_SLEEP] * 3
    late_ms = [await woken_late_ms(*each) for each in zip(handles, parked, pauses_s, strict=True)]
    print("woken so late:", ", ".join(f"{ms:.0f} ms" for ms in late_ms))
    assert all(ms >= 0 for ms in late_ms)
    assert sorted(late_ms)[1] <= AT_MOST_LATE_MS


async def test_a_sleep_below_the_threshold_is_one_attempt(stage: Stage) -> None:
    handle = await stage.start(pause_s=THRESHOLD_S / 5, ticks=3)
    assert await handle.result(timeout_s=30) == {"ticks": 3}
    assert await history(handle) == [("instance.created", 0), ("instance.started", 1), ("instance.completed", 1)]


async def test_a_sleep_goes_on_while_the_server_is_away_and_ends_when_it_was_to_end(stage: Stage) -> None:
    handle = await stage.start(pause_s=SLEEP_S)
    parked = await asleep(handle)
    await stage.no_process_is_left()
    await stage.server.kill()
    await stage.server.start()
    assert await handle.result(timeout_s=30) == {"ticks": 1}
    late_ms = await woken_late_ms(handle, parked)
    print(f"woken {late_ms:.0f} ms late by a server that was started while it slept")
    assert 0 <= late_ms <= 10 * AT_MOST_LATE_MS
