"""``utils`` and ``transform``, one call at a time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from runtara.agents import AgentError, CallContext, registry
from runtara.testing.clock import ManualClock
from tests.unit.agents.test_capability import new_context


async def call(name: str, inputs: dict[str, Any], context: CallContext | None = None) -> Any:
    agent_id, _, capability_id = name.partition("/")
    found = registry().find_capability(agent_id, capability_id)
    assert found is not None
    return await found.call(inputs, context or new_context())


@pytest.mark.parametrize(
    ("name", "inputs", "output"),
    [
        ("utils/return-input", {"value": [1, None]}, [1, None]),
        ("utils/return-input", {"value": None}, None),
        ("utils/return-input-string", {"value": 5}, "5"),
        ("utils/do-nothing", {}, None),
        ("utils/random-array", {"size": 0}, []),
        ("utils/get-current-unix-timestamp", {}, 1767225600),
        ("utils/get-current-iso-datetime", {}, "2026-01-01T00:00:00Z"),
    ],
)
async def test_utils(name: str, inputs: dict[str, Any], output: Any) -> None:
    assert await call(name, inputs) == output


async def test_random_numbers_come_from_the_context() -> None:
    context = new_context()
    drawn = [await call("utils/random-double", {}, context) for _ in range(100)]
    assert len(set(drawn)) == 100
    assert all(0 <= number < 1 for number in drawn)
    assert await call("utils/random-double", {}) == drawn[0]


async def test_a_random_array_has_numbers_up_to_its_size() -> None:
    drawn = await call("utils/random-array", {"size": "50"})
    assert len(drawn) == 50
    assert all(0 <= number <= 50 for number in drawn)


@pytest.mark.parametrize("size", [-1, 100_001, 1.5, None])
async def test_a_random_array_of_an_impossible_size_is_refused(size: Any) -> None:
    with pytest.raises(AgentError, match="size"):
        await call("utils/random-array", {"size": size})


async def test_a_delay_ends_when_the_clock_says_so() -> None:
    context = new_context()
    clock = context.clock
    assert isinstance(clock, ManualClock)
    outputs: list[int] = []

    async def wait() -> None:
        outputs.append(await call("utils/delay-in-ms", {"delay_value": 60_000}, context))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert clock.next_wake_at is not None
        clock.jump(clock.next_wake_at - clock.now())
    assert outputs == [60_000]
    assert clock.now().minute == 1


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        (
            {"source_data": {"a": {"b": 1}, "c": None}, "mappings": {"a.b": "x", "$.c": "y"}},
            {"result": {"x": 1}, "field_count": 1},
        ),
        ({"source": {"a": 1}, "mappings": {"a": "to.here"}}, {"result": {"to.here": 1}, "field_count": 1}),
        ({"source": {"a": [1, 2]}, "mappings": {"a.1": "x", "a.b": "y"}}, {"result": {"x": 2}, "field_count": 1}),
        ({"source": {"a": 1}, "mappings": {"$": "all", "": "it"}}, {"result": {"all": {"a": 1}, "it": {"a": 1}}}),
        ({"source": {"a": 1, "b": 2}}, {"result": {"a": 1, "b": 2}, "field_count": 2}),
        ({"source": [1, 2]}, {"result": [1, 2], "field_count": 0}),
        ({"source": None, "mappings": {}}, {"result": {}, "field_count": 0}),
    ],
)
async def test_map_fields(inputs: dict[str, Any], output: dict[str, Any]) -> None:
    mapped = await call("transform/map-fields", inputs)
    assert {"result": mapped.result, "field_count": mapped.field_count} == {"field_count": 2} | output
