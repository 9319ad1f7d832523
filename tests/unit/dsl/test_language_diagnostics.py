"""For each code one mistake that gets it, and the same that just misses: in a scenario with the whole language in it.

A row changes the scenario twice: what stands in both, then the mistake or what is nearest to it and right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from runtara.dsl import validate
from runtara.dsl.diagnostics import Code
from runtara.limits import SCENARIO_NESTING_MAX
from tests.support.language import REMOVE, Change, changed, children, whole_language
from tests.support.scenarios import agent, echo, finish, immediate, operation, reference

Changes = tuple[Change, ...]
Found = list[tuple[str, str]]

PLAN = [(edge["fromStep"], edge["toStep"]) for edge in whole_language()["executionPlan"]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One mistake, and its nearest neighbour."""

    code: str
    at: str
    wrong: Changes
    right: Changes
    both: Changes = ()
    leaves: tuple[tuple[str, str], ...] = ()
    """What else is said of the neighbour, where something is."""


def row(code: str, at: str, wrong: Change, right: Change, *both: Change, leaves: Found | None = None) -> Row:
    return Row(code=code, at=at, wrong=(wrong,), right=(right,), both=both, leaves=tuple(leaves or ()))


def found(changes: Changes) -> Found:
    """What is found after the changes; places in children begin with the child's name."""
    documents = changed({"main": whole_language(), **children()}, *map(_in_main, changes))
    return [(diagnostic.code, diagnostic.path) for diagnostic in validate(documents.pop("main"), documents)]


def _in_main(change: Change) -> Change:
    place, value = change
    return change if place.split("/")[0] in children() else (f"main/{place}", value)


def number_of(source: str, target: str) -> int:
    return PLAN.index((source, target))


def at_edge(source: str, target: str, field: str = "") -> str:
    return f"executionPlan/{number_of(source, target)}{field}"


def edge(
    source: str, target: str, label: str | None = None, *, place: str = "", count: int = len(PLAN), **more: Any
) -> Change:
    """One more edge."""
    ends = {"fromStep": source, "toStep": target} | ({"label": label} if label else {})
    return f"{place}executionPlan/{count}", ends | more


def same(place: str) -> Change:
    """No change."""
    value: Any = whole_language()
    for part in place.split("/"):
        value = value[part]
    return place, value


def error(step_id: str) -> dict[str, Any]:
    return {"stepType": "Error", "id": step_id, "code": "X", "message": "x"}


def delay(step_id: str) -> dict[str, Any]:
    return {"stepType": "Delay", "id": step_id, "durationMs": immediate(1)}


def template(text: str) -> dict[str, Any]:
    return {"valueType": "template", "value": text}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


LAST = f"$.executionPlan[{len(PLAN)}]"
EACH, UNTIL = "steps/each/subgraph", "steps/until/subgraph"
IN_EACH, IN_UNTIL = "$.steps.each.subgraph", "$.steps.until.subgraph"
TRUE = operation("AND")
RESULT = "steps/done/inputMapping/result"
KEEP = "steps/keep/inputMapping/value"
AT_RESULT, AT_KEEP = "$.steps.done.inputMapping.result", "$.steps.keep.inputMapping.value"
DEEPER = "kid@2/steps/loop/subgraph/steps/deeper"
AT_DEEPER = "kid@2:$.steps.loop.subgraph.steps.deeper"
ALIASES = {"source_data": immediate(1), "source": immediate(2)}
BLAME = number_of("fetch", "blame")

