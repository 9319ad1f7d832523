"""What every ``Durable`` must do. Subclass ``DurableContract`` and give it a world with one instance.

The world says how attempts come and what people do; the suite plays the program.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import pytest

from runtara.errors import InvalidRequest, LimitExceeded, RuntaraError
from runtara.limits import (
    CHECKPOINT_BYTES_MAX,
    CHECKPOINT_KEY_BYTES_MAX,
    ERROR_BYTES_MAX,
    EVENT_PAYLOAD_BYTES_MAX,
    OUTPUT_BYTES_MAX,
)
from runtara.protocol.messages import RetryRecord
from runtara.sdk.base import (
    AttemptSuperseded,
    Durable,
    InstanceCancelled,
    InstancePaused,
    InstanceSuspended,
    Interruption,
)

__all__ = ("DurableContract", "DurableWorld", "Snapshot")

# A safety net only: everything here happens at once.
_HANGS_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is stored of the instance."""

    status: str
    termination_reason: str | None
    wake_at: datetime | None
    attempt: int
    output: bytes | None
    error: bytes | None
    checkpoints: Mapping[str, bytes]
    """States, not envelopes."""
    events: Sequence[tuple[str, bytes | None]]
    """Custom ones, oldest first."""


class DurableWorld(ABC):
    """One instance, its attempts, and the people around it."""

    instance_id: str
    tenant_id: str
    input: bytes
    sleep_threshold_s: float
    """At most a minute, and not 0."""

    @abstractmethod
    def attempt(self) -> AbstractAsyncContextManager[Durable]:
        """The next attempt, launched when the instance is due (time passes for it if it must).

        A program that leaves the context without having reported an end has crashed.
        """

    @abstractmethod
    async def supersede(self) -> None:
        """Begin another attempt although the running one lives, as a server does that lost sight of it."""

    @abstractmethod
    async def look(self) -> Snapshot:
        """What is stored now."""

    @abstractmethod
    async def send_signal(self, name: str, payload: bytes | None) -> None:
        """A custom signal, stored on return."""

    @abstractmethod
    async def cancel(self) -> None:
        """Asked for, on return."""

    @abstractmethod
    async def pause(self) -> None:
        """Asked for, on return."""

    @abstractmethod
    async def resume(self) -> None:
        """Let it go on, or take a pause back."""

    @abstractmethod
    async def drain(self) -> None:
        """The server asks the running attempt to yield."""

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """The clock of the instance has gone on by so much, and whoever slept has been woken."""


async def _heard(durable: Durable) -> None:
    """Returns when an interruption waits at the attempt."""
    async with asyncio.timeout(_HANGS_S):
        while not durable.check():  # noqa: ASYNC110 - the contract has no event for it, programs look
            await asyncio.sleep(0.001)


def _near(expected: datetime, actual: datetime | None) -> bool:
    """Equal but for the last microsecond, which a database may round."""
    return actual is not None and abs(actual - expected) < timedelta(milliseconds=1)


