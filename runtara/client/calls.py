"""What all groups of client methods stand on: one request, answered or refused, within a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

from runtara.client.connections import Connections
from runtara.clock import Clock
from runtara.protocol import messages as m

__all__ = ("Calls", "iter_pages")

R = TypeVar("R", bound=m.Message)
Row = TypeVar("Row")


class Calls:
    """A group of methods over the connections of a client."""

    def __init__(
        self, connections: Connections, *, request_timeout_s: float, tenant_id: str | None, clock: Clock
    ) -> None:
        self.request_timeout_s = request_timeout_s
        self.tenant_id = tenant_id
        """Whom methods mean when they are not told; None: the token's tenant."""
        self._connections = connections
        self._clock = clock

    async def _call(
        self, request: m.Message, kind: type[R], *, timeout_s: float | None = None, repeats: bool = True
    ) -> R:
        """See ``Connections.call``."""
        return await self._connections.call(
            request, kind, timeout_s=self.request_timeout_s if timeout_s is None else timeout_s, repeats=repeats
        )

    def _tenant(self, tenant_id: str | None) -> str | None:
        return self.tenant_id if tenant_id is None else tenant_id


async def iter_pages(
    read: Callable[[str | None], Awaitable[tuple[Sequence[Row], str | None]]],
) -> AsyncGenerator[Row, None]:
    """All rows of all pages, read as they are needed."""
    cursor: str | None = None
    while True:
        rows, cursor = await read(cursor)
        for row in rows:
            yield row
        if cursor is None:
            return
