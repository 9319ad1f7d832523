"""What a server finds when it starts, and what it does when the world was away: adopt, requeue, end, wait."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtara.clock import SystemClock
from runtara.core.model import EventType, Status, TerminationReason
from runtara.core.persistence.base import ChangeStatus
from runtara.core.state import Change
from runtara.environment.runner.base import Exit, Launched
from runtara.environment.runner.memory import MemoryHost, MemoryRunner
from runtara.errors import OutcomeUnknown, Unavailable
from runtara.ids import InstanceNo
from runtara.testing.clock import ManualClock
from tests.support.environment import (
    Guest,
    Machine,
    completes,
    crashes,
    never_ends,
    new_machine,
    pass_time,
    running_server,
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def machine(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Machine]:
    async with new_machine(tmp_path, clock=clock) as machine:
        yield machine


def _waits(go: anyio.Event, then: Callable[[Guest], Any]) -> Callable[[Guest], Any]:
    async def program(guest: Guest) -> int:
        await go.wait()
        code: int = await then(guest)
        return code

    return program


# ---- a killed server


async def test_a_running_process_is_adopted_and_its_result_counts(machine: Machine, clock: ManualClock) -> None:
    go = anyio.Event()
    async with running_server(machine, clock=clock) as world:
        instance_no = await world.start(_waits(go, completes))
        await world.process(instance_no)
    assert machine.host.running == 1
    async with running_server(machine, clock=clock) as world:
        await world.adopted(instance_no, 1)
        go.set()
        instance = await world.until(instance_no, Status.COMPLETED)
        await world.idle()
    assert (instance.epoch, machine.host.launches) == (1, 1)
    assert machine.host.processes == {}


async def test_a_crash_of_an_adopted_process_is_seen(machine: Machine, clock: ManualClock) -> None:
    go = anyio.Event()

    async def stumbles(guest: Guest) -> int:
        return await (crashes(guest) if guest.epoch == 1 else completes(guest))

    async with running_server(machine, clock=clock) as world:
        instance_no = await world.start(_waits(go, stumbles))
        await world.process(instance_no)
    async with running_server(machine, clock=clock) as world:
        await world.adopted(instance_no, 1)
        go.set()
        assert (await world.until(instance_no, Status.COMPLETED)).epoch == 2


async def test_what_died_while_no_server_was_there_is_launched_again(machine: Machine, clock: ManualClock) -> None:
    async with running_server(machine, clock=clock) as world:
        instance_no = await world.start(never_ends)
        process = await world.process(instance_no)
    process.signal(9)
    await process.ended.wait()
    machine.programs["i1"] = completes
    async with running_server(machine, clock=clock) as world:
        assert (await world.until(instance_no, Status.COMPLETED)).epoch == 2
        assert EventType.REQUEUED in await world.events(instance_no)


async def test_what_was_claimed_and_never_launched_is_launched(machine: Machine, clock: ManualClock) -> None:
    """The server died between the claim and the launch."""
    async with running_server(machine, clock=clock, places=0) as world:
        instance_no = await world.start(completes)
        (order,) = await world.engine.persistence.claim_due(world.engine.server_no, slots=1)
        assert (order.instance_no, order.epoch) == (instance_no, 1)
    async with running_server(machine, clock=clock) as world:
        instance = await world.until(instance_no, Status.COMPLETED)
        assert (instance.epoch, instance.attempts_without_progress) == (2, 0)


async def test_a_process_whose_attempt_has_ended_meanwhile_is_ended(machine: Machine, clock: ManualClock) -> None:
    async with running_server(machine, clock=clock) as world:
        instance_no = await world.start(never_ends)
        process = await world.process(instance_no)
    stop = ChangeStatus(instance_no=instance_no, epoch=1, change=Change.STOP)
    await machine.persistence.write([stop])
    async with running_server(machine, clock=clock) as world:
        await process.ended.wait()
        await world.idle()
        assert machine.host.running == 0
        instance = await world.get(instance_no)
        assert (instance.status, instance.exit_code) == (Status.CANCELLED, 128 + 15)


async def test_a_deadline_goes_on_counting_over_a_restart(machine: Machine, clock: ManualClock) -> None:
    async with running_server(machine, clock=clock) as world:
        instance_no = await world.start(never_ends, timeout_s=60)
        await world.process(instance_no)
        await pass_time(clock, 40)
    async with running_server(machine, clock=clock) as world:
        await world.adopted(instance_no, 1)
        await pass_time(clock, 19)
        assert (await world.get(instance_no)).status is Status.RUNNING
        await pass_time(clock, 1)
        assert (await world.until(instance_no, Status.FAILED)).termination_reason is TerminationReason.TIMEOUT


async def test_a_deadline_that_passed_while_no_server_was_there_counts(machine: Machine, clock: ManualClock) -> None:
    async with running_server(machine, clock=clock) as world:
        instance_no = await world.start(never_ends, timeout_s=60)
        await world.process(instance_no)
    await pass_time(clock, 100)
    async with running_server(machine, clock=clock) as world:
        assert (await world.until(instance_no, Status.FAILED)).termination_reason is TerminationReason.TIMEOUT


async def test_adopted_ones_occupy_places(machine: Machine, clock: ManualClock) -> None:
    async with running_server(machine, clock=clock) as world:
        running = [await world.start(never_ends) for _ in range(3)]
        for instance_no in running:
            await world.process(instance_no)
    async with running_server(machine, clock=clock, places=2) as world:
        for instance_no in running:
            await world.adopted(instance_no, 1)
        queued = await world.start(completes, instance_id="queued")
        await anyio.wait_all_tasks_blocked()
        assert (await world.get(queued)).status is Status.PENDING
        for instance_no in running[:2]:
            await world.environment.stop_instance(await world.get(instance_no), grace_s=0)
        await world.until(queued, Status.COMPLETED)


# ---- a lost lease


async def test_what_a_peer_took_over_is_ended_here(machine: Machine, clock: ManualClock) -> None:
    async with running_server(machine, clock=clock) as world:
        instance_no = await world.start(never_ends)
        await world.process(instance_no)
        machine.programs["i1"] = completes
        lose = ChangeStatus(instance_no=instance_no, epoch=1, change=Change.LOSE_SERVER)
        await machine.persistence.write([lose])
        await world.environment.resync()
        instance = await world.until(instance_no, Status.COMPLETED)
        assert instance.epoch == 2
        assert machine.host.running_peak == 1


async def test_resync_leaves_alone_what_is_still_ours(machine: Machine, clock: ManualClock) -> None:
    async with running_server(machine, clock=clock) as world:
        instance_no = await world.start(never_ends)
        await world.process(instance_no)
        await world.environment.resync()
        await anyio.wait_all_tasks_blocked()
        assert (await world.get(instance_no)).status is Status.RUNNING
        assert machine.host.running == 1


# ---- the database away


class Outage:
    """A persistence whose verbs fail while it is away; ``lose_reply`` fails one after its commit."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.away = False
        self.lose_reply_of: set[str] = set()
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._inner, name)
        if name == "listen":
            return verb

        async def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.away:
                self.refused += 1
                raise Unavailable("the database is away")
            result = await verb(*args, **kwargs)
            if name in self.lose_reply_of:
                self.lose_reply_of.discard(name)
                raise OutcomeUnknown("the connection was lost")
            return result

        return guarded


