"""However a document is broken, the answer is diagnostics; and what has no errors compiles.

What is broken are families: a scenario with the children that it starts, anywhere in them.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from runtara.compiler import CompilationInput, translate_scenario
from runtara.dsl import validate
from runtara.dsl.children import library_of
from runtara.dsl.diagnostics import has_errors
from runtara.dsl.step_types import STEP_TYPES as STEP_CLASSES
from tests.support.language import children, whole_language
from tests.support.scenarios import EXAMPLES

MAIN = ""
"""The name of the scenario in its family."""

Family = dict[str, Any]


def _examples() -> list[Any]:
    """The scenarios among the examples; their inputs and worlds have a dot in their names."""
    paths = [path for path in sorted(EXAMPLES.glob("*.json")) if "." not in path.stem]
    return [json.loads(path.read_text()) for path in paths]


CHILDREN = {path.stem: json.loads(path.read_text()) for path in sorted(EXAMPLES.glob("children/*.json"))}

WHOLE: Family = {MAIN: whole_language(), **children()}
FAMILIES: list[Family] = [WHOLE, *({MAIN: document, **CHILDREN} for document in _examples())]

STEP_TYPES = sorted({step["stepType"] for step in WHOLE[MAIN]["steps"].values()})
STEP_WORDS = ["steps", "fetch", "finish", *STEP_TYPES, "http", "request", "kid", "latest", "memory"]
VALUE_WORDS = [
    "reference",
    "immediate",
    "template",
    "composite",
    "data.x",
    "steps.fetch.outputs",
    "data..",
    "a[0",
    "value",
]
TEXT_WORDS = ["{{ data.x }}", "{% for x in", "{{ ''.__class__ }}", "\0", "", "9" * 400, "steps", "error.code", "item"]
EDGE_WORDS = ["true", "false", "onError", "default", "next", "EQ", "operation", "condition", "priority", "label"]
WORDS = STEP_WORDS + VALUE_WORDS + TEXT_WORDS + EDGE_WORDS
words = st.sampled_from(WORDS)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a document with each of its keys."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from places(tree[key])


@st.composite
def broken(draw: st.DrawFn) -> Family:
    """A family with up to three changes anywhere: another value, nothing, a copy of another part, another key."""
    family = copy.deepcopy(draw(st.sampled_from(FAMILIES)))
    for _ in range(draw(st.integers(1, 3))):
        found = [place for document in family.values() for place in places(document)]
        if not found:
            break
        holder, key = found[draw(st.integers(0, len(found) - 1))]
        other, other_key = found[draw(st.integers(0, len(found) - 1))]
        match draw(st.sampled_from(["value", "remove", "copy", "rename"])):
            case "value":
                holder[key] = draw(values)
            case "remove":
                del holder[key]
            case "copy":
                holder[key] = copy.deepcopy(other[other_key])
            case _ if isinstance(holder, dict):
                holder[draw(words)] = holder.pop(key)
    return family


def judged(family: Family) -> bool:
    """Whether it is sound: then it was compiled, to code that Python takes."""
    others = {name: document for name, document in family.items() if name != MAIN}
    diagnostics = validate(family[MAIN], others)
    assert all("$" in found.path and found.message for found in diagnostics)
    if has_errors(diagnostics):
        return False
    given_children = library_of(others).children
    compilation = CompilationInput(
        tenant_id="t", scenario_id="s", execution_graph=family[MAIN], child_scenarios=given_children
    )
    compile(translate_scenario(compilation).emitted.source, "scenario", "exec")
    return True


@given(family=broken())
@settings(max_examples=150, deadline=None)
def test_a_broken_scenario_gets_diagnostics_and_a_sound_one_compiles(family: Family) -> None:
    event("sound" if judged(family) else "broken")


@pytest.mark.slow
def test_small_damage_leaves_some_scenarios_sound_and_those_compile() -> None:
    """Parts of the whole language in each other's place: likelier to be sound than anything random."""
    outcomes = Counter(judged(swapped(seed)) for seed in range(600))
    assert outcomes[True] > 40
    assert outcomes[False] > 40


def swapped(seed: int) -> Family:
    """The whole language with some values, texts and numbers in the place of others."""
    chance, family = Random(seed), copy.deepcopy(WHOLE)
    for _ in range(chance.randint(1, 2)):
        found = [place for document in family.values() for place in places(document)]
        holder, key = chance.choice(found)
        alike = [other[name] for other, name in found if name == key or type(other[name]) is type(holder[key])]
        holder[key] = copy.deepcopy(chance.choice(alike))
    return family


def test_all_types_of_steps_are_among_what_is_broken() -> None:
    assert sorted(STEP_CLASSES) == STEP_TYPES


@given(st.binary(max_size=60) | st.text(max_size=60) | values.map(json.dumps))
def test_any_bytes_get_diagnostics(document: Any) -> None:
    assert has_errors(validate(document))


def test_ten_mistakes_get_ten_diagnostics_at_once() -> None:
    document = json.loads((EXAMPLES / "order-intake.json").read_text())
    document["entryPont"] = document.pop("entryPoint")
    document["variables"]["approval_limit"]["type"] = "numeric"
    document["steps"]["normalize"]["capabilityId"] = "map-field"
    document["steps"]["customer"]["maxRetries"] = "five"
    document["steps"]["stock"]["inputMapping"]["url"]["value"] = "data.services..stock"
    document["steps"]["acceptable"]["condition"]["arguments"][0]["op"] = "EQUALS"
    document["steps"]["approve"]["inputMapping"]["method"]["value"] = "SEND"
    document["steps"]["reserve"]["agentId"] = "htp"
    document["steps"]["accepted"]["inputMapping"]["approved_by"]["value"] = "steps.aprove.outputs"
    document["executionPlan"][3]["toStep"] = "acceptible"
    found = [(diagnostic.code, diagnostic.path) for diagnostic in validate(document)]
    assert sorted(found) == [
        ("E010", "$.steps.accepted.inputMapping.approved_by.value"),
        ("E011", "$.steps.stock.inputMapping.url.value"),
        ("E014", "$.executionPlan[3].toStep"),
        ("E020", "$.steps.reserve.agentId"),
        ("E021", "$.steps.normalize.capabilityId"),
        ("E024", "$.steps.approve.inputMapping.method.value"),
        ("E024", "$.variables.approval_limit.type"),
        ("E025", "$.steps.acceptable.condition.arguments[0].op"),
        ("E081", "$.steps.customer.maxRetries"),
        ("E082", "$.entryPont"),
    ]
