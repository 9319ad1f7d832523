"""When to ask for due instances again: the database's index is the heap, this knows how to read it.

A timer for the soonest wake is enough: whatever changes the future (a start, a sleep, a resume, here or on another
server) rings the engine's bell, and then the next time is asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from runtara.clock import Clock
from runtara.core.persistence.base import Persistence

__all__ = ("DatabaseTime", "next_look")

# Between a claim that found too little and the next one. The error of a wake time, and a bound on the load.
_SHORTEST_WAIT: Final = timedelta(milliseconds=5)
# How exactly the database's time is known here.
_UNCERTAINTY: Final = timedelta(milliseconds=50)


def next_look(wakes: Sequence[datetime], *, claimed_at: datetime, now: datetime) -> datetime | None:
    """When a claim may find something again, after one at ``claimed_at`` took all that it could.

    What was due well before the claim and is still there is not for us (another server holds its row): the sweep
    looks after it. What became due since, or will, is.
    """
    for at in sorted(wakes):
        if at >= claimed_at - _UNCERTAINTY:
            return max(at, now + _SHORTEST_WAIT)
    return None


class DatabaseTime:
    """The database's clock, by which wakes are due, as seen from here. ``measure`` before use and now and then."""

    def __init__(self, persistence: Persistence, *, clock: Clock) -> None:
        self._persistence = persistence
        self._clock = clock
        self._ahead = timedelta(0)

    async def measure(self) -> None:
        """Compare the clocks. Raises ``Unavailable``."""
        asked_at = self._clock.now()
        theirs = await self._persistence.check()
        # It was read somewhere between the question and the answer.
        self._ahead = theirs - (asked_at + (self._clock.now() - asked_at) / 2)

    def now(self) -> datetime:
        """The database's time."""
        return self._clock.now() + self._ahead

    def here(self, at: datetime) -> datetime:
        """The time of this host's clock at ``at`` of the database's."""
        return at - self._ahead
