"""Plays a run of a case in this process: its doubles, its services, its crashes, and what is checked of the result."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from runtara.agents import AgentError
from runtara.sdk.memory_store import MemoryInstanceStore
from runtara.testing import RunResult, ScriptedSignal, run_scenario
from tests.conformance.form import NOTHING, Case, Expect, Run
from tests.support.http_server import Answer, RecordingServer, Request, recording_http_server
from tests.support.llm_server import LlmServer, calls

SERVER = "{server}"
"""Stands in data for the address of the HTTP server of the run."""


# ---- the world of a run


def graph_of(case: Case, run: Run) -> dict[str, Any]:
    """The scenario of the case, with what the run sets in it."""
    graph = copy.deepcopy(case.graph)
    for path, value in run.set.items():
        *parents, last = path.split(".")
        place: Any = graph
        for parent in parents:
            place = place[int(parent) if isinstance(place, list) else parent]
        place[last] = value
    return graph


class Services(LlmServer):
    """The HTTP server, the model and the connections of a run, in one."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._told = set(run.answers)
        for path, answers in run.answers.items():
            self.answer(path, *(Answer(**answer) for answer in answers))
        self.say(*map(_said, run.llm))

    def next_answer(self, request: Request) -> Answer:
        """See ``RecordingServer.next_answer``."""
        if request.path in self._told:
            return RecordingServer.next_answer(self, request)
        parameters = {"api_key": "k", "base_url": f"{self.url}/v1"}
        self.connection_answer = Answer(200, {"parameters": parameters, "integration_id": "openai_api_key"})
        return super().next_answer(request)


@asynccontextmanager
async def services_of(run: Run) -> AsyncIterator[Services | None]:
    """The services of the run; None where it needs none."""
    if not (run.answers or run.llm):
        yield None
        return
    services = Services(run)
    async with recording_http_server(services):
        yield services


def _said(turn: Any) -> Any:
    return turn if isinstance(turn, str) else calls(*((name, given) for name, given in turn["calls"]))


def placed(value: Any, server: Services | None) -> Any:
    """The value, with the address of the server where it belongs."""
    return value if server is None else json.loads(json.dumps(value).replace(SERVER, server.url))


def double_of(script: Any) -> Callable[[Mapping[str, Any]], Any]:
    """A stand-in for a capability, new for every run; see README.md."""
    if script == "echo":
        return dict
    if isinstance(script, list):
        return _in_turn(script)
    if "always" in script:
        return lambda _: _reply(script["always"])
    scripts = {value: _in_turn(replies) for value, replies in script["replies"].items()}
    return lambda inputs: scripts[str(inputs[script["by"]])](inputs)


def _in_turn(script: list[Any]) -> Callable[[Mapping[str, Any]], Any]:
    replies = iter(script)

    def reply(_inputs: Mapping[str, Any]) -> Any:
        # The last attempt of a retried step is as good as any: a script that ends is a mistake of the case or a defect.
        for value in replies:
            return _reply(value)
        raise AssertionError("the script of the double is at its end")

    return reply


def _reply(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"error"}:
        raise AgentError.from_data(value["error"])
    if isinstance(value, dict) and value.keys() == {"hangs"}:
        return anyio.sleep_forever()
    return value


# ---- playing


async def played(
    case: Case, run: Run, *, crash_after: int | None = None, debug: bool | None = None
) -> tuple[RunResult, Services | None]:
    """The result of the run, and the services with what they were asked."""
    preloaded = {key: json.dumps(value).encode() for key, value in run.preloaded.items()}
    async with services_of(run) as server:
        result = await run_scenario(
            placed(graph_of(case, run), server),
            placed(run.data, server),
            variables=run.variables,
            children=case.children or None,
            agents={name: double_of(script) for name, script in run.agents.items()},
            signals=[
                ScriptedSignal(kind=signal.kind, name=signal.name, payload=signal.payload, after_step=signal.after)
                for signal in run.signals
            ],
            crash_after=crash_after,
            store=MemoryInstanceStore(checkpoints=preloaded),
            debug=run.debug if debug is None else debug,
            connection_url=None if server is None else server.url,
        )
    return result, server


