"""Random scenarios: what validates compiles, runs, means what its graph means, and survives a crash at any point."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from runtara.compiler import CompilationInput, translate_scenario
from runtara.dsl import validate
from runtara.testing import RunResult, run_scenario
from tests.support.graphs import Case, case_of
from tests.support.scenarios import agent, conditional, echo, finish, immediate, operation, reference

ODD_NAMES = ["a/b", "a b", "a_b", "A-B", "ä", "8", "SCENARIO", "main", "[0]", "é\u0301", "'\"", "# x", "\\", "run"]


def document_of(case: Case, chance: Random) -> dict[str, Any]:
    """A scenario with that graph, whose steps refer to each other at random, and whose names are odd."""
    names = dict(zip(case.graph.steps, chance.sample(ODD_NAMES, len(case.graph.steps)), strict=True))
    steps = {names[step]: _step(step, case, names, chance) for step in case.graph.steps}
    plan = [
        {"fromStep": names[link.source], "toStep": names[link.target]}
        | ({"label": link.way} if link.way != "next" else {})
        for link in case.graph.links
    ]
    return {"steps": steps, "entryPoint": names[case.graph.entry], "executionPlan": plan}


def _step(step: str, case: Case, names: dict[str, str], chance: Random) -> dict[str, Any]:
    value = _value(step, case, names, chance)
    if step in case.forks:
        # The flag decides; the rest of the condition is there to be evaluated.
        seen = operation("IS_DEFINED", value)
        flag = reference(f"data.{step}")
        return conditional(names[step], operation("AND", flag, operation("OR", seen, operation("NOT", seen))))
    if step in case.ends:
        return finish(names[step], end=immediate(step), seen=value)
    if chance.random() < 0.3:
        return agent(names[step], "test/effect", {"step": immediate(step), "seen": value})
    return echo(names[step], value)


def _value(step: str, case: Case, names: dict[str, str], chance: Random) -> dict[str, Any]:
    """A reference to a step that comes before; now and then to one that may come before or beside it."""
    reach = case.graph.reach
    before = [other for other in case.graph.steps if step in reach[other]]
    beside = [other for other in case.graph.steps if other != step and other not in reach[step]]
    candidates = beside if chance.random() < 0.1 else before
    name = names[chance.choice(candidates)] if candidates else "'\""
    if "'" in name and '"' in name:
        return immediate([step, 1.5, None])
    quote = '"' if "'" in name else "'"
    return reference(f"steps[{quote}{name}{quote}].outputs", default="nothing")


def flags_of(case: Case, chance: Random) -> dict[str, bool]:
    return {step: chance.random() < 0.5 for step in case.graph.steps if step in case.forks}


async def run(document: Any, flags: dict[str, bool], **how: Any) -> RunResult:
    return await run_scenario(document, flags, agents={"test/effect": lambda inputs: dict(inputs)}, **how)


def reached(case: Case, flags: dict[str, bool]) -> set[str]:
    found = {case.graph.entry}
    for step in case.graph.topological:
        if step in found:
            way = ("true" if flags[step] else "false") if step in case.forks else "next"
            found |= set(case.graph.targets(step, way))
    return found


numbers = st.integers(0, 2**48)


def errors_of(document: Any) -> list[str]:
    """Without the one that the double of the agent ``test`` takes away."""
    errors = [found.code for found in validate(document) if found.severity == "error"]
    return sorted({code for code in errors if code != "E020"})


def test_the_random_scenarios_reach_the_rare_shapes() -> None:
    documents = [(case_of(number), document_of(case_of(number), Random(number))) for number in range(150)]
    valid = [case for case, document in documents if not errors_of(document)]
    invalid = {code for _, document in documents for code in errors_of(document)}
    assert len(valid) > 75
    assert {"E012", "E073", "E076"} <= invalid
    assert sum(bool(case.flow().marks) for case in valid) > 5
    assert sum(len(case.forks) > 2 for case in valid) > 5
    assert sum(len(case.ends) > 1 for case in valid) > 0


@given(number=numbers)
@settings(max_examples=60, deadline=None)
async def test_what_validates_runs_as_its_graph_means_and_survives_crashes(number: int) -> None:
    case, chance = case_of(number), Random(number)
    document = document_of(case, chance)
    if errors_of(document):
        event("invalid")
        return
    flags = flags_of(case, chance)
    whole = await run(document, flags)
    event(f"valid, persistence calls: {min(whole.persistence_calls, 5)}")
    assert whole.status == "completed", whole.error
    _check_meaning(whole, case, flags, dict(zip(document["steps"], case.graph.steps, strict=True)))
    for point in {chance.randint(1, whole.persistence_calls) for _ in range(3)}:
        for crash in ("crash_after", "crash_before"):
            crashed = await run(document, flags, **{crash: point})
            assert _outcome(crashed) == _outcome(whole)


def _check_meaning(result: RunResult, case: Case, flags: dict[str, bool], steps: dict[str, str]) -> None:
    found = reached(case, flags)
    ends = found & case.ends
    assert (result.output or {}).get("end") == next(iter(ends), None)
    ran = [steps[call.step_id] for call in result.calls]
    assert len(ran) == len(set(ran))
    assert set(ran) <= found - case.forks - case.ends
    if not ends:
        assert set(ran) == found - case.forks - case.ends
    keys = [key for key, _ in result.checkpoints]
    assert len(keys) == len(set(keys)) == len(ran)


def _outcome(result: RunResult) -> tuple[Any, ...]:
    return result.status, result.output, dict(result.checkpoints)


@given(number=numbers)
@settings(max_examples=60, deadline=None)
def test_the_same_scenario_gives_the_same_code_whatever_the_order_of_its_keys(number: int) -> None:
    case = case_of(number)
    document = document_of(case, Random(number))
    for step in document["steps"].values():
        if step.get("agentId") == "test":
            step |= {"agentId": "utils", "capabilityId": "return-input", "inputMapping": {"value": immediate(1)}}
    if errors_of(document):
        return
    turned = {key: document[key] for key in reversed(document)}
    turned["steps"] = {key: dict(reversed(document["steps"][key].items())) for key in document["steps"]}
    sources = {
        translate_scenario(CompilationInput(tenant_id="t", scenario_id="s", execution_graph=form)).layer.source
        for form in (document, turned)
    }
    assert len(sources) == 1
