"""One scenario with every construct of the language in it, the children that it starts, and changes to them."""

from __future__ import annotations

import json
from typing import Any

from tests.support.scenarios import agent, conditional, echo, finish, immediate, operation, reference, scenario

Change = tuple[str, Any]
"""A place (``steps/call/name``) and what stands there instead."""

REMOVE = object()


def changed(document: Any, *changes: Change) -> Any:
    """A copy of the document with other values at some places; an index one past the end appends."""
    document = json.loads(json.dumps(document))
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


def whole_language() -> dict[str, Any]:
    """Every type of step, edges of every kind, values of every kind; and nothing wrong with it."""
    return {
        "name": "Everything",
        "description": "Orders, from the shop to the archive",
        "entryPoint": "secret",
        "variables": {
            "limit": {"type": "integer", "value": 10},
            "site": {"type": "string", "value": "http://localhost/"},
        },
        "inputSchema": {
            "orders": {"type": "array", "required": True, "items": ORDER},
            "customer": {"type": "object", "properties": {"name": {"type": "string"}, "vip": {"type": "boolean"}}},
            "mode": {"type": "string", "enum": ["fast", "slow"], "default": "slow"},
        },
        "outputSchema": {"result": {"type": "string"}},
        "rateLimitBudgetMs": 1000,
        "executionTimeoutSeconds": 3600,
        "notes": [{"id": "n1", "text": "Look here", "position": {"x": 1, "y": 2.5}}],
        "steps": {step["id"]: step for step in _steps()},
        "executionPlan": _plan(),
    }


ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Z]+$", "min": 1, "max": 20},
        "total": {"type": "number", "min": 0},
    },
}


def _steps() -> list[dict[str, Any]]:
    return [
        {"stepType": "Connection", "id": "secret", "connectionId": "crm", "integrationId": "http_bearer"},
        _fetch(),
        {"stepType": "Log", "id": "warn", "level": "warn", "message": "no luck", "context": {"why": ERROR_CODE}},
        {"stepType": "Error", "id": "blame", "code": "SHOP_DOWN", "message": "no shop", "context": {"why": ERROR_CODE}},
        finish("excused", result=reference("error.message", default="nothing")),
        _filter(),
        _group_by(),
        {"stepType": "Delay", "id": "pause", "durationMs": immediate(50)},
        _split(),
        _while(),
        _start("child", "kid", 2, order=reference("data.orders[0]"), **{"extra.note": immediate("x")}),
        _wait("approve", onWait=scenario(echo("mail", reference("variables._signal_id")), finish())),
        _ai_agent(),
        agent("lookup", "http/request", {"method": immediate("GET")}),
        _wait("ask"),
        _start("sub", "kid", "latest", order=reference("data.orders[0]")),
        echo("history", immediate([])),
        _score(),
        _route(),
        conditional("check", operation("AND", *(operation(op, *arguments) for op, arguments in _CONDITIONS))),
        echo("keep", _composite(), name="Keep"),
        echo("cheap", immediate(0)),
        finish("done", result=_TEMPLATE),
        finish("rest", result=immediate("rest")),
    ]


ERROR_CODE = reference("error.code")

_TEMPLATE = {"valueType": "template", "value": "{{ data.mode }} at {{ variables.site }}"}

_CONDITIONS: list[tuple[str, list[dict[str, Any]]]] = [
    ("GT", [reference("steps.keepers.outputs.count"), immediate(0)]),
    ("OR", [{"type": "value", **reference("data.customer.vip")}, operation("IS_EMPTY", reference("data.mode"))]),
    ("NOT", [operation("IN", reference("data.mode"), immediate(["a", "b"]))]),
]


def _composite() -> dict[str, Any]:
    inner = {"first": reference("data.orders[-1].id"), "all": {"valueType": "composite", "value": [immediate(1)]}}
    return {"valueType": "composite", "value": inner}


def _fetch() -> dict[str, Any]:
    inputs = {
        "url": reference("variables.site", type="string", default="http://localhost/"),
        "headers": {"valueType": "composite", "value": {"X-Key": reference("steps.secret.outputs.parameters.token")}},
        "timeout_ms": immediate(5000),
    }
    more = {"maxRetries": 2, "retryDelay": 10, "timeout": 1000, "durable": True, "connectionId": "crm"}
    return agent("fetch", "http/request", inputs, name="Fetch", **more)


def _filter() -> dict[str, Any]:
    condition = operation("GTE", reference("item.total"), reference("variables.limit"))
    return {
        "stepType": "Filter",
        "id": "keepers",
        "config": {"value": reference("data.orders"), "condition": condition},
    }


def _group_by() -> dict[str, Any]:
    config = {"value": reference("steps.keepers.outputs.items"), "key": "customer.name", "expectedKeys": ["a"]}
    return {"stepType": "GroupBy", "id": "groups", "config": config}


def _split() -> dict[str, Any]:
    inner = scenario(
        conditional("big", operation("GT", reference("item.total"), reference("variables.limit"))),
        echo("one", reference("data.id"), name="One"),
        echo("two", reference("variables._index")),
        {"stepType": "Error", "id": "broken", "code": "NO_SALE", "message": "no", "severity": "critical"},
        finish("end", id=reference("steps.one.outputs", default="none"), shop=reference("variables.shop")),
        edges="big one:true, big two:false, one end, two end, one broken:onError",
    )
    config = {
        "value": reference("data.orders"),
        "parallelism": 4,
        "dontStopOnFailed": True,
        "variables": {"shop": reference("data.mode")},
        "maxRetries": 1,
        "retryDelay": 10,
        "timeout": 10_000,
    }
    schemas = {"inputSchema": ORDER["properties"], "outputSchema": {"id": {"type": "string"}}}
    return {"stepType": "Split", "id": "each", "subgraph": inner, "config": config} | schemas


