"""A manual clock whose time flies: it jumps to the next sleeper whenever nothing else in the loop can run.

For worlds in memory only: whoever waits for a socket or a thread is not seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runtara.testing.clock import ManualClock


@asynccontextmanager
async def hasty_clock() -> AsyncIterator[ManualClock]:
    clock = ManualClock()
    driver = asyncio.create_task(_drive(clock))
    try:
        yield clock
    finally:
        driver.cancel()
        await asyncio.wait({driver})


async def _drive(clock: ManualClock) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(0)
        is_idle = not loop._ready  # type: ignore[attr-defined]
        if is_idle and clock.next_wake_at is not None:
            clock.jump(clock.next_wake_at - clock.now())
