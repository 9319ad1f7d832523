"""The life of instances on one server: claims, exits, crashes, deadlines, stops, drains."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtara.clock import Clock, SystemClock
from runtara.core.model import EventType, SignalKind, Status, TerminationReason
from runtara.environment.runner.base import LaunchFailed
from runtara.environment.runner.memory import Signalled
from runtara.errors import DiskFull, IllegalTransition, InternalError, NotFound, UnsupportedVersion
from runtara.ids import InstanceNo
from runtara.protocol.messages import Drain, SignalPending
from runtara.testing.clock import ManualClock
from tests.support.environment import (
    Guest,
    World,
    completes,
    crashes,
    never_ends,
    new_machine,
    pass_time,
    running_server,
)

PATIENCE_S = 20.0


@asynccontextmanager
async def a_server(tmp_path: Path, *, clock: Clock | None = None, **options: Any) -> AsyncIterator[World]:
    clock = clock or SystemClock()
    async with new_machine(tmp_path, clock=clock) as machine, running_server(machine, clock=clock, **options) as world:
        yield world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_server(tmp_path) as world:
        yield world


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def still_world(tmp_path: Path, clock: ManualClock) -> AsyncIterator[World]:
    """A server whose time stands still until the test moves it."""
    async with a_server(tmp_path, clock=clock) as world:
        yield world


# ---- the good path


async def test_a_start_is_launched_and_its_result_stays(world: World) -> None:
    instance_no = await world.start(completes)
    instance = await world.until(instance_no, Status.COMPLETED)
    await world.idle()
    instance = await world.get(instance_no)
    assert (instance.output, instance.epoch, instance.exit_code) == (b'"done"', 1, 0)
    assert world.host.launches == 1


async def test_nothing_is_left_of_a_process_that_ended(world: World) -> None:
    instance_no = await world.start(completes)
    await world.until(instance_no, Status.COMPLETED)
    await world.idle()
    assert world.host.processes == {}
    assert len(world.environment.attempts) == 0


async def test_the_program_is_told_who_it_is_and_what_is_known(world: World) -> None:
    records = []

    async def program(guest: Guest) -> int:
        records.append(guest.process.request.record)
        if guest.epoch == 1:
            await guest.checkpoint("first")
            return 1
        await guest.complete()
        return 0

    instance_no = await world.start(program)
    await world.until(instance_no, Status.COMPLETED)
    first, second = records
    assert (first.instance_id, first.tenant_id, first.epoch, first.input) == ("i1", "tenant", 1, b"{}")
    assert (first.checkpoints, first.checkpoints_complete) == ((), True)
    assert [(it.key, it.state) for it in second.checkpoints] == [("first", b"state")]
    identity = world.engine.credentials.find(second.psk.label)
    assert identity is not None
    assert (identity[1].instance_no, identity[1].epoch) == (instance_no, 2)


async def test_the_cap_is_never_exceeded_and_everything_finishes(tmp_path: Path) -> None:
    async def works(guest: Guest) -> int:
        await anyio.lowlevel.checkpoint()
        await guest.complete()
        return 0

    async with a_server(tmp_path, places=8) as world:
        numbers = [await world.start(works, tenant=f"tenant{index % 2}") for index in range(200)]
        for instance_no in numbers:
            await world.until(instance_no, Status.COMPLETED)
        assert world.host.running_peak == 8
        assert world.host.launches == 200


async def test_a_place_is_free_when_the_process_is_gone_not_when_the_row_says_so(tmp_path: Path) -> None:
    exit_now = anyio.Event()

    async def lingers(guest: Guest) -> int:
        await guest.complete()
        await exit_now.wait()
        return 0

    async with a_server(tmp_path, places=1) as world:
        first = await world.start(lingers)
        await world.until(first, Status.COMPLETED)
        second = await world.start(completes)
        await anyio.wait_all_tasks_blocked()
        assert (await world.get(second)).status is Status.PENDING
        exit_now.set()
        await world.until(second, Status.COMPLETED)
        assert world.host.running_peak == 1


async def test_a_sleeper_is_woken_at_its_time(world: World) -> None:
    woken_at = []

    async def naps(guest: Guest) -> int:
        if guest.epoch == 1:
            await guest.sleep_until(wake_at)
        else:
            woken_at.append(world.engine.clock.now())
            await guest.complete()
        return 0

    wake_at = world.engine.clock.now() + timedelta(seconds=0.2)
    instance_no = await world.start(naps)
    suspended = await world.until(instance_no, Status.SUSPENDED, Status.COMPLETED)
    assert suspended.termination_reason is TerminationReason.SLEEPING
    await world.until(instance_no, Status.COMPLETED)
    assert timedelta(0) <= woken_at[0] - wake_at < timedelta(seconds=0.1)


async def test_a_start_that_nobody_announced_is_found_by_the_sweep(still_world: World, clock: ManualClock) -> None:
    instance_no = await still_world.start(completes, announced=False)
    await anyio.wait_all_tasks_blocked()
    assert (await still_world.get(instance_no)).status is Status.PENDING
    await pass_time(clock, 5)
    await still_world.until(instance_no, Status.COMPLETED)


# ---- crashes


async def test_a_crash_is_followed_by_another_attempt_at_once(world: World) -> None:
    async def stumbles(guest: Guest) -> int:
        return await (crashes(guest) if guest.epoch == 1 else completes(guest))

    instance_no = await world.start(stumbles)
    instance = await world.until(instance_no, Status.COMPLETED)
    assert instance.epoch == 2
    assert EventType.REQUEUED in await world.events(instance_no)


async def test_a_crash_loop_ends_at_the_cap_with_growing_pauses(still_world: World, clock: ManualClock) -> None:
    instance_no = await still_world.start(crashes)
    pauses_s = []
    for epoch in (2, 3, 4):
        instance = await still_world.until(instance_no, Status.PENDING, epoch=epoch)
        assert instance.wake_at is not None
        pauses_s.append((instance.wake_at - clock.now()).total_seconds())
        await still_world.idle()
        await pass_time(clock, pauses_s[-1])
    instance = await still_world.until(instance_no, Status.FAILED)
    assert (instance.epoch, instance.termination_reason) == (5, TerminationReason.CRASHED)
    await still_world.idle()
    error = await still_world.error(instance_no)
    assert (error["code"], error["exit_code"], error["stderr_tail"]) == ("instance.crashed", 7, "boom")
    assert pauses_s == [1, 2, 4]


async def test_progress_forgives_crashes(tmp_path: Path) -> None:
    async def advances(guest: Guest) -> int:
        await guest.checkpoint(f"step {guest.epoch}")
        return await (completes(guest) if guest.epoch == 8 else crashes(guest))

    async with a_server(tmp_path, failures_max=1) as world:
        instance_no = await world.start(advances)
        assert (await world.until(instance_no, Status.COMPLETED, Status.FAILED)).epoch == 8


async def test_an_end_without_a_result_is_a_crash_with_its_own_words(tmp_path: Path) -> None:
    async def forgets(guest: Guest) -> int:
        return 0

    async with a_server(tmp_path, failures_max=1) as world:
        instance_no = await world.start(forgets)
        instance = await world.until(instance_no, Status.FAILED)
        assert instance.exit_code == 0
        assert (await world.error(instance_no))["code"] == "instance.ended_without_result"


async def test_death_by_a_signal_is_told(tmp_path: Path) -> None:
    async def dies(guest: Guest) -> int:
        raise Signalled(11)

    async with a_server(tmp_path, failures_max=1) as world:
        instance_no = await world.start(dies)
        instance = await world.until(instance_no, Status.FAILED)
        assert instance.exit_code == 128 + 11
        assert (await world.error(instance_no))["signal"] == "SIGSEGV"


async def test_a_crash_after_the_result_changes_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def stumbles_on_the_way_out(guest: Guest) -> int:
        await guest.complete()
        return 9

    instance_no = await world.start(stumbles_on_the_way_out)
    await world.until(instance_no, Status.COMPLETED)
    await world.idle()
    instance = await world.get(instance_no)
    assert (instance.status, instance.epoch, instance.exit_code) == (Status.COMPLETED, 1, 9)
    assert caplog.text == ""


# ---- launches that fail


async def test_a_launch_that_may_work_later_is_tried_again(still_world: World, clock: ManualClock) -> None:
    still_world.host.refusals += [LaunchFailed("no memory", permanent=False)]
    instance_no = await still_world.start(completes)
    instance = await still_world.until(instance_no, Status.PENDING, epoch=1)
    assert instance.termination_reason is TerminationReason.LAUNCH_FAILED
    await still_world.idle()
    await pass_time(clock, 1)
    assert (await still_world.until(instance_no, Status.COMPLETED)).epoch == 2


async def test_launches_that_always_fail_end_at_the_cap(tmp_path: Path) -> None:
    async with a_server(tmp_path, failures_max=1) as world:
        world.host.refusals += [LaunchFailed("no memory", permanent=False)]
        instance_no = await world.start(completes)
        instance = await world.until(instance_no, Status.FAILED)
        assert instance.termination_reason is TerminationReason.LAUNCH_FAILED
        assert "no memory" in (await world.error(instance_no))["message"]


async def test_a_launch_that_cannot_work_ends_the_instance(world: World) -> None:
    world.host.refusals += [LaunchFailed("a bad artifact", permanent=True)]
    instance_no = await world.start(completes)
    instance = await world.until(instance_no, Status.FAILED)
    assert instance.epoch == 1
    assert (await world.error(instance_no))["category"] == "permanent"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("no such image"), Status.FAILED),
        (UnsupportedVersion("another runtime"), Status.FAILED),
        (InternalError("other bytes"), Status.FAILED),
        (DiskFull("no room"), Status.PENDING),
        (OSError("too many open files"), Status.PENDING),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_image_that_cannot_be_had_is_waited_for_only_if_that_can_help(
    still_world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, status: Status
) -> None:
    async def fetch(image_no: int) -> Path:
        raise error

    monkeypatch.setattr(still_world.environment.images, "fetch", fetch)
    instance_no = await still_world.start(completes)
    instance = await still_world.until(instance_no, Status.FAILED, Status.PENDING, epoch=1)
    assert (instance.status, instance.epoch) == (status, 1)
    assert instance.termination_reason is TerminationReason.LAUNCH_FAILED


async def test_a_bug_in_the_launch_counts_like_a_failed_launch(tmp_path: Path) -> None:
    async with a_server(tmp_path, failures_max=1) as world:
        world.environment.directories.make = _bug  # type: ignore[method-assign]
        instance_no = await world.start(completes)
        instance = await world.until(instance_no, Status.FAILED)
        assert instance.termination_reason is TerminationReason.LAUNCH_FAILED


def _bug(instance_no: InstanceNo) -> Path:
    raise ZeroDivisionError


# ---- deadlines


async def test_an_attempt_that_runs_too_long_has_failed_and_its_process_is_gone(
    still_world: World, clock: ManualClock
) -> None:
    instance_no = await still_world.start(never_ends, timeout_s=60)
    await still_world.process(instance_no)
    await pass_time(clock, 59)
    assert (await still_world.get(instance_no)).status is Status.RUNNING
    await pass_time(clock, 1)
    instance = await still_world.until(instance_no, Status.FAILED)
    assert instance.termination_reason is TerminationReason.TIMEOUT
    await still_world.idle()
    assert still_world.host.running == 0
    error = await still_world.error(instance_no)
    assert (error["code"], error["timeout_s"]) == ("instance.timeout", 60)


async def test_without_a_wish_the_servers_timeout_counts(tmp_path: Path, clock: ManualClock) -> None:
    async with a_server(tmp_path, clock=clock, timeout_s=7) as world:
        instance_no = await world.start(never_ends)
        await world.process(instance_no)
        await pass_time(clock, 7)
        assert (await world.until(instance_no, Status.FAILED)).termination_reason is TerminationReason.TIMEOUT


async def test_a_result_that_was_reported_before_the_deadline_stays(still_world: World, clock: ManualClock) -> None:
    async def lingers(guest: Guest) -> int:
        await guest.complete()
        return await never_ends(guest)

    instance_no = await still_world.start(lingers, timeout_s=4)
    await still_world.until(instance_no, Status.COMPLETED)
    await pass_time(clock, 4)
    await still_world.idle()
    assert (await still_world.get(instance_no)).status is Status.COMPLETED
    assert still_world.host.running == 0


async def test_a_program_that_does_not_exit_after_its_end_is_ended(still_world: World, clock: ManualClock) -> None:
    async def lingers(guest: Guest) -> int:
        await guest.complete()
        return await never_ends(guest)

    instance_no = await still_world.start(lingers, timeout_s=10_000)
    await still_world.until(instance_no, Status.COMPLETED)
    await pass_time(clock, 9)
    assert still_world.host.running == 1
    await pass_time(clock, 11)
    await still_world.idle()
    assert still_world.host.running == 0


# ---- stop


async def test_stop_forces_what_does_not_obey(world: World) -> None:
    instance_no = await world.start(never_ends)
    await world.process(instance_no)
    stopped = await world.environment.stop_instance(await world.get(instance_no), grace_s=0.05, reason="enough")
    assert (stopped.status, stopped.termination_reason) == (Status.CANCELLED, TerminationReason.STOPPED)
    assert world.host.running == 0
    assert (await world.get(instance_no)).exit_code == 128 + 15


async def test_stop_leaves_the_end_to_a_program_that_obeys(world: World) -> None:
    clean = anyio.Event()

    async def obeys(guest: Guest) -> int:
        signal = await guest.next_push()
        assert isinstance(signal, SignalPending)
        assert signal.kind == SignalKind.CANCEL
        await guest.acknowledge_cancel(signal.signal_no)
        await clean.wait()
        return 0

    instance_no = await world.start(obeys)
    await world.process(instance_no)
    stopped = []

    async def stop() -> None:
        stopped.append(await world.environment.stop_instance(await world.get(instance_no), grace_s=PATIENCE_S))

    async with anyio.create_task_group() as group:
        group.start_soon(stop)
        await anyio.wait_all_tasks_blocked()
        assert world.host.running == 1, "it may clean up"
        clean.set()
    assert (stopped[0].status, stopped[0].termination_reason) == (Status.CANCELLED, TerminationReason.CANCELLED)
    assert world.host.running == 0
    assert (await world.get(instance_no)).exit_code == 0


async def test_a_queued_instance_is_stopped_without_a_launch(tmp_path: Path) -> None:
    async with a_server(tmp_path, places=1) as world:
        await world.process(await world.start(never_ends))
        queued = await world.start(completes)
        stopped = await world.environment.stop_instance(await world.get(queued), grace_s=PATIENCE_S)
        assert stopped.status is Status.CANCELLED
        assert world.host.launches == 1


async def test_what_has_ended_cannot_be_stopped(world: World) -> None:
    instance_no = await world.start(completes)
    instance = await world.until(instance_no, Status.COMPLETED)
    with pytest.raises(IllegalTransition):
        await world.environment.stop_instance(instance, grace_s=1)


async def test_stopping_twice_is_fine(world: World) -> None:
    instance_no = await world.start(never_ends)
    await world.process(instance_no)
    for _ in range(2):
        stopped = await world.environment.stop_instance(await world.get(instance_no), grace_s=0)
        assert stopped.status is Status.CANCELLED


# ---- drain


async def yields(guest: Guest) -> int:
    assert isinstance(await guest.next_push(), Drain)
    await guest.yield_()
    return 0


async def test_a_drain_asks_programs_to_suspend(world: World) -> None:
    instance_no = await world.start(yields)
    await world.process(instance_no)
    await world.environment.drain(timeout_s=PATIENCE_S)
    instance = await world.get(instance_no)
    assert (instance.status, instance.termination_reason) == (Status.SUSPENDED, TerminationReason.SHUTDOWN_REQUESTED)
    assert instance.exit_code == 0
    assert world.host.running == 0


async def test_a_drain_ends_what_does_not_suspend_and_that_is_no_crash(world: World) -> None:
    instance_no = await world.start(never_ends)
    await world.process(instance_no)
    await world.environment.drain(timeout_s=0.05)
    instance = await world.get(instance_no)
    assert (instance.status, instance.termination_reason) == (Status.SUSPENDED, TerminationReason.SHUTDOWN_REQUESTED)
    assert instance.wake_at is not None
    assert instance.attempts_without_progress == 0
    assert world.host.running == 0


async def test_a_draining_server_launches_nothing(world: World) -> None:
    await world.environment.drain(timeout_s=1)
    instance_no = await world.start(completes)
    await anyio.wait_all_tasks_blocked()
    assert (await world.get(instance_no)).status is Status.PENDING
    await world.environment.drain(timeout_s=1)


async def test_a_claim_that_was_under_way_is_drained_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    persistence = world.machine.persistence
    claim_due, asked, answer = persistence.claim_due, anyio.Event(), anyio.Event()

    async def slow(server_no: int, *, slots: int) -> Any:
        orders = await claim_due(server_no, slots=slots)
        asked.set()
        await answer.wait()
        return orders

    monkeypatch.setattr(persistence, "claim_due", slow)
    instance_no = await world.start(yields)
    await asked.wait()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: world.environment.drain(timeout_s=PATIENCE_S))
        await anyio.wait_all_tasks_blocked()
        answer.set()
    instance = await world.get(instance_no)
    assert instance.termination_reason is TerminationReason.SHUTDOWN_REQUESTED
    assert world.host.running == 0


async def test_the_next_start_wakes_what_a_drain_suspended(tmp_path: Path) -> None:
    clock = SystemClock()
    async with new_machine(tmp_path, clock=clock) as machine:
        async with running_server(machine, clock=clock) as world:
            instance_no = await world.start(never_ends)
            await world.process(instance_no)
            await world.environment.drain(timeout_s=0.01)
        machine.programs["i1"] = completes
        async with running_server(machine, clock=clock) as world:
            assert (await world.until(instance_no, Status.COMPLETED)).epoch == 2


# ---- one process per instance


async def test_an_instance_never_has_two_processes(world: World) -> None:
    """It is resumed and claimed while its former process is still on its way out."""
    alive: set[int] = set()
    leave = anyio.Event()

    async def sleeps_and_lingers(guest: Guest) -> int:
        assert not alive, "the former process is still there"
        alive.add(guest.epoch)
        if guest.epoch == 1:
            await guest.sleep_until(world.engine.clock.now())
            await leave.wait()
        else:
            await guest.complete()
        alive.discard(guest.epoch)
        return 0

    instance_no = await world.start(sleeps_and_lingers)
    await world.until(instance_no, Status.RUNNING, epoch=2)
    await anyio.wait_all_tasks_blocked()
    assert alive == {1}
    leave.set()
    await world.until(instance_no, Status.COMPLETED)


async def test_a_former_process_that_does_not_leave_is_ended(still_world: World, clock: ManualClock) -> None:
    async def sleeps_and_stays(guest: Guest) -> int:
        if guest.epoch == 1:
            await guest.sleep_until(clock.now())
            await anyio.sleep_forever()
        await guest.complete()
        return 0

    instance_no = await still_world.start(sleeps_and_stays)
    await still_world.until(instance_no, Status.RUNNING, epoch=2)
    await pass_time(clock, 10)
    await still_world.until(instance_no, Status.COMPLETED)
    assert still_world.host.running_peak == 1
