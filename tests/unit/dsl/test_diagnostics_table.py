"""Each mistake gets its code at its place, and nothing else: one table, one mistake a row."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from runtara.dsl import validate
from runtara.limits import SCENARIO_BYTES_MAX, SCENARIO_STEPS_MAX
from tests.support.language import REMOVE, Change
from tests.support.language import changed as changed_copy
from tests.support.scenarios import echo, immediate, operation, reference


def good() -> dict[str, Any]:
    """A scenario with every construct of this version, and nothing wrong with it."""
    return {
        "name": "Good",
        "entryPoint": "check",
        "variables": {"limit": {"type": "integer", "value": 10}},
        "steps": {
            "check": {
                "stepType": "Conditional",
                "id": "check",
                "condition": {
                    "type": "operation",
                    "op": "GT",
                    "arguments": [
                        {"valueType": "reference", "value": "data.total"},
                        {"valueType": "reference", "value": "variables.limit"},
                    ],
                },
            },
            "call": {
                "stepType": "Agent",
                "id": "call",
                "name": "Call",
                "agentId": "http",
                "capabilityId": "request",
                "inputMapping": {"url": {"valueType": "immediate", "value": "http://localhost/"}},
            },
            "keep": {
                "stepType": "Agent",
                "id": "keep",
                "agentId": "utils",
                "capabilityId": "return-input",
                "inputMapping": {"value": {"valueType": "reference", "value": "data.total", "default": 0}},
            },
            "done": {
                "stepType": "Finish",
                "id": "done",
                "inputMapping": {"status": {"valueType": "reference", "value": "steps.call.outputs.status_code"}},
            },
        },
        "executionPlan": [
            {"fromStep": "check", "toStep": "call", "label": "true"},
            {"fromStep": "check", "toStep": "keep", "label": "false"},
            {"fromStep": "call", "toStep": "done"},
            {"fromStep": "keep", "toStep": "done"},
        ],
    }


def changed(*changes: Change) -> Any:
    """The good scenario with other values at some places."""
    return changed_copy(good(), *changes)


def found(document: Any) -> list[tuple[str, str]]:
    return [(diagnostic.code, diagnostic.path) for diagnostic in validate(document)]


CALL, KEEP = "steps/call", "steps/keep"


def status(value: Any) -> Change:
    """The only mapping of the Finish step."""
    return "steps/done/inputMapping/status", value


def status_at(path: str) -> Change:
    return status(reference(path))


def condition(value: Any) -> Change:
    return "steps/check/condition", value


def call_input(name: str, value: Any) -> Change:
    return f"{CALL}/inputMapping/{name}", value


def edge(index: int, source: str, target: str, label: str | None = None) -> Change:
    return f"executionPlan/{index}", {"fromStep": source, "toStep": target, "label": label}


def finish(step_id: str) -> Change:
    return f"steps/{step_id}", {"stepType": "Finish", "id": step_id}


AT_STATUS = "$.steps.done.inputMapping.status"
AT_CALL = "$.steps.call.inputMapping"
AT_CONDITION = "$.steps.check.condition"
ONE, TWO = immediate(1), immediate(2)
TWO_SOURCES = {
    "stepType": "Agent",
    "id": "keep",
    "agentId": "transform",
    "capabilityId": "map-fields",
    "inputMapping": {"source_data": ONE, "source": TWO},
}

ONE_MISTAKE: list[tuple[str, str, tuple[Change, ...]]] = [
    # -- the graph
    ("E001", "$.entryPoint", (("entryPoint", "chek"),)),
    ("E002", "$.steps.alone", (finish("alone"),)),
    ("E005", "$.steps.done.id", (("steps/done/id", "end"),)),
    ("E006", "$.executionPlan", (edge(4, "keep", "check"),)),
    ("E014", "$.executionPlan[2].toStep", (("executionPlan/2/toStep", "dome"),)),
    ("E014", "$.executionPlan[2].fromStep", (("executionPlan/2/fromStep", "cal"),)),
    ("E060", "$.steps.keep.name", (("steps/keep/name", "Call"),)),
    ("E072", "$.executionPlan[4].label", (edge(4, "check", "call", "yes"),)),
    ("E074", "$.executionPlan[2].label", (("executionPlan/2/label", "always"),)),
    ("E075", "$.executionPlan[4]", (finish("more"), edge(4, "done", "more"))),
    ("W003", "$.steps.keep", (("executionPlan/3", REMOVE),)),
    ("W004", "$.steps.check", (edge(1, "call", "keep"),)),
    # -- references
    ("E010", f"{AT_STATUS}.value", (status_at("steps.cal.outputs"),)),
    ("E011", f"{AT_STATUS}.value", (status_at("data..y"),)),
    ("E011", '$.steps.done.inputMapping["a..b"]', (("steps/done/inputMapping", {"a..b": ONE}),)),
    ("E012", f"{AT_CALL}.body.value", (call_input("body", reference("steps.call.outputs")),)),
    ("E012", f"{AT_CALL}.body.value", (call_input("body", reference("steps.keep.outputs")),)),
    ("E012", f"{AT_CALL}.body.value", (call_input("body", reference("steps.done.outputs")),)),
    ("E013", f"{AT_STATUS}.value", (status_at("variables.limt"),)),
    ("E058", f"{AT_STATUS}.value", (status_at("steps.call.output"),)),
    ("E058", f"{AT_STATUS}.value", (status_at("steps.call.outputs.status"),)),
    ("E058", f"{AT_STATUS}.value", (status_at("steps.check.outputs.outcome"),)),
    ("E126", f"{AT_STATUS}.value", (status_at("dta.x"),)),
    ("E126", f"{AT_STATUS}.value", (status_at("scenario.x"),)),
    ("E126", f"{AT_CONDITION}.arguments[0].value", (("steps/check/condition/arguments/0", reference("dta")),)),
    ("E127", f"{AT_STATUS}.value", (status_at("loop.index"),)),
    ("E127", f"{AT_STATUS}.value", (status_at("steps.error.code"),)),
    # -- capabilities
    ("E020", "$.steps.call.agentId", ((f"{CALL}/agentId", "htpp"),)),
    ("E021", "$.steps.call.capabilityId", ((f"{CALL}/capabilityId", "requst"),)),
    ("E022", AT_CALL, ((f"{CALL}/inputMapping", {}),)),
    ("E022", AT_CALL, ((f"{CALL}/inputMapping", REMOVE),)),
    ("E023", f"{AT_CALL}.url.value", (call_input("url", immediate({"host": "x"})),)),
    ("E023", f"{AT_CALL}.url.value", (call_input("url", immediate(None)),)),
    ("E023", f"{AT_CALL}.timeout_ms.value", (call_input("timeout_ms", immediate("soon")),)),
    ("E023", f"{AT_CALL}.headers.value", (call_input("headers", immediate({"a": []})),)),
    ("E024", f"{AT_CALL}.method.value", (call_input("method", immediate("FETCH")),)),
    ("E028", f"{AT_CALL}.uri", (call_input("uri", immediate("x")),)),
    ("E029", "$.steps.keep.inputMapping.source", ((KEEP, TWO_SOURCES),)),
    # -- conditions
    ("E025", f"{AT_CONDITION}.op", (condition(operation("GREATER", ONE, TWO)),)),
    ("E025", f"{AT_CONDITION}.op", (condition(operation("EQ", ONE, TWO) | {"op": ["EQ"]}),)),
    ("E025", f"{AT_CONDITION}.arguments", (condition(operation("NE", ONE)),)),
    ("E025", f"{AT_CONDITION}.arguments", (condition(operation("NOT_IN", ONE)),)),
    ("E025", f"{AT_CONDITION}.arguments", (condition(operation("NOT")),)),
    ("E025", f"{AT_CONDITION}.arguments", (("steps/check/condition/arguments", 5),)),
    ("E025", f"{AT_CONDITION}.arguments[1]", (condition(operation("EQ", ONE, 2)),)),
    ("E025", f"{AT_CONDITION}.arguments[0]", (condition(operation("NOT", {"valueType": "immediate"})),)),
    ("E025", AT_CONDITION, (condition(True),)),
    ("E027", f"{AT_CONDITION}.op", (condition(operation("MATCH", ONE, TWO)),)),
    ("E082", f"{AT_CONDITION}.not", (("steps/check/condition/not", True),)),
    # -- the structure
    ("E081", "$.name", (("name", 5),)),
    ("E081", "$.steps.call.maxRetries", ((f"{CALL}/maxRetries", "three"),)),
    ("E081", "$.steps.call.maxRetries", ((f"{CALL}/maxRetries", True),)),
    ("E081", "$.steps.call.maxRetries", ((f"{CALL}/maxRetries", -1),)),
    ("E081", "$.steps.call.timeout", ((f"{CALL}/timeout", 0),)),
    ("E081", AT_CALL, ((f"{CALL}/inputMapping", []),)),
    ("E081", f"{AT_CALL}.url", (call_input("url", "http://x"),)),
    ("E081", "$.notes", (("notes", {}),)),
    ("E082", "$.steps.call.inputMaping", ((f"{CALL}/inputMaping", {}),)),
    ("E082", "$.entrypoint", (("entrypoint", "check"), ("entryPoint", REMOVE))),
    ("E083", "$", (("entryPoint", REMOVE),)),
    ("E083", "$.executionPlan[4]", (("executionPlan/4", {"fromStep": "keep"}),)),
    ("E083", AT_STATUS, (status({"value": "x"}),)),
    ("E084", "$.steps.done.stepType", (("steps/done/stepType", "Finnish"),)),
    ("E084", f"{AT_STATUS}.valueType", (status({"valueType": "constant", "value": 1}),)),
    ("E024", f"{AT_STATUS}.type", (status(reference("data") | {"type": "text"}),)),
    ("E024", '$.steps["a\\nb"]', (finish("a\nb"), edge(2, "call", "a\nb"), status(ONE))),
    ("E023", "$.variables.limit.value", (("variables/limit/value", "ten"),)),
    # -- what this version lacks
    ("E090", "$.steps.call.compensation", ((f"{CALL}/compensation", {}),)),
    ("E090", "$.steps.call.connectionRef", ((f"{CALL}/connectionRef", {}),)),
    # -- what is allowed and probably not meant
    ("W030", "$.steps.call.maxRetries", ((f"{CALL}/maxRetries", 51),)),
    ("W031", "$.steps.call.retryDelay", ((f"{CALL}/retryDelay", 3_600_001),)),
    ("W034", "$.steps.call.timeout", ((f"{CALL}/timeout", 7_200_000),)),
]


@pytest.mark.parametrize(
    ("code", "path", "changes"), ONE_MISTAKE, ids=lambda value: value if isinstance(value, str) else ""
)
def test_one_mistake_gets_one_diagnostic(code: str, path: str, changes: tuple[Change, ...]) -> None:
    assert found(changed(*changes)) == [(code, path)]


def test_a_good_scenario_gets_none() -> None:
    assert found(good()) == []


@pytest.mark.parametrize(
    "change",
    [
        (f"{CALL}/maxRetries", 50),
        (f"{CALL}/name", None),
        (f"{CALL}/timeout", 3_600_000),
        (f"{CALL}/inputMapping/timeout_ms", immediate("5000")),
        (f"{CALL}/inputMapping/headers", immediate({"X-Count": 5})),
        (f"{CALL}/inputMapping/headers.X-Count", immediate("5")),
        (f"{CALL}/capabilityId", "http-request"),
        ("executionPlan/2/label", "next"),
        ("executionPlan/2/label", ""),
        ("executionPlan/4", {"fromStep": "keep", "toStep": "done"}),
        ("nodes", [{"anything": 1}]),
        ("notes", [{"text": "x", "position": {"x": 1, "y": 2.5}}]),
        ("steps/check/condition", {"type": "value", **reference("data.flag")}),
        ("steps/check/condition", operation("AND")),
        ("steps/done/inputMapping", {"a.b": immediate(1), "a.c": reference("scenario.inputs.data.x")}),
        status_at("variables._instance_id"),
    ],
    ids=lambda change: change[0],
)
def test_what_is_right_is_left_alone(change: Change) -> None:
    assert found(changed(change)) == []


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"", "E080"),
        (b"{", "E080"),
        (b"\xff", "E080"),
        ('{"a": NaN}', "E080"),
        ('{"a": 1e999}', "E080"),
        ('"\\ud800"', "E080"),
        ({"a": float("nan")}, "E080"),
        ({"a": object()}, "E080"),
        ("[]", "E081"),
        ("null", "E081"),
        ('{"a":' * 65 + "1" + "}" * 65, "E092"),
        ("[" * 100_000, "E092"),
        (b" " * (SCENARIO_BYTES_MAX + 1), "E092"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_no_document_gets_one_diagnostic(document: Any, code: str) -> None:
    assert [diagnostic.code for diagnostic in validate(document)] == [code]


def test_no_steps() -> None:
    assert found({"steps": {}, "entryPoint": ""}) == [("E004", "$.steps")]


def test_a_conditional_without_branches() -> None:
    document = changed(("executionPlan", []), ("steps", {"check": good()["steps"]["check"]}))
    assert found(document) == [("E076", "$.steps.check")]


def test_a_key_given_twice() -> None:
    text = '{"steps": {"a": {"stepType": "Finish", "id": "b", "id": "a"}}, "entryPoint": "a", "entryPoint": "a"}'
    assert found(text) == [("E085", "$.entryPoint"), ("E085", "$.steps.a.id")]


def test_arms_of_a_fan_out_that_end_on_their_own() -> None:
    document = changed(edge(4, "call", "other"), finish("other"))
    assert found(document) == [("E073", "$.executionPlan")]


def test_results_that_each_ask_for_the_other() -> None:
    """Each reference alone could be served; together they leave no order."""
    branch = good()["steps"]["check"] | {"id": "branch"}
    document = {
        "entryPoint": "start",
        "steps": {
            "start": echo("start", immediate(1)),
            "branch": branch,
            "inner": echo("inner", reference("steps.other.outputs")),
            "other": echo("other", reference("steps.inner.outputs")),
        },
        "variables": good()["variables"],
        "executionPlan": [
            {"fromStep": "start", "toStep": "branch"},
            {"fromStep": "start", "toStep": "other"},
            {"fromStep": "branch", "toStep": "inner", "label": "true"},
            {"fromStep": "branch", "toStep": "inner", "label": "false"},
        ],
    }
    codes = [diagnostic.code for diagnostic in validate(document) if diagnostic.severity == "error"]
    assert codes == ["E012"]


def test_one_step_more_than_allowed() -> None:
    ids = [f"s{number}" for number in range(SCENARIO_STEPS_MAX + 1)]
    plan = [{"fromStep": one, "toStep": other} for one, other in pairwise(ids)]
    steps = {step_id: echo(step_id, immediate(1)) for step_id in ids[:-1]}
    document = {"steps": steps, "entryPoint": "s0", "executionPlan": plan[:-1]}
    assert [code for code, _ in found(document)] == ["W003"]
    document = {"steps": steps | {ids[-1]: echo(ids[-1], immediate(1))}, "entryPoint": "s0", "executionPlan": plan}
    assert [code for code, _ in found(document)] == ["E092"]


@pytest.mark.parametrize(
    ("option", "value"), [("debugMode", True), ("durable", False), ("memoryTier", "S"), ("memoryTier", None)]
)
def test_options_around_the_graph(option: str, value: Any) -> None:
    assert found({"executionGraph": good(), option: value}) == []


def test_the_paths_of_a_wrapped_graph_begin_at_the_document() -> None:
    assert found({"executionGraph": changed(("entryPoint", "chek"))}) == [("E001", "$.executionGraph.entryPoint")]