def _while() -> dict[str, Any]:
    deepest = scenario(
        {"stepType": "Delay", "id": "nap", "durationMs": immediate(1)}, finish("up", n=reference("loop.index"))
    )
    nested = {
        "stepType": "While",
        "id": "again",
        "condition": operation("LT", reference("iteration.index"), immediate(2)),
        "subgraph": deepest,
    }
    inner = scenario(
        _wait("poke", name="Poke"),
        nested,
        finish("turn", last=reference("variables._previousOutputs"), slept=reference("steps.again.outputs.iterations")),
    )
    condition = operation("LT", reference("loop.index"), immediate(3))
    config = {"maxIterations": 5, "timeout": 60_000, "variables": {"start": immediate(1)}}
    return {"stepType": "While", "id": "until", "condition": condition, "subgraph": inner, "config": config}


def _start(step_id: str, child: str, version: int | str, **inputs: dict[str, Any]) -> dict[str, Any]:
    names = {"stepType": "StartScenario", "id": step_id, "childScenarioId": child, "childVersion": version}
    return names | {"inputMapping": inputs, "maxRetries": 1, "retryDelay": 10, "timeout": 60_000}


def _wait(step_id: str, **more: Any) -> dict[str, Any]:
    fields = {"ok": {"type": "boolean", "required": True}, "note": {"type": "string", "max": 200}}
    action = {"key": f"act-{step_id}", "correlation": {"site": reference("variables.site", default="")}}
    names = {"stepType": "WaitForSignal", "id": step_id, "timeoutMs": immediate(60_000)}
    return names | {"responseSchema": fields, "action": action} | more


def _ai_agent() -> dict[str, Any]:
    config = {
        "provider": "openai",
        "systemPrompt": immediate("You sort orders."),
        "userPrompt": {"valueType": "template", "value": "Sort {{ steps.each.outputs }}"},
        "model": immediate("small"),
        "maxIterations": 5,
        "temperature": immediate(0.1),
        "maxTokens": immediate(100),
        "memory": {"conversationId": immediate("c1"), "compaction": {"maxMessages": 10, "strategy": "summarize"}},
        "outputSchema": {"verdict": {"type": "string"}},
        "maxRetries": 1,
        "retryDelay": 10,
        "turnTimeout": 60_000,
    }
    return {"stepType": "AiAgent", "id": "triage", "connectionId": "llm", "config": config}


def _score() -> dict[str, Any]:
    cases = [
        {"matchType": "BETWEEN", "match": [1, 5], "output": {"points": reference("steps.groups.outputs.total_groups")}},
        {"matchType": "IN", "match": [7, 8], "output": 2},
    ]
    config = {"value": reference("steps.keepers.outputs.count"), "cases": cases, "default": 0}
    return {"stepType": "Switch", "id": "score", "config": config}


def _route() -> dict[str, Any]:
    cases = [
        {"matchType": "EQ", "match": "fast", "output": 1, "route": "fast"},
        {"matchType": "STARTS_WITH", "match": "s", "output": 2, "route": "slow"},
    ]
    return {"stepType": "Switch", "id": "route", "config": {"value": reference("data.mode"), "cases": cases}}


def _plan() -> list[dict[str, Any]]:
    chain = "secret fetch, fetch keepers, keepers groups, groups pause, pause each, each until, until child"
    tools = "triage lookup:look_up, triage ask:ask, triage sub:sub, triage history:memory"
    ways = (
        "route check:fast, route keep:slow, route cheap:default, check keep:true, check cheap:false, fetch warn:onError"
    )
    ends = "warn excused, keep done, cheap done"
    text = f"{chain}, child approve, approve triage, {tools}, triage score, score route, {ways}, {ends}"
    edges = [
        dict(zip(("fromStep", "toStep"), edge.split(":")[0].split(), strict=True)) | _label(edge)
        for edge in text.split(", ")
    ]
    down = operation("EQ", reference("__error.code"), immediate("HTTP_500"))
    early = operation("IS_EMPTY", reference("steps.child.outputs"))
    return [
        *edges,
        {"fromStep": "fetch", "toStep": "blame", "label": "onError", "condition": down, "priority": 5},
        {"fromStep": "child", "toStep": "rest", "condition": early, "priority": 1},
    ]


def _label(edge: str) -> dict[str, str]:
    label = edge.partition(":")[2]
    return {"label": label} if label else {}


def children() -> dict[str, Any]:
    """What it starts: a scenario in two versions, of which the newer starts another one inside a loop."""
    fields = {"order": {"type": "object", "required": True}, "extra": {"type": "object"}, "times": {"type": "integer"}}
    old = scenario(echo("same", reference("data.order")), finish("end", order=reference("steps.same.outputs")))
    inner = scenario(_start("deeper", "grandkid", "current"), finish("turn", n=immediate(1)))
    loop = {
        "stepType": "Split",
        "id": "loop",
        "subgraph": inner,
        "config": {"value": immediate([1, 2])},
    }
    new = scenario(loop, finish("end", all=reference("steps.loop.outputs")))
    return {
        "kid@1": old | {"inputSchema": fields},
        "kid@2": new | {"inputSchema": fields},
        "grandkid": scenario({"stepType": "Log", "id": "hello", "message": "hi"}, finish()),
    }
