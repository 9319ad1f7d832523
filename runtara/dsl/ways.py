"""Ways: what the labels, conditions and priorities of edges mean for the steps that they leave.

Every edge lies on one way out of its step. A step goes along one way when it chooses (Conditional, Switch with routes,
edges with conditions), along ``next`` when it does not, and along a way that begins with ``onError`` when it failed.
Edges to the tools and the memory of an AiAgent are no ways: the step itself calls what is there.
Sources: dsl.md §1.3, §2.1, §3.4, §7.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = (
    "DEFAULT_ROUTE",
    "ERROR_KINDS",
    "NEXT",
    "ON_ERROR",
    "PlainEdge",
    "Ways",
    "is_error_way",
    "is_next_label",
    "ways_of",
)

NEXT: Final = "next"
ON_ERROR: Final = "onError"
DEFAULT_ROUTE: Final = "default"

ERROR_KINDS: Final = frozenset(
    {
        "Agent",
        "AiAgent",
        "Connection",
        "Delay",
        "Filter",
        "GroupBy",
        "Log",
        "Split",
        "StartScenario",
        "Switch",
        "WaitForSignal",
        "While",
    }
)
"""The steps whose failure can be handled: all that can fail and do not end or only branch."""


@dataclass(frozen=True, slots=True)
class PlainEdge:
    """What counts of an edge here."""

    target: str
    label: str | None
    condition: Any
    priority: int
    path: str


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways out of one step."""

    targets: Mapping[str, tuple[PlainEdge, ...]]
    """The edges on each way, in the order in which the ways are asked."""
    forks: tuple[str, ...]
    """The ways among which the step chooses, where it chooses; also those without edges."""
    handlers: tuple[str, ...]
    """The ways of its failure, in the order in which they are asked."""
    tools: tuple[PlainEdge, ...] = ()
    """The edges of an AiAgent that are called, not gone along."""

    def condition_of(self, way: str) -> PlainEdge | None:
        """The edge whose condition decides about the way; None where nothing is asked."""
        return next((edge for edge in self.targets.get(way, ()) if edge.condition is not None), None)


def is_next_label(label: str | None) -> bool:
    """Whether an edge with that label is the ordinary way on."""
    return label in (None, "", NEXT)


def is_error_way(way: str) -> bool:
    """Whether the way is that of a failure."""
    return way.partition(":")[0] == ON_ERROR


def ways_of(kind: str, routes: tuple[str, ...], edges: Iterable[PlainEdge]) -> Ways:
    """The ways out of a step.

    Args:
        kind: Its ``stepType``.
        routes: Of a Switch: the routes of its cases; empty, when it does not branch.
        edges: All edges that leave it.
    """
    edges = tuple(edges)
    if kind == "Conditional":
        return _labelled(("true", "false"), edges)
    if routes:
        return _labelled((*dict.fromkeys(routes), DEFAULT_ROUTE), edges)
    others = [edge for edge in edges if edge.label != ON_ERROR]
    tools = [edge for edge in others if kind == "AiAgent" and not is_next_label(edge.label)]
    # A label without a meaning has its own diagnostic; the edge is taken for what was probably meant.
    onward = dict(_ordered(NEXT, [edge for edge in others if kind != "AiAgent" or is_next_label(edge.label)]))
    failing = dict(_ordered(ON_ERROR, [edge for edge in edges if edge.label == ON_ERROR]))
    chooses = any(way != NEXT for way in onward)
    return Ways(
        targets=onward | failing,
        forks=(*(way for way in onward if way != NEXT), NEXT) if chooses else (),
        handlers=tuple(failing),
        tools=tuple(tools),
    )


def _labelled(labels: tuple[str, ...], edges: tuple[PlainEdge, ...]) -> Ways:
    """Branches by label. The failure of a Switch may be handled beside them; an edge without a label has no way."""
    by_label: dict[str | None, list[PlainEdge]] = {}
    for edge in edges:
        by_label.setdefault(edge.label, []).append(edge)
    targets = {label: tuple(by_label.get(label, ())) for label in labels}
    failing = dict(_ordered(ON_ERROR, by_label.get(ON_ERROR, []) if ON_ERROR not in labels else []))
    return Ways(targets=targets | failing, forks=labels, handlers=tuple(failing))


def _ordered(way: str, edges: list[PlainEdge]) -> Iterator[tuple[str, tuple[PlainEdge, ...]]]:
    """A way for each condition, by falling priority, then one for all edges without."""
    asked = sorted((edge for edge in edges if edge.condition is not None), key=lambda edge: -edge.priority)
    for number, edge in enumerate(asked):
        yield f"{way}:{number}", (edge,)
    unconditional = tuple(edge for edge in edges if edge.condition is None)
    if unconditional:
        yield way, unconditional