GRAPH = [
    row(
        "E001",
        "$.entryPoint",
        ("entryPoint", "begun"),
        ("entryPoint", "begin"),
        ("steps/begin", delay("begin")),
        edge("begin", "secret"),
    ),
    row("E001", f"{IN_EACH}.entryPoint", (f"{EACH}/entryPoint", "bgi"), (f"{EACH}/entryPoint", "big")),
    row("E002", "$.steps.alone", ("name", "X"), edge("pause", "alone", "onError"), ("steps/alone", error("alone"))),
    row(
        "E002",
        f"{IN_UNTIL}.steps.alone",
        ("name", "X"),
        edge("poke", "alone", "onError", place=f"{UNTIL}/", count=2),
        (f"{UNTIL}/steps/alone", error("alone")),
    ),
    row(
        "E004",
        f"{IN_EACH}.steps",
        (EACH, {"steps": {}, "entryPoint": "end"}),
        (EACH, {"steps": {"end": finish("end")}, "entryPoint": "end"}),
    ),
    row("E005", "$.steps.done.id", ("steps/done/id", "end"), ("steps/done/name", "end")),
    row("E005", f"{IN_EACH}.steps.one.id", (f"{EACH}/steps/one/id", "two"), (f"{EACH}/steps/one/name", "two")),
    row("E006", "$.executionPlan", edge("each", "pause"), edge("pause", "until")),
    row("E006", "$.executionPlan", edge("warn", "fetch"), edge("warn", "excused")),
    row(
        "E006",
        f"{IN_UNTIL}.executionPlan",
        edge("again", "poke", place=f"{UNTIL}/", count=2),
        edge("poke", "turn", place=f"{UNTIL}/", count=2),
    ),
    row("E014", f"{LAST}.toStep", edge("pause", "eech"), edge("pause", "each")),
    row(
        "E014",
        "kid@2:$.executionPlan[0].fromStep",
        ("kid@2/executionPlan/0/fromStep", "lop"),
        ("kid@2/executionPlan/0/fromStep", "loop"),
    ),
    row("E060", f"{IN_EACH}.steps.one.name", (f"{EACH}/steps/one/name", "Keep"), (f"{EACH}/steps/one/name", "keep")),
    row(
        "E070",
        LAST,
        *(edge("fetch", "worse", "onError", condition=TRUE, priority=n) for n in (5, 6)),
        ("steps/worse", error("worse")),
    ),
    row("E070", LAST, *(edge("child", "rest", condition=TRUE, priority=n) for n in (1, None))),
    row("E071", LAST, edge("fetch", "excused", "onError"), edge("fetch", "excused", "onError", condition=TRUE)),
    row("E071", LAST, edge("child", "triage"), edge("child", "triage", condition=TRUE)),
    row("E072", f"{LAST}.label", edge("check", "keep", "True"), edge("check", "keep", "true")),
    row("E072", f"{LAST}.label", edge("route", "keep", "quick"), edge("route", "keep", "fast")),
    row(
        "E073",
        "$.executionPlan",
        edge("pause", "early"),
        edge("pause", "early", "onError"),
        ("steps/early", finish("early")),
    ),
    row("E074", f"{LAST}.label", edge("pause", "until", "always"), edge("pause", "until", "next")),
    row("E074", f"{LAST}.label", edge("score", "route", "default"), edge("score", "route", "")),
    row("E075", LAST, edge("blame", "excused"), edge("warn", "excused")),
    row("E075", LAST, edge("rest", "done"), edge("keep", "done")),
    row(
        "E076",
        "$.steps.check",
        (at_edge("check", "keep"), REMOVE),
        ("name", "X"),
        (at_edge("check", "cheap"), REMOVE),
        leaves=[("W004", "$.steps.check")],
    ),
    row(
        "E077",
        f"$.executionPlan[{number_of('check', 'keep')}].condition",
        (at_edge("check", "keep", "/condition"), TRUE),
        (at_edge("pause", "each", "/condition"), TRUE),
    ),
    row(
        "E077",
        f"$.executionPlan[{number_of('route', 'check')}].condition",
        (at_edge("route", "check", "/condition"), TRUE),
        (at_edge("score", "route", "/condition"), TRUE),
    ),
    Row(
        code="W003",
        at="$.steps.stop",
        both=(("steps/stop", delay("stop")), edge("pause", "stop")),
        wrong=(("name", "X"),),
        right=(edge("stop", "until", count=len(PLAN) + 1),),
    ),
    row("W004", "$.steps.check", (at_edge("check", "cheap"), REMOVE), (at_edge("check", "cheap", "/toStep"), "keep")),
    row("W004", "$.steps.route", (at_edge("route", "cheap"), REMOVE), (at_edge("route", "cheap", "/toStep"), "keep")),
    row(
        "E070",
        f"$.executionPlan[{len(PLAN) + 1}]",
        *(edge("route", "rest", "onError", condition=TRUE, priority=n, count=len(PLAN) + 1) for n in (1, 2)),
        edge("route", "rest", "onError", condition=TRUE, priority=1),
    ),
    Row(
        code="E072",
        at="$.steps.route",
        wrong=(("steps/route/config/cases/1/route", "onError:1"), (at_edge("route", "keep", "/label"), "onError:1")),
        right=(("steps/route/config/cases/1/route", "onErrors"), (at_edge("route", "keep", "/label"), "onErrors")),
    ),
]

