"""What a deploy does to parked instances: each rule with a change that breaks it, and one that just does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runtara.agents import CallContext, agent, capability, registry
from runtara.compiler import CompilationInput, translate_scenario
from runtara.compiler.deploy import RULES, Deploy, Risk, Spot, compare, spots_of
from runtara.compiler.lower import Program
from runtara.compiler.sites import SITES_MAX, layout_of, site_key
from runtara.dsl.children import library_of
from runtara.errors import LimitExceeded
from runtara.stdlib.keys import step_key
from runtara.testing.doubles import registry_with
from tests.support.scenarios import EXAMPLES, conditional, echo, finish, immediate, operation, reference, scenario
from tests.support.scenarios import agent as step


@agent(id="shop")
class Shop:
    """Effects and pure work."""

    @capability(side_effects=True)
    def charge(self, context: CallContext, amount: int = 0) -> dict[str, Any]:
        """Charge."""
        raise NotImplementedError

    @capability(side_effects=True)
    def refund(self, context: CallContext, amount: int = 0) -> dict[str, Any]:
        """Refund."""
        raise NotImplementedError


CATALOG = registry_with({"shop": Shop}, registry())


def program(document: Any, children: Mapping[str, Any] | None = None) -> Program:
    compilation = CompilationInput(
        tenant_id="t", scenario_id="s", execution_graph=document, child_scenarios=library_of(children).children
    )
    return translate_scenario(compilation, catalog=CATALOG).program


def charge(step_id: str = "charge", **more: Any) -> dict[str, Any]:
    return step(step_id, "shop/charge", {"amount": immediate(1)}, **more)


def wait(step_id: str = "approve", **more: Any) -> dict[str, Any]:
    return {"stepType": "WaitForSignal", "id": step_id} | more


def delay(step_id: str = "rest") -> dict[str, Any]:
    return {"stepType": "Delay", "id": step_id, "durationMs": immediate(60_000)}


def loop(kind: str, *steps: dict[str, Any], **config: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"stepType": kind, "id": "loop", "subgraph": scenario(*steps)}
    if kind == "While":
        made["condition"] = operation("LT", reference("loop.index"), immediate(3))
        return made
    return made | {"config": {"value": reference("data.items")} | config}


def start(**more: Any) -> dict[str, Any]:
    return {"stepType": "StartScenario", "id": "call", "childScenarioId": "kid", "childVersion": "latest"} | more


BASE = scenario(charge(), wait(), finish(paid=reference("steps.charge.outputs"), by=reference("steps.approve.outputs")))


def verdict(old: Any, new: Any, key: str = "approve", children: Any = (None, None)) -> list[tuple[str, str]]:
    """The rules that are broken, and by what."""
    deploy = compare(program(old, children[0]), program(new, children[1]))
    found = deploy.verdict(Spot(key, "signal"))
    assert found.risk == max((RULES[finding.rule] for finding in found.findings), default=Risk.SAFE)
    return [(finding.rule, finding.site) for finding in found.findings]


# ---- safe


@pytest.mark.parametrize(
    "new",
    [
        BASE,
        scenario(charge(), wait(), charge("again"), finish()),
        scenario(charge(), wait(), finish(other=immediate(1))),
        scenario(echo("pure", immediate(1)), charge(), wait(), finish()),
        scenario(charge(maxRetries=9, name="Charge it"), wait(timeoutMs=immediate(5)), finish()),
        scenario(charge(inputMapping={"amount": immediate(2)}), wait(), finish()),
        scenario(wait(), finish(by=reference("steps.approve.outputs"))),
        scenario(step("charge", "shop/refund"), wait(), finish()),
    ],
    ids=[
        "the same", "an effect after it", "another result", "a pure step before it", "other settings",
        "other inputs of what is done", "a result that nobody takes is gone", "a result that nobody takes is another",
    ],
)  # fmt: skip
def test_these_changes_are_safe(new: Any) -> None:
    old = BASE if "steps.charge" in str(new) or new is BASE else scenario(charge(), wait(), finish())
    assert verdict(old, new) == []


# ---- the step itself


def test_a_step_that_is_gone_or_renamed_is_unsafe() -> None:
    assert verdict(BASE, scenario(charge(), finish())) == [("step-removed", "approve")]
    deploy = compare(program(BASE), program(scenario(charge(), wait("confirm"), finish())))
    (finding,) = deploy.verdict(Spot("approve", "signal")).findings
    assert finding.message == "there is no 'approve' any more; was it renamed to 'confirm'?"


def test_a_step_that_has_moved_into_a_loop_is_gone_from_where_it_was() -> None:
    assert ("step-removed", "approve") in verdict(
        BASE, scenario(charge(), loop("Split", wait(), finish("f")), finish())
    )


def test_a_step_of_another_type_or_call_is_unsafe() -> None:
    assert verdict(BASE, scenario(charge(), delay("approve"), finish())) == [("step-changed", "approve")]
    assert verdict(BASE, scenario(step("charge", "shop/refund"), wait(), finish()), "charge") == [
        ("step-changed", "charge")
    ]
    assert verdict(BASE, scenario(charge(inputMapping={}), wait(), finish()), "charge") == []


def test_a_container_of_another_type_is_unsafe() -> None:
    old = scenario(loop("Split", wait(), finish("f")), finish())
    new = scenario(loop("While", wait(), finish("f")), finish())
    assert ("container-changed", "loop") in verdict(old, new, "loop[]/approve")
    assert verdict(old, old, "loop[]/approve") == []


# ---- what would run now


def test_an_effect_before_it_would_run_now() -> None:
    new = scenario(charge(), charge("fee"), wait(), finish())
    assert verdict(BASE, new) == [("effect-inserted", "fee")]
    assert verdict(BASE, new, "charge") == []


def test_an_effect_in_the_place_of_a_pure_step_would_run_now() -> None:
    kept = {"stepType": "Filter", "id": "kept"}
    kept["config"] = {"value": reference("data.items"), "condition": operation("IS_DEFINED", reference("item"))}
    old = scenario(kept, wait(), finish())
    assert verdict(old, scenario(charge("kept"), wait(), finish())) == [("effect-inserted", "kept")]
    assert verdict(old, scenario(wait("kept"), wait(), finish())) == [("wait-inserted", "kept")]
    assert (
        verdict(scenario(charge("kept"), wait(), finish()), scenario(step("kept", "shop/refund"), wait(), finish()))
        == []
    )


def test_an_effect_on_another_branch_would_not() -> None:
    decide = conditional("decide", operation("EQ", reference("data.a"), immediate(1)))
    old = scenario(
        decide, wait(), finish(), finish("other"), edges="decide approve:true, decide other:false, approve finish"
    )
    new = scenario(
        decide, wait(), charge(), finish(), finish("other"),
        edges="decide approve:true, decide charge:false, charge other, approve finish",
    )  # fmt: skip
    assert verdict(old, new) == []


def test_an_effect_that_came_later_and_comes_before_now_would_run_too_early() -> None:
    old = scenario(wait(), charge(), finish())
    assert verdict(old, scenario(charge(), wait(), finish())) == [("effect-inserted", "charge")]


def test_an_effect_anywhere_in_a_loop_would_run_for_the_passes_that_are_done() -> None:
    old = scenario(loop("While", wait(), finish("f")), finish())
    new = scenario(loop("While", wait(), charge(), finish("f")), finish())
    assert verdict(old, new, "loop[]/approve") == [("effect-inserted", "loop[]/charge")]


def test_an_effect_that_comes_before_it_in_its_pass_now_would_run_though_earlier_passes_have_come_to_it() -> None:
    old = scenario(loop("Split", wait(), charge(), finish("f")), finish())
    new = scenario(loop("Split", charge(), wait(), finish("f")), finish())
    assert verdict(old, new, "loop[]/approve") == [("effect-inserted", "loop[]/charge")]


def test_an_effect_in_a_child_before_it_would_run_now() -> None:
    document = scenario(start(), wait(), finish())
    before, after = {"kid": scenario(finish())}, {"kid": scenario(charge(), finish())}
    assert verdict(document, document, children=(before, after)) == [("effect-inserted", "call/charge")]
    assert verdict(document, document, children=(after, before)) == []


def test_a_wait_before_it_needs_a_mapping() -> None:
    assert verdict(BASE, scenario(charge(), delay(), wait(), finish())) == [("wait-inserted", "rest")]
    assert verdict(BASE, scenario(charge(), wait(), delay(), finish())) == []


# ---- decisions


def decided(
    condition: dict[str, Any], *, edges: str = "decide charge:true, decide approve:false, charge approve"
) -> Any:
    return scenario(
        echo("limit", immediate(5)), conditional("decide", condition), charge(), wait(), finish(),
        edges=f"limit decide, {edges}, approve finish",
    )  # fmt: skip


def above(limit: dict[str, Any]) -> dict[str, Any]:
    return operation("GT", reference("data.total"), limit)


def test_a_decision_before_it_that_is_another_is_unsafe() -> None:
    old = decided(above(immediate(5)))
    assert verdict(old, decided(above(immediate(6)))) == [("way-changed", "decide")]
    assert verdict(old, decided(above(immediate(5)))) == []


def test_a_way_that_comes_to_an_effect_now_is_unsafe_and_one_that_comes_to_none_is_not() -> None:
    condition = above(immediate(5))
    swapped = decided(condition, edges="decide charge:false, decide approve:true, charge approve")
    assert verdict(decided(condition), swapped) == [("way-changed", "decide")]
    shorter = decided(condition, edges="decide charge:true, decide pure:false, pure approve, charge approve")
    shorter["steps"]["pure"] = echo("pure", immediate(1))
    assert verdict(decided(condition), shorter) == []


def test_a_decision_that_leads_away_from_it_now_is_unsafe() -> None:
    condition = above(immediate(5))
    steps = [conditional("decide", condition), wait(), finish(), finish("other")]
    old = scenario(*steps, edges="decide approve:true, decide other:false, approve finish")
    new = scenario(*steps, edges="decide approve:false, decide other:true, approve finish")
    assert verdict(old, new) == [("way-changed", "decide")]


def test_a_new_decision_about_whether_it_is_reached_is_unsafe() -> None:
    new = scenario(
        charge(), conditional("decide", above(immediate(5))), wait(), finish(), finish("other"),
        edges="charge decide, decide approve:true, decide other:false, approve finish",
    )  # fmt: skip
    assert verdict(scenario(charge(), wait(), finish()), new) == [("way-changed", "decide")]


def test_a_decision_that_is_gone_is_unsafe() -> None:
    old = decided(above(immediate(5)))
    assert verdict(old, scenario(charge(), wait(), finish())) == [("way-changed", "decide")]


def test_a_decision_is_another_when_what_it_looks_at_is_computed_otherwise() -> None:
    def filtered(least: int) -> dict[str, Any]:
        kept = operation("GT", reference("item"), immediate(least))
        return {"stepType": "Filter", "id": "kept", "config": {"value": reference("data.items"), "condition": kept}}

    def document(least: int) -> Any:
        condition = operation("GT", reference("steps.kept.outputs.count"), immediate(0))
        return scenario(
            filtered(least), conditional("decide", condition), wait(), finish(), finish("other"),
            edges="kept decide, decide approve:true, decide other:false, approve finish",
        )  # fmt: skip

    assert verdict(document(1), document(2)) == [("way-changed", "decide")]
    assert verdict(document(1), document(1)) == []


def test_a_decision_that_looks_at_a_stored_result_stays_whatever_that_was_given() -> None:
    def document(limit: int) -> Any:
        return scenario(
            echo("limit", immediate(limit)), conditional("decide", above(reference("steps.limit.outputs"))), wait(),
            finish(), finish("other"),
            edges="limit decide, decide approve:true, decide other:false, approve finish",
        )  # fmt: skip

    assert verdict(document(5), document(6)) == []


def test_the_default_of_a_variable_is_followed_into_decisions() -> None:
    def document(limit: int) -> Any:
        variables = {"limit": {"type": "number", "value": limit}}
        return scenario(
            conditional("decide", above(reference("variables.limit"))), wait(), finish(), finish("other"),
            edges="decide approve:true, decide other:false, approve finish", variables=variables,
        )  # fmt: skip

    assert verdict(document(5), document(6)) == [("way-changed", "decide")]


def test_the_end_of_a_loop_is_not_followed_back_into_the_loop() -> None:
    def document(result: int) -> Any:
        inner = scenario(
            conditional("decide", operation("GT", reference("item.total"), immediate(5))), wait(),
            finish("f", n=immediate(result)), finish("g"),
            edges="decide approve:true, decide g:false, approve f",
        )  # fmt: skip
        split = {"stepType": "Split", "id": "loop", "subgraph": inner, "config": {"value": reference("data.items")}}
        return scenario(split, finish())

    assert verdict(document(1), document(2), "loop[]/approve") == []


def test_a_while_around_it_that_goes_on_otherwise_is_unsafe() -> None:
    old = scenario(loop("While", wait(), finish("f")), finish())
    new = scenario(loop("While", wait(), finish("f")) | {"config": {"maxIterations": 2}}, finish())
    assert verdict(old, new, "loop[]/approve") == [("way-changed", "loop")]


# ---- what is stored


def test_an_effect_that_keeps_no_result_any_more_would_happen_again() -> None:
    assert verdict(BASE, scenario(charge(durable=False), wait(), finish())) == [("result-dropped", "charge")]
    loose = scenario(charge(durable=False), wait(), finish())
    assert verdict(loose, loose) == []


def test_a_result_that_is_gone_and_was_needed_needs_a_mapping() -> None:
    assert verdict(BASE, scenario(wait(), finish())) == [("result-removed", "charge")]
    unused = scenario(charge(), wait(), finish())
    assert verdict(unused, scenario(wait(), finish())) == []


def test_a_result_that_only_a_done_step_took_is_needed_no_more() -> None:
    old = scenario(
        charge(), step("fee", "shop/charge", {"amount": reference("steps.charge.outputs.n")}), wait(), finish()
    )
    new = scenario(charge("fee"), wait(), finish())
    assert verdict(old, new) == []


@pytest.mark.parametrize(
    "changed",
    [step("charge", "shop/refund"), step("charge", "utils/return-input", {"value": immediate(1)}), wait("charge")],
    ids=["capability", "shape", "type"],
)
def test_a_result_that_is_another_and_still_taken_needs_a_mapping(changed: Any) -> None:
    assert ("result-changed", "charge") in verdict(
        BASE, scenario(changed, wait(), finish(paid=reference("steps.charge.outputs")))
    )


def test_a_response_of_another_shape_needs_a_mapping_but_not_where_it_is_waited_for() -> None:
    def document(kind: str) -> Any:
        ask = wait("ask", responseSchema={"n": {"type": kind, "label": kind}})
        return scenario(ask, wait(), finish(n=reference("steps.ask.outputs")))

    assert verdict(document("string"), document("number")) == [("result-changed", "ask")]
    assert verdict(document("string"), document("number"), "ask") == []


def test_other_items_of_a_split_need_a_mapping() -> None:
    body = (charge(), wait(), finish("f"))
    old = scenario(loop("Split", *body), finish())
    new = scenario(loop("Split", *body, value=reference("data.others")), finish())
    assert verdict(old, new, "loop[]/approve") == [("items-changed", "loop")]
    assert verdict(old, scenario(loop("Split", *body, parallelism=9), finish()), "loop[]/approve") == []
    nothing_stored = scenario(loop("Split", finish("f")), wait(), finish())
    others = scenario(loop("Split", finish("f"), value=reference("data.others")), wait(), finish())
    assert verdict(nothing_stored, others) == []


# ---- the input


@pytest.mark.parametrize(
    ("old", "new", "is_narrower"),
    [
        ({}, {"a": {"type": "string"}}, False),
        ({}, {"a": {"type": "string", "required": True}}, True),
        ({}, {"a": {"type": "string", "required": True, "default": "x"}}, False),
        ({"a": {"type": "string"}}, {"a": {"type": "string", "label": "A"}}, False),
        ({"a": {"type": "string"}}, {"a": {"type": "number"}}, True),
        ({"a": {"type": "number", "max": 5}}, {"a": {"type": "number", "max": 9}}, False),
        ({"a": {"type": "number", "max": 5}}, {"a": {"type": "number", "max": 4}}, True),
        ({"a": {"type": "string", "required": True}}, {"a": {"type": "string"}}, False),
        ({"a": {"type": "string", "enum": ["x"]}}, {"a": {"type": "string", "enum": ["x", "y"]}}, False),
        ({"a": {"type": "string"}}, {"a": {"type": "string", "enum": ["x"]}}, True),
        ({"a": {"type": "string"}}, {}, False),
    ],
)
def test_an_input_that_takes_less_needs_a_mapping(old: Any, new: Any, is_narrower: bool) -> None:
    found = verdict(BASE | {"inputSchema": old}, BASE | {"inputSchema": new})
    assert found == ([("input-narrowed", "")] if is_narrower else [])


def test_the_input_of_a_child_that_was_entered_counts_too() -> None:
    document = scenario(start(), finish())
    before = {"kid": scenario(wait(), finish())}
    after = {"kid": scenario(wait(), finish(), inputSchema={"a": {"type": "string", "required": True}})}
    given = scenario(start(inputMapping={"a": immediate("x")}), finish())
    found = verdict(document, given, "call/approve", children=(before, after))
    assert ("input-narrowed", "call") in found


def test_an_instance_that_has_stored_nothing_can_only_have_the_wrong_input() -> None:
    narrowed = BASE | {"inputSchema": {"a": {"type": "string", "required": True}}}
    assert compare(program(BASE), program(scenario(finish()))).verdict(None).risk == Risk.SAFE
    assert compare(program(BASE), program(narrowed)).verdict(None).risk == Risk.NEEDS_MAPPING


# ---- spots and sites


def deployed(document: Any, **more: Any) -> Deploy:
    return compare(program(document, **more), program(document, **more))


def test_instances_sit_on_delays_signals_and_between_tries() -> None:
    document = scenario(
        charge(), charge("once", maxRetries=0), charge("loose", durable=False), delay(), wait(), finish()
    )
    assert [(spot.key, spot.kind) for spot in spots_of(layout_of(program(document)))] == [
        ("charge", "retry"), ("rest", "delay"), ("approve", "signal"),
    ]  # fmt: skip


def test_breakpoints_are_spots_in_debug_mode_only() -> None:
    document = scenario(echo("a", immediate(1), maxRetries=0, breakpoint=True), finish())
    assert spots_of(layout_of(program(document))) == ()
    debug = {"executionGraph": document, "debugMode": True}
    assert spots_of(layout_of(program(debug))) == (Spot("a", "breakpoint"),)


SCENARIOS = sorted(path for path in EXAMPLES.glob("*.json") if path.stem.count(".") == 0)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_an_example_in_its_own_place_is_safe(path: Path) -> None:
    children = {child.stem: child.read_bytes() for child in (EXAMPLES / "children").glob("*.json")}
    assert {found.findings for found in deployed(path.read_bytes(), children=children).verdicts} <= {()}


def test_every_spot_of_the_same_program_is_safe() -> None:
    kid = {"kid": scenario(charge(), wait(), finish())}
    document = scenario(charge(), loop("Split", start(), delay(), finish("f")), wait(), finish())
    verdicts = deployed(document, children=kid).verdicts
    assert [found.spot.key for found in verdicts] == [
        "charge", "loop[]/call", "loop[]/call/charge", "loop[]/call/approve", "loop[]/rest", "approve",
    ]  # fmt: skip
    assert {found.risk for found in verdicts} == {Risk.SAFE}


@pytest.mark.parametrize(
    ("checkpoint", "site"),
    [
        ("charge", "charge"),
        ("loop[3]/charge", "loop[]/charge"),
        ("call/approve/%told", "call/approve"),
        ("loop[0]/approve/%deadline~1", "loop[]/approve"),
        ("%breakpoint/call/charge", "call/charge"),
        ("triage/llm/2", "triage"),
        ("triage/tool/lookup/1", "triage/tool/lookup"),
        ("triage/tool/ask/2/%told", "triage/tool/ask"),
    ],
)
def test_a_checkpoint_belongs_to_a_site(checkpoint: str, site: str) -> None:
    assert site_key(checkpoint) == site


def test_the_keys_of_sites_are_those_of_a_run() -> None:
    name = "50%[a/b]"
    assert next(iter(layout_of(program(scenario(charge(name), finish()))).sites)) == step_key("", name)


def test_children_that_multiply_are_a_limit_and_not_a_long_wait() -> None:
    children: dict[str, Any] = {"k0": scenario(echo("e", immediate(1)), finish())}
    for level in range(1, 16):
        calls = [start(id=name, childScenarioId=f"k{level - 1}") for name in ("a", "b")]
        children[f"k{level}"] = scenario(*calls, finish())
    top = program(scenario(start(childScenarioId="k15"), finish()), children)
    with pytest.raises(LimitExceeded) as caught:
        layout_of(top)
    assert caught.value.attributes["maximum"] == SITES_MAX


def test_every_rule_is_in_the_table_of_the_docstring() -> None:
    import runtara.compiler.deploy as module

    assert all(f"| ``{rule}`` |" in str(module.__doc__) for rule in RULES)
