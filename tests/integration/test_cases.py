"""Cases of the conformance suite that this version can run; see ``tests/cases``.

Where versions of the reference differ, the youngest one (H) is what we build (dsl.md §16).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runtara.agents import AgentError
from runtara.dsl import validate
from runtara.sdk.memory_store import MemoryInstanceStore
from runtara.testing import RunResult, call_capability, run_scenario
from tests.support.http_server import Answer, recording_http_server

CASES = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parents[1] / "cases").glob("*.json"))
}
RUNS = [
    pytest.param(case["graph"], run, id=f"{name}-{index}")
    for name, case in CASES.items()
    for index, run in enumerate(case.get("runs", []))
    if name not in ("E18", "E02")
]


def expect(result: RunResult, expected: Mapping[str, Any]) -> None:
    assert result.status == expected.get("status", "completed"), result.error
    if "output" in expected:
        assert result.output == expected["output"]
    if "output_by_version" in expected:
        assert result.output == expected["output_by_version"]["H"]
    if "error_text_contains" in expected:
        assert result.error is not None
        assert expected["error_text_contains"] in result.error["message"]
    ran = [call.step_id for call in result.calls]
    for step in expected.get("steps_run_once", []):
        assert ran.count(step) == 1 or step == "done"
    assert not set(expected.get("steps_not_run", [])) & set(ran)
    for first, second in expected.get("order_constraints", []):
        assert ran.index(first) < ran.index(second)


@pytest.mark.parametrize(("graph", "run"), RUNS)
async def test_runs(graph: Any, run: Any) -> None:
    expect(await run_scenario(graph, run["data"], variables=run.get("variables")), run["expect"])


@pytest.mark.parametrize("name", ["H05", "I02", "I05", "I08", "I10", "I31"])
def test_validation(name: str) -> None:
    case = CASES[name]
    found = [diagnostic for diagnostic in validate(case["graph"]) if diagnostic.severity == "error"]
    assert [diagnostic.code for diagnostic in found] == case["expect"].get("codes", case["expect"].get("validate"))
    told = " ".join(f"{diagnostic.message} {diagnostic.hint}" for diagnostic in found)
    assert all(word in told for word in case.get("message_contains", []))


async def test_a_cached_result_wins_over_the_live_input() -> None:
    """E02."""
    store = MemoryInstanceStore(checkpoints={"a": b'"cached"'})
    result = await run_scenario(CASES["E02"]["graph"], {"value": "fresh"}, store=store)
    assert result.output == {"result": "cached"}
    assert result.calls == ()
    assert result.checkpoints == (("a", "cached"),)


def flaky(replies: list[Any]) -> list[Any]:
    return [AgentError.from_data(reply) if isinstance(reply, dict) else reply for reply in replies]


@pytest.mark.parametrize("resumed", [1, 2])
async def test_failed_attempts_survive_a_restart(resumed: int) -> None:
    """E10: two failures, a crash, and what is left of the tries."""
    graph, phases = CASES["E10"]["graph"], CASES["E10"]["phases"]
    whole = await run_scenario(graph, {}, agents={"test/flaky": flaky(phases[0]["script"])})
    assert (whole.output, len(whole.calls)) == (phases[0]["expect"]["output"], 3)

    script = flaky(phases[0]["script"][:2] + phases[resumed]["script"])
    store = MemoryInstanceStore()
    # The second persistence call is the record of the second failure.
    result = await run_scenario(graph, {}, agents={"test/flaky": script}, crash_after=2, store=store)
    assert result.attempts == 2
    assert len(result.calls) == 2 + phases[resumed]["expect"]["calls"]
    expect(result, phases[resumed]["expect"])


async def test_without_fail_on_error_the_answer_is_the_result() -> None:
    """E18."""
    (run,) = CASES["E18"]["runs"]
    async with recording_http_server() as server:
        server.answer("/missing", Answer(404))
        result = await run_scenario(CASES["E18"]["graph"], {"url": f"{server.url}/missing"})
        assert result.output == run["expect"]["output"]
        assert len(server.requests) == run["expect"]["requests"]


@pytest.mark.parametrize("row", CASES["G01"]["table"], ids=lambda row: row["path"])
async def test_paths(row: Any) -> None:
    """G01."""
    finish = {"stepType": "Finish", "id": "f", "inputMapping": {"v": {"valueType": "reference", "value": row["path"]}}}
    result = await run_scenario({"steps": {"f": finish}, "entryPoint": "f"}, CASES["G01"]["data"]["data"])
    assert result.output == {"v": row["value"]}


def condition_of(row: Any) -> dict[str, Any]:
    arguments = [{"valueType": "immediate", "value": value} for value in row["args"]]
    return {"type": "operation", "op": row["op"], "arguments": arguments}


NOT_ENOUGH = {"NOT": 1, "EQ": 2, "NE": 2}


@pytest.mark.parametrize("row", CASES["H04"]["table"], ids=lambda row: f"{row['op']}{row['args']}")
async def test_operators(row: Any) -> None:
    """H04. Too few arguments are a mistake here, not a condition that is false (dsl.md §16)."""
    graph = copy.deepcopy(CASES["H05"]["graph"])
    graph["steps"]["c"]["condition"] = condition_of(row)
    graph["steps"]["y"]["inputMapping"] = {"outputs": {"valueType": "immediate", "value": True}}
    graph["steps"]["n"]["inputMapping"] = {"outputs": {"valueType": "immediate", "value": False}}
    if len(row["args"]) < NOT_ENOUGH.get(row["op"], 0):
        assert [diagnostic.code for diagnostic in validate(graph)] == ["E025"]
    else:
        assert (await run_scenario(graph, {})).output is row["result"]


@pytest.mark.parametrize("row", CASES["L11"]["table"])
async def test_transform(row: Any) -> None:
    """L11, what of it is there."""
    inputs = {name: value for name, value in row["in"].items() if name != "cap"}
    assert await call_capability("transform", row["in"]["cap"], inputs) == row["out"]
