"""This server's lease on what it owns, and the taking over of what dead peers owned.

The lease is one row that is refreshed three times per term. While it is not held, the server answers no write: a peer
may have taken over in the meantime. Taking over bumps nothing by itself; it puts the attempt back into the queue, and
the next claim makes the new epoch that fences the old one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from runtara.clock import Clock
from runtara.core.persistence.base import Persistence
from runtara.errors import RuntaraError, Unavailable

__all__ = ("LEASE_S", "Lease")

LEASE_S: Final = 10.0
TAKE_OVER_INTERVAL_S: Final = 0.5
# After an outage of the database all leases have ended at once: everybody gets the time to renew before anybody takes.
GRACE_S: Final = 1.0
TAKE_OVER_BATCH: Final = 500

_log = logging.getLogger(__name__)


class Lease:
    """The lease of one server. ``open`` once, then ``run`` until cancelled, then ``close``."""

    def __init__(
        self, persistence: Persistence, *, name: str, clock: Clock, lease_s: float = LEASE_S, grace_s: float = GRACE_S
    ) -> None:
        self._persistence = persistence
        self._name = name
        self._clock = clock
        self._lease_s = lease_s
        self._grace_s = grace_s
        self._held_until = float("-inf")
        self.server_no = 0

    @property
    def is_held(self) -> bool:
        """False when it may have ended; then nothing may be written for an instance."""
        return self._clock.monotonic() < self._held_until

    async def open(self) -> int:
        """Join the servers of this database; the number of this server, the same after every restart."""
        asked_at = self._clock.monotonic()
        self.server_no = await self._persistence.join(self._name, lease_s=self._lease_s)
        self._held_until = asked_at + self._lease_s
        return self.server_no

    async def run(
        self, *, on_lost: Callable[[], Awaitable[None]], on_taken_over: Callable[[int], Awaitable[None]]
    ) -> None:
        """Keep the lease and watch the others'. ``on_lost``: it had ended, so peers may own what we run."""
        renew_at = self._clock.monotonic() + self._lease_s / 3
        while True:
            await self._clock.sleep(TAKE_OVER_INTERVAL_S)
            try:
                if self._clock.monotonic() >= renew_at:
                    await self._renew(on_lost)
                    renew_at = self._clock.monotonic() + self._lease_s / 3
                taken = await self._persistence.take_over(grace_s=self._grace_s, limit=TAKE_OVER_BATCH)
                if taken:
                    _log.warning("took over %d attempts of a server whose lease ended", len(taken))
                    await on_taken_over(len(taken))
            except Unavailable as error:
                # The database is away: the lease may end, and with it our right to write, until it is back.
                _log.warning("cannot keep the lease: %s", error.message)

    async def close(self) -> None:
        """Leave: peers take over at once what is still owned. Safe when the database is away."""
        self._held_until = float("-inf")
        try:
            await self._persistence.leave(self.server_no)
        except RuntaraError as error:
            _log.warning("could not leave, the lease ends by itself: %s", error.message)

    async def _renew(self, on_lost: Callable[[], Awaitable[None]]) -> None:
        asked_at = self._clock.monotonic()
        kept = await self._persistence.renew_lease(self.server_no, lease_s=self._lease_s)
        self._held_until = asked_at + self._lease_s
        if not kept:
            _log.warning("the lease had ended; looking at what is still ours")
            await on_lost()
