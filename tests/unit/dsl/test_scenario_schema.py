"""``schema/scenario.schema.json`` takes and refuses what the document model takes and refuses."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runtara.dsl.conditions import OPERATORS
from runtara.dsl.model import DSL_VERSION, ExecutionGraph, Scenario
from runtara.dsl.step_types import STEP_TYPES
from runtara.dsl.structure import check

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "schema" / "scenario.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
WRONG_VALUES: tuple[Any, ...] = (None, True, -1, 0.5, "nonsense", [], [1], {}, {"nonsense": 1})


def read(path: Path) -> Any:
    document = json.loads(path.read_text())
    return document.get("scenario", document) if isinstance(document, dict) else document


def is_scenario(document: Any) -> bool:
    return isinstance(document, dict) and bool({"executionGraph", "steps"} & document.keys())


# What lies beside the scenarios is what their tests give to them.
EXAMPLES = [path for path in sorted((ROOT / "examples" / "scenarios").rglob("*.json")) if is_scenario(read(path))]
CASES = sorted((ROOT / "docs" / "examples").glob("*.json"))


def is_taken_by_the_model(document: Any) -> bool:
    return not any(check(document, Scenario if "executionGraph" in document else ExecutionGraph, "$"))


def mutants(document: Any) -> Iterator[Any]:
    """The document with one thing changed: each value replaced, each member left out, one added everywhere."""
    for path in places(document):
        for wrong in WRONG_VALUES:
            mutant = copy.deepcopy(document)
            at(mutant, path[:-1])[path[-1]] = wrong
            yield mutant
        mutant = copy.deepcopy(document)
        del at(mutant, path[:-1])[path[-1]]
        yield mutant
        if isinstance(at(document, path), dict):
            mutant = copy.deepcopy(document)
            at(mutant, path)["nonsense"] = 1
            yield mutant


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    members = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in members:
        yield (*path, key)
        yield from places(value, (*path, key))


def at(node: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        node = node[key]
    return node


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", EXAMPLES + CASES, ids=lambda path: path.stem)
def test_every_example_is_taken(path: Path) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(read(path))] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_is_changed_is_refused_where_the_model_refuses_it(path: Path) -> None:
    document = read(path)
    differ = [mutant for mutant in mutants(document) if VALIDATOR.is_valid(mutant) is not is_taken_by_the_model(mutant)]
    assert differ == []


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("count", range(4))
def test_an_operator_takes_as_many_arguments_as_it_says(operator: str, count: int) -> None:
    true = {"valueType": "immediate", "value": True, "type": "value"}
    condition = {"type": "operation", "op": operator, "arguments": [true] * count}
    step = {"stepType": "Conditional", "id": "ask", "condition": condition}
    assert VALIDATOR.is_valid({"steps": {"ask": step}, "entryPoint": "ask"}) is (OPERATORS[operator] in (-1, count))


def test_every_type_of_steps_is_described_and_so_is_the_start() -> None:
    described = SCHEMA["x-step-types"]
    assert [each["type"] for each in described] == sorted([*STEP_TYPES, "Start"])
    for each in described:
        assert set(each) == {"type", "displayName", "description", "category", "schema", "outputShape"}
        assert each["category"] in ("control", "execution", "utility")


def test_the_schemas_of_step_types_are_those_that_documents_are_checked_with() -> None:
    found = {each["type"]: each["schema"] for each in SCHEMA["x-step-types"] if each["type"] != "Start"}
    names = {kind: schema["$ref"].removeprefix("#/$defs/") for kind, schema in found.items()}
    assert {kind: SCHEMA["$defs"][name]["properties"]["stepType"] for kind, name in names.items()} == {
        kind: {"const": kind} for kind in STEP_TYPES
    }


def test_the_schema_says_its_version() -> None:
    assert SCHEMA["x-dsl-version"] == DSL_VERSION
