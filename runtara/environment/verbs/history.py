"""What an instance left behind: its checkpoints and its events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runtara._native import api as native
from runtara.core.engine import Engine
from runtara.core.model import Event
from runtara.environment.verbs.caller import Caller
from runtara.environment.verbs.checks import check_cursor, check_event_types, check_number, check_page
from runtara.environment.verbs.instances import get_instance
from runtara.environment.verbs.views import checkpoint_view, event_view
from runtara.errors import NotFound
from runtara.ids import parse_checkpoint_key
from runtara.limits import PREFETCH_BYTES_MAX
from runtara.protocol import messages as m

__all__ = ("HistoryVerbs",)


class HistoryVerbs:
    """See the module."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list_checkpoints(self, caller: Caller, request: m.ListCheckpoints) -> m.CheckpointList:
        """A page of checkpoints without their states, newest first."""
        limit, cursor = check_page(request.limit), check_cursor(request.cursor)
        instance = await get_instance(self._engine, caller, request.tenant_id, request.instance_id)
        page = await self._engine.persistence.list_checkpoints(instance.instance_no, limit=limit, cursor=cursor)
        return m.CheckpointList(tuple(checkpoint_view(row) for row in page.rows), page.next_cursor)

    async def get_checkpoint(self, caller: Caller, request: m.GetCheckpointState) -> m.CheckpointState:
        """The bytes that the program saved.

        Raises:
            NotFound: there is no such instance or no such key.
        """
        key = parse_checkpoint_key(request.key)
        instance = await get_instance(self._engine, caller, request.tenant_id, request.instance_id)
        envelope = await self._engine.persistence.find_checkpoint(instance.instance_no, key)
        if envelope is None:
            raise NotFound(f"the instance has no checkpoint {key!r}", key=key)
        return m.CheckpointState(native.unseal((envelope,))[0])

    async def list_events(self, caller: Caller, request: m.ListEvents) -> m.EventList:
        """Events after a number, oldest first."""
        limit, types = check_page(request.limit), check_event_types(request.types)
        check_number("after_event_no", request.after_event_no, 0, 2**63 - 1, "")
        instance = await get_instance(self._engine, caller, request.tenant_id, request.instance_id)
        events = await self._engine.persistence.list_events(
            instance.instance_no, after_event_no=request.after_event_no, limit=limit, types=types
        )
        return m.EventList(tuple(event_view(event) for event in _that_fit(events)))


def _that_fit(events: Sequence[Event]) -> Iterator[Event]:
    """As many as fit into one answer, and at least one: a short page says nothing about the rest, an empty one does."""
    left = PREFETCH_BYTES_MAX
    for event in events:
        left -= len(event.payload or b"")
        if left < 0 and event is not events[0]:
            return
        yield event
