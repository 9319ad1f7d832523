"""Reading: from bytes to a draft, which is as much of a scenario as its structural mistakes leave.

A draft lets the later checks speak about the good parts in the same breath: an author gets all mistakes at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NoReturn

from runtara.dsl.conditions import check_condition
from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, nearest
from runtara.dsl.mappings import SchemaFields, Variable
from runtara.dsl.model import ExecutionGraph, Scenario, Step, SwitchStep
from runtara.dsl.paths import child_path
from runtara.dsl.structure import check, convert, describe
from runtara.dsl.ways import PlainEdge, Ways, ways_of
from runtara.limits import SCENARIO_BYTES_MAX, SCENARIO_NESTING_MAX

__all__ = ("Document", "Draft", "EdgeDraft", "GraphDraft", "StepDraft", "read_draft")

Document = bytes | str | Mapping[str, Any]
"""A scenario as it comes from outside: JSON, or what JSON was decoded to."""


_SUBGRAPHS: Final = ("subgraph", "onWait")
"""The fields of steps that hold graphs."""


@dataclass(frozen=True, slots=True)
class StepDraft:
    """A step under its key. ``step`` is None when it has structural mistakes; ``kind`` is its type, or empty."""

    key: str
    path: str
    kind: str
    step: Step | None
    subgraph: GraphDraft | None = None
    """The graph that it runs, where it has one, as far as that could be read."""

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes of a Switch that branches; none for any other step."""
        if not isinstance(self.step, SwitchStep) or self.step.config is None:
            return ()
        return tuple(case.route for case in self.step.config.cases if case.route is not None)


@dataclass(frozen=True, slots=True)
class EdgeDraft:
    """An edge of which both ends could be read. Its condition is None when there is none, or it is malformed."""

    path: str
    source: str
    target: str
    label: str | None
    condition: Any
    is_conditional: bool
    priority: int


@dataclass(frozen=True)
class GraphDraft:
    """What could be read of an execution graph."""

    path: str
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
                yield PlainEdge(target, edge.label, edge.condition, edge.priority, edge.path)

    @cached_property
    def tools(self) -> Mapping[str, str]:
        """The steps that an AiAgent calls as tools or as its memory, each with the AiAgent."""
        return {edge.target: source for source, ways in self.ways.items() for edge in ways.tools}

    def meant(self, name: str) -> str | None:
        """The step of that name, or the one that was probably meant."""
        return name if name in self.steps else nearest(name, self.steps)

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

    def scenario(self) -> Scenario:
        """The typed document; nothing structural was found wrong with it."""
        tree = self.tree if self.is_wrapped else {"executionGraph": self.tree}
        scenario, diagnostics = convert(tree, Scenario, "$")
        assert isinstance(scenario, Scenario), diagnostics
        return scenario


def read_draft(document: Document) -> Draft:
    """As much as can be read. Never raises for a document, however broken it is."""
    draft = Draft()
    try:
        draft.tree = _decode(_as_text(document))
    except _Unreadable as error:
        draft.diagnostics.append(error.diagnostic)
        return draft
    draft.diagnostics += _keys_given_twice(draft.tree, "$")
    draft.diagnostics += check(draft.tree, Scenario if draft.is_wrapped else ExecutionGraph, "$")
    graph = draft.tree["executionGraph"] if draft.is_wrapped else draft.tree
    if isinstance(graph, dict):
        draft.graph = _read_graph(graph, "$.executionGraph" if draft.is_wrapped else "$")
    return draft


# ---- bytes to tree


