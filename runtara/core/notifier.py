"""Hints to the other servers, sent in small transactions of their own beside the writer's.

NOTIFY takes a lock over all commits of a database, so it has no place in the hot transaction. What gathered while the
last announcement ran goes with the next; when the database is away, hints are dropped: sweeps find what they meant.
"""

from __future__ import annotations

import logging

import anyio

from runtara.core.persistence.base import Notification, Persistence
from runtara.errors import RuntaraError

__all__ = ("Notifier",)

PENDING_MAX = 10_000

_log = logging.getLogger(__name__)


class Notifier:
    """Collects notifications and announces them. ``run`` until cancelled."""

    def __init__(self, persistence: Persistence) -> None:
        self._persistence = persistence
        # A dict, because many changes of one instance are one hint.
        self._pending: dict[Notification, None] = {}
        self._arrived = anyio.Event()

    def announce(self, notification: Notification) -> None:
        """Say it soon, perhaps."""
        if len(self._pending) < PENDING_MAX:
            self._pending[notification] = None
            self._arrived.set()

    async def run(self) -> None:
        """Announce until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived = anyio.Event()
            batch, self._pending = tuple(self._pending), {}
            try:
                await self._persistence.notify(batch)
            except RuntaraError as error:
                _log.warning("could not announce %d hints: %s", len(batch), error.message)
