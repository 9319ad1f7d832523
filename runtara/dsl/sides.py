"""Sides: handlers of failures from which no way leads back, so that they end the graph.

A side may be that of one step, or shared by several: then the plan holds a copy for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Final

from runtara.dsl.graph import Graph

__all__ = ("Sides", "find_sides")

_COPIES_MAX: Final = 10_000
"""So many copies of steps may stand in a plan because handlers are shared."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Which handlers are sides."""

    ways: Mapping[str, tuple[str, ...]]
    """The steps with sides, each with the ways that lead into them."""
    shared: Mapping[str, tuple[str, ...]]
    """Those among them whose side is shared, each with the first steps of it."""


def find_sides(graph: Graph, handlers: Mapping[str, tuple[str, ...]]) -> Sides:
    """The sides among the handlers of an acyclic graph, which are the ways of each step's failure."""
    handlers = {step: ways for step, ways in handlers.items() if step in graph.reach}
    own = {step: ways for step, ways in handlers.items() if _is_own(graph, step, ways)}
    shared = _shared(graph, {step: ways for step, ways in handlers.items() if step not in own})
    return Sides(own | {step: handlers[step] for step in shared}, shared)


def _is_own(graph: Graph, step: str, ways: tuple[str, ...]) -> bool:
    first = tuple(target for way in ways for target in graph.targets(step, way))
    return _is_closed(graph, _with_all_after(graph, first), {(step, way) for way in ways})


def _shared(graph: Graph, handlers: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    sharing: dict[tuple[str, ...], list[str]] = {}
    for step, ways in handlers.items():
        if len(ways) == 1:
            sharing.setdefault(graph.targets(step, ways[0]), []).append(step)
    shared: dict[str, tuple[str, ...]] = {}
    taken: set[str] = set()
    copies = 0
    # The outermost first: copies inside of copies would grow without bound, so those inside are branches.
    for first in sorted(sharing, key=lambda first: -len(_with_all_after(graph, first))):
        handling, steps = _with_all_after(graph, first), sharing[first]
        failures = {(step, handlers[step][0]) for step in steps}
        more = len(handling) * len(steps)
        if copies + more <= _COPIES_MAX and taken.isdisjoint(steps) and _is_closed(graph, handling, failures):
            shared |= dict.fromkeys(steps, first)
            taken |= handling
            copies += more
    return shared


def _with_all_after(graph: Graph, steps: tuple[str, ...]) -> frozenset[str]:
    return frozenset(steps).union(*(graph.reach[step] for step in steps))


def _is_closed(graph: Graph, handling: frozenset[str], failures: Set[tuple[str, str]]) -> bool:
    """Whether nothing but these failures leads to these steps."""
    return all(
        link.source in handling or (link.source, link.way) in failures
        for target in handling
        for link in graph.into[target]
        if link.source in graph.reach
    )
