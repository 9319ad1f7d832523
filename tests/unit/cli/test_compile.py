"""``runtara compile``: checking, the generated code, children, and debug mode; without a server."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from runtara.cli.app import run

FINISH = {"stepType": "Finish", "id": "finish", "inputMapping": {}}
HELLO = {"steps": {"finish": FINISH}, "entryPoint": "finish"}
BROKEN = {"steps": {"finish": {**FINISH, "nonsense": 1}}, "entryPoint": "finsh"}


def caller(child: str = "kid", version: Any = "latest") -> dict[str, Any]:
    call = {"stepType": "StartScenario", "id": "call", "childScenarioId": child, "childVersion": version}
    plan = [{"fromStep": "call", "toStep": "finish"}]
    return {"steps": {"call": call, "finish": FINISH}, "entryPoint": "call", "executionPlan": plan}


@pytest.fixture(autouse=True)
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    for name, document in {"hello": HELLO, "broken": BROKEN, "caller": caller(), "fixed": caller(version=2)}.items():
        Path(f"{name}.json").write_text(json.dumps(document))
    return tmp_path


def test_a_good_scenario_is_valid_and_nothing_is_compiled(directory, capsys):
    assert run(["compile", "hello.json", "--check"]) == 0
    assert (capsys.readouterr()) == ("", "the scenario is valid\n")
    assert not (directory / "data").exists()


def test_a_check_prints_everything_that_is_wrong(capsys):
    assert run(["compile", "broken.json", "--check"]) == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["CODE", "E082", "E001"]
    assert err == "the scenario has errors\n"


def test_a_check_for_programs_is_one_document(capsys):
    assert run(["compile", "broken.json", "--check", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["valid"] is False
    assert {each["code"] for each in document["diagnostics"]} == {"E082", "E001"}
    assert run(["compile", "hello.json", "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"valid": True, "diagnostics": []}


def test_warnings_alone_leave_a_scenario_valid(capsys):
    log = {"stepType": "Log", "id": "note", "message": "x"}
    Path("warned.json").write_text(json.dumps({"steps": {"note": log}, "entryPoint": "note"}))
    assert run(["compile", "warned.json", "--check", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["code"] for each in document["diagnostics"]] == ["W003"]


def test_the_generated_code_is_written_where_it_is_wanted(capsys):
    assert run(["compile", "hello.json", "--emit-source", "hello.py"]) == 0
    source = Path("hello.py").read_text()
    assert "async def main" in source
    assert run(["compile", "hello.json", "--emit-source", "-"]) == 0
    assert capsys.readouterr().out == source
    ast.parse(source)


def test_the_code_can_be_had_beside_the_artifact(capsys):
    assert run(["compile", "hello.json", "--emit-source", "hello.py", "-o", "hello.pyz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["compiled"] is True
    assert Path("hello.py").exists()
    assert Path("hello.pyz").exists()


def test_debug_mode_changes_the_code(capsys):
    run(["compile", "hello.json", "--emit-source", "plain.py"])
    run(["compile", "hello.json", "--emit-source", "debug.py", "--debug"])
    assert Path("plain.py").read_text() != Path("debug.py").read_text()


def test_children_come_from_files(capsys):
    assert run(["compile", "caller.json", "--check"]) == 1
    assert "E124" in capsys.readouterr().out
    assert run(["compile", "caller.json", "--check", "--child", "kid=hello.json"]) == 0
    assert run(["compile", "caller.json", "-o", "caller.pyz", "--child", "kid=hello.json"]) == 0
    assert Path("caller.pyz").exists()


def test_a_child_has_the_version_that_it_is_given(capsys):
    assert run(["compile", "fixed.json", "--check", "--child", "kid=hello.json"]) == 1
    both = ["--child", "kid@1=broken.json", "--child", "kid@2=hello.json"]
    assert run(["compile", "fixed.json", "--check", *both]) == 0


@pytest.mark.parametrize(
    ("child", "said"),
    [
        ("kid", "is not ID=FILE"),
        ("=hello.json", "is not ID=FILE"),
        ("kid=", "is not ID=FILE"),
        ("kid@two=hello.json", "is not a version"),
        ("kid@0=hello.json", "is not a version"),
        ("kid=missing.json", "cannot be read"),
    ],
)
def test_a_child_that_is_none_is_wrong_usage(child, said, capsys):
    assert run(["compile", "caller.json", "--check", "--child", child]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "-o"),
        (["--check", "-o", "x.pyz"], "leave out -o"),
        (["--check", "--emit-source", "x.py"], "leave out --emit-source"),
    ],
)
def test_what_makes_no_sense_together_is_wrong_usage(arguments, said, capsys):
    assert run(["compile", "hello.json", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_code_that_cannot_be_written_is_one_line(capsys):
    assert run(["compile", "hello.json", "--emit-source", "no/such/directory.py"]) == 1
    assert "cannot be written" in capsys.readouterr().err
