"""The conformance suite: every case compiled and run in this process, and again with a crash after every write.

``README.md`` describes the form of a case. ``test_real_instance.py`` runs some of them on a server.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtara.agents import AgentError
from runtara.compiler import CompilationInput, compile_scenario
from runtara.dsl import validate
from runtara.dsl.children import library_of
from runtara.testing import RunResult, call_capability, run_scenario
from tests.conformance.form import NOTHING, Capability, Case, Operator, Reference, Run, read_cases
from tests.conformance.play import (
    check_events,
    check_requests,
    check_result,
    check_steps,
    effects_of,
    end_of,
    played,
)

CASES = read_cases()
RUNS = {f"{case.id}-{number}": (case, run) for case in CASES.values() for number, run in enumerate(case.runs, 1)}
# A run with a breakpoint would stand still in debug mode.
TRACED = {
    name: (case, run)
    for name, (case, run) in RUNS.items()
    if not run.debug and '"breakpoint": true' not in json.dumps(case.graph)
}
VALIDATED = [pytest.param(case, id=case.id) for case in CASES.values() if case.validation is not None]
COMPILED = [pytest.param(case, id=case.id) for case in CASES.values() if case.dependencies is not None]


def rows(kind: str) -> list[Any]:
    """The rows of one kind of table, of all cases."""
    return [
        pytest.param(case, row, id=f"{case.id}-{number}")
        for case in CASES.values()
        if case.table is not None
        for number, row in enumerate(getattr(case.table, kind), 1)
    ]


def test_the_suite_is_as_large_as_it_says() -> None:
    assert len(CASES) >= 200


# ---- runs


@pytest.mark.parametrize(("case", "run"), RUNS.values(), ids=RUNS)
async def test_a_run_ends_as_expected_and_so_it_does_with_a_crash_after_every_write(case: Case, run: Run) -> None:
    undisturbed, server = await played(case, run)
    check_result(run.expect, undisturbed)
    check_events(run.expect, undisturbed)
    check_requests(run.expect, server)
    for write in range(1, undisturbed.persistence_calls + 1):
        crashed, _ = await played(case, run, crash_after=write)
        check_crashed(run, crashed, undisturbed, f"after a crash at write {write}")


def check_crashed(run: Run, crashed: RunResult, undisturbed: RunResult, when: str) -> None:
    """The same end, with the same checkpoints; each effect as often as without the crash."""
    end, wanted_end = end_of(crashed), end_of(undisturbed)
    if run.races:
        assert replace(end, keys=[]) == replace(wanted_end, keys=[]), when
        return
    assert end == wanted_end, when
    effects, wanted = effects_of(crashed), effects_of(undisturbed)
    assert (effects.keys() == wanted.keys()) if run.repeats_effects else (effects == wanted), when


@pytest.mark.parametrize(("case", "run"), TRACED.values(), ids=TRACED)
async def test_debug_mode_tells_which_steps_run_and_changes_nothing_else(case: Case, run: Run) -> None:
    traced, _ = await played(case, run, debug=True)
    check_result(run.expect, traced)
    check_steps(run.expect, traced)


# ---- validation and compilation


@pytest.mark.parametrize("case", VALIDATED)
def test_the_validator_says_what_is_expected(case: Case) -> None:
    assert case.validation is not None
    found = validate(case.graph, case.children or None)
    by_severity = {
        severity: sorted(diagnostic.code for diagnostic in found if diagnostic.severity == severity)
        for severity in ("error", "warning")
    }
    if case.validation.codes is not None:
        assert by_severity["error"] == sorted(case.validation.codes), found
    if case.validation.warnings is not None:
        assert by_severity["warning"] == sorted(case.validation.warnings), found
    told = " ".join(f"{diagnostic.message} {diagnostic.hint}" for diagnostic in found)
    assert [word for word in case.validation.message_contains if word not in told] == [], told


@pytest.mark.parametrize("case", COMPILED)
def test_compiling_describes_the_artifact(case: Case, tmp_path: Path) -> None:
    assert case.dependencies is not None
    compiled = compile_scenario(
        CompilationInput(
            tenant_id="t",
            scenario_id=case.id,
            execution_graph=case.graph,
            child_scenarios=library_of(case.children).children,
        ),
        data_dir=tmp_path,
    )
    artifact = compiled.binary_path.read_bytes()
    assert compiled.binary_checksum == hashlib.sha256(artifact).hexdigest()
    assert compiled.binary_size == len(artifact)
    fields = ("step_id", "child_scenario_id", "child_version_requested", "child_version_resolved")
    assert [[getattr(found, field) for field in fields] for found in compiled.child_dependencies] == [
        [getattr(wanted, field) for field in fields] for wanted in case.dependencies
    ]


# ---- tables


@pytest.mark.parametrize(("case", "row"), rows("capabilities"))
async def test_a_capability_returns_what_the_table_says(case: Case, row: Capability) -> None:
    assert case.table is not None
    agent_id, _, capability_id = (row.capability or case.table.capability).partition("/")
    if row.error is None:
        assert await call_capability(agent_id, capability_id, row.inputs) == row.output
        return
    with pytest.raises(AgentError) as raised:
        await call_capability(agent_id, capability_id, row.inputs)
    assert raised.value.code == row.error


@pytest.mark.parametrize(("case", "row"), rows("references"))
async def test_a_reference_comes_to_what_the_table_says(case: Case, row: Reference) -> None:
    assert case.table is not None
    value = {"valueType": "reference", "value": row.path}
    value |= {} if row.type is None else {"type": row.type}
    value |= {} if row.default is NOTHING else {"default": row.default}
    finish = {"stepType": "Finish", "id": "f", "inputMapping": {"v": value}}
    result = await run_scenario({"steps": {"f": finish}, "entryPoint": "f"}, case.table.data)
    if row.error is None:
        assert json.dumps(result.output) == json.dumps({"v": row.value}), result.error
    else:
        assert result.error is not None
        assert result.error["code"] == row.error


DECISION: Any = {
    "entryPoint": "c",
    "steps": {
        "c": {"stepType": "Conditional", "id": "c"},
        "y": {"stepType": "Finish", "id": "y", "inputMapping": {"outputs": {"valueType": "immediate", "value": True}}},
        "n": {"stepType": "Finish", "id": "n", "inputMapping": {"outputs": {"valueType": "immediate", "value": False}}},
    },
    "executionPlan": [
        {"fromStep": "c", "toStep": "y", "label": "true"},
        {"fromStep": "c", "toStep": "n", "label": "false"},
    ],
}


@pytest.mark.parametrize(("case", "row"), rows("operators"))
async def test_an_operator_is_as_the_table_says(case: Case, row: Operator) -> None:
    arguments = [value if _is_value(value) else {"valueType": "immediate", "value": value} for value in row.args]
    graph = copy.deepcopy(DECISION)
    graph["steps"]["c"]["condition"] = {"type": "operation", "op": row.op, "arguments": arguments}
    if row.codes is not None:
        assert [diagnostic.code for diagnostic in validate(graph) if diagnostic.severity == "error"] == row.codes
    else:
        result = await run_scenario(graph, case.table and case.table.data)
        assert result.output is row.result, result.error


def _is_value(value: Any) -> bool:
    return isinstance(value, dict) and ("valueType" in value or "op" in value)
