"""Starting, watching and steering instances, and reading what they left behind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec

from runtara.client.calls import Calls, iter_pages
from runtara.client.connections import Connection, Subscription
from runtara.client.handle import InstanceHandle
from runtara.client.records import Checkpoint, Event, Instance, LogChunk, StartedInstance, decode_json
from runtara.client.steps import STEP_EVENTS, StepBook, StepFilter, StepSummary
from runtara.errors import RuntaraError, Unavailable
from runtara.ids import new_id
from runtara.limits import PAGE_ROWS_DEFAULT
from runtara.protocol import messages as m

__all__ = ("InstanceCalls",)

# Between two looks at a log or the events of an instance that goes on.
_FOLLOW_INTERVAL_S: Final = 0.3
_WATCH_AGAIN_S: Final = 0.25


class InstanceCalls(Calls):
    """See the module. Methods that name an instance raise ``NotFound`` when there is none."""

    # ---- starting

    async def start_instance(
        self,
        image: str,
        *,
        input: Any = None,  # noqa: A002 (what it is called everywhere else)
        instance_id: str | None = None,
        tenant_id: str | None = None,
        timeout_s: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> InstanceHandle:
        """Start an image, by id or name; durable on return. The same id and start again is the same instance.

        ``input`` is any value that JSON can hold (``msgspec.Raw`` goes as it is); None is the empty object.

        Raises:
            NotFound: there is no such image.
            AlreadyExists: the id belongs to another start.
            Overloaded: too many instances of the tenant wait.
        """
        request = m.StartInstance(
            tenant_id=self._tenant(tenant_id),
            image=image,
            # Chosen here, so that asking again after a lost answer cannot start a second one.
            instance_id=new_id() if instance_id is None else instance_id,
            input=b"{}" if input is None else msgspec.json.encode(input),
            timeout_s=timeout_s,
            env=dict(env or {}),
        )
        started = await self._call(request, m.InstanceStarted)
        return InstanceHandle(
            self,
            StartedInstance(
                instance_id=started.instance_id,
                tenant_id=started.tenant_id,
                image_id=started.image_id,
                created=started.created,
            ),
        )

    # ---- looking

    async def get_instance(
        self, instance_id: str, *, tenant_id: str | None = None, with_input: bool = False
    ) -> Instance:
        """The instance as it is now."""
        request = m.GetInstance(self._tenant(tenant_id), instance_id, with_input)
        return Instance.from_view(await self._call(request, m.InstanceView))

    def list_instances(
        self,
        *,
        tenant_id: str | None = None,
        statuses: Sequence[str] = (),
        image: str | None = None,
        instance_id_prefix: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_rows: int = PAGE_ROWS_DEFAULT,
    ) -> AsyncGenerator[Instance, None]:
        """All instances that match, newest first, read page by page; without inputs, outputs and errors."""

        async def read(cursor: str | None) -> tuple[Sequence[Instance], str | None]:
            request = m.ListInstances(
                tenant_id=self._tenant(tenant_id),
                statuses=tuple(statuses),
                image=image,
                instance_id_prefix=instance_id_prefix,
                created_after=created_after,
                created_before=created_before,
                limit=page_rows,
                cursor=cursor,
            )
            page = await self._call(request, m.InstancePage)
            return [Instance.from_view(view) for view in page.instances], page.next_cursor

        return iter_pages(read)

    async def watch(self, instance_id: str, *, tenant_id: str | None = None) -> AsyncGenerator[Instance, None]:
        """The instance now and after every change of its status, until it has ended.

        The server pushes. A lost connection is opened again, and then the latest state comes; what was missed in
        between does not. Raises nothing but what cannot be cured by waiting.
        """
        while True:
            try:
                connection = await self._connections.get()
                with connection.subscribe() as subscription:
                    try:
                        await self._subscribe(connection, subscription, self._tenant(tenant_id), instance_id)
                        while True:
                            instance = Instance.from_view(await subscription.next())
                            yield instance
                            if instance.is_terminal:
                                return
                    finally:
                        with suppress(RuntaraError):
                            connection.peer.send_request(m.UnwatchInstance(subscription.number), _ignore)
            except Unavailable as error:
                if self._connections.is_closed:
                    raise
                await self._clock.sleep(max(_WATCH_AGAIN_S, (error.retry_after_ms or 0) / 1000))

    async def _subscribe(
        self, connection: Connection, subscription: Subscription, tenant_id: str | None, instance_id: str
    ) -> None:
        request = m.WatchInstance(tenant_id, instance_id, subscription.number)
        await connection.peer.call(request, timeout_s=self.request_timeout_s)

    # ---- steering

    async def pause(self, instance_id: str, *, tenant_id: str | None = None) -> Instance:
        """Ask for a pause: a running instance pauses at its next safe point, a parked one at once."""
        return await self._steer(m.PauseInstance(self._tenant(tenant_id), instance_id))

    async def resume(self, instance_id: str, *, tenant_id: str | None = None, from_failed: bool = False) -> Instance:
        """Let a paused instance go on; with ``from_failed`` also a failed or cancelled one, from its checkpoints."""
        return await self._steer(m.ResumeInstance(self._tenant(tenant_id), instance_id, from_failed))

    async def cancel(self, instance_id: str, *, tenant_id: str | None = None, reason: str | None = None) -> Instance:
        """Ask for the end: a running instance ends at its next safe point, a parked one at once."""
        return await self._steer(m.CancelInstance(self._tenant(tenant_id), instance_id, reason))

    async def stop(
        self,
        instance_id: str,
        *,
        tenant_id: str | None = None,
        grace_s: float = 5.0,
        reason: str | None = None,
    ) -> Instance:
        """Cancel, wait ``grace_s`` for it, then end the process; the instance when it has ended."""
        request = m.StopInstance(self._tenant(tenant_id), instance_id, grace_s, reason)
        return await self._steer(request, timeout_s=self.request_timeout_s + grace_s)

    async def _steer(self, request: m.Message, *, timeout_s: float | None = None) -> Instance:
        return Instance.from_view(await self._call(request, m.InstanceView, timeout_s=timeout_s))

    async def send_custom_signal(
        self, instance_id: str, name: str, payload: Any = None, *, tenant_id: str | None = None
    ) -> int:
        """Hand a JSON value to the program that waits, or will wait, for this name; the number of the signal.

        Raises:
            OutcomeUnknown: it may have been stored. It is not sent again: the program would get it twice.
        """
        request = m.SendCustomSignal(
            self._tenant(tenant_id), instance_id, name, None if payload is None else msgspec.json.encode(payload)
        )
        return (await self._call(request, m.SignalAccepted, repeats=False)).signal_no

    # ---- what it left behind

    def checkpoints(
        self, instance_id: str, *, tenant_id: str | None = None, page_rows: int = PAGE_ROWS_DEFAULT
    ) -> AsyncGenerator[Checkpoint, None]:
        """All checkpoints without their states, newest first, read page by page."""

        async def read(cursor: str | None) -> tuple[Sequence[Checkpoint], str | None]:
            request = m.ListCheckpoints(self._tenant(tenant_id), instance_id, page_rows, cursor)
            page = await self._call(request, m.CheckpointList)
            return [_checkpoint(view) for view in page.checkpoints], page.next_cursor

        return iter_pages(read)

    async def get_checkpoint(self, instance_id: str, key: str, *, tenant_id: str | None = None) -> Any:
        """The saved value; the bytes themselves when they are no JSON. Raises ``NotFound``."""
        return decode_json(await self.get_checkpoint_state(instance_id, key, tenant_id=tenant_id))

    async def get_checkpoint_state(self, instance_id: str, key: str, *, tenant_id: str | None = None) -> bytes:
        """The bytes that the program saved. Raises ``NotFound``."""
        request = m.GetCheckpointState(self._tenant(tenant_id), instance_id, key)
        return (await self._call(request, m.CheckpointState)).state or b""

    async def events(
        self,
        instance_id: str,
        *,
        tenant_id: str | None = None,
        types: Sequence[str] = (),
        after_event_no: int = 0,
        follow: bool = False,
        page_rows: int = PAGE_ROWS_DEFAULT,
    ) -> AsyncGenerator[Event, None]:
        """All events, oldest first; with ``follow`` also those to come, until the instance has ended."""
        has_ended = not follow
        while True:
            request = m.ListEvents(self._tenant(tenant_id), instance_id, after_event_no, page_rows, tuple(types))
            page = await self._call(request, m.EventList)
            for view in page.events:
                after_event_no = view.event_no
                yield _event(view)
            if page.events:
                continue
            if has_ended:
                return
            # Looked at before the last read, so that nothing written at the end is missed.
            has_ended = (await self.get_instance(instance_id, tenant_id=tenant_id)).is_terminal
            if not has_ended:
                await self._clock.sleep(_FOLLOW_INTERVAL_S)

    async def list_steps(
        self,
        instance_id: str,
        *,
        tenant_id: str | None = None,
        scope: str | None = None,
        status: str | None = None,
        type: str | None = None,  # noqa: A002 (what it is called everywhere else)
        with_values: bool = False,
    ) -> list[StepSummary]:
        """The steps of a scenario that was compiled in debug mode, in the order in which they began; else none.

        Args:
            instance_id: The instance.
            tenant_id: Whose it is.
            scope: Only steps of this scope: the id of a loop pass or of a child, or ``main``.
            status: Only ``running``, ``completed`` or ``failed`` ones.
            type: Only steps of this ``stepType``.
            with_values: Also what they were given and what came of them, as far as it was recorded.
        """
        book, wanted = StepBook(with_values=with_values), StepFilter(scope=scope, status=status, type=type)
        async for event in self.events(instance_id, tenant_id=tenant_id, types=(STEP_EVENTS,)):
            book.apply(event)
        return [step for step in book.steps if wanted.fits(step)]

    async def read_logs(
        self,
        instance_id: str,
        *,
        tenant_id: str | None = None,
        stream: str = "stdout",
        offset_bytes: int = 0,
        bytes_max: int = 65536,
    ) -> LogChunk:
        """What the program wrote to ``stdout`` or ``stderr``, from an offset."""
        request = m.ReadLogs(self._tenant(tenant_id), instance_id, stream, offset_bytes, bytes_max)
        chunk = await self._call(request, m.LogChunk)
        return LogChunk(data=chunk.data, next_offset_bytes=chunk.next_offset_bytes, ended=chunk.ended)

    async def logs(
        self, instance_id: str, *, tenant_id: str | None = None, stream: str = "stdout", follow: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """All that the program wrote; with ``follow`` also what it will write, until the instance has ended."""
        offset_bytes = 0
        while True:
            chunk = await self.read_logs(instance_id, tenant_id=tenant_id, stream=stream, offset_bytes=offset_bytes)
            offset_bytes = chunk.next_offset_bytes
            if chunk.data:
                yield chunk.data
            elif chunk.ended or not follow:
                return
            else:
                await self._clock.sleep(_FOLLOW_INTERVAL_S)


def _checkpoint(view: m.CheckpointView) -> Checkpoint:
    return Checkpoint(key=view.key, attempt=view.attempt, created_at=view.created_at, state_bytes=view.state_bytes)


def _event(view: m.EventView) -> Event:
    return Event(
        event_no=view.event_no,
        type=view.type,
        subtype=view.subtype,
        payload=decode_json(view.payload),
        attempt=view.attempt,
        created_at=view.created_at,
    )


def _ignore(answer: m.Message | RuntaraError) -> None:
    """Whatever it says: nobody watches any more."""
