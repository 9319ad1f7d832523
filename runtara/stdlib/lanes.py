"""Lanes: several items of a Split at a time, in one instance that must be suspended as a whole or not at all.

A lane that has to wait for long gives up its place (``Blocked``), and is run again from its checkpoints when its wait
may be over. Only when all lanes wait does the keeper wait for the first of them: it suspends the instance if it is the
run itself, and is blocked in its turn if it is in a lane of another Split. So no effect is cut off by a neighbour.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from runtara.stdlib.failures import StepFailed
from runtara.stdlib.waits import Blocked, LaneWaits, Wait, wait_together

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

    async def outcomes(self) -> dict[int, Any]:
        """The result or the failure of each lane that has run; all of them, if none failed or failures do not count."""
        while True:
            await self._go_as_far_as_possible()
            if not self._blocked:
                return self._outcomes
            await self._wait()

    async def _go_as_far_as_possible(self) -> None:
        again, self._blocked = sorted(self._blocked), {}
        errors: list[BaseException] = []
        async with anyio.create_task_group() as group:
            for number in range(self.width):
                first = again[number] if number < len(again) else None
                group.start_soon(self._work, first, errors)
        if errors:
            raise errors[0]

    async def _work(self, index: int | None, errors: list[BaseException]) -> None:
        """Run lane after lane, until one is blocked: it keeps its place."""
        index = self._take() if index is None else index
        while index is not None and not errors:
            try:
                outcome = await self.lane(index)
            except Blocked as blocked:
                self._blocked[index] = blocked.waits
                return
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:
                # The others come to their own end: an effect that is under way is not cut off.
                errors.append(error)
                return
            self._outcomes[index] = outcome
            self._has_failed = self._has_failed or isinstance(outcome, StepFailed)
            index = self._take()

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
