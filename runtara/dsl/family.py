"""A family: a scenario and all children that it starts, itself or through others, each read once.

Reading ends where the family is larger than allowed: a library is not read for nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from runtara.dsl.children import Child, ChildMissing, Library
from runtara.dsl.draft import Draft, GraphDraft
from runtara.dsl.model import StartScenarioStep
from runtara.dsl.reading import read_draft
from runtara.limits import SCENARIO_EDGES_MAX, SCENARIO_STEPS_MAX

__all__ = ("MAIN", "Family", "read_family")

MAIN: Final = ""
"""The name of the scenario itself; children are ``id@version``."""


@dataclass(frozen=True)
class Family:
    """The scenario and its children, as far as they were read."""

    library: Library
    drafts: Mapping[str, Draft]
    """By name, the scenario itself first."""
    starts: Mapping[str, Mapping[str, int]]
    """For each, the names of the children that it starts, each with the number of graphs around the step."""

    @property
    def children(self) -> Mapping[str, Draft]:
        """All but the scenario itself."""
        return {name: draft for name, draft in self.drafts.items() if name != MAIN}

    def child_of(self, step: StartScenarioStep) -> Child:
        """The child that a step means. Raises ``ChildMissing``: there is none."""
        return self.library.resolve(step.child_scenario_id, step.child_version)

    def graph_of(self, child: Child) -> GraphDraft | None:
        """The graph of a child; None when it could not be read."""
        draft = self.drafts.get(child.name)
        return None if draft is None else draft.graph

    @property
    def steps(self) -> int:
        """The steps of all of them, those in their loops as well."""
        return sum(len(graph.steps) for draft in self.drafts.values() for graph in draft.graphs)

    @property
    def edges(self) -> int:
        """The edges of all of them."""
        return sum(len(graph.edges) for draft in self.drafts.values() for graph in draft.graphs)

    def circle(self, child: str, name: str) -> tuple[str, ...] | None:
        """The way from ``name`` over a child that it starts back to itself; None where none leads back."""
        if child == name:
            return (name, name)
        towards, walk = self._towards(name), [name, child]
        while walk[-1] != name:
            if walk[-1] not in towards:
                return None
            walk.append(towards[walk[-1]])
        return tuple(walk)

    def _towards(self, name: str) -> Mapping[str, str]:
        """For each from which a way leads to ``name``: the next one on that way."""
        towards: dict[str, str] = {}
        queue = deque([name])
        while queue:
            target = queue.popleft()
            for source in self._started_by.get(target, ()):
                if source not in towards:
                    towards[source] = target
                    queue.append(source)
        return towards

    @cached_property
    def _started_by(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for name, starts in self.starts.items():
            for child in starts:
                found.setdefault(child, []).append(name)
        return {name: tuple(sources) for name, sources in found.items()}

    @cached_property
    def nesting(self) -> int:
        """The most graphs that are inside each other, those of children as well; circles are gone through once."""
        deepest = {name: max((graph.depth for graph in draft.graphs), default=0) for name, draft in self.drafts.items()}
        for name in self._innermost_first:
            inside = (depth + deepest[child] for child, depth in self.starts[name].items() if child in deepest)
            deepest[name] = max((deepest[name], *inside))
        return deepest[MAIN]

    @cached_property
    def _innermost_first(self) -> tuple[str, ...]:
        """Each after all that it starts, where there are no circles."""
        order: dict[str, None] = {}
        trail: list[tuple[str, Iterator[str]]] = [(MAIN, iter(self.starts[MAIN]))]
        seen = {MAIN}
        while trail:
            child = next((child for child in trail[-1][1] if child in self.starts and child not in seen), None)
            if child is None:
                order[trail.pop()[0]] = None
            else:
                seen.add(child)
                trail.append((child, iter(self.starts[child])))
        return tuple(order)


def read_family(draft: Draft, library: Library) -> Family:
    """The scenario of a draft with its children."""
    drafts, starts = {MAIN: draft}, {MAIN: _children_of(draft, library)}
    queue, budget = deque(starts[MAIN].values()), _Budget()
    budget.spend(draft)
    while queue and not budget.is_spent:
        child, _ = queue.popleft()
        if child.name not in drafts:
            drafts[child.name] = read = read_draft(child.document)
            budget.spend(read)
            starts[child.name] = _children_of(read, library)
            queue += starts[child.name].values()
    names = {name: {child.name: depth for child, depth in found.values()} for name, found in starts.items()}
    return Family(library, drafts, names)


@dataclass(slots=True)
class _Budget:
    """How much of a family may still be read."""

    steps: int = SCENARIO_STEPS_MAX
    edges: int = SCENARIO_EDGES_MAX

    @property
    def is_spent(self) -> bool:
        return self.steps < 0 or self.edges < 0

    def spend(self, draft: Draft) -> None:
        self.steps -= sum(len(graph.steps) for graph in draft.graphs)
        self.edges -= sum(len(graph.edges) for graph in draft.graphs)


def _children_of(draft: Draft, library: Library) -> dict[str, tuple[Child, int]]:
    """The children that a document starts, by name, each with the depth of the deepest step that starts it."""
    found: dict[str, tuple[Child, int]] = {}
    for graph in sorted(draft.graphs, key=lambda graph: graph.depth):
        for step in graph.steps.values():
            if isinstance(step.step, StartScenarioStep):
                try:
                    child = library.resolve(step.step.child_scenario_id, step.step.child_version)
                except ChildMissing:
                    continue
                found[child.name] = (child, graph.depth)
    return found
