"""The servers of a database: who is alive, and what the dead leave to the others."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from runtara.core.model import ServerRow
from runtara.core.persistence.base import ChangeStatus, OutcomeKind
from runtara.core.persistence.postgres.database import Database, fetch
from runtara.core.persistence.postgres.migrate import check_versions
from runtara.core.persistence.postgres.pool import Pool
from runtara.core.persistence.postgres.statements import load_statements
from runtara.core.persistence.postgres.writing import change_in
from runtara.core.state import Change
from runtara.errors import NotFound, Unavailable
from runtara.ids import InstanceNo

__all__ = ("Servers",)

_SQL: Final = load_statements(__package__, "servers.sql")
_SECRET_BYTES: Final = 32

_log = logging.getLogger(__name__)


class Servers:
    """See ``Persistence``: the verbs of life and of servers."""

    def __init__(self, pool: Pool) -> None:
        self._database = Database(pool)

    # ---- life

    async def check(self) -> datetime:
        """See ``Persistence.check``."""
        async with self._database.connection() as connection:
            await check_versions(connection, ("core",))
        (row,) = await self._database.read(_SQL["check"])
        now: datetime = row["now"]
        return now

    async def secret(self, name: str) -> bytes:
        """See ``Persistence.secret``."""
        await self._database.write(_SQL["make_secret"], {"name": name, "value": secrets.token_bytes(_SECRET_BYTES)})
        (row,) = await self._database.read(_SQL["find_secret"], {"name": name})
        value: bytes = row["value"]
        return value

    # ---- servers

    async def join(self, name: str, *, lease_s: float) -> int:
        """See ``Persistence.join``."""
        await self._end_former_sessions(name)
        parameters = {"name": name, "session": self._database.pool.session_name, "lease_s": lease_s}
        (row,) = await self._database.write(_SQL["join"], parameters)
        return int(row["server_no"])

    async def renew_lease(self, server_no: int, *, lease_s: float) -> bool:
        """See ``Persistence.renew_lease``."""
        async with self._database.transaction() as connection:
            rows = await fetch(connection, _SQL["lock_server"], {"server_no": server_no})
            if not rows:
                raise NotFound(f"there is no server {server_no}")
            await fetch(connection, _SQL["renew_lease"], {"server_no": server_no, "lease_s": lease_s})
        return not rows[0]["lost_attempts"]

    async def leave(self, server_no: int) -> None:
        """See ``Persistence.leave``."""
        await self._database.write(_SQL["leave"], {"server_no": server_no})

    async def list_servers(self) -> Sequence[ServerRow]:
        """See ``Persistence.list_servers``."""
        return [ServerRow(**row) for row in await self._database.read(_SQL["list_servers"])]

    async def take_over(self, *, grace_s: float, limit: int) -> Sequence[InstanceNo]:
        """See ``Persistence.take_over``."""
        async with self._database.transaction() as connection:
            dead = await fetch(connection, _SQL["lock_dead_servers"], {"grace_s": grace_s})
            if not dead:
                return ()
            server_nos = [row["server_no"] for row in dead]
            orphans = await fetch(connection, _SQL["lock_orphans"], {"server_nos": server_nos, "limit": limit})
            if not orphans:
                return ()
            instance_nos = [row["instance_no"] for row in orphans]
            await fetch(connection, _SQL["mark_lost"], {"instance_nos": instance_nos})
            changes = [ChangeStatus(change=Change.LOSE_SERVER, **row) for row in orphans]
            outcomes = await change_in(connection, changes)
        assert all(outcome.kind is OutcomeKind.DONE for outcome in outcomes), "the rows were locked"
        return instance_nos

    async def _end_former_sessions(self, name: str) -> None:
        """End what a former process of this name left behind. Without the privilege, its lease ends by itself."""
        rows = await self._database.read(_SQL["find_former_session"], {"name": name})
        if not rows or rows[0]["session"] == self._database.pool.session_name:
            return
        try:
            await self._database.write(_SQL["end_sessions"], {"session": rows[0]["session"]})
        except Unavailable as error:
            _log.warning("could not end the sessions of the former process: %s", error.message)
