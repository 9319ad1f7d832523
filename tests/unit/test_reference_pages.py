"""The generated reference says everything that there is to say about the language."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from runtara.agents import registry
from runtara.agents.registry import BUILT_IN_IDS
from runtara.dsl import mappings, model
from runtara.dsl.conditions import OPERATORS
from runtara.dsl.step_types import STEP_TYPES, step_class
from runtara.dsl.template_filters import FILTERS
from tools.reference.blocks import shown_json
from tools.reference.meanings import MEANINGS
from tools.reference.notes import field_notes

ROOT = Path(__file__).parents[2]
LANGUAGE = (ROOT / "docs" / "reference" / "language.md").read_text()
AGENTS = (ROOT / "docs" / "reference" / "agents.md").read_text()
STRUCTS = [
    kind
    for module in (mappings, model)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, mappings.Document) and kind.__struct_fields__
]


def section(name: str) -> str:
    return LANGUAGE.split(f"\n### {name}\n", 1)[1].split("\n##", 1)[0]


@pytest.mark.parametrize("name", STEP_TYPES)
def test_every_field_of_a_step_is_in_its_section(name: str) -> None:
    fields = [field.encode_name for field in msgspec.structs.fields(step_class(name))]
    own = set(fields) - {"id", "name", "breakpoint"}
    told = re.findall(r"^\| `([^`.]+)` \|", section(name), re.MULTILINE)
    assert set(told) == own


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_every_field_has_a_meaning(kind: type) -> None:
    for name, note in field_notes(kind).items():
        assert note.endswith("."), name
        assert "None" not in note, name


def test_no_meaning_is_of_a_field_that_does_not_exist() -> None:
    fields = {(kind.__name__, field.encode_name) for kind in STRUCTS for field in msgspec.structs.fields(kind)}
    names = {name for _, name in fields} | {f"{kind}.{name}" for kind, name in fields}
    assert set(MEANINGS) <= names


def test_every_operator_kind_of_value_and_filter_is_named() -> None:
    kinds = [kind.__struct_config__.tag for kind in get_args(mappings.MappingValue)]
    for word in (*OPERATORS, *kinds, *get_args(mappings.TypeHint), *FILTERS):
        assert f"`{word}`" in LANGUAGE


def events() -> Iterator[str]:
    for path in (ROOT / "runtara" / "stdlib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("emit", "_emit"):
                yield from (a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))


def test_every_event_is_told() -> None:
    names = set(events())
    assert {"workflow_log", "step_debug_start"} <= names
    assert [name for name in sorted(names) if f"| `{name}` |" not in LANGUAGE] == []


@pytest.mark.parametrize("agent_id", sorted(BUILT_IN_IDS))
def test_every_capability_and_input_of_an_agent_is_told(agent_id: str) -> None:
    info = registry().find_agent(agent_id)
    assert info is not None
    told = AGENTS.split(f"\n## {agent_id}\n", 1)[1].split("\n## ", 1)[0]
    for capability in info.capabilities:
        part = told.split(f"\n### {capability.id}\n", 1)[1].split("\n### ", 1)[0]
        assert all(f"| `{field.name}` |" in part for field in (*capability.inputs, *capability.output.fields))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": [1, {"b": None}]}, '{"a": [1, {"b": null}]}'),
        ([], "[]"),
        ({"a": "x" * 120}, '{\n  "a": "' + "x" * 120 + '"\n}'),
    ],
)
def test_json_is_shown_on_one_line_where_it_fits(value: object, shown: str) -> None:
    assert shown_json(value) == shown
