"""Many more instances at once than there are places, of two tenants: all finish, within the cap, in a fair order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from runtara.client import Client, Event, InstanceHandle
from tests.support.images import PROGRAMS
from tests.support.server import serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TENANTS = ("acme", "globex")
ALL_DONE_S = 500.0


@dataclass(frozen=True)
class Crowd:
    """What became of the instances of both tenants."""

    histories: Sequence[tuple[str, Sequence[Event]]]
    """Of each instance: whose it is, and what happened."""
    outputs: Sequence[int]

    def times(self, event_type: str) -> list[datetime]:
        return [event.created_at for _, events in self.histories for event in events if event.type == event_type]

    @property
    def most_at_once(self) -> int:
        """Between their starts and their ends, by the history."""
        changes = [(at, 1) for at in self.times("instance.started")] + [
            (at, -1) for at in self.times("instance.completed")
        ]
        now = most = 0
        for _, change in sorted(changes):
            now += change
            most = max(most, now)
        return most

    @property
    def order(self) -> list[str]:
        """The tenants in the order of their starts, from when all were queued."""
        queued_at = max(self.times("instance.created"))
        starts = [
            (event.created_at, event.event_no, tenant) for tenant, events in self.histories for event in events[1:2]
        ]
        return [tenant for at, _, tenant in sorted(starts) if at > queued_at]


def largest_lead(order: Iterable[str]) -> int:
    """By how many starts one tenant was ever ahead of the other, while both had something to start."""
    left, ahead, largest = Counter(order := list(order)), 0, 0
    for tenant in order:
        if not all(left[name] for name in TENANTS):
            break
        left[tenant] -= 1
        ahead += 1 if tenant == TENANTS[0] else -1
        largest = max(largest, abs(ahead))
    return largest


async def start_all(client: Client, tenant_id: str, count: int) -> list[InstanceHandle]:
    return await asyncio.gather(*(client.start_instance("counted", tenant_id=tenant_id) for _ in range(count)))


async def told(handles: Sequence[InstanceHandle]) -> Crowd:
    """What became of them, when all have ended."""

    async def history(handle: InstanceHandle) -> tuple[str, list[Event]]:
        return handle.tenant_id, [event async for event in handle.events()]

    outputs = await asyncio.gather(*(handle.result(timeout_s=ALL_DONE_S) for handle in handles))
    return Crowd(await asyncio.gather(*map(history, handles)), outputs)


@pytest.mark.parametrize(
    ("each", "cap"),
    [
        pytest.param(30, 4),
        # Two processors start ten interpreters a second.
        pytest.param(500, 32, marks=[pytest.mark.soak, pytest.mark.timeout(600)]),
    ],
)
async def test_a_crowd_of_two_tenants_finishes_within_the_cap_and_in_a_fair_order(
    tmp_path: Path, empty_database_url: str, each: int, cap: int
) -> None:
    # Not its own database: that would be a child of the server, too.
    env = {"RUNTARA_DATABASE_URL": empty_database_url, "RUNTARA_MAX_CONCURRENT_INSTANCES": str(cap)}
    loop = asyncio.get_running_loop()
    async with serve(tmp_path / "data", env=env), Client.local(tmp_path / "data") as client:
        for tenant_id in TENANTS:
            await client.register_image(PROGRAMS / "counted.py", name="counted", tenant_id=tenant_id)
        began_at = loop.time()
        # One tenant with everything first: the other must not wait until that is done.
        handles = [handle for tenant_id in TENANTS for handle in await start_all(client, tenant_id, each)]
        queued_s = loop.time() - began_at
        crowd = await told(handles)
        took_s = loop.time() - began_at

    one_attempt = ("instance.created", "instance.started", "instance.completed")
    assert Counter(tuple(event.type for event in events) for _, events in crowd.histories) == {one_attempt: 2 * each}
    lead = largest_lead(crowd.order)
    print(
        f"{2 * each} instances queued in {queued_s:.1f} s, finished after {took_s:.1f} s; at most {crowd.most_at_once} "
        f"at once by the history and {max(crowd.outputs)} processes by the system's count; of the last "
        f"{len(crowd.order)} starts no tenant was ever more than {lead} ahead"
    )
    assert 1 < crowd.most_at_once <= cap
    assert 1 < max(crowd.outputs) <= cap
    assert len(crowd.order) > each, "there was an order to look at"
    assert lead <= cap
