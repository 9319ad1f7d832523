"""The writer's own connection: planned for point look-ups only, and made anew as soon as it is found broken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio

from runtara.core.persistence.postgres.arrays import accept_arrays
from runtara.core.persistence.postgres.errors import translated
from runtara.core.persistence.postgres.pool import Connection, Pool, has_broken
from runtara.core.persistence.postgres.prepared import Prepared

__all__ = ("Link",)

# Every statement of the hot path is a few look-ups by key per write. The planner may neither spend time on finding that
# out, batch by batch, nor conclude something else while the tables are small (a plan made then would stay).
_SETTINGS: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


class Link:
    """One connection for one user at a time, which knows the ``prepared`` statements."""

    def __init__(self, pool: Pool, *prepared: Prepared) -> None:
        self._pool = pool
        self._prepared = prepared
        self._lock = anyio.Lock(fast_acquire=True)
        self._connection: Connection | None = None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """The connection, alive a moment ago, for as long as the block runs. Raises ``Unavailable`` without it."""
        async with self._lock:
            yield await self._alive()

    async def aclose(self) -> None:
        """Close it; the next use opens another. Safe twice."""
        async with self._lock:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _alive(self) -> Connection:
        if self._connection is None or has_broken(self._connection):
            if self._connection is not None:
                await self._connection.close()
                self._connection = None
            with translated():
                self._connection = await self._open()
        return self._connection

    async def _open(self) -> Connection:
        connection = await self._pool.connect_alone(_SETTINGS)
        try:
            accept_arrays(connection)
            for statement in self._prepared:
                await statement.prepare(connection)
        except BaseException:
            await connection.close()
            raise
        return connection
