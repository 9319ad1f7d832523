"""Reading: from bytes to a draft, which is as much of a scenario as its structural mistakes leave.

A draft lets the later checks speak about the good parts in the same breath: an author gets all mistakes at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from runtara.dsl.diagnostics import Code, Diagnostic, diagnose
from runtara.dsl.model import ExecutionGraph, Scenario, Step, Variable
from runtara.dsl.paths import child_path
from runtara.dsl.structure import check, convert, describe
from runtara.limits import SCENARIO_BYTES_MAX, SCENARIO_NESTING_MAX

__all__ = ("Document", "Draft", "EdgeDraft", "GraphDraft", "StepDraft", "read_draft")

Document = bytes | str | Mapping[str, Any]
"""A scenario as it comes from outside: JSON, or what JSON was decoded to."""


@dataclass(frozen=True, slots=True)
class StepDraft:
    """A step under its key. ``step`` is None when it has structural mistakes; ``kind`` is what it says it is."""

    key: str
    path: str
    kind: Any
    step: Step | None


@dataclass(frozen=True, slots=True)
class EdgeDraft:
    """An edge of which both ends could be read."""

    path: str
    source: str
    target: str
    label: str | None


@dataclass(frozen=True, slots=True)
class GraphDraft:
    """What could be read of an execution graph."""

    path: str
    steps: Mapping[str, StepDraft]
    edges: tuple[EdgeDraft, ...]
    has_all_edges: bool
    """False when an edge had to be left out: then what follows from missing edges is not certain."""
    entry_point: str | None
    variables: Mapping[str, Variable | None]


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
    )


def _read_steps(tree: Any, path: str) -> Iterator[tuple[str, StepDraft]]:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        step = convert(value, Step, child_path(path, key))[0]
        kind = value.get("stepType") if isinstance(value, dict) else None
        yield key, StepDraft(key=key, path=child_path(path, key), kind=kind, step=step)


def _read_edges(tree: Any, path: str) -> Iterator[EdgeDraft]:
    for index, value in enumerate(tree if isinstance(tree, list) else ()):
        source, target, label = (_text(value, name) for name in ("fromStep", "toStep", "label"))
        if source is not None and target is not None:
            yield EdgeDraft(path=child_path(path, index), source=source, target=target, label=label)


def _text(tree: Any, name: str) -> str | None:
    value = tree.get(name) if isinstance(tree, dict) else None
    return value if isinstance(value, str) else None


def _read_variables(tree: Any, path: str) -> Iterator[tuple[str, Variable | None]]:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield key, convert(value, Variable, child_path(path, key))[0]