REFERENCES = [
    row(
        "E010",
        f"{AT_RESULT}.value",
        (RESULT, reference("steps.kep.outputs")),
        (RESULT, reference("steps.keep.outputs")),
    ),
    row("E010", f"{AT_RESULT}.value", (RESULT, template("{{ steps.kep }}")), (RESULT, template("{{ steps.keep }}"))),
    row(
        "E010",
        f"{IN_EACH}.steps.two.inputMapping.value.value",
        (f"{EACH}/steps/two/inputMapping/value", reference("steps.groups.outputs")),
        (f"{EACH}/steps/two/inputMapping/value", reference("variables.groups")),
        ("steps/each/config/variables/groups", reference("steps.groups.outputs")),
    ),
    row(
        "E011",
        "$.steps.groups.config.key",
        ("steps/groups/config/key", "a..b"),
        ("steps/groups/config/key", "['a..b']"),
    ),
    row("E011", f"{AT_RESULT}.value", (RESULT, template("{{ data.mode")), (RESULT, template("data.mode }}"))),
    row(
        "E011",
        '$.steps.child.inputMapping["extra."]',
        ("steps/child/inputMapping/extra.", immediate(1)),
        ("steps/child/inputMapping/extra.x", immediate(1)),
    ),
    row(
        "E011",
        "$.steps.keepers.config.condition.arguments[0].value",
        ("steps/keepers/config/condition/arguments/0", reference("item[")),
        ("steps/keepers/config/condition/arguments/0", reference("item['[']")),
    ),
    row(
        "E012",
        "$.steps.score.config.value.value",
        ("steps/score/config/value", reference("steps.check.outputs.result")),
        ("steps/score/config/value", reference("steps.triage.outputs.response")),
    ),
    row(
        "E012",
        f"{AT_RESULT}.value",
        (RESULT, reference("steps.warn.outputs")),
        (RESULT, reference("steps.check.outputs")),
    ),
    row(
        "E012",
        "$.steps.lookup.inputMapping.url.value",
        ("steps/lookup/inputMapping/url", reference("steps.score.outputs")),
        ("steps/lookup/inputMapping/url", reference("steps.approve.outputs")),
    ),
    row(
        "E012",
        f"{LAST}.condition.arguments[0].value",
        *(
            edge("pause", "until", condition=operation("NOT", reference(f"steps.{step}.outputs")), priority=9)
            for step in ("each", "pause")
        ),
    ),
    row(
        "E013", f"{AT_KEEP}.value", (KEEP, reference("variables.lmit")), (KEEP, reference("variables.lmit", default=0))
    ),
    row(
        "E013",
        "kid@2:$.steps.loop.config.value.value",
        ("kid@2/steps/loop/config/value", reference("variables.site")),
        ("kid@2/steps/loop/config/value", reference("variables._instance_id")),
    ),
    row("E013", f"{AT_KEEP}.value", (KEEP, reference("variables._index")), (KEEP, reference("variables._tenant_id"))),
    row("E051", f"{AT_KEEP}.value", (KEEP, reference("data.mood")), (KEEP, reference("data.mode"))),
    row("E051", f"{AT_KEEP}.value", (KEEP, reference("data.orders[0].sum")), (KEEP, reference("data.orders[0].total"))),
    row(
        "E051",
        f"{IN_EACH}.steps.one.inputMapping.value.value",
        (f"{EACH}/steps/one/inputMapping/value", reference("data.mode")),
        (f"{EACH}/steps/one/inputMapping/value", reference("data.total")),
    ),
    row(
        "E058",
        f"{AT_KEEP}.value",
        (KEEP, reference("steps.keepers.outputs.item")),
        (KEEP, reference("steps.keepers.outputs.items")),
    ),
    row("E058", f"{AT_KEEP}.value", (KEEP, reference("steps.each.stat")), (KEEP, reference("steps.each.stats"))),
    row(
        "E058",
        "$.steps.warn.context.why.value",
        ("steps/warn/context/why", reference("steps.error.cod")),
        ("steps/warn/context/why", reference("steps.__error.attributes.cod")),
    ),
    row("E059", f"{AT_KEEP}.value", (KEEP, reference("data.mode.length")), (KEEP, reference("data.customer.name"))),
    row("E059", f"{AT_KEEP}.value", (KEEP, reference("data.orders.first")), (KEEP, reference("data.orders[-1]"))),
    row("E126", f"{AT_KEEP}.value", (KEEP, reference("dta.mode")), (KEEP, reference("data.mode"))),
    row("E126", f"{AT_KEEP}.value", (KEEP, reference("scenario.mode")), (KEEP, reference("scenario.inputs.data.mode"))),
    row(
        "E127",
        f"{AT_KEEP}.value",
        (KEEP, reference("error.code")),
        ("steps/excused/inputMapping/result", reference("error.code")),
    ),
    row(
        "E127",
        "$.steps.keepers.config.value.value",
        ("steps/keepers/config/value", reference("item.total")),
        (f"{EACH}/steps/two/inputMapping/value", reference("item.total")),
    ),
    row(
        "E127",
        "$.steps.check.condition.arguments[0].value",
        ("steps/check/condition", operation("NOT", reference("loop.index"))),
        ("steps/until/condition", operation("NOT", reference("loop.index"))),
    ),
]

