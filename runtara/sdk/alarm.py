"""One thing to do later, by a clock that tests can move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runtara.clock import Clock

__all__ = ("Alarm",)


class Alarm:
    """Calls back once after a time, unless it is cancelled before. Can be set again after that."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    @property
    def is_set(self) -> bool:
        """Whether it will still call back."""
        return self._task is not None

    def set(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back after the delay. Only when it is not set already."""
        assert self._task is None, "the alarm is set"
        self._task = asyncio.get_running_loop().create_task(self._ring(delay_s, callback))

    def cancel(self) -> None:
        """Do not call back. Safe when it is not set."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _ring(self, delay_s: float, callback: Callable[[], None]) -> None:
        await self._clock.sleep(delay_s)
        self._task = None
        callback()
