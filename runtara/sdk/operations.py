"""The durable operations of authors' programs, each on a scope: what the asynchronous and the blocking names share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from runtara.ids import CheckpointKey
from runtara.protocol.messages import RetryRecord
from runtara.sdk.base import Durable
from runtara.sdk.failures import category_of, describe
from runtara.sdk.values import encode_value

__all__ = (
    "DurableCall",
    "RetryPolicy",
    "SignalTimeout",
    "StepFailed",
    "give_way",
    "save_value",
    "sleep_for",
    "wait_for_signal",
)

_RETRY_DELAY_S_MAX: Final = 3600.0


class StepFailed(Exception):
    """A durable function failed for good: its tries are used up, or its error says that trying again cannot help.

    The failure is as durable as a result: a replay raises it again without a try. ``error`` is the structured error.
    """

    category = "permanent"

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("message", "the step failed"))
        self.error = error
        self.code = error.get("code")


class SignalTimeout(TimeoutError):
    """No signal came in time. A replay raises it again, even if one has come since."""

    category = "permanent"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How a durable function is tried again."""

    max_retries: int = 3
    retry_delay_s: float = 1.0
    """Before the first retry."""
    backoff: float = 2.0
    """Each delay is that many times the one before, up to an hour."""

    def __post_init__(self) -> None:
        if self.max_retries < 0 or not self.retry_delay_s >= 0 or not self.backoff >= 1:
            raise ValueError("max_retries and retry_delay_s must not be negative, and backoff not be below 1")

    def delay_s(self, error: Exception, *, tries: int) -> float | None:
        """How long to wait after so many failed tries; None: there is no other one."""
        if tries > self.max_retries or category_of(error) == "permanent":
            return None
        longest_s = max(self.retry_delay_s, _RETRY_DELAY_S_MAX)
        # The exponent is bounded first: a float has an end.
        delay_s = min(self.retry_delay_s * self.backoff ** min(tries - 1, 64), longest_s)
        asked_ms = getattr(error, "retry_after_ms", None)
        return max(delay_s, asked_ms / 1000) if isinstance(asked_ms, int | float) else delay_s


class DurableCall:
    """One call of a durable function: ``recall``, then try and tell (``failed`` or ``succeeded``) until it is over."""

    def __init__(self, durable: Durable, key: CheckpointKey, policy: RetryPolicy) -> None:
        self._durable = durable
        self._key = key
        self._policy = policy

    async def recall(self) -> bytes | None:
        """The recorded result; None when the function is to be tried now, and everything before it is durable.

        Raises ``StepFailed`` when the failure is what was recorded, and ``Interruption``.
        """
        await give_way(self._durable)
        if (state := await self._durable.find(self._key)) is not None:
            return state
        record = self._durable.retry_of(self._key)
        if record is not None:
            if record.next_at is None:
                raise StepFailed(msgspec.json.decode(record.error))
            await self._durable.sleep_until(record.next_at)
        await self._durable.flush()
        return None

    async def succeeded(self, result: Any) -> bytes:
        """Record the result; the one that holds, as JSON.

        Raises ``NotJson`` or ``LimitExceeded`` when it cannot be recorded: then that is how the try failed.
        """
        return await self._durable.save(self._key, encode_value(result, what="the result"))

    async def failed(self, error: Exception) -> None:
        """Record the failed try, and return when it is time for the next one; it may be another attempt's.

        Raises ``StepFailed`` when there is none left, and ``Interruption``.
        """
        former = self._durable.retry_of(self._key)
        tries = 1 + (0 if former is None else former.tries)
        delay_s = self._policy.delay_s(error, tries=tries)
        next_at = None if delay_s is None else self._durable.now() + timedelta(seconds=delay_s)
        record = RetryRecord(self._key, tries, describe(error), next_at)
        await self._durable.record_retry(record)
        if next_at is None:
            raise StepFailed(msgspec.json.decode(record.error)) from error
        await self._durable.sleep_until(next_at)


async def give_way(durable: Durable) -> None:
    """A safe point: raises the ``Interruption`` that waits, if one does."""
    if durable.check():
        await durable.interrupt()


async def save_value(durable: Durable, key: CheckpointKey, value: Any) -> Any:
    """The value that holds under the key: the first one ever saved."""
    await give_way(durable)
    state = await durable.find(key)
    if state is None:
        state = await durable.save(key, encode_value(value, what=f"the checkpoint {key!r}"))
    return msgspec.json.decode(state)


async def sleep_for(durable: Durable, key: CheckpointKey, duration: float | timedelta) -> None:
    """Returns when ``duration`` has passed since this call began for the first time."""
    await give_way(durable)
    length = duration if isinstance(duration, timedelta) else timedelta(seconds=duration)
    await durable.sleep_until(await _deadline(durable, key, length))


async def wait_for_signal(durable: Durable, key: CheckpointKey, name: str, timeout_s: float | None) -> Any:
    """The payload of the next unconsumed signal of that name. Raises ``SignalTimeout``."""
    await give_way(durable)
    deadline = None
    if timeout_s is not None and await durable.find(key) is None:
        at = CheckpointKey(f"{key}/deadline")
        deadline = await _deadline(durable, at, timedelta(seconds=timeout_s))
    payload = await durable.wait_signal(name, key=key, deadline=deadline)
    if payload is None:
        raise SignalTimeout(f"no signal {name!r} within {timeout_s} s")
    return msgspec.json.decode(payload) if payload else None


async def _deadline(durable: Durable, key: CheckpointKey, after: timedelta) -> datetime:
    """A moment that was decided once."""
    state = await durable.find(key)
    if state is None:
        state = await durable.save(key, msgspec.json.encode(durable.now() + after))
    return msgspec.json.decode(state, type=datetime)
