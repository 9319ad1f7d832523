"""Deadlines of loops and children: one time for all attempts, kept by cancelling what takes longer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import anyio
import msgspec

from runtara.agents.errors import AgentError
from runtara.sdk.base import Durable
from runtara.stdlib.failures import StepFailed
from runtara.stdlib.steps import Step
from runtara.stdlib.waits import Waits

if TYPE_CHECKING:
    from runtara.stdlib.run import Run

__all__ = ("Deadline", "DeadlineWaits", "decided_once", "within")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a step has to be over."""

    step: Step
    at: datetime
    code: str
    now: Callable[[], datetime]
    outer: Deadline | None = None

    def check(self) -> None:
        """Raises ``StepFailed`` of the step when the time is over."""
        if self.outer is not None:
            self.outer.check()
        if self.now() >= self.at:
            raise self.failure()

    def failure(self) -> StepFailed:
        """That the time is over."""
        message = f"the step {self.step.id!r} was not over at {self.at.isoformat()}"
        return StepFailed(self.step, AgentError(self.code, message, category="timeout"))

    @property
    def earliest(self) -> datetime:
        """Of this one and those around it."""
        return self.at if self.outer is None else min(self.at, self.outer.earliest)


class DeadlineWaits:
    """``Waits`` that end with a deadline."""

    def __init__(self, inner: Waits, deadline: Deadline) -> None:
        self.inner = inner
        self._deadline = deadline

    async def sleep_until(self, at: datetime) -> None:
        """See ``Waits.sleep_until``. Raises ``StepFailed`` when the deadline comes first."""
        await self.inner.sleep_until(min(at, self._deadline.earliest))
        if at > self._deadline.earliest:
            self._deadline.check()

    async def wait_any(self, names: Sequence[str], *, until: datetime | None) -> None:
        """See ``Waits.wait_any``. Returns at the deadline at the latest."""
        earliest = self._deadline.earliest
        await self.inner.wait_any(names, until=earliest if until is None else min(until, earliest))

    async def interrupt(self) -> None:
        """See ``Waits.interrupt``."""
        await self.inner.interrupt()


async def within(
    run: Run, step: Step, timeout_ms: int, key: str, code: str, body: Callable[[Deadline], Awaitable[T]]
) -> T:
    """What ``body`` returns, if it does within the time, which runs from the first attempt on.

    Raises:
        StepFailed: the time is over; with that code and the category ``timeout``.
    """
    durable = run.durable_of()
    at = await decided_once(durable, key, timedelta(milliseconds=timeout_ms))
    deadline = Deadline(step, at, code, durable.now, run.place.deadline)
    deadline.check()
    left_s = (at - durable.now()).total_seconds()
    with anyio.move_on_after(left_s) as scope:
        return await body(deadline)
    assert scope.cancelled_caught
    raise deadline.failure()


async def decided_once(durable: Durable, key: str, after: timedelta) -> datetime:
    """A moment that the first attempt has decided; durable on return."""
    state = await durable.find(key)
    if state is None:
        state = await durable.save(key, msgspec.json.encode(durable.now() + after))
    return msgspec.json.decode(state, type=datetime)
