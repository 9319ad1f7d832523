"""How a run fails: one structured error that names the step and the place in the document, never a line of code.

Generated code carries a source map, from its lines to steps and document paths; a traceback leads to the line.
Source: dsl.md §7.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

import msgspec

from runtara.agents.errors import AgentError
from runtara.sdk.base import InstanceFailed
from runtara.stdlib.steps import AgentStep, Step
from runtara.stdlib.values import ValueFailed

__all__ = ("SourceMap", "StepFailed", "clipped", "encode_error", "failed", "step_failure")

SourceMap = Mapping[int, tuple[str, str]]
"""From a line on: step id and document path. The lines are in order."""

# Together they stay below the limit of a stored error, whatever a service sends and however it is escaped.
_MESSAGE_CHARACTERS_MAX: Final = 2_000
_FACT_CHARACTERS_MAX: Final = 200
_ATTRIBUTE_CHARACTERS_MAX: Final = 300
_ATTRIBUTES_MAX: Final = 16
_NESTED_BYTES_MAX: Final = 8_000


class StepFailed(Exception):
    """A step could not do its work, finally. ``facts`` are more fields of the structured error."""

    def __init__(self, step: Step, error: AgentError, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{step.id}: {error.message}")
        self.step = step
        self.error = error
        self.facts = dict(facts or {})

    def to_data(self) -> dict[str, Any]:
        """The structured error, as handlers see it below ``error``."""
        return _step_facts(self.step) | self.error.to_data() | self.facts


def step_failure(step: Step, error: Exception) -> StepFailed:
    """The failure of the step in any exception: itself, or made from one that its values or the platform raised."""
    if isinstance(error, StepFailed):
        return error
    made = StepFailed(step, _agent_error_of(error))
    made.__cause__ = error
    # The line of the value that failed is in the traceback; it says the place more exactly than the step does.
    return made.with_traceback(error.__traceback__)


def failed(error: Exception, module: ModuleType) -> InstanceFailed:
    """The failure of a run of that generated module, ready to be stored."""
    data = _description_of(error)
    return InstanceFailed(data["message"], error=encode_error(_place_of(error, data, module) | data))


def encode_error(data: Mapping[str, Any]) -> bytes:
    """A structured error as JSON that always fits where errors are stored: what is too long is cut."""
    fitting = {name: _fitting(value) for name, value in data.items() if name != "attributes"}
    fitting["message"] = clipped(data["message"], _MESSAGE_CHARACTERS_MAX)
    if "attributes" in data:
        fitting["attributes"] = {
            clipped(name, 64): clipped(str(value), _ATTRIBUTE_CHARACTERS_MAX)
            for name, value in sorted(data["attributes"].items())[:_ATTRIBUTES_MAX]
        }
    return msgspec.json.encode(fitting, order="sorted")


def _fitting(value: Any) -> Any:
    if isinstance(value, str):
        return clipped(value, _FACT_CHARACTERS_MAX)
    if isinstance(value, dict | list):
        encoded = msgspec.json.encode(value)
        return value if len(encoded) <= _NESTED_BYTES_MAX else {"_truncated": True, "_original_size": len(encoded)}
    return value


def clipped(text: str, characters_max: int) -> str:
    """The text, or its beginning and an ellipsis."""
    # Lone surrogates, as in a file name that is no UTF-8, cannot be JSON.
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= characters_max else f"{text[: characters_max - 1]}…"


def _place_of(error: Exception, data: Mapping[str, Any], module: ModuleType) -> dict[str, Any]:
    """The place of the deepest line of generated code; where that is another step's, the place of the step itself."""
    source_map: SourceMap = module.SOURCE_MAP
    line = max(_line_of(error, module), _line_of(error.__cause__, module) if error.__cause__ is not None else 0)
    begun = [place for first, place in source_map.items() if first <= line]
    if not begun:
        return {}
    step_id = data.get("stepId", begun[-1][0])
    if begun[-1][0] == step_id:
        return {"stepId": step_id, "path": begun[-1][1]}
    return next(({"stepId": step_id, "path": path} for step, path in source_map.values() if step == step_id), {})


def _line_of(error: BaseException, module: ModuleType) -> int:
    traceback, line = error.__traceback__, 0
    while traceback is not None:
        if traceback.tb_frame.f_globals is module.__dict__:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _description_of(error: Exception) -> dict[str, Any]:
    return error.to_data() if isinstance(error, StepFailed) else _agent_error_of(error).to_data()


def _agent_error_of(error: Exception) -> AgentError:
    if isinstance(error, AgentError):
        return error
    if isinstance(error, ValueFailed):
        return AgentError(error.code, str(error))
    return AgentError("INTERNAL_ERROR", f"{type(error).__name__}: {error}", severity="critical")


def _step_facts(step: Step) -> dict[str, Any]:
    facts: dict[str, Any] = {"stepId": step.id, "stepName": step.name, "stepType": step.type}
    if isinstance(step, AgentStep):
        facts |= {"agentId": step.agent, "capabilityId": step.capability}
    return facts