CALLS = [
    row("E020", "$.steps.lookup.agentId", ("steps/lookup/agentId", "htpp"), ("steps/lookup/agentId", "http")),
    row(
        "E021",
        "$.steps.fetch.capabilityId",
        ("steps/fetch/capabilityId", "requst"),
        ("steps/fetch/capabilityId", "http-request"),
    ),
    row(
        "E022",
        "$.steps.fetch.inputMapping",
        ("steps/fetch/inputMapping/url", REMOVE),
        ("steps/lookup/inputMapping", {}),
    ),
    row(
        "E023",
        "$.steps.fetch.inputMapping.timeout_ms.value",
        ("steps/fetch/inputMapping/timeout_ms", immediate("5 s")),
        ("steps/fetch/inputMapping/timeout_ms", immediate("5")),
    ),
    row(
        "E023",
        "$.steps.pause.durationMs.value",
        ("steps/pause/durationMs", immediate("1")),
        ("steps/pause/durationMs", immediate(0.5)),
    ),
    row(
        "E023",
        f"{IN_UNTIL}.steps.poke.timeoutMs.value",
        (f"{UNTIL}/steps/poke/timeoutMs", immediate(True)),
        (f"{UNTIL}/steps/poke/timeoutMs", immediate(1)),
    ),
    row("E023", "$.variables.limit.value", ("variables/limit/value", 10.5), ("variables/limit/value", 11)),
    row(
        "E023",
        "$.inputSchema.mode.default",
        ("inputSchema/mode/default", "quick"),
        ("inputSchema/mode/default", "fast"),
    ),
    row(
        "E023",
        "$.steps.child.inputMapping.order.value",
        ("steps/child/inputMapping/order", immediate("A")),
        ("steps/child/inputMapping/order", immediate({"id": "A"})),
    ),
    row("E024", "$.steps.warn.level", ("steps/warn/level", "warning"), ("steps/warn/level", "error")),
    row(
        "E024",
        "$.steps.fetch.inputMapping.method.value",
        ("steps/fetch/inputMapping/method", immediate("SEND")),
        ("steps/fetch/inputMapping/method", immediate("POST")),
    ),
    row(
        "E024",
        "$.steps.route.config.cases[0].matchType",
        ("steps/route/config/cases/0/matchType", "EQUALS"),
        ("steps/route/config/cases/0/matchType", "NE"),
    ),
    row(
        "E025",
        "$.steps.keepers.config.condition.op",
        ("steps/keepers/config/condition/op", "GREATER"),
        ("steps/keepers/config/condition/op", "GT"),
    ),
    row(
        "E025",
        "$.steps.until.condition.arguments",
        ("steps/until/condition/arguments/2", immediate(1)),
        ("steps/until/condition/arguments/1", immediate(1)),
    ),
    row(
        "E025",
        f"$.executionPlan[{BLAME}].condition.arguments",
        (f"executionPlan/{BLAME}/condition", operation("NOT_IN", immediate(1))),
        (f"executionPlan/{BLAME}/condition", operation("NOT_IN", immediate(1), immediate([]))),
    ),
    row(
        "E027",
        "$.steps.until.condition.op",
        ("steps/until/condition", operation("MATCH", immediate("a"), immediate("b"))),
        ("steps/until/condition", operation("CONTAINS", immediate("a"), immediate("b"))),
    ),
    row(
        "E028",
        "$.steps.fetch.inputMapping.header",
        ("steps/fetch/inputMapping/header", immediate({})),
        ("steps/fetch/inputMapping/headers.more", immediate("")),
    ),
    row(
        "E029",
        "$.steps.keep.inputMapping.source",
        ("steps/keep", agent("keep", "transform/map-fields", ALIASES)),
        ("steps/keep", agent("keep", "transform/map-fields", {"source.a": immediate(1), "source.b": immediate(2)})),
    ),
    row(
        "E030",
        "$.steps.secret.integrationId",
        ("steps/secret/integrationId", "ftp"),
        ("steps/secret/integrationId", "sftp"),
    ),
    row("E031", "$.steps.keep.connectionId", ("steps/keep/connectionId", "crm"), ("steps/lookup/connectionId", "crm")),
    row(
        "W040",
        "$.steps.secret",
        ("name", "X"),
        ("steps/lookup/inputMapping/body", reference("steps.secret.outputs")),
        ("steps/fetch/inputMapping/headers", immediate({})),
    ),
]

