"""Running statements: the three ways in which a verb touches the database, each with its promise about failures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, LiteralString, TypeAlias

import anyio
import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg.sql import Composed
from psycopg.types.json import Jsonb

from runtara.core.persistence.postgres.errors import translated
from runtara.core.persistence.postgres.pool import Connection, Pool, has_broken
from runtara.errors import OutcomeUnknown, Unavailable

__all__ = ("Database", "Jsonb", "Parameters", "Row", "fetch", "roll_back")

Row: TypeAlias = DictRow
Parameters: TypeAlias = Mapping[str, Any]


async def fetch(connection: Connection, statement: LiteralString | Composed, parameters: Parameters) -> list[Row]:
    """All rows of a statement, values in binary."""
    async with connection.cursor(binary=True, row_factory=dict_row) as cursor:
        await cursor.execute(statement, parameters)
        return await cursor.fetchall() if cursor.description is not None else []


class Database:
    """The pool, seen by verbs."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def read(self, statement: LiteralString | Composed, parameters: Parameters | None = None) -> list[Row]:
        """Rows of a statement that changes nothing: whatever goes wrong, ``Unavailable`` is true."""
        return await self._run(statement, parameters or {}, lost=Unavailable)

    async def write(self, statement: LiteralString | Composed, parameters: Parameters | None = None) -> list[Row]:
        """Rows of a statement that is a transaction of its own; ``OutcomeUnknown`` when the connection broke."""
        return await self._run(statement, parameters or {}, lost=OutcomeUnknown)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Several statements, committed together at the end of the block; none of them if the block raises."""
        async with self.connection() as connection:
            try:
                with translated():
                    await connection.execute("begin")
                    yield connection
            except BaseException:
                await roll_back(connection)
                raise
            with translated(lost=OutcomeUnknown):
                await connection.execute("commit")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection that was alive a moment ago. Broken ones are replaced on the way."""
        with translated():
            connection = await self.pool.getconn()
            while has_broken(connection):
                await self._give_back(connection, broken=True)
                connection = await self.pool.getconn()
        try:
            yield connection
        finally:
            await self._give_back(connection)

    async def _run(
        self, statement: LiteralString | Composed, parameters: Parameters, *, lost: type[Unavailable]
    ) -> list[Row]:
        async with self.connection() as connection:
            with translated(lost=lost):
                return await fetch(connection, statement, parameters)

    async def _give_back(self, connection: Connection, *, broken: bool = False) -> None:
        with anyio.CancelScope(shield=True):
            if broken:
                await connection.close()
            await self.pool.putconn(connection)


async def roll_back(connection: Connection) -> None:
    """End a transaction that must not happen. Where a rollback is not possible, closing the connection is one."""
    with anyio.CancelScope(shield=True):
        info = connection.info
        if info.transaction_status is TransactionStatus.IDLE:
            return
        if info.transaction_status in _OPEN and info.pipeline_status is PipelineStatus.OFF:
            with suppress(psycopg.Error):
                await connection.rollback()
                return
        await connection.close()


_OPEN: Final = (TransactionStatus.INTRANS, TransactionStatus.INERROR)
