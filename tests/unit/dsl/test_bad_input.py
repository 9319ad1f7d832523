"""Whatever is handed in gets its diagnostics in bounded time, and what is one past a limit is refused by name.

The bound is on the time of the processor, several times what the slowest needs: it tells linear from quadratic, not
fast from slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from runtara.dsl import validate
from runtara.limits import (
    DIAGNOSTICS_MAX,
    GRAPHS_NESTED_MAX,
    SCENARIO_BYTES_MAX,
    SCENARIO_EDGES_MAX,
    SCENARIO_NESTING_MAX,
    SCENARIO_STEPS_MAX,
)
from runtara.testing import run_scenario
from tests.support.scenarios import conditional, echo, finish, immediate, operation, reference, scenario

SECONDS = 20.0
"""For each of the inputs; a second or so is what they need on a machine that is not busy."""

Graph = dict[str, Any]
Edges = list[dict[str, Any]]
TRUE = operation("AND")


def graph(steps: list[dict[str, Any]], edges: Edges, **more: Any) -> Graph:
    """A graph that begins at the first step."""
    return {"steps": {step["id"]: step for step in steps}, "entryPoint": steps[0]["id"], "executionPlan": edges} | more


def edge(source: str, target: str, label: str | None = None, **more: Any) -> dict[str, Any]:
    return {"fromStep": source, "toStep": target, "label": label} | more


def chain(values: list[dict[str, Any]], **more: Any) -> Graph:
    """A step for each value, one after the other, and a Finish."""
    steps = [echo(f"s{number}", value) for number, value in enumerate(values)]
    ids = [*(step["id"] for step in steps), "end"]
    return graph([*steps, finish("end")], [edge(one, other) for one, other in pairwise(ids)], **more)


def plain(count: int) -> list[dict[str, Any]]:
    return [immediate(1)] * count


def each_misspelt(count: int) -> dict[str, Any]:
    """One value with so many references to nowhere."""
    return {"valueType": "composite", "value": [reference(f"steps.zz{number}") for number in range(count)]}


def fan(count: int, width: int = 1) -> Graph:
    """All at once after the first, each with references to its neighbours."""
    steps = [echo("first", immediate(1)), finish("end")]
    for number in range(count):
        before = [reference(f"steps.s{other}.outputs") for other in range(max(0, number - width), number)]
        steps.append(echo(f"s{number}", {"valueType": "composite", "value": before}))
    arms = [(edge("first", step["id"]), edge(step["id"], "end")) for step in steps[2:]]
    return graph(steps, [one for arm in arms for one in arm])


def layered(layers: int, width: int) -> Graph:
    """Every step of a layer leads to every step of the next."""
    names = [["first"], *([f"s{layer}x{place}" for place in range(width)] for layer in range(layers)), ["end"]]
    steps = [echo(name, immediate(1)) for layer in names[:-1] for name in layer]
    edges = [edge(one, other) for these, those in pairwise(names) for one in these for other in those]
    return graph([*steps, finish("end")], edges)


def branches(count: int, *, crossing: bool) -> Graph:
    """Conditionals one after the other; crossing: their branches lead into the next one's as well."""
    steps, edges = [], []
    for number in range(count):
        steps += [conditional(f"c{number}", TRUE), echo(f"t{number}", immediate(1))]
        is_last = number + 1 == count
        after, inside = ("end", "end") if is_last else (f"c{number + 1}", f"t{number + 1}")
        edges += [edge(f"c{number}", f"t{number}", "true"), edge(f"c{number}", after, "false")]
        edges += [edge(f"t{number}", after), *([edge(f"t{number}", inside)] if crossing else ())]
    return graph([*steps, finish("end")], edges)


def handled(count: int) -> Graph:
    """Each step has a handler that leads back to where it went wrong."""
    one = chain(plain(count))
    ids = [*list(one["steps"])[:-1], "end"]
    for source, target in pairwise(ids):
        one["steps"][f"h{source}"] = echo(f"h{source}", immediate(1))
        one["executionPlan"] += [edge(source, f"h{source}", "onError"), edge(f"h{source}", target)]
    return one