SECRET = reference("steps.secret.outputs")
LEAKS = [
    row("E040", AT_KEEP, (KEEP, SECRET), ("steps/fetch/inputMapping/body", SECRET)),
    row("E040", AT_KEEP, (KEEP, template("{{ steps.secret }}")), (KEEP, template("{{ steps.fetch }}"))),
    row("E040", AT_KEEP, (KEEP, reference("steps")), (KEEP, reference("steps.pause"))),
    row(
        "E040",
        "$.steps.each.config.variables.key",
        ("steps/each/config/variables/key", SECRET),
        ("steps/each/config/variables/key", reference("steps.fetch.outputs.body")),
    ),
    row("E041", AT_RESULT, (RESULT, SECRET), (RESULT, reference("steps.fetch.outputs.body"))),
    row(
        "E042",
        "$.steps.warn.context.why",
        ("steps/warn/context/why", SECRET),
        ("steps/warn/context/why", reference("error")),
    ),
    row(
        "E042",
        "$.steps.blame.context.why",
        ("steps/blame/context/why", SECRET),
        ("steps/blame/context/why", immediate(1)),
    ),
]

CHILDREN = [
    row(
        "E050",
        "$.steps.child.childVersion",
        ("steps/child/childVersion", "newest"),
        ("steps/child/childVersion", "LATEST"),
    ),
    row("E050", "$.steps.child.childVersion", ("steps/child/childVersion", 0), ("steps/child/childVersion", "1")),
    row(
        "E054",
        f"{AT_DEEPER}.inputMapping",
        ("name", "X"),
        ("grandkid/inputSchema", {"a": {"type": "integer"}}),
        (f"{DEEPER}/inputMapping", {"a": immediate(1)}),
    ),
    row(
        "E055",
        "$.steps.child.inputMapping",
        ("steps/child/inputMapping", {"extra": immediate({})}),
        ("steps/child/inputMapping", {"order.id": immediate("A")}),
    ),
    row(
        "E055",
        f"{AT_DEEPER}.inputMapping",
        ("grandkid/inputSchema", {"a": {"type": "integer", "required": True}}),
        ("grandkid/inputSchema", {"a": {"type": "integer", "required": True, "default": 1}}),
    ),
    row(
        "E056",
        "grandkid@1:$.steps.hello.childScenarioId",
        (
            "grandkid/steps/hello",
            _START := {
                "stepType": "StartScenario",
                "id": "hello",
                "childScenarioId": "grandkid",
                "childVersion": "latest",
            },
        ),
        (
            "grandkid/steps/hello",
            _START | {"childScenarioId": "kid", "childVersion": 1, "inputMapping": {"order": immediate({})}},
        ),
    ),
    row(
        "E124", "$.steps.child.childScenarioId", ("steps/child/childScenarioId", "kit"), ("steps/child/childVersion", 1)
    ),
    row("E124", "$.steps.child.childScenarioId", ("steps/child/childVersion", 3), ("steps/child/childVersion", "2")),
    row(
        "E124",
        "$.steps.child.childScenarioId",
        ("steps/child/childVersion", "current"),
        (f"{DEEPER}/childVersion", "CURRENT"),
    ),
]

