"""The shape of the graph: every edge leads somewhere, every step is reached, nothing goes in circles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, nearest, suggestion
from runtara.dsl.draft import EdgeDraft, GraphDraft, StepDraft
from runtara.dsl.graph import Graph, Link
from runtara.dsl.paths import child_path
from runtara.limits import NAME_CHARACTERS_MAX, SCENARIO_STEPS_MAX

__all__ = ("check_shape", "graph_of", "steps_of_kind")


def check_shape(draft: GraphDraft) -> Iterator[Diagnostic]:
    """Everything that is wrong with the steps and edges as a graph."""
    yield from _check_steps(draft)
    yield from _check_names(draft)
    yield from _check_entry(draft)
    for edge in draft.edges:
        yield from _check_edge(edge, draft)
    for step in draft.steps.values() if draft.has_all_edges else ():
        yield from _check_ways_out(step, draft)
    graph = graph_of(draft)
    if graph is not None:
        yield from _check_reach(graph, draft)


def steps_of_kind(draft: GraphDraft, kind: str) -> frozenset[str]:
    """The steps that say they are of that kind."""
    return frozenset(step.key for step in draft.steps.values() if step.kind == kind)


def graph_of(draft: GraphDraft) -> Graph | None:
    """The graph, with misspelt names read as what was probably meant; None without any entry."""
    entry = _meant(draft.entry_point or "", draft)
    if entry is None:
        return None
    return Graph(entry=entry, steps=tuple(draft.steps), links=tuple(_links(draft)))


def _meant(name: str, draft: GraphDraft) -> str | None:
    return name if name in draft.steps else nearest(name, draft.steps)


def _links(draft: GraphDraft) -> Iterator[Link]:
    for edge in draft.edges:
        source, target = _meant(edge.source, draft), _meant(edge.target, draft)
        if source is not None and target is not None:
            branches = draft.steps[source].kind == "Conditional" and edge.label in ("true", "false")
            yield Link(source, target, edge.label if branches and edge.label else "next")


def _check_steps(draft: GraphDraft) -> Iterator[Diagnostic]:
    path = child_path(draft.path, "steps")
    if not draft.steps:
        yield diagnose(Code.NO_STEPS, path, "the scenario has no steps", hint="Begin with a Finish step.")
    if len(draft.steps) > SCENARIO_STEPS_MAX:
        message = f"the scenario has {len(draft.steps)} steps, and {SCENARIO_STEPS_MAX} are allowed"
        yield diagnose(Code.LIMIT_EXCEEDED, path, message, hint="Divide the scenario.")
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


def _check_names(draft: GraphDraft) -> Iterator[Diagnostic]:
    named = [(step, step.step.name) for step in draft.steps.values() if step.step is not None and step.step.name]
    times = Counter(name for _, name in named)
    seen: set[str] = set()
    for step, name in named:
        if times[name] > 1 and name in seen:
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


def _check_label(edge: EdgeDraft, source: StepDraft) -> Iterator[Diagnostic]:
    path = child_path(edge.path, "label")
    if source.kind == "Conditional" and edge.label not in ("true", "false"):
        message = f"an edge of the Conditional {source.key!r} has the label {edge.label!r}"
        yield diagnose(Code.BRANCH_LABEL_WRONG, path, message, hint="Label it 'true' or 'false'.")
    elif source.kind == "Finish":
        message = f"nothing follows the Finish step {source.key!r}"
        yield diagnose(Code.EDGE_AFTER_FINISH, edge.path, message, hint="Leave the edge out.")
    elif source.kind == "Agent" and edge.label == "onError":
        yield diagnose(Code.NOT_SUPPORTED, path, "onError edges are not supported by this version")
    elif source.kind == "Agent" and edge.label not in (None, "", "next"):
        message = f"the label {edge.label!r} means nothing on an edge of {source.key!r}"
        yield diagnose(Code.LABEL_WITHOUT_MEANING, path, message, hint="Leave the label out.")


def _check_ways_out(step: StepDraft, draft: GraphDraft) -> Iterator[Diagnostic]:
    labels = {edge.label for edge in draft.edges if _meant(edge.source, draft) == step.key}
    if step.kind == "Agent" and not labels:
        message = f"nothing follows {step.key!r}: when it is reached, the result is null"
        yield diagnose(Code.STEP_ENDS_NOWHERE, step.path, message, hint="Lead it to a Finish step.")
    missing = [label for label in ("true", "false") if label not in labels]
    if step.kind == "Conditional" and len(missing) == 2:
        message = f"the Conditional {step.key!r} has neither an edge 'true' nor an edge 'false'"
        yield diagnose(Code.BRANCHES_MISSING, step.path, message, hint="Label the edges that leave it.")
    elif step.kind == "Conditional" and missing:
        message = f"the Conditional {step.key!r} has no edge {missing[0]!r}: then nothing follows it"
        yield diagnose(Code.BRANCH_MISSING, step.path, message, hint="Add the edge, if that is not meant.")


def _check_reach(graph: Graph, draft: GraphDraft) -> Iterator[Diagnostic]:
    cycle = graph.find_cycle()
    if cycle is not None:
        path = child_path(draft.path, "executionPlan")
        message = f"the edges go in a circle: {' → '.join([*cycle, cycle[0]])}"
        yield diagnose(Code.CYCLE, path, message, hint="Repetition is a step of its own, never an edge back.")
    reached = set(graph.breadth_first)
    for step in draft.steps.values() if draft.has_all_edges else ():
        if step.key not in reached:
            message = f"no path leads from the entry point to {step.key!r}"
            yield diagnose(Code.STEP_UNREACHABLE, step.path, message, hint="Add an edge to it, or remove it.")
