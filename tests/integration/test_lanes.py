"""Several items of a Split at a time: waits, failures and interruptions of one leave the others alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from runtara.agents import AgentError
from runtara.sdk.memory_store import MemoryInstanceStore
from runtara.testing import ScriptedSignal, run_scenario
from tests.support.scenarios import agent, echo, finish, immediate, reference, scenario

Inputs = Mapping[str, Any]


def split(body: dict[str, Any], items: Any, *, width: int = 3, **config: Any) -> dict[str, Any]:
    value = items if isinstance(items, dict) else immediate(items)
    step = {"stepType": "Split", "id": "each", "subgraph": body}
    step["config"] = {"value": value, "parallelism": width, **config}
    return scenario(step, finish(r=reference("steps.each.outputs")))


def delay(step_id: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"stepType": "Delay", "id": step_id, "durationMs": value}


def wait(step_id: str, **more: Any) -> dict[str, Any]:
    return {"stepType": "WaitForSignal", "id": step_id, **more}


WORK = agent("work", "test/work", {"item": reference("item")}, maxRetries=0)
DONE = finish(v=reference("steps.work.outputs"))


class Shop:
    """A capability that notes who is in it."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.served: list[Any] = []

    async def work(self, inputs: Inputs) -> Any:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await anyio.lowlevel.checkpoint()
        self.inside -= 1
        self.served.append(inputs["item"])
        return inputs["item"]


@pytest.mark.parametrize("width", [2, 3, 50])
async def test_no_more_than_asked_for_at_a_time_and_results_in_order(width: int) -> None:
    shop = Shop()
    result = await run_scenario(
        split(scenario(WORK, DONE), list(range(10)), width=width), {}, agents={"test/work": shop.work}
    )
    assert result.output == {"r": [{"v": number} for number in range(10)]}
    assert shop.most == min(width, 10)


async def test_after_a_failure_no_new_item_begins_and_those_under_way_come_to_their_end() -> None:
    served: list[Any] = []
    all_there, broken = anyio.Event(), anyio.Event()

    async def work(inputs: Inputs) -> Any:
        served.append(inputs["item"])
        if inputs["item"] == 2:
            all_there.set()
        if inputs["item"] == 1:
            await all_there.wait()
            broken.set()
            raise AgentError("BROKEN", "no")
        await broken.wait()
        await anyio.lowlevel.checkpoint()
        return inputs["item"]

    result = await run_scenario(split(scenario(WORK, DONE), list(range(9))), {}, agents={"test/work": work})
    assert result.status == "failed"
    assert result.error is not None
    assert (result.error["code"], result.error["index"]) == ("BROKEN", 1)
    assert served == [0, 1, 2]
    assert [call.step_id for call in result.calls] == ["work"] * 3


async def test_items_that_sleep_for_long_suspend_the_instance_together() -> None:
    body = scenario(delay("nap", immediate(3_600_000)), WORK, DONE)
    shop = Shop()
    result = await run_scenario(split(body, [1, 2, 3]), {}, agents={"test/work": shop.work})
    assert result.output == {"r": [{"v": 1}, {"v": 2}, {"v": 3}]}
    assert result.attempts == 2, "all three slept in one suspension"
    assert sorted(shop.served) == [1, 2, 3]


async def test_each_item_can_wait_for_a_signal_of_its_own() -> None:
    body = scenario(wait("ok"), finish(v=reference("steps.ok.outputs")))
    signals = [ScriptedSignal(kind="custom", name=f"each[{index}]/ok", payload=index) for index in (2, 0, 1)]
    result = await run_scenario(split(body, ["a", "b", "c"]), {}, signals=signals)
    assert result.output == {"r": [{"v": 0}, {"v": 1}, {"v": 2}]}


async def test_an_item_that_waits_goes_on_while_another_is_at_work() -> None:
    """The one at work ends only when the one that waited has been served."""
    served = anyio.Event()

    async def work(inputs: Inputs) -> Any:
        if inputs["item"] == "long":
            await served.wait()
        else:
            served.set()
        return inputs["item"]

    body = scenario(
        {"stepType": "Conditional", "id": "is", "condition": _is_long()},
        wait("ok"),
        WORK,
        DONE,
        edges="is work:true, is ok:false, ok work, work finish",
    )
    signals = [ScriptedSignal(kind="custom", name="each[1]/ok")]
    with anyio.fail_after(10):
        result = await run_scenario(
            split(body, ["long", "waits"], width=2), {}, agents={"test/work": work}, signals=signals
        )
    assert result.output == {"r": [{"v": "long"}, {"v": "waits"}]}


def _is_long() -> dict[str, Any]:
    return {"type": "operation", "op": "EQ", "arguments": [reference("item"), immediate("long")]}


async def test_a_pause_waits_for_the_effects_under_way_and_repeats_none() -> None:
    shop = Shop()
    body = scenario(WORK, echo("after", immediate(1)), DONE)
    signals = [ScriptedSignal(kind="pause", after_step="each[1]/work"), ScriptedSignal(kind="resume")]
    result = await run_scenario(split(body, list(range(6))), {}, agents={"test/work": shop.work}, signals=signals)
    assert result.output == {"r": [{"v": number} for number in range(6)]}
    assert result.attempts == 2
    assert sorted(shop.served) == list(range(6))


