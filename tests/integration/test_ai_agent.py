"""AiAgent steps against a service on loopback: turns, tools, answers, memory, and no turn that is paid twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from runtara.agents import AgentError
from runtara.limits import CHECKPOINT_BYTES_MAX
from runtara.sdk.memory import MemoryInstanceStore
from runtara.testing import RunResult, ScriptedSignal, run_scenario
from runtara.testing.clock import ManualClock
from tests.support.http_server import Answer
from tests.support.llm_server import API_KEY, LlmServer, calls, llm_server
from tests.support.scenarios import agent, finish, immediate, reference, scenario

PROVIDERS = ("openai", "anthropic")


@pytest.fixture
async def llm() -> AsyncIterator[LlmServer]:
    async with llm_server() as server:
        yield server


def ai(connection: str = "openai", *, durable: bool | None = None, **config: Any) -> dict[str, Any]:
    given = {"userPrompt": immediate("What is the weather?")} | config
    step = {"stepType": "AiAgent", "id": "ai", "connectionId": connection, "config": given}
    return step if durable is None else step | {"durable": durable}


def waiting(step_id: str = "ask", **more: Any) -> dict[str, Any]:
    return {"stepType": "WaitForSignal", "id": step_id} | more


def start(step_id: str, child: str, inputs: dict[str, Any] | None = None) -> dict[str, Any]:
    step = {"stepType": "StartScenario", "id": step_id, "childScenarioId": child, "childVersion": "latest"}
    return step | {"inputMapping": inputs or {}, "maxRetries": 0}


def talk(step: dict[str, Any], *tools: dict[str, Any], labels: str = "") -> dict[str, Any]:
    """A scenario that has the conversation, and its outputs as its result. ``labels``: one for each tool."""
    edges = [f"ai {tool['id']}:{label}" for tool, label in zip(tools, labels.split(), strict=True)]
    return scenario(step, *tools, finish(outputs=reference("steps.ai.outputs")), edges=", ".join(["ai finish", *edges]))


def weather(**inputs: Any) -> dict[str, Any]:
    return agent("weather", "test/weather", {"city": immediate("Berlin")} | inputs, maxRetries=0)


async def run(llm: LlmServer, document: Any, **more: Any) -> RunResult:
    return await run_scenario(document, {}, connection_url=llm.url, **more)


SUNNY = {"test/weather": lambda inputs: {"sky": "sunny", **inputs}}


# ---- turns


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_conversation_without_tools_is_one_turn(llm: LlmServer, provider: str) -> None:
    llm.say("It rains.")
    result = await run(llm, talk(ai(provider)))
    assert result.output == {"response": "It rains.", "iterations": 1, "toolCalls": []}
    assert [key for key, _ in result.checkpoints] == ["ai/llm/1"]
    (turn,) = llm.turns
    assert turn.headers["idempotency-key"] == "memory-instance:ai/llm/1"


async def test_openai_is_asked_in_its_shape(llm: LlmServer) -> None:
    llm.say("It rains.")
    texts = {"systemPrompt": immediate("Be short."), "model": immediate("gpt-x")}
    more: dict[str, Any] = texts | {"maxTokens": immediate(99), "temperature": immediate(0)}
    await run(llm, talk(ai(**more)))
    (turn,) = llm.turns
    assert (turn.path, turn.headers["authorization"]) == ("/v1/chat/completions", f"Bearer {API_KEY}")
    assert turn.json == {
        "model": "gpt-x",
        "temperature": 0,
        "max_tokens": 99,
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "What is the weather?"},
        ],
    }


async def test_anthropic_is_asked_in_its_shape(llm: LlmServer) -> None:
    llm.say("It rains.")
    await run(llm, talk(ai("anthropic", systemPrompt=immediate("Be short."), model=immediate("claude-x"))))
    (turn,) = llm.turns
    assert (turn.path, turn.headers["x-api-key"]) == ("/v1/messages", API_KEY)
    assert turn.headers["anthropic-version"] == "2023-06-01"
    assert turn.json == {
        "model": "claude-x",
        "max_tokens": 4096,
        "temperature": 0.7,
        "system": "Be short.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "What is the weather?"}]}],
    }


async def test_the_provider_of_the_step_counts_more_than_the_type_of_the_connection(llm: LlmServer) -> None:
    llm.say("Yes.")
    result = await run(llm, talk(ai("anthropic", provider="openai")))
    assert result.output["response"] == "Yes."
    assert llm.turns[0].path == "/chat/completions"


async def test_a_connection_of_an_unknown_type_without_a_provider_is_an_error(llm: LlmServer) -> None:
    llm.connection_answer = Answer(200, {"parameters": {"api_key": "k"}, "integration_id": "smtp"})
    result = await run(llm, talk(ai()))
    assert result.error is not None
    assert result.error["code"] == "AI_PROVIDER_UNKNOWN"


async def test_a_prompt_that_is_no_text_is_asked_as_json(llm: LlmServer) -> None:
    llm.say("Yes.")
    await run(llm, talk(ai(userPrompt=immediate({"order": 7}))))
    assert llm.turns[0].json["messages"][0]["content"] == '{"order":7}'


@pytest.mark.parametrize(
    "config",
    [
        {"userPrompt": immediate(None)},
        {"temperature": immediate("hot")},
        {"maxTokens": immediate(0)},
        {"model": immediate(7)},
    ],
)
async def test_a_prompt_that_cannot_be_asked_fails_before_anything_is_paid(llm: LlmServer, config: Any) -> None:
    result = await run(llm, talk(ai(**config)))
    assert result.error is not None
    assert result.error["code"] == "AI_PROMPT_INVALID"
    assert llm.requests == []


# ---- tools


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_tool_is_called_and_its_result_goes_back_to_the_model(llm: LlmServer, provider: str) -> None:
    llm.say(calls(("weather", {"city": "Rome"}), text="Let me look."), "It is sunny.")
    result = await run(llm, talk(ai(provider), weather(), labels="weather"), agents=SUNNY)
    assert result.output == {
        "response": "It is sunny.",
        "iterations": 2,
        "toolCalls": [
            {
                "iteration": 1,
                "tool_name": "weather",
                "arguments": {"city": "Rome"},
                "result": {"sky": "sunny", "city": "Rome"},
                "success": True,
                "duration_ms": 0,
            }
        ],
    }
    assert [call.idempotency_key for call in result.calls] == ["memory-instance:ai/tool/weather/1"]
    assert [key for key, _ in result.checkpoints] == [
        "ai/llm/1",
        "ai/tool/weather/1",
        "ai/tool/weather/1/%outcome",
        "ai/llm/2",
    ]


async def test_openai_sees_tools_calls_and_results_in_its_shape(llm: LlmServer) -> None:
    llm.say(calls(("weather", {"city": "Rome"})), "It is sunny.")
    await run(llm, talk(ai(), weather(), labels="weather"), agents=SUNNY)
    first, second = (turn.json for turn in llm.turns)
    (tool,) = first["tools"]
    assert first["tool_choice"] == "auto"
    assert tool["type"] == "function"
    assert tool["function"]["name"] == "weather"
    assert tool["function"]["parameters"] == {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "additionalProperties": False,
    }
    asked, answered = second["messages"][1:]
    (call,) = asked["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": '{"city":"Rome"}'}
    assert answered["role"] == "tool"
    assert answered["tool_call_id"] == call["id"]
    assert json.loads(answered["content"]) == {"sky": "sunny", "city": "Rome"}


async def test_anthropic_sees_tools_calls_and_results_in_its_shape(llm: LlmServer) -> None:
    llm.say(calls(("weather", {"city": "Rome"}), ("weather", {}), text="Look."), "It is sunny.")
    await run(llm, talk(ai("anthropic"), weather(), labels="weather"), agents=SUNNY)
    first, second = (turn.json for turn in llm.turns)
    assert [tool["name"] for tool in first["tools"]] == ["weather"]
    assert first["tool_choice"] == {"type": "auto"}
    _, said, results = second["messages"]
    assert [block["type"] for block in said["content"]] == ["text", "tool_use", "tool_use"]
    assert (results["role"], [block["type"] for block in results["content"]]) == ("user", ["tool_result"] * 2)
    assert [block["tool_use_id"] for block in results["content"]] == [block["id"] for block in said["content"][1:]]


async def test_mapped_inputs_are_defaults_and_other_arguments_are_left_out(llm: LlmServer) -> None:
    llm.say(calls(("weather", {"city": "Rome", "password": "x"})), "Yes.")
    tool = weather(**{"place.zip": immediate(1), "unit": immediate("C")})
    result = await run(llm, talk(ai(), tool, labels="weather"), agents=SUNNY)
    assert [call.inputs for call in result.calls] == [{"city": "Rome", "place": {"zip": 1}, "unit": "C"}]


async def test_a_model_may_give_a_nested_input(llm: LlmServer) -> None:
    llm.say(calls(("weather", {"place.zip": 2})), "Yes.")
    tool = weather(**{"place.zip": immediate(1), "place.street": immediate("A")})
    result = await run(llm, talk(ai(), tool, labels="weather"), agents=SUNNY)
    assert result.calls[0].inputs == {"city": "Berlin", "place": {"zip": 2, "street": "A"}}


async def test_the_types_of_a_known_capability_are_told(llm: LlmServer) -> None:
    llm.say("Yes.")
    get = agent("get", "http/request", {"url": immediate("http://x"), "timeout_ms": immediate(1)})
    await run(llm, talk(ai(), get, labels="get"))
    properties = llm.turns[0].json["tools"][0]["function"]["parameters"]["properties"]
    assert {name: facts["type"] for name, facts in properties.items()} == {"url": "string", "timeout_ms": "integer"}


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_goes_wrong_with_a_tool_is_told_to_the_model(llm: LlmServer, provider: str) -> None:
    llm.say(calls(("weather", {}), ("snow", {})), "I do not know.")
    broken = {"test/weather": [AgentError("NO_SENSOR", "the sensor is broken")]}
    result = await run(llm, talk(ai(provider), weather(), labels="weather"), agents=broken)
    assert result.status == "completed"
    assert [(call["result"], call["success"]) for call in result.output["toolCalls"]] == [
        ({"error": "the sensor is broken", "code": "NO_SENSOR"}, False),
        ({"error": "Unknown tool: snow"}, False),
    ]
    told = json.dumps(llm.turns[1].json["messages"])
    assert "the sensor is broken" in told
    assert "Unknown tool: snow" in told


async def test_arguments_that_are_no_object_are_told_to_the_model(llm: LlmServer) -> None:
    llm.say(calls(("weather", "{city:")), "I do not know.")
    result = await run(llm, talk(ai(), weather(), labels="weather"), agents=SUNNY)
    assert result.output["toolCalls"][0]["result"] == {"error": "The arguments are not a JSON object."}
    assert llm.turns[1].json["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{city:"


async def test_a_result_that_cannot_be_stored_is_told_to_the_model(llm: LlmServer) -> None:
    """It would fit alone, and does not with what is recorded of the call."""
    llm.say(calls(("weather", {})), "Too much.")
    large = {"test/weather": lambda _: "x" * (CHECKPOINT_BYTES_MAX - 10)}
    result = await run(llm, talk(ai(), weather(), labels="weather"), agents=large)
    (call,) = result.output["toolCalls"]
    assert (call["result"]["code"], call["success"], call["duration_ms"]) == ("OUTPUT_TOO_LARGE", False, 0)


async def test_a_tool_is_tried_again_as_its_step_says(llm: LlmServer) -> None:
    llm.say(calls(("weather", {})), "It is sunny.")
    shaky = {"test/weather": [AgentError("BUSY", "busy", category="transient"), "sunny"]}
    document = talk(ai(), weather() | {"maxRetries": 1}, labels="weather")
    result = await run(llm, document, agents=shaky)
    assert result.output["toolCalls"][0]["result"] == "sunny"
    assert len(llm.turns) == 2


@pytest.mark.parametrize("crash_after", [None, 1, 2, 3, 4, 5, 6])
async def test_the_duration_of_a_call_is_measured_once(llm: LlmServer, crash_after: int | None) -> None:
    llm.say(calls(("weather", {"city": "2"}), ("snow", {}), ("weather", {"city": "3"})), "Done.")
    clock = ManualClock()
    slow = {"test/weather": lambda inputs: clock.jump(timedelta(seconds=int(inputs["city"])))}
    document = talk(ai(), weather(), labels="weather")
    result = await run(llm, document, agents=slow, clock=clock, crash_after=crash_after)
    assert result.attempts == (1 if crash_after is None else 2)
    assert [call["duration_ms"] for call in result.output["toolCalls"]] == [2000, 0, 3000]
    assert len(result.calls) == 2


async def test_a_child_is_a_tool(llm: LlmServer) -> None:
    llm.say(calls(("add", {"n": 2}), ("add", {})), "Done.")
    child = scenario(
        agent("pay", "test/pay", {"n": reference("data.n")}),
        finish(paid=reference("steps.pay.outputs")),
        inputSchema={"n": {"type": "integer", "required": True}},
    )
    document = talk(ai(), start("child", "kid", {"n": immediate(1)}), labels="add")
    result = await run(llm, document, agents={"test/pay": lambda inputs: inputs["n"]}, children={"kid": child})
    assert [call["result"] for call in result.output["toolCalls"]] == [{"paid": 2}, {"paid": 1}]
    keys = [key for key, _ in result.checkpoints]
    assert {"ai/tool/add/1/pay", "ai/tool/add/2/pay"} <= set(keys)
    parameters = llm.turns[0].json["tools"][0]["function"]["parameters"]
    assert parameters["properties"] == {"n": {"type": "integer"}}


async def test_a_person_is_a_tool(llm: LlmServer) -> None:
    llm.say(calls(("human", {"message": "May I?"})), "Done.")
    signal = ScriptedSignal(kind="custom", name="ai/tool/human/1", payload={"ok": True})
    result = await run(llm, talk(ai(), waiting(), labels="human"), signals=[signal])
    assert result.output["toolCalls"][0]["result"] == {"status": "received", "human_response": {"ok": True}}
    (asked,) = [payload for kind, payload in result.events if kind == "external_input_requested"]
    assert asked["signal_id"] == "ai/tool/human/1"
    assert asked["action"] == {"key": "human", "arguments": {"message": "May I?"}}


async def test_the_last_turn_that_is_allowed_ends_the_conversation_with_the_last_text(llm: LlmServer) -> None:
    llm.say(calls(("weather", {}), text="First."), calls(("weather", {})), "Never said.")
    result = await run(llm, talk(ai(maxIterations=2), weather(), labels="weather"), agents=SUNNY)
    assert (result.output["response"], result.output["iterations"]) == ("First.", 2)
    assert [call["iteration"] for call in result.output["toolCalls"]] == [1, 2]
    assert len(llm.turns) == 2


# ---- structured output

SCHEMA = {"sky": {"type": "string", "required": True}, "degrees": {"type": "number", "default": 20}}


async def test_openai_is_told_the_schema_of_the_answer(llm: LlmServer) -> None:
    llm.say('{"sky": "blue"}')
    result = await run(llm, talk(ai(outputSchema=SCHEMA)))
    assert result.output["response"] == {"sky": "blue", "degrees": 20}
    asked = llm.turns[0].json["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["strict"] is False
    assert asked["json_schema"]["schema"]["required"] == ["sky"]


async def test_a_schema_without_options_is_strict(llm: LlmServer) -> None:
    llm.say('```json\n{"sky": "blue"}\n```')
    result = await run(llm, talk(ai(outputSchema={"sky": SCHEMA["sky"]})))
    assert result.output["response"] == {"sky": "blue"}
    assert llm.turns[0].json["response_format"]["json_schema"]["strict"] is True


async def test_anthropic_answers_through_a_tool(llm: LlmServer) -> None:
    llm.say(calls(("weather", {})), calls(("final-answer", {"sky": "blue"})))
    result = await run(llm, talk(ai("anthropic", outputSchema=SCHEMA), weather(), labels="weather"), agents=SUNNY)
    assert result.output["response"] == {"sky": "blue", "degrees": 20}
    assert [call["tool_name"] for call in result.output["toolCalls"]] == ["weather"]
    asked = llm.turns[0].json
    assert asked["tool_choice"] == {"type": "any"}
    assert [tool["name"] for tool in asked["tools"]] == ["weather", "final-answer"]


async def test_anthropic_without_other_tools_has_to_answer(llm: LlmServer) -> None:
    llm.say(calls(("final-answer", {"sky": "blue"})))
    await run(llm, talk(ai("anthropic", outputSchema=SCHEMA)))
    assert llm.turns[0].json["tool_choice"] == {"type": "tool", "name": "final-answer"}


@pytest.mark.parametrize(
    ("said", "code", "word"),
    [
        ("It is blue.", "AI_STRUCTURED_OUTPUT_INVALID", "It is blue."),
        ("", "AI_STRUCTURED_OUTPUT_INVALID", ""),
        ('{"sky": 7}', "AI_STRUCTURED_OUTPUT_SCHEMA_MISMATCH", "response.sky"),
        ("{}", "AI_STRUCTURED_OUTPUT_SCHEMA_MISMATCH", "response.sky"),
        ("[]", "AI_STRUCTURED_OUTPUT_SCHEMA_MISMATCH", "array"),
    ],
)
async def test_an_answer_that_does_not_fit_is_an_error(llm: LlmServer, said: str, code: str, word: str) -> None:
    llm.say(said)
    result = await run(llm, talk(ai(outputSchema=SCHEMA)))
    assert result.error is not None
    assert (result.error["code"], result.error["stepId"], result.error["category"]) == (code, "ai", "permanent")
    assert word in result.error["message"]


# ---- failures of the provider


@pytest.mark.parametrize(
    ("answer", "code", "category"),
    [
        (Answer(500), "AI_PROVIDER_UNAVAILABLE", "transient"),
        (Answer(529), "AI_PROVIDER_UNAVAILABLE", "transient"),
        (Answer(408), "AI_PROVIDER_UNAVAILABLE", "transient"),
        (Answer(breaks=True), "AI_PROVIDER_UNAVAILABLE", "transient"),
        (Answer(401), "AI_UNAUTHORIZED", "permanent"),
        (Answer(403), "AI_UNAUTHORIZED", "permanent"),
        (Answer(400), "AI_PROVIDER_ERROR", "permanent"),
        (Answer(404), "AI_PROVIDER_ERROR", "permanent"),
        (Answer(307, headers={"Location": "http://127.0.0.1:9"}), "AI_PROVIDER_ERROR", "permanent"),
        (Answer(200, {"choices": []}), "AI_PROVIDER_ERROR", "permanent"),
        (Answer(200, b"<html>"), "AI_PROVIDER_ERROR", "permanent"),
        (Answer(200, b"[" * 100_000), "AI_PROVIDER_ERROR", "permanent"),
        (Answer(200, b" " * (CHECKPOINT_BYTES_MAX // 2 + 1)), "AI_PROVIDER_ERROR", "permanent"),
    ],
)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_a_service_answers_decides_about_the_error(
    llm: LlmServer, answer: Answer, code: str, category: str, provider: str
) -> None:
    llm.say(answer)
    result = await run(llm, talk(ai(provider)))
    assert result.error is not None
    assert (result.error["code"], result.error["category"], result.error["stepId"]) == (code, category, "ai")
    assert len(llm.turns) == 1


async def test_a_transient_failure_is_tried_again_as_often_as_the_step_says(llm: LlmServer) -> None:
    llm.say(Answer(500), Answer(breaks=True), "At last.")
    result = await run(llm, talk(ai(maxRetries=2, retryDelay=1000)))
    assert result.output["response"] == "At last."
    assert len(llm.turns) == 3
    assert result.elapsed_s == 3.0


async def test_a_rate_limit_is_waited_for_without_using_up_retries(llm: LlmServer) -> None:
    llm.say(Answer(429, {"error": {"message": "slow down"}}, {"Retry-After": "20"}), "At last.")
    result = await run(llm, talk(ai()))
    assert result.output["response"] == "At last."
    assert result.elapsed_s == 20.0


async def test_a_rate_limit_beyond_the_budget_fails(llm: LlmServer) -> None:
    llm.say(Answer(429, {"error": {"message": "slow down"}}, {"Retry-After": "3600"}))
    result = await run(llm, talk(ai()))
    assert result.error is not None
    assert (result.error["code"], result.error["retryAfterMs"]) == ("AI_RATE_LIMITED", 3_600_000)
    assert "slow down" in result.error["message"]


async def test_a_turn_that_takes_too_long_is_a_timeout(llm: LlmServer) -> None:
    llm.say(Answer(hangs=True))
    result = await run(llm, talk(ai(turnTimeout=50)))
    assert result.error is not None
    assert (result.error["code"], result.error["category"]) == ("AI_TURN_TIMEOUT", "timeout")


async def test_a_failure_goes_the_way_of_the_step_for_errors(llm: LlmServer) -> None:
    llm.say(Answer(500))
    document = scenario(
        ai(), finish(), finish("caught", code=reference("error.code")), edges="ai finish, ai caught:onError"
    )
    result = await run(llm, document)
    assert result.output == {"code": "AI_PROVIDER_UNAVAILABLE"}


async def test_a_connection_without_a_key_is_not_authorized(llm: LlmServer) -> None:
    llm.connection_answer = Answer(200, {"parameters": {}, "integration_id": "openai_api_key"})
    result = await run(llm, talk(ai()))
    assert result.error is not None
    assert result.error["code"] == "AI_UNAUTHORIZED"


@pytest.mark.parametrize("base_url", ["ftp://x", "no url", "http://x:port", 7])
async def test_a_base_url_that_is_none_is_an_error_of_the_provider(llm: LlmServer, base_url: Any) -> None:
    parameters = {"api_key": API_KEY, "base_url": base_url}
    llm.connection_answer = Answer(200, {"parameters": parameters, "integration_id": "openai_api_key"})
    result = await run(llm, talk(ai(maxRetries=1)))
    assert result.error is not None
    assert (result.error["code"], result.error["category"]) == ("AI_PROVIDER_ERROR", "permanent")


# ---- the key


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_the_key_is_seen_by_the_service_alone(llm: LlmServer, provider: str, status: int) -> None:
    refusal = Answer(status, {"error": {"message": f"the key {API_KEY} is bad"}}, {"Retry-After": "9999"})
    llm.say(calls(("weather", {})), refusal)
    document = talk(ai(provider), weather(), labels="weather")
    result = await run(llm, document, agents=SUNNY, debug=True)
    assert len(llm.turns) == 2
    assert result.status == "failed"
    assert API_KEY not in repr(result)
    assert "step_debug_start" in repr(result.events)


async def test_a_key_that_cannot_be_sent_is_not_shown(llm: LlmServer) -> None:
    parameters = {"api_key": f"{API_KEY}\r\nX: y", "base_url": llm.url}
    llm.connection_answer = Answer(200, {"parameters": parameters, "integration_id": "openai_api_key"})
    result = await run(llm, talk(ai()), debug=True)
    assert result.error is not None
    assert result.error["code"] == "AI_PROVIDER_ERROR"
    assert API_KEY not in repr(result)


async def test_tools_are_seen_in_debug_mode(llm: LlmServer) -> None:
    llm.say(calls(("weather", {"city": "Rome"})), "Yes.")
    result = await run(llm, talk(ai(), weather(), labels="weather"), agents=SUNNY, debug=True)
    begun = [payload for kind, payload in result.events if kind == "step_debug_start"]
    assert [(payload["step_id"], payload["inputs"]) for payload in begun][:2] == [
        ("ai", {"systemPrompt": None, "userPrompt": "What is the weather?", "model": None}),
        ("weather", {"city": "Rome"}),
    ]


# ---- crashes


def rich() -> Any:
    """Everything at once: two tools, a person, a failure of a tool, an effect behind the conversation."""
    child = start("child", "kid", {"n": immediate(1)})
    return scenario(
        ai(maxRetries=1, outputSchema={}),
        weather(),
        child,
        waiting(),
        agent("tell", "test/tell", {"what": reference("steps.ai.outputs")}),
        finish(outputs=reference("steps.ai.outputs")),
        edges="ai tell, tell finish, ai weather:weather, ai child:child, ai ask:human",
    )


KID = scenario(
    agent("pay", "test/pay", {"n": reference("data.n")}),
    finish(paid=reference("steps.pay.outputs")),
    inputSchema={"n": {"type": "integer", "required": True}},
)

RICH_SCRIPT = (
    calls(("weather", {"city": "Rome"}), ("child", {"n": 3})),
    Answer(500),
    calls(("human", {"message": "May I?"}), ("weather", {"city": "Oslo"})),
    calls(("nothing", {})),
    "Done.",
)


async def run_rich(provider: str, **crash: Any) -> tuple[RunResult, list[str]]:
    def sky(inputs: Any) -> Any:
        if inputs["city"] == "Oslo":
            raise AgentError("NO_SENSOR", "no sensor")
        return "sunny"

    doubles = {"test/weather": sky, "test/pay": lambda inputs: inputs["n"], "test/tell": lambda inputs: None}
    document = rich()
    document["steps"]["ai"]["connectionId"] = provider
    async with llm_server() as llm:
        llm.say(*RICH_SCRIPT)
        signal = ScriptedSignal(kind="custom", name="ai/tool/human/1", payload="yes")
        result = await run(llm, document, agents=doubles, children={"kid": KID}, signals=[signal], **crash)
        assert llm.unsaid == 0
        return result, [turn.headers["idempotency-key"] for turn in llm.turns]


def outcome(result: RunResult) -> tuple[Any, ...]:
    return result.status, result.output, result.error, sorted(key for key, _ in result.checkpoints)


@pytest.mark.slow
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_after_a_crash_at_any_point_no_turn_is_paid_twice(provider: str) -> None:
    whole, asked = await run_rich(provider)
    assert (whole.status, whole.output["iterations"]) == ("completed", 4)
    assert Counter(asked)["memory-instance:ai/llm/2"] == 2
    for point in range(1, whole.persistence_calls + 1):
        crashed, asked_then = await run_rich(provider, crash_after=point)
        assert outcome(crashed) == outcome(whole)
        assert asked_then == asked
        assert sorted(call.idempotency_key for call in crashed.effects) == sorted(
            call.idempotency_key for call in whole.effects
        )


@pytest.mark.slow
async def test_a_turn_that_was_not_recorded_is_asked_for_with_the_same_key() -> None:
    whole, asked = await run_rich("openai")
    repeated = 0
    for point in range(1, whole.persistence_calls + 1):
        crashed, asked_then = await run_rich("openai", crash_before=point)
        assert outcome(crashed) == outcome(whole)
        assert set(asked_then) == set(asked)
        assert len(asked_then) - len(asked) in (0, 1)
        repeated += len(asked_then) - len(asked)
    assert repeated > 0


async def test_a_failure_that_was_routed_away_is_not_asked_for_again_by_a_crash(llm: LlmServer) -> None:
    llm.say(Answer(400), "Too late.")
    document = scenario(
        ai(),
        finish(),
        agent("tell", "test/tell"),
        finish("caught", code=reference("error.code")),
        edges="ai finish, ai tell:onError, tell caught",
    )
    result = await run(llm, document, agents={"test/tell": lambda _: "told"}, crash_after=2)
    assert result.attempts == 2
    assert result.output == {"code": "AI_PROVIDER_ERROR"}
    assert llm.unsaid == 1


async def test_a_conversation_that_is_not_stored_begins_again_with_its_tools(llm: LlmServer) -> None:
    llm.say(calls(("weather", {})), "Yes.")
    document = scenario(
        ai(durable=False),
        weather(),
        agent("tell", "test/tell"),
        finish(),
        edges="ai tell, tell finish, ai weather:weather",
    )
    doubles = SUNNY | {"test/tell": lambda _: "told"}
    result = await run(llm, document, agents=doubles, crash_after=1)
    assert [call.step_id for call in result.calls] == ["weather", "tell", "weather"]
    assert [key for key, _ in result.checkpoints] == ["tell"]


async def test_a_cancel_between_turns_is_heard(llm: LlmServer) -> None:
    llm.say(calls(("weather", {})), "Never said.")
    cancel = ScriptedSignal(kind="cancel", after_step="ai/tool/weather/1")
    result = await run(llm, talk(ai(), weather(), labels="weather"), agents=SUNNY, signals=[cancel])
    assert result.status == "cancelled"
    assert len(llm.turns) == 1


# ---- where a conversation can be


async def test_what_a_model_was_told_stays_when_its_child_is_tried_again(llm: LlmServer) -> None:
    """The later turns were made from it: a tool that would succeed now is not called again."""
    llm.say(calls(("weather", {})), "No idea.")
    child = scenario(
        ai(),
        weather(),
        agent("tell", "test/tell", {"calls": reference("steps.ai.outputs.toolCalls")}, maxRetries=0),
        finish(calls=reference("steps.ai.outputs.toolCalls")),
        edges="ai tell, tell finish, ai weather:weather",
    )
    document = scenario(start("call", "kid") | {"maxRetries": 1}, finish(outputs=reference("steps.call.outputs")))
    doubles = {
        "test/weather": [AgentError("BUSY", "busy", category="transient"), "sunny"],
        "test/tell": [AgentError("BUSY", "busy", category="transient"), "told"],
    }
    result = await run(llm, document, agents=doubles, children={"kid": child})
    assert result.output["calls"][0]["result"] == {"error": "busy", "code": "BUSY"}
    assert [call.step_id for call in result.calls] == ["weather", "tell", "tell"]
    assert len(llm.turns) == 2


async def test_conversations_in_a_split_wait_for_people_side_by_side(llm: LlmServer) -> None:
    ask = calls(("human", {"message": "May I?"}))
    llm.say(ask, ask, "Done.", "Done.")
    body = talk(ai(), waiting(), labels="human")
    split = {
        "stepType": "Split",
        "id": "split",
        "subgraph": body,
        "config": {"value": immediate([1, 2]), "parallelism": 2},
    }
    document = scenario(split, finish(outputs=reference("steps.split.outputs")))
    signals = [
        ScriptedSignal(kind="custom", name=f"split[{number}]/ai/tool/human/1", payload=number) for number in (1, 0)
    ]
    result = await run(llm, document, signals=signals)
    assert [one["toolCalls"][0]["result"]["human_response"] for one in result.output] == [0, 1]
    assert len(llm.turns) == 4


async def test_the_deadline_around_a_conversation_is_no_failure_of_its_tool(llm: LlmServer) -> None:
    llm.say(calls(("human", {})), "Never said.")
    child = talk(ai(), waiting(), labels="human")
    document = scenario(start("call", "kid") | {"timeout": 5_000}, finish())
    result = await run(llm, document, children={"kid": child})
    assert result.error is not None
    assert (result.error["code"], result.error["stepId"]) == ("CHILD_TIMEOUT", "call")
    assert len(llm.turns) == 1
    assert not any(key.endswith("%outcome") for key, _ in result.checkpoints)


async def test_a_person_who_does_not_answer_in_time_is_told_to_the_model(llm: LlmServer) -> None:
    """A wait is as its step says, as a tool too: its timeout, what is done before, and what goes with its event."""
    llm.say(calls(("human", {"message": "May I?"})), "Nobody there.")
    person = waiting(
        timeoutMs=immediate(5000),
        onWait=scenario(agent("mail", "test/mail", {"to": reference("variables._signal_id")}), finish()),
        action={"key": "approve", "context": {"order": immediate(7)}},
    )
    document = talk(ai(), person, labels="human")
    result = await run(llm, document, agents={"test/mail": lambda inputs: inputs["to"]})
    (call,) = result.output["toolCalls"]
    assert (call["result"]["code"], call["success"], call["duration_ms"]) == ("WAIT_TIMEOUT", False, 5000)
    assert [(call.step_id, call.output) for call in result.calls] == [("mail", "ai/tool/human/1")]
    (asked,) = [payload for kind, payload in result.events if kind == "external_input_requested"]
    assert asked["action"]["key"] == "approve"
    assert asked["action"]["context"] == {"order": 7}
    assert asked["action"]["arguments"] == {"message": "May I?"}


# ---- memory


def remembering(compaction: dict[str, Any] | None = None, conversation: Any = "c1") -> dict[str, Any]:
    memory = {"conversationId": immediate(conversation)} | ({"compaction": compaction} if compaction else {})
    step = ai(memory=memory)
    keeper = agent("keeper", "test/keep", {"table": immediate("talks")}, maxRetries=0)
    return talk(step, keeper, labels="memory")


class Keeper:
    """A memory."""

    def __init__(self, *messages: Any) -> None:
        self.kept: Any = list(messages)
        self.asked: list[Any] = []

    def __call__(self, inputs: Any) -> Any:
        self.asked.append(inputs)
        if inputs["operation"] == "load":
            return {"messages": self.kept}
        self.kept = inputs["messages"]
        return {"saved": len(self.kept)}


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


async def test_a_conversation_goes_on_where_the_last_run_left_it(llm: LlmServer) -> None:
    llm.say("Rain.", "Sun.")
    keeper = Keeper()
    first = await run(llm, remembering(), agents={"test/keep": keeper})
    store = MemoryInstanceStore(instance_id="another")
    second = await run(llm, remembering(), agents={"test/keep": keeper}, store=store)
    assert (first.output["response"], second.output["response"]) == ("Rain.", "Sun.")
    question = said("user", "What is the weather?")
    assert llm.turns[1].json["messages"] == [question, said("assistant", "Rain."), question]
    assert keeper.kept == [question, said("assistant", "Rain."), question, said("assistant", "Sun.")]
    assert keeper.asked[0] == {"table": "talks", "conversation_id": "c1", "operation": "load"}
    assert [key for key, _ in first.checkpoints] == ["ai/memory/load", "ai/llm/1", "ai/memory/save"]
    assert "tools" not in llm.turns[0].json


async def test_what_a_memory_keeps_is_mended(llm: LlmServer) -> None:
    llm.say("Yes.")
    call = {"id": "1", "name": "weather", "arguments": {}}
    keeper = Keeper(
        said("tool", "sunny", tool_call_id="0", name="weather"),
        said("assistant", "Fine.", tool_calls=None),
        said("assistant", "Let me look.", tool_calls=[call]),
    )
    await run(llm, remembering(), agents={"test/keep": keeper})
    assert llm.turns[0].json["messages"] == [
        said("user", "Result of the tool weather: sunny"),
        said("assistant", "Fine."),
        said("user", "What is the weather?"),
    ]


async def test_a_sliding_window_keeps_the_last_messages(llm: LlmServer) -> None:
    llm.say("Yes.")
    keeper = Keeper(*(said("user", str(number)) for number in range(10)))
    await run(llm, remembering({"maxMessages": 3}), agents={"test/keep": keeper})
    assert [one["content"] for one in llm.turns[0].json["messages"]] == ["7", "8", "9", "What is the weather?"]
    assert [one["content"] for one in keeper.kept] == ["9", "What is the weather?", "Yes."]


async def test_a_summary_takes_the_place_of_the_older_messages(llm: LlmServer) -> None:
    llm.say("They counted.", "Yes.")
    keeper = Keeper(*(said("user", str(number)) for number in range(10)))
    document = remembering({"maxMessages": 4, "strategy": "summarize"})
    result = await run(llm, document, agents={"test/keep": keeper})
    summarized, asked = (turn.json["messages"] for turn in llm.turns)
    assert "user: 0\nuser: 1" in summarized[-1]["content"]
    assert [one["content"] for one in asked] == [
        "Summary of the conversation so far: They counted.",
        "8",
        "9",
        "What is the weather?",
    ]
    assert "ai/memory/compact" in dict(result.checkpoints)
    assert result.output["iterations"] == 1


async def test_a_summary_does_not_part_a_call_from_its_result(llm: LlmServer) -> None:
    llm.say("They looked.", "Yes.")
    call = {"id": "1", "name": "weather", "arguments": {"city": "Rome"}}
    told = said("tool", "sunny", tool_call_id="1", name="weather")
    keeper = Keeper(said("user", "a"), said("user", "b"), said("assistant", "", tool_calls=[call]), told)
    document = remembering({"maxMessages": 3, "strategy": "summarize"})
    await run(llm, document, agents={"test/keep": keeper})
    summarized, asked = (turn.json["messages"] for turn in llm.turns)
    assert summarized[-1]["content"].endswith('assistant:  [calls weather with {"city":"Rome"}]\ntool: sunny')
    assert [one["content"] for one in asked] == [
        "Summary of the conversation so far: They looked.",
        "What is the weather?",
    ]


@pytest.mark.parametrize("point", range(1, 7))
async def test_a_memory_is_saved_once_whatever_crashes(llm: LlmServer, point: int) -> None:
    llm.say("They counted.", "Yes.")
    keeper = Keeper(*(said("user", str(number)) for number in range(5)))
    document = remembering({"maxMessages": 4, "strategy": "summarize"})
    result = await run(llm, document, agents={"test/keep": keeper}, crash_after=point)
    assert result.output["response"] == "Yes."
    assert [one["operation"] for one in keeper.asked] == ["load", "save"]
    assert len(llm.turns) == 2


@pytest.mark.parametrize("loaded", [[1], "text", [{"role": "robot", "content": "x"}], 7])
async def test_a_memory_that_is_no_conversation_is_an_error(llm: LlmServer, loaded: Any) -> None:
    result = await run(llm, remembering(), agents={"test/keep": lambda _: loaded})
    assert result.error is not None
    assert result.error["code"] == "AI_MEMORY_INVALID"


async def test_a_memory_that_fails_fails_the_conversation_before_anything_is_paid(llm: LlmServer) -> None:
    result = await run(llm, remembering(), agents={"test/keep": [AgentError("DOWN", "down")]})
    assert result.error is not None
    assert (result.error["code"], result.error["stepId"]) == ("DOWN", "keeper")
    assert llm.turns == []


async def test_a_conversation_without_a_name_is_an_error(llm: LlmServer) -> None:
    result = await run(llm, remembering(conversation=None), agents={"test/keep": Keeper()})
    assert result.error is not None
    assert result.error["code"] == "AI_CONVERSATION_ID_MISSING"
