"""What there is to draw: the steps of a graph and its arrows, with the graphs inside of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from runtara.dsl.diagnostics import raise_errors
from runtara.dsl.draft import Document, EdgeDraft, GraphDraft, StepDraft
from runtara.dsl.drawing.captions import caption_of, condition_text
from runtara.dsl.reading import read_draft
from runtara.dsl.step_types import STEP_TYPES
from runtara.dsl.ways import ON_ERROR, is_next_label

__all__ = ("START", "Arrow", "Node", "Picture", "picture_of")

START: Final = "%start"
"""The key of the dot where a run comes in; no step has it."""


@dataclass(frozen=True, slots=True)
class Node:
    """A step, or the start."""

    key: str
    """The ids of the step and of those around it, divided by slashes."""
    kind: str
    """Its ``stepType``; ``Start`` for the start, empty for what could not be read."""
    category: str
    title: str
    caption: str = ""
    inner: Picture | None = None


@dataclass(frozen=True, slots=True)
class Arrow:
    """All edges of the same sort between two steps."""

    source: str
    target: str
    label: str = ""
    is_failure: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """One graph."""

    title: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]


def picture_of(document: Document) -> Picture:
    """The picture of a document, as far as it can be read.

    Raises:
        ScenarioInvalid: nothing of it can be.
    """
    draft = read_draft(document)
    if draft.graph is None or not isinstance(draft.tree, dict):
        raise_errors(draft.diagnostics)
    assert draft.graph is not None
    tree = draft.tree_of_graph
    name = tree.get("name")
    return _picture(draft.graph, tree, prefix="", title=name if isinstance(name, str) else "")


def _picture(graph: GraphDraft, tree: Mapping[str, Any], *, prefix: str, title: str) -> Picture:
    nodes = [_node(step, _tree_of(tree, key), prefix) for key, step in graph.steps.items()]
    arrows = list(_arrows(graph, prefix))
    if graph.entry_point is not None and graph.entry_point in graph.steps:
        nodes.insert(0, Node(key=prefix + START, kind="Start", category="control", title="Start"))
        arrows.insert(0, Arrow(prefix + START, prefix + graph.entry_point))
    return Picture(title, tuple(nodes), tuple(arrows))


def _tree_of(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    step = tree["steps"][key]
    return step if isinstance(step, dict) else {}


def _node(step: StepDraft, tree: Mapping[str, Any], prefix: str) -> Node:
    key = prefix + step.key
    inner = None if step.subgraph is None else _picture(step.subgraph, _inside(tree), prefix=f"{key}/", title="")
    name = tree.get("name")
    return Node(
        key=key,
        kind=step.kind,
        category=STEP_TYPES[step.kind].category if step.kind in STEP_TYPES else "control",
        title=name if isinstance(name, str) and name else step.key,
        caption=caption_of(step.kind, tree),
        inner=inner,
    )


def _inside(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON of the graph that a step runs."""
    graph: Mapping[str, Any] = next(step[name] for name in ("subgraph", "onWait") if isinstance(step.get(name), dict))
    return graph


# ---- arrows


def _arrows(graph: GraphDraft, prefix: str) -> Iterator[Arrow]:
    """Edges between the same two steps are one arrow: their labels stand beside each other."""
    labels: dict[tuple[str, str, bool], list[str]] = {}
    for edge in graph.edges:
        if edge.source in graph.steps and edge.target in graph.steps:
            ends = (prefix + edge.source, prefix + edge.target, edge.label == ON_ERROR)
            labels.setdefault(ends, []).append(_label(edge))
    for (source, target, is_failure), found in labels.items():
        yield Arrow(source, target, ", ".join(dict.fromkeys(filter(None, found))), is_failure)


def _label(edge: EdgeDraft) -> str:
    label = "" if is_next_label(edge.label) else str(edge.label)
    condition = "" if edge.condition is None else f"if {condition_text(edge.condition)}"
    return " ".join(filter(None, (label, condition)))