async def test_lanes_in_lanes_suspend_as_one() -> None:
    inner = {
        "stepType": "Split",
        "id": "inner",
        "config": {"value": reference("item"), "parallelism": 2},
        "subgraph": scenario(delay("nap", immediate(3_600_000)), WORK, DONE),
    }
    body = scenario(inner, finish(outputs=reference("steps.inner.outputs")))
    shop = Shop()
    result = await run_scenario(split(body, [[1, 2], [3, 4]], width=2), {}, agents={"test/work": shop.work})
    assert result.output == {"r": [[{"v": 1}, {"v": 2}], [{"v": 3}, {"v": 4}]]}
    assert result.attempts == 2
    assert sorted(shop.served) == [1, 2, 3, 4]


@pytest.mark.parametrize("crash", range(1, 14))
async def test_a_crash_at_any_moment_changes_nothing(crash: int) -> None:
    body = scenario(delay("nap", immediate(60_000)), WORK, DONE)
    shop = Shop()
    result = await run_scenario(split(body, list(range(4))), {}, agents={"test/work": shop.work}, crash_after=crash)
    assert result.output == {"r": [{"v": number} for number in range(4)]}
    stored = {key for key, _ in result.checkpoints if key.endswith("/work")}
    assert len(stored) == 4
    assert len(shop.served) - 4 <= 2, "only the other two lanes can have been at work when the third was stored"


async def test_a_wait_in_a_child_with_a_deadline_can_be_tried_again() -> None:
    """The deadline around a wait is not the wait's own: nothing says that the wait has timed out."""
    child = scenario(wait("ok"), finish(v=reference("steps.ok.outputs")))
    call = {
        "stepType": "StartScenario",
        "id": "call",
        "childScenarioId": "kid",
        "childVersion": 1,
        "timeout": 5000,
        "maxRetries": 1,
        "retryDelay": 0,
    }
    document = scenario(call, finish(r=reference("steps.call.outputs")))
    signals = [ScriptedSignal(kind="custom", name="call/ok", payload=5, after_step="call/%deadline~1")]
    result = await run_scenario(document, {}, children={"kid": child}, signals=signals)
    assert result.output == {"r": {"v": 5}}


async def test_a_loop_of_pure_steps_hears_a_cancel() -> None:
    """It never waits for anything, so it has to give way by itself."""
    body = scenario(echo("one", reference("loop.index")), finish())
    forever = {"type": "operation", "op": "GTE", "arguments": [reference("loop.index"), immediate(0)]}
    loop = {
        "stepType": "While",
        "id": "loop",
        "condition": forever,
        "subgraph": body,
        "config": {"maxIterations": 10**9},
    }
    store = MemoryInstanceStore()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_soon, store)
            result = await run_scenario(scenario(loop, finish()), {}, store=store)
    assert result.status == "cancelled"


async def _cancel_soon(store: MemoryInstanceStore) -> None:
    while not store.checkpoints and store.attempt == 0:
        await anyio.lowlevel.checkpoint()
    store.cancel()


async def test_a_loop_that_is_tried_again_keeps_what_its_steps_have_stored() -> None:
    served: list[Any] = []

    def work(inputs: Inputs) -> Any:
        served.append(inputs["item"])
        if served == [0, 1]:
            raise AgentError("BUSY", "later", category="transient")
        return inputs["item"]

    body = scenario(
        agent("work", "test/work", {"item": reference("loop.index")}, maxRetries=0), finish(v=reference("loop.index"))
    )
    below = {"type": "operation", "op": "LT", "arguments": [reference("loop.index"), immediate(3)]}
    config = {"maxRetries": 1, "retryDelay": 60_000}
    loop = {"stepType": "While", "id": "loop", "condition": below, "subgraph": body, "config": config}
    document = scenario(loop, finish(n=reference("steps.loop.outputs.iterations")))
    result = await run_scenario(document, {}, agents={"test/work": work})
    assert result.output == {"n": 3}
    assert served == [0, 1, 1, 2]
    assert result.elapsed_s == pytest.approx(60)


async def test_a_wait_that_timed_out_in_a_child_can_be_tried_again() -> None:
    """The first try of the child waits in vain; the second hears the signal."""
    child = scenario(wait("ok", timeoutMs=immediate(5000)), finish(v=reference("steps.ok.outputs")))
    call = {
        "stepType": "StartScenario",
        "id": "call",
        "childScenarioId": "kid",
        "childVersion": 1,
        "maxRetries": 1,
        "retryDelay": 0,
    }
    document = scenario(call, finish(r=reference("steps.call.outputs")))
    signals = [ScriptedSignal(kind="custom", name="call/ok", payload=5, after_step="call/ok/%timed-out")]
    for crash in (None, *range(1, 8)):
        result = await run_scenario(document, {}, children={"kid": child}, signals=signals, crash_after=crash)
        assert result.output == {"r": {"v": 5}}
