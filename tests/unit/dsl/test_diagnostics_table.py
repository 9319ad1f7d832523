"""Each mistake gets its code at its place, and nothing else: one table, one mistake a row."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from runtara.dsl import validate
from runtara.limits import SCENARIO_BYTES_MAX, SCENARIO_STEPS_MAX

Change = tuple[str, Any]


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


REMOVE = object()


def changed(*changes: Change) -> dict[str, Any]:
    """The good scenario with other values at some places."""
    document: Any = copy.deepcopy(good())
    for place, value in changes:
        *parents, last = (int(part) if part.isdigit() else part for part in place.split("/"))
        holder = document
        for parent in parents:
            holder = holder[parent]
        if value is REMOVE:
            del holder[last]
        elif isinstance(holder, list) and last == len(holder):
            holder.append(value)
        else:
            holder[last] = value
    return document


def immediate(value: Any) -> dict[str, Any]:
    return {"valueType": "immediate", "value": value}


def reference(path: str) -> dict[str, Any]:
    return {"valueType": "reference", "value": path}


def operation(op: Any, *arguments: Any) -> dict[str, Any]:
    return {"type": "operation", "op": op, "arguments": list(arguments)}


def found(document: Any) -> list[tuple[str, str]]:
    return [(diagnostic.code, diagnostic.path) for diagnostic in validate(document)]


CALL, KEEP, DONE = "steps/call", "steps/keep", "steps/done"

ONE_MISTAKE: list[tuple[str, str, tuple[Change, ...]]] = [
    # -- the graph
    ("E001", "$.entryPoint", (("entryPoint", "chek"),)),
    ("E002", "$.steps.alone", (("steps/alone", {"stepType": "Finish", "id": "alone"}),)),
    ("E005", "$.steps.done.id", (("steps/done/id", "end"),)),
    ("E006", "$.executionPlan", (("executionPlan/4", {"fromStep": "keep", "toStep": "check"}),)),
    ("E014", "$.executionPlan[2].toStep", (("executionPlan/2/toStep", "dome"),)),
    ("E014", "$.executionPlan[2].fromStep", (("executionPlan/2/fromStep", "cal"),)),
    ("E060", "$.steps.keep.name", (("steps/keep/name", "Call"),)),
    ("E072", "$.executionPlan[0].label", (("executionPlan/0/label", "yes"), ("executionPlan/4", {
        "fromStep": "check", "toStep": "call", "label": "true"}))),
    ("E074", "$.executionPlan[2].label", (("executionPlan/2/label", "always"),)),
    ("E075", "$.executionPlan[4]", (("steps/more", {"stepType": "Finish", "id": "more"}), ("executionPlan/4", {
        "fromStep": "done", "toStep": "more"}))),
    ("W003", "$.steps.keep", (("executionPlan/3", REMOVE),)),
    ("W004", "$.steps.check", (("executionPlan/1", REMOVE), ("executionPlan/2/fromStep", "call"), ("executionPlan/3", {
        "fromStep": "call", "toStep": "keep"}), ("executionPlan/1", {"fromStep": "keep", "toStep": "done"}))),
    # -- references
    ("E010", "$.steps.done.inputMapping.status.value", ((f"{DONE}/inputMapping/status", reference("steps.cal.outputs")),)),
    ("E011", "$.steps.done.inputMapping.status.value", ((f"{DONE}/inputMapping/status", reference("data..y")),)),
    ("E011", '$.steps.done.inputMapping["a..b"]', ((f"{DONE}/inputMapping", {"a..b": immediate(1)}),)),
    ("E012", "$.steps.call.inputMapping.body.value", ((f"{CALL}/inputMapping/body", reference("steps.call.outputs")),)),
    ("E012", "$.steps.call.inputMapping.body.value", ((f"{CALL}/inputMapping/body", reference("steps.keep.outputs")),)),
    ("E012", "$.steps.call.inputMapping.body.value", ((f"{CALL}/inputMapping/body", reference("steps.done.outputs")),)),
    ("E013", "$.steps.done.inputMapping.status.value", ((f"{DONE}/inputMapping/status", reference("variables.limt")),)),
    ("E058", "$.steps.done.inputMapping.status.value", ((f"{DONE}/inputMapping/status", reference("steps.call.output")),)),
    ("E058", "$.steps.done.inputMapping.status.value", ((
        f"{DONE}/inputMapping/status", reference("steps.call.outputs.status")),)),
    ("E058", "$.steps.done.inputMapping.status.value", ((
        f"{DONE}/inputMapping/status", reference("steps.check.outputs.outcome")),)),
    ("E126", "$.steps.done.inputMapping.status.value", ((f"{DONE}/inputMapping/status", reference("dta.x")),)),
    ("E126", "$.steps.done.inputMapping.status.value", ((f"{DONE}/inputMapping/status", reference("scenario.x")),)),
    ("E127", "$.steps.done.inputMapping.status.value", ((f"{DONE}/inputMapping/status", reference("loop.index")),)),
    ("E127", "$.steps.done.inputMapping.status.value", ((f"{DONE}/inputMapping/status", reference("steps.error.code")),)),
    ("E126", "$.steps.check.condition.arguments[0].value", (("steps/check/condition/arguments/0", reference("dta")),)),
    # -- capabilities
    ("E020", "$.steps.call.agentId", ((f"{CALL}/agentId", "htpp"),)),
    ("E021", "$.steps.call.capabilityId", ((f"{CALL}/capabilityId", "requst"),)),
    ("E022", "$.steps.call.inputMapping", ((f"{CALL}/inputMapping", {}),)),
    ("E022", "$.steps.call.inputMapping", ((f"{CALL}/inputMapping", REMOVE),)),
    ("E023", "$.steps.call.inputMapping.url.value", ((f"{CALL}/inputMapping/url", immediate({"host": "x"})),)),
    ("E023", "$.steps.call.inputMapping.timeout_ms.value", ((f"{CALL}/inputMapping/timeout_ms", immediate("soon")),)),
    ("E023", "$.steps.call.inputMapping.headers.value", ((f"{CALL}/inputMapping/headers", immediate({"a": []})),)),
    ("E023", "$.steps.call.inputMapping.url.value", ((f"{CALL}/inputMapping/url", immediate(None)),)),
    ("E024", "$.steps.call.inputMapping.method.value", ((f"{CALL}/inputMapping/method", immediate("FETCH")),)),
    ("E028", "$.steps.call.inputMapping.uri", ((f"{CALL}/inputMapping/uri", immediate("x")),)),
    ("E029", "$.steps.keep.inputMapping.source", ((KEEP, {
        "stepType": "Agent", "id": "keep", "agentId": "transform", "capabilityId": "map-fields",
        "inputMapping": {"source_data": immediate(1), "source": immediate(2)}}),)),
    # -- conditions
    ("E025", "$.steps.check.condition.op", (("steps/check/condition", operation("GREATER", immediate(1), immediate(2))),)),
    ("E025", "$.steps.check.condition.op", (("steps/check/condition", operation(["EQ"], immediate(1), immediate(2))),)),
    ("E025", "$.steps.check.condition.arguments", (("steps/check/condition", operation("NE", immediate(1))),)),
    ("E025", "$.steps.check.condition.arguments", (("steps/check/condition", operation("NOT_IN", immediate(1))),)),
    ("E025", "$.steps.check.condition.arguments", (("steps/check/condition", operation("NOT")),)),
    ("E025", "$.steps.check.condition.arguments[1]", (("steps/check/condition", operation("EQ", immediate(1), 2)),)),
    ("E025", "$.steps.check.condition", (("steps/check/condition", True),)),
    ("E025", "$.steps.check.condition.arguments[0]", (("steps/check/condition/arguments/0", {"valueType": "immediate"}),)),
    ("E025", "$.steps.check.condition.arguments", (("steps/check/condition/arguments", 5),)),
    ("E027", "$.steps.check.condition.op", (("steps/check/condition", operation("MATCH", immediate(1), immediate(2))),)),
    ("E090", "$.steps.check.condition.arguments[0].valueType", ((
        "steps/check/condition/arguments/0", {"valueType": "template", "value": "x"}),)),
    ("E082", "$.steps.check.condition.not", (("steps/check/condition/not", True),)),
    # -- the structure
    ("E081", "$.name", (("name", 5),)),
    ("E081", "$.steps.call.maxRetries", ((f"{CALL}/maxRetries", "three"),)),
    ("E081", "$.steps.call.maxRetries", ((f"{CALL}/maxRetries", True),)),
    ("E081", "$.steps.call.maxRetries", ((f"{CALL}/maxRetries", -1),)),
    ("E081", "$.steps.call.timeout", ((f"{CALL}/timeout", 0),)),
    ("E081", "$.steps.call.inputMapping", ((f"{CALL}/inputMapping", []),)),
    ("E081", "$.steps.call.inputMapping.url", ((f"{CALL}/inputMapping/url", "http://x"),)),
    ("E081", "$.notes", (("notes", {}),)),
    ("E082", "$.steps.call.inputMaping", ((f"{CALL}/inputMaping", {}),)),
    ("E082", "$.entrypoint", (("entrypoint", "check"), ("entryPoint", REMOVE))),
    ("E083", "$", (("entryPoint", REMOVE),)),
    ("E083", "$.executionPlan[4]", (("executionPlan/4", {"fromStep": "keep"}),)),
    ("E083", "$.steps.done.inputMapping.status", ((f"{DONE}/inputMapping/status", {"value": "x"}),)),
    ("E084", "$.steps.done.stepType", (("steps/done/stepType", "Finnish"),)),
    ("E084", "$.steps.done.inputMapping.status.valueType", ((
        f"{DONE}/inputMapping/status", {"valueType": "constant", "value": 1}),)),
    ("E024", "$.steps.done.inputMapping.status.type", ((
        f"{DONE}/inputMapping/status", {"valueType": "reference", "value": "data", "type": "text"}),)),
    ("E024", '$.steps[""]', (("steps/", {
        "stepType": "Agent", "id": "", "agentId": "utils", "capabilityId": "do-nothing"}), ("executionPlan/2/toStep", ""), (
        "executionPlan/4", {"fromStep": "", "toStep": "done"}))),
    ("E023", "$.variables.limit.value", (("variables/limit/value", "ten"),)),
    # -- what has to wait
    ("E090", "$.inputSchema", (("inputSchema", {}),)),
    ("E090", "$.steps.call.connectionId", ((f"{CALL}/connectionId", "c"),)),
    ("E090", "$.steps.done.stepType", (("steps/done/stepType", "Split"),)),
    ("E090", "$.steps.done.inputMapping.status.valueType", ((
        f"{DONE}/inputMapping/status", {"valueType": "composite", "value": {}}),)),
    ("E090", "$.executionPlan[4].label", (("executionPlan/4", {
        "fromStep": "call", "toStep": "keep", "label": "onError"}),)),
    ("E090", "$.executionPlan[2].condition", (("executionPlan/2/condition", {}),)),
    # -- what is allowed and probably not meant
    ("W030", "$.steps.call.maxRetries", ((f"{CALL}/maxRetries", 51),)),
    ("W031", "$.steps.call.retryDelay", ((f"{CALL}/retryDelay", 3_600_001),)),
    ("W034", "$.steps.call.timeout", ((f"{CALL}/timeout", 7_200_000),)),
]  # fmt: skip


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
        (f"{DONE}/inputMapping", {"a.b": immediate(1), "a.c": reference("scenario.inputs.data.x")}),
        (f"{DONE}/inputMapping/status", reference("variables._instance_id")),
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
    document = changed(
        ("executionPlan/4", {"fromStep": "call", "toStep": "other"}),
        ("steps/other", {"stepType": "Finish", "id": "other"}),
    )
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


def echo(step_id: str, value: dict[str, Any]) -> dict[str, Any]:
    call = {"stepType": "Agent", "agentId": "utils", "capabilityId": "return-input"}
    return call | {"id": step_id, "inputMapping": {"value": value}}


def test_one_step_more_than_allowed() -> None:
    ids = [f"s{number}" for number in range(SCENARIO_STEPS_MAX + 1)]
    plan = [{"fromStep": one, "toStep": other} for one, other in zip(ids, ids[1:], strict=False)]
    steps = {step_id: echo(step_id, immediate(1)) for step_id in ids[:-1]}
    document = {"steps": steps, "entryPoint": "s0", "executionPlan": plan[:-1]}
    assert [code for code, _ in found(document)] == ["W003"]
    document = {"steps": steps | {ids[-1]: echo(ids[-1], immediate(1))}, "entryPoint": "s0", "executionPlan": plan}
    assert [code for code, _ in found(document)] == ["E092", "W003"]


@pytest.mark.parametrize(("option", "value"), [("debugMode", True), ("durable", False), ("memoryTier", "S")])
def test_options_around_the_graph_that_have_to_wait(option: str, value: Any) -> None:
    assert found({"executionGraph": good(), option: value}) == [("E090", f"$.{option}")]


def test_the_paths_of_a_wrapped_graph_begin_at_the_document() -> None:
    assert found({"executionGraph": changed(("entryPoint", "chek"))}) == [("E001", "$.executionGraph.entryPoint")]


def test_children_have_to_wait() -> None:
    assert [diagnostic.code for diagnostic in validate(good(), {"kid": good()})] == ["E090"]
