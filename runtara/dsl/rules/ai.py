"""AiAgents: their tools have names, their memory has a place, their provider is known. Source: dsl.md §3.15."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from runtara.dsl.diagnostics import Code, Diagnostic, diagnose
from runtara.dsl.draft import EdgeDraft, GraphDraft, StepDraft
from runtara.dsl.model import AgentStep, AiAgentStep
from runtara.dsl.paths import child_path
from runtara.dsl.ways import ON_ERROR, is_next_label

__all__ = ("MEMORY_LABEL", "TOOL_KINDS", "check_ai_agents")

MEMORY_LABEL: Final = "memory"

TOOL_KINDS: Final = ("Agent", "StartScenario", "WaitForSignal")
"""What a model can call."""

_WHERE_TO: Final = ("url", "headers")
"""The inputs that decide to whom a request goes."""

_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,64}\Z")


def check_ai_agents(draft: GraphDraft) -> Iterator[Diagnostic]:
    """Everything that is wrong with the AiAgents of a graph and of those inside it."""
    for graph in draft.with_subgraphs:
        for step in graph.steps.values():
            if step.kind == "AiAgent":
                yield from _check_edges(step, graph)
                yield from _check_config(step, graph)


def _check_edges(step: StepDraft, graph: GraphDraft) -> Iterator[Diagnostic]:
    seen: set[str | None] = set()
    for edge in _tool_edges(step, graph):
        path = child_path(edge.path, "label")
        if edge.label in seen:
            code = Code.MEMORY_EDGE_TAKEN if edge.label == MEMORY_LABEL else Code.TOOL_NAME_TAKEN
            yield diagnose(code, path, f"{step.key!r} has two edges with the label {edge.label!r}")
        seen.add(edge.label)
        yield from _check_tool(edge, step, graph)


def _check_tool(edge: EdgeDraft, step: StepDraft, graph: GraphDraft) -> Iterator[Diagnostic]:
    target = graph.steps.get(edge.target)
    path = child_path(edge.path, "label")
    if edge.label == MEMORY_LABEL:
        if target is not None and target.kind != "Agent":
            message = f"the memory of {step.key!r} is the {target.kind} step {target.key!r}"
            yield diagnose(Code.MEMORY_NOT_AGENT, edge.path, message, hint="Lead the edge to an Agent step.")
        return
    if not _TOOL_NAME.match(edge.label or ""):
        hint = "Letters, digits and _ only, 64 at most."
        yield diagnose(Code.TOOL_NAME_WRONG, path, f"{edge.label!r} is not the name of a tool", hint=hint)
    if target is not None and target.kind not in TOOL_KINDS:
        message = f"the {target.kind} step {target.key!r} cannot be a tool"
        yield diagnose(Code.TOOL_KIND_WRONG, edge.path, message, hint=f"Tools are: {', '.join(TOOL_KINDS)}.")
    if target is not None and any(graph.ways[target.key].targets.values()):
        message = f"{target.key!r} is a tool of {step.key!r}: its result goes back to the model, and nothing follows it"
        yield diagnose(Code.TOOL_GOES_ON, target.path, message, hint="Remove the edges that leave it.")
    if target is not None and isinstance(target.step, AgentStep):
        yield from _check_credentials(target.step, target.path)


def _check_credentials(step: AgentStep, path: str) -> Iterator[Diagnostic]:
    """A model may be talked into things; what it may give decides where the credentials of a tool can go."""
    exposed = [name for name in _WHERE_TO if name in step.input_mapping]
    if step.connection_id is not None and exposed:
        message = (
            f"the model may give {' and '.join(map(repr, exposed))}, and so send the connection's credentials anywhere"
        )
        hint = "Make the tool a child scenario that says itself where to, and takes from the model what it needs."
        yield diagnose(Code.TOOL_CHOOSES_HOST, child_path(path, "inputMapping"), message, hint=hint)


def _tool_edges(step: StepDraft, graph: GraphDraft) -> list[EdgeDraft]:
    edges = graph.edges_from[step.key]
    return [edge for edge in edges if not is_next_label(edge.label) and edge.label != ON_ERROR]


def _check_config(draft: StepDraft, graph: GraphDraft) -> Iterator[Diagnostic]:
    step = draft.step
    if not isinstance(step, AiAgentStep):
        return
    path = child_path(draft.path, "config")
    if step.connection_id is None:
        message = f"{draft.key!r} has no connection: the model is not reached without its key"
        yield diagnose(Code.AI_CONNECTION_MISSING, draft.path, message, hint="Name one in connectionId.")
    if step.config.user_prompt is None:
        message = f"{draft.key!r} has no userPrompt: there is nothing to answer"
        yield diagnose(Code.AI_PROMPT_MISSING, path, message)
    memories = [edge for edge in _tool_edges(draft, graph) if edge.label == MEMORY_LABEL]
    if step.config.memory is not None and not memories:
        message = f"{draft.key!r} has a memory, and no edge 'memory' to the step that keeps it"
        yield diagnose(Code.MEMORY_EDGE_MISSING, child_path(path, "memory"), message)
    if step.config.memory is None and memories:
        message = f"{draft.key!r} has an edge 'memory', and no memory in its config"
        yield diagnose(Code.MEMORY_CONFIG_MISSING, memories[0].path, message)
