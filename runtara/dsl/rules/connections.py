"""Connections: their types are known, and credentials go nowhere but to agents that talk to the world.

Source: dsl.md §8.1, §10.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import chain
from typing import Final

from runtara.dsl.catalog import Catalog
from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, suggestion
from runtara.dsl.draft import GraphDraft, StepDraft
from runtara.dsl.model import AgentStep, ConnectionStep, ErrorStep, FinishStep, LogStep, Step
from runtara.dsl.paths import child_path
from runtara.dsl.values import Place

__all__ = ("INTEGRATIONS", "check_connections")

INTEGRATIONS: Final = ("anthropic_api_key", "http_api_key", "http_bearer", "openai_api_key", "sftp")
"""The types of connections that something here can use."""


def check_connections(draft: GraphDraft, catalog: Catalog) -> Iterator[Diagnostic]:
    """Everything that is wrong with the connections of a graph and of those inside it."""
    for graph in draft.with_subgraphs:
        connections = {key for key, step in graph.steps.items() if step.kind == "Connection"}
        for step in graph.steps.values():
            yield from _check_step(step, catalog)
            if connections and step.step is not None:
                yield from _check_leaks(step, step.step, connections, catalog)
        yield from _check_unused(graph, connections)


def _check_step(draft: StepDraft, catalog: Catalog) -> Iterator[Diagnostic]:
    step = draft.step
    if isinstance(step, ConnectionStep) and step.integration_id not in INTEGRATIONS:
        hint = suggestion(step.integration_id, INTEGRATIONS, what="integration")
        message = f"there is no integration {step.integration_id!r}"
        yield diagnose(Code.INTEGRATION_UNKNOWN, child_path(draft.path, "integrationId"), message, hint=hint)
    if isinstance(step, AgentStep) and step.connection_id is not None and not _takes_connections(step, catalog):
        message = f"the agent {step.agent_id!r} works with no connection"
        yield diagnose(Code.CONNECTION_UNUSABLE, child_path(draft.path, "connectionId"), message, hint="Leave it out.")


def _takes_connections(step: AgentStep, catalog: Catalog) -> bool:
    agent = catalog.find_agent(step.agent_id)
    # An agent that there is not has its own diagnostic.
    return agent is None or agent.supports_connections


def _check_leaks(draft: StepDraft, step: Step, connections: Set[str], catalog: Catalog) -> Iterator[Diagnostic]:
    code = _leak_of(step, catalog)
    if code is None:
        return
    for place in draft.places:
        used = _used(place, connections)
        if used:
            message = f"the credentials of {min(used)!r} would be stored or shown by {draft.key!r}"
            hint = "Hand them to an agent that works with connections, and to nothing else."
            yield diagnose(code, place.path, message, hint=hint)


def _leak_of(step: Step, catalog: Catalog) -> Code | None:
    """The diagnostic of credentials that come to the step; None where they may."""
    if isinstance(step, AgentStep):
        return None if _takes_connections(step, catalog) else Code.CREDENTIALS_TO_AGENT
    if isinstance(step, FinishStep):
        return Code.CREDENTIALS_IN_RESULT
    return Code.CREDENTIALS_IN_EVENT if isinstance(step, LogStep | ErrorStep) else Code.CREDENTIALS_TO_AGENT


def _check_unused(graph: GraphDraft, connections: Set[str]) -> Iterator[Diagnostic]:
    if not connections or any(step.step is None for step in graph.steps.values()):
        return  # What a step with structural mistakes uses is not known.
    places = chain(*(step.places for step in graph.steps.values()), *(edge.places for edge in graph.edges))
    used = {key for place in places for key in _used(place, connections)}
    for key in sorted(connections - used):
        message = f"the connection {key!r} is fetched and never used"
        yield diagnose(Code.CONNECTION_UNUSED, graph.steps[key].path, message)


def _used(place: Place, connections: Set[str]) -> frozenset[str]:
    """The connections among what a value looks up; ``steps`` alone is all of them."""
    paths = [path for path in place.paths if path[0] == "steps"]
    if ("steps",) in paths:
        return frozenset(connections)
    return frozenset(path[1] for path in paths if path[1] in connections)
