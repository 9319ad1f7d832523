"""Children: every StartScenario step starts one that is there, with what it asks for, and none starts itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runtara.dsl.children import Child, ChildMissing, Library, parse_version
from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, suggestion
from runtara.dsl.draft import Draft, GraphDraft, StepDraft
from runtara.dsl.mappings import Immediate, InputMapping, SchemaFields
from runtara.dsl.model import StartScenarioStep
from runtara.dsl.paths import child_path
from runtara.dsl.schemas import SchemaMisfit, check_value

__all__ = ("check_children", "children_of")

Reader = Callable[[Child], Draft]


def check_children(draft: GraphDraft, library: Library, read: Reader, *, is_strict: bool) -> Iterator[Diagnostic]:
    """Everything that is wrong with the StartScenario steps of a graph and of those inside it.

    Args:
        draft: The graph.
        library: The children that there are.
        read: Gives the draft of a child.
        is_strict: Whether a child that is given anything has to declare what it takes.
    """
    for graph in draft.with_subgraphs:
        for step in graph.steps.values():
            if isinstance(step.step, StartScenarioStep):
                yield from _check_start(step, step.step, library, read, is_strict=is_strict)


def _check_start(
    draft: StepDraft, step: StartScenarioStep, library: Library, read: Reader, *, is_strict: bool
) -> Iterator[Diagnostic]:
    try:
        parse_version(step.child_version)
    except ChildMissing as error:
        yield diagnose(Code.CHILD_VERSION_WRONG, child_path(draft.path, "childVersion"), str(error))
        return
    try:
        child = library.resolve(step.child_scenario_id, step.child_version)
    except ChildMissing as error:
        hint = suggestion(step.child_scenario_id, library.ids, what="child")
        yield diagnose(Code.CHILD_UNKNOWN, child_path(draft.path, "childScenarioId"), str(error), hint=hint)
        return
    graph = read(child).graph
    cycle = _find_cycle(child, library, read, (child.name,))
    if cycle:
        message = f"the scenarios start each other in a circle: {' → '.join(cycle)}"
        yield diagnose(Code.CHILDREN_IN_CIRCLE, child_path(draft.path, "childScenarioId"), message)
    if graph is not None and graph.input_schema is not None and (graph.input_schema or is_strict):
        path = child_path(draft.path, "inputMapping")
        yield from _check_inputs(step.input_mapping, graph.input_schema, child, path)


def children_of(graph: GraphDraft, library: Library) -> dict[str, Child]:
    """The children that a graph and those inside it start, by their name; those that there are."""
    found = {}
    for inner in graph.with_subgraphs:
        for step in inner.steps.values():
            if isinstance(step.step, StartScenarioStep):
                try:
                    child = library.resolve(step.step.child_scenario_id, step.step.child_version)
                except ChildMissing:
                    continue
                found[child.name] = child
    return found


def _find_cycle(child: Child, library: Library, read: Reader, trail: tuple[str, ...]) -> tuple[str, ...] | None:
    graph = read(child).graph
    for name, inner in children_of(graph, library).items() if graph is not None else ():
        if name in trail:
            return (*trail[trail.index(name) :], name)
        cycle = _find_cycle(inner, library, read, (*trail, name))
        if cycle:
            return cycle
    return None


def _check_inputs(mapping: InputMapping, schema: SchemaFields, child: Child, path: str) -> Iterator[Diagnostic]:
    if mapping and not schema:
        message = f"inputs are given to {child.name!r}, whose inputSchema is empty"
        yield diagnose(Code.CHILD_TAKES_NOTHING, path, message, hint="Declare what it takes in its inputSchema.")
        return
    given = {key.partition(".")[0] for key in mapping}
    for name, field in schema.items():
        if field.required and name not in given:
            message = f"the required input {name!r} of {child.name!r} is not given"
            yield diagnose(Code.CHILD_INPUT_MISSING, path, message, hint=field.description)
    for key, value in mapping.items():
        if isinstance(value, Immediate) and key in schema:
            try:
                check_value(value.value, schema[key], key)
            except SchemaMisfit as error:
                yield diagnose(Code.VALUE_TYPE_WRONG, child_path(child_path(path, key), "value"), str(error))
