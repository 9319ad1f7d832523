"""The examples in the reference of the language do what it says, each also after a crash at every place."""

import json
from pathlib import Path
from typing import Any

import pytest

from runtara.agents import registry
from runtara.dsl import validate
from runtara.dsl.step_types import STEP_TYPES
from runtara.testing import RunResult, ScriptedSignal, run_scenario
from runtara.testing.doubles import registry_with
from tests.support.llm_server import llm_server

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = json.loads(path.read_text())
    return case


async def run(case: dict[str, Any], **more: Any) -> RunResult:
    async with llm_server() as server:
        server.say(*case.get("model", ()))
        return await run_scenario(
            case["scenario"],
            case["input"],
            children=case.get("children"),
            agents=case.get("agents"),
            signals=[ScriptedSignal(**signal) for signal in case.get("signals", ())],
            connection_url=server.url,
            **more,
        )


def shown(result: RunResult) -> dict[str, Any]:
    return {"status": result.status, "output": result.output, "code": (result.error or {}).get("code")}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
async def test_an_example_does_what_it_says(path: Path) -> None:
    case = read(path)
    result = await run(case)
    if "error" in case:
        assert result.error is not None
        assert {name: result.error[name] for name in case["error"]} == case["error"]
    else:
        assert (result.output, result.error) == (case["output"], None)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
async def test_an_example_is_the_same_after_a_crash_at_every_place(path: Path) -> None:
    undisturbed = await run(read(path))
    for place in range(1, undisturbed.persistence_calls + 1):
        assert shown(await run(read(path), crash_after=place)) == shown(undisturbed)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_nothing_is_to_say_about_an_example(path: Path) -> None:
    case = read(path)
    catalog = registry_with(case.get("agents", {}), registry())
    assert validate(case["scenario"], case.get("children"), catalog=catalog) == ()


def test_there_is_an_example_of_every_type_of_steps() -> None:
    shown = {step["stepType"] for path in EXAMPLES for step in read(path)["scenario"]["steps"].values()}
    assert shown == set(STEP_TYPES)