class DurableContract(ABC):
    """See the module."""

    @pytest.fixture
    @abstractmethod
    def world(self) -> DurableWorld:
        """A fresh instance that waits for its first attempt."""

    # ---- who I am

    async def test_an_attempt_knows_who_it_is(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            assert durable.info.instance_id == world.instance_id
            assert durable.info.tenant_id == world.tenant_id
            assert durable.info.input == world.input

    async def test_attempts_are_numbered(self, world: DurableWorld) -> None:
        async with world.attempt() as first:
            pass
        async with world.attempt() as second:
            assert second.info.attempt == first.info.attempt + 1

    # ---- checkpoints

    async def test_an_unknown_key_has_no_state(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            assert await durable.find("nothing") is None

    async def test_what_was_saved_is_found_in_this_and_in_the_next_attempt(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            assert await durable.save("step", b'"done"') == b'"done"'
            assert await durable.find("step") == b'"done"'
        async with world.attempt() as durable:
            assert await durable.find("step") == b'"done"'
            assert await durable.find("another") is None

    async def test_the_first_state_holds(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            await durable.save("step", b"1")
            assert await durable.save("step", b"2") == b"1"
        async with world.attempt() as durable:
            assert await durable.save("step", b"3") == b"1"
            assert await durable.find("step") == b"1"

    async def test_what_was_sent_is_found_at_once_and_durable_after_a_flush(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            durable.send("step", b"1")
            assert await durable.find("step") == b"1"
            await durable.flush()
            assert (await world.look()).checkpoints == {"step": b"1"}
        async with world.attempt() as durable:
            assert await durable.find("step") == b"1"

    async def test_saving_what_was_sent_makes_it_durable(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            durable.send("step", b"1")
            assert await durable.save("step", b"2") == b"1"
            assert (await world.look()).checkpoints == {"step": b"1"}

    async def test_a_flush_without_anything_to_do_returns(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            await durable.flush()
            await durable.flush()

    async def test_many_states_are_sent_at_once(self, world: DurableWorld) -> None:
        states = {f"step/{number}": b"%d" % number for number in range(2000)}
        async with world.attempt() as durable:
            for key, state in states.items():
                durable.send(key, state)
            await durable.flush()
        async with world.attempt() as durable:
            assert {key: await durable.find(key) for key in states} == states

    async def test_parts_of_a_program_save_at_the_same_time(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            stored = await asyncio.gather(*(durable.save(f"part/{n}", b"%d" % n) for n in range(50)))
            assert stored == [b"%d" % n for n in range(50)]

    async def test_of_two_that_save_one_key_at_the_same_time_both_get_the_same(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            stored = await asyncio.gather(*(durable.save("one", b"%d" % n) for n in range(10)))
            assert len(set(stored)) == 1

    @pytest.mark.parametrize("state", [b"", b"\x00\xff", b"x" * (1024 * 1024)], ids=["empty", "binary", "large"])
    async def test_a_state_is_any_bytes(self, world: DurableWorld, state: bytes) -> None:
        async with world.attempt() as durable:
            assert await durable.save("state", state) == state
        async with world.attempt() as durable:
            assert await durable.find("state") == state

    async def test_a_state_over_the_limit_is_refused_and_nothing_stored(self, world: DurableWorld) -> None:
        large = bytes(CHECKPOINT_BYTES_MAX + 1)
        async with world.attempt() as durable:
            with pytest.raises(LimitExceeded):
                durable.send("large", large)
            with pytest.raises(LimitExceeded):
                await durable.save("large", large)
            await durable.flush()
            assert await durable.find("large") is None
            assert (await world.look()).checkpoints == {}

    @pytest.mark.parametrize("key", ["", "a\0b", "k" * (CHECKPOINT_KEY_BYTES_MAX + 1)], ids=["empty", "nul", "long"])
    async def test_a_bad_key_is_refused(self, world: DurableWorld, key: str) -> None:
        async with world.attempt() as durable:
            with pytest.raises(InvalidRequest):
                await durable.find(key)
            with pytest.raises(InvalidRequest):
                durable.send(key, b"1")
            with pytest.raises(InvalidRequest):
                await durable.save(key, b"1")
            await durable.save("k" * CHECKPOINT_KEY_BYTES_MAX, b"the longest")

    # ---- retries

    async def test_failed_tries_are_remembered_by_the_next_attempt(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            assert durable.retry_of("step") is None
            at = durable.now().replace(microsecond=0) + timedelta(seconds=60)
            record = RetryRecord("step", 1, b'{"message":"no"}', at, 250)
            await durable.record_retry(record)
            assert durable.retry_of("step") == record
        async with world.attempt() as durable:
            assert durable.retry_of("step") == record
            assert durable.retry_of("another") is None

    async def test_a_retry_record_is_replaced(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            await durable.record_retry(RetryRecord("step", 1, b"{}", durable.now()))
            await durable.record_retry(RetryRecord("step", 2, b'{"message":"final"}', None))
        async with world.attempt() as durable:
            assert durable.retry_of("step") == RetryRecord("step", 2, b'{"message":"final"}', None)

    # ---- interruptions

    async def test_nothing_interrupts_by_itself(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            assert not durable.check()
            await durable.interrupt()

    async def test_a_cancel_ends_the_attempt_and_nothing_is_lost(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            durable.send("step", b"1")
            durable.emit("note", None)
            await world.cancel()
            await _heard(durable)
            with pytest.raises(InstanceCancelled):
                await durable.interrupt()
        seen = await world.look()
        assert seen.status == "cancelled"
        assert seen.checkpoints == {"step": b"1"}
        assert seen.events == [("note", None)]

    async def test_a_paused_instance_goes_on_when_it_is_resumed(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            durable.send("step", b"1")
            await world.pause()
            await _heard(durable)
            with pytest.raises(InstancePaused):
                await durable.interrupt()
        seen = await world.look()
        assert (seen.status, seen.termination_reason, seen.wake_at) == ("suspended", "paused", None)
        await world.resume()
        async with world.attempt() as durable:
            assert not durable.check()
            assert await durable.find("step") == b"1"

    async def test_a_pause_that_was_taken_back_does_nothing(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            await world.pause()
            await _heard(durable)
            await world.resume()
            await durable.interrupt()
            assert not durable.check()
            await durable.save("step", b"1")
        assert (await world.look()).checkpoints == {"step": b"1"}

    async def test_a_cancel_goes_before_a_pause(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            await world.drain()
            await world.pause()
            await world.cancel()
            await _heard(durable)
            await asyncio.sleep(0.02)  # the last of three pushes
            with pytest.raises(InstanceCancelled):
                await durable.interrupt()
        assert (await world.look()).status == "cancelled"

    async def test_a_drained_attempt_suspends_and_is_due_at_once(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            durable.send("step", b"1")
            await world.drain()
            await _heard(durable)
            with pytest.raises(InstanceSuspended):
                await durable.interrupt()
        seen = await world.look()
        assert seen.status == "suspended"
        assert seen.termination_reason == "shutdown_requested"
        assert seen.wake_at is not None
        async with world.attempt() as durable:
            assert await durable.find("step") == b"1"

    async def test_after_an_ending_every_call_raises_it(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            await world.cancel()
            await _heard(durable)
            with pytest.raises(InstanceCancelled):
                await durable.interrupt()
            assert durable.check()
            calls = (
                durable.interrupt(),
                durable.find("step"),
                durable.save("step", b"1"),
                durable.flush(),
                durable.record_retry(RetryRecord("step", 1, b"{}", None)),
                durable.sleep_until(durable.now()),
                durable.wait_signal("go", key="go", deadline=None),
                durable.complete(b"1"),
                durable.fail(b"{}"),
            )
            for call in calls:
                with pytest.raises(InstanceCancelled):
                    await call
            with pytest.raises(InstanceCancelled):
                durable.send("step", b"1")
            with pytest.raises(InstanceCancelled):
                durable.emit("note", None)
        assert (await world.look()).checkpoints == {}

    async def test_a_superseded_attempt_can_write_nothing(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            await durable.save("before", b"1")
            await world.supersede()
            with pytest.raises(AttemptSuperseded):
                await durable.save("after", b"1")
            with pytest.raises(AttemptSuperseded):
                await durable.complete(b"1")
            assert durable.check()
        seen = await world.look()
        assert seen.status == "running"
        assert seen.checkpoints == {"before": b"1"}

    # ---- time

    async def test_a_sleep_until_a_time_that_has_passed_returns(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            await durable.sleep_until(durable.now() - timedelta(seconds=1))

    async def test_a_short_sleep_waits_here(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            seconds = world.sleep_threshold_s / 2
            at = durable.now() + timedelta(seconds=seconds)
            sleep = asyncio.ensure_future(durable.sleep_until(at))
            await asyncio.sleep(0)
            assert not sleep.done()
            await world.pass_time(seconds)
            await asyncio.wait_for(sleep, _HANGS_S)
            assert durable.now() >= at
            assert (await world.look()).status == "running"

    async def test_a_long_sleep_suspends_the_instance_until_its_time(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            at = durable.now() + timedelta(seconds=world.sleep_threshold_s * 1.5 + 0.1)
            durable.send("step", b"1")
            with pytest.raises(InstanceSuspended):
                await durable.sleep_until(at)
        seen = await world.look()
        assert (seen.status, seen.termination_reason) == ("suspended", "sleeping")
        assert _near(at, seen.wake_at)
        assert seen.checkpoints == {"step": b"1"}
        async with world.attempt() as durable:
            await durable.sleep_until(at)
            assert durable.now() >= at - timedelta(milliseconds=1)

    @pytest.mark.parametrize(
        ("what", "interruption"),
        [("cancel", InstanceCancelled), ("pause", InstancePaused), ("drain", InstanceSuspended)],
    )
    async def test_a_sleep_is_interrupted(
        self, world: DurableWorld, what: str, interruption: type[Interruption]
    ) -> None:
        async with world.attempt() as durable:
            at = durable.now() + timedelta(seconds=world.sleep_threshold_s / 2)
            sleep = asyncio.ensure_future(durable.sleep_until(at))
            await asyncio.sleep(0)
            await getattr(world, what)()
            with pytest.raises(interruption):
                await asyncio.wait_for(sleep, _HANGS_S)

    async def test_what_waits_already_interrupts_before_the_sleep(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            await world.pause()
            await _heard(durable)
            with pytest.raises(InstancePaused):
                await durable.sleep_until(durable.now() + timedelta(days=1))
        assert (await world.look()).termination_reason == "paused"

    # ---- signals

    async def test_a_signal_that_came_before_the_wait_is_taken(self, world: DurableWorld) -> None:
        await world.send_signal("go", b'{"by":"ann"}')
        async with world.attempt() as durable:
            assert await durable.wait_signal("go", key="wait", deadline=None) == b'{"by":"ann"}'

    async def test_a_signal_that_comes_during_the_wait_is_taken(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            wait = asyncio.ensure_future(durable.wait_signal("go", key="wait", deadline=None))
            await asyncio.sleep(0)
            await world.send_signal("stop", b"0")
            await world.send_signal("go", b"1")
            assert await asyncio.wait_for(wait, _HANGS_S) == b"1"

    async def test_each_signal_is_taken_once_and_the_oldest_first(self, world: DurableWorld) -> None:
        for payload in (b"1", b"2", b"3"):
            await world.send_signal("go", payload)
        async with world.attempt() as durable:
            assert await durable.wait_signal("go", key="a", deadline=None) == b"1"
            assert await durable.wait_signal("go", key="b", deadline=None) == b"2"
        async with world.attempt() as durable:
            assert await durable.wait_signal("go", key="c", deadline=None) == b"3"

    async def test_a_replay_gets_the_payload_that_was_taken(self, world: DurableWorld) -> None:
        await world.send_signal("go", b"1")
        async with world.attempt() as durable:
            await durable.wait_signal("go", key="wait", deadline=None)
        await world.send_signal("go", b"2")
        async with world.attempt() as durable:
            assert await durable.wait_signal("go", key="wait", deadline=None) == b"1"

    async def test_a_signal_without_payload_is_a_null(self, world: DurableWorld) -> None:
        await world.send_signal("go", None)
        async with world.attempt() as durable:
            assert await durable.wait_signal("go", key="wait", deadline=None) == b"null"
        async with world.attempt() as durable:
            assert await durable.wait_signal("go", key="wait", deadline=None) == b"null"

    async def test_two_that_wait_for_one_name_get_one_signal_each(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            waits = asyncio.gather(*(durable.wait_signal("go", key=f"wait/{n}", deadline=None) for n in range(2)))
            await asyncio.sleep(0)
            await world.send_signal("go", b"1")
            await world.send_signal("go", b"2")
            assert sorted(await asyncio.wait_for(waits, _HANGS_S)) == [b"1", b"2"]  # type: ignore[type-var]

    async def test_a_wait_ends_at_its_deadline_for_ever(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            seconds = world.sleep_threshold_s / 2
            deadline = durable.now() + timedelta(seconds=seconds)
            wait = asyncio.ensure_future(durable.wait_signal("go", key="wait", deadline=deadline))
            await asyncio.sleep(0)
            await world.pass_time(seconds)
            assert await asyncio.wait_for(wait, _HANGS_S) is None
        await world.send_signal("go", b"too late")
        async with world.attempt() as durable:
            assert await durable.wait_signal("go", key="wait", deadline=deadline) is None
            assert await durable.wait_signal("go", key="next", deadline=None) == b"too late"

    async def test_a_signal_that_is_there_is_taken_after_the_deadline_too(self, world: DurableWorld) -> None:
        await world.send_signal("go", b"1")
        async with world.attempt() as durable:
            past = durable.now() - timedelta(seconds=1)
            assert await durable.wait_signal("go", key="wait", deadline=past) == b"1"

    async def test_a_long_wait_suspends_the_instance_until_the_signal(self, world: DurableWorld) -> None:
        await self._park(world, deadline_s=None)
        seen = await world.look()
        assert (seen.status, seen.termination_reason, seen.wake_at) == ("suspended", "waiting_signal", None)
        assert seen.checkpoints == {"step": b"1"}
        await world.send_signal("go", b"1")
        async with world.attempt() as durable:
            assert await durable.wait_signal("go", key="wait", deadline=None) == b"1"

    async def test_a_long_wait_is_woken_at_its_deadline(self, world: DurableWorld) -> None:
        deadline = await self._park(world, deadline_s=world.sleep_threshold_s * 2.5)
        assert _near(deadline, (await world.look()).wake_at)
        async with world.attempt() as durable:
            wait = asyncio.ensure_future(durable.wait_signal("go", key="wait", deadline=deadline))
            await asyncio.sleep(0)
            await world.pass_time(max(0.0, (deadline - durable.now()).total_seconds()))
            assert await asyncio.wait_for(wait, _HANGS_S) is None

    async def _park(self, world: DurableWorld, *, deadline_s: float | None) -> datetime:
        async with world.attempt() as durable:
            durable.send("step", b"1")
            deadline = durable.now() + timedelta(seconds=deadline_s or 0)
            wait = asyncio.ensure_future(
                durable.wait_signal("go", key="wait", deadline=None if deadline_s is None else deadline)
            )
            await asyncio.sleep(0)
            await world.pass_time(world.sleep_threshold_s)
            with pytest.raises(InstanceSuspended):
                await asyncio.wait_for(wait, _HANGS_S)
        return deadline

    async def test_a_wait_is_interrupted(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            wait = asyncio.ensure_future(durable.wait_signal("go", key="wait", deadline=None))
            await asyncio.sleep(0)
            await world.cancel()
            with pytest.raises(InstanceCancelled):
                await asyncio.wait_for(wait, _HANGS_S)

    async def test_a_wait_that_was_given_up_loses_no_signal(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            wait = asyncio.ensure_future(durable.wait_signal("go", key="wait", deadline=None))
            await asyncio.sleep(0)
            wait.cancel()
            await asyncio.wait({wait})
            await world.send_signal("go", b"1")
            assert await durable.wait_signal("go", key="wait", deadline=None) == b"1"

    # ---- waiting in company

    async def test_a_signal_is_taken_without_waiting_if_it_is_there(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            assert await durable.take_signal("go", key="wait") is None
            assert await durable.find("wait") is None
        await world.send_signal("go", b"1")
        async with world.attempt() as durable:
            assert await durable.take_signal("go", key="wait") == b"1"
        async with world.attempt() as durable:
            assert await durable.take_signal("go", key="wait") == b"1"
            assert await durable.take_signal("go", key="next") is None

    async def test_a_pause_ends_with_its_time(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            seconds = world.sleep_threshold_s / 2
            pause = asyncio.ensure_future(durable.pause_until(durable.now() + timedelta(seconds=seconds)))
            await asyncio.sleep(0)
            await world.pass_time(seconds)
            await asyncio.wait_for(pause, _HANGS_S)
            assert (await world.look()).status == "running"

    async def test_a_pause_ends_with_whatever_comes_and_acknowledges_nothing(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            pause = asyncio.ensure_future(durable.pause_until(None))
            await asyncio.sleep(0)
            await world.cancel()
            await asyncio.wait_for(pause, _HANGS_S)
            assert durable.check()
            await asyncio.wait_for(durable.pause_until(None), _HANGS_S)
            assert (await world.look()).status == "running"

    @pytest.mark.parametrize("name", ["one", "two"])
    async def test_any_of_the_signals_ends_the_wait_and_is_not_taken(self, world: DurableWorld, name: str) -> None:
        async with world.attempt() as durable:
            wait = asyncio.ensure_future(durable.wait_any(["one", "two"], until=None))
            await asyncio.sleep(0)
            await world.send_signal("other", b"0")
            await world.send_signal(name, b"1")
            await asyncio.wait_for(wait, _HANGS_S)
            assert await durable.take_signal(name, key="wait") == b"1"

    @pytest.mark.parametrize("name", ["one", "two"])
    async def test_a_long_wait_for_any_suspends_until_one_comes(self, world: DurableWorld, name: str) -> None:
        until = await self._park_for_any(world, ["one", "two"], seconds=world.sleep_threshold_s * 3)
        seen = await world.look()
        assert (seen.status, seen.termination_reason) == ("suspended", "waiting_signal")
        assert _near(until, seen.wake_at)
        await world.send_signal(name, b"1")
        async with world.attempt() as durable:
            await asyncio.wait_for(durable.wait_any(["one", "two"], until=until), _HANGS_S)
            assert await durable.take_signal(name, key="wait") == b"1"

    async def test_a_long_wait_for_any_ends_at_its_time(self, world: DurableWorld) -> None:
        until = await self._park_for_any(world, ["one"], seconds=world.sleep_threshold_s * 2.5)
        async with world.attempt() as durable:
            await world.pass_time(max(0.0, (until - durable.now()).total_seconds()))
            await asyncio.wait_for(durable.wait_any(["one"], until=until), _HANGS_S)
            assert await durable.take_signal("one", key="wait") is None

    async def _park_for_any(self, world: DurableWorld, names: Sequence[str], *, seconds: float) -> datetime:
        async with world.attempt() as durable:
            until = durable.now() + timedelta(seconds=seconds)
            wait = asyncio.ensure_future(durable.wait_any(names, until=until))
            await asyncio.sleep(0)
            await world.pass_time(world.sleep_threshold_s)
            with pytest.raises(InstanceSuspended):
                await asyncio.wait_for(wait, _HANGS_S)
        return until

    # ---- events

    async def test_events_are_stored_in_order(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            for number in range(1200):
                durable.emit("count", b"%d" % number)
            await durable.flush()
            assert (await world.look()).events == [("count", b"%d" % number) for number in range(1200)]

    async def test_events_are_durable_with_the_end(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            durable.emit("first", b"{}")
            await durable.save("step", b"1")
            durable.emit("second", None)
            await durable.complete(b"1")
        assert (await world.look()).events == [("first", b"{}"), ("second", None)]

    @pytest.mark.parametrize("subtype", ["", "a\0b", "n" * 129], ids=["empty", "nul", "long"])
    async def test_an_event_needs_a_good_name(self, world: DurableWorld, subtype: str) -> None:
        async with world.attempt() as durable:
            with pytest.raises(InvalidRequest):
                durable.emit(subtype, None)
            durable.emit("n" * 128, None)
            await durable.flush()

    async def test_an_event_payload_over_the_limit_is_refused(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            with pytest.raises(LimitExceeded):
                durable.emit("large", bytes(EVENT_PAYLOAD_BYTES_MAX + 1))
            durable.emit("largest", b'"' + b"x" * (EVENT_PAYLOAD_BYTES_MAX - 2) + b'"')
            await durable.flush()
        assert [name for name, _ in (await world.look()).events] == ["largest"]

    # ---- the end

    async def test_a_completed_instance_has_its_output_and_everything_that_was_sent(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            durable.send("step", b"1")
            await durable.complete(b'{"total":3}')
        seen = await world.look()
        assert (seen.status, seen.output, seen.error) == ("completed", b'{"total":3}', None)
        assert seen.checkpoints == {"step": b"1"}

    async def test_a_failed_instance_has_its_error(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            durable.send("step", b"1")
            await durable.fail(b'{"code":"E","message":"no"}')
        seen = await world.look()
        assert (seen.status, seen.output, seen.error) == ("failed", None, b'{"code":"E","message":"no"}')
        assert seen.checkpoints == {"step": b"1"}

    async def test_after_the_end_nothing_is_stored(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            await durable.complete(b"1")
            with pytest.raises(RuntaraError):
                await durable.save("step", b"1")
            with pytest.raises(RuntaraError):
                await durable.fail(b"{}")
        seen = await world.look()
        assert (seen.status, seen.output) == ("completed", b"1")
        assert seen.checkpoints == {}

    async def test_an_output_over_the_limit_is_refused_and_the_attempt_goes_on(self, world: DurableWorld) -> None:
        async with world.attempt() as durable:
            with pytest.raises(LimitExceeded):
                await durable.complete(bytes(OUTPUT_BYTES_MAX + 1))
            with pytest.raises(LimitExceeded):
                await durable.fail(bytes(ERROR_BYTES_MAX + 1))
            await durable.fail(b"{}")
        assert (await world.look()).status == "failed"
