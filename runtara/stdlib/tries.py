"""Trying again, durably: what a step does is tried until it succeeds or its retries are used up.

Failed tries are recorded before the next one begins, with its time: a replay goes on counting, and waits no longer than
was left to wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from runtara.agents.errors import AgentError
from runtara.protocol.messages import RetryRecord
from runtara.sdk.base import Durable
from runtara.stdlib.failures import StepFailed, encode_error
from runtara.stdlib.retry import RetryPolicy, decide
from runtara.stdlib.steps import Step
from runtara.stdlib.waits import Waits

__all__ = ("Tries",)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """The tries of one step under one key."""

    step: Step
    key: str
    policy: RetryPolicy
    durable: Durable
    waits: Waits
    is_durable: bool = True
    records_final: bool = True
    """Whether a failure without another try is recorded; for a container it is not: what it runs has recorded it."""

    async def until_success(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What ``attempt`` returned at last. It raises ``AgentError``, or ``StepFailed`` of this step.

        Raises:
            StepFailed: it failed finally, now or in an earlier attempt of the instance.
        """
        while True:
            await self._wait_for_turn()
            try:
                return await attempt()
            except AgentError as error:
                await self._record(StepFailed(self.step, error))
            except StepFailed as error:
                await self._record(error)

    @property
    def failed(self) -> int:
        """How many tries have failed."""
        record = self.durable.retry_of(self.key)
        return 0 if record is None else record.tries

    async def _wait_for_turn(self) -> None:
        """Returns when the step may be tried: at once, or after the wait that its last failure asked for."""
        record = self.durable.retry_of(self.key)
        if record is None:
            return
        if record.next_at is None:
            raise self._recorded(record)
        await self.durable.flush()
        await self._sleep_until(record.next_at)

    async def _sleep_until(self, at: datetime) -> None:
        # What remembers nothing beyond the process must not suspend it.
        waits = self.waits if self.is_durable else self.durable
        await waits.sleep_until(at)

    def _recorded(self, record: RetryRecord) -> StepFailed:
        data: dict[str, Any] = msgspec.json.decode(record.error)
        error = AgentError.from_data(data)
        facts = {name: value for name, value in data.items() if name not in error.to_data()}
        return StepFailed(self.step, error, facts)

    async def _record(self, failure: StepFailed) -> None:
        """Durable on return, with the time of the next try; raises the failure when there is none."""
        record = self.durable.retry_of(self.key)
        tries, waited_ms = (record.tries, record.waited_ms) if record is not None else (0, 0)
        again = decide(self.policy, failure.error, tries=tries, waited_ms=waited_ms)
        if again is not None or self.records_final:
            await self.durable.record_retry(
                RetryRecord(
                    key=self.key,
                    tries=tries + 1 if again is None else again.tries,
                    error=encode_error(failure.error.to_data() | failure.facts),
                    next_at=None if again is None else self.durable.now() + timedelta(milliseconds=again.wait_ms),
                    waited_ms=waited_ms if again is None else again.waited_ms,
                )
            )
        if again is None:
            raise failure
