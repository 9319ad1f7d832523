"""The hot statement by libpq itself: prepared once, its parameters are binary already, its answer is one wake.

A cursor of psycopg converts, adapts and counts anew at each execution. That is a fifth of a lonely commit and half of
what this side spends on a batch (docs/decisions/0001), so the one statement that is worth it does without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, LiteralString

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

from runtara.core.persistence.postgres.pool import Connection

__all__ = ("Prepared",)

_GOOD: Final = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)
# "The prepared statement does not exist", so nothing was done. After a rollback psycopg deallocates all there are.
_FORGOTTEN: Final = b"26000"


class Prepared:
    """A statement with ``$1`` for its first parameter. A connection executes it after it was prepared there."""

    def __init__(self, name: LiteralString, statement: LiteralString) -> None:
        self._name = name.encode()
        self._preparation = f"prepare {name} as {statement}"

    async def prepare(self, connection: Connection) -> None:
        """Let the connection know the statement."""
        await connection.execute(self._preparation)

    async def execute(self, connection: Connection, parameters: Sequence[bytes]) -> PGresult:
        """The result, rows in binary. Parameters are in PostgreSQL's binary format.

        The caller has the connection for himself, and no transaction or pipeline is under way on it. When this raises
        anything but an error of the statement, or is cancelled, the connection is closed: what was under way on it
        cannot be told from what comes next.

        Raises:
            psycopg.Error: the server's, or that the connection was lost.
        """
        result = await self._attempt(connection.pgconn, parameters)
        if result.error_field(DiagnosticField.SQLSTATE) == _FORGOTTEN:
            await self.prepare(connection)
            result = await self._attempt(connection.pgconn, parameters)
        if result.status not in _GOOD:
            raise error_from_result(result)
        return result

    async def _attempt(self, pgconn: PGconn, parameters: Sequence[bytes]) -> PGresult:
        try:
            return await self._exchange(pgconn, parameters)
        except BaseException:
            pgconn.finish()
            raise

    async def _exchange(self, pgconn: PGconn, parameters: Sequence[bytes]) -> PGresult:
        formats = [Format.BINARY] * len(parameters)
        pgconn.send_query_prepared(self._name, parameters, param_formats=formats, result_format=Format.BINARY)
        while pgconn.flush():
            await _wait(pgconn, also_to_send=True)
            pgconn.consume_input()
        answer: PGresult | None = None
        while True:
            while pgconn.is_busy():
                await _wait(pgconn)
                pgconn.consume_input()
            if (result := pgconn.get_result()) is None:
                break
            answer = result
        if answer is None:
            raise psycopg.OperationalError("the server gave no answer")
        return answer


async def _wait(pgconn: PGconn, *, also_to_send: bool = False) -> None:
    """Until there is something to read, or room to send."""
    loop, socket = asyncio.get_running_loop(), pgconn.socket
    ready: asyncio.Future[None] = loop.create_future()

    def be_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(socket, be_ready)
    if also_to_send:
        loop.add_writer(socket, be_ready)
    try:
        await ready
    finally:
        loop.remove_reader(socket)
        if also_to_send:
            loop.remove_writer(socket)
