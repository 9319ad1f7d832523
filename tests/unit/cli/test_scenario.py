"""``runtara scenario``: the schema, the picture, the comparison."""

import json
from pathlib import Path

import jsonschema
import pytest
from defusedxml import ElementTree

from runtara.cli.app import run

ROOT = Path(__file__).parents[3]
HELLO = {
    "name": "Hello",
    "steps": {"finish": {"stepType": "Finish", "id": "finish", "inputMapping": {}}},
    "entryPoint": "finish",
}


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hello.json").write_text(json.dumps(HELLO))


def test_the_schema_is_the_file_and_takes_scenarios(capsys):
    assert run(["scenario", "schema"]) == 0
    out = capsys.readouterr().out
    assert out == (ROOT / "schema" / "scenario.schema.json").read_text()
    jsonschema.Draft202012Validator(json.loads(out)).validate(HELLO)


def test_the_agents_are_listed_with_what_they_can_do(capsys):
    assert run(["scenario", "schema", "--agents"]) == 0
    agents = {agent["id"]: agent for agent in json.loads(capsys.readouterr().out)["agents"]}
    assert "request" in {capability["id"] for capability in agents["http"]["capabilities"]}


def test_a_graph_is_mermaid_text_on_stdout(capsys):
    assert run(["scenario", "graph", "hello.json"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("flowchart TD\n")
    assert err == ""


def test_a_graph_is_an_svg_file(capsys):
    assert run(["scenario", "graph", "hello.json", "--format", "svg", "-o", "hello.svg"]) == 0
    assert capsys.readouterr().out == ""
    assert ElementTree.parse("hello.svg").getroot().tag.endswith("svg")


def test_a_graph_for_programs_is_one_document(capsys):
    assert run(["scenario", "graph", "hello.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "mermaid"
    assert run(["scenario", "graph", "hello.json", "--json", "-o", "hello.mmd"]) == 0
    assert json.loads(capsys.readouterr().out) == {"format": "mermaid", "path": "hello.mmd"}
    assert Path("hello.mmd").read_text().startswith("flowchart TD\n")


def test_what_is_no_scenario_has_no_picture(capsys):
    Path("rubbish.json").write_text("{")
    assert run(["scenario", "graph", "rubbish.json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "E080" in err


def test_a_picture_that_cannot_be_written_is_one_line(capsys):
    assert run(["scenario", "graph", "hello.json", "-o", "no/such/file.svg"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_the_same_language_is_compatible(capsys):
    run(["scenario", "schema"])
    Path("schema.json").write_text(capsys.readouterr().out)
    assert run(["scenario", "compat", "schema.json", "schema.json"]) == 0
    assert capsys.readouterr() == ("", "compatible\n")


def test_a_language_without_a_step_type_is_not(capsys):
    run(["scenario", "schema"])
    schema = json.loads(capsys.readouterr().out)
    Path("old.json").write_text(json.dumps(schema))
    schema["x-step-types"] = [each for each in schema["x-step-types"] if each["type"] != "Log"]
    Path("new.json").write_text(json.dumps(schema))
    assert run(["scenario", "compat", "old.json", "new.json"]) == 1
    assert "RemovedStepType" in capsys.readouterr().out
    assert run(["scenario", "compat", "old.json", "new.json", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"compatible", "breaking_changes", "compatible_changes", "warnings"}
    assert run(["scenario", "compat", "new.json", "old.json"]) == 0


def test_what_is_no_specification_is_refused(capsys):
    Path("rubbish.json").write_text("rubbish")
    assert run(["scenario", "compat", "hello.json", "hello.json"]) == 1
    assert "no specification" in capsys.readouterr().err
    assert run(["scenario", "compat", "rubbish.json", "hello.json"]) == 1
    assert "is not JSON" in capsys.readouterr().err
