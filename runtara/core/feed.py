"""Who waits for what inside this server: changes of instances, and the bell for things that became due.

Both are hints. A watcher reads the instance again after each; a missed hint costs a slow sweep, never a wrong answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import anyio

from runtara.clock import Clock
from runtara.ids import InstanceNo

__all__ = ("ChangeFeed", "DueBell", "Watch")

SWEEP_INTERVAL_S: Final = 5.0
"""A watcher looks again after this time even if nobody told it: a hint of another server may have been lost."""


class Watch:
    """One watcher of one instance."""

    def __init__(self) -> None:
        self._changed = anyio.Event()

    async def next(self) -> None:
        """Returns after a change since the last call (or since the watch began), or after a sweep interval."""
        with anyio.move_on_after(SWEEP_INTERVAL_S):
            await self._changed.wait()
        self._changed = anyio.Event()

    def tell(self) -> None:
        """Something changed."""
        self._changed.set()


class ChangeFeed:
    """Changes of instances, to whoever watches them."""

    def __init__(self) -> None:
        self._watches: defaultdict[InstanceNo, set[Watch]] = defaultdict(set)

    @contextmanager
    def watch(self, instance_no: InstanceNo) -> Iterator[Watch]:
        """A watch that begins now: read the instance after entering, and nothing is missed."""
        watch = Watch()
        self._watches[instance_no].add(watch)
        try:
            yield watch
        finally:
            watches = self._watches[instance_no]
            watches.discard(watch)
            if not watches:
                del self._watches[instance_no]

    def publish(self, instance_no: InstanceNo) -> None:
        """The instance changed."""
        for watch in self._watches.get(instance_no, ()):
            watch.tell()


class DueBell:
    """Rings when something became due, or when the time that the listener waits for has come."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Something is due, now or soon: the listener should ask the database what is next."""
        self._rung.set()

    async def wait(self, until: datetime | None) -> None:
        """Returns when it was rung since the last return, or at ``until``."""
        if not self._rung.is_set():
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    if until is not None:
                        group.start_soon(self._wake_at, until, scope)
                    await self._rung.wait()
                    scope.cancel()
        self._rung = anyio.Event()

    async def _wake_at(self, until: datetime, scope: anyio.CancelScope) -> None:
        await self._clock.sleep_until(until)
        scope.cancel()
