"""Connections to PostgreSQL: how they are made, what every session is set to, and whether one is still alive."""

from __future__ import annotations

import secrets
import select
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from runtara.limits import DATABASE_STATEMENT_S_MAX

__all__ = ("SCHEMA", "AnyPool", "Connection", "Pool", "has_broken", "make_pool")

Connection: TypeAlias = AsyncConnection[TupleRow]
AnyPool: TypeAlias = AsyncConnectionPool[Any]

SCHEMA: Final = "runtara_store"
"""The schema of all our tables: a product may keep its own in the same database. Not called after a likely role: by
default, a role's own schema is where its tables are made."""

_CONNECT_TIMEOUT_S: Final = 3
# A caller waits as long for a connection, then hears Unavailable.
_CHECKOUT_TIMEOUT_S: Final = 3.0
# How long the pool tries to replace a connection by itself; after that, the next caller makes it try again. Short,
# because its pauses double: a pool that had tried for a minute would come back a minute late.
_RECONNECT_TIMEOUT_S: Final = 0.5

_SETTINGS: Final[Mapping[str, str]] = {
    "search_path": SCHEMA,
    "timezone": "UTC",
    "statement_timeout": f"{DATABASE_STATEMENT_S_MAX}s",
    "lock_timeout": f"{DATABASE_STATEMENT_S_MAX}s",
    "idle_in_transaction_session_timeout": f"{DATABASE_STATEMENT_S_MAX}s",
}

# A peer that vanished without a word is noticed within about 15 s; a Unix socket ignores these.
_KEEPALIVE: Final = {
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


class Pool(AsyncConnectionPool[Connection]):
    """Connections for ``PostgresPersistence`` and the stores on the same database. Open it with ``async with``.

    Opening succeeds even while the database is away: the first verb says ``Unavailable``.
    """

    def __init__(self, conninfo: str, *, size_max: int = 8, settings: Mapping[str, str] | None = None) -> None:
        """``settings`` of every session go over ours."""
        self._url = conninfo
        self._settings = {**_SETTINGS, **(settings or {})}
        self.session_name = f"runtara:{secrets.token_hex(8)}"
        """What our connections are called in ``pg_stat_activity``: different in every process."""
        self._arguments: dict[str, Any] = {
            "autocommit": True,
            "prepare_threshold": 2,
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "application_name": self.session_name,
            **_KEEPALIVE,
        }
        super().__init__(
            conninfo,
            kwargs=self._arguments,
            connection_class=AsyncConnection[TupleRow],
            min_size=min(2, size_max),
            max_size=size_max,
            open=False,
            configure=partial(_configure, settings=self._settings),
            timeout=_CHECKOUT_TIMEOUT_S,
            reconnect_timeout=_RECONNECT_TIMEOUT_S,
            name="runtara",
        )

    async def connect_alone(self, settings: Mapping[str, str]) -> Connection:
        """A connection like those of the pool, but the caller's own, with more settings. The caller closes it."""
        connection = await AsyncConnection[TupleRow].connect(self._url, **self._arguments)
        try:
            await _configure(connection, settings={**self._settings, **settings})
        except BaseException:
            await connection.close()
            raise
        return connection


def make_pool(conninfo: str, *, size_max: int = 8) -> Pool:
    """See ``Pool``."""
    return Pool(conninfo, size_max=size_max)


def has_broken(connection: Connection) -> bool:
    """True when an idle connection must not be used any more.

    An idle server has nothing to say: if its socket is readable, that is its end (or a last word before it). The test
    is one system call, against a round trip for a test query.
    """
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def _configure(connection: Connection, *, settings: Mapping[str, str]) -> None:
    await connection.execute(
        "select set_config(name, value, false) from unnest(%s::text[], %s::text[]) as t (name, value)",
        (list(settings), list(settings.values())),
    )