def one_handler(count: int) -> Graph:
    """All steps share one handler."""
    one = chain(plain(count))
    one["steps"]["blame"] = {"stepType": "Error", "id": "blame", "code": "X", "message": "x"}
    one["executionPlan"] += [edge(f"s{number}", "blame", "onError") for number in range(count)]
    return one


def asked(count: int, label: str | None = None) -> Graph:
    """One step with so many ways out that are asked for."""
    one = scenario(echo("first", immediate(1)), echo("then", immediate(1)), finish("end"))
    one["executionPlan"] += [edge("first", "then", label, condition=TRUE, priority=number) for number in range(count)]
    return one


def routed(count: int) -> Graph:
    """One Switch with so many routes."""
    names = [f"r{number}" for number in range(count)]
    cases = [{"matchType": "EQ", "match": name, "route": name} for name in names]
    switch = {"stepType": "Switch", "id": "switch", "config": {"value": reference("data.x"), "cases": cases}}
    return graph([switch, finish("end")], [edge("switch", "end", route) for route in (*names, "default")])


def equipped(count: int) -> Graph:
    """One AiAgent that knows one tool by so many names."""
    ai = {"stepType": "AiAgent", "id": "ai", "connectionId": "c", "config": {"userPrompt": immediate("x")}}
    names = [edge("ai", "tool", f"tool{number}") for number in range(count)]
    return graph([ai, echo("tool", immediate(1)), finish("end")], [edge("ai", "end"), *names])


def loops(count: int, inner: Graph | None = None) -> Graph:
    made = inner or graph([finish("end")], [])
    for _ in range(count):
        loop = {"stepType": "While", "id": "loop", "condition": TRUE, "subgraph": made}
        made = scenario(loop, finish("end"))
    return made


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def circle(count: int) -> Graph:
    one = chain(plain(count))
    one["executionPlan"].append(edge(f"s{count - 1}", "s0"))
    return one


def misspelt_fields(document: Graph, count: int) -> Graph:
    for step in document["steps"].values():
        step |= {f"x{number}": 1 for number in range(count)}
    return document


ALMOST = SCENARIO_STEPS_MAX - 1

