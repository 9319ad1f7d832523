"""Lanes: several items of a Split at a time, in one instance that must be suspended as a whole or not at all.

A lane that has to wait for long unwinds (``Blocked``), keeps its place, and is run again from its checkpoints when its
wait may be over. Only when all lanes wait does the keeper wait for the first of them: it suspends the instance if it is
the run itself, and is blocked in its turn if it is in a lane of another Split. So no effect is cut off by a neighbour.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from runtara.stdlib.failures import StepFailed
from runtara.stdlib.waits import Blocked, LaneWaits, Wait, first_time, wait_together

if TYPE_CHECKING:
    from runtara.stdlib.run import Run

__all__ = ("Lanes",)


@dataclass(kw_only=True)
class Lanes:
    """The lanes of one Split."""

    run: Run
    count: int
    width: int
    """So many at a time."""
    lane: Callable[[int], Awaitable[Any]]
    """Runs one; returns its result or its ``StepFailed``; raises ``Blocked``."""
    goes_on: bool
    """Whether others begin after one has failed."""

    _outcomes: dict[int, Any] = field(default_factory=dict)
    _blocked: dict[int, tuple[Wait, ...]] = field(default_factory=dict)
    _next: int = 0
    _has_failed: bool = False
    _active: int = 0
    """So many lanes are at work."""
    _all_wait: anyio.Event = field(default_factory=anyio.Event)

    async def outcomes(self) -> dict[int, Any]:
        """The result or the failure of each lane that has run; all of them, if none failed or failures do not count."""
        while True:
            await self._go_as_far_as_possible()
            if not self._blocked:
                return self._outcomes
            await self._wait()

    async def _go_as_far_as_possible(self) -> None:
        """Returns when every lane is over or waits."""
        again, self._blocked = sorted(self._blocked), {}
        self._active, self._all_wait = self.width, anyio.Event()
        errors: list[BaseException] = []
        async with anyio.create_task_group() as group:
            for number in range(self.width):
                first = again[number] if number < len(again) else None
                group.start_soon(self._work, first, errors)
        if errors:
            raise errors[0]

    async def _work(self, index: int | None, errors: list[BaseException]) -> None:
        """Run lane after lane, until one has to wait for what nobody else is waiting with it."""
        index = self._take() if index is None else index
        while index is not None and not errors:
            try:
                self._note(index, await self.lane(index))
            except Blocked as blocked:
                self._blocked[index] = blocked.waits
                if not await self._is_over(blocked.waits):
                    return
                del self._blocked[index]
                continue
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:
                # The others come to their own end: an effect that is under way is not cut off.
                errors.append(error)
                break
            index = self._take()
        self._leave()

    def _note(self, index: int, outcome: Any) -> None:
        self._outcomes[index] = outcome
        self._has_failed = self._has_failed or isinstance(outcome, StepFailed)

    async def _is_over(self, waits: Sequence[Wait]) -> bool:
        """Wait beside the others. True when one of the waits may be over; False when nobody is at work any more."""
        self._leave()
        came = False
        async with anyio.create_task_group() as group:
            group.start_soon(self._cancel_when_all_wait, group.cancel_scope)
            if any(wait.is_interruption for wait in waits):
                await self._all_wait.wait()
            else:
                await self.run.execution.durable.pause_until(first_time(waits))
                came = not self._all_wait.is_set()
            group.cancel_scope.cancel()
        self._active += came
        return came

    def _leave(self) -> None:
        self._active -= 1
        if self._active == 0:
            self._all_wait.set()

    async def _cancel_when_all_wait(self, scope: anyio.CancelScope) -> None:
        await self._all_wait.wait()
        scope.cancel()

    def _take(self) -> int | None:
        if self._next >= self.count or (self._has_failed and not self.goes_on):
            return None
        self._next += 1
        return self._next - 1

    async def _wait(self) -> None:
        """Returns when a lane may go on."""
        waits: Sequence[Wait] = [wait for found in self._blocked.values() for wait in found]
        if isinstance(_innermost(self.run.waits), LaneWaits):
            raise Blocked(waits)
        await wait_together(self.run.execution.durable, waits)


def _innermost(waits: Any) -> Any:
    while hasattr(waits, "inner"):
        waits = waits.inner
    return waits
