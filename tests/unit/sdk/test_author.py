"""The author's names, on an instance in memory: what is durable, under which key, and what a replay does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from runtara import sdk
from runtara.sdk.author import run_main
from runtara.sdk.memory import MemoryDurable, MemoryInstanceStore, SimulatedCrash
from runtara.sdk.program import attend
from runtara.sdk.scope import NotInInstance
from runtara.testing.clock import ManualClock

Main = Callable[..., Awaitable[Any]]


class Receipt(msgspec.Struct):
    at: datetime


async def attempt(store: MemoryInstanceStore, main: Main, **options: Any) -> BaseException | None:
    """One attempt; the interruption or crash that ended it, if one did."""
    durable = MemoryDurable(store, sleep_threshold_s=0.0, **options)

    try:
        await attend(durable, partial(run_main, main))
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
    assert list(store.checkpoints) == [f"{name}(1)#1", f"{name}(2)#1"]


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
    await attend(MemoryDurable(store), partial(run_main, main))
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


# ---- which call is which


async def test_equal_calls_are_told_apart_and_unequal_ones_may_change_their_order() -> None:
    ran: list[str] = []

    @sdk.durable
    async def ship(order: str) -> str:
        ran.append(order)
        return f"{order} shipped"

    orders = ["a", "b", "a"]

    async def main() -> list[str]:
        shipped = [await ship(order) for order in orders]
        await sdk.sleep(60)
        return shipped

    store = MemoryInstanceStore()
    clock = ManualClock()
    await attempt(store, main, clock=clock)
    orders = ["b", "a", "a"]
    clock.jump(timedelta(seconds=60))
    await attempt(store, main, clock=clock)
    assert msgspec.json.decode(store.output or b"") == ["b shipped", "a shipped", "a shipped"]
    assert ran == ["a", "b", "a"]


async def test_arguments_by_position_and_by_name_are_the_same_call() -> None:
    @sdk.durable
    async def add(a: int, b: int = 2, *, c: int = 3) -> int:
        return a + b + c

    async def main() -> None:
        await add(1, b=5)
        await add(a=1, b=5)
        await add(1, 5, c=9)

    store = MemoryInstanceStore()
    await attempt(store, main)
    name = add.__qualname__
    assert list(store.checkpoints) == [f"{name}(1,5)#1", f"{name}(1,5)#2", f'{name}(1,5,["c",9])#1']


async def test_arguments_that_are_no_json_leave_the_number() -> None:
    class Shop:
        @sdk.durable
        async def open(self) -> bool:
            return True

    async def main() -> None:
        await Shop().open()

    store = MemoryInstanceStore()
    await attempt(store, main)
    assert list(store.checkpoints) == [f"{Shop.open.__qualname__}#1"]


async def test_long_arguments_and_deep_calls_have_keys_as_well() -> None:
    @sdk.durable
    async def dig(text: str, depth: int) -> int:
        return 1 + await dig(text, depth - 1) if depth else 0

    async def main() -> int:
        return await dig("x" * 5000, 30)

    store = MemoryInstanceStore()
    await attempt(store, main)
    assert store.output == b"30"
    assert len(store.checkpoints) == 31


async def test_wrong_arguments_are_a_type_error() -> None:
    @sdk.durable
    async def pay(amount: int) -> None:
        raise AssertionError

    async def main() -> None:
        with pytest.raises(TypeError, match="amount"):
            await pay()  # type: ignore[call-arg]

    await attempt(MemoryInstanceStore(), main)


async def test_tasks_of_a_program_call_side_by_side() -> None:
    @sdk.durable
    async def double(n: int) -> int:
        return 2 * n

    async def main() -> list[int]:
        return await asyncio.gather(*(double(n) for n in range(10)))

    store = MemoryInstanceStore()
    await attempt(store, main)
    assert msgspec.json.decode(store.output or b"") == [2 * n for n in range(10)]


async def test_an_idempotency_key_is_the_calls_own_in_every_try() -> None:
    keys: list[str] = []

    @sdk.durable(retry_delay_s=0)
    async def pay(order: int) -> str:
        keys.append(sdk.idempotency_key())
        if len(keys) == 1:
            raise ConnectionError
        return keys[-1]

    async def main() -> None:
        await pay(1)
        await pay(2)

    store = MemoryInstanceStore(instance_id="i")
    await attempt(store, main)
    first, again, other = keys
    assert first == again == f"i:{pay.__qualname__}(1)#1"
    assert other != first


# ---- how calls fail


async def test_a_result_that_is_no_json_is_a_final_failure() -> None:
    ran: list[int] = []

    @sdk.durable
    async def leak() -> object:
        ran.append(1)
        return object()

    async def main() -> str:
        with pytest.raises(sdk.StepFailed) as caught:
            await leak()
        return str(caught.value.code)

    store = MemoryInstanceStore()
    await attempt(store, main)
    assert store.output == b'"program.not_json"'
    assert len(ran) == 1


async def test_an_output_that_is_no_json_fails_the_instance() -> None:
    async def main() -> object:
        return object()

    store = MemoryInstanceStore()
    await attempt(store, main)
    assert store.status == "failed"
    assert msgspec.json.decode(store.error or b"")["code"] == "program.not_json"


async def test_a_program_that_fails_its_instance_itself_is_not_tried_again() -> None:
    @sdk.durable
    async def refuse() -> None:
        raise sdk.InstanceFailed("refused", error=b'{"code":"REFUSED"}')

    async def main() -> None:
        await refuse()

    store = MemoryInstanceStore()
    await attempt(store, main)
    assert store.error == b'{"code":"REFUSED"}'
    assert store.retries == {}


async def test_an_error_says_when_to_come_back() -> None:
    class Busy(Exception):
        retry_after_ms = 90_000

    clock = ManualClock()

    @sdk.durable(max_retries=1, retry_delay_s=1)
    async def ask() -> None:
        raise Busy

    async def main() -> None:
        await ask()

    store = MemoryInstanceStore()
    await attempt(store, main, clock=clock)
    assert store.wake_at == clock.now() + timedelta(seconds=90)


async def test_the_failure_of_an_inner_call_is_final_for_the_outer_one() -> None:
    tries: list[str] = []

    @sdk.durable(max_retries=0)
    async def inner() -> None:
        tries.append("inner")
        raise ValueError("no")

    @sdk.durable(max_retries=5, retry_delay_s=0)
    async def outer() -> None:
        tries.append("outer")
        await inner()

    async def main() -> None:
        await outer()

    store = MemoryInstanceStore()
    await attempt(store, main)
    assert tries == ["outer", "inner"]
    assert store.status == "failed"


async def test_a_timeout_of_the_functions_own_is_told_as_it_is() -> None:
    @sdk.durable(timeout_s=60, max_retries=0)
    async def ask() -> None:
        raise TimeoutError("the service said so")

    async def main() -> None:
        await ask()

    store = MemoryInstanceStore()
    await attempt(store, main)
    assert msgspec.json.decode(store.error or b"")["message"] == "the service said so"


@pytest.mark.parametrize("options", [{"max_retries": -1}, {"retry_delay_s": -1.0}, {"backoff": 0.5}])
def test_a_policy_that_makes_no_sense_is_refused_where_it_is_written(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="negative"):
        sdk.durable(**options)


# ---- the input


class Order(msgspec.Struct):
    amount: int


async def test_the_input_has_the_type_that_main_says() -> None:
    async def main(order: Order) -> int:
        return order.amount

    store = MemoryInstanceStore(input=b'{"amount":7}')
    await attempt(store, main)
    assert store.output == b"7"


async def test_an_input_of_another_type_fails_the_instance() -> None:
    async def main(order: Order) -> int:
        return order.amount

    store = MemoryInstanceStore(input=b'{"amount":"much"}')
    await attempt(store, main)
    error = msgspec.json.decode(store.error or b"")
    assert error["code"] == "program.not_json"
    assert "amount" in error["message"]


async def test_an_interruption_in_a_group_of_tasks_is_the_programs() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(sdk.sleep(3600))

    store = MemoryInstanceStore()
    assert isinstance(await attempt(store, main), sdk.InstanceSuspended)
    assert store.termination_reason == "sleeping"
