"""A clock that moves when told: a thirty-day sleep takes a millisecond to test."""

from __future__ import annotations

import heapq
import itertools
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel

__all__ = ("ManualClock",)


class ManualClock:
    """A ``Clock`` whose time stands still until ``jump`` or ``advance``."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = now
        # A large offset, so that code which mixes wall and monotonic time breaks on the first day.
        self._monotonic_offset_s = 4_711_000.0 - now.timestamp()
        self._sleepers: list[tuple[datetime, int, anyio.Event]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        """See ``Clock.now``."""
        return self._now

    def monotonic(self) -> float:
        """See ``Clock.monotonic``."""
        return self._now.timestamp() + self._monotonic_offset_s

    async def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``."""
        await self.sleep_until(self._now + timedelta(seconds=max(0.0, seconds)))

    async def sleep_until(self, at: datetime) -> None:
        """See ``Clock.sleep_until``."""
        if at <= self._now:
            await anyio.lowlevel.checkpoint()
            return
        woken = anyio.Event()
        heapq.heappush(self._sleepers, (at, next(self._order), woken))
        await woken.wait()

    @property
    def next_wake_at(self) -> datetime | None:
        """When the soonest sleeper wants to wake, if anybody sleeps."""
        return self._sleepers[0][0] if self._sleepers else None

    def jump(self, by: timedelta) -> None:
        """Set the time forward and wake whoever is due; they run when the caller next waits."""
        assert by >= timedelta(0), "time does not go back"
        self._now += by
        while self._sleepers and self._sleepers[0][0] <= self._now:
            heapq.heappop(self._sleepers)[2].set()

    async def advance(self, by: timedelta) -> None:
        """Go forward sleeper by sleeper, letting each run at its own time before the next."""
        target = self._now + by
        while self._sleepers and self._sleepers[0][0] <= target:
            self.jump(self._sleepers[0][0] - self._now)
            await anyio.wait_all_tasks_blocked()
        self.jump(target - self._now)
        await anyio.wait_all_tasks_blocked()
