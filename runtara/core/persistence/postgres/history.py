"""Checkpoints, retries and events, read back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runtara.core.model import Checkpoint, CheckpointInfo, Event, EventType, Page, Retry
from runtara.core.persistence.cursors import CHECKPOINT_PAGE_ROWS_MAX, keys_that_fit, number_of, page_of
from runtara.core.persistence.postgres.database import Database
from runtara.core.persistence.postgres.pool import Pool
from runtara.core.persistence.postgres.rows import checkpoint_info_from, event_from, retry_from
from runtara.core.persistence.postgres.statements import load_statements
from runtara.ids import CheckpointKey, InstanceNo

__all__ = ("History",)

_SQL: Final = load_statements(__package__, "history.sql")


class History:
    """See ``Persistence``: the verbs that read checkpoints, retries and events."""

    def __init__(self, pool: Pool) -> None:
        self._database = Database(pool)

    async def find_checkpoint(self, instance_no: InstanceNo, key: CheckpointKey) -> bytes | None:
        """See ``Persistence.find_checkpoint``."""
        rows = await self._database.read(_SQL["find_checkpoint"], {"instance_no": instance_no, "key": key})
        return rows[0]["state"] if rows else None

    async def read_checkpoints(
        self, instance_no: InstanceNo, *, after: CheckpointKey | None, bytes_max: int
    ) -> tuple[Sequence[Checkpoint], bool]:
        """See ``Persistence.read_checkpoints``."""
        place = {"instance_no": instance_no, "after": after or ""}
        sizes = await self._database.read(_SQL["checkpoint_sizes"], place | {"limit": CHECKPOINT_PAGE_ROWS_MAX + 1})
        count = keys_that_fit([row["state_bytes"] for row in sizes], bytes_max=bytes_max)
        if count == 0:
            return (), True
        rows = await self._database.read(_SQL["checkpoint_states"], place | {"last": sizes[count - 1]["key"]})
        return [Checkpoint(**row) for row in rows], count == len(sizes)

    async def list_checkpoints(
        self, instance_no: InstanceNo, *, limit: int, cursor: str | None
    ) -> Page[CheckpointInfo]:
        """See ``Persistence.list_checkpoints``."""
        parameters = {"instance_no": instance_no, "before": number_of(cursor), "limit": limit + 1}
        rows = await self._database.read(_SQL["list_checkpoints"], parameters)
        page = page_of(rows, limit=limit, number=lambda row: row["checkpoint_no"])
        return Page([checkpoint_info_from(row) for row in page.rows], page.next_cursor)

    async def read_retries(self, instance_no: InstanceNo) -> Sequence[Retry]:
        """See ``Persistence.read_retries``."""
        return [
            retry_from(row) for row in await self._database.read(_SQL["read_retries"], {"instance_no": instance_no})
        ]

    async def list_events(
        self, instance_no: InstanceNo, *, after_event_no: int, limit: int, types: Sequence[EventType] = ()
    ) -> Sequence[Event]:
        """See ``Persistence.list_events``."""
        parameters = {
            "instance_no": instance_no,
            "after": after_event_no,
            "limit": limit,
            "types": [kind.value for kind in types] or None,
        }
        return [event_from(row) for row in await self._database.read(_SQL["list_events"], parameters)]
