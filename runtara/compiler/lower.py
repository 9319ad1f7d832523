"""Lowering: from a valid scenario to a program, which says everything that the emitted code will say.

The program is plain data: its graphs, each of which becomes a function, with names of constants, resolved capabilities
and children, and the structured flow. What is left to the emitter is how Python looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from runtara.dsl.catalog import CapabilityInfo, Catalog
from runtara.dsl.children import Library
from runtara.dsl.draft import Draft, GraphDraft, StepDraft
from runtara.dsl.flow import Flow
from runtara.dsl.mappings import SchemaFields
from runtara.dsl.model import (
    RATE_LIMIT_BUDGET_MS_DEFAULT,
    AgentStep,
    ExecutionGraph,
    Scenario,
    StartScenarioStep,
    Step,
    graph_in,
)
from runtara.dsl.rules.scopes import flow_of
from runtara.dsl.rules.shape import graph_of
from runtara.dsl.validation import Examination
from runtara.dsl.ways import Ways

__all__ = ("PlannedChild", "PlannedGraph", "PlannedStep", "Program", "lower")

_RESERVED_NAMES: Final = frozenset({"SCENARIO", "SOURCE_MAP"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step, and what is decided about it."""

    step: Step
    path: str
    """Where it is in the document."""
    constant: str
    """Its name in the emitted code, in capitals."""
    ways: Ways
    capability: CapabilityInfo | None = None
    agent_id: str | None = None
    child: str | None = None
    """The name of the child that it starts: ``kid@1``."""
    tool_of: str | None = None
    """The AiAgent that calls it."""
    body: PlannedGraph | None = None
    """The graph that it runs."""
    raw_mapping: Any = None
    """Its inputs as they are written."""

    @property
    def mark(self) -> str:
        """The variable that says that the step is reached, where that is not certain."""
        return f"reached_{self.constant.lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedGraph:
    """A graph, which becomes a function."""

    function: str
    steps: Mapping[str, PlannedStep]
    """In the order in which a run may come to them; the tools behind the others."""
    flow: Flow
    document: ExecutionGraph | None = None
    """What the graph of a step says of itself; None for a scenario's own, which ``PlannedChild`` has."""
    constant: str | None = None
    """The name of that in the emitted code; None where it says nothing."""

    @property
    def with_bodies(self) -> Iterator[PlannedGraph]:
        """The graphs inside it, innermost first, and itself last."""
        for step in self.steps.values():
            if step.body is not None:
                yield from step.body.with_bodies
        yield self


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChild:
    """A child that is compiled in, or the scenario itself."""

    scenario_id: str
    version: int
    constant: str
    graph: ExecutionGraph
    body: PlannedGraph
    is_durable: bool

    @property
    def default_variables(self) -> dict[str, Any]:
        """The values of its variables when nothing sets them."""
        return {name: variable.value for name, variable in sorted(self.graph.variables.items())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The whole of it."""

    main: PlannedChild
    children: Mapping[str, PlannedChild]
    """By name; each after those that it starts."""
    debug: bool
    scenario: Scenario

    @property
    def graphs(self) -> tuple[PlannedGraph, ...]:
        """All graphs, those first that others use."""
        units = (*self.children.values(), self.main)
        return tuple(graph for unit in units for graph in unit.body.with_bodies)

    @property
    def steps(self) -> tuple[PlannedStep, ...]:
        """All steps."""
        return tuple(step for graph in self.graphs for step in graph.steps.values())

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it calls, as ``agent/capability``, sorted."""
        calls = {(s.agent_id, s.capability.id) for s in self.steps if s.capability is not None}
        return tuple(sorted(f"{agent}/{capability}" for agent, capability in calls))

    @property
    def has_side_effects(self) -> bool:
        """Whether any of its capabilities has."""
        return any(step.capability is not None and step.capability.has_side_effects for step in self.steps)

    @property
    def default_variables(self) -> dict[str, Any]:
        """The values of its variables when the input of a run sets none."""
        return self.main.default_variables

    @property
    def input_schema(self) -> SchemaFields:
        """What its data must be."""
        return self.main.graph.input_schema


def lower(
    examination: Examination, *, scenario_id: str, version: int, catalog: Catalog, library: Library, debug: bool = False
) -> Program:
    """The program of documents in which no error was found."""
    return _Lowering(examination, catalog, library).program(scenario_id, version, debug=debug)


@dataclass
class _Lowering:
    examination: Examination
    catalog: Catalog
    library: Library
    constants: set[str] = field(default_factory=lambda: set(_RESERVED_NAMES))
    functions: set[str] = field(default_factory=set)
    children: dict[str, PlannedChild] = field(default_factory=dict)

    def program(self, scenario_id: str, version: int, *, debug: bool) -> Program:
        """See ``lower``."""
        self.functions.add("main")
        draft = self.examination.draft
        scenario = draft.scenario()
        main = self._unit(draft, scenario_id, version, "SCENARIO", "main", "")
        return Program(main=main, children=self.children, debug=debug or scenario.debug_mode, scenario=scenario)

    def _unit(
        self, draft: Draft, scenario_id: str, version: int, constant: str, function: str, origin: str
    ) -> PlannedChild:
        assert draft.graph is not None
        scenario = draft.scenario()
        return PlannedChild(
            scenario_id=scenario_id,
            version=version,
            constant=constant,
            graph=scenario.execution_graph,
            body=self._graph(draft.graph, function, draft.tree_of_graph, origin),
            is_durable=scenario.durable and scenario.execution_graph.durable,
        )

    def _child(self, step: StartScenarioStep) -> str:
        """The name of the child that a step starts, which is in ``children`` then."""
        child = self.library.resolve(step.child_scenario_id, step.child_version)
        if child.name not in self.children:
            constant = self._constant(f"{child.scenario_id}_{child.version}")
            draft = self.examination.children[child.name]
            function = self._function(constant.lower())
            unit = self._unit(draft, child.scenario_id, child.version, constant, function, f"{child.name}:")
            self.children[child.name] = unit
        return child.name

    def _graph(
        self,
        draft: GraphDraft,
        function: str,
        tree: Mapping[str, Any],
        origin: str,
        document: ExecutionGraph | None = None,
    ) -> PlannedGraph:
        graph = graph_of(draft)
        assert graph is not None
        flow = flow_of(graph, draft)
        assert not flow.conflicts, flow.conflicts
        ways, tools = draft.ways, draft.tools
        order = (*graph.topological, *(key for key in draft.steps if key in tools))
        steps = {
            key: self._step(draft.steps[key], ways[key], tools.get(key), tree["steps"][key], origin) for key in order
        }
        constant = self._constant(f"{function}_graph") if document is not None and _says_anything(document) else None
        return PlannedGraph(function=function, steps=steps, flow=flow, document=document, constant=constant)

    def _step(
        self, draft: StepDraft, ways: Ways, tool_of: str | None, tree: Mapping[str, Any], origin: str
    ) -> PlannedStep:
        step = draft.step
        assert step is not None
        constant = self._constant(step.id)
        capability, agent_id = self._capability(step) if isinstance(step, AgentStep) else (None, None)
        return PlannedStep(
            step=step,
            path=origin + draft.path,
            constant=constant,
            ways=ways,
            capability=capability,
            agent_id=agent_id,
            child=self._child(step) if isinstance(step, StartScenarioStep) else None,
            tool_of=tool_of,
            body=self._body(draft, constant, tree, origin),
            raw_mapping=tree.get("inputMapping"),
        )

    def _body(self, draft: StepDraft, constant: str, tree: Mapping[str, Any], origin: str) -> PlannedGraph | None:
        if draft.subgraph is None:
            return None
        inner: Mapping[str, Any] = tree.get("subgraph", tree.get("onWait"))
        function = self._function(f"{constant.lower()}_body")
        return self._graph(draft.subgraph, function, inner, origin, graph_in(draft.step))

    def _capability(self, step: AgentStep) -> tuple[CapabilityInfo, str]:
        agent = self.catalog.find_agent(step.agent_id)
        assert agent is not None
        capability = agent.find_capability(step.capability_id)
        assert capability is not None
        return capability, agent.id

    def _constant(self, name: str) -> str:
        """A name for a step: its id as far as Python allows, with a number where two would be equal."""
        plain = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
        plain = plain if plain[:1].isalpha() else f"STEP_{plain}".rstrip("_")
        return _untaken(plain, self.constants)

    def _function(self, name: str) -> str:
        return _untaken(name, self.functions)


def _says_anything(graph: ExecutionGraph) -> bool:
    own = (graph.variables, graph.input_schema, graph.output_schema, not graph.durable)
    return any(own) or graph.rate_limit_budget_ms != RATE_LIMIT_BUDGET_MS_DEFAULT


def _untaken(name: str, taken: set[str]) -> str:
    found, number = name, 2
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    taken.add(found)
    return found
