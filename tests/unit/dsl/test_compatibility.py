"""Each kind of change between two specifications, and what it means for scenarios."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtara.agents import registry
from runtara.agents.registry import BUILT_IN_IDS
from runtara.dsl.compatibility import BREAKING, COMPATIBLE, Change, compare_specifications
from runtara.errors import InvalidRequest

LANGUAGE = json.loads((Path(__file__).parents[3] / "schema" / "scenario.schema.json").read_text())
AGENTS = {"agents": [msgspec.to_builtins(registry().find_agent(agent_id)) for agent_id in sorted(BUILT_IN_IDS)]}

Edit = Callable[[Any], Any]


def field(step: str, name: str) -> Callable[[Any], Any]:
    return lambda language: language["$defs"][step]["properties"][name]


def request(agents: Any) -> Any:
    (http,) = (agent for agent in agents["agents"] if agent["id"] == "http")
    (found,) = (each for each in http["capabilities"] if each["id"] == "request")
    return found


def url(agents: Any) -> Any:
    return next(each for each in request(agents)["inputs"] if each["name"] == "url")


def changes(before: Any, edit: Edit) -> tuple[set[str], set[str], set[str]]:
    after = copy.deepcopy(before)
    edit(after)
    report = compare_specifications(before, after)
    return kinds(report.breaking_changes), kinds(report.compatible_changes), kinds(report.warnings)


def kinds(found: tuple[Change, ...]) -> set[str]:
    return {f"{change.kind} {change.path}" for change in found}


@pytest.mark.parametrize("specification", [LANGUAGE, AGENTS], ids=["language", "agents"])
def test_nothing_is_different_from_itself(specification: Any) -> None:
    report = compare_specifications(specification, copy.deepcopy(specification))
    assert (report.breaking_changes, report.compatible_changes, report.warnings) == ((), (), ())


BREAKING_EDITS: list[tuple[str, Any, Edit]] = [
    ("RemovedStepType Agent", LANGUAGE, lambda it: it["x-step-types"].pop(0)),
    ("RequiredFieldAdded LogStep.new", LANGUAGE, lambda it: add_field(it, required=True)),
    ("RequiredFieldAdded LogStep.level", LANGUAGE, lambda it: it["$defs"]["LogStep"]["required"].append("level")),
    ("RemovedField LogStep.level", LANGUAGE, lambda it: it["$defs"]["LogStep"]["properties"].pop("level")),
    ("TypeChanged LogStep.message", LANGUAGE, lambda it: field("LogStep", "message")(it).update(type="integer")),
    ("EnumValueRemoved LogStep.level", LANGUAGE, lambda it: field("LogStep", "level")(it)["enum"].remove("warn")),
    ("EnumValueRemoved OperationOfTwo.op", LANGUAGE, lambda it: field("OperationOfTwo", "op")(it)["enum"].pop()),
    ("RemovedAgent crypto", AGENTS, lambda it: it["agents"].pop(0)),
    ("RemovedCapability http/request", AGENTS, lambda it: request(it).update(id="ask")),
    ("RequiredFieldAdded http/request.new", AGENTS, lambda it: add_input(it, required=True)),
    ("TypeChanged http/request.url", AGENTS, lambda it: url(it).update(type="array")),
    ("RemovedField http/request.url", AGENTS, lambda it: url(it).update(name="address")),
    ("RemovedField http/request.output.success", AGENTS, lambda it: drop_output(it, "success")),
]


@pytest.mark.parametrize(("expected", "before", "edit"), BREAKING_EDITS, ids=[each[0] for each in BREAKING_EDITS])
def test_what_breaks_scenarios_is_breaking(expected: str, before: Any, edit: Edit) -> None:
    assert expected in changes(before, edit)[0]


COMPATIBLE_EDITS: list[tuple[str, Any, Edit]] = [
    ("AddedStepType Wonder", LANGUAGE, lambda it: it["x-step-types"].append({"type": "Wonder"})),
    ("OptionalFieldAdded LogStep.new", LANGUAGE, lambda it: add_field(it, required=False)),
    ("EnumValueAdded LogStep.level", LANGUAGE, lambda it: field("LogStep", "level")(it)["enum"].append("loud")),
    ("RequirementDropped LogStep.message", LANGUAGE, lambda it: it["$defs"]["LogStep"]["required"].remove("message")),
    ("TypeWidened LogStep.name", LANGUAGE, lambda it: field("LogStep", "name")(it)["type"].append("integer")),
    ("DescriptionUpdated LogStep.level", LANGUAGE, lambda it: field("LogStep", "level")(it).update(description="x")),
    ("DescriptionUpdated Agent", LANGUAGE, lambda it: it["x-step-types"][0].update(description="x")),
    ("AddedAgent new", AGENTS, lambda it: it["agents"].append({"id": "new"})),
    ("AddedCapability http/new", AGENTS, lambda it: add_capability(it)),
    ("OptionalFieldAdded http/request.new", AGENTS, lambda it: add_input(it, required=False)),
    ("RequirementDropped http/request.url", AGENTS, lambda it: url(it).update(required=False)),
    ("TypeWidened http/request.url", AGENTS, lambda it: url(it).update(type="any")),
]


@pytest.mark.parametrize(("expected", "before", "edit"), COMPATIBLE_EDITS, ids=[each[0] for each in COMPATIBLE_EDITS])
def test_what_breaks_nothing_is_compatible(expected: str, before: Any, edit: Edit) -> None:
    breaking, compatible, _ = changes(before, edit)
    assert breaking == set()
    assert expected in compatible


WARNING_EDITS: list[tuple[str, Any, Edit]] = [
    ("DefaultChanged LogStep.level", LANGUAGE, lambda it: field("LogStep", "level")(it).update(default="warn")),
    (
        "LimitTightened WhileConfig.maxIterations",
        LANGUAGE,
        lambda it: shrink(field("WhileConfig", "maxIterations")(it)),
    ),
    ("MajorVersionChanged x-dsl-version", LANGUAGE, lambda it: it.update({"x-dsl-version": "99.0.0"})),
    ("SideEffectsChanged http/request", AGENTS, lambda it: request(it).update(hasSideEffects=False)),
    ("DefaultChanged http/request.url", AGENTS, lambda it: url(it).update(default="http://x")),
]


@pytest.mark.parametrize(("expected", "before", "edit"), WARNING_EDITS, ids=[each[0] for each in WARNING_EDITS])
def test_what_may_mean_something_else_is_a_warning(expected: str, before: Any, edit: Edit) -> None:
    breaking, _, warnings = changes(before, edit)
    assert breaking == set()
    assert expected in warnings


def test_what_has_another_name_and_keeps_the_old_one_breaks_nothing() -> None:
    assert changes(AGENTS, lambda it: request(it).update(id="ask", aliases=["request"]))[0] == set()
    assert changes(AGENTS, lambda it: url(it).update(name="address", aliases=["url"]))[0] == set()


def test_no_kind_is_both() -> None:
    assert not BREAKING & COMPATIBLE


@pytest.mark.parametrize(("old", "new"), [(LANGUAGE, AGENTS), ({}, {}), ([], LANGUAGE), (LANGUAGE, None)])
def test_what_cannot_be_compared_is_refused(old: Any, new: Any) -> None:
    with pytest.raises(InvalidRequest):
        compare_specifications(old, new)


def add_field(language: Any, *, required: bool) -> None:
    language["$defs"]["LogStep"]["properties"]["new"] = {"type": "string"}
    language["$defs"]["LogStep"]["required"] += ["new"] if required else []


def add_input(agents: Any, *, required: bool) -> None:
    request(agents)["inputs"] = [*request(agents)["inputs"], {"name": "new", "type": "string", "required": required}]


def add_capability(agents: Any) -> None:
    (http,) = (agent for agent in agents["agents"] if agent["id"] == "http")
    http["capabilities"] = [*http["capabilities"], {"id": "new"}]


def drop_output(agents: Any, name: str) -> None:
    output = request(agents)["output"]
    output["fields"] = [each for each in output["fields"] if each["name"] != name]


def shrink(schema: Any) -> None:
    schema["maximum"] = 3
