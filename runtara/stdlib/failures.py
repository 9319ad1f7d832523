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

__all__ = ("SourceMap", "StepFailed", "encode_error", "failed")

SourceMap = Mapping[int, tuple[str, str]]
"""From a line on: step id and document path. The lines are in order."""

# Together they stay below the limit of a stored error, whatever a service sends and however it is escaped.
_MESSAGE_CHARACTERS_MAX: Final = 2_000
_FACT_CHARACTERS_MAX: Final = 200
_ATTRIBUTE_CHARACTERS_MAX: Final = 300
_ATTRIBUTES_MAX: Final = 16


class StepFailed(Exception):
    """A step could not do its work, finally."""

    def __init__(self, step: Step, error: AgentError) -> None:
        super().__init__(f"{step.id}: {error.message}")
        self.step = step
        self.error = error


def failed(error: Exception, module: ModuleType) -> InstanceFailed:
    """The failure of a run of that generated module, ready to be stored."""
    data = _place_of(error, module) | _description_of(error)
    return InstanceFailed(data["message"], error=encode_error(data))


def encode_error(data: Mapping[str, Any]) -> bytes:
    """A structured error as JSON that always fits where errors are stored: what is too long is cut."""
    fitting = {name: _clipped(value, _FACT_CHARACTERS_MAX) for name, value in data.items()}
    fitting["message"] = _clipped(data["message"], _MESSAGE_CHARACTERS_MAX)
    if "attributes" in data:
        fitting["attributes"] = {
            _clipped(name, 64): _clipped(str(value), _ATTRIBUTE_CHARACTERS_MAX)
            for name, value in sorted(data["attributes"].items())[:_ATTRIBUTES_MAX]
        }
    return msgspec.json.encode(fitting, order="sorted")


def _clipped(value: Any, characters_max: int) -> Any:
    if not isinstance(value, str):
        return value
    # Lone surrogates, as in a file name that is no UTF-8, cannot be JSON.
    text = value.encode("utf-8", "replace").decode()
    return text if len(text) <= characters_max else f"{text[: characters_max - 1]}…"


def _place_of(error: Exception, module: ModuleType) -> dict[str, Any]:
    source_map: SourceMap = module.SOURCE_MAP
    traceback, line = error.__traceback__, 0
    while traceback is not None:
        if traceback.tb_frame.f_globals is module.__dict__:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    begun = [place for first, place in source_map.items() if first <= line]
    return {"stepId": begun[-1][0], "path": begun[-1][1]} if begun else {}


def _description_of(error: Exception) -> dict[str, Any]:
    if isinstance(error, StepFailed):
        return _step_facts(error.step) | error.error.to_data()
    if isinstance(error, ValueFailed):
        return AgentError(error.code, str(error)).to_data()
    kind = type(error).__name__
    return AgentError("INTERNAL_ERROR", f"{kind}: {error}", severity="critical").to_data()


def _step_facts(step: Step) -> dict[str, Any]:
    facts: dict[str, Any] = {"stepId": step.id, "stepName": step.name, "stepType": step.type}
    if isinstance(step, AgentStep):
        facts |= {"agentId": step.agent, "capabilityId": step.capability}
    return facts