MEMORY = number_of("triage", "history")
AI = [
    row("E110", f"{LAST}.label", edge("triage", "ask", "look_up"), edge("triage", "ask", "look_up2")),
    row("E111", f"{LAST}.label", edge("triage", "ask", "look up"), edge("triage", "ask", "look_UP")),
    row("E111", f"{LAST}.label", edge("triage", "ask", "x" * 65), edge("triage", "ask", "x" * 64)),
    row("E112", "$.steps.triage", ("steps/triage/connectionId", REMOVE), ("steps/triage/config/provider", REMOVE)),
    row(
        "E113",
        f"{LAST}.label",
        edge("triage", "keeper", "memory"),
        edge("triage", "keeper", "memory2"),
        ("steps/keeper", echo("keeper", immediate([]))),
    ),
    row(
        "E114",
        f"$.executionPlan[{MEMORY}]",
        ("steps/history", delay("history")),
        ("steps/history", agent("history", "http/request")),
    ),
    row(
        "E115",
        "$.steps.triage.config.memory",
        ("name", "X"),
        ("steps/triage/config/memory", REMOVE),
        ("steps/history", REMOVE),
        (f"executionPlan/{MEMORY}", REMOVE),
    ),
    row(
        "E116",
        f"$.executionPlan[{MEMORY}]",
        ("steps/triage/config/memory", REMOVE),
        ("steps/triage/config/memory/compaction", REMOVE),
    ),
    row(
        "E128",
        "$.steps.triage.config",
        ("steps/triage/config/userPrompt", REMOVE),
        ("steps/triage/config/systemPrompt", REMOVE),
    ),
    row(
        "E129",
        f"$.executionPlan[{number_of('triage', 'lookup')}]",
        ("steps/lookup", delay("lookup")),
        ("steps/lookup", echo("lookup", immediate(1))),
    ),
    row("E130", "$.steps.lookup", edge("lookup", "keep"), edge("triage", "route")),
]

STRUCTURE = [
    row(
        "E081",
        "$.steps.each.config.parallelism",
        ("steps/each/config/parallelism", "4"),
        ("steps/each/config/parallelism", 0),
    ),
    row(
        "E081",
        "$.steps.triage.config.maxIterations",
        ("steps/triage/config/maxIterations", 0),
        ("steps/triage/config/maxIterations", 1),
    ),
    row(
        "E081",
        "$.steps.until.config.variables.start",
        ("steps/until/config/variables/start", 1),
        ("steps/until/config/variables/start", immediate(None)),
    ),
    row(
        "E082",
        "$.steps.each.config.paralelism",
        ("steps/each/config/paralelism", 4),
        ("steps/each/config/sequential", False),
    ),
    row("E082", "kid@2:$.steps.loop.timeout", ("kid@2/steps/loop/timeout", 1), ("kid@2/steps/loop/config/timeout", 1)),
    row("E083", "$.steps.until", ("steps/until/condition", REMOVE), ("steps/until/config", REMOVE)),
    row("E083", "$.steps.approve.action", ("steps/approve/action/key", REMOVE), ("steps/approve/action", REMOVE)),
    row("E084", "$.steps.pause.stepType", ("steps/pause/stepType", "Dealy"), ("steps/pause/stepType", "Delay")),
    row(
        "E084",
        f"{AT_KEEP}.value.first.valueType",
        (f"{KEEP}/value/first/valueType", "referense"),
        (f"{KEEP}/value/first/valueType", "immediate"),
    ),
    row("E090", "$.steps.fetch.compensation", ("steps/fetch/compensation", {}), ("steps/fetch/durable", False)),
    row(
        "E092",
        "$",
        ("steps/cheap/inputMapping/value", immediate(nested(SCENARIO_NESTING_MAX - 4))),
        ("steps/cheap/inputMapping/value", immediate(nested(SCENARIO_NESTING_MAX - 5))),
    ),
]

