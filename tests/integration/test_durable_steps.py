"""Steps on a durable instance: what waits for the disk, what is tried again, how a run fails, where it can be ended."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
import pytest

from runtara.agents import AgentError, Registry, agent, capability, registry
from runtara.compiler import CompilationInput, translate_scenario
from runtara.compiler.backend.memory import load_module
from runtara.protocol.messages import RetryRecord
from runtara.sdk.base import InstanceFailed
from runtara.sdk.memory import MemoryDurable
from runtara.sdk.memory_store import MemoryInstanceStore
from runtara.stdlib import execute
from runtara.testing import ManualClock, ScriptedSignal, run_scenario
from runtara.testing.doubles import registry_with
from tests.support.http_server import Answer, recording_http_server
from tests.support.scenarios import agent as step
from tests.support.scenarios import conditional, echo, example, finish, immediate, operation, reference, scenario


class Traced(MemoryDurable):
    """Notes what the program asks of its instance."""

    def __init__(self, store: MemoryInstanceStore) -> None:
        super().__init__(store)
        self.asked: list[str] = []

    def send(self, key: str, state: bytes) -> None:
        self.asked.append(f"send {key}")
        super().send(key, state)

    async def save(self, key: str, state: bytes) -> bytes:
        self.asked.append(f"save {key}")
        return await super().save(key, state)

    async def flush(self) -> None:
        self.asked.append("flush")
        await super().flush()

    async def record_retry(self, retry: RetryRecord) -> None:
        self.asked.append(f"retry {retry.key} {retry.tries} {'again' if retry.next_at else 'final'}")
        await super().record_retry(retry)


def module_of(document: Any, agents: Registry | None = None) -> Any:
    compilation = CompilationInput(tenant_id="t", scenario_id="s", execution_graph=document)
    return load_module(translate_scenario(compilation, catalog=agents or registry()).layer)


async def trace(document: Any, doubles: Mapping[str, Any] | None = None, data: Any = None) -> list[str]:
    agents = registry_with(doubles or {}, registry())
    durable = Traced(MemoryInstanceStore(input=msgspec.json.encode({"data": data})))
    await execute(module_of(document, agents), durable, agents=agents, clock=ManualClock(), random=Random(0))
    return durable.asked


# ---- what waits for the disk


async def test_only_effects_and_the_end_wait_for_the_disk() -> None:
    document = scenario(
        echo("a", immediate(1)), echo("b", immediate(2)), step("pay", "test/pay"), echo("c", immediate(3)), finish()
    )
    asked = await trace(document, {"test/pay": lambda inputs: "paid"})
    assert asked == ["send a", "send b", "flush", "save pay", "send c", "flush"]


async def test_a_hundred_pure_steps_wait_once() -> None:
    asked = await trace(scenario(*(echo(f"s{number}", immediate(number)) for number in range(100)), finish()))
    assert asked == [f"send s{number}" for number in range(100)] + ["flush"]


async def test_pure_steps_run_without_giving_way_to_other_tasks() -> None:
    """They cost what they compute, not a turn of the event loop each."""
    module = module_of(scenario(*(echo(f"s{number}", immediate(number)) for number in range(100)), finish()))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    await asyncio.sleep(0)
    await execute(module, MemoryDurable(MemoryInstanceStore()))
    counter.cancel()
    assert turns < 5


async def test_a_result_is_what_its_json_says_in_the_first_run_as_in_a_replay() -> None:
    document = scenario(step("a", "test/tuple"), finish(r=reference("steps.a.outputs")))
    result = await run_scenario(document, {}, agents={"test/tuple": lambda inputs: {"t": (1, 2), "s": {3}}})
    assert result.output == {"r": {"t": [1, 2], "s": [3]}}


async def test_an_effect_gets_the_same_token_at_each_try_and_each_step_its_own() -> None:
    document = scenario(step("a", "test/flaky"), step("b", "test/flaky"), finish())
    replies = [AgentError("X", "m", category="transient"), "ok", "ok"]
    result = await run_scenario(document, {}, agents={"test/flaky": replies})
    assert [call.idempotency_key for call in result.calls] == ["memory-instance:a"] * 2 + ["memory-instance:b"]


# ---- retries


def failures(count: int, **how: Any) -> list[Any]:
    how = {"code": "X", "message": "m", "category": "transient"} | how
    return [AgentError(**how) for _ in range(count)]


async def test_transient_errors_are_tried_again_with_a_delay_that_doubles() -> None:
    document = scenario(step("a", "test/flaky"), finish(r=reference("steps.a.outputs")))
    result = await run_scenario(document, {}, agents={"test/flaky": [*failures(3), "ok"]})
    assert (result.output, len(result.calls), result.elapsed_s) == ({"r": "ok"}, 4, 7.0)


async def test_a_delay_longer_than_the_threshold_suspends_the_instance() -> None:
    document = scenario(step("a", "test/flaky", retryDelay=40_000), finish())
    result = await run_scenario(document, {}, agents={"test/flaky": [*failures(1), "ok"]})
    assert (result.status, result.attempts, result.elapsed_s) == ("completed", 2, 40.0)


async def test_a_permanent_error_is_not_tried_again_and_is_the_error_of_the_run() -> None:
    broken = AgentError("BROKEN", "it broke", attributes={"part": "wheel"})
    document = scenario(step("a", "test/flaky", name="Drive"), finish())
    result = await run_scenario(document, {}, agents={"test/flaky": [broken]})
    assert result.status == "failed"
    assert result.error == {
        "code": "BROKEN",
        "message": "it broke",
        "category": "permanent",
        "severity": "error",
        "attributes": {"part": "wheel"},
        "stepId": "a",
        "stepName": "Drive",
        "stepType": "Agent",
        "agentId": "test",
        "capabilityId": "flaky",
        "path": "$.steps.a",
    }


async def test_a_final_failure_is_recorded_and_not_repeated_by_a_replay() -> None:
    document = scenario(step("a", "test/flaky", maxRetries=1, retryDelay=0), finish())
    assert await trace_failure(document, {"test/flaky": failures(2)}) == [
        "flush", "retry a 1 again", "flush", "flush", "retry a 2 final",
    ]  # fmt: skip
    # The third persistence call would be the end of the run; the crash comes before it.
    result = await run_scenario(document, {}, agents={"test/flaky": failures(2)}, crash_after=2)
    assert (result.status, result.attempts, len(result.calls)) == ("failed", 2, 2)


async def trace_failure(document: Any, doubles: Mapping[str, Any]) -> list[str]:
    agents = registry_with(doubles, registry())
    durable = Traced(MemoryInstanceStore())
    with pytest.raises(InstanceFailed):
        await execute(module_of(document, agents), durable, agents=agents)
    return durable.asked


async def test_rate_limits_use_up_a_budget_and_no_tries() -> None:
    limited = failures(3, code="HTTP_RATE_LIMITED", retry_after_ms=20_000)
    document = scenario(step("a", "test/limited", maxRetries=0), finish())
    patient = await run_scenario(document, {}, agents={"test/limited": [*limited, "ok"]})
    assert (patient.status, patient.elapsed_s) == ("completed", 60.0)
    hurried = await run_scenario(
        document | {"rateLimitBudgetMs": 50_000}, {}, agents={"test/limited": [*limited, "ok"]}
    )
    assert (hurried.status, len(hurried.calls)) == ("failed", 3)


async def test_a_try_that_takes_too_long_is_a_transient_error() -> None:
    async def hang(inputs: Mapping[str, Any]) -> None:
        await asyncio.Event().wait()

    document = scenario(step("a", "test/hang", timeout=10, maxRetries=0), finish())
    result = await run_scenario(document, {}, agents={"test/hang": hang})
    assert result.error is not None
    assert (result.error["code"], result.error["category"]) == ("TIMEOUT", "transient")


@agent(id="blocking")
class Blocking:
    @capability(side_effects=True)
    def wait(self, seconds: float) -> str:
        threading.Event().wait(seconds)
        return "waited"

    @capability(side_effects=False)
    def ponder(self, seconds: float) -> str:
        threading.Event().wait(seconds)
        return "pondered"


@pytest.mark.parametrize("capability_id", ["wait", "ponder"])
async def test_a_blocking_capability_does_not_outlast_its_timeout(capability_id: str) -> None:
    inputs = {"seconds": immediate(0.2)}
    document = scenario(step("a", f"blocking/{capability_id}", inputs, timeout=20, maxRetries=0), finish())
    began = time.monotonic()
    result = await run_scenario(document, {}, agents={"blocking": Blocking})
    assert result.error is not None
    assert result.error["code"] == "TIMEOUT"
    assert time.monotonic() - began < 0.19


# ---- failures


@agent(id="odd")
class Odd:
    @capability(side_effects=False)
    def crash(self) -> None:
        raise ZeroDivisionError("by nought")

    @capability(side_effects=False)
    def unspeakable(self) -> Any:
        return {"x": object()}

    @capability(side_effects=True)
    def huge(self) -> str:
        return "x" * (17 * 1024 * 1024)

    @capability(side_effects=False)
    def surrogates(self) -> str:
        return "\ud800"


@pytest.mark.parametrize(
    ("capability_id", "code", "words"),
    [
        ("crash", "CAPABILITY_ERROR", "ZeroDivisionError: by nought"),
        ("unspeakable", "OUTPUT_SERIALIZATION_ERROR", "what JSON cannot hold"),
        ("surrogates", "OUTPUT_SERIALIZATION_ERROR", "what JSON cannot hold"),
        ("huge", "OUTPUT_TOO_LARGE", "cannot be stored"),
    ],
)
async def test_a_capability_that_misbehaves_fails_the_run_with_data(capability_id: str, code: str, words: str) -> None:
    document = scenario(step("a", f"odd/{capability_id}"), finish())
    result = await run_scenario(document, {}, agents={"odd": Odd})
    assert result.status == "failed"
    assert result.error is not None
    assert result.error["code"] == code
    assert words in result.error["message"]
    assert (result.error["stepId"], len(result.calls)) == ("a", 1)


async def test_an_error_of_any_size_can_be_stored() -> None:
    loud = AgentError("\1" * 10**5, "\2" * 10**6, attributes={f"{n}\ud800" * 999: "\3" * 10**5 for n in range(99)})
    document = scenario(step("a", "test/loud", name="\4" * 10**5), finish(**{"x" * 10**5: immediate(1)}))
    result = await run_scenario(document, {}, agents={"test/loud": [loud]})
    assert result.status == "failed"
    assert result.error is not None
    assert result.error["message"].startswith("\2\2")
    assert len(result.error["attributes"]) <= 16


@pytest.mark.parametrize(
    ("mapping", "code", "place"),
    [
        ({"x": reference("data.items.name")}, "REFERENCE_MISMATCH", "x"),
        ({"y": reference("data"), "x": reference("data.word", type="integer")}, "VALUE_NOT_COERCIBLE", "x"),
    ],
)
async def test_a_value_that_cannot_be_names_its_place(mapping: dict[str, Any], code: str, place: str) -> None:
    document = {"executionGraph": scenario(echo("a", immediate(1)), finish(**mapping))}
    result = await run_scenario(document, {"items": [1], "word": "abc"})
    assert result.status == "failed"
    assert result.error is not None
    assert (result.error["code"], result.error["stepId"]) == (code, "finish")
    assert result.error["path"] == f"$.executionGraph.steps.finish.inputMapping.{place}"


async def test_a_default_stands_in_for_what_cannot_be() -> None:
    mapping = {
        "missing": reference("data.nothing", default=1),
        "null": reference("data.null", default=2),
        "mismatch": reference("data.items.name", default=3),
        "hint": reference("data.word", type="integer", default=4),
        "none": reference("data.nothing"),
        "hinted": reference("data.nothing", type="integer", default="5"),
    }
    result = await run_scenario(scenario(finish(**mapping)), {"items": [], "word": "abc", "null": None})
    assert result.output == {"missing": 1, "null": 2, "mismatch": 3, "hint": 4, "none": None, "hinted": 5}


async def test_a_condition_that_has_no_value_names_its_place() -> None:
    condition = operation("EQ", reference("data.items.name"), immediate(1))
    document = scenario(conditional("c", condition), finish(), edges="c finish:true, c finish:false")
    result = await run_scenario(document, {"items": []})
    assert result.error is not None
    assert result.error["path"] == "$.steps.c"


async def test_dotted_targets_that_collide_fail_the_run() -> None:
    document = scenario(finish(**{"a": reference("data.x"), "a.b": immediate(1)}))
    assert (await run_scenario(document, {"x": {"c": 2}})).output == {"a": {"b": 1, "c": 2}}
    failed = await run_scenario(document, {"x": 5})
    assert failed.error is not None
    assert failed.error["code"] == "MAPPING_CONFLICT"


async def test_an_input_with_reserved_variables_fails_the_run() -> None:
    result = await run_scenario(scenario(finish()), {}, variables={"_tenant_id": "other"})
    assert result.error is not None
    assert result.error["code"] == "INPUT_INVALID"


async def test_built_in_variables_are_there_and_defaults_can_be_overridden() -> None:
    document = scenario(
        finish(t=reference("variables._tenant_id"), r=reference("scenario.inputs.variables.rate")),
        variables={"rate": {"type": "number", "value": 0.2}},
    )
    assert (await run_scenario(document, {})).output == {"t": "memory-tenant", "r": 0.2}
    assert (await run_scenario(document, {}, variables={"rate": 0.5})).output == {"t": "memory-tenant", "r": 0.5}


# ---- safe points


@pytest.mark.parametrize("kind", ["cancel", "pause"])
async def test_a_run_ends_at_the_next_safe_point_with_everything_recorded(kind: str) -> None:
    document = scenario(step("a", "test/one"), step("b", "test/two"), finish())
    doubles = {"test/one": ["1"], "test/two": ["2"]}
    signals = [ScriptedSignal(kind=kind, after_step="a")]
    result = await run_scenario(document, {}, agents=doubles, signals=signals)
    assert result.status == ("cancelled" if kind == "cancel" else "suspended")
    assert result.checkpoints == (("a", "1"),)
    assert [call.step_id for call in result.calls] == ["a"]


async def test_a_paused_run_goes_on_where_it_was() -> None:
    document = scenario(
        step("a", "test/one"), echo("p", immediate(0)), step("b", "test/two"), finish(r=reference("steps.b.outputs"))
    )
    doubles = {"test/one": ["1"], "test/two": ["2"]}
    signals = [ScriptedSignal(kind="pause", after_step="p"), ScriptedSignal(kind="resume")]
    result = await run_scenario(document, {}, agents=doubles, signals=signals)
    assert (result.status, result.output, result.attempts) == ("completed", {"r": "2"}, 2)
    assert [call.step_id for call in result.calls] == ["a", "p", "b"]


async def test_a_cancel_after_the_last_step_comes_before_the_end() -> None:
    document = scenario(echo("a", immediate(1)), finish())
    result = await run_scenario(document, {}, signals=[ScriptedSignal(kind="cancel", after_step="a")])
    assert result.status == "cancelled"


# ---- the scenarios of the reference


async def test_the_examples_of_the_reference_run_as_written() -> None:
    async with recording_http_server() as server:
        server.answer("/items", Answer(200, {"items": [1, 2]}))
        result = await run_scenario(example("data-processing"), {"endpoint": f"{server.url}/items"})
        assert result.status == "completed", result.error
        mapped = result.output["result"]
        assert mapped["result"]["body"] == {"items": [1, 2]}
        assert mapped["field_count"] == 4

        order = example("order-processing").decode().replace("https://api.example.com", server.url)
        result = await run_scenario(order, {"order": {"id": "ORD-456"}})
        assert result.status == "completed", result.error
        assert result.output["result"]["status_code"] == 200
        assert [request.path for request in server.requests] == ["/items", "/validate", "/notify"]
        assert [request.headers["idempotency-key"] for request in server.requests[1:]] == [
            "memory-instance:validate",
            "memory-instance:notify",
        ]


# ---- what a loop says of the failure in it


@pytest.mark.parametrize(
    ("kind", "config", "place"),
    [
        ("Split", {"config": {"value": immediate([7])}}, {"index": 0}),
        ("While", {"condition": operation("EQ", immediate(1), immediate(1))}, {"iteration": 0}),
    ],
)
async def test_the_handler_of_a_loop_sees_the_context_of_the_error_in_it(kind: str, config: Any, place: Any) -> None:
    error = {"stepType": "Error", "id": "stop", "code": "NO", "message": "no", "context": {"why": immediate("because")}}
    loop = {"stepType": kind, "id": "loop", "subgraph": scenario(error)} | config
    document = scenario(loop, finish("caught", error=reference("error")), edges="loop caught:onError")
    caught = (await run_scenario(document, {})).output["error"]
    assert caught["context"] == {"why": "because"}
    assert caught["code"] == "NO"
    assert {name: caught[name] for name in place} == place
