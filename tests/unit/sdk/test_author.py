"""The author's names, on an instance in memory: what is durable, under which key, and what a replay does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from runtara import sdk
from runtara.sdk.author import describe_instance
from runtara.sdk.memory import MemoryDurable, MemoryInstanceStore, SimulatedCrash
from runtara.sdk.program import attend
from runtara.sdk.scope import NotInInstance, Scope, entered
from runtara.testing.clock import ManualClock

Main = Callable[[Any], Awaitable[Any]]


class Receipt(msgspec.Struct):
    at: datetime


async def attempt(store: MemoryInstanceStore, main: Main, **options: Any) -> BaseException | None:
    """One attempt; the interruption or crash that ended it, if one did."""
    durable = MemoryDurable(store, sleep_threshold_s=0.0, **options)

    async def entry(durable: Any) -> bytes:
        with entered(Scope(durable)):
            return msgspec.json.encode(await main(describe_instance(durable).input))

    try:
        await attend(durable, entry)
    except (sdk.Interruption, SimulatedCrash) as end:
        return end
    return None


async def run_to_its_end(store: MemoryInstanceStore, main: Main, clock: ManualClock, **first: Any) -> None:
    """Launch it again and again, as a server does; time passes while it is suspended."""
    options = first
    for _ in range(20):
        await attempt(store, main, clock=clock, **options)
        options = {}
        if store.is_ended:
            return
        if store.wake_at is not None:
            clock.jump(max(store.wake_at - clock.now(), timedelta(0)))
    raise AssertionError(f"it does not end: {store}")


async def test_a_durable_function_runs_once_per_call_and_calls_are_numbered() -> None:
    ran: list[int] = []

    @sdk.durable
    async def double(n: int) -> int:
        ran.append(n)
        return 2 * n

    async def main(data: Any) -> list[int]:
        return [await double(n) for n in (1, 2)]

    store = MemoryInstanceStore()
    assert isinstance(await attempt(store, main, crash_after=1), SimulatedCrash)
    await attempt(store, main)
    assert store.output == b"[2,4]"
    assert ran == [1, 2]
    name = double.__qualname__
    assert list(store.checkpoints) == [f"{name}#1", f"{name}#2"]


async def test_keys_are_structural_in_nested_calls_and_can_be_given() -> None:
    @sdk.durable(key=lambda n: f"inner-{n}")
    async def inner(n: int) -> int:
        return n

    @sdk.durable(key="outer")
    async def outer() -> int:
        return await inner(1) + await inner(2)

    async def main(data: Any) -> int:
        return await outer()

    store = MemoryInstanceStore()
    await attempt(store, main)
    assert list(store.checkpoints) == ["outer/inner-1", "outer/inner-2", "outer"]


async def test_the_result_comes_back_as_its_annotation_says() -> None:
    @sdk.durable
    async def pay() -> Receipt:
        return Receipt(datetime(2026, 1, 1, tzinfo=UTC))

    async def main(data: Any) -> str:
        return type(await pay()).__name__

    store = MemoryInstanceStore()
    await attempt(store, main)
    assert store.output == b'"Receipt"'


async def test_tries_and_delays_survive_restarts_and_a_final_failure_is_never_tried_again() -> None:
    clock = ManualClock()
    tries: list[datetime] = []

    @sdk.durable(max_retries=2, retry_delay_s=60)
    async def fails() -> None:
        tries.append(clock.now())
        raise ConnectionError("nobody there")

    async def main(data: Any) -> str:
        try:
            await fails()
        except sdk.StepFailed as failure:
            await sdk.checkpoint("compensated", True)
            return str(failure)
        return "unreachable"

    store = MemoryInstanceStore()
    await run_to_its_end(store, main, clock)
    assert store.output == b'"nobody there"'
    assert [after - before for before, after in pairwise(tries)] == [
        timedelta(seconds=60),
        timedelta(seconds=120),
    ]
    assert store.attempt == 3


async def test_an_error_that_calls_itself_permanent_is_not_tried_again() -> None:
    class Declined(Exception):
        category = "permanent"

    tries: list[int] = []

    @sdk.durable
    async def pay() -> None:
        tries.append(1)
        raise Declined("no money")

    async def main(data: Any) -> None:
        await pay()

    store = MemoryInstanceStore()
    await attempt(store, main)
    assert store.status == "failed"
    assert len(tries) == 1
    assert msgspec.json.decode(store.error or b"")["message"] == "no money"


async def test_a_try_that_takes_too_long_failed() -> None:
    @sdk.durable(timeout_s=0.001, max_retries=0)
    async def hangs() -> None:
        await sdk.wait_signal("never")

    async def main(data: Any) -> str:
        try:
            await hangs()
        except sdk.StepFailed as failure:
            return str(failure.error["type"])
        return "unreachable"

    store = MemoryInstanceStore()
    durable_threshold = {"sleep_threshold_s": 30.0}
    durable = MemoryDurable(store, **durable_threshold)

    async def entry(durable: Any) -> bytes:
        with entered(Scope(durable)):
            return msgspec.json.encode(await main(None))

    await attend(durable, entry)
    assert store.output == b'"TimeoutError"'


async def test_a_sleep_is_counted_from_its_first_beginning() -> None:
    clock = ManualClock()

    async def main(data: Any) -> None:
        await sdk.sleep(timedelta(days=30))

    store = MemoryInstanceStore()
    end = await attempt(store, main, clock=clock)
    assert isinstance(end, sdk.InstanceSuspended)
    assert store.wake_at == clock.now() + timedelta(days=30)
    clock.jump(timedelta(days=29))
    await attempt(store, main, clock=clock)
    assert store.wake_at is not None
    assert store.wake_at - clock.now() == timedelta(days=1)
    clock.jump(timedelta(days=1))
    await attempt(store, main, clock=clock)
    assert store.status == "completed"


async def test_a_signal_is_taken_once_and_its_payload_stays() -> None:
    async def main(data: Any) -> Any:
        first, second = await sdk.wait_signal("go"), await sdk.wait_signal("go")
        return [first, second]

    store = MemoryInstanceStore()
    assert isinstance(await attempt(store, main), sdk.InstanceSuspended)
    store.send_signal("go", b'{"n": 1}')
    assert isinstance(await attempt(store, main), sdk.InstanceSuspended)
    store.send_signal("go")
    await attempt(store, main)
    assert msgspec.json.decode(store.output or b"") == [{"n": 1}, None]


async def test_a_wait_that_timed_out_stays_timed_out() -> None:
    clock = ManualClock()

    async def main(data: Any) -> str:
        try:
            await sdk.wait_signal("go", timeout_s=60)
        except sdk.SignalTimeout:
            await sdk.sleep(1)
            return "too late"
        return "in time"

    store = MemoryInstanceStore()
    await attempt(store, main, clock=clock)
    clock.jump(timedelta(seconds=60))
    await attempt(store, main, clock=clock)
    store.send_signal("go")
    clock.jump(timedelta(seconds=1))
    await attempt(store, main, clock=clock)
    assert store.output == b'"too late"'


async def test_a_crash_at_any_persistence_call_changes_nothing_of_the_result() -> None:
    async def one(crash: dict[str, int]) -> tuple[bytes | None, dict[str, bytes], int]:
        clock = ManualClock()
        effects: list[str] = []

        @sdk.durable(key=lambda what: f"effect/{what}")
        async def effect(what: str) -> str:
            effects.append(what)
            return what

        async def main(data: Any) -> list[Any]:
            first = await effect("a")
            await sdk.sleep(10)
            sdk.events.emit("halfway", {"after": first})
            kept = await sdk.checkpoint("kept", 7)
            return [first, kept, await effect("b")]

        store = MemoryInstanceStore()
        await run_to_its_end(store, main, clock, **crash)
        assert {what: effects.count(what) for what in "ab"} in ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2})
        # The wake time of a sleep is decided anew by whoever decides it first; everything else must be the same.
        return store.output, {k: v for k, v in store.checkpoints.items() if k != "sleep#1"}, store.calls

    output, checkpoints, calls = await one({})
    assert output == b'["a",7,"b"]'
    assert calls > 5
    for call in range(1, calls + 1):
        for crash in ({"crash_before": call}, {"crash_after": call}):
            assert (await one(crash))[:2] == (output, checkpoints), crash


async def test_names_of_authors_say_where_they_work() -> None:
    with pytest.raises(NotInInstance):
        await sdk.checkpoint("key", 1)
    with pytest.raises(NotInInstance):
        sdk.current_instance()


async def test_a_program_knows_who_it_is() -> None:
    async def main(data: Any) -> list[Any]:
        instance = sdk.current_instance()
        return [instance.instance_id, instance.tenant_id, instance.attempt, instance.input == data]

    store = MemoryInstanceStore(instance_id="i", tenant_id="t", input=b'{"a": 1}')
    await attempt(store, main)
    assert msgspec.json.decode(store.output or b"") == ["i", "t", 1, True]
