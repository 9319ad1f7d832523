"""Children: every StartScenario step starts one that is there, with what it asks for, and none starts itself."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from runtara.dsl.children import Child, ChildMissing, parse_version
from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, suggestion
from runtara.dsl.draft import GraphDraft, StepDraft
from runtara.dsl.family import Family
from runtara.dsl.mappings import Immediate, InputMapping, SchemaFields
from runtara.dsl.model import StartScenarioStep
from runtara.dsl.paths import child_path
from runtara.dsl.schemas import SchemaMisfit, check_value

__all__ = ("check_children",)


def check_children(draft: GraphDraft, family: Family, name: str, *, is_strict: bool) -> Iterator[Diagnostic]:
    """Everything that is wrong with the StartScenario steps of a graph and of those inside it.

    Args:
        draft: The graph.
        family: The scenario and all its children.
        name: Of which of them the graph is.
        is_strict: Whether a child that is given anything has to declare what it takes.
    """
    for graph in draft.with_subgraphs:
        for step in graph.steps.values():
            if isinstance(step.step, StartScenarioStep):
                yield from _check_start(step, step.step, family, name, is_strict=is_strict)


def _check_start(
    draft: StepDraft, step: StartScenarioStep, family: Family, name: str, *, is_strict: bool
) -> Iterator[Diagnostic]:
    try:
        parse_version(step.child_version)
    except ChildMissing as error:
        yield diagnose(Code.CHILD_VERSION_WRONG, child_path(draft.path, "childVersion"), str(error))
        return
    path = child_path(draft.path, "childScenarioId")
    try:
        child = family.child_of(step)
    except ChildMissing as error:
        hint = suggestion(step.child_scenario_id, family.library.ids, what="child")
        yield diagnose(Code.CHILD_UNKNOWN, path, str(error), hint=hint)
        return
    circle = family.circle(child.name, name)
    if circle is not None:
        message = f"the scenarios start each other in a circle: {' → '.join(circle)}"
        yield diagnose(Code.CHILDREN_IN_CIRCLE, path, message)
    graph = family.graph_of(child)
    if graph is not None and graph.input_schema is not None and (graph.input_schema or is_strict):
        inputs_path = child_path(draft.path, "inputMapping")
        yield from _check_inputs(step.input_mapping, graph.input_schema, child, inputs_path)


def _check_inputs(mapping: InputMapping, schema: SchemaFields, child: Child, path: str) -> Iterator[Diagnostic]:
    if mapping and not schema:
        message = f"inputs are given to {child.name!r}, whose inputSchema is empty"
        yield diagnose(Code.CHILD_TAKES_NOTHING, path, message, hint="Declare what it takes in its inputSchema.")
        return
    given = {key.partition(".")[0] for key in mapping}
    for name, field in schema.items():
        if field.required and field.default is UNSET and name not in given:
            message = f"the required input {name!r} of {child.name!r} is not given"
            yield diagnose(Code.CHILD_INPUT_MISSING, path, message, hint=field.description)
    for key, value in mapping.items():
        if isinstance(value, Immediate) and key in schema:
            try:
                check_value(value.value, schema[key], key)
            except SchemaMisfit as error:
                yield diagnose(Code.VALUE_TYPE_WRONG, child_path(child_path(path, key), "value"), str(error))
