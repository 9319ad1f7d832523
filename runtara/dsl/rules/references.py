"""References: every path is well-formed, begins at a root that is there, and leads to what can have a value by then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from runtara.dsl.catalog import Catalog
from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, suggestion
from runtara.dsl.draft import GraphDraft, StepDraft
from runtara.dsl.flow import Flow, structure
from runtara.dsl.graph import Graph
from runtara.dsl.model import AgentStep, ConditionalStep, Reference
from runtara.dsl.paths import PathMalformed, child_path, tokenize
from runtara.dsl.rules.shape import graph_of, steps_of_kind
from runtara.dsl.values import iter_values, referenced_steps

__all__ = ("BUILT_IN_VARIABLES", "STEP_ENTRY_FIELDS", "check_references", "flow_of")

BUILT_IN_VARIABLES: Final = ("_scenario_id", "_instance_id", "_tenant_id")
"""Always there under ``variables``."""

STEP_ENTRY_FIELDS: Final = ("stepId", "stepName", "stepType", "outputs")
"""What ``steps.<id>`` has. Source: dsl.md §3.0."""

_ROOTS: Final = ("data", "variables", "steps", "scenario")
_ROOTS_ELSEWHERE: Final = ("loop", "item", "iteration", "__error", "error")


def flow_of(graph: Graph, draft: GraphDraft) -> Flow:
    """The plan of a graph that has no cycle."""
    needs = {
        step.key: frozenset(
            other
            for other in referenced_steps(step.step)
            if other in graph.reach and other != step.key and other not in graph.reach[step.key]
        )
        for step in draft.steps.values()
        if step.step is not None and step.key in graph.reach
    }
    forks, ends = (steps_of_kind(draft, kind) & graph.reach.keys() for kind in ("Conditional", "Finish"))
    return structure(graph, forks=forks, ends=ends, needs=needs)


def check_references(draft: GraphDraft, catalog: Catalog) -> Iterator[Diagnostic]:
    """Everything that is wrong with the references of all steps, and with the order that they ask for."""
    scope = _Scope(draft, catalog)
    for step in draft.steps.values():
        for path, value in iter_values(step.step, step.path) if step.step is not None else ():
            if isinstance(value, Reference):
                yield from _check_reference(value.value, step, scope, child_path(path, "value"))
    yield from _check_conflicts(scope)


@dataclass
class _Scope:
    draft: GraphDraft
    catalog: Catalog

    @cached_property
    def graph(self) -> Graph | None:
        graph = graph_of(self.draft)
        return None if graph is None or graph.find_cycle() is not None else graph

    @cached_property
    def flow(self) -> Flow | None:
        return None if self.graph is None else flow_of(self.graph, self.draft)

    def output_fields(self, step: StepDraft) -> tuple[str, ...]:
        """The fields of its outputs, where all are known."""
        if isinstance(step.step, ConditionalStep):
            return ("result",)
        if not isinstance(step.step, AgentStep):
            return ()
        agent = self.catalog.find_agent(step.step.agent_id)
        capability = agent.find_capability(step.step.capability_id) if agent is not None else None
        return () if capability is None else tuple(field.name for field in capability.output.fields)


def _check_reference(text: str, step: StepDraft, scope: _Scope, path: str) -> Iterator[Diagnostic]:
    try:
        root, *rest = tokenize(text)
    except PathMalformed as error:
        hint = "Write names and indices with dots or brackets: data.items[0]['unit price']."
        yield diagnose(Code.PATH_MALFORMED, path, f"{text!r} is not a path: {error}", hint=hint)
        return
    if root == "variables" and rest:
        yield from _check_variable(rest[0], scope, path)
    elif root == "steps" and rest:
        yield from _check_step(rest, step, scope, path)
    elif root == "scenario":
        yield from _check_scenario(rest, text, path)
    elif root in _ROOTS_ELSEWHERE:
        message = f"{root!r} has no value in this place"
        yield diagnose(Code.ROOT_OUT_OF_SCOPE, path, message, hint=f"Here are: {', '.join(_ROOTS)}.")
    elif root not in _ROOTS:
        hint = suggestion(root, _ROOTS, what="root")
        yield diagnose(Code.ROOT_UNKNOWN, path, f"{text!r} begins with {root!r}, which is not there", hint=hint)


def _check_variable(name: str, scope: _Scope, path: str) -> Iterator[Diagnostic]:
    known = [*scope.draft.variables, *BUILT_IN_VARIABLES]
    if name not in known:
        hint = suggestion(name, known, what="variable")
        yield diagnose(Code.VARIABLE_UNKNOWN, path, f"the scenario has no variable {name!r}", hint=hint)


def _check_scenario(rest: list[str], text: str, path: str) -> Iterator[Diagnostic]:
    if rest[:1] not in ([], ["inputs"]) or rest[1:2] not in ([], ["data"], ["variables"]):
        hint = "'scenario.inputs.data' is 'data', and 'scenario.inputs.variables' is 'variables'."
        yield diagnose(Code.ROOT_UNKNOWN, path, f"{text!r} leads to nothing", hint=hint)


def _check_step(rest: list[str], step: StepDraft, scope: _Scope, path: str) -> Iterator[Diagnostic]:
    other = scope.draft.steps.get(rest[0])
    if other is None and rest[0] in ("error", "__error"):
        yield diagnose(Code.ROOT_OUT_OF_SCOPE, path, f"'steps.{rest[0]}' has no value in this place")
    elif other is None:
        hint = suggestion(rest[0], scope.draft.steps, what="step")
        yield diagnose(Code.STEP_UNKNOWN, path, f"there is no step {rest[0]!r}", hint=hint)
    else:
        yield from _check_fields(rest[1:], other, scope, path)
        yield from _check_order(other.key, step.key, scope, path)


def _check_fields(rest: list[str], other: StepDraft, scope: _Scope, path: str) -> Iterator[Diagnostic]:
    known: tuple[str, ...] = STEP_ENTRY_FIELDS
    if rest[:1] == ["outputs"] and scope.output_fields(other):
        rest, known = rest[1:], scope.output_fields(other)
    if rest and rest[0] not in known:
        message = f"the step {other.key!r} has no {rest[0]!r} there"
        yield diagnose(Code.FIELD_OF_STEP_UNKNOWN, path, message, hint=suggestion(rest[0], known, what="field"))


def _check_order(other: str, step: str, scope: _Scope, path: str) -> Iterator[Diagnostic]:
    if scope.graph is None or scope.flow is None or not {other, step} <= scope.graph.reach.keys():
        return
    if other == step:
        reason = "refers to itself"
    elif other in scope.graph.reach[step]:
        reason = f"runs before {other!r}"
    elif scope.flow.excludes(other, step):
        reason = f"stands on another branch than {other!r}: only one of them runs"
    else:
        return
    message = f"the step {step!r} {reason}, so its result can never be there"
    yield diagnose(Code.STEP_CANNOT_HAVE_RUN, path, message, hint="Refer to a step that leads here.")


def _check_conflicts(scope: _Scope) -> Iterator[Diagnostic]:
    path = child_path(scope.draft.path, "executionPlan")
    for conflict in scope.flow.conflicts if scope.flow is not None else ():
        names = " and ".join(repr(step) for step in conflict.steps)
        if conflict.kind == "order":
            message = f"each of {names} would have to run before the others, by their references"
            yield diagnose(Code.STEP_CANNOT_HAVE_RUN, path, message, hint="Add edges that give them an order.")
        elif conflict.kind == "ends":
            message = f"one run comes to both Finish steps, {names}, so which one decides is not defined"
            hint = "Bring the arms together before the Finish, or label edges of a Conditional."
            yield diagnose(Code.FAN_OUT_AMBIGUOUS, path, message, hint=hint)
        else:
            message = f"{names} stands in too many branches inside each other"
            yield diagnose(Code.LIMIT_EXCEEDED, path, message, hint="Bring branches together, or divide the scenario.")