SOUND: dict[str, Callable[[], Any]] = {
    "a long chain": lambda: chain(plain(ALMOST)),
    "a wide fan": lambda: fan(ALMOST - 2),
    "a wide fan with references across": lambda: fan(ALMOST - 2, width=20),
    "layers with all edges between them": lambda: layered(10, 31),
    "conditionals": lambda: branches(ALMOST // 2, crossing=False),
    "conditionals that cross": lambda: branches(ALMOST // 2, crossing=True),
    "one handler of all": lambda: one_handler(ALMOST - 1),
    "handlers that lead back": lambda: handled(ALMOST // 2),
    "9,000 conditions of one step": lambda: asked(9_000),
    "9,000 conditions of one failure": lambda: asked(9_000, "onError"),
    "9,000 routes of one Switch": lambda: routed(9_000),
    "9,000 names of one tool": lambda: equipped(9_000),
    "loops in each other around much": lambda: loops(18, chain(plain(SCENARIO_STEPS_MAX - 50))),
    "a constant of 4 MB": lambda: chain([immediate("x" * 4_000_000)]),
    "an array of 500,000": lambda: chain([immediate(list(range(500_000)))]),
    "a path of 1,000,000 parts": lambda: chain([reference("data" + ".x" * 1_000_000)]),
}

BROKEN: dict[str, tuple[str, Callable[[], Any]]] = {
    "JSON of 10,000 levels": ("E092", lambda: '{"a":' * 10_000 + "1" + "}" * 10_000),
    "values of 10,000 levels": ("E092", lambda: {"a": nested(10_000)}),
    "10,000 steps": ("E092", lambda: chain(plain(9_999))),
    "a constant of 10 MB": ("E092", lambda: chain([immediate("x" * 10_000_000)])),
    "200 loops in each other": ("E092", lambda: loops(200)),
    "a circle of all": ("E006", lambda: circle(ALMOST)),
    "references to nowhere": ("E010", lambda: chain([each_misspelt(20)] * ALMOST)),
    "references to no variable": (
        "E013",
        lambda: chain(
            [{"valueType": "composite", "value": [reference(f"variables.w{number}") for number in range(5_000)]}],
            variables={f"v{number}": {"type": "string", "value": ""} for number in range(20_000)},
        ),
    ),
    "edges to nowhere": (
        "E014",
        lambda: chain(plain(ALMOST)) | {"executionPlan": [edge(f"q{n}r", f"w{n}t") for n in range(8_000)]},
    ),
    "60,000 edges": (
        "E092",
        lambda: chain(plain(9)) | {"executionPlan": [edge(f"q{n}r", f"w{n}t") for n in range(60_000)]},
    ),
    "unknown fields": ("E082", lambda: chain(plain(1), **{f"x{number}": 1 for number in range(200_000)})),
    "unknown fields of all steps": ("E082", lambda: misspelt_fields(chain(plain(ALMOST)), 200)),
    "keys given twice": ("E085", lambda: "{" + ",".join(f'"k{n}":1,"k{n}":1' for n in range(150_000)) + "}"),
    "one key given often": ("E085", lambda: "{" + ",".join(['"k":1'] * 500_000) + "}"),
    "ids of 100,000 characters": ("E024", lambda: chain(plain(2)) | graph([echo("s" * 100_000, immediate(1))], [])),
    "edges to ids of 100,000 characters": (
        "E014",
        lambda: chain(plain(9)) | {"executionPlan": [edge("x" * 100_000 + str(n), "s1") for n in range(30)]},
    ),
    "brackets": ("E011", lambda: chain([reference("data" + "[" * 1_000_000)])),
    "a template of 2 MB": ("E011", lambda: chain([{"valueType": "template", "value": "{{ data.x }}" * 170_000}])),
    "a condition of 20,000 arguments": (
        "E010",
        lambda: graph([conditional("c", operation("AND", *[reference("steps.zz")] * 20_000))], []),
    ),
    "a pattern that would not end": (
        "E023",
        lambda: chain(
            plain(1), inputSchema={"f": {"type": "string", "pattern": "^(a+)+$", "default": "a" * 50_000 + "b"}}
        ),
    ),
}


def diagnosed(document: Any) -> tuple[list[str], float]:
    """The codes, and the seconds of the processor that they took."""
    before = time.process_time()
    codes = [diagnostic.code for diagnostic in validate(document)]
    return codes, time.process_time() - before


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUND)
def test_what_is_large_and_sound_is_judged_in_bounded_time(name: str) -> None:
    codes, seconds = diagnosed(SOUND[name]())
    assert codes == []
    assert seconds < SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_large_and_broken_is_judged_in_bounded_time(name: str) -> None:
    code, make = BROKEN[name]
    codes, seconds = diagnosed(make())
    assert code in codes
    assert len(codes) <= DIAGNOSTICS_MAX + 1
    assert seconds < SECONDS


def test_errors_beyond_the_limit_are_left_out() -> None:
    document = chain([each_misspelt(DIAGNOSTICS_MAX)])
    assert [diagnostic.code for diagnostic in validate(document)] == ["E010"] * DIAGNOSTICS_MAX
    document = chain([each_misspelt(DIAGNOSTICS_MAX + 1)])
    assert [diagnostic.code for diagnostic in validate(document)] == [*["E010"] * DIAGNOSTICS_MAX, "E092"]


def test_warnings_do_not_count_against_the_limit_of_errors() -> None:
    document = chain(plain(600))
    for step in list(document["steps"].values())[:-1]:
        step |= {"maxRetries": 51, "retryDelay": 3_600_001}
    assert {diagnostic.severity for diagnostic in validate(document)} == {"warning"}


def test_one_edge_more_than_allowed() -> None:
    document = chain(plain(1))
    document["executionPlan"] *= SCENARIO_EDGES_MAX
    assert validate(document) == ()
    document["executionPlan"].append(edge("s0", "end"))
    assert [diagnostic.code for diagnostic in validate(document)] == ["E092"]


def test_a_document_one_byte_too_large() -> None:
    text = '{"entryPoint": "a", "steps": {"a": {"stepType": "Finish", "id": "a"}}}'
    assert validate(text.ljust(SCENARIO_BYTES_MAX)) == ()
    assert [diagnostic.code for diagnostic in validate(text.ljust(SCENARIO_BYTES_MAX + 1))] == ["E092"]


def test_a_document_one_level_too_deep() -> None:
    inside = SCENARIO_NESTING_MAX - 5
    assert validate(chain([immediate(nested(inside))])) == ()
    assert [diagnostic.code for diagnostic in validate(chain([immediate(nested(inside + 1))]))] == ["E092"]


# ---- children


def starting(*children: str) -> Graph:
    """A scenario that starts children, one after the other."""
    steps = [
        {"stepType": "StartScenario", "id": f"s{number}", "childScenarioId": child, "childVersion": "latest"}
        for number, child in enumerate(children)
    ]
    return scenario(*steps, finish("end"))


def codes_of(document: Any, children: dict[str, Any]) -> list[tuple[str, str]]:
    return [(diagnostic.code, diagnostic.path) for diagnostic in validate(document, children)]


def test_children_one_level_too_deep() -> None:
    def family(levels: int) -> dict[str, Any]:
        return {f"c{n}": starting(f"c{n + 1}") for n in range(levels - 1)} | {f"c{levels - 1}": starting()}

    assert codes_of(starting("c0"), family(GRAPHS_NESTED_MAX - 1)) == []
    assert codes_of(starting("c0"), family(GRAPHS_NESTED_MAX)) == [("E092", "$")]


def test_loops_count_as_levels_around_children() -> None:
    inner = {"c0": loops(GRAPHS_NESTED_MAX - 14)}
    assert codes_of(loops(12, starting("c0")), inner) == []
    assert codes_of(loops(13, starting("c0")), inner) == [("E092", "$")]


def test_children_that_each_start_the_next_ones_twice_are_judged_once_each() -> None:
    levels = GRAPHS_NESTED_MAX - 1
    family = {f"c{n}": starting(f"c{n + 1}", f"c{n + 1}") for n in range(levels - 1)} | {f"c{levels - 1}": starting()}
    assert codes_of(starting("c0", "c0"), family) == []


def test_each_step_on_a_circle_of_children_is_named() -> None:
    family = {"a": starting("b"), "b": starting("c", "d"), "c": starting("a"), "d": starting()}
    circle_of = [
        ("E056", "a@1:$.steps.s0.childScenarioId"),
        ("E056", "b@1:$.steps.s0.childScenarioId"),
        ("E056", "c@1:$.steps.s0.childScenarioId"),
    ]
    assert codes_of(starting("a", "d"), family) == circle_of


def test_many_children_count_as_steps() -> None:
    family = {f"c{n}": starting(*[f"c{n + 1}"] * 9) for n in range(30)} | {"c30": starting()}
    assert codes_of(starting("c0"), family) == []
    family = {f"c{n}": starting(*(f"c{10 * n + digit}" for digit in range(10))) for n in range(10_000)}
    assert ("E092", "$") in codes_of(starting("c1"), family)


# ---- what only a run can find


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ({"stepType": "Split", "config": {"value": immediate("abc")}, "subgraph": loops(0)}, "SPLIT_VALUE_INVALID"),
        ({"stepType": "Split", "config": {"value": reference("data")}, "subgraph": loops(0)}, "SPLIT_VALUE_INVALID"),
        (
            {
                "stepType": "While",
                "condition": TRUE,
                "config": {"maxIterations": 2**53, "timeout": 200},
                "subgraph": loops(0),
            },
            "WHILE_TIMEOUT",
        ),
        ({"stepType": "Delay", "durationMs": immediate(1e300)}, "DURATION_INVALID"),
        (echo("step", {"valueType": "template", "value": "{{ ''.__class__.__mro__ }}"}), "TEMPLATE_FAILED"),
        (echo("step", {"valueType": "template", "value": "{{ 'x' * 10**9 }}"}), "TEMPLATE_FAILED"),
        (
            echo("step", {"valueType": "template", "value": "{% for a in range(10**5) %}{{ a * '9' }}{% endfor %}"}),
            "TEMPLATE_FAILED",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_only_a_run_can_find_ends_it_with_a_code(step: dict[str, Any], code: str) -> None:
    before = time.process_time()
    result = await run_scenario(scenario(step | {"id": "step"}, finish("end")), {"a": 1})
    assert result.error is not None
    assert result.error["code"] == code
    assert time.process_time() - before < SECONDS
