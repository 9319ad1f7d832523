"""References: every path is well-formed, begins at a root that is there, and leads to what can have a value by then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET

from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, suggestion
from runtara.dsl.draft import StepDraft
from runtara.dsl.mappings import MappingValue, Reference, SchemaField, SchemaFields, Template
from runtara.dsl.paths import child_path, format_path
from runtara.dsl.rules.scopes import ERROR_ROOTS, Scope, inner_scope
from runtara.dsl.shapes import ERROR_FIELDS, entry_fields, output_fields
from runtara.dsl.values import Place
from runtara.dsl.ways import ON_ERROR

__all__ = ("check_references",)

_ROOTS_ELSEWHERE: Final = ("loop", "item", "iteration", *ERROR_ROOTS)


def check_references(scope: Scope) -> Iterator[Diagnostic]:
    """Everything that is wrong with the references of a graph and those inside it, and with the order they ask for."""
    for step in scope.draft.steps.values():
        for place in step.places:
            yield from _Check(scope, step, tuple(place.roots)).place(place)
        inside = inner_scope(step, scope)
        if inside is not None:
            yield from check_references(inside)
    yield from _check_edges(scope)
    yield from _check_conflicts(scope)


def _check_edges(scope: Scope) -> Iterator[Diagnostic]:
    for edge in scope.draft.edges:
        source = scope.draft.steps.get(edge.source)
        roots = ERROR_ROOTS if edge.label == ON_ERROR else ()
        for place in edge.places if source is not None else ():
            assert source is not None
            yield from _Check(scope, source, roots, is_after=edge.label != ON_ERROR).place(place)


@dataclass(frozen=True)
class _Check:
    """The references of one step, or of the conditions behind it."""

    scope: Scope
    step: StepDraft
    roots: Sequence[str]
    is_after: bool = False
    """The step itself has run."""

    def place(self, place: Place) -> Iterator[Diagnostic]:
        """What is wrong with the value there."""
        value, path = place.value, child_path(place.path, "value")
        if place.problem is not None:
            yield _malformed(value, place.problem, path)
        for segments in place.paths:
            # The input of a run may set more variables than are declared: who gives a default expects that it may not.
            is_optional = isinstance(value, Reference) and value.default is not UNSET
            if segments[0] != "variables" or not is_optional:
                text = value.value if isinstance(value, Reference) else format_path(segments)
                yield from self._segments(segments, text, path)

    def _segments(self, segments: Sequence[str], text: str, path: str) -> Iterator[Diagnostic]:
        root, *rest = segments
        if root == "variables" and rest:
            yield from self._variable(rest[0], path)
        elif root == "steps" and rest:
            yield from self._step_reference(rest, path)
        elif root == "scenario":
            yield from self._scenario(rest, text, path)
        elif root == "data" and rest and self.scope.data:
            yield from _check_fields(rest, self.scope.data, text, path)
        elif root in ERROR_ROOTS and self._has_error():
            yield from _check_error_field(rest, path)
        elif root not in (*self.scope.roots, *self.roots):
            yield self._unknown_root(root, text, path)

    def _has_error(self) -> bool:
        return "error" in self.roots or self.step.key in self.scope.handling

    def _unknown_root(self, root: str, text: str, path: str) -> Diagnostic:
        known = (*self.scope.roots, *self.roots)
        if root in _ROOTS_ELSEWHERE:
            message = f"{root!r} has no value in this place"
            return diagnose(Code.ROOT_OUT_OF_SCOPE, path, message, hint=f"Here are: {', '.join(known)}.")
        message = f"{text!r} begins with {root!r}, which is not there"
        return diagnose(Code.ROOT_UNKNOWN, path, message, hint=suggestion(root, known, what="root"))

    def _variable(self, name: str, path: str) -> Iterator[Diagnostic]:
        known = self.scope.all_variables
        if name not in known:
            hint = suggestion(name, known, what="variable")
            yield diagnose(Code.VARIABLE_UNKNOWN, path, f"the scenario has no variable {name!r}", hint=hint)

    def _scenario(self, rest: list[str], text: str, path: str) -> Iterator[Diagnostic]:
        if rest[:1] not in ([], ["inputs"]) or rest[1:2] not in ([], ["data"], ["variables"]):
            hint = "'scenario.inputs.data' is 'data', and 'scenario.inputs.variables' is 'variables'."
            yield diagnose(Code.ROOT_UNKNOWN, path, f"{text!r} leads to nothing", hint=hint)
        elif rest[1:2] == ["variables"] and rest[2:]:
            yield from self._variable(rest[2], path)
        elif rest[1:2] == ["data"] and rest[2:] and self.scope.data:
            yield from _check_fields(rest[2:], self.scope.data, text, path)

    def _step_reference(self, rest: list[str], path: str) -> Iterator[Diagnostic]:
        other = self.scope.draft.steps.get(rest[0])
        if other is not None:
            yield from self._entry(rest[1:], other, path)
            yield from self._order(other.key, path)
        elif rest[0] in ERROR_ROOTS:
            if not self._has_error():
                yield diagnose(Code.ROOT_OUT_OF_SCOPE, path, f"'steps.{rest[0]}' has no value in this place")
            yield from _check_error_field(rest[1:], path)
        elif rest[0] in self.scope.outer_steps:
            message = f"the step {rest[0]!r} is in a graph around this one, and cannot be seen from here"
            hint = "Hand its result over as a variable in the config of the loop."
            yield diagnose(Code.STEP_UNKNOWN, path, message, hint=hint)
        else:
            hint = suggestion(rest[0], self.scope.draft.steps, what="step")
            yield diagnose(Code.STEP_UNKNOWN, path, f"there is no step {rest[0]!r}", hint=hint)

    def _entry(self, rest: list[str], other: StepDraft, path: str) -> Iterator[Diagnostic]:
        if other.step is None or not rest:
            return
        known: tuple[str, ...] = entry_fields(other.step)
        if rest[:1] == ["outputs"]:
            rest, known = rest[1:], output_fields(other.step, self.scope.catalog)
        if rest and known and rest[0] not in known:
            message = f"the step {other.key!r} has no {rest[0]!r} there"
            yield diagnose(Code.FIELD_OF_STEP_UNKNOWN, path, message, hint=suggestion(rest[0], known, what="field"))

    def _order(self, other: str, path: str) -> Iterator[Diagnostic]:
        graph, flow = self.scope.graph, self.scope.flow
        step = self.scope.draft.tools.get(self.step.key, self.step.key)
        if graph is None or flow is None or not {other, step} <= graph.reach.keys():
            return
        if other == step:
            if self.is_after:
                return
            reason = "refers to itself"
        elif other in graph.reach[step]:
            reason = f"runs before {other!r}"
        elif flow.excludes(other, step):
            reason = f"stands on another branch than {other!r}: only one of them runs"
        else:
            return
        message = f"the step {step!r} {reason}, so its result can never be there"
        yield diagnose(Code.STEP_CANNOT_HAVE_RUN, path, message, hint="Refer to a step that leads here.")


def _malformed(value: MappingValue, problem: str, path: str) -> Diagnostic:
    if isinstance(value, Template):
        return diagnose(Code.PATH_MALFORMED, path, f"this is not a template: {problem}")
    hint = "Write names and indices with dots or brackets: data.items[0]['unit price']."
    return diagnose(Code.PATH_MALFORMED, path, f"{str(value.value)[:200]!r} is not a path: {problem}", hint=hint)


def _check_error_field(rest: Sequence[str], path: str) -> Iterator[Diagnostic]:
    if rest and rest[0] not in ERROR_FIELDS:
        hint = suggestion(rest[0], ERROR_FIELDS, what="field")
        yield diagnose(Code.FIELD_OF_STEP_UNKNOWN, path, f"an error has no {rest[0]!r}", hint=hint)


def _check_fields(segments: Sequence[str], fields: SchemaFields, text: str, path: str) -> Iterator[Diagnostic]:
    """The way through a schema, as far as it is described."""
    name, *rest = segments
    if name not in fields:
        hint = suggestion(name, fields, what="field")
        yield diagnose(Code.DATA_FIELD_UNKNOWN, path, f"the inputSchema has no field {name!r}", hint=hint)
        return
    yield from _check_inside(rest, fields[name], text, path)


def _check_inside(rest: list[str], field: SchemaField, text: str, path: str) -> Iterator[Diagnostic]:
    if not rest:
        return
    if field.type == "object" and field.properties:
        yield from _check_fields(rest, field.properties, text, path)
    elif field.type == "array" and rest[0].lstrip("-").isdigit():
        if field.items is not None:
            yield from _check_inside(rest[1:], field.items, text, path)
    elif field.type not in ("object", "file"):
        message = f"{text!r} asks for {rest[0]!r} of a value of type {field.type}"
        yield diagnose(Code.FIELD_OF_VALUE_UNKNOWN, path, message, hint="Only objects have fields.")


def _check_conflicts(scope: Scope) -> Iterator[Diagnostic]:
    path = child_path(scope.draft.path, "executionPlan")
    for conflict in scope.flow.conflicts if scope.flow is not None else ():
        names = " and ".join(repr(step) for step in conflict.steps)
        if conflict.kind == "order":
            message = f"each of {names} would have to run before the others, by their references"
            yield diagnose(Code.STEP_CANNOT_HAVE_RUN, path, message, hint="Add edges that give them an order.")
        elif conflict.kind == "ends":
            message = f"one run comes to both ends, {names}, so which one decides is not defined"
            hint = "Bring the arms together before the Finish, or label edges of a Conditional."
            yield diagnose(Code.FAN_OUT_AMBIGUOUS, path, message, hint=hint)
        else:
            message = f"{names} stands in too many branches inside each other"
            yield diagnose(Code.LIMIT_EXCEEDED, path, message, hint="Bring branches together, or divide the scenario.")
