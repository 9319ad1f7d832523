"""The only clock: everything that needs the time or wants to wait is handed one of these."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ("Clock", "SystemClock")


class Clock(Protocol):
    """Wall time for what is stored, monotonic time for what is measured, and waiting."""

    def now(self) -> datetime:
        """The wall clock, an aware UTC datetime."""

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Returns when ``seconds`` have passed; at once when that is not positive."""

    async def sleep_until(self, at: datetime) -> None:
        """Returns when ``now() >= at``, however the wall clock was set in between."""


class SystemClock:
    """See ``Clock``. The machine's clock.

    It sleeps with asyncio, not anyio: a program that is launched for each wake must not pay 25 ms of imports for it.
    """

    def now(self) -> datetime:
        """See ``Clock.now``."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See ``Clock.monotonic``."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``."""
        await asyncio.sleep(max(0.0, seconds))

    async def sleep_until(self, at: datetime) -> None:
        """See ``Clock.sleep_until``."""
        while (left := at - self.now()) > timedelta(0):  # noqa: ASYNC110 (nobody announces the time)
            # In slices, so that a wall clock set forward is noticed.
            await asyncio.sleep(min(left.total_seconds(), 60.0))
