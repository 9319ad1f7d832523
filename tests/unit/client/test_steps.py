"""Steps from events: those that real runs have written, in one attempt and in many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runtara.agents import AgentError
from runtara.client import Event, StepSummary
from runtara.client.steps import StepBook, StepFilter, step_tree
from runtara.testing import run_scenario
from tests.support.scenarios import agent, echo, finish, immediate, operation, reference, scenario

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def numbered(events: Sequence[tuple[str, Any]]) -> list[Event]:
    """Events as a client reads them. A new attempt is known by its first step, which begins again."""
    made: list[Event] = []
    attempt, first = 0, None
    for number, (subtype, payload) in enumerate(events, 1):
        if subtype == "step_debug_start":
            first = first or payload["step_id"]
            attempt += payload["step_id"] == first
        made.append(
            Event(event_no=number, type="custom", subtype=subtype, payload=payload, attempt=attempt, created_at=NOW)
        )
    return made


async def steps_of(document: Any, data: Any = None, *, with_values: bool = False, **more: Any) -> list[StepSummary]:
    result = await run_scenario(document, data, debug=True, **more)
    book = StepBook(with_values=with_values)
    for event in numbered(result.events):
        book.apply(event)
    return list(book.steps)


def told(steps: Sequence[StepSummary]) -> list[tuple[str, str | None, str]]:
    return [(step.step_id, step.scope_id, step.status) for step in steps]


async def test_the_steps_of_a_run_are_listed_in_the_order_in_which_they_began() -> None:
    steps = await steps_of(scenario(echo("a", immediate(1)), echo("b", immediate(2)), finish()))
    assert told(steps) == [("a", None, "completed"), ("b", None, "completed"), ("finish", None, "completed")]
    assert [step.step_type for step in steps] == ["Agent", "Agent", "Finish"]
    assert all(step.duration == timedelta(0) for step in steps)


async def test_values_are_kept_for_whoever_asks() -> None:
    document = scenario(echo("a", immediate({"password": "x"})), finish())
    assert (await steps_of(document))[0].inputs is None
    (step, _) = await steps_of(document, with_values=True)
    assert step.inputs == {"value": {"password": "***"}}
    assert step.outputs == {"password": "***"}


async def test_a_failed_step_has_its_error() -> None:
    def fail(_inputs: Any) -> None:
        raise AgentError("BROKEN", "it is broken")

    steps = await steps_of(scenario(agent("a", "test/a", maxRetries=0), finish()), agents={"test/a": fail})
    assert told(steps) == [("a", None, "failed")]
    assert (steps[0].error["code"], steps[0].error["message"]) == ("BROKEN", "it is broken")
    assert steps[0].outputs is None


async def test_an_attempt_that_goes_over_the_same_steps_lists_them_once_and_a_delay_lasts_while_it_is_parked() -> None:
    document = scenario(
        echo("a", immediate(1)), {"stepType": "Delay", "id": "rest", "durationMs": immediate(3_600_000)},
        echo("b", immediate(2)), finish(),
    )  # fmt: skip
    result = await run_scenario(document, {}, debug=True)
    assert result.attempts == 2
    starts = [payload["step_id"] for subtype, payload in result.events if subtype == "step_debug_start"]
    assert starts.count("a") == starts.count("rest") == 2
    steps = await steps_of(document)
    assert [step.step_id for step in steps] == ["a", "rest", "b", "finish"]
    assert steps[1].duration == timedelta(hours=1)
    assert (steps[0].attempt, steps[1].attempt) == (1, 2)


async def test_a_step_that_stands_still_is_running() -> None:
    document = scenario(echo("a", immediate(1)), {"stepType": "WaitForSignal", "id": "approve"}, finish())
    assert told(await steps_of(document))[-1] == ("approve", None, "running")


async def test_passes_of_loops_have_scopes_of_their_own_also_after_a_crash() -> None:
    inner = scenario(agent("pay", "test/pay"), finish("f"))
    split = {"stepType": "Split", "id": "loop", "subgraph": inner, "config": {"value": immediate([1, 2])}}
    document = scenario(echo("a", immediate(1)), split, finish())
    doubles = {"test/pay": lambda _inputs: 1}
    whole = await steps_of(document, agents=doubles)
    assert told(whole) == [
        ("a", None, "completed"), ("loop", None, "completed"),
        ("pay", "sc_loop_0", "completed"), ("f", "sc_loop_0", "completed"),
        ("pay", "sc_loop_1", "completed"), ("f", "sc_loop_1", "completed"),
        ("finish", None, "completed"),
    ]  # fmt: skip
    assert [step.loop_indices for step in whole] == [(), (), (0,), (0,), (1,), (1,), ()]
    for point in range(6, 16):
        crashed = await steps_of(document, agents=doubles, crash_after=point)
        assert sorted(told(crashed), key=str) == sorted(told(whole), key=str)


async def test_a_container_that_is_tried_again_is_listed_once_and_its_failed_steps_again() -> None:
    tries = iter([AgentError("BUSY", "later", category="transient"), "paid"])

    def pay(_inputs: Any) -> Any:
        result = next(tries)
        if isinstance(result, AgentError):
            raise result
        return result

    start = {"stepType": "StartScenario", "id": "call", "childScenarioId": "kid", "childVersion": 1}
    kid = scenario(agent("pay", "test/pay", maxRetries=0), finish())
    steps = await steps_of(scenario(start, finish("end")), children={"kid": kid}, agents={"test/pay": pay})
    assert told(steps) == [
        ("call", None, "completed"), ("pay", "sc_call", "completed"), ("finish", "sc_call", "completed"),
        ("end", None, "completed"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (StepFilter(), ["a", "loop", "b", "f", "b", "f", "finish"]),
        (StepFilter(scope="main"), ["a", "loop", "finish"]),
        (StepFilter(scope="sc_loop_1"), ["b", "f"]),
        (StepFilter(type="Agent"), ["a", "b", "b"]),
        (StepFilter(status="failed"), []),
        (StepFilter(status="completed", type="Split"), ["loop"]),
    ],
)
async def test_steps_are_found_by_scope_status_and_type(wanted: StepFilter, found: list[str]) -> None:
    inner = scenario(echo("b", reference("item")), finish("f"))
    split = {"stepType": "Split", "id": "loop", "subgraph": inner, "config": {"value": immediate([1, 2])}}
    steps = await steps_of(scenario(echo("a", immediate(1)), split, finish()))
    assert [step.step_id for step in steps if wanted.fits(step)] == found


async def test_the_tree_has_what_ran_inside_of_a_step_behind_it_also_where_lanes_were_mixed() -> None:
    inner = scenario(agent("pay", "test/pay", timeout=5_000), finish("f"))
    split = {"stepType": "Split", "id": "loop", "subgraph": inner}
    split["config"] = {"value": immediate([1, 2]), "parallelism": 2}
    repeat = {"stepType": "While", "id": "again", "condition": operation("LT", reference("loop.index"), immediate(1))}
    repeat["subgraph"] = scenario(split, finish("g"))
    steps = await steps_of(scenario(repeat, finish()), agents={"test/pay": lambda _inputs: 1})
    assert [(depth, step.step_id, step.scope_id) for depth, step in step_tree(steps)] == [
        (0, "again", None),
        (1, "loop", "sc_again_0"),
        (2, "pay", "sc_again_0_loop_0"), (2, "f", "sc_again_0_loop_0"),
        (2, "pay", "sc_again_0_loop_1"), (2, "f", "sc_again_0_loop_1"),
        (1, "g", "sc_again_0"),
        (0, "finish", None),
    ]  # fmt: skip
    shuffled = sorted(steps, key=lambda step: step.step_id)
    assert len(list(step_tree(shuffled))) == len(steps), "none is lost, whatever the order"
    inside = [step for step in steps if step.scope_id is not None]
    assert len(list(step_tree(inside))) == len(inside), "nor those whose container is not asked for"


def test_other_events_and_broken_ones_tell_nothing() -> None:
    book = StepBook()
    for subtype, payload in [("workflow_log", {"step_id": "a"}), ("step_debug_start", None), (None, b"x"),
                             ("step_debug_end", {"step_id": "never-begun"}), ("step_debug_end", "text")]:  # fmt: skip
        event = Event(event_no=1, type="custom", subtype=subtype, payload=payload, attempt=1, created_at=NOW)
        assert book.apply(event) is None
    assert book.steps == ()
