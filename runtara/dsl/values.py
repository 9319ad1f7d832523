"""Where the values of a step are: the one list of all mapping values, for everybody who looks at references."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, get_args

import msgspec
from msgspec import UNSET

from runtara.dsl.conditions import iter_operands, read_condition
from runtara.dsl.mappings import Composite, Immediate, MappingValue, Reference, SchemaField, Template, TypeHint
from runtara.dsl.model import ExecutionGraph, FilterStep, Step, SwitchStep, WhileStep
from runtara.dsl.paths import PathMalformed, child_path, tokenize
from runtara.dsl.templates import TemplateInvalid, referenced_paths

__all__ = (
    "LOOP_ROOTS",
    "Place",
    "iter_condition",
    "iter_values",
    "paths_in",
    "reference_in",
    "referenced_in_condition",
    "referenced_steps",
    "steps_in",
)

LOOP_ROOTS: Final = frozenset({"loop", "iteration"})
"""The roots that the condition of a While has besides the usual ones."""


@dataclass(frozen=True)
class Place:
    """A value, where it is, and which roots it may use besides those of its graph."""

    path: str
    value: MappingValue
    roots: frozenset[str] = frozenset()

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """The paths that the value looks up; none where it is malformed."""
        return self._reading[0]

    @property
    def problem(self) -> str | None:
        """Why the value is malformed; None where it is not."""
        return self._reading[1]

    @cached_property
    def _reading(self) -> tuple[tuple[tuple[str, ...], ...], str | None]:
        try:
            return tuple(_read_paths(self.value)), None
        except (PathMalformed, TemplateInvalid) as error:
            return (), str(error)


def iter_values(step: Step, path: str) -> Iterator[Place]:
    """All single values of a step at ``path``, also inside composites and conditions; not those of its graphs."""
    roots = _condition_roots(step)
    for found, value in _walk(step, path):
        yield Place(found, value, roots if ".condition" in found[len(path) :] else frozenset())
    if isinstance(step, SwitchStep) and step.config is not None:
        yield from _iter_outputs(step, child_path(path, "config"))


def iter_condition(tree: Any, path: str) -> Iterator[Place]:
    """All single values of a condition."""
    for operand in iter_operands(read_condition(tree, path)):
        for found, value in _walk(operand.value, operand.path):
            yield Place(found, value)


def _condition_roots(step: Step) -> frozenset[str]:
    if isinstance(step, WhileStep):
        return LOOP_ROOTS
    return frozenset({"item"}) if isinstance(step, FilterStep) else frozenset()


def _walk(node: Any, path: str) -> Iterator[tuple[str, MappingValue]]:
    if isinstance(node, Immediate | Reference | Template):
        yield path, node
    elif isinstance(node, Composite):
        yield from _walk(node.value, child_path(path, "value"))
    elif isinstance(node, msgspec.Struct) and not isinstance(node, ExecutionGraph | SchemaField):
        for name, written in zip(node.__struct_fields__, node.__struct_encode_fields__, strict=True):
            yield from _walk_field(name, getattr(node, name), child_path(path, written))
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _walk(value, child_path(path, key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _walk(value, child_path(path, index))


def _walk_field(name: str, value: Any, path: str) -> Iterator[tuple[str, MappingValue]]:
    if name != "condition" or value is None:
        yield from _walk(value, path)
        return
    for operand in iter_operands(read_condition(value, path)):
        yield from _walk(operand.value, operand.path)


def _iter_outputs(step: SwitchStep, path: str) -> Iterator[Place]:
    """The values inside the outputs of a Switch, which are plain JSON with values in it."""
    assert step.config is not None
    for index, case in enumerate(step.config.cases):
        case_path = child_path(child_path(path, "cases"), index)
        yield from _iter_output(case.output, child_path(case_path, "output"))
    yield from _iter_output(step.config.default, child_path(path, "default"))


def _iter_output(tree: Any, path: str) -> Iterator[Place]:
    reference = reference_in(tree)
    if reference is not None:
        yield Place(path, reference)
    elif isinstance(tree, dict) and tree.get("valueType") == "immediate":
        return
    elif isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _iter_output(value, child_path(path, key))


def reference_in(tree: Any) -> Reference | None:
    """The reference that a part of an output of a Switch is; None for what is data."""
    if not isinstance(tree, dict) or tree.get("valueType") != "reference" or not isinstance(tree.get("value"), str):
        return None
    hint = tree.get("type")
    return Reference(
        value=tree["value"], type=hint if hint in get_args(TypeHint) else None, default=tree.get("default", UNSET)
    )


def referenced_steps(step: Step) -> frozenset[str]:
    """The ids in its references to ``steps.<id>``, in those of its templates as well."""
    return steps_in(iter_values(step, "$"))


def referenced_in_condition(tree: Any) -> frozenset[str]:
    """The ids in a condition's references to ``steps.<id>``."""
    return steps_in(iter_condition(tree, "$"))


def steps_in(places: Iterable[Place]) -> frozenset[str]:
    """The ids in the references to ``steps.<id>`` that are at these places."""
    paths = (path for place in places for path in place.paths)
    return frozenset(path[1] for path in paths if len(path) > 1 and path[0] == "steps")


def paths_in(value: MappingValue) -> Iterator[tuple[str, ...]]:
    """The paths that a value looks up; none where it is malformed."""
    yield from Place("$", value).paths


def _read_paths(value: MappingValue) -> Iterator[tuple[str, ...]]:
    if isinstance(value, Reference):
        yield tokenize(value.value)
    elif isinstance(value, Template):
        yield from sorted(referenced_paths(value.value))
