"""Capabilities: every Agent step calls one that exists, with inputs that it takes."""

from __future__ import annotations

from collections.abc import Iterator

from runtara.dsl.catalog import AgentInfo, CapabilityField, CapabilityInfo, Catalog
from runtara.dsl.coercion import coerce_input, fits
from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, suggestion
from runtara.dsl.draft import GraphDraft
from runtara.dsl.mappings import Immediate, InputMapping
from runtara.dsl.model import AgentStep
from runtara.dsl.paths import child_path
from runtara.dsl.structure import describe

__all__ = ("check_capabilities",)


def check_capabilities(draft: GraphDraft, catalog: Catalog) -> Iterator[Diagnostic]:
    """Everything that is wrong with the calls of all Agent steps of a graph and of those inside it."""
    for graph in draft.with_subgraphs:
        tools = graph.tools
        for step in graph.steps.values():
            if isinstance(step.step, AgentStep):
                yield from _check_call(step.step, step.path, catalog, is_tool=step.key in tools)


def _check_call(step: AgentStep, path: str, catalog: Catalog, *, is_tool: bool) -> Iterator[Diagnostic]:
    agent = catalog.find_agent(step.agent_id)
    if agent is None:
        hint = suggestion(step.agent_id, catalog.agent_ids(), what="agent")
        yield diagnose(
            Code.AGENT_UNKNOWN, child_path(path, "agentId"), f"there is no agent {step.agent_id!r}", hint=hint
        )
        return
    capability = agent.find_capability(step.capability_id)
    if capability is None:
        yield _unknown_capability(step, agent, child_path(path, "capabilityId"))
        return
    yield from _check_inputs(step.input_mapping, capability, child_path(path, "inputMapping"), is_tool=is_tool)


def _unknown_capability(step: AgentStep, agent: AgentInfo, path: str) -> Diagnostic:
    known = [capability.id for capability in agent.capabilities]
    message = f"the agent {agent.id!r} has no capability {step.capability_id!r}"
    hint = suggestion(step.capability_id, known, what="capability")
    return diagnose(Code.CAPABILITY_UNKNOWN, path, message, hint=hint)


def _check_inputs(
    mapping: InputMapping, capability: CapabilityInfo, path: str, *, is_tool: bool
) -> Iterator[Diagnostic]:
    if capability.open_inputs:
        return
    given: dict[str, str] = {}
    for key, value in mapping.items():
        name = key.partition(".")[0]
        field = capability.find_input(name)
        if field is None:
            yield _unknown_input(name, capability, child_path(path, key))
            continue
        if given.setdefault(field.name, name) != name:
            message = f"{given[field.name]!r} and {name!r} are the same input"
            yield diagnose(Code.INPUT_GIVEN_TWICE, child_path(path, key), message, hint="Give one of them.")
        if isinstance(value, Immediate) and name == key:
            yield from _check_immediate(value.value, field, child_path(child_path(path, key), "value"))
    for field in capability.inputs:
        # What a tool is not given here, the model gives.
        if field.required and field.name not in given and not is_tool:
            message = f"the required input {field.name!r} of {capability.id!r} is not given"
            yield diagnose(Code.INPUT_MISSING, path, message, hint=field.description)


def _unknown_input(name: str, capability: CapabilityInfo, path: str) -> Diagnostic:
    known = [field.name for field in capability.inputs]
    message = f"the capability {capability.id!r} has no input {name!r}"
    return diagnose(Code.INPUT_UNKNOWN, path, message, hint=suggestion(name, known, what="input"))


def _check_immediate(value: object, field: CapabilityField, path: str) -> Iterator[Diagnostic]:
    value = coerce_input(value, field)
    if not fits(value, field):
        message = f"the input {field.name!r} is of type {field.type}, and this is {describe(value)}"
        hint = f"Its elements are of type {field.items}." if field.items else None
        yield diagnose(Code.VALUE_TYPE_WRONG, path, message, hint=hint)
    elif field.enum and value is not None and value not in field.enum:
        known = [str(allowed) for allowed in field.enum]
        message = f"{value!r} is not one of {', '.join(known)}"
        yield diagnose(Code.VALUE_NOT_ALLOWED, path, message, hint=suggestion(str(value), known, what="such value"))
