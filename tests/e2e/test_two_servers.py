"""Two servers on one database: one dies, the other takes its instances over, and no attempt runs beside another."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from runtara.client import Client, Event, InstanceHandle
from tests.support.images import register_scenario
from tests.support.processes import AttemptProcess, attempts_of, gone
from tests.support.server import ServerProcess, serve
from tests.support.steps import World, chain, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# The default of RUNTARA_LEASE_SECS; the servers are not told another one.
LEASE_S = 10.0
TAKEN_OVER_WITHIN_S = LEASE_S + 2.0
INSTANCES = 3
STEPS = 5


@dataclass
class Pair:
    """Two servers, and instances that stand in their third step, all on the first one."""

    first: ServerProcess
    second: ServerProcess
    outside: World
    started: list[InstanceHandle]
    orphans: list[AttemptProcess]

    def seen_by(self, client: Client) -> list[InstanceHandle]:
        return [InstanceHandle(client, handle.started) for handle in self.started]


@pytest.fixture
async def pair(tmp_path: Path, empty_database_url: str) -> AsyncIterator[Pair]:
    env = {"RUNTARA_DATABASE_URL": empty_database_url}
    async with world() as outside, serve(tmp_path / "first", env=env) as first:
        outside.hold("/3")
        async with Client.local(first.data_dir) as client:
            image = await register_scenario(client, chain(outside.url, STEPS), tmp_path)
            started = [await client.start_instance(image, input={}) for _ in range(INSTANCES)]
            await outside.asked("/3", INSTANCES)
        # Only now, or it would have taken some of them from the beginning.
        async with serve(tmp_path / "second", env=env) as second:
            yield Pair(first, second, outside, started, attempts_of(first.data_dir))


async def history(handle: InstanceHandle) -> list[Event]:
    return [event async for event in handle.events()]


async def recorded(client: Client, handle: InstanceHandle) -> list[tuple[str, int]]:
    """The steps that are recorded, each with the attempt that recorded it."""
    rows = client.checkpoints(handle.instance_id, tenant_id=handle.tenant_id)
    return sorted([(row.key, row.attempt) async for row in rows])


def assert_one_attempt_after_the_other(events: Sequence[Event]) -> None:
    assert [(event.type, event.attempt) for event in events] == [
        ("instance.created", 0),
        ("instance.started", 1),
        ("instance.requeued", 1),
        ("instance.started", 2),
        ("instance.completed", 2),
    ]
    assert all(a.created_at <= b.created_at for a, b in pairwise(events))


async def kill_processes(pair: Pair) -> None:
    for orphan in pair.orphans:
        os.kill(orphan.pid, signal.SIGKILL)


async def leave_processes_alive(pair: Pair) -> None:
    """They go on with what they have in hand, and wait for their server to save it."""


@pytest.mark.parametrize("fate", [kill_processes, leave_processes_alive])
async def test_the_instances_of_a_killed_server_are_taken_over_within_the_lease(
    pair: Pair, fate: Callable[[Pair], Awaitable[None]]
) -> None:
    outside = pair.outside
    assert len(pair.orphans) == INSTANCES, "the first server has them all"

    killed_at, killed_at_s = datetime.now(UTC), asyncio.get_running_loop().time()
    await pair.first.kill()
    await fate(pair)
    await outside.asked("/3", 2 * INSTANCES)
    outside.release("/3")
    async with Client.local(pair.second.data_dir) as client:
        handles = pair.seen_by(client)
        results = [await handle.result(timeout_s=60) for handle in handles]
        histories = [await history(handle) for handle in handles]
        steps = [await recorded(client, handle) for handle in handles]

    assert results == [{"last": results[0]["last"]}] * INSTANCES
    assert results[0]["last"]["body"] == {"path": f"/{STEPS}"}
    for events in histories:
        assert_one_attempt_after_the_other(events)
    assert steps == [[("step1", 1), ("step2", 1), ("step3", 2), ("step4", 2), ("step5", 2)]] * INSTANCES
    # Once each, but for the step that was in flight: that one was repeated, with its key.
    assert outside.counts == {"/1": INSTANCES, "/2": INSTANCES, "/3": 2 * INSTANCES, "/4": INSTANCES, "/5": INSTANCES}
    assert len(outside.keys("/3")) == INSTANCES
    requeued_s = max((events[2].created_at - killed_at).total_seconds() for events in histories)
    started_s = max((events[3].created_at - killed_at).total_seconds() for events in histories)
    resumed_s = [request.at for request in outside.requests if request.path == "/3"][-1] - killed_at_s
    print(
        f"{fate.__name__}: after the kill, taken over within {requeued_s:.1f} s, started within {started_s:.1f} s, "
        f"resumed within {resumed_s:.1f} s"
    )
    assert started_s < TAKEN_OVER_WITHIN_S
    await assert_the_first_one_comes_back_to_nothing(pair, histories)


async def assert_the_first_one_comes_back_to_nothing(pair: Pair, histories: list[list[Event]]) -> None:
    """What its processes still hold is not theirs to write: they are ended, and nothing happens to the instances."""
    await pair.first.start()
    for orphan in pair.orphans:
        await gone(orphan.pid)
    async with Client.local(pair.first.data_dir) as client:
        assert [await history(handle) for handle in pair.seen_by(client)] == histories