def effects_of(result: RunResult) -> Counter[str]:
    """How often each effect was asked for; the tries of one step share a key."""
    return Counter(call.idempotency_key for call in result.effects)


# ---- what is expected


def is_subset(expected: Any, found: Any) -> bool:
    """Whether all of the expected is in the found: fields of objects, all elements of arrays, equal values."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            name in found and is_subset(value, found[name]) for name, value in expected.items()
        )
    if isinstance(expected, list):
        return isinstance(found, list) and len(expected) == len(found) and all(map(is_subset, expected, found))
    return type(expected) is type(found) and bool(expected == found)


@dataclass(frozen=True, kw_only=True)
class End:
    """How a run has ended, wherever it ran."""

    status: str
    output: Any
    error: Any
    keys: list[str]
    """Of its checkpoints, sorted."""


def end_of(result: RunResult) -> End:
    """The end of a run in memory."""
    keys = sorted(key for key, _ in result.checkpoints)
    return End(status=result.status, output=result.output, error=result.error, keys=keys)


def check_end(expect: Expect, end: End) -> None:
    """The status, the output, the error and the checkpoints."""
    assert end.status == expect.status, (end.error, end.output)
    if expect.output is not NOTHING:
        assert json.dumps(end.output, sort_keys=True) == json.dumps(expect.output, sort_keys=True)
    if expect.error is not None:
        assert is_subset(expect.error, end.error), end.error
    told = json.dumps(end.error, ensure_ascii=False)
    assert [text for text in expect.error_text_contains if text not in told] == [], told
    if expect.checkpoint_keys is not None:
        assert end.keys == sorted(expect.checkpoint_keys)


def check_result(expect: Expect, result: RunResult) -> None:
    """The end, and the calls, the time and the attempts on the way."""
    check_end(expect, end_of(result))
    for name, wanted in expect.calls.items():
        inputs = [dict(call.inputs) for call in result.calls if name in (call.step_id, _name_of(call))]
        assert (len(inputs) if isinstance(wanted, int) else inputs) == wanted, name
    if expect.elapsed_ms is not None:
        assert round(result.elapsed_s * 1000) == expect.elapsed_ms
    if expect.attempts is not None:
        assert result.attempts == expect.attempts


def _name_of(call: Any) -> str:
    return f"{call.agent_id}/{call.capability_id}"


def check_events(expect: Expect, result: RunResult) -> None:
    """All events of the expected subtypes, one by one; none of the others."""
    subtypes = {event["subtype"] for event in expect.events}
    found = [{"subtype": subtype, **(payload or {})} for subtype, payload in result.events if subtype in subtypes]
    assert is_subset(expect.events, found), found
    assert not {subtype for subtype, _ in result.events} & set(expect.no_events)


def check_requests(expect: Expect, server: Services | None) -> None:
    """All requests that the services got but those for connections, one by one."""
    if expect.requests is None:
        return
    assert server is not None
    asked = [request for request in server.requests if not request.path.startswith("/memory-tenant/")]
    found = [
        {"path": request.path, "method": request.method, "text": request.body.decode()}
        | {"headers": dict(request.headers)}
        | ({"json": request.json} if request.body.startswith((b"{", b"[")) else {})
        for request in asked
    ]
    assert len(found) == len(expect.requests), found
    for wanted, got in zip(expect.requests, found, strict=True):
        rest = dict(wanted)
        assert rest.pop("contains", "") in got["text"]
        assert is_subset(rest, got), got


def check_steps(expect: Expect, traced: RunResult) -> None:
    """Which steps have run, and in which order, as the events of the debug mode tell."""
    marks = [
        (subtype.removeprefix("step_debug_"), payload["step_id"])
        for subtype, payload in traced.events
        if subtype.startswith("step_debug_")
    ]
    begun = Counter(step for kind, step in marks if kind == "start")
    assert {step: begun[step] for step in expect.steps_run_once} == dict.fromkeys(expect.steps_run_once, 1)
    assert [step for step in expect.steps_not_run if step in begun] == []
    for first, then in expect.order_constraints:
        assert marks.index(("end", first)) < marks.index(("start", then)), (first, then)