@pytest.fixture
async def outage(machine: Machine) -> Outage:
    outage = Outage(machine.persistence)
    machine.persistence = outage
    return outage


async def test_an_exit_during_an_outage_is_recorded_after_it(
    machine: Machine, clock: ManualClock, outage: Outage
) -> None:
    go = anyio.Event()
    async with running_server(machine, clock=clock, failures_max=1) as world:
        instance_no = await world.start(_waits(go, crashes))
        process = await world.process(instance_no)
        outage.away = True
        go.set()
        await process.ended.wait()
        await pass_time(clock, 3)
        assert outage.refused
        outage.away = False
        await pass_time(clock, 10)
        instance = await world.until(instance_no, Status.FAILED)
        assert instance.exit_code == 7


async def test_a_server_that_starts_during_an_outage_waits_for_the_end_of_it(
    machine: Machine, clock: ManualClock, outage: Outage
) -> None:
    async with running_server(machine, clock=clock) as world:
        instance_no = await world.start(never_ends)
        await world.process(instance_no)
    async with running_server(machine, clock=clock) as world:
        outage.away = True
        await pass_time(clock, 2)
        outage.away = False
        await pass_time(clock, 10)
        await world.adopted(instance_no, 1)
        assert machine.host.launches == 1


async def test_a_start_during_an_outage_of_the_claims_is_launched_after_it(
    machine: Machine, clock: ManualClock, outage: Outage
) -> None:
    async with running_server(machine, clock=clock) as world:
        instance_no = await world.start(completes, announced=False)
        outage.away = True
        world.engine.due.ring()
        await pass_time(clock, 3)
        outage.away = False
        await pass_time(clock, 10)
        await world.until(instance_no, Status.COMPLETED)