SETTINGS = [
    row(
        "E053",
        "$.steps.each.config.variables._index",
        ("steps/each/config/variables/_index", immediate(1)),
        ("steps/each/config/variables/index_", immediate(1)),
    ),
    row("W071", f"{LAST}.priority", edge("pause", "each", priority=1), edge("pause", "each", priority=0)),
    row(
        "W071",
        "$.steps.each.config.parallelism",
        ("steps/each/config/sequential", True),
        ("steps/each/config/sequential", False),
    ),
    row(
        "W071",
        "$.steps.each.config.retryDelay",
        ("steps/each/config/maxRetries", REMOVE),
        ("steps/each/config/retryDelay", REMOVE),
    ),
    row("W071", "$.steps.fetch.retryDelay", ("steps/fetch/maxRetries", 0), ("steps/fetch/maxRetries", REMOVE)),
    row(
        "W071",
        "$.steps.ask.responseSchema.ok.pattern",
        ("steps/ask/responseSchema/ok/pattern", "x"),
        ("steps/ask/responseSchema/note/pattern", "x"),
    ),
    row(
        "E053",
        "$.variables._mine",
        ("variables/_mine", {"type": "integer", "value": 1}),
        ("variables/mine_", {"type": "integer", "value": 1}),
    ),
    row(
        "E057",
        "$.steps.approve.responseSchema.note.min",
        ("steps/approve/responseSchema/note/min", 201),
        ("steps/approve/responseSchema/note/min", 200),
    ),
    row(
        "E057",
        "$.steps.each.inputSchema.id.pattern",
        ("steps/each/inputSchema/id/pattern", "^["),
        ("steps/each/inputSchema/id/pattern", "^\\["),
    ),
    row(
        "W030",
        "$.steps.each.config.maxRetries",
        ("steps/each/config/maxRetries", 51),
        ("steps/each/config/maxRetries", 50),
    ),
    row(
        "W031", "$.steps.child.retryDelay", ("steps/child/retryDelay", 3_600_001), ("steps/child/retryDelay", 3_600_000)
    ),
    row(
        "W032",
        "$.steps.each.config.parallelism",
        ("steps/each/config/parallelism", 101),
        ("steps/each/config/parallelism", 100),
    ),
    row(
        "W033",
        "$.steps.until.config.maxIterations",
        ("steps/until/config/maxIterations", 10_001),
        ("steps/until/config/maxIterations", 10_000),
    ),
    row(
        "W034",
        "$.steps.triage.config.turnTimeout",
        ("steps/triage/config/turnTimeout", 3_600_001),
        ("steps/triage/config/turnTimeout", 3_600_000),
    ),
    row(
        "W034",
        "$.steps.until.config.timeout",
        ("steps/until/config/timeout", 3_600_001),
        ("steps/until/config/timeout", 3_600_000),
    ),
    row(
        "E078",
        "$.steps.score.config.cases[1].match",
        ("steps/score/config/cases/1/match", reference("data.mode")),
        ("steps/score/config/cases/1/match", {"value": "data.mode"}),
    ),
    row(
        "W041",
        "$.steps.lookup.inputMapping",
        ("steps/lookup/inputMapping/url", immediate("https://shop.example.com/")),
        ("steps/lookup/inputMapping/body", immediate({})),
        ("steps/lookup/connectionId", "shop"),
    ),
    row(
        "W071", "$.steps.ask.pollIntervalMs", ("steps/ask/pollIntervalMs", 100), ("steps/ask/timeoutMs", immediate(100))
    ),
]

ROWS = [*GRAPH, *REFERENCES, *CALLS, *LEAKS, *CHILDREN, *AI, *STRUCTURE, *SETTINGS]

TEXTS = {
    "E080": ("", '{"a": NaN}', '{"entryPoint": "a", "steps": {"a": {"stepType": "Finish", "id": "a"}}'),
    "E085": ('{"entryPoint": "a", "entryPoint": "a", "steps": {"a": {"stepType": "Finish", "id": "a"}}}',),
}
"""What no decoded document can have."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.code}-{row.at}")
def test_a_mistake_gets_its_code_at_its_place_and_nothing_else(row: Row) -> None:
    assert found(row.both + row.wrong) == [(row.code, row.at)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.code}-{row.at}")
def test_what_just_misses_the_mistake_gets_nothing(row: Row) -> None:
    assert found(row.both + row.right) == list(row.leaves)


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in TEXTS.items() for text in texts])
def test_a_text_that_is_no_document_gets_its_code(code: str, text: str) -> None:
    assert [diagnostic.code for diagnostic in validate(text)] == [code]


def test_a_text_that_just_is_a_document_gets_none() -> None:
    assert validate('{"entryPoint": "a", "steps": {"a": {"stepType": "Finish", "id": "a"}}}') == ()


def test_the_whole_language_gets_none() -> None:
    assert found(()) == []


def test_every_code_has_a_mistake_that_gets_it_and_one_that_just_misses() -> None:
    assert {row.code for row in ROWS} | set(TEXTS) == {code.value for code in Code}
