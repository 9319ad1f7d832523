"""What a tool is given: the step's own inputs, and over them what the model may say."""

from __future__ import annotations

from typing import Any

import pytest

from runtara.stdlib.ai import tools
from runtara.stdlib.ai.providers.base import ToolCall
from runtara.stdlib.steps import AgentStep, Tool


def tool(inputs: dict[str, Any], *parameters: str) -> Tool:
    step = AgentStep(id="look", agent="test", capability="look")
    return Tool(name="look", step=step, inputs=lambda: inputs, parameters=parameters)


@pytest.mark.parametrize(
    ("parameters", "arguments", "expected"),
    [
        ((), {"a": 9}, {"a": 1, "b": {"c": 2, "d": 3}}),
        (("a",), {"a": 9, "b": 9}, {"a": 9, "b": {"c": 2, "d": 3}}),
        (("a",), {"a": None}, {"a": None, "b": {"c": 2, "d": 3}}),
        (("b.c",), {"b.c": 9}, {"a": 1, "b": {"c": 9, "d": 3}}),
        (("b.c",), {"b": {"c": 9}}, {"a": 1, "b": {"c": 2, "d": 3}}),
        (("b.e.f",), {"b.e.f": 9}, {"a": 1, "b": {"c": 2, "d": 3, "e": {"f": 9}}}),
        (("x",), {}, {"a": 1, "b": {"c": 2, "d": 3}}),
    ],
)
def test_arguments_go_over_inputs_where_they_may(parameters: Any, arguments: Any, expected: Any) -> None:
    inputs = {"a": 1, "b": {"c": 2, "d": 3}}
    assert tools._merged(tool(inputs, *parameters), arguments) == expected
    assert inputs == {"a": 1, "b": {"c": 2, "d": 3}}, "the inputs may belong to the data of the run"


def test_what_cannot_be_called_is_said_so() -> None:
    known = {"look": tool({})}
    assert tools.unusable(ToolCall(id="1", name="look", arguments={}), known) is None
    assert tools.unusable(ToolCall(id="1", name="jump", arguments={}), known) == {"error": "Unknown tool: jump"}
    told = tools.unusable(ToolCall(id="1", name="look", arguments="{"), known)
    assert told == {"error": "The arguments are not a JSON object."}
