"""Functions become capabilities: metadata from the signature, binding by the metadata, calls."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from runtara.agents import AgentError, CallContext, Resources, agent, capability, registry
from runtara.agents.capability import Agent, Capability, find_declared_agent
from runtara.agents.registry import Registry
from runtara.agents.signature import SignatureUnusable, read_signature
from runtara.dsl.catalog import CapabilityField
from runtara.testing.clock import ManualClock


class Line(msgspec.Struct):
    sku: str
    count: int


class Order(msgspec.Struct, rename="camel"):
    order_no: str
    lines: list[Line]
    note: str | None = None


class Placed(msgspec.Struct):
    number: int
    accepted: bool


@agent(id="erp", name="ERP")
class Erp:
    """Orders."""

    @capability(side_effects=True)
    async def place_order(self, order: Order, context: CallContext) -> Placed:
        """Place an order."""
        return Placed(number=len(order.lines), accepted=context.idempotency_key == "key")

    @capability(id="find", side_effects=False, aliases=("search",))
    def find_orders(
        self,
        *,
        status: Literal["open", "closed"],
        limit: Annotated[int, Meta(ge=1, description="Most orders to find.")] = 10,
        tags: list[str] = [],  # noqa: B006 - each call gets its own copy
        rates: dict[str, float] | None = None,
        anything: Annotated[Any, Meta(extra={"aliases": ("any", "what")})] = None,
    ) -> list[dict[str, Any]]:
        tags.append("seen")
        return [{"status": status, "limit": limit, "tags": tags, "rates": rates, "anything": anything}]

    @capability(side_effects=True)
    def block(self) -> int:
        return threading.get_ident()

    @capability(side_effects=False)
    def think(self) -> int:
        return threading.get_ident()

    def helper(self, not_typed):  # type: ignore[no-untyped-def]
        """Not offered."""


def erp() -> Agent:
    found = find_declared_agent(Erp)
    assert found is not None
    return found


def get(capability_id: str) -> Capability:
    found = erp().find(capability_id)
    assert found is not None
    return found


def new_context() -> CallContext:
    return CallContext(
        instance_id="i",
        tenant_id="t",
        step_id="s",
        idempotency_key="key",
        clock=ManualClock(),
        random=Random(1),
        resources=Resources(),
    )


def test_the_functions_marked_as_capabilities_are_offered() -> None:
    assert sorted(erp().capabilities) == ["block", "find", "place-order", "think"]
    assert erp().info.has_side_effects
    assert erp().info.description == "Orders."


def test_parameters_become_inputs() -> None:
    assert get("find").info.inputs == (
        CapabilityField(name="status", type="string", required=True, enum=("closed", "open")),
        CapabilityField(name="limit", type="integer", required=False, default=10, description="Most orders to find."),
        CapabilityField(name="tags", type="array", required=False, items="string"),
        CapabilityField(name="rates", type="object", required=False, nullable=True, items="number"),
        CapabilityField(name="anything", type="any", required=False, aliases=("any", "what")),
    )


def test_the_fields_of_a_struct_become_inputs_under_their_wire_names() -> None:
    names = [(field.name, field.type, field.required) for field in get("place-order").info.inputs]
    assert names == [("orderNo", "string", True), ("lines", "array", True), ("note", "string", False)]


def test_the_output_has_its_fields() -> None:
    output = get("place-order").info.output
    assert (output.type, [field.name for field in output.fields]) == ("object", ["number", "accepted"])
    assert (get("find").info.output.type, get("find").info.output.items) == ("array", "object")


def test_a_capability_is_found_by_its_alias() -> None:
    assert get("search") is get("find")


def test_the_listing_is_json_in_camel_case() -> None:
    listing = msgspec.to_builtins(erp().info)
    assert listing["hasSideEffects"] is True
    placed = next(made for made in listing["capabilities"] if made["id"] == "place-order")
    assert placed["displayName"] == "place-order"
    assert (placed["isIdempotent"], placed["hasSideEffects"]) == (False, True)


async def test_a_struct_and_the_context_are_given_to_the_function() -> None:
    inputs = {"orderNo": "A", "lines": [{"sku": "x", "count": 2}]}
    assert await get("place-order").call(inputs, new_context()) == Placed(1, True)


async def test_inputs_are_converted_where_nothing_can_be_lost() -> None:
    inputs = {"status": "open", "limit": " 5 ", "tags": [1, True], "rates": {"a": "1.5"}, "what": {"x": 1}}
    expected = {"status": "open", "limit": 5, "tags": ["1", "true", "seen"], "rates": {"a": 1.5}, "anything": {"x": 1}}
    assert await get("find").call(inputs, new_context()) == [expected]


async def test_a_default_is_fresh_in_each_call() -> None:
    for _ in range(2):
        (found,) = await get("find").call({"status": "open"}, new_context())
        assert found["tags"] == ["seen"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "status"),
        ({"status": "open", "limit": "many"}, "limit"),
        ({"status": "open", "limit": 0}, "limit"),
        ({"status": "lost"}, "status"),
        ({"status": "open", "size": 1}, "no input 'size'"),
        ({"status": "open", "any": 1, "what": 2}, "given twice"),
        ({"status": None}, "status"),
    ],
)
async def test_inputs_that_do_not_fit_are_a_permanent_error(inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(AgentError, match=words) as caught:
        await get("find").call(inputs, new_context())
    assert (caught.value.code, caught.value.category) == ("INPUT_DESERIALIZATION_ERROR", "permanent")


async def test_what_blocks_runs_in_a_thread_and_what_only_thinks_does_not() -> None:
    here = threading.get_ident()
    assert await get("block").call({}, new_context()) != here
    assert await get("think").call({}, new_context()) == here
    assert await get("think").call({}, new_context(), in_thread=True) != here


def test_an_object_can_be_an_agent() -> None:
    @capability(side_effects=False)
    def double(value: int) -> int:
        return 2 * value

    made = agent(id="math")(SimpleNamespace(double=double))
    found = find_declared_agent(made)
    assert found is not None
    assert [info.id for info in found.info.capabilities] == ["double"]


def _untyped(value) -> None:  # type: ignore[no-untyped-def]
    pass


def _positional(value: int, /) -> None:
    pass


def _open(**more: int) -> None:
    pass


@pytest.mark.parametrize("function", [_untyped, _positional, _open])
def test_a_function_that_no_scenario_could_call_is_refused(function: Any) -> None:
    with pytest.raises(SignatureUnusable, match="parameter"):
        read_signature(function)


def test_an_agent_without_a_capability_is_refused() -> None:
    with pytest.raises(SignatureUnusable, match="no capability"):
        agent(id="empty")(SimpleNamespace())


def test_the_built_in_agents_are_found_and_loaded_when_asked_for() -> None:
    assert {"http", "transform", "utils"} <= set(registry().agent_ids())
    assert registry().find("no-such-agent") is None
    assert registry().find_capability("http", "http-request") is registry().find_capability("http", "request")


def test_agents_can_be_put_in_place_of_others() -> None:
    replaced = Registry({"erp": erp}).with_agents({"http": erp()})
    assert replaced.agent_ids() == ("erp", "http")
    assert replaced.find_agent("http") == erp().info


@dataclass
class Opened:
    times: int = 0
    closed: int = 0

    async def __aenter__(self) -> Opened:
        self.times += 1
        return self

    async def __aexit__(self, *error: object) -> None:
        self.closed += 1


async def test_a_resource_is_opened_once_and_closed_at_the_end() -> None:
    opened = Opened()
    async with Resources() as resources:
        assert await resources.get("x", lambda: opened) is await resources.get("x", lambda: opened)
        assert (opened.times, opened.closed) == (1, 0)
    assert (opened.times, opened.closed) == (1, 1)
