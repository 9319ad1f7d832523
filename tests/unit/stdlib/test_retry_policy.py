from __future__ import annotations

import pytest

from runtara.agents import AgentError
from runtara.limits import RETRY_DELAY_MS_MAX
from runtara.stdlib.retry import Again, RetryPolicy, decide

POLICY = RetryPolicy(max_retries=3, delay_ms=1000, rate_limit_budget_ms=60_000)


def transient(code: str = "X", retry_after_ms: int | None = None) -> AgentError:
    return AgentError(code, "m", category="transient", retry_after_ms=retry_after_ms)


def waits_of(policy: RetryPolicy, error: AgentError) -> list[int]:
    """The waits before the tries of a step that always fails."""
    waits: list[int] = []
    tries = waited_ms = 0
    while (again := decide(policy, error, tries=tries, waited_ms=waited_ms)) is not None:
        waits.append(again.wait_ms)
        tries, waited_ms = again.tries, again.waited_ms
    return waits


def test_a_permanent_error_is_final() -> None:
    assert decide(POLICY, AgentError("X", "m"), tries=0, waited_ms=0) is None


def test_a_permanent_rate_limit_is_final_as_well() -> None:
    assert decide(POLICY, AgentError("HTTP_RATE_LIMITED", "m"), tries=0, waited_ms=0) is None


def test_the_delay_doubles_up_to_the_last_try() -> None:
    assert waits_of(POLICY, transient()) == [1000, 2000, 4000]


def test_without_retries_there_is_one_try() -> None:
    assert waits_of(RetryPolicy(max_retries=0, delay_ms=1, rate_limit_budget_ms=0), transient()) == []


@pytest.mark.parametrize(("delay_ms", "longest_ms"), [(1000, RETRY_DELAY_MS_MAX), (90_000, 90_000), (0, 0)])
def test_the_delay_has_a_cap(delay_ms: int, longest_ms: int) -> None:
    policy = RetryPolicy(max_retries=2000, delay_ms=delay_ms, rate_limit_budget_ms=0)
    waits = waits_of(policy, transient())
    assert len(waits) == 2000
    assert max(waits) == longest_ms


def test_what_the_service_asks_for_is_not_undercut() -> None:
    assert waits_of(POLICY, transient(retry_after_ms=3000)) == [3000, 3000, 4000]


def test_a_rate_limit_uses_up_its_own_budget_and_no_tries() -> None:
    again = decide(POLICY, transient("HTTP_RATE_LIMITED", 20_000), tries=2, waited_ms=20_000)
    assert again == Again(wait_ms=20_000, tries=2, waited_ms=40_000)
    assert waits_of(POLICY, transient("HTTP_RATE_LIMITED", 20_000)) == [20_000] * 3


def test_a_rate_limit_without_a_time_waits_the_step_s_own_delay() -> None:
    assert waits_of(POLICY, transient("HTTP_RATE_LIMITED")) == [1000] * 60


def test_a_service_that_asks_for_no_wait_is_not_asked_in_a_hot_loop() -> None:
    policy = RetryPolicy(max_retries=0, delay_ms=0, rate_limit_budget_ms=1000)
    assert waits_of(policy, transient("RATE_LIMITED", 0)) == [100] * 10
