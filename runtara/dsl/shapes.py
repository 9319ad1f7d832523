"""Shapes: what ``steps.<id>`` has after a step, for whoever checks or describes it. Source: dsl.md §3.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runtara.dsl.catalog import Catalog
from runtara.dsl.model import AgentStep, Step

__all__ = ("ENTRY_EXTRAS", "ENTRY_FIELDS", "ERROR_FIELDS", "OUTPUT_FIELDS", "entry_fields", "kind_of", "output_fields")

ENTRY_FIELDS: Final = ("stepId", "stepName", "stepType", "outputs")
"""What every entry has."""

ENTRY_EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "Delay": ("duration_ms",),
    "Split": ("data", "stats", "hasFailures"),
    "StartScenario": ("childScenarioId",),
    "Switch": ("route",),
    "WaitForSignal": ("signal_id",),
    "While": ("iterations",),
}
"""What stands beside ``outputs``, by the type of the step."""

OUTPUT_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "AiAgent": ("response", "iterations", "toolCalls"),
    "Conditional": ("result",),
    "Connection": ("parameters", "integration_id", "connection_subtype"),
    "Delay": ("duration_ms",),
    "Filter": ("items", "count"),
    "GroupBy": ("groups", "counts", "total_groups"),
    "Log": ("level", "message"),
    "While": ("iterations", "outputs"),
}
"""The fields of ``outputs`` where all are known, by the type of the step."""

ERROR_FIELDS: Final = (
    "stepId",
    "stepName",
    "stepType",
    "code",
    "message",
    "category",
    "severity",
    "retryAfterMs",
    "attributes",
    "context",
    "index",
    "iteration",
    "agentId",
    "capabilityId",
    "childScenarioId",
    "childError",
    "path",
)
"""What ``error`` has in the handler of a failure."""


def entry_fields(step: Step) -> tuple[str, ...]:
    """The fields of the step's entry."""
    return (*ENTRY_FIELDS, *ENTRY_EXTRAS.get(kind_of(step), ()))


def output_fields(step: Step, catalog: Catalog) -> tuple[str, ...]:
    """The fields of the step's outputs, where all are known; empty where they are not."""
    if not isinstance(step, AgentStep):
        return OUTPUT_FIELDS.get(kind_of(step), ())
    agent = catalog.find_agent(step.agent_id)
    capability = agent.find_capability(step.capability_id) if agent is not None else None
    return () if capability is None else tuple(field.name for field in capability.output.fields)


def kind_of(step: Step) -> str:
    """Its ``stepType``."""
    return str(step.__struct_config__.tag)
