"""Waiting with an end, and waiting for the world to come back; on the clock that is given."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from runtara.clock import Clock
from runtara.errors import DiskFull, Unavailable

__all__ = ("insist", "within")

T = TypeVar("T")

_FIRST_DELAY_S: Final = 0.1
_DELAY_S_MAX: Final = 5.0

_log = logging.getLogger(__name__)


async def within(clock: Clock, seconds: float, work: Callable[[], Awaitable[T]]) -> T | None:
    """What ``work`` returns, or None when it took longer: then it was cancelled."""
    result: T | None = None
    failure: Exception | None = None

    async def alarm() -> None:
        await clock.sleep(seconds)
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(alarm)
        try:
            result = await work()
        except Exception as error:  # Raised below: out of the group it would come wrapped.
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return result


async def insist(clock: Clock, work: Callable[[], Awaitable[T]]) -> T:
    """What ``work`` returns, repeated while the database is away. It must be safe to repeat.

    A full disk is not waited out: it is this host's trouble, and others may do better.
    """
    delay_s = _FIRST_DELAY_S
    while True:
        try:
            return await work()
        except DiskFull:
            raise
        except Unavailable as error:
            _log.warning("waiting for the database: %s", error.message)
            await clock.sleep(max(delay_s, (error.retry_after_ms or 0) / 1000))
            delay_s = min(2 * delay_s, _DELAY_S_MAX)
