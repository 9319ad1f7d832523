"""Scopes: what references can begin with in a graph, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from runtara.dsl.catalog import Catalog
from runtara.dsl.draft import GraphDraft, StepDraft
from runtara.dsl.flow import Flow, structure
from runtara.dsl.graph import Graph
from runtara.dsl.mappings import SchemaFields
from runtara.dsl.model import SplitStep
from runtara.dsl.rules.shape import graph_of, steps_of_kind
from runtara.dsl.values import steps_in
from runtara.dsl.ways import is_error_way

__all__ = ("BUILT_IN_VARIABLES", "ERROR_ROOTS", "Scope", "flow_of", "inner_scope", "root_scope")

BUILT_IN_VARIABLES: Final = ("_scenario_id", "_instance_id", "_tenant_id")
"""Always there under ``variables``."""

ERROR_ROOTS: Final = ("error", "__error")
"""What the handlers of failures have besides, also below ``steps``."""

_LOOP_VARIABLES: Final = ("_index", "_loop_indices", "_scope_id")

_ROOTS: Final = ("data", "variables", "steps", "scenario")


def flow_of(graph: Graph, draft: GraphDraft) -> Flow:
    """The plan of a graph that has no cycle."""
    ways = {step: found for step, found in draft.ways.items() if step in graph.reach}
    return structure(
        graph,
        forks={step: found.forks for step, found in ways.items() if found.forks},
        ends=steps_of_kind(draft, "Finish", "Error") & graph.reach.keys(),
        needs={step: frozenset(_needs(graph, draft, step)) for step in ways},
        handlers={step: found.handlers for step, found in ways.items() if found.handlers},
    )


def _needs(graph: Graph, draft: GraphDraft, key: str) -> Iterator[str]:
    """The steps whose results the step, its tools, and the conditions of its edges refer to."""
    steps = (key, *(edge.target for edge in draft.ways[key].tools))
    places = (place for step in steps for place in draft.steps[step].places)
    asked = (place for edge in draft.edges_from[key] for place in edge.places)
    for other in steps_in((*places, *asked)) - {key}:
        if other in graph.reach and other not in graph.reach[key]:
            yield other


@dataclass(frozen=True)
class Scope:
    """One graph, from the inside."""

    draft: GraphDraft
    catalog: Catalog
    data: SchemaFields = field(default_factory=dict)
    """What is known of ``data``; empty when nothing is."""
    variables: tuple[str, ...] = BUILT_IN_VARIABLES
    """Those that come from outside of the graph."""
    roots: tuple[str, ...] = _ROOTS
    outer_steps: frozenset[str] = frozenset()
    """The steps of the graphs around it, which cannot be seen from here."""

    @cached_property
    def all_variables(self) -> tuple[str, ...]:
        """The names under ``variables``."""
        return tuple(dict.fromkeys((*self.draft.variables, *self.variables)))

    @cached_property
    def graph(self) -> Graph | None:
        """The graph, if it has an entry and no cycle."""
        graph = graph_of(self.draft)
        return None if graph is None or graph.find_cycle() is not None else graph

    @cached_property
    def flow(self) -> Flow | None:
        """The plan of that graph."""
        return None if self.graph is None else flow_of(self.graph, self.draft)

    @cached_property
    def handling(self) -> frozenset[str]:
        """The steps that a run comes to through the failure of another."""
        graph = graph_of(self.draft)
        if graph is None:
            return frozenset()
        return graph.reached_from(link.target for link in graph.links if is_error_way(link.way))


def root_scope(draft: GraphDraft, catalog: Catalog) -> Scope:
    """The scope of a scenario's graph."""
    return Scope(draft, catalog, data=draft.input_schema or {})


def inner_scope(step: StepDraft, outer: Scope) -> Scope | None:
    """The scope of the graph that a step runs; None when it has none."""
    if step.subgraph is None:
        return None
    variables, roots, data = outer.all_variables, outer.roots, outer.data
    if step.kind == "Split":
        variables = (*variables, *step.loop_variables, *_LOOP_VARIABLES)
        roots = (*roots, "item", "iteration", "loop")
        # Of a Split with structural mistakes it is not known what its items are.
        data = step.step.input_schema if isinstance(step.step, SplitStep) else {}
    elif step.kind == "While":
        variables = (*variables, *step.loop_variables, *_LOOP_VARIABLES, "_previousOutputs", "_loop")
        roots = (*roots, "iteration", "loop")
    elif step.kind == "WaitForSignal":
        variables = (*variables, "_signal_id")
    return Scope(
        step.subgraph,
        outer.catalog,
        data=step.subgraph.input_schema or data,
        variables=tuple(dict.fromkeys(variables)),
        roots=tuple(dict.fromkeys(roots)),
        outer_steps=outer.outer_steps | frozenset(outer.draft.steps),
    )