class _Unreadable(Exception):
    def __init__(self, code: Code, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.diagnostic = diagnose(code, "$", message, hint=hint)


class _Object(dict[str, Any]):
    """A JSON object that remembers which keys were given twice."""

    twice: tuple[str, ...] = ()


def _as_text(document: Document) -> str:
    try:
        if isinstance(document, bytes):
            text = document.decode("utf-8")
        elif isinstance(document, str):
            text = document
        else:
            text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        size = len(text.encode("utf-8"))
    except (UnicodeError, TypeError, ValueError, RecursionError) as error:
        raise _Unreadable(Code.DOCUMENT_MALFORMED, f"the document is not JSON in UTF-8: {error}") from error
    if size > SCENARIO_BYTES_MAX:
        message = f"the document has {size} bytes, and {SCENARIO_BYTES_MAX} are allowed"
        raise _Unreadable(Code.LIMIT_EXCEEDED, message, hint="Divide the scenario.")
    return text


def _decode(text: str) -> Any:
    try:
        tree = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(tree, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise _Unreadable(Code.DOCUMENT_MALFORMED, f"the document is not JSON: {error}") from error
    if _is_deeper_than(tree, SCENARIO_NESTING_MAX):
        raise _too_deep()
    if not isinstance(tree, dict):
        raise _Unreadable(Code.TYPE_WRONG, f"a scenario is an object, not {describe(tree)}")
    return tree


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        made.twice = tuple(dict.fromkeys(key for key in keys if keys.count(key) > 1))
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large for a number")
    return number


def _too_deep() -> _Unreadable:
    message = f"the document is nested deeper than {SCENARIO_NESTING_MAX} levels"
    return _Unreadable(Code.LIMIT_EXCEEDED, message, hint="Divide the value or the condition.")


def _is_deeper_than(tree: Any, levels: int) -> bool:
    layer = [tree]
    for _ in range(levels):
        layer = [child for node in layer for _, child in _members(node)]
    return any(isinstance(node, dict | list) for node in layer)


def _keys_given_twice(tree: Any, path: str) -> Iterator[Diagnostic]:
    if isinstance(tree, _Object):
        for name in tree.twice:
            yield diagnose(Code.KEY_GIVEN_TWICE, child_path(path, name), f"the key {name!r} is given twice")
    for key, value in _members(tree):
        yield from _keys_given_twice(value, child_path(path, key))


def _members(node: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(node, dict):
        return node.items()
    return enumerate(node) if isinstance(node, list) else ()


# ---- tree to draft


def _read_graph(tree: dict[str, Any], path: str) -> GraphDraft:
    entry_point = tree.get("entryPoint")
    plan = tree.get("executionPlan", [])
    edges = tuple(_read_edges(plan, child_path(path, "executionPlan")))
    return GraphDraft(
        path=path,
        steps=dict(_read_steps(tree.get("steps"), child_path(path, "steps"))),
        edges=edges,
        has_all_edges=isinstance(plan, list) and len(edges) == len(plan),
        entry_point=entry_point if isinstance(entry_point, str) else None,
        variables=dict(_read_variables(tree.get("variables"), child_path(path, "variables"))),
        input_schema=convert(tree.get("inputSchema", {}), SchemaFields, path)[0],
        output_schema=convert(tree.get("outputSchema", {}), SchemaFields, path)[0],
    )


def _read_steps(tree: Any, path: str) -> Iterator[tuple[str, StepDraft]]:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        step = convert(value, Step, child_path(path, key))[0]
        fields = value if isinstance(value, dict) else {}
        subgraph = _read_subgraph(fields, child_path(path, key))
        kind = _text(fields, "stepType") or ""
        yield key, StepDraft(key=key, path=child_path(path, key), kind=kind, step=step, subgraph=subgraph)


def _read_subgraph(step: dict[str, Any], path: str) -> GraphDraft | None:
    found = ((name, step[name]) for name in _SUBGRAPHS if isinstance(step.get(name), dict))
    return next((_read_graph(tree, child_path(path, name)) for name, tree in found), None)


def _read_edges(tree: Any, path: str) -> Iterator[EdgeDraft]:
    for index, value in enumerate(tree if isinstance(tree, list) else ()):
        source, target, label = (_text(value, name) for name in ("fromStep", "toStep", "label"))
        if source is not None and target is not None:
            edge_path = child_path(path, index)
            condition, priority = value.get("condition"), value.get("priority")
            is_sound = condition is not None and not any(check_condition(condition, edge_path))
            yield EdgeDraft(
                path=edge_path,
                source=source,
                target=target,
                label=label,
                condition=condition if is_sound else None,
                is_conditional=condition is not None,
                priority=priority if type(priority) is int else 0,
            )


def _text(tree: Any, name: str) -> str | None:
    value = tree.get(name) if isinstance(tree, dict) else None
    return value if isinstance(value, str) else None


def _read_variables(tree: Any, path: str) -> Iterator[tuple[str, Variable | None]]:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield key, convert(value, Variable, child_path(path, key))[0]
