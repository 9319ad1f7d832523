"""What the graph of a loop or of a wait says of itself holds: variables, schemas, durability, the budget for limits."""

from __future__ import annotations

from typing import Any

import pytest

from runtara.agents import AgentError
from runtara.dsl import validate
from runtara.testing import RunResult, ScriptedSignal, run_scenario
from tests.support.scenarios import agent, echo, finish, immediate, operation, reference, scenario


def split(body: dict[str, Any], items: Any, **config: Any) -> dict[str, Any]:
    step = {"stepType": "Split", "id": "s", "config": {"value": immediate(items), **config}, "subgraph": body}
    return scenario(step, finish(r=reference("steps.s.outputs")))


def loop(body: dict[str, Any]) -> dict[str, Any]:
    condition = operation("LT", reference("loop.index"), immediate(1))
    step = {"stepType": "While", "id": "w", "condition": condition, "subgraph": body}
    return scenario(step, finish(r=reference("steps.w.outputs.outputs")))


async def run(document: dict[str, Any], data: Any = None, **more: Any) -> RunResult:
    assert [diagnostic.code for diagnostic in validate(document)] == []
    return await run_scenario(document, {} if data is None else data, **more)


VARIABLES = {"rate": {"type": "number", "value": 0.2}}


async def test_variables_have_their_defaults_and_what_comes_from_outside_goes_over_them() -> None:
    body = scenario(finish(v=reference("variables.rate")), variables=VARIABLES)
    assert (await run(split(body, [1]))).output == {"r": [{"v": 0.2}]}
    assert (await run(split(body, [1], variables={"rate": immediate(0.5)}))).output == {"r": [{"v": 0.5}]}
    outer = split(body, [1]) | {"variables": {"rate": {"type": "number", "value": 0.7}}}
    assert (await run(outer)).output == {"r": [{"v": 0.7}]}


async def test_the_data_gets_its_defaults_and_has_to_fit() -> None:
    schema = {"n": {"type": "integer", "required": True}, "unit": {"type": "string", "default": "kg"}}
    body = scenario(finish(n=reference("data.n"), unit=reference("data.unit")), inputSchema=schema)
    assert (await run(split(body, [{"n": 1}]))).output == {"r": [{"n": 1, "unit": "kg"}]}
    assert (await run(loop(body), {"n": 2})).output == {"r": {"n": 2, "unit": "kg"}}
    result = await run(split(body, [{"n": "one"}]))
    assert result.error is not None
    assert (result.error["code"], result.error["stepId"]) == ("INPUT_INVALID", "s")


@pytest.mark.parametrize("of", [lambda body: split(body, [1]), loop])
async def test_the_result_has_to_fit(of: Any) -> None:
    schema = {"total": {"type": "integer", "required": True}}
    good = scenario(finish(total=immediate(1)), outputSchema=schema)
    assert (await run(of(good))).status == "completed"
    for bad in (finish(total=immediate("much")), finish()):
        result = await run(of(scenario(bad, outputSchema=schema)))
        assert result.error is not None
        assert result.error["code"] == "OUTPUT_INVALID"


async def test_a_graph_without_a_finish_has_null_for_its_result_which_has_to_fit_too() -> None:
    body = scenario(echo("only", immediate(1)), outputSchema={"total": {"type": "integer", "required": True}})
    result = await run_scenario(split(body, [1]), {})
    assert result.error is not None
    assert result.error["code"] == "OUTPUT_INVALID"


async def test_a_graph_that_is_not_durable_stores_nothing_and_those_around_it_do() -> None:
    body = scenario(echo("inner", immediate(1)), finish(), durable=False)
    document = split(body, [1, 2])
    document["steps"]["after"] = echo("after", immediate(1))
    document["executionPlan"] = [{"fromStep": "s", "toStep": "after"}, {"fromStep": "after", "toStep": "finish"}]
    assert [key for key, _ in (await run(document)).checkpoints] == ["after"]


async def test_a_graph_has_a_budget_of_its_own_for_services_that_limit_their_rate() -> None:
    limited = AgentError("X_RATE_LIMITED", "later", category="transient", retry_after_ms=5000)
    body = scenario(agent("call", "test/call"), finish(), rateLimitBudgetMs=4000)
    result = await run_scenario(split(body, [1]), {}, agents={"test/call": [limited, "served"]})
    assert result.error is not None
    assert (result.error["code"], len(result.calls)) == ("X_RATE_LIMITED", 1)


async def test_the_graph_before_a_wait_has_variables_of_its_own() -> None:
    ask = scenario(agent("ask", "test/ask", {"rate": reference("variables.rate")}), finish(), variables=VARIABLES)
    wait = {"stepType": "WaitForSignal", "id": "w", "onWait": ask}
    signals = [ScriptedSignal(kind="custom", name="w", payload=1)]
    agents = {"test/ask": lambda inputs: inputs["rate"]}
    result = await run_scenario(scenario(wait, finish()), {}, agents=agents, signals=signals)
    assert [call.inputs for call in result.calls] == [{"rate": 0.2}]


async def test_its_name_in_the_code_is_taken_by_no_step() -> None:
    inner = scenario(echo("s_body_graph", immediate(7)), finish(v=reference("variables.rate")), variables=VARIABLES)
    assert (await run(split(inner, [1]))).output == {"r": [{"v": 0.2}]}


def test_a_timeout_inside_is_one_of_nothing() -> None:
    document = split(scenario(finish(), executionTimeoutSeconds=5), [1])
    found = [(diagnostic.code, diagnostic.path) for diagnostic in validate(document)]
    assert found == [("W071", "$.steps.s.subgraph.executionTimeoutSeconds")]
