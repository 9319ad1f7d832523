"""Random graphs: the structured plan does what the graph means, whatever way the conditions go."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from runtara.dsl.flow import Arms, Body, Choice, Flow, Joined, Visit, structure
from runtara.dsl.graph import Graph, Link
from tests.support.graphs import Case, case_of, shared_case_of

WAYS = ("true", "false")

seeds = st.integers(0, 2**48)
cases = seeds.map(case_of) | seeds.map(shared_case_of)


def way_out(case: Case, step: str, choices: dict[str, bool]) -> str:
    """The way that a step takes; of a fragile one, true is success."""
    if step in case.fragile:
        return "next" if choices[step] else "onError"
    return ("true" if choices[step] else "false") if step in case.forks else "next"


def meaning(case: Case, choices: dict[str, bool]) -> tuple[set[str], set[str]]:
    """What the graph says: the steps that are reached, and those of them that end it."""
    reached = {case.graph.entry}
    for step in case.graph.topological:
        if step in reached:
            reached |= set(case.graph.targets(step, way_out(case, step, choices)))
    return reached, reached & case.ends


class _End(Exception):
    pass


class _Failure(Exception):
    pass


def walk(case: Case, flow: Flow, choices: dict[str, bool]) -> list[str]:
    """What the plan does: the steps in the order in which they run."""
    return walk_with_failures(case, flow, choices)[0]


def walk_with_failures(case: Case, flow: Flow, choices: dict[str, bool]) -> tuple[list[str], bool]:
    """The steps in the order in which they run, and whether a failure went on at the end of a side."""
    ran: list[str] = []
    marked: set[str] = set()

    def go(body: Body) -> None:
        marked.update(body.marks)
        for item in body.items:
            match item:
                case Visit(step, marks, sides):
                    ran.append(step)
                    if step in case.ends:
                        raise _End
                    give_up(step, sides)
                    marked.update(marks)
                case Choice(step, arms, sides):
                    ran.append(step)
                    give_up(step, sides)
                    go(dict(arms)[way_out(case, step, choices)])
                case Joined(step, inner):
                    if step in marked:
                        go(inner)

    def give_up(step: str, sides: Arms) -> None:
        side = dict(sides).get(way_out(case, step, choices))
        if side is not None:
            go(side)
            raise _Failure

    try:
        go(flow.body)
    except _End:
        pass
    except _Failure:
        return ran, True
    return ran, False


def all_choices(case: Case) -> list[dict[str, bool]]:
    forks = sorted(case.forks | case.fragile)
    return [dict(zip(forks, ways, strict=True)) for ways in product([True, False], repeat=len(forks))]


def test_the_random_graphs_reach_the_rare_shapes() -> None:
    flows = [(case, case.flow()) for case in map(case_of, range(1000))]
    assert sum(bool(flow.conflicts) for _, flow in flows) > 20
    assert sum(len(flow.marks) == 1 for _, flow in flows) > 20
    assert sum(len(flow.marks) > 1 for _, flow in flows) > 20
    assert sum(len(case.ends) > 1 and not flow.conflicts for case, flow in flows) > 20
    assert max(len(block) for _, flow in flows for block in flow.blocks.values()) > 3


@given(case=cases)
@settings(max_examples=500, deadline=None)
def test_the_plan_runs_what_the_graph_reaches(case: Case) -> None:
    flow = case.flow()
    if flow.conflicts:
        return
    for choices in all_choices(case):
        reached, ends = meaning(case, choices)
        ran, failed = walk_with_failures(case, flow, choices)
        assert len(ran) == len(set(ran)), "a step ran twice"
        assert set(ran) <= reached
        if failed:
            assert not choices[next(step for step in ran if step in case.fragile and not choices[step])]
        elif ends:
            assert {ran[-1]} == ends
        else:
            assert set(ran) == reached


def test_sides_and_handlers_that_come_back_are_both_met() -> None:
    flows = [(case, case.flow()) for case in map(case_of, range(500))]
    kept = [(case, flow) for case, flow in flows if not flow.conflicts]
    assert sum(bool(flow.given_up) for _, flow in kept) > 20
    assert sum(any(part[1] == "onError" for part in block) for _, flow in kept for block in flow.blocks.values()) > 50
    assert sum(len(case.fragile) > len(flow.given_up) for case, flow in kept) > 20


def test_handlers_that_several_steps_share_are_met_and_keep_the_plan_flat() -> None:
    cases = [case for case in map(shared_case_of, range(500)) if len(case.fragile) > 1]
    kept = [(case, flow) for case, flow in ((case, case.flow()) for case in cases) if not flow.conflicts]
    assert len(kept) > 50
    assert all(len(flow.blocks["h0"]) == 1 for _, flow in kept)


def test_a_thousand_steps_share_a_handler() -> None:
    steps = tuple(f"s{number}" for number in range(1000))
    links = (*(Link(one, other) for one, other in pairwise(steps)), *(Link(step, "h", "onError") for step in steps))
    handlers = dict.fromkeys(steps, ("onError",))
    flow = structure(Graph("s0", (*steps, "h"), links), forks={}, ends=["h"], needs={}, handlers=handlers)
    assert flow.conflicts == ()
    assert flow.body.items == tuple(Visit(step, sides=(("onError", Body((Visit("h"),))),)) for step in steps)


def test_what_ran_before_all_failures_can_be_seen_from_a_shared_handler() -> None:
    steps = ("a", "b", "c", "d")
    links = (
        *(Link(one, other) for one, other in pairwise(steps)),
        Link("b", "h", "onError"),
        Link("c", "h", "onError"),
    )
    handlers = {"b": ("onError",), "c": ("onError",)}
    flow = structure(Graph("a", (*steps, "h"), links), forks={}, ends=["h"], needs={}, handlers=handlers)
    assert not flow.excludes("a", "h")
    assert not flow.excludes("c", "h"), "c may be the one that failed"
    assert flow.excludes("d", "h")
    assert flow.excludes("h", "d"), "the handler ends the run"


@given(case=cases)
@settings(max_examples=500, deadline=None)
def test_two_ends_are_a_conflict_exactly_when_a_run_can_come_to_both(case: Case) -> None:
    ambiguous = any(len(meaning(case, choices)[1]) > 1 for choices in all_choices(case))
    assert [conflict.kind for conflict in case.flow().conflicts] == (["ends"] if ambiguous else [])


@given(case=cases)
@settings(max_examples=300, deadline=None)
def test_no_step_runs_before_one_that_leads_to_it(case: Case) -> None:
    flow = case.flow()
    if flow.conflicts:
        return
    for choices in all_choices(case):
        ran = walk(case, flow, choices)
        for first, second in ((one, other) for index, one in enumerate(ran) for other in ran[index + 1 :]):
            assert first not in case.graph.reach[second]


@given(case=cases)
@settings(max_examples=300, deadline=None)
def test_an_end_waits_for_everything_that_does_not_depend_on_it(case: Case) -> None:
    """A step of another arm is left out only when it would have come after the end anyway, or something failed."""
    flow = case.flow()
    if flow.conflicts:
        return
    for choices in all_choices(case):
        reached, ends = meaning(case, choices)
        ran, failed = walk_with_failures(case, flow, choices)
        for end in ends if not failed and not any(_follows_a_failure(flow, end) for end in ends) else ():
            left_out = reached - set(ran)
            assert all(_comes_after_the_branch_of(case, flow, end, step) for step in left_out)


def _comes_after_the_branch_of(case: Case, flow: Flow, end: str, step: str) -> bool:
    """Some Conditional whose branch holds the end leads to the step as well."""
    holders = [part[0] for part in flow.blocks[end]]
    return any(step in case.graph.reach[holder] for holder in holders)


def _follows_a_failure(flow: Flow, step: str) -> bool:
    return any(way in ("onError", "onError:aside") for _, way in flow.blocks[step])


@given(case=cases, data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_step_runs_after_those_it_refers_to(case: Case, data: st.DataObject) -> None:
    order = case.graph.topological
    needs: dict[str, frozenset[str]] = {}
    for step in order:
        possible = [other for other in order if other != step and other not in case.graph.reach[step]]
        if possible:
            needs[step] = frozenset(data.draw(st.lists(st.sampled_from(possible), max_size=2)))
    flow = case.flow(needs)
    if flow.conflicts:
        event("conflict")
        return
    for choices in all_choices(case):
        ran = walk(case, flow, choices)
        for index, step in enumerate(ran):
            # What is excluded can never be there: the validator refuses to refer to it.
            served = {need for need in needs.get(step, ()) if not flow.excludes(need, step)}
            assert not served & set(ran[index:])


def test_the_arms_of_a_conditional_meet_again_without_a_mark() -> None:
    links = (Link("c", "a", "true"), Link("c", "b", "false"), Link("a", "z"), Link("b", "z"))
    flow = structure(Graph("c", ("c", "a", "b", "z"), links), forks={"c": WAYS}, ends=[], needs={})
    arms = (("true", Body((Visit("a"),))), ("false", Body((Visit("b"),))))
    assert flow.body == Body((Choice("c", arms), Visit("z")))
    assert flow.marks == ()


def test_a_shared_tail_appears_once_under_a_mark() -> None:
    links = (
        Link("c", "x", "true"),
        Link("c", "d", "false"),
        Link("d", "x", "true"),
        Link("d", "y", "false"),
    )
    flow = structure(Graph("c", ("c", "d", "x", "y"), links), forks={"c": WAYS, "d": WAYS}, ends=[], needs={})
    assert flow.marks == ("x",)
    assert flow.body.items[-1] == Joined("x", Body((Visit("x"),)))


def test_an_early_end_needs_no_mark() -> None:
    links = (Link("c", "f", "true"), Link("c", "d", "false"), Link("d", "x", "true"), Link("d", "x", "false"))
    flow = structure(Graph("c", ("c", "d", "x", "f"), links), forks={"c": WAYS, "d": WAYS}, ends=["f"], needs={})
    assert flow.marks == ()


@pytest.mark.parametrize("name", ["joined", "aside", "next", "onErrors"])
def test_a_way_may_have_the_name_of_anything(name: str) -> None:
    links = (Link("c", "a", name), Link("c", "b", "other"), Link("a", "z"), Link("b", "z"))
    flow = structure(Graph("c", ("c", "a", "b", "z"), links), forks={"c": (name, "other")}, ends=[], needs={})
    arms = ((name, Body((Visit("a"),))), ("other", Body((Visit("b"),))))
    assert flow.body == Body((Choice("c", arms), Visit("z")))


def test_an_end_that_comes_later_does_not_make_a_step_sure() -> None:
    """Whoever does not come to x goes on to an end, but that is behind x, and x must not run on the way."""
    links = (
        *(Link("a", "m", "true"), Link("a", "k", "false"), Link("a", "m", "false"), Link("k", "x")),
        *(Link("m", "x", "true"), Link("m", "e", "true"), Link("m", "e", "false"), Link("x", "e")),
        *(Link("e", "f", "true"), Link("e", "g", "false")),
    )
    graph = Graph("a", ("a", "k", "m", "x", "e", "f", "g"), links)
    flow = structure(graph, forks=dict.fromkeys("ame", WAYS), ends=["f", "g"], needs={})
    assert flow.marks == ("x",)


def test_two_ends_of_one_fan_out_are_a_conflict() -> None:
    links = (Link("a", "f"), Link("a", "g"))
    flow = structure(Graph("a", ("a", "f", "g"), links), forks={}, ends=["f", "g"], needs={})
    assert [conflict.kind for conflict in flow.conflicts] == ["ends"]


@pytest.mark.parametrize("levels", [64, 65, 900])
def test_branches_nest_to_the_limit_and_not_one_deeper(levels: int) -> None:
    steps = (*(f"c{level}" for level in range(levels)), "x")
    links = tuple(Link(one, other, "true") for one, other in pairwise(steps))
    flow = structure(Graph("c0", steps, links), forks=dict.fromkeys(steps[:-1], WAYS), ends=[], needs={})
    assert [conflict.kind for conflict in flow.conflicts] == ([] if levels == 64 else ["depth"])
