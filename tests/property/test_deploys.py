"""Random scenarios, random changes, and instances that are parked in between: what is called safe goes on well.

The verdict is compared with what happens. An instance of the old scenario runs until it waits for a signal; the new one
goes on over what it has stored. If the deploy was called safe, it comes to the same wait, without an effect on the way,
and when the signal has come it ends, without doing again what was done.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from runtara.agents import registry
from runtara.compiler import CompilationInput, translate_scenario
from runtara.compiler.deploy import Risk, Spot, compare
from runtara.compiler.lower import Program
from runtara.compiler.sites import site_key
from runtara.errors import ScenarioInvalid
from runtara.sdk.memory_store import MemoryInstanceStore
from runtara.testing import RunResult, run_scenario
from runtara.testing.doubles import registry_with
from tests.support.scenarios import agent, conditional, echo, finish, immediate, operation, reference

DOUBLES = {"test/pay": lambda _inputs: 1, "test/refund": lambda _inputs: 2}
CATALOG = registry_with(DOUBLES, registry())
WAIT = {"stepType": "WaitForSignal", "id": "approve"}
DATA = {"n": 5, "items": [1, 2]}


class Author:
    """Writes scenarios and changes them. A scenario is a list of parts in a row; a part may have arms or a body."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.names = (f"s{number}" for number in range(1000))

    def parts(self) -> list[Any]:
        """With a wait somewhere."""
        parts = [self.part() for _ in range(self.random.randint(2, 5))]
        parts.insert(self.random.randint(0, len(parts)), WAIT)
        return parts

    def part(self) -> Any:
        name = next(self.names)
        match self.random.randrange(6):
            case 0:
                return echo(name, self.value())
            case 1 | 2:
                return agent(name, self.random.choice(list(DOUBLES)), {"n": self.value()})
            case 3:
                condition = operation("GT", self.value(), immediate(self.random.randint(0, 9)))
                return [conditional(name, condition), agent(f"{name}-then", "test/pay", {})]
            case 4:
                kept = operation("GT", reference("item"), immediate(self.random.randint(0, 3)))
                config = {"value": reference("data.items"), "condition": kept}
                return {"stepType": "Filter", "id": name, "config": config}
            case _:
                body = {"steps": {"pay": agent("pay", "test/pay", {}), "end": finish("end")}, "entryPoint": "pay"}
                body["executionPlan"] = [{"fromStep": "pay", "toStep": "end"}]
                items = immediate(list(range(self.random.randint(1, 3))))
                return {"stepType": "Split", "id": name, "subgraph": body, "config": {"value": items}}

    def value(self) -> Any:
        return self.random.choice([immediate(self.random.randint(0, 9)), reference("data.n")])

    def changed(self, parts: list[Any]) -> list[Any]:
        parts = copy.deepcopy(parts)
        where = self.random.randrange(len(parts))
        match self.random.randrange(6):
            case 0:
                parts.insert(where, self.part())
            case 1:
                del parts[where]
            case 2:
                other = self.random.randrange(len(parts))
                parts[where], parts[other] = parts[other], parts[where]
            case 3:
                renamed = parts[where][0] if isinstance(parts[where], list) else parts[where]
                renamed["id"] += "x"
            case 4:
                fresh = self.part()
                head, old = (each[0] if isinstance(each, list) else each for each in (fresh, parts[where]))
                head["id"] = old["id"]
                parts[where] = fresh
            case _:
                parts.append(self.part())
        return parts


def document(parts: list[Any]) -> dict[str, Any]:
    """The scenario: each part leads to the next, and what a condition holds for is a detour."""
    steps = {each["id"]: each for part in parts for each in (part if isinstance(part, list) else [part])}
    heads = [part[0]["id"] if isinstance(part, list) else part["id"] for part in parts] + ["finish"]
    plan = [edge for part, following in zip(parts, heads[1:], strict=True) for edge in _edges(part, following)]
    steps["finish"] = finish(n=reference(f"steps.{heads[0]}.outputs"))
    return {"steps": steps, "entryPoint": heads[0], "executionPlan": plan}


def _edges(part: Any, following: str) -> Iterator[dict[str, str]]:
    if not isinstance(part, list):
        yield {"fromStep": part["id"], "toStep": following}
        return
    decides, detour = part[0]["id"], part[1]["id"]
    yield {"fromStep": decides, "toStep": detour, "label": "true"}
    yield {"fromStep": decides, "toStep": following, "label": "false"}
    yield {"fromStep": detour, "toStep": following}


def program(scenario: Any) -> Program:
    compilation = CompilationInput(tenant_id="t", scenario_id="s", execution_graph=scenario)
    return translate_scenario(compilation, catalog=CATALOG).program


async def go_on(scenario: Any, store: MemoryInstanceStore, *answered: str) -> RunResult:
    """Run it until it waits or ends; these signals come first."""
    if store.attempt:
        store.change("pending", None)
    for name in answered:
        store.send_signal(name, b"{}")
    return await run_scenario(scenario, DATA, agents=DOUBLES, store=store)


def effects(*results: RunResult) -> Counter[str]:
    return Counter(call.idempotency_key for result in results for call in result.effects)


def looped(inner: dict[str, Any]) -> dict[str, Any]:
    """A scenario that runs another for each of two items."""
    return document([{"stepType": "Split", "id": "loop", "subgraph": inner, "config": {"value": immediate([1, 2])}}])


async def outcome(old: Any, new: Any, waits: list[str]) -> tuple[Risk, list[str]]:
    """The verdict on an instance that is parked at the last of the waits, and what went wrong."""
    store = MemoryInstanceStore()
    before = [await go_on(old, store)]
    before += [await go_on(old, store, answered) for answered in waits[:-1]]
    assert before[-1].status == "suspended"
    risk = compare(program(old), program(new)).verdict(Spot(site_key(waits[-1]), "signal")).risk
    again = await go_on(new, store)
    wrong = []
    if again.status != "suspended" or store.termination_reason != "waiting_signal":
        wrong.append(f"it did not come to the wait: {again.status}, {again.error}")
    if again.effects:
        wrong.append(f"on the way to the wait it did {sorted(effects(again))}")
    if wrong:
        return risk, wrong
    after = await go_on(new, store, waits[-1])
    repeated = [key for key, count in effects(*before, after).items() if count > 1]
    if after.status != "completed" or repeated:
        wrong.append(f"it ended as {after.status}, {after.error}, and repeated {repeated}")
    return risk, wrong


@pytest.mark.slow
@pytest.mark.parametrize("is_looped", [False, True], ids=["in the scenario", "in a loop"])
async def test_what_is_called_safe_goes_on_well_and_what_goes_wrong_is_called_unsafe(is_looped: bool) -> None:
    seen: Counter[Risk] = Counter()
    went_wrong = 0
    for seed in range(400):
        author = Author(seed)
        parts = author.parts()
        old, new, waits = document(parts), document(author.changed(parts)), ["approve"]
        if is_looped:
            old, new, waits = looped(old), looped(new), ["loop[0]/approve", "loop[1]/approve"]
        try:
            program(new)
        except ScenarioInvalid:
            continue
        risk, wrong = await outcome(old, new, waits)
        assert not (wrong and risk is Risk.SAFE), f"seed {seed}: {wrong}"
        seen[risk] += 1
        went_wrong += bool(wrong)
    assert seen[Risk.SAFE] > 100, "the judgement is not simply afraid"
    assert went_wrong > 50, "the changes are not simply harmless"
    assert seen[Risk.UNSAFE] < went_wrong * 2, "what is called unsafe goes wrong, for the most part"