async def test_a_claim_whose_reply_was_lost_is_found_by_the_sweep(
    machine: Machine, clock: ManualClock, outage: Outage
) -> None:
    async with running_server(machine, clock=clock) as world:
        outage.lose_reply_of.add("claim_due")
        instance_no = await world.start(completes)
        await anyio.wait_all_tasks_blocked()
        assert (await world.get(instance_no)).status is Status.RUNNING
        await pass_time(clock, 5)
        assert (await world.until(instance_no, Status.COMPLETED)).epoch == 2


async def test_a_crash_whose_reply_was_lost_is_not_counted_twice(
    machine: Machine, clock: ManualClock, outage: Outage
) -> None:
    async with running_server(machine, clock=clock) as world:
        go = anyio.Event()
        instance_no = await world.start(_waits(go, crashes))
        process = await world.process(instance_no)
        machine.programs["i1"] = never_ends
        outage.lose_reply_of.add("write")
        go.set()
        await process.ended.wait()
        await pass_time(clock, 5)
        instance = await world.until(instance_no, Status.RUNNING, epoch=2)
        assert instance.attempts_without_progress == 1


# ---- our own bugs


class BuggyRunner(MemoryRunner):
    """Its first ``wait`` fails in a way that nobody foresaw."""

    def __init__(self, host: MemoryHost) -> None:
        super().__init__(host)
        self.bugs = 1

    async def wait(self, launched: Launched) -> Exit:
        if self.bugs:
            self.bugs -= 1
            raise ZeroDivisionError
        return await super().wait(launched)


async def test_a_bug_in_the_care_of_one_attempt_ends_neither_the_server_nor_the_attempt(
    machine: Machine, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    go = anyio.Event()
    with caplog.at_level(logging.ERROR):
        async with running_server(machine, clock=clock, runner=BuggyRunner(machine.host)) as world:
            instance_no = await world.start(_waits(go, completes))
            await world.process(instance_no)
            await world.idle()
            other = await world.start(completes, instance_id="other")
            await world.until(other, Status.COMPLETED)
            await pass_time(clock, 5)
            await world.adopted(instance_no, 1)
            go.set()
            assert (await world.until(instance_no, Status.COMPLETED)).epoch == 1
    assert "ZeroDivisionError" in caplog.text


async def test_a_server_of_the_system_clock_recovers_too(tmp_path: Path) -> None:
    clock = SystemClock()
    async with new_machine(tmp_path, clock=clock) as machine:
        async with running_server(machine, clock=clock) as world:
            numbers: list[InstanceNo] = [await world.start(never_ends) for _ in range(20)]
            for instance_no in numbers:
                await world.process(instance_no)
        for process in tuple(machine.host.processes.values())[::2]:
            process.signal(9)
        machine.programs.update(dict.fromkeys(machine.programs, completes))
        async with running_server(machine, clock=clock) as world:
            for instance_no in numbers[::2]:
                await world.until(instance_no, Status.COMPLETED)
            for instance_no in numbers[1::2]:
                assert (await world.get(instance_no)).status is Status.RUNNING
