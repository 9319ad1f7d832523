"""Stop the world at every persistence call of a scenario, before and after it, go on, and find the same result.

What may differ is only how often an effect whose result was not recorded yet happens, always with the same token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from runtara.agents import AgentError
from runtara.testing import RunResult, run_scenario
from tests.support.scenarios import agent, conditional, echo, example, finish, immediate, operation, reference, scenario


def transient() -> AgentError:
    return AgentError("BUSY", "try again", category="transient")


class World:
    """Services behind doubles, some of which fail."""

    def __init__(self) -> None:
        self.shaky = 0

    def doubles(self) -> dict[str, Any]:
        return {"http/request": self.request, "test/shaky": self.fail_twice, "test/broken": self.fail}

    def request(self, inputs: Any) -> Any:
        bodies = {
            "stock": {"available": True},
            "customers": {"status": "active"},
            "approvals": {"approver": "Ann"},
            "reservations": {"reservation_id": 7},
        }
        name = inputs["url"].rpartition("/")[2]
        return {"status_code": 200, "headers": {}, "body": bodies.get(name, name), "success": True}

    def fail(self, _inputs: Any) -> str:
        raise transient()

    def fail_twice(self, _inputs: Any) -> str:
        self.shaky += 1
        if self.shaky <= 2:
            raise transient()
        return "at last"


def intake() -> Any:
    return example("order-intake")


def order() -> Any:
    return example("order-processing")


def mixed() -> Any:
    return scenario(
        echo("a", reference("data.order.total")),
        agent("shaky", "test/shaky", retryDelay=40_000),
        echo("b", reference("steps.shaky.outputs")),
        conditional("c", operation("EQ", reference("steps.b.outputs"), immediate("at last"))),
        agent("pay", "http/request", {"url": immediate("http://x/pay")}),
        finish(paid=reference("steps.pay.outputs.body"), a=reference("steps.a.outputs")),
        edges="a shaky, shaky b, b c, c pay:true, c finish:false, pay finish",
    )


def failing() -> Any:
    return scenario(
        agent("pay", "http/request", {"url": immediate("http://x/pay")}),
        agent("broken", "test/broken", maxRetries=2),
        finish(),
    )


DATA = {
    "order": {"id": "A1", "customer": {"id": 5, "email": "a@b"}, "lines": [{"sku": "x"}], "total": 2000},
    "services": {name: f"http://x/{name}" for name in ("customers", "stock", "approvals", "reservations")},
}


async def run(document: Any, **crash: Any) -> RunResult:
    return await run_scenario(document, DATA, agents=World().doubles(), **crash)


def outcome(result: RunResult) -> tuple[Any, ...]:
    return result.status, result.output, result.error, dict(result.checkpoints)


@pytest.mark.parametrize("make", [intake, order, mixed, failing])
@pytest.mark.parametrize("crash", ["crash_after", "crash_before"])
async def test_a_crash_at_any_point_changes_nothing(make: Callable[[], Any], crash: str) -> None:
    document = make()
    whole = await run(document)
    assert whole.attempts <= 3
    assert whole.persistence_calls > 2
    for point in range(1, whole.persistence_calls + 1):
        crashed = await run(document, **{crash: point})
        assert outcome(crashed) == outcome(whole)
        tokens = Counter(call.idempotency_key for call in crashed.effects)
        assert set(tokens) == {call.idempotency_key for call in whole.effects}
        repeated = tokens - Counter(call.idempotency_key for call in whole.effects)
        assert sum(repeated.values()) <= (1 if crash == "crash_before" else 0)


async def test_pure_work_that_nothing_depended_on_yet_is_simply_done_again() -> None:
    document = scenario(echo("a", immediate(1)), echo("b", immediate(2)), agent("pay", "test/pay"), finish())
    crashed = await run_scenario(document, {}, agents={"test/pay": lambda _inputs: "paid"}, crash_before=1)
    assert [call.step_id for call in crashed.calls] == ["a", "b", "a", "b", "pay"]
    after_the_flush = await run_scenario(document, {}, agents={"test/pay": lambda _inputs: "paid"}, crash_before=3)
    assert [call.step_id for call in after_the_flush.calls] == ["a", "b", "pay", "pay"]


async def test_what_chance_decided_before_an_effect_holds_in_the_replay() -> None:
    """A number that an effect has seen is never drawn again."""
    document = scenario(
        agent("dice", "utils/random-double"),
        agent("tell", "test/tell", {"number": reference("steps.dice.outputs")}),
        finish(number=reference("steps.dice.outputs")),
    )
    told: list[Any] = []
    doubles = {"test/tell": lambda inputs: told.append(inputs["number"])}
    result = await run_scenario(document, {}, agents=doubles, crash_before=2)
    assert result.attempts == 2
    assert told == [result.output["number"]] * 2


async def test_the_wait_before_a_retry_is_not_begun_again_by_a_crash() -> None:
    document = scenario(agent("shaky", "test/shaky", retryDelay=20_000), finish())
    whole = await run_scenario(document, {}, agents=World().doubles())
    crashed = await run_scenario(document, {}, agents=World().doubles(), crash_after=1)
    assert (crashed.attempts, crashed.elapsed_s) == (whole.attempts + 1, whole.elapsed_s)
