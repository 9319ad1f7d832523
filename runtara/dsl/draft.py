"""Drafts: as much of a scenario as its structural mistakes leave.

A draft lets the later checks speak about the good parts in the same breath: an author gets all mistakes at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, Final

import msgspec

from runtara.dsl.diagnostics import Diagnostic, nearest
from runtara.dsl.mappings import SchemaFields, Variable
from runtara.dsl.model import Scenario, Step
from runtara.dsl.paths import child_path
from runtara.dsl.values import Place, iter_condition, iter_values
from runtara.dsl.ways import DEFAULT_ROUTE, PlainEdge, Ways, ways_of

__all__ = ("Document", "Draft", "EdgeDraft", "GraphDraft", "StepDraft")

Document = bytes | str | Mapping[str, Any]
"""A scenario as it comes from outside: JSON, or what JSON was decoded to."""

_GUESSES_MAX: Final = 100
"""Who misspells more steps than that gets no guesses that are worth their time."""

_ANY_CONDITION: Final[Mapping[str, Any]] = {"type": "operation", "op": "AND", "arguments": []}


@dataclass(frozen=True)
class StepDraft:
    """A step under its key. ``step`` is None when it has structural mistakes; ``kind`` is its type, or empty."""

    key: str
    path: str
    kind: str
    step: Step | None
    subgraph: GraphDraft | None = None
    """The graph that it runs, where it has one, as far as that could be read."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The JSON of its config: some of it is good, whatever mistakes are in the rest."""

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Its values, except those of its graph."""
        return () if self.step is None else tuple(iter_values(self.step, self.path))

    @cached_property
    def routes(self) -> tuple[str, ...]:
        """The routes of a Switch that branches; none for any other step."""
        cases = self.config.get("cases") if self.kind == "Switch" else None
        routes = (case.get("route") for case in cases if isinstance(case, dict)) if isinstance(cases, list) else ()
        return tuple(route for route in routes if isinstance(route, str))

    @cached_property
    def branches(self) -> Mapping[str, None]:
        """The labels among which a step chooses by itself, in their order; empty for one that does not."""
        if self.kind == "Conditional":
            return dict.fromkeys(("true", "false"))
        return dict.fromkeys((*self.routes, DEFAULT_ROUTE) if self.routes else ())

    @property
    def loop_variables(self) -> tuple[str, ...]:
        """The variables that the config of a loop gives to its graph."""
        variables = self.config.get("variables")
        return tuple(variables) if isinstance(variables, dict) else ()


@dataclass(frozen=True)
class EdgeDraft:
    """An edge of which both ends could be read. Its condition is None when there is none, or it is malformed."""

    path: str
    source: str
    target: str
    label: str | None
    condition: Any
    is_conditional: bool
    priority: int

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The values of its condition."""
        path = child_path(self.path, "condition")
        return () if self.condition is None else tuple(iter_condition(self.condition, path))

    @property
    def asked(self) -> Any:
        """Its condition; in place of one that is malformed, some other: the edge still is one that is asked."""
        return _ANY_CONDITION if self.is_conditional and self.condition is None else self.condition


@dataclass(frozen=True)
class GraphDraft:
    """What could be read of an execution graph."""

    path: str
    depth: int
    """1, and 1 more for each graph around it."""
    steps: Mapping[str, StepDraft]
    edges: tuple[EdgeDraft, ...]
    has_all_edges: bool
    """False when an edge had to be left out: then what follows from missing edges is not certain."""
    entry_point: str | None
    variables: Mapping[str, Variable | None]
    input_schema: SchemaFields | None
    """None when it could not be read."""
    output_schema: SchemaFields | None

    @cached_property
    def edges_from(self) -> Mapping[str, list[EdgeDraft]]:
        """The edges that leave each step."""
        found: dict[str, list[EdgeDraft]] = {step: [] for step in self.steps}
        for edge in self.edges:
            source = self.meant(edge.source)
            if source is not None:
                found[source].append(edge)
        return found

    @cached_property
    def ways(self) -> Mapping[str, Ways]:
        """The ways out of each step."""
        return {key: ways_of(step.kind, step.routes, self._plain_edges(key)) for key, step in self.steps.items()}

    def _plain_edges(self, source: str) -> Iterator[PlainEdge]:
        for edge in self.edges_from[source]:
            target = self.meant(edge.target)
            if target is not None:
                yield PlainEdge(target, edge.label, edge.asked, edge.priority, edge.path)

    @cached_property
    def tools(self) -> Mapping[str, str]:
        """The steps that an AiAgent calls as tools or as its memory, each with the AiAgent."""
        return {edge.target: source for source, ways in self.ways.items() for edge in ways.tools}

    def meant(self, name: str) -> str | None:
        """The step of that name, or the one that was probably meant; names beyond the first few are not guessed."""
        return name if name in self.steps else self._guesses.get(name)

    @cached_property
    def _guesses(self) -> Mapping[str, str | None]:
        names = (name for edge in self.edges for name in (edge.source, edge.target))
        unknown = dict.fromkeys(name for name in (self.entry_point or "", *names) if name not in self.steps)
        return {name: nearest(name, self.steps) for name in islice(unknown, _GUESSES_MAX)}

    @cached_property
    def with_subgraphs(self) -> tuple[GraphDraft, ...]:
        """This graph, and all inside it."""
        inner = (step.subgraph for step in self.steps.values() if step.subgraph is not None)
        return (self, *(graph for subgraph in inner for graph in subgraph.with_subgraphs))


@dataclass(slots=True)
class Draft:
    """What could be read of a scenario, and what is wrong with the rest."""

    tree: Any = None
    graph: GraphDraft | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)

    @property
    def is_wrapped(self) -> bool:
        """Whether the document has anything around its execution graph."""
        return isinstance(self.tree, dict) and "executionGraph" in self.tree

    @property
    def tree_of_graph(self) -> dict[str, Any]:
        """The JSON of the execution graph."""
        graph: dict[str, Any] = self.tree["executionGraph"] if self.is_wrapped else self.tree
        return graph

    @property
    def graphs(self) -> tuple[GraphDraft, ...]:
        """Its graph, and all inside it; none when it could not be read."""
        return () if self.graph is None else self.graph.with_subgraphs

    def scenario(self) -> Scenario:
        """The typed document; nothing structural was found wrong with it."""
        return msgspec.convert(self.tree if self.is_wrapped else {"executionGraph": self.tree}, Scenario)
