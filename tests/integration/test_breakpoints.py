"""Breakpoints hold a run in debug mode, once each, wherever they are; and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from runtara.testing import ScriptedSignal, run_scenario
from tests.support.scenarios import agent, finish, immediate, reference, scenario


def stopping(step_id: str, value: dict[str, Any]) -> dict[str, Any]:
    return agent(step_id, "test/work", {"value": value}, breakpoint=True)


def go_on(key: str) -> ScriptedSignal:
    return ScriptedSignal(kind="custom", name=f"%breakpoint/{key}")


def echo(inputs: Any) -> Any:
    return inputs["value"]


DOCUMENT = scenario(
    agent("before", "test/work", {"value": immediate(1)}),
    stopping("here", reference("steps.before.outputs")),
    finish(v=reference("steps.here.outputs")),
)
WORK = {"test/work": echo}


async def test_a_run_stops_before_the_step_and_shows_what_it_is_given() -> None:
    result = await run_scenario(DOCUMENT, {}, agents=WORK, debug=True)
    assert result.status == "suspended"
    assert [call.step_id for call in result.calls] == ["before"]
    (hit,) = [payload for subtype, payload in result.events if subtype == "breakpoint_hit"]
    assert (hit["step_id"], hit["step_type"], hit["signal_id"]) == ("here", "Agent", "%breakpoint/here")
    assert hit["inputs"] == {"value": 1}
    assert hit["steps_context"]["before"]["outputs"] == 1


async def test_a_run_goes_on_when_it_is_told_to_and_stops_there_once() -> None:
    result = await run_scenario(DOCUMENT, {}, agents=WORK, debug=True, signals=[go_on("here")])
    assert result.output == {"v": 1}
    assert [subtype for subtype, _ in result.events].count("breakpoint_hit") == 1


async def test_without_debug_mode_nothing_stops() -> None:
    result = await run_scenario(DOCUMENT, {}, agents=WORK)
    assert result.output == {"v": 1}
    assert result.events == ()


@pytest.mark.parametrize("crash", range(1, 9))
async def test_a_crash_around_a_breakpoint_does_not_skip_it(crash: int) -> None:
    result = await run_scenario(DOCUMENT, {}, agents=WORK, debug=True, signals=[go_on("here")], crash_after=crash)
    assert result.output == {"v": 1}
    hits = [payload["signal_id"] for subtype, payload in result.events if subtype == "breakpoint_hit"]
    # An event and the note that it was written are two writes: a crash between them repeats it, under the same name.
    assert hits in (["%breakpoint/here"], ["%breakpoint/here"] * 2)


async def test_each_iteration_of_a_loop_stops_at_its_own_breakpoint() -> None:
    body = scenario(stopping("here", reference("item")), finish(v=reference("steps.here.outputs")))
    split = {"stepType": "Split", "id": "each", "config": {"value": immediate([7, 8])}, "subgraph": body}
    document = scenario(split, finish(outputs=reference("steps.each.outputs")))
    signals = [go_on("each[0]/here"), go_on("each[1]/here")]
    result = await run_scenario(document, {}, agents=WORK, debug=True, signals=signals)
    assert result.output == [{"v": 7}, {"v": 8}]
    hits = [payload["signal_id"] for subtype, payload in result.events if subtype == "breakpoint_hit"]
    assert hits == ["%breakpoint/each[0]/here", "%breakpoint/each[1]/here"]


async def test_every_kind_of_step_can_stop() -> None:
    """A Finish as well: the last look at the result."""
    document = scenario(finish(v=immediate(1)) | {"breakpoint": True})
    assert (await run_scenario(document, {}, debug=True)).status == "suspended"
    result = await run_scenario(document, {}, debug=True, signals=[go_on("finish")])
    assert result.output == {"v": 1}
