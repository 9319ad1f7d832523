"""Hints between servers, by LISTEN and NOTIFY: small, coalesced, and nobody's only way to learn something."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from runtara.core.persistence.base import Notification, NotificationKind
from runtara.core.persistence.postgres.database import Database
from runtara.core.persistence.postgres.errors import translated
from runtara.core.persistence.postgres.pool import Connection, Pool
from runtara.core.persistence.postgres.statements import load_statements
from runtara.errors import Unavailable
from runtara.ids import InstanceNo

__all__ = ("Hints",)

_SQL: Final = load_statements(__package__, "hints.sql")
CHANNEL: Final = "runtara"
# PostgreSQL takes payloads below 8,000 bytes; a hint is some 60 bytes.
_HINTS_PER_PAYLOAD: Final = 80

_Packed: TypeAlias = tuple[str, int | None, int | None, datetime | None]
_decoder = msgspec.json.Decoder(list[_Packed])

_log = logging.getLogger(__name__)


class Hints:
    """See ``Persistence``: the verbs ``notify`` and ``listen``."""

    def __init__(self, pool: Pool) -> None:
        self._database = Database(pool)

    async def notify(self, notifications: Sequence[Notification]) -> None:
        """See ``Persistence.notify``."""
        if notifications:
            payloads = list(_payloads(notifications))
            await self._database.write(_SQL["notify"], {"channel": CHANNEL, "payloads": payloads})

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[Notification]]:
        """See ``Persistence.listen``."""
        with translated():
            connection = await self._database.pool.connect_alone({})
        try:
            with translated():
                await connection.execute(f"listen {CHANNEL}")
            async with aclosing(_heard(connection)) as notifications:
                yield notifications
        finally:
            await connection.close()


async def _heard(connection: Connection) -> AsyncGenerator[Notification, None]:
    with translated():
        async for notify in connection.notifies():
            for notification in _unpack(notify.payload):
                yield notification
    raise Unavailable("the connection that listens has ended", retry_after_ms=250)


def _payloads(notifications: Sequence[Notification]) -> Iterator[str]:
    for first in range(0, len(notifications), _HINTS_PER_PAYLOAD):
        packed: list[Any] = [
            (n.kind.value, n.instance_no, n.server_no, n.at) for n in notifications[first : first + _HINTS_PER_PAYLOAD]
        ]
        yield msgspec.json.encode(packed).decode()


def _unpack(payload: str) -> Iterator[Notification]:
    """What a payload says. Somebody else's payload, or a newer server's kind of hint, says nothing."""
    try:
        for kind, instance_no, server_no, at in _decoder.decode(payload):
            number = None if instance_no is None else InstanceNo(instance_no)
            yield Notification(NotificationKind(kind), instance_no=number, server_no=server_no, at=at)
    except (msgspec.DecodeError, ValueError) as error:
        _log.warning("heard something that is no hint of ours: %s", error)
