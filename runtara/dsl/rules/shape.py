"""The shape of the graph: every edge leads somewhere, every step is reached, nothing goes in circles."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, suggestion
from runtara.dsl.draft import EdgeDraft, GraphDraft, StepDraft
from runtara.dsl.graph import Graph, Link
from runtara.dsl.paths import child_path
from runtara.dsl.ways import ERROR_KINDS, NEXT, ON_ERROR, is_error_way, is_next_label
from runtara.limits import NAME_CHARACTERS_MAX

__all__ = ("check_names", "check_shape", "graph_of", "steps_of_kind")

_ENDING = ("Finish", "Error")


def check_shape(draft: GraphDraft) -> Iterator[Diagnostic]:
    """Everything that is wrong with the steps and edges as a graph."""
    yield from _check_steps(draft)
    yield from _check_entry(draft)
    for edge in draft.edges:
        yield from _check_edge(edge, draft)
    for step in draft.steps.values() if draft.has_all_edges else ():
        yield from _check_ways_out(step, draft)
        yield from _check_edge_priorities(step, draft)
    graph = graph_of(draft)
    if graph is not None:
        yield from _check_reach(graph, draft)


def steps_of_kind(draft: GraphDraft, *kinds: str) -> frozenset[str]:
    """The steps that say they are of one of those kinds."""
    return frozenset(step.key for step in draft.steps.values() if step.kind in kinds)


def graph_of(draft: GraphDraft) -> Graph | None:
    """The graph, with misspelt names read as what was probably meant; None without any entry."""
    entry = draft.meant(draft.entry_point or "")
    if entry is None:
        return None
    links = (
        Link(source, edge.target, way)
        for source, ways in draft.ways.items()
        for way, edges in ways.targets.items()
        for edge in edges
    )
    return Graph(entry=entry, steps=tuple(draft.steps), links=tuple(links))


def _check_steps(draft: GraphDraft) -> Iterator[Diagnostic]:
    path = child_path(draft.path, "steps")
    if not draft.steps:
        yield diagnose(Code.NO_STEPS, path, "the scenario has no steps", hint="Begin with a Finish step.")
    for step in draft.steps.values():
        if not _is_usable(step.key):
            message = f"{step.key[:40]!r} cannot be the id of a step"
            hint = f"An id has 1 to {NAME_CHARACTERS_MAX} printable characters."
            yield diagnose(Code.VALUE_NOT_ALLOWED, step.path, message, hint=hint)
        if step.step is not None and step.step.id != step.key:
            message = f"the step under the key {step.key!r} says that its id is {step.step.id!r}"
            yield diagnose(Code.KEY_IS_NOT_ID, child_path(step.path, "id"), message, hint="Make the two equal.")


def _is_usable(step_id: str) -> bool:
    return 0 < len(step_id) <= NAME_CHARACTERS_MAX and step_id.isprintable()


def check_names(draft: GraphDraft) -> Iterator[Diagnostic]:
    """Names for people tell the steps of a scenario apart, those in its loops as well."""
    steps = (step for graph in draft.with_subgraphs for step in graph.steps.values())
    named = [(step, step.step.name) for step in steps if step.step is not None and step.step.name]
    seen: set[str] = set()
    for step, name in named:
        if name in seen:
            message = f"another step has the name {name!r}, too"
            yield diagnose(Code.STEP_NAME_TAKEN, child_path(step.path, "name"), message, hint="Give it another name.")
        seen.add(name)


def _check_entry(draft: GraphDraft) -> Iterator[Diagnostic]:
    entry = draft.entry_point
    if entry is not None and draft.steps and entry not in draft.steps:
        path, hint = child_path(draft.path, "entryPoint"), suggestion(entry, draft.steps, what="step")
        yield diagnose(Code.ENTRY_POINT_UNKNOWN, path, f"the entry point {entry!r} is not a step", hint=hint)


def _check_edge(edge: EdgeDraft, draft: GraphDraft) -> Iterator[Diagnostic]:
    for field, name in (("fromStep", edge.source), ("toStep", edge.target)):
        if name not in draft.steps:
            hint = suggestion(name, draft.steps, what="step")
            yield diagnose(Code.EDGE_STEP_UNKNOWN, child_path(edge.path, field), f"{name!r} is not a step", hint=hint)
    if edge.source in draft.steps:
        yield from _check_label(edge, draft.steps[edge.source])
        yield from _check_asking(edge, draft.steps[edge.source])


def _check_label(edge: EdgeDraft, source: StepDraft) -> Iterator[Diagnostic]:
    path = child_path(edge.path, "label")
    if source.kind in _ENDING:
        message = f"nothing follows the {source.kind} step {source.key!r}"
        yield diagnose(Code.EDGE_AFTER_FINISH, edge.path, message, hint="Leave the edge out.")
    elif source.branches and not _is_branch(edge, source):
        message = f"an edge of the {source.kind} {source.key!r} has the label {edge.label!r}"
        hint = f"Label it with one of its branches: {', '.join(islice(source.branches, 20))}."
        yield diagnose(Code.BRANCH_LABEL_WRONG, path, message, hint=hint)
    elif not _has_meaning(edge, source):
        message = f"the label {edge.label!r} means nothing on an edge of {source.key!r}"
        yield diagnose(Code.LABEL_WITHOUT_MEANING, path, message, hint="Leave the label out.")


def _is_branch(edge: EdgeDraft, source: StepDraft) -> bool:
    return edge.label in source.branches or (source.kind != "Conditional" and edge.label == ON_ERROR)


def _check_asking(edge: EdgeDraft, source: StepDraft) -> Iterator[Diagnostic]:
    """Its condition and its priority."""
    if edge.priority and not edge.is_conditional:
        message = f"the priority {edge.priority} has no meaning: only edges with conditions are asked in an order"
        path = child_path(edge.path, "priority")
        yield diagnose(Code.SETTING_WITHOUT_MEANING, path, message, hint="Leave it out.")
    if edge.is_conditional and source.branches and edge.label != ON_ERROR:
        message = f"the {source.kind} {source.key!r} chooses by itself: its edges have no conditions"
        yield diagnose(Code.EDGE_CONDITION_MISPLACED, child_path(edge.path, "condition"), message)


def _has_meaning(edge: EdgeDraft, source: StepDraft) -> bool:
    if source.kind not in ERROR_KINDS or source.kind == "AiAgent" or source.routes:
        return True
    return is_next_label(edge.label) or edge.label == ON_ERROR


def _check_edge_priorities(source: StepDraft, draft: GraphDraft) -> Iterator[Diagnostic]:
    """Among the edges that are asked one after the other, the order is given, and one at most is for all else."""
    if source.kind == "Conditional":
        return
    for label in (ON_ERROR,) if source.routes else (NEXT, ON_ERROR):
        edges = [edge for edge in draft.edges_from[source.key] if _is_labelled(edge, label)]
        conditional = [edge for edge in edges if edge.is_conditional]
        seen: set[int] = set()
        for edge in conditional:
            if edge.priority in seen:
                message = f"two edges of {source.key!r} with conditions have the priority {edge.priority}"
                hint = "Give each another priority; the highest is asked first."
                yield diagnose(Code.PRIORITY_TAKEN, edge.path, message, hint=hint)
            seen.add(edge.priority)
        others = [edge for edge in edges if not edge.is_conditional]
        for edge in others[1:] if conditional or label == ON_ERROR else ():
            message = f"two edges of {source.key!r} without a condition stand beside each other"
            yield diagnose(Code.DEFAULT_EDGE_TAKEN, edge.path, message, hint="Keep one of them for all other cases.")


def _is_labelled(edge: EdgeDraft, label: str) -> bool:
    return edge.label == label or (label == NEXT and is_next_label(edge.label))


def _check_ways_out(step: StepDraft, draft: GraphDraft) -> Iterator[Diagnostic]:
    labels = {edge.label for edge in draft.edges_from[step.key]}
    if step.kind == "Conditional":
        yield from _check_branches(step, labels)
    elif step.routes:
        yield from _check_routes(step, labels)
    elif step.kind in ERROR_KINDS and not _goes_on(step, labels) and step.key not in draft.tools:
        message = f"nothing follows {step.key!r}: when it is reached, the result is null"
        yield diagnose(Code.STEP_ENDS_NOWHERE, step.path, message, hint="Lead it to a Finish step.")


def _goes_on(step: StepDraft, labels: set[str | None]) -> bool:
    return any(map(is_next_label, labels)) or (step.kind != "AiAgent" and bool(labels - {ON_ERROR}))


def _check_branches(step: StepDraft, labels: set[str | None]) -> Iterator[Diagnostic]:
    missing = [label for label in ("true", "false") if label not in labels]
    if len(missing) == 2:
        message = f"the Conditional {step.key!r} has neither an edge 'true' nor an edge 'false'"
        yield diagnose(Code.BRANCHES_MISSING, step.path, message, hint="Label the edges that leave it.")
    elif missing:
        message = f"the Conditional {step.key!r} has no edge {missing[0]!r}: then nothing follows it"
        yield diagnose(Code.BRANCH_MISSING, step.path, message, hint="Add the edge, if that is not meant.")


def _check_routes(step: StepDraft, labels: set[str | None]) -> Iterator[Diagnostic]:
    for route in filter(is_error_way, step.branches):
        message = f"the route {route!r} of the Switch {step.key!r} is the way of failures"
        yield diagnose(Code.BRANCH_LABEL_WRONG, step.path, message, hint="Give the route another name.")
    for route in step.branches:
        if route not in labels:
            message = f"the Switch {step.key!r} has no edge {route!r}: then nothing follows it"
            yield diagnose(Code.BRANCH_MISSING, step.path, message, hint="Add the edge, if that is not meant.")


def _check_reach(graph: Graph, draft: GraphDraft) -> Iterator[Diagnostic]:
    cycle = graph.find_cycle()
    if cycle is not None:
        path = child_path(draft.path, "executionPlan")
        message = f"the edges go in a circle: {' → '.join([*cycle, cycle[0]])}"
        yield diagnose(Code.CYCLE, path, message, hint="Repetition is a step of its own, never an edge back.")
    reached = set(graph.breadth_first)
    reached |= {tool for tool, caller in draft.tools.items() if caller in reached}
    for step in draft.steps.values() if draft.has_all_edges else ():
        if step.key not in reached:
            message = f"no path leads from the entry point to {step.key!r}"
            yield diagnose(Code.STEP_UNREACHABLE, step.path, message, hint="Add an edge to it, or remove it.")
