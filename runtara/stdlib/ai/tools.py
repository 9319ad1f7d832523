"""Tools: steps that the model calls. What comes of a call, a failure too, goes back to the model and is recorded.

The record of a call is read before anything is done: a replay shows the model's later turns what they were made from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtara.errors import LimitExceeded, RuntaraError
from runtara.stdlib import children, signals
from runtara.stdlib.ai.providers.base import ToolCall, ToolSpec
from runtara.stdlib.failures import clipped, step_failure
from runtara.stdlib.schemas import fields_of
from runtara.stdlib.steps import AgentStep, AiAgentStep, StartScenarioStep, Tool, WaitForSignalStep
from runtara.stdlib.trace import Trace, shown, timestamp_ms

if TYPE_CHECKING:
    from runtara.stdlib.run import Run

__all__ = ("Outcome", "call_tool", "spec_of", "unusable")

_MESSAGE_CHARACTERS_MAX: Final = 2_000

_TEXT: Final[Mapping[str, Any]] = {"type": "string"}
_QUESTION: Final[Mapping[str, Any]] = {"message": {"type": "string", "description": "What is asked for."}}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a call, as its checkpoint keeps it."""

    result: Any
    success: bool
    at: int
    """When it was over, in milliseconds since 1970."""


# ---- what the model sees


def spec_of(run: Run, tool: Tool) -> ToolSpec:
    """The tool, as the model sees it. None of its parameters is required: the step has values of its own."""
    properties = {name: _parameter(run, tool, name) for name in tool.parameters}
    if isinstance(tool.step, WaitForSignalStep):
        properties = {**_QUESTION, **properties}
    return ToolSpec(
        name=tool.name,
        description=tool.description or tool.step.name or tool.name,
        parameters={"type": "object", "properties": properties, "additionalProperties": False},
    )


def _parameter(run: Run, tool: Tool, name: str) -> Mapping[str, Any]:
    """JSON Schema of an input; a text where nothing is known of it."""
    if isinstance(tool.step, AgentStep):
        return _capability_input(run, tool.step, name)
    if isinstance(tool.step, StartScenarioStep):
        return _child_input(tool, name)
    return _TEXT


def _capability_input(run: Run, step: AgentStep, name: str) -> Mapping[str, Any]:
    found = run.execution.agents.find_capability(step.agent, step.capability)
    field = None if found is None else found.info.find_input(name)
    if field is None:
        return _TEXT
    facts: dict[str, Any] = {} if field.type == "any" else {"type": field.type}
    if field.description is not None:
        facts["description"] = field.description
    if field.enum:
        facts["enum"] = list(field.enum)
    if field.type == "array":
        facts["items"] = {} if field.items in (None, "any") else {"type": field.items}
    return facts


def _child_input(tool: Tool, name: str) -> Mapping[str, Any]:
    from runtara.dsl.schemas import json_schema  # with a child that has a schema only

    _, scenario = tool.start
    if name not in scenario.input_schema:
        return _TEXT
    properties: Mapping[str, Any] = json_schema(fields_of(scenario.input_schema))["properties"]
    schema: Mapping[str, Any] = properties[name]
    return schema


# ---- a call


def unusable(call: ToolCall, tools: Mapping[str, Tool]) -> dict[str, Any] | None:
    """What the model is told of a call that nothing can be done about; None for any other."""
    if call.name not in tools:
        return {"error": f"Unknown tool: {call.name}"}
    if not isinstance(call.arguments, dict):
        return {"error": "The arguments are not a JSON object."}
    return None


async def call_tool(run: Run, step: AiAgentStep, tool: Tool, arguments: Mapping[str, Any], key: str) -> Outcome:
    """What came of the call under that key, now or before; durable with the next flush."""
    durable = run.durable_of(is_durable=step.durable)
    name = f"{key}/%outcome"
    state = await durable.find(name)
    if state is not None:
        return msgspec.json.decode(state, type=Outcome)
    outcome = await _new_outcome(run, tool, arguments, key)
    try:
        durable.send(name, msgspec.json.encode(outcome))
    except LimitExceeded as error:
        outcome = Outcome(result=_told("OUTPUT_TOO_LARGE", error.message), success=False, at=outcome.at)
        durable.send(name, msgspec.json.encode(outcome))
    return outcome


async def _new_outcome(run: Run, tool: Tool, arguments: Mapping[str, Any], key: str) -> Outcome:
    try:
        result, success = await _traced(run, tool, arguments, key), True
    except RuntaraError:
        raise
    except Exception as error:
        if run.place.deadline is not None:
            # The time of what is around the conversation is not a failure of the tool.
            run.place.deadline.check()
        failure = step_failure(tool.step, error).error
        result, success = _told(failure.code, failure.message), False
    return Outcome(result=result, success=success, at=timestamp_ms(run.execution.durable))


def _told(code: str, message: str) -> dict[str, Any]:
    return {"error": clipped(message, _MESSAGE_CHARACTERS_MAX), "code": code}


async def _traced(run: Run, tool: Tool, arguments: Mapping[str, Any], key: str) -> Any:
    inputs = _merged(tool, arguments)
    if not run.execution.scenario.debug:
        return await _result(run, tool, inputs, arguments, key)
    place = run.place
    trace = Trace(run.execution.durable, place.scope_id, place.parent_scope_id, place.indices)
    span = trace.begin(tool.step, inputs)
    try:
        result = await _result(run, tool, inputs, arguments, key)
    except RuntaraError:
        raise
    except Exception as error:
        span.fail(step_failure(tool.step, error).to_data())
        raise
    span.end(result)
    return result


async def _result(run: Run, tool: Tool, inputs: Mapping[str, Any], arguments: Mapping[str, Any], key: str) -> Any:
    if isinstance(tool.step, AgentStep):
        return await run.call(tool.step, key).outputs(inputs)
    if isinstance(tool.step, StartScenarioStep):
        body, scenario = tool.start
        return await children.start(run, tool.step, inputs, body, scenario, key=key)
    return await _response(run, tool, tool.step, arguments, key)


async def _response(
    run: Run, tool: Tool, step: WaitForSignalStep, arguments: Mapping[str, Any], key: str
) -> dict[str, Any]:
    """What somebody answers. The event that asks for it shows what the model said, as ``arguments`` of its action."""
    timeout_ms, on_wait, action = tool.start or (None, None, None)
    asking = msgspec.structs.replace(step, action=step.action or tool.name)
    context = {**(action() if action is not None else {}), "arguments": shown(dict(arguments))}
    given = (timeout_ms() if timeout_ms is not None else None, context)
    response = await signals.wait(run, asking, key=key, given=given, on_wait=on_wait)
    return {"status": "received", "human_response": response}


def _merged(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of the step, with the model's arguments over them: those that it may give."""
    merged = dict(tool.inputs())
    for name in tool.parameters:
        if name in arguments:
            _set(merged, name.split("."), arguments[name])
    return merged


def _set(place: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        inner = place.get(name)
        # A copy: the object may belong to the data of the run.
        place[name] = dict(inner) if isinstance(inner, dict) else {}
        place = place[name]
    place[path[-1]] = value
