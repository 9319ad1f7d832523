"""Waiting: for a time, for a signal, for a person; alone, or in one of several lanes of a run.

A run that is alone waits for itself: its instance is suspended when that takes long. A lane beside others must not
suspend the instance under them. It gives up its place with ``Blocked``, which unwinds it to where the lanes are kept;
its steps have stored what they did, so that it comes to the same place again when it is its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from runtara.sdk.base import Durable

__all__ = ("Blocked", "LaneWaits", "Wait", "Waits", "first_time", "wait_together")

_LANE_SLEEP: Final = timedelta(seconds=30)
"""As long as this a lane waits where it is."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What somebody waits for: a time, a signal, both, or (neither) an interruption that came."""

    until: datetime | None = None
    signal: str | None = None

    @property
    def is_interruption(self) -> bool:
        """Whether the instance has to be asked what it is to do."""
        return self.until is None and self.signal is None


class Blocked(BaseException):
    """A lane cannot go on before one of these waits is over. For the keeper of the lanes, and nobody else."""

    def __init__(self, waits: Sequence[Wait]) -> None:
        super().__init__("the lane waits")
        self.waits = tuple(waits)


class Waits(Protocol):
    """How a run waits."""

    async def sleep_until(self, at: datetime) -> None:
        """See ``Durable.sleep_until``."""

    async def wait_any(self, names: Sequence[str], *, until: datetime | None) -> None:
        """See ``Durable.wait_any``."""

    async def interrupt(self) -> None:
        """See ``Durable.interrupt``."""


class LaneWaits:
    """``Waits`` of a lane."""

    def __init__(self, durable: Durable) -> None:
        self._durable = durable

    async def sleep_until(self, at: datetime) -> None:
        """Returns at that time. Raises ``Blocked``."""
        durable = self._durable
        await self.interrupt()
        while durable.now() < at:
            await self.interrupt()
            if at - durable.now() > _LANE_SLEEP:
                raise Blocked([Wait(until=at)])
            await durable.pause_until(at)

    async def wait_any(self, names: Sequence[str], *, until: datetime | None) -> None:
        """Returns when the time is over. Raises ``Blocked``: the keeper of the lanes looks for the signals."""
        await self.interrupt()
        if until is None or self._durable.now() < until:
            raise Blocked([Wait(until=until, signal=name) for name in names])

    async def interrupt(self) -> None:
        """Returns when there is no interruption. Raises ``Blocked``."""
        if self._durable.check():
            raise Blocked([Wait()])


def first_time(waits: Sequence[Wait]) -> datetime | None:
    """The earliest time that one of them waits for."""
    return min((wait.until for wait in waits if wait.until is not None), default=None)


async def wait_together(durable: Durable, waits: Sequence[Wait]) -> None:
    """Wait for the first of them, alone now. Returns when one may be over; suspends the instance if that takes long."""
    await durable.interrupt()
    if any(wait.is_interruption for wait in waits):
        return
    until = first_time(waits)
    names = sorted({wait.signal for wait in waits if wait.signal is not None})
    if names:
        await durable.wait_any(names, until=until)
    elif until is not None:
        await durable.sleep_until(until)
