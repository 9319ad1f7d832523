"""Lowering: from a valid scenario to a program, which says everything that the emitted code will say.

The program is plain data: names of constants, resolved capabilities, and the structured flow. What is left to the
emitter is how Python looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from runtara.dsl.catalog import CapabilityInfo, Catalog
from runtara.dsl.draft import Draft
from runtara.dsl.flow import Flow
from runtara.dsl.model import AgentStep, ExecutionGraph, Step
from runtara.dsl.rules.references import flow_of
from runtara.dsl.rules.shape import graph_of

__all__ = ("PlannedStep", "Program", "lower")

_RESERVED_NAMES: Final = frozenset({"SCENARIO", "SOURCE_MAP"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step, and what is decided about it."""

    step: Step
    path: str
    """Where it is in the document."""
    constant: str
    """Its name in the emitted code, in capitals."""
    capability: CapabilityInfo | None = None
    agent_id: str | None = None

    @property
    def mark(self) -> str:
        """The variable that says that the step is reached, where that is not certain."""
        return f"reached_{self.constant.lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The whole of it."""

    scenario_id: str
    version: int
    graph: ExecutionGraph
    steps: Mapping[str, PlannedStep]
    """In the order in which a run may come to them."""
    flow: Flow

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it calls, as ``agent/capability``, sorted."""
        calls = {(s.agent_id, s.capability.id) for s in self.steps.values() if s.capability is not None}
        return tuple(sorted(f"{agent}/{capability}" for agent, capability in calls))

    @property
    def has_side_effects(self) -> bool:
        """Whether any of its capabilities has."""
        return any(step.capability is not None and step.capability.has_side_effects for step in self.steps.values())

    @property
    def default_variables(self) -> dict[str, Any]:
        """The values of its variables when the input of a run sets none."""
        return {name: variable.value for name, variable in sorted(self.graph.variables.items())}


def lower(draft: Draft, *, scenario_id: str, version: int, catalog: Catalog) -> Program:
    """The program of a draft in which no error was found."""
    assert draft.graph is not None
    graph = graph_of(draft.graph)
    assert graph is not None
    flow = flow_of(graph, draft.graph)
    assert not flow.conflicts, flow.conflicts
    constants = _constants(graph.topological)
    steps = {}
    for key in graph.topological:
        found = draft.graph.steps[key]
        assert found.step is not None
        steps[key] = _planned(found.step, found.path, constants[key], catalog)
    return Program(
        scenario_id=scenario_id,
        version=version,
        graph=draft.scenario().execution_graph,
        steps=steps,
        flow=flow,
    )


def _planned(step: Step, path: str, constant: str, catalog: Catalog) -> PlannedStep:
    if not isinstance(step, AgentStep):
        return PlannedStep(step=step, path=path, constant=constant)
    agent = catalog.find_agent(step.agent_id)
    assert agent is not None
    capability = agent.find_capability(step.capability_id)
    assert capability is not None
    return PlannedStep(step=step, path=path, constant=constant, capability=capability, agent_id=agent.id)


def _constants(step_ids: Iterable[str]) -> dict[str, str]:
    """A name for each step: its id as far as Python allows, with a number where two would be equal."""
    taken, constants = set(_RESERVED_NAMES), {}
    for step_id in step_ids:
        plain = re.sub(r"[^A-Z0-9]+", "_", step_id.upper()).strip("_")
        plain = plain if plain[:1].isalpha() else f"STEP_{plain}".rstrip("_")
        name, number = plain, 2
        while name in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name)
        constants[step_id] = name
    return constants
