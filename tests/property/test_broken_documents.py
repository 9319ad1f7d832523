"""However a document is broken, the answer is diagnostics; and what has none compiles."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from runtara.compiler import CompilationInput, translate_scenario
from runtara.dsl import validate
from runtara.dsl.diagnostics import has_errors
from tests.support.scenarios import EXAMPLES

DOCUMENTS = [json.loads(path.read_text()) for path in sorted(EXAMPLES.glob("*.json"))]

STEP_WORDS = ["steps", "fetch", "finish", "Agent", "Finish", "Conditional", "Split", "http", "request"]
VALUE_WORDS = ["reference", "immediate", "data.x", "steps.fetch.outputs", "data..", "a[0", "value", "\0", ""]
EDGE_WORDS = ["true", "false", "onError", "EQ", "operation"]
words = st.sampled_from(STEP_WORDS + VALUE_WORDS + EDGE_WORDS)
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
def broken(draw: st.DrawFn) -> Any:
    """An example with up to three changes anywhere: another value, nothing, a copy of another part, another key."""
    document = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(document))
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
    return document


@given(document=broken())
@settings(max_examples=150, deadline=None)
def test_a_broken_scenario_gets_diagnostics_and_a_sound_one_compiles(document: Any) -> None:
    diagnostics = validate(document)
    assert all(found.path.startswith("$") and found.message for found in diagnostics)
    event("broken" if has_errors(diagnostics) else "sound")
    if not has_errors(diagnostics):
        translate_scenario(CompilationInput(tenant_id="t", scenario_id="s", execution_graph=document))


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
