"""Where an instance is parked: found in what real runs leave behind when they are suspended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtara.agents import AgentError, registry
from runtara.compiler import CompilationInput, translate_scenario
from runtara.compiler.deploy import Risk, Spot, compare
from runtara.compiler.lower import Program
from runtara.compiler.parked import parked_at, verdict_on
from runtara.compiler.sites import layout_of
from runtara.dsl.children import library_of
from runtara.sdk.memory_store import MemoryInstanceStore
from runtara.testing import run_scenario
from runtara.testing.doubles import registry_with
from tests.support.scenarios import agent, echo, finish, immediate, reference, scenario

DOUBLES = {"test/pay": lambda _inputs: "paid"}
WAIT = {"stepType": "WaitForSignal", "id": "approve"}
DELAY = {"stepType": "Delay", "id": "rest", "durationMs": immediate(3_600_000)}


def program(document: Any, children: Mapping[str, Any] | None = None) -> Program:
    compilation = CompilationInput(
        tenant_id="t", scenario_id="s", execution_graph=document, child_scenarios=library_of(children).children
    )
    return translate_scenario(compilation, catalog=registry_with(DOUBLES, registry())).program


async def parked(document: Any, data: Any = None, **more: Any) -> tuple[Spot | None, ...]:
    """Where a run of the scenario stands when it waits for somebody."""
    store = MemoryInstanceStore()
    result = await run_scenario(document, data, agents=DOUBLES, store=store, **more)
    assert result.status == "suspended"
    layout = layout_of(program(document, more.get("children")))
    return parked_at(layout, list(store.checkpoints)[::-1], store.termination_reason)


async def test_a_wait_for_a_signal_is_found_by_its_mark() -> None:
    document = scenario(agent("pay", "test/pay"), WAIT, finish())
    assert await parked(document) == (Spot("approve", "signal"),)


async def test_a_wait_in_a_child_in_a_loop_is_found_at_its_site() -> None:
    start = {"stepType": "StartScenario", "id": "call", "childScenarioId": "kid", "childVersion": 1}
    split = {"stepType": "Split", "id": "loop", "subgraph": scenario(start, finish("f"))}
    document = scenario(split | {"config": {"value": reference("data.items")}}, finish())
    kid = {"kid": scenario(WAIT, finish())}
    assert await parked(document, {"items": [1, 2]}, children=kid) == (Spot("loop[]/call/approve", "signal"),)


async def test_all_lanes_that_wait_are_found_and_a_site_is_named_once() -> None:
    split = {"stepType": "Split", "id": "loop", "subgraph": scenario(WAIT, finish("f"))}
    document = scenario(split | {"config": {"value": reference("data.items"), "parallelism": 3}}, finish())
    assert await parked(document, {"items": [1, 2, 3]}) == (Spot("loop[]/approve", "signal"),)


def test_a_sleeper_sits_on_the_delay_that_it_has_begun() -> None:
    layout = layout_of(program(scenario(agent("pay", "test/pay"), DELAY, finish())))
    assert parked_at(layout, ["rest", "pay"], "sleeping") == (Spot("rest", "delay"),)


def test_a_sleeper_that_has_begun_no_delay_waits_for_another_try_of_something_behind() -> None:
    document = scenario(agent("pay", "test/pay"), echo("a", immediate(1)), agent("mail", "test/pay"), finish())
    layout = layout_of(program(document))
    assert parked_at(layout, ["a", "pay"], "sleeping") == (Spot("mail", "retry"),)
    assert parked_at(layout, ["pay"], "sleeping") == (Spot("a", "retry"), Spot("mail", "retry"))


def test_whoever_was_paused_is_where_the_newest_checkpoint_is() -> None:
    layout = layout_of(program(scenario(agent("pay", "test/pay"), WAIT, finish())))
    assert parked_at(layout, ["pay"], "paused") == (Spot("pay", "stopped"),)
    assert parked_at(layout, [], "paused") == (None,)


def test_checkpoints_that_the_program_does_not_have_are_passed_over() -> None:
    layout = layout_of(program(scenario(agent("pay", "test/pay"), finish())))
    assert parked_at(layout, ["unknown", "pay"], "paused") == (Spot("pay", "stopped"),)


def test_the_worst_of_what_is_possible_counts() -> None:
    document = scenario(agent("pay", "test/pay"), echo("a", immediate(1)), agent("mail", "test/pay"), finish())
    without_mail = scenario(agent("pay", "test/pay"), echo("a", immediate(1)), finish())
    deploy = compare(program(document), program(without_mail))
    assert verdict_on(deploy, ["pay"], "sleeping").risk is Risk.UNSAFE
    assert verdict_on(deploy, ["pay"], "paused").risk is Risk.SAFE
    assert verdict_on(deploy, [], "paused").risk is Risk.SAFE


async def test_a_retry_that_waits_leaves_what_the_judgement_needs() -> None:
    def fail(_inputs: Any) -> None:
        raise AgentError("BUSY", "later", category="transient")

    document = scenario(echo("a", immediate(1)), agent("mail", "test/mail", retryDelay=60_000), finish())
    doubles = {"test/mail": fail}
    result = await run_scenario(document, {}, agents=doubles)
    assert (result.status, result.attempts) == ("failed", 4), "it was suspended between the tries"
    compilation = CompilationInput(tenant_id="t", scenario_id="s", execution_graph=document)
    layout = layout_of(translate_scenario(compilation, catalog=registry_with(doubles, registry())).program)
    keys = [key for key, _ in result.checkpoints][::-1]
    assert parked_at(layout, keys, "sleeping") == (Spot("mail", "retry"),)
