"""``runtara diff`` without a server: what could be parked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtara.cli.app import run
from tests.support.scenarios import agent, finish, immediate, scenario

WAIT = {"stepType": "WaitForSignal", "id": "approve"}
PAY = agent("pay", "http/request", {"url": immediate("http://nowhere/")}, maxRetries=0)
FEE = agent("fee", "http/request", {"url": immediate("http://nowhere/")}, maxRetries=0)
START = {"stepType": "StartScenario", "id": "call", "childScenarioId": "kid", "childVersion": "latest", "maxRetries": 0}


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(name: str, document: Any) -> str:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(document))
        return str(path)

    return write


def test_a_safe_deploy_is_exit_code_0_and_a_row_for_each_step(written: Any, capsys: Any) -> None:
    old, new = written("old", scenario(PAY, WAIT, finish())), written("new", scenario(PAY, WAIT, FEE, finish()))
    assert run(["diff", old, new]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["STEP     WAITS FOR  DEPLOY  WHY", "approve  signal     safe    -"]
    assert captured.err == "steps: 1 safe, 0 needs a mapping, 0 unsafe\n"


def test_an_unsafe_deploy_is_exit_code_1_and_says_why(written: Any, capsys: Any) -> None:
    old, new = written("old", scenario(PAY, WAIT, finish())), written("new", scenario(PAY, FEE, WAIT, finish()))
    assert run(["diff", old, new]) == 1
    assert "'fee' was not there, and would run now, before 'approve'" in capsys.readouterr().out
    assert run(["diff", old, new, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["worst"] == "unsafe"
    (spot,) = document["spots"]
    assert (spot["step"], spot["waits_for"], spot["deploy"]) == ("approve", "signal", "unsafe")
    assert [(found["rule"], found["site"]) for found in spot["findings"]] == [("effect-inserted", "fee")]


def test_the_children_of_both_versions_are_told(written: Any, capsys: Any) -> None:
    parent = written("parent", scenario(START, finish()))
    kid, older = written("kid", scenario(PAY, WAIT, finish())), written("older", scenario(WAIT, finish()))
    assert run(["diff", parent, parent, "--child", f"kid={kid}"]) == 0
    assert run(["diff", parent, parent, "--child", f"kid={kid}", "--old-child", f"kid={older}"]) == 1
    assert "'call/pay' was not there" in capsys.readouterr().out
    assert run(["diff", parent, parent, "--child", "kid=/nowhere"]) == 2


def test_a_scenario_with_mistakes_is_refused(written: Any, capsys: Any) -> None:
    good, broken = written("good", scenario(finish())), written("broken", {"steps": {}})
    assert run(["diff", good, broken, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["diagnostics"]
