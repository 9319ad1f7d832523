"""Whether and when a failed call is tried again. Pure; the waiting is done elsewhere.

Three rules: a permanent error is never tried again; a transient one up to the step's retries, with a delay that
doubles; a rate limit does not use up retries, but a budget of waiting. ``retryAfterMs`` is never undercut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runtara.agents.errors import AgentError
from runtara.limits import RETRY_DELAY_MS_MAX

__all__ = ("Again", "RetryPolicy", "decide")

# A service that says "again in 0 ms" must not be asked in a hot loop until the budget is waited up.
_RATE_LIMIT_WAIT_MS_MIN: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """What a step allows."""

    max_retries: int
    delay_ms: int
    rate_limit_budget_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Try again after ``wait_ms``; ``tries`` and ``waited_ms`` are the new counts."""

    wait_ms: int
    tries: int
    waited_ms: int


def decide(policy: RetryPolicy, error: AgentError, *, tries: int, waited_ms: int) -> Again | None:
    """What follows a failure; None when it is final.

    Args:
        policy: What the step allows.
        error: The failure.
        tries: Failed tries before this one, rate limits not counted.
        waited_ms: What was waited for rate limits before.
    """
    if error.category == "permanent":
        return None
    if error.is_rate_limit:
        wait_ms = max(error.retry_after_ms or 0, _backoff_ms(policy, 1), _RATE_LIMIT_WAIT_MS_MIN)
        waited_ms += wait_ms
        fits = waited_ms <= policy.rate_limit_budget_ms
        return Again(wait_ms=wait_ms, tries=tries, waited_ms=waited_ms) if fits else None
    tries += 1
    if tries > policy.max_retries:
        return None
    wait_ms = max(_backoff_ms(policy, tries), error.retry_after_ms or 0)
    return Again(wait_ms=wait_ms, tries=tries, waited_ms=waited_ms)


def _backoff_ms(policy: RetryPolicy, tries: int) -> int:
    cap = max(policy.delay_ms, RETRY_DELAY_MS_MAX)
    # The shift is bounded first: a number of a million bits would be slow to find too large.
    return min(policy.delay_ms << min(tries - 1, 32), cap)
