"""Changes of status, and all that goes with them."""

from __future__ import annotations

import pytest

from runtara.core.model import (
    EventType,
    InstanceFilter,
    ResourceUsage,
    SignalKind,
    Status,
    TerminationReason,
)
from runtara.core.persistence.base import (
    AppendEvent,
    ChangeStatus,
    Outcome,
    OutcomeKind,
    RecordExit,
    SaveCheckpoint,
    Write,
)
from runtara.core.state import RULES, Change, Wake
from runtara.errors import Conflict
from runtara.ids import InstanceNo
from runtara.testing.contracts.persistence.host import (
    DONE,
    HOUR,
    OWNED,
    Host,
    HostedContract,
    key,
)

__all__ = ("ChangeContract",)


class ChangeContract(HostedContract):
    """Changes of status, and all that goes with them."""

    # ---- the state table

    @pytest.mark.parametrize("status", Status)
    @pytest.mark.parametrize("change", [change for change in Change if change not in OWNED])
    async def test_the_table_decides(self, ready: Host, status: Status, change: Change) -> None:
        before = await ready.in_status(status)
        rule = RULES[change]
        events = await ready.events(before.instance_no)
        fits = rule.source_reasons is None or before.termination_reason in rule.source_reasons
        wake_at = (await ready.persistence.check()) + HOUR
        outcome = await ready.one(
            ChangeStatus(instance_no=before.instance_no, epoch=before.epoch, change=change, wake_at=wake_at)
        )
        after = await ready.get(before.instance_no)
        if status in rule.sources and fits:
            assert outcome == Outcome(OutcomeKind.DONE, status=rule.target.value)
            assert (after.status, after.termination_reason) == (rule.target, rule.reason)
            assert await ready.events(before.instance_no) == [*events, rule.event]
            assert (after.wake_at is not None) == (rule.wake is not Wake.NONE)
            assert (after.finished_at is not None) == rule.target.is_terminal
            assert after.owner is None
        else:
            assert outcome == Outcome(OutcomeKind.REFUSED, status=status.value)
            assert after == before
            assert await ready.events(before.instance_no) == events

    @pytest.mark.parametrize("change", [change for change in Change if change not in OWNED])
    async def test_an_old_epoch_changes_nothing(self, ready: Host, change: Change) -> None:
        order = await ready.running()
        await ready.change(order, Change.YIELD)
        await ready.claim()
        before, events = await ready.get(order.instance_no), await ready.events(order.instance_no)
        outcome = await ready.change(order, change, wake_at=order.due_at)
        assert outcome == Outcome(OutcomeKind.FENCED, status="running")
        assert await ready.get(order.instance_no) == before
        assert await ready.events(order.instance_no) == events

    async def test_changing_nobody(self, ready: Host) -> None:
        assert await ready.person(InstanceNo(4711), Change.RESUME) == Outcome(OutcomeKind.UNKNOWN_INSTANCE)

    async def test_an_end_keeps_what_it_was_told(self, ready: Host) -> None:
        order = await ready.running()
        await ready.advance(HOUR)
        usage = ResourceUsage(memory_peak_bytes=2**40, cpu_us=7)
        await ready.change(order, Change.FAIL, error=b'{"code":1}', exit_code=3, usage=usage, detail=b'{"d":1}')
        instance = await ready.get(order.instance_no)
        assert (instance.error, instance.exit_code, instance.usage) == (b'{"code":1}', 3, usage)
        assert instance.finished_at == await ready.persistence.check()
        event = (await ready.persistence.list_events(order.instance_no, after_event_no=0, limit=9))[-1]
        assert (event.type, event.payload, event.epoch) == (EventType.FAILED, b'{"d":1}', 1)

    @pytest.mark.parametrize("output", [b"", b"null", b"x" * 1024**2], ids=len)
    async def test_an_output_is_bytes(self, ready: Host, output: bytes) -> None:
        order = await ready.running()
        await ready.change(order, Change.COMPLETE, output=output)
        assert (await ready.get(order.instance_no)).output == output

    async def test_a_given_time_is_when_it_is_due(self, ready: Host) -> None:
        order = await ready.running()
        wake_at = await ready.persistence.check() + HOUR
        await ready.change(order, Change.CRASH, wake_at=wake_at)
        assert (await ready.get(order.instance_no)).wake_at == wake_at

    async def test_a_crash_without_a_time_is_due_now(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.CRASH)
        assert (await ready.get(order.instance_no)).wake_at == await ready.persistence.check()

    async def test_a_wait_without_a_deadline_is_never_due(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.WAIT)
        instance = await ready.get(order.instance_no)
        assert (instance.wake_at, instance.sleep_until) == (None, None)
        assert await ready.persistence.next_due(limit=1) == []

    # ---- sleep, pause, resume

    async def test_a_sleep_outlasts_a_pause(self, ready: Host) -> None:
        order = await ready.running()
        wake_at = await ready.persistence.check() + HOUR
        await ready.change(order, Change.SLEEP, wake_at=wake_at)
        await ready.person(order.instance_no, Change.PAUSE_PARKED)
        paused = await ready.get(order.instance_no)
        assert (paused.wake_at, paused.sleep_until) == (None, wake_at)
        await ready.person(order.instance_no, Change.RESUME_SLEEP)
        asleep = await ready.get(order.instance_no)
        assert (asleep.status, asleep.termination_reason) == (Status.SUSPENDED, TerminationReason.SLEEPING)
        assert (asleep.wake_at, asleep.sleep_until) == (wake_at, wake_at)

    async def test_a_resume_ends_the_pause_and_the_sleep(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.SLEEP, wake_at=order.due_at + HOUR)
        await ready.person(order.instance_no, Change.PAUSE_PARKED)
        await ready.person(order.instance_no, Change.RESUME)
        instance = await ready.get(order.instance_no)
        assert (instance.status, instance.sleep_until) == (Status.PENDING, None)
        assert instance.wake_at == await ready.persistence.check()

    async def test_a_paused_instance_is_never_due(self, ready: Host) -> None:
        await ready.pending()
        number = (await ready.persistence.list_instances(InstanceFilter(), limit=1, cursor=None)).rows[0].instance_no
        await ready.person(number, Change.PAUSE_PARKED)
        assert await ready.persistence.claim_due(ready.server_no, slots=1) == []

    async def test_a_sleep_cannot_be_resumed_as_if_it_were_a_pause(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.SLEEP, wake_at=order.due_at + HOUR)
        assert (await ready.person(order.instance_no, Change.RESUME)).kind is OutcomeKind.REFUSED

    # ---- progress

    async def test_setbacks_in_a_row_are_counted(self, ready: Host) -> None:
        await ready.pending()
        for setbacks in (1, 2, 3):
            order = await ready.claim()
            await ready.change(order, Change.CRASH)
            assert (await ready.get(order.instance_no)).attempts_without_progress == setbacks

    async def test_a_checkpoint_is_progress(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.CRASH)
        order = await ready.claim()
        await ready.save(order, "a")
        await ready.change(order, Change.CRASH)
        assert (await ready.get(order.instance_no)).attempts_without_progress == 0

    async def test_a_checkpoint_of_the_same_batch_is_progress(self, ready: Host) -> None:
        order = await ready.running()
        number = order.instance_no
        await ready.persistence.write(
            [
                SaveCheckpoint(number, 1, key("a"), b""),
                ChangeStatus(instance_no=number, epoch=1, change=Change.CRASH),
            ]
        )
        assert (await ready.get(number)).attempts_without_progress == 0

    async def test_an_old_checkpoint_is_no_progress(self, ready: Host) -> None:
        order = await ready.running()
        await ready.save(order, "a")
        await ready.change(order, Change.YIELD)
        order = await ready.claim()
        await ready.save(order, "a")
        await ready.change(order, Change.CRASH)
        assert (await ready.get(order.instance_no)).attempts_without_progress == 1

    async def test_a_claim_keeps_the_count_and_an_orderly_end_resets_it(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.LAUNCH_FAIL)
        order = await ready.claim()
        assert (await ready.get(order.instance_no)).attempts_without_progress == 1
        await ready.change(order, Change.SLEEP, wake_at=order.due_at)
        assert (await ready.get(order.instance_no)).attempts_without_progress == 0

    # ---- exits

    async def test_an_exit_is_recorded_after_the_program_has_reported_its_end(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.COMPLETE)
        usage = ResourceUsage(memory_peak_bytes=1, cpu_us=2)
        write = RecordExit(instance_no=order.instance_no, epoch=1, exit_code=0, usage=usage)
        events = await ready.events(order.instance_no)
        assert await ready.one(write) == Outcome(OutcomeKind.DONE, status="completed")
        assert await ready.one(write) == Outcome(OutcomeKind.DONE, status="completed")
        instance = await ready.get(order.instance_no)
        assert (instance.status, instance.exit_code, instance.usage) == (Status.COMPLETED, 0, usage)
        assert await ready.events(order.instance_no) == events

    async def test_an_exit_tells_that_the_program_did_not_report(self, ready: Host) -> None:
        order = await ready.running()
        write = RecordExit(instance_no=order.instance_no, epoch=1, exit_code=None, usage=ResourceUsage())
        assert await ready.one(write) == Outcome(OutcomeKind.DONE, status="running")

    async def test_the_exit_of_an_older_attempt_is_not_the_instances(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.YIELD)
        await ready.claim()
        write = RecordExit(instance_no=order.instance_no, epoch=1, exit_code=9, usage=ResourceUsage())
        assert await ready.one(write) == Outcome(OutcomeKind.FENCED, status="running")
        assert (await ready.get(order.instance_no)).exit_code is None

    async def test_a_new_attempt_forgets_how_the_last_one_ended(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.CRASH, exit_code=137, error=b"{}", usage=ResourceUsage(cpu_us=1))
        assert (await ready.get(order.instance_no)).exit_code == 137
        await ready.claim()
        instance = await ready.get(order.instance_no)
        assert (instance.exit_code, instance.error, instance.usage) == (None, None, ResourceUsage())

    # ---- retrying what has ended

    async def test_a_retry_goes_on_from_the_checkpoints(self, ready: Host) -> None:
        order = await ready.running()
        await ready.save(order, "a", b"1")
        await ready.change(order, Change.FAIL, error=b"{}")
        assert (await ready.person(order.instance_no, Change.RETRY)).kind is OutcomeKind.DONE
        instance = await ready.get(order.instance_no)
        assert (instance.status, instance.finished_at, instance.error) == (Status.PENDING, None, None)
        again = await ready.claim()
        assert (again.epoch, again.image_no) == (2, ready.image_no)
        assert await ready.states(order.instance_no) == {"a": b"1"}

    async def test_a_retry_needs_its_image(self, ready: Host) -> None:
        order = await ready.running("a")
        await ready.change(order, Change.FAIL)
        await ready.delete_image(ready.image_no)
        ready.image_no = await ready.make_image()
        other = await ready.running("b")
        before = await ready.get(order.instance_no)
        outcomes = await ready.persistence.write(
            [
                SaveCheckpoint(other.instance_no, 1, key("k"), b""),
                ChangeStatus(instance_no=order.instance_no, epoch=None, change=Change.RETRY),
                ChangeStatus(instance_no=other.instance_no, epoch=1, change=Change.COMPLETE),
            ]
        )
        assert [outcome.kind for outcome in outcomes] == [OutcomeKind.DONE, OutcomeKind.IMAGE_GONE, OutcomeKind.DONE]
        assert await ready.get(order.instance_no) == before

    async def test_a_retry_is_not_cancelled_by_a_cancel_of_before(self, ready: Host) -> None:
        order = await ready.running()
        await ready.signal(order.instance_no, SignalKind.CANCEL)
        await ready.signal(order.instance_no, SignalKind.PAUSE)
        custom = await ready.signal(order.instance_no)
        await ready.change(order, Change.FAIL)
        await ready.person(order.instance_no, Change.RETRY)
        assert [s.signal_no for s in await ready.persistence.pending_signals(order.instance_no)] == [custom]

    # ---- images that are needed

    @pytest.mark.parametrize("status", [Status.PENDING, Status.RUNNING, Status.SUSPENDED])
    async def test_an_image_stays_as_long_as_it_is_needed(self, ready: Host, status: Status) -> None:
        await ready.in_status(status)
        with pytest.raises(Conflict):
            await ready.delete_image(ready.image_no)

    @pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
    async def test_an_image_may_go_when_its_instances_have_ended(self, ready: Host, status: Status) -> None:
        instance = await ready.in_status(status)
        await ready.delete_image(ready.image_no)
        assert (await ready.get(instance.instance_no)).image_id == "image-1"

    # ---- batches

    async def test_no_writes_no_outcomes(self, host: Host) -> None:
        assert list(await host.persistence.write([])) == []

    async def test_a_batch_equals_its_writes_one_by_one(self, ready: Host) -> None:
        order = await ready.running()
        number = order.instance_no
        outcomes = await ready.persistence.write(
            [
                SaveCheckpoint(number, 1, key("a"), b"1"),
                AppendEvent(number, 1, EventType.CUSTOM, "before", None),
                ChangeStatus(instance_no=number, epoch=1, change=Change.PAUSE),
                SaveCheckpoint(number, 1, key("b"), b"2"),
                AppendEvent(number, 1, EventType.CUSTOM, "after", None),
                ChangeStatus(instance_no=number, epoch=1, change=Change.COMPLETE),
                ChangeStatus(instance_no=number, epoch=None, change=Change.RESUME),
                ChangeStatus(instance_no=number, epoch=None, change=Change.CANCEL_PARKED),
                RecordExit(instance_no=number, epoch=1, exit_code=0, usage=ResourceUsage()),
            ]
        )
        assert list(outcomes) == [
            DONE,
            DONE,
            Outcome(OutcomeKind.DONE, status="suspended"),
            Outcome(OutcomeKind.FENCED, status="suspended"),
            Outcome(OutcomeKind.FENCED, status="suspended"),
            Outcome(OutcomeKind.REFUSED, status="suspended"),
            Outcome(OutcomeKind.DONE, status="pending"),
            Outcome(OutcomeKind.DONE, status="cancelled"),
            Outcome(OutcomeKind.DONE, status="cancelled"),
        ]
        assert await ready.states(number) == {"a": b"1"}
        events = await ready.persistence.list_events(number, after_event_no=0, limit=99)
        assert [event.subtype or event.type.value for event in events] == [
            "instance.created",
            "instance.started",
            "before",
            "instance.suspended",
            "instance.resumed",
            "instance.cancelled",
        ]

    async def test_many_instances_in_one_batch(self, ready: Host) -> None:
        orders = [await ready.running(str(number)) for number in range(20)]
        batch: list[Write] = []
        for order in reversed(orders):
            batch.append(SaveCheckpoint(order.instance_no, 1, key("k"), order.instance_id.encode()))
            batch.append(ChangeStatus(instance_no=order.instance_no, epoch=1, change=Change.COMPLETE))
        outcomes = await ready.persistence.write(batch)
        assert {outcome.kind for outcome in outcomes} == {OutcomeKind.DONE}
        for order in orders:
            assert await ready.states(order.instance_no) == {"k": order.instance_id.encode()}
