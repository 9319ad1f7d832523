"""Deadlines of loops and children: one time for all attempts, kept by cancelling what takes longer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import anyio
import msgspec

from runtara.agents.errors import AgentError
from runtara.sdk.base import Durable
from runtara.stdlib.failures import StepFailed
from runtara.stdlib.steps import SplitStep, StartScenarioStep, Step, WhileStep
from runtara.stdlib.waits import Waits

if TYPE_CHECKING:
    from runtara.stdlib.run import Run

__all__ = ("Deadline", "decided_once", "tried_within", "waits_within")

T = TypeVar("T")

_Container: TypeAlias = SplitStep | WhileStep | StartScenarioStep


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


def waits_within(waits: Waits, deadline: Deadline | None) -> Waits:
    """The waits themselves, or those that end with the deadline."""
    return waits if deadline is None else _DeadlineWaits(waits, deadline)


class _DeadlineWaits:
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


async def tried_within(
    run: Run, step: _Container, key: str, code: str, body: Callable[[str, Deadline | None], Awaitable[T]]
) -> T:
    """What ``body`` returned at last, tried as often as the step says, each try within the time that it says.

    A try is given its suffix of the keys that count the failed tries inside, and its deadline.

    Raises:
        StepFailed: it failed finally; when the time was over, with that code and the category ``timeout``.
    """
    tries = run.tries(step, key)

    async def attempt() -> T:
        # The steps inside begin to count anew with each try of what is around them.
        suffix = f"{run.place.suffix}~{tries.failed}" if tries.failed else run.place.suffix
        if step.timeout_ms is None:
            return await body(suffix, None)
        return await _within(run, step, step.timeout_ms, f"{key}/%deadline{suffix}", code, partial(body, suffix))

    return await tries.until_success(attempt)


async def _within(
    run: Run, step: Step, timeout_ms: int, key: str, code: str, body: Callable[[Deadline], Awaitable[T]]
) -> T:
    """What ``body`` returns, if it does within the time, which runs from the first attempt of the instance on."""
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
