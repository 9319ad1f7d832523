"""Signals, answered, consumed, withdrawn, and on time; and who wins when several act at once."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from runtara.core.model import (
    EventType,
    SignalKind,
    Status,
)
from runtara.core.persistence.base import (
    AckSignal,
    Outcome,
    OutcomeKind,
    SaveCheckpoint,
)
from runtara.core.state import Change
from runtara.errors import IllegalTransition, NotFound
from runtara.ids import InstanceNo
from runtara.testing.contracts.persistence.host import (
    DONE,
    HOUR,
    Host,
    HostedContract,
    gather,
    key,
)

__all__ = ("SignalContract",)


class SignalContract(HostedContract):
    """Signals, answered, consumed, withdrawn, and on time; and who wins when several act at once."""

    # ---- signals

    async def test_a_signal_waits_until_it_is_answered(self, ready: Host) -> None:
        order = await ready.running()
        sent = await ready.persistence.send_signal(
            order.instance_no, SignalKind.CUSTOM, name="approve", payload=b"\0yes"
        )
        assert (sent.instance_no, sent.status, sent.owner, sent.woke) == (
            order.instance_no,
            "running",
            ready.server_no,
            False,
        )
        (signal,) = await ready.persistence.pending_signals(order.instance_no)
        assert (signal.signal_no, signal.kind, signal.name) == (sent.signal_no, SignalKind.CUSTOM, "approve")
        assert (signal.payload, signal.created_at) == (b"\0yes", await ready.persistence.check())
        events = await ready.persistence.list_events(order.instance_no, after_event_no=0, limit=9)
        assert (events[-1].type, events[-1].subtype) == (EventType.SIGNAL_RECEIVED, "custom")

    async def test_signals_are_a_queue(self, ready: Host) -> None:
        order = await ready.running()
        numbers = [await ready.signal(order.instance_no, name=name) for name in ("a", "b", "a")]
        pending = await ready.persistence.pending_signals(order.instance_no)
        assert [signal.signal_no for signal in pending] == numbers == sorted(set(numbers))

    @pytest.mark.parametrize("kind", [SignalKind.CANCEL, SignalKind.PAUSE])
    async def test_asking_twice_is_asking_once(self, ready: Host, kind: SignalKind) -> None:
        order = await ready.running()
        numbers = await gather(*[lambda: ready.signal(order.instance_no, kind)] * 4)
        assert len(set(numbers)) == 1
        assert len(await ready.persistence.pending_signals(order.instance_no)) == 1
        assert (await ready.events(order.instance_no)).count(EventType.SIGNAL_RECEIVED) == 1

    @pytest.mark.parametrize("status", Status)
    async def test_who_takes_which_signal(self, ready: Host, status: Status) -> None:
        instance = await ready.in_status(status)
        for kind in (SignalKind.CANCEL, SignalKind.PAUSE):
            if status is Status.RUNNING:
                await ready.signal(instance.instance_no, kind)
            else:
                with pytest.raises(IllegalTransition):
                    await ready.signal(instance.instance_no, kind)
        if status.is_terminal:
            with pytest.raises(IllegalTransition):
                await ready.signal(instance.instance_no)
        else:
            await ready.signal(instance.instance_no)

    async def test_a_signal_to_nobody(self, ready: Host) -> None:
        with pytest.raises(NotFound):
            await ready.signal(InstanceNo(4711))
        with pytest.raises(NotFound):
            await ready.persistence.withdraw_pauses(InstanceNo(4711))
        assert list(await ready.persistence.pending_signals(InstanceNo(4711))) == []

    async def test_a_custom_signal_wakes_whoever_waits(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.WAIT, wake_at=order.due_at + HOUR)
        sent = await ready.persistence.send_signal(order.instance_no, SignalKind.CUSTOM, name="x", payload=None)
        assert (sent.status, sent.woke, sent.owner) == ("pending", True, None)
        assert (await ready.get(order.instance_no)).wake_at == await ready.persistence.check()
        assert (await ready.events(order.instance_no))[-2:] == [EventType.SIGNAL_RECEIVED, EventType.RESUMED]

    @pytest.mark.parametrize("change", [Change.SLEEP, Change.PAUSE, Change.YIELD])
    async def test_a_custom_signal_wakes_nobody_else(self, ready: Host, change: Change) -> None:
        order = await ready.running()
        await ready.change(order, change, wake_at=order.due_at + HOUR)
        before = await ready.get(order.instance_no)
        sent = await ready.persistence.send_signal(order.instance_no, SignalKind.CUSTOM, name="x", payload=None)
        assert (sent.status, sent.woke) == ("suspended", False)
        assert await ready.get(order.instance_no) == before

    async def test_a_consumed_signal_is_a_checkpoint(self, ready: Host) -> None:
        order = await ready.running()
        number = await ready.signal(order.instance_no)
        assert await ready.save(order, "wait", b"42", consumes_signal_no=number) == DONE
        assert list(await ready.persistence.pending_signals(order.instance_no)) == []
        # The same write again, and another key that wants the same signal.
        again = await ready.save(order, "wait", b"42", consumes_signal_no=number)
        assert again == Outcome(OutcomeKind.FOUND, state=b"42")
        assert (await ready.save(order, "other", b"42", consumes_signal_no=number)).kind is OutcomeKind.WITHDRAWN
        assert await ready.states(order.instance_no) == {"wait": b"42"}

    async def test_a_signal_is_consumed_once_in_a_batch(self, ready: Host) -> None:
        order = await ready.running()
        first, second = await ready.signal(order.instance_no), await ready.signal(order.instance_no)
        outcomes = await ready.persistence.write(
            [
                SaveCheckpoint(order.instance_no, 1, key("a"), b"", consumes_signal_no=first),
                SaveCheckpoint(order.instance_no, 1, key("b"), b"", consumes_signal_no=first),
                SaveCheckpoint(order.instance_no, 1, key("b"), b"", consumes_signal_no=second),
            ]
        )
        assert [outcome.kind for outcome in outcomes] == [OutcomeKind.DONE, OutcomeKind.WITHDRAWN, OutcomeKind.DONE]

    async def test_a_found_checkpoint_leaves_the_signal(self, ready: Host) -> None:
        order = await ready.running()
        await ready.save(order, "wait", b"1")
        number = await ready.signal(order.instance_no)
        found = await ready.save(order, "wait", b"2", consumes_signal_no=number)
        assert found == Outcome(OutcomeKind.FOUND, state=b"1")
        assert len(await ready.persistence.pending_signals(order.instance_no)) == 1

    async def test_only_ones_own_custom_signal_can_be_consumed(self, ready: Host) -> None:
        order, other = await ready.running("a"), await ready.running("b")
        foreign = await ready.signal(other.instance_no)
        cancel = await ready.signal(order.instance_no, SignalKind.CANCEL)
        for number in (foreign, cancel, 4711):
            outcome = await ready.save(order, "k", b"", consumes_signal_no=number)
            assert outcome.kind is OutcomeKind.WITHDRAWN
        assert len(await ready.persistence.pending_signals(other.instance_no)) == 1

    async def test_an_old_attempt_consumes_nothing(self, ready: Host) -> None:
        order = await ready.running()
        number = await ready.signal(order.instance_no)
        await ready.change(order, Change.YIELD)
        await ready.claim()
        outcome = await ready.save(order, "k", b"", consumes_signal_no=number)
        assert outcome == Outcome(OutcomeKind.FENCED, status="running")
        assert len(await ready.persistence.pending_signals(order.instance_no)) == 1

    async def test_a_change_answers_its_signal(self, ready: Host) -> None:
        order = await ready.running()
        number = await ready.signal(order.instance_no, SignalKind.PAUSE)
        assert (await ready.change(order, Change.PAUSE, signal_no=number)).kind is OutcomeKind.DONE
        assert list(await ready.persistence.pending_signals(order.instance_no)) == []
        assert (await ready.events(order.instance_no))[-1] is EventType.SUSPENDED

    async def test_a_change_whose_signal_was_withdrawn_does_not_happen(self, ready: Host) -> None:
        order = await ready.running()
        number = await ready.signal(order.instance_no, SignalKind.PAUSE)
        assert await ready.persistence.withdraw_pauses(order.instance_no) == 1
        assert await ready.persistence.withdraw_pauses(order.instance_no) == 0
        assert await ready.change(order, Change.PAUSE, signal_no=number) == Outcome(OutcomeKind.WITHDRAWN)
        assert (await ready.get(order.instance_no)).status is Status.RUNNING

    async def test_withdrawing_pauses_leaves_the_rest(self, ready: Host) -> None:
        order = await ready.running()
        cancel, custom = await ready.signal(order.instance_no, SignalKind.CANCEL), await ready.signal(order.instance_no)
        await ready.signal(order.instance_no, SignalKind.PAUSE)
        await ready.persistence.withdraw_pauses(order.instance_no)
        pending = await ready.persistence.pending_signals(order.instance_no)
        assert [signal.signal_no for signal in pending] == [cancel, custom]

    async def test_an_acknowledgement_without_a_change(self, ready: Host) -> None:
        order = await ready.running()
        number = await ready.signal(order.instance_no, SignalKind.PAUSE)
        write = AckSignal(order.instance_no, 1, number)
        assert await ready.one(write) == DONE
        assert list(await ready.persistence.pending_signals(order.instance_no)) == []
        assert await ready.one(write) == Outcome(OutcomeKind.WITHDRAWN)
        assert (await ready.one(AckSignal(order.instance_no, 9, number))).kind is OutcomeKind.FENCED
        events = await ready.persistence.list_events(order.instance_no, after_event_no=0, limit=9)
        assert [(e.type, e.subtype) for e in events[-2:]] == [
            (EventType.SIGNAL_RECEIVED, "pause"),
            (EventType.SIGNAL_ACKNOWLEDGED, "pause"),
        ]

    async def test_a_pause_or_a_cancel_races_with_its_withdrawal(self, ready: Host) -> None:
        for number in range(10):
            order = await ready.running(str(number))
            signal_no = await ready.signal(order.instance_no, SignalKind.PAUSE)
            outcome, withdrawn = await gather(
                partial(ready.change, order, Change.PAUSE, signal_no=signal_no),
                partial(ready.persistence.withdraw_pauses, order.instance_no),
            )
            is_paused = (await ready.get(order.instance_no)).status is Status.SUSPENDED
            assert is_paused == (outcome.kind is OutcomeKind.DONE) == (withdrawn == 0)

    # ---- signals that come when the program is on its way out

    async def test_a_wait_is_over_when_its_signal_came_before_it(self, ready: Host) -> None:
        order = await ready.running()
        await ready.signal(order.instance_no)
        await ready.change(order, Change.WAIT)
        assert (await ready.get(order.instance_no)).wake_at == await ready.persistence.check()

    async def test_a_signal_of_an_earlier_attempt_is_not_what_it_waits_for(self, ready: Host) -> None:
        order = await ready.running()
        await ready.signal(order.instance_no, name="other")
        await ready.change(order, Change.YIELD)
        order = await ready.claim()
        await ready.change(order, Change.WAIT)
        assert (await ready.get(order.instance_no)).wake_at is None

    @pytest.mark.parametrize("kind", [SignalKind.CANCEL, SignalKind.PAUSE])
    async def test_a_sleep_is_over_when_somebody_wants_something_of_it(self, ready: Host, kind: SignalKind) -> None:
        order = await ready.running()
        await ready.signal(order.instance_no, kind)
        wake_at = order.due_at + HOUR
        await ready.change(order, Change.SLEEP, wake_at=wake_at)
        instance = await ready.get(order.instance_no)
        assert (instance.wake_at, instance.sleep_until) == (await ready.persistence.check(), wake_at)

    async def test_a_sleep_does_not_mind_a_custom_signal(self, ready: Host) -> None:
        order = await ready.running()
        await ready.signal(order.instance_no)
        wake_at = order.due_at + HOUR
        await ready.change(order, Change.SLEEP, wake_at=wake_at)
        assert (await ready.get(order.instance_no)).wake_at == wake_at

    async def test_a_wait_races_with_its_signal_and_neither_is_missed(self, ready: Host) -> None:
        for number in range(10):
            order = await ready.running(str(number))
            await gather(
                partial(ready.change, order, Change.WAIT),
                partial(ready.signal, order.instance_no),
            )
            instance = await ready.get(order.instance_no)
            assert instance.wake_at is not None
            await ready.claim(str(number))

    # ---- races

    async def test_a_cancel_races_with_a_claim(self, ready: Host) -> None:
        for number in range(10):
            instance_no = await ready.pending(str(number))
            outcome, orders = await gather(
                partial(ready.person, instance_no, Change.CANCEL_PARKED),
                lambda: ready.persistence.claim_due(ready.server_no, slots=1),
            )
            status = (await ready.get(instance_no)).status
            assert (outcome.kind is OutcomeKind.DONE) == (status is Status.CANCELLED)
            assert (len(orders) == 1) == (status is Status.RUNNING)

    async def test_a_save_races_with_a_takeover(self, ready: Host) -> None:
        for number in range(10):
            dead = await ready.persistence.join(f"dead-{number}", lease_s=0)
            await ready.pending(str(number))
            (order,) = await ready.persistence.claim_due(dead, slots=1)
            await ready.advance(timedelta(seconds=1))
            batch = [SaveCheckpoint(order.instance_no, 1, key(str(k)), b"") for k in range(5)]
            outcomes, taken = await gather(
                partial(ready.persistence.write, batch),
                lambda: ready.persistence.take_over(grace_s=0, limit=10),
            )
            if not taken:  # The batch held the row.
                taken = await ready.persistence.take_over(grace_s=0, limit=10)
            assert list(taken) == [order.instance_no]
            assert len({outcome.kind for outcome in outcomes}) == 1
            is_saved = outcomes[0].kind is OutcomeKind.DONE
            assert len(await ready.states(order.instance_no)) == (5 if is_saved else 0)
            await ready.claim(str(number))
