"""Whether the server can do its work: the only verb that needs no token."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import anyio

from runtara import __version__
from runtara.core.engine import Engine
from runtara.environment.verbs.caller import Caller
from runtara.errors import RuntaraError
from runtara.protocol import messages as m

__all__ = ("HealthVerb",)

_log = logging.getLogger(__name__)

_DATABASE_TIMEOUT_S: Final = 2.0
# Monitors ask every few seconds, and a hundred thousand may sleep. Where it says so many, there may be more.
_COUNT_MAX: Final = 10_000


class HealthVerb:
    """See the module. ``facts`` are the server's own words about itself, for people."""

    def __init__(self, engine: Engine, *, facts: Callable[[], dict[str, Any]]) -> None:
        self._engine = engine
        self._facts = facts
        self._started_at = engine.clock.monotonic()

    async def report(self, caller: Caller, request: m.Health) -> m.HealthReport:
        """The report. To a stranger it says only whether we are well, and for how long."""
        counts = await self._counts()
        known = caller.is_known
        return m.HealthReport(
            healthy=counts is not None and self._engine.lease.is_held,
            version=__version__,
            uptime_s=self._engine.clock.monotonic() - self._started_at,
            counts=(counts or {}) if known else {},
            detail=self._facts() if known else {},
        )

    async def _counts(self) -> dict[str, int] | None:
        """What the database counts, up to ``_COUNT_MAX`` of each; None when it does not answer."""
        try:
            with anyio.fail_after(_DATABASE_TIMEOUT_S):
                return await self._engine.persistence.count_instances(limit=_COUNT_MAX)
        except (RuntaraError, TimeoutError) as error:
            _log.warning("the database does not answer: %s", error)
            return None
