"""What holds for every capability of an agent: it explains itself, and any JSON gives JSON or an ``AgentError``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from runtara.agents import AgentError, registry
from runtara.dsl.catalog import CapabilityField
from tests.unit.agents.test_capability import new_context

__all__ = ("any_json", "assert_explained", "fuzz", "ids_of", "paths", "texts")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-3, 3)
paths = st.sampled_from(["", "$", "a", "$.a.b", "a.0", "0", "a.-1.b", "..", "/a/0", "/~"])
any_json = st.recursive(
    st.none() | st.booleans() | numbers | texts | paths,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("ab") | texts, inner, max_size=5),
    max_leaves=20,
)


def ids_of(agent_id: str) -> list[str]:
    """The ids of an agent's capabilities."""
    agent = registry().find(agent_id)
    assert agent is not None
    return [capability.id for capability in agent.info.capabilities]


def assert_explained(name: str) -> None:
    """The capability and each of its inputs have a description, which a form can show."""
    found = registry().find_capability(*name.split("/"))
    assert found is not None
    assert found.info.description
    assert [field.name for field in found.info.inputs if not field.description] == []


def fuzz(name: str, fields: Mapping[str, SearchStrategy[Any]] | None = None) -> None:
    """Call a capability with inputs that mostly have the types it asks for, fifty times, for at most a second each.

    Each call gives JSON or a permanent ``AgentError``, and none changes its inputs. The tables show that good inputs
    succeed; of what chance draws, nobody knows.

    Args:
        name: of the capability, after its agent and a slash.
        fields: in place of what the types of these inputs suggest.
    """
    found = registry().find_capability(*name.split("/"))
    assert found is not None
    outcomes = set()

    @settings(deadline=timedelta(seconds=1), max_examples=50)
    @given(_inputs(found.info.inputs, fields or {}))
    def call(inputs: dict[str, Any]) -> None:
        before = msgspec.json.encode(inputs)
        outcomes.add(_code_of(found.call(inputs, new_context())))
        assert msgspec.json.encode(inputs) == before

    call()
    assert "CAPABILITY_ERROR" not in outcomes


def _code_of(call: Any) -> str | None:
    try:
        output = asyncio.run(call)
    except Exception as error:
        failure = AgentError.of(error)
        return failure.code if failure.category == "permanent" else "CAPABILITY_ERROR"
    msgspec.json.decode(msgspec.json.encode(output))
    return None


def _inputs(
    inputs: tuple[CapabilityField, ...], fields: Mapping[str, SearchStrategy[Any]]
) -> SearchStrategy[dict[str, Any]]:
    fitting = {field.name: fields.get(field.name, _fitting(field)) for field in inputs}
    anything = {field.name: any_json for field in inputs}
    required = {field.name for field in inputs if field.required}
    return st.one_of(*[_some(fitting, required)] * 4, _some(anything, required))


def _some(fields: Mapping[str, SearchStrategy[Any]], required: set[str]) -> SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {name: strategy for name, strategy in fields.items() if name in required},
        optional={name: strategy for name, strategy in fields.items() if name not in required},
    )


def _fitting(field: CapabilityField) -> SearchStrategy[Any]:
    if field.enum:
        return st.sampled_from(field.enum)
    arrays = st.lists(any_json, max_size=6)
    return {
        "string": texts | paths,
        "integer": st.integers(-2, 20),
        "number": numbers,
        "boolean": st.booleans(),
        "array": arrays,
        "object": st.dictionaries(texts | paths, texts | paths, max_size=4),
    }.get(field.type, any_json | arrays)
