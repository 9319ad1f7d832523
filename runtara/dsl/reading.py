"""Reading: from a document to a draft, in one walk along the types of the document model."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import msgspec

from runtara.dsl.conditions import check_condition
from runtara.dsl.decoding import Unreadable, decode
from runtara.dsl.diagnostics import Code, Diagnostic, diagnose
from runtara.dsl.draft import Document, Draft, EdgeDraft, GraphDraft, StepDraft
from runtara.dsl.mappings import SchemaFields, Variable
from runtara.dsl.model import ExecutionGraph, Scenario, Step
from runtara.dsl.paths import child_path
from runtara.dsl.structure import check
from runtara.limits import DIAGNOSTICS_MAX

__all__ = ("read_draft",)

_SUBGRAPHS: Final = {"Split": "subgraph", "WaitForSignal": "onWait", "While": "subgraph"}
"""The fields of steps that hold graphs. What looks like a graph elsewhere was not walked through."""


def read_draft(document: Document) -> Draft:
    """As much as can be read. Never raises for a document, however broken it is.

    Where it has more mistakes than anybody reads, it has no graph.
    """
    draft = Draft()
    try:
        draft.tree, twice = decode(document)
    except Unreadable as error:
        draft.diagnostics.append(error.diagnostic)
        return draft
    draft.diagnostics += islice(twice, DIAGNOSTICS_MAX + 1)
    mistakes = list(
        islice(check(draft.tree, Scenario if draft.is_wrapped else ExecutionGraph, "$"), DIAGNOSTICS_MAX + 1)
    )
    draft.diagnostics += mistakes
    if isinstance(draft.tree_of_graph, dict) and len(draft.diagnostics) <= DIAGNOSTICS_MAX:
        reader = _Reader(sorted(mistake.path for mistake in mistakes))
        draft.graph = reader.graph(draft.tree_of_graph, "$.executionGraph" if draft.is_wrapped else "$", 1)
        draft.diagnostics += reader.surprises
    return draft


@dataclass(slots=True)
class _Reader:
    mistakes: list[str]
    """Where the structural mistakes are, sorted."""
    surprises: list[Diagnostic] = field(default_factory=list)
    """What only msgspec found wrong."""

    def graph(self, tree: dict[str, Any], path: str, depth: int) -> GraphDraft:
        """A graph at a path, inside of ``depth`` - 1 others."""
        entry_point = tree.get("entryPoint")
        plan = tree.get("executionPlan", [])
        edges = tuple(_read_edges(plan, child_path(path, "executionPlan")))
        return GraphDraft(
            path=path,
            depth=depth,
            steps=dict(self._steps(tree.get("steps"), child_path(path, "steps"), depth)),
            edges=edges,
            has_all_edges=isinstance(plan, list) and len(edges) == len(plan),
            entry_point=entry_point if isinstance(entry_point, str) else None,
            variables=dict(self._variables(tree.get("variables"), child_path(path, "variables"))),
            input_schema=self._value(tree.get("inputSchema", {}), SchemaFields, child_path(path, "inputSchema")),
            output_schema=self._value(tree.get("outputSchema", {}), SchemaFields, child_path(path, "outputSchema")),
        )

    def _steps(self, tree: Any, path: str, depth: int) -> Iterator[tuple[str, StepDraft]]:
        for key, value in _members(tree):
            step_path, fields = child_path(path, key), value if isinstance(value, dict) else {}
            config = fields.get("config")
            yield (
                key,
                StepDraft(
                    key=key,
                    path=step_path,
                    kind=_text(fields, "stepType") or "",
                    step=self._value(value, Step, step_path),
                    subgraph=self._subgraph(fields, step_path, depth),
                    config=config if isinstance(config, dict) else {},
                ),
            )

    def _subgraph(self, step: dict[str, Any], path: str, depth: int) -> GraphDraft | None:
        name = _SUBGRAPHS.get(_text(step, "stepType") or "", "")
        tree = step.get(name)
        return self.graph(tree, child_path(path, name), depth + 1) if isinstance(tree, dict) else None

    def _variables(self, tree: Any, path: str) -> Iterator[tuple[str, Variable | None]]:
        for key, value in _members(tree):
            yield key, self._value(value, Variable, child_path(path, key))

    def _value(self, tree: Any, kind: Any, path: str) -> Any:
        """The tree as a value of the type ``kind``; None where there are mistakes in it."""
        if self._has_mistakes(path):
            return None
        try:
            return msgspec.convert(tree, kind)
        except (msgspec.ValidationError, OverflowError) as error:
            self.surprises.append(diagnose(Code.TYPE_WRONG, path, str(error)))
            return None

    def _has_mistakes(self, path: str) -> bool:
        for prefix in (path, f"{path}.", f"{path}["):
            index = bisect_left(self.mistakes, prefix)
            found = self.mistakes[index] if index < len(self.mistakes) else ""
            if found == path or (prefix != path and found.startswith(prefix)):
                return True
        return False


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


def _members(tree: Any) -> Iterable[tuple[str, Any]]:
    return tree.items() if isinstance(tree, dict) else ()
