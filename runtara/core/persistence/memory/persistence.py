"""``Persistence`` in dictionaries. Nothing waits in the middle of a verb, so every verb is atomic by itself."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio
import anyio.lowlevel
from anyio.streams.memory import MemoryObjectSendStream

from runtara.clock import Clock
from runtara.core.model import (
    Checkpoint,
    CheckpointInfo,
    Event,
    EventType,
    Instance,
    InstanceFilter,
    LaunchOrder,
    NewInstance,
    OwnedAttempt,
    Page,
    Retry,
    ServerRow,
    Signal,
    SignalKind,
    Status,
    TerminationReason,
)
from runtara.core.persistence.base import ChangeStatus, Created, Notification, Outcome, SignalSent, Write
from runtara.core.persistence.cursors import CHECKPOINT_PAGE_ROWS_MAX, keys_that_fit, number_of, page_of
from runtara.core.persistence.memory.tables import InstanceRow, ServerState, SignalRow, Tables
from runtara.core.persistence.memory.writes import apply
from runtara.core.state import RULES, Change, allowed
from runtara.errors import AlreadyExists, Conflict, IllegalTransition, NotFound, Overloaded
from runtara.ids import CheckpointKey, InstanceId, InstanceNo, TenantId
from runtara.limits import PENDING_INSTANCES_MAX

__all__ = ("MemoryPersistence",)

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_HINTS_HELD_MAX: Final = 10_000


class MemoryPersistence:
    """See ``Persistence``. Its time is that of the clock."""

    def __init__(self, *, clock: Clock, pending_max: int = PENDING_INSTANCES_MAX) -> None:
        self.tables = Tables()
        self._clock = clock
        self._pending_max = pending_max
        self._listeners: list[MemoryObjectSendStream[Notification]] = []

    async def aclose(self) -> None:
        """There is nothing to close."""

    # ---- life

    async def check(self) -> datetime:
        """See ``Persistence.check``."""
        return self._clock.now()

    async def secret(self, name: str) -> bytes:
        """See ``Persistence.secret``."""
        return self.tables.secrets.setdefault(name, secrets.token_bytes(32))

    # ---- servers

    async def join(self, name: str, *, lease_s: float) -> int:
        """See ``Persistence.join``."""
        former = self.tables.servers.get(name)
        server_no = former.server_no if former is not None else self.tables.next_number()
        self.tables.servers[name] = ServerState(server_no, self._in(lease_s))
        return server_no

    async def renew_lease(self, server_no: int, *, lease_s: float) -> bool:
        """See ``Persistence.renew_lease``."""
        server = self._server(server_no)
        has_kept = not server.lost_attempts
        server.lease_until, server.lost_attempts = self._in(lease_s), False
        return has_kept

    async def leave(self, server_no: int) -> None:
        """See ``Persistence.leave``."""
        self._server(server_no).lease_until = _LONG_AGO

    async def list_servers(self) -> Sequence[ServerRow]:
        """See ``Persistence.list_servers``."""
        rows = [
            ServerRow(server_no=server.server_no, name=name, lease_until=server.lease_until)
            for name, server in self.tables.servers.items()
            if server.lease_until > self._clock.now()
        ]
        return sorted(rows, key=lambda row: row.server_no)

    async def take_over(self, *, grace_s: float, limit: int) -> Sequence[InstanceNo]:
        """See ``Persistence.take_over``."""
        # Compared this way round, because nothing can be added to the time of a server that has left.
        latest = self._clock.now() - timedelta(seconds=grace_s)
        dead = {server.server_no: server for server in self.tables.servers.values() if server.lease_until < latest}
        orphans = [row for row in self._rows() if row.owner in dead][:limit]
        for row in orphans:
            assert row.owner is not None
            dead[row.owner].lost_attempts = True
            self._apply(ChangeStatus(instance_no=row.instance_no, epoch=row.epoch, change=Change.LOSE_SERVER))
        return [row.instance_no for row in orphans]

    # ---- instances

    async def create_instance(self, new: NewInstance) -> Created:
        """See ``Persistence.create_instance``."""
        for former in self.tables.find(new.tenant_id, new.instance_id):
            if former.fingerprint != new.fingerprint:
                raise AlreadyExists(
                    f"instance {new.instance_id!r} was started before, as something else",
                    hint="Use another id, or repeat the start exactly.",
                )
            return Created(former.instance_no, created=False)
        self._check_queue(new.tenant_id)
        if new.image_no is not None and not self.tables.image_exists(new.image_no):
            raise NotFound(f"image {new.image_id!r} was deleted meanwhile")
        row = self._new_row(new.tenant_id, new.instance_id, Status.PENDING)
        row.image_no = row.image_no_last = new.image_no
        row.image_id, row.input, row.env = new.image_id, new.input, dict(new.env)
        row.timeout_s, row.fingerprint, row.wake_at = new.timeout_s, new.fingerprint, row.created_at
        self.tables.add_instance(row)
        return Created(row.instance_no, created=True)

    async def register_self(
        self, tenant_id: TenantId, instance_id: InstanceId, *, server_no: int
    ) -> tuple[InstanceNo, int]:
        """See ``Persistence.register_self``."""
        rows = self.tables.find(tenant_id, instance_id)
        if not rows:
            row = self._new_row(tenant_id, instance_id, Status.RUNNING)
            self.tables.add_instance(row)
        else:
            (row,) = rows
            _check_registered(row)
        self._start(row, server_no, Change.REGISTER_AGAIN)
        return row.instance_no, row.epoch

    async def claim_due(self, server_no: int, *, slots: int) -> Sequence[LaunchOrder]:
        """See ``Persistence.claim_due``."""
        now = self._clock.now()
        load = Counter(row.tenant_id for row in self._rows() if row.owner == server_no)
        due = [row for row in self._rows() if row.is_due_some_time and _wake_of(row) <= now]
        queues: dict[TenantId, list[InstanceRow]] = {}
        for row in sorted(due, key=_wake_of):
            queues.setdefault(row.tenant_id, []).append(row)
        turns = [
            (load[tenant_id] + place, _wake_of(row), row.instance_no)
            for tenant_id, queue in queues.items()
            for place, row in enumerate(queue)
        ]
        return [self._claim(self.tables.instances[number], server_no) for *_, number in sorted(turns)[:slots]]

    async def next_due(self, *, limit: int) -> Sequence[datetime]:
        """See ``Persistence.next_due``."""
        return sorted(_wake_of(row) for row in self._rows() if row.is_due_some_time)[:limit]

    async def list_owned(self, server_no: int) -> Sequence[OwnedAttempt]:
        """See ``Persistence.list_owned``."""
        return [_owned(row) for row in self._rows() if row.owner == server_no]

    async def find_instance(self, tenant_id: TenantId | None, instance_id: InstanceId) -> Instance | None:
        """See ``Persistence.find_instance``."""
        rows = self.tables.find(tenant_id, instance_id)
        if len(rows) > 1:
            raise Conflict(f"several tenants have an instance {instance_id!r}", hint="Name the tenant.")
        return self.tables.view(rows[0]) if rows else None

    async def get_instance(self, instance_no: InstanceNo) -> Instance:
        """See ``Persistence.get_instance``."""
        return self.tables.view(self.tables.instance(instance_no))

    async def list_instances(self, where: InstanceFilter, *, limit: int, cursor: str | None) -> Page[Instance]:
        """See ``Persistence.list_instances``."""
        before = number_of(cursor)
        rows = [row for row in reversed(self._rows()) if row.instance_no < before and _matches(row, where)]
        views = [self.tables.view(row, is_short=True) for row in rows[: limit + 1]]
        return page_of(views, limit=limit, number=lambda row: row.instance_no)

    async def count_instances(self, *, limit: int) -> dict[str, int]:
        """See ``Persistence.count_instances``."""
        counts = Counter(row.status for row in self._rows())
        return {status.value: min(counts[status], limit) for status in Status if not status.is_terminal}

    # ---- the hot path

    async def write(self, batch: Sequence[Write]) -> Sequence[Outcome]:
        """See ``Persistence.write``."""
        # A commit takes a moment, in which others run; without it, nothing here would ever wait for anything.
        await anyio.lowlevel.checkpoint()
        return [self._apply(write) for write in batch]

    # ---- checkpoints, retries, events

    async def find_checkpoint(self, instance_no: InstanceNo, key: CheckpointKey) -> bytes | None:
        """See ``Persistence.find_checkpoint``."""
        row = self.tables.checkpoints.get(instance_no, {}).get(key)
        return None if row is None else row.state

    async def read_checkpoints(
        self, instance_no: InstanceNo, *, after: CheckpointKey | None, bytes_max: int
    ) -> tuple[Sequence[Checkpoint], bool]:
        """See ``Persistence.read_checkpoints``."""
        rows = sorted(self.tables.checkpoints.get(instance_no, {}).items())
        found = [Checkpoint(key=key, state=row.state) for key, row in rows if key > (after or "")]
        sizes = [len(checkpoint.state) for checkpoint in found[: CHECKPOINT_PAGE_ROWS_MAX + 1]]
        count = keys_that_fit(sizes, bytes_max=bytes_max)
        return found[:count], count == len(found)

    async def read_retries(self, instance_no: InstanceNo) -> Sequence[Retry]:
        """See ``Persistence.read_retries``."""
        return [retry for _, retry in sorted(self.tables.retries.get(instance_no, {}).items())]

    async def list_checkpoints(
        self, instance_no: InstanceNo, *, limit: int, cursor: str | None
    ) -> Page[CheckpointInfo]:
        """See ``Persistence.list_checkpoints``."""
        before = number_of(cursor)
        rows = [row for row in self.tables.checkpoints.get(instance_no, {}).values() if row.checkpoint_no < before]
        newest_first = sorted(rows, key=lambda row: -row.checkpoint_no)
        page = page_of(newest_first, limit=limit, number=lambda row: row.checkpoint_no)
        return Page([row.info for row in page.rows], page.next_cursor)

    async def list_events(
        self, instance_no: InstanceNo, *, after_event_no: int, limit: int, types: Sequence[EventType] = ()
    ) -> Sequence[Event]:
        """See ``Persistence.list_events``."""
        events = self.tables.events.get(instance_no, [])
        return [e for e in events if e.event_no > after_event_no and (not types or e.type in types)][:limit]

    # ---- signals

    async def send_signal(
        self, instance_no: InstanceNo, kind: SignalKind, *, name: str | None, payload: bytes | None
    ) -> SignalSent:
        """See ``Persistence.send_signal``."""
        row = self.tables.instance(instance_no)
        owner = row.owner
        _check_takes(row, kind)
        signal_no = self._store_signal(row, kind, name=name, payload=payload)
        woke = kind is SignalKind.CUSTOM and row.termination_reason is TerminationReason.WAITING_SIGNAL
        if woke:
            self._apply(ChangeStatus(instance_no=instance_no, epoch=None, change=Change.SIGNAL_ARRIVED))
        return SignalSent(signal_no, instance_no, row.status.value, owner, woke)

    async def withdraw_pauses(self, instance_no: InstanceNo) -> int:
        """See ``Persistence.withdraw_pauses``."""
        self.tables.instance(instance_no)
        pauses = [row for row in self.tables.waiting(instance_no) if row.signal.kind is SignalKind.PAUSE]
        for row in pauses:
            row.is_waiting = False
        return len(pauses)

    async def pending_signals(self, instance_no: InstanceNo) -> Sequence[Signal]:
        """See ``Persistence.pending_signals``."""
        return [row.signal for row in self.tables.waiting(instance_no)]

    # ---- hints

    async def notify(self, notifications: Sequence[Notification]) -> None:
        """See ``Persistence.notify``."""
        for listener in self._listeners:
            for notification in notifications:
                try:
                    listener.send_nowait(notification)
                except anyio.WouldBlock:
                    break  # Hints may be lost, and a listener that does not listen must not cost memory.

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[Notification]]:
        """See ``Persistence.listen``."""
        listener, notifications = anyio.create_memory_object_stream[Notification](_HINTS_HELD_MAX)
        self._listeners.append(listener)
        try:
            with listener, notifications:
                yield notifications
        finally:
            self._listeners.remove(listener)

    # ---- small parts

    def _in(self, seconds: float) -> datetime:
        return self._clock.now() + timedelta(seconds=seconds)

    def _rows(self) -> list[InstanceRow]:
        return list(self.tables.instances.values())

    def _apply(self, write: Write) -> Outcome:
        return apply(self.tables, write, self._clock.now())

    def _server(self, server_no: int) -> ServerState:
        for server in self.tables.servers.values():
            if server.server_no == server_no:
                return server
        raise NotFound(f"there is no server {server_no}")

    def _new_row(self, tenant_id: TenantId, instance_id: InstanceId, status: Status) -> InstanceRow:
        return InstanceRow(
            instance_no=InstanceNo(self.tables.next_number()),
            tenant_id=tenant_id,
            instance_id=instance_id,
            status=status,
            created_at=self._clock.now(),
        )

    def _start(self, row: InstanceRow, server_no: int, change: Change) -> None:
        row.start(server_no, self._clock.now())
        self.tables.tell(row, RULES[change].event, self._clock.now())

    def _claim(self, row: InstanceRow, server_no: int) -> LaunchOrder:
        due_at = _wake_of(row)
        self._start(row, server_no, Change.CLAIM)
        return row.order(due_at)

    def _check_queue(self, tenant_id: TenantId) -> None:
        waiting = sum(row.status is Status.PENDING and row.tenant_id == tenant_id for row in self._rows())
        if waiting >= self._pending_max:
            raise Overloaded(
                f"too many instances of tenant {tenant_id!r} wait for their launch",
                hint="Wait until some have started.",
                retry_after_ms=1000,
            )

    def _store_signal(self, row: InstanceRow, kind: SignalKind, *, name: str | None, payload: bytes | None) -> int:
        for waiting in self.tables.waiting(row.instance_no):
            if waiting.signal.kind is kind and kind is not SignalKind.CUSTOM:
                return waiting.signal.signal_no
        signal = Signal(
            signal_no=self.tables.next_number(), kind=kind, name=name, payload=payload, created_at=self._clock.now()
        )
        self.tables.signals.setdefault(row.instance_no, {})[signal.signal_no] = SignalRow(signal, row.epoch)
        self.tables.tell(row, EventType.SIGNAL_RECEIVED, signal.created_at, subtype=kind.value)
        return signal.signal_no


def _wake_of(row: InstanceRow) -> datetime:
    assert row.wake_at is not None
    return row.wake_at


def _owned(row: InstanceRow) -> OwnedAttempt:
    assert row.attempt_started_at is not None
    return OwnedAttempt(
        instance_no=row.instance_no,
        tenant_id=row.tenant_id,
        instance_id=row.instance_id,
        epoch=row.epoch,
        image_id=row.image_id,
        timeout_s=row.timeout_s,
        attempt_started_at=row.attempt_started_at,
    )


def _check_registered(row: InstanceRow) -> None:
    if row.image_id is not None:
        raise Conflict("the instance was started from an image", hint="Only a launch runs it; start another id.")
    if not allowed(row.status, Change.REGISTER_AGAIN):
        raise IllegalTransition(
            f"the instance is {row.status}",
            hint="Register under a new id.",
            status=row.status.value,
            change=Change.REGISTER_AGAIN.value,
        )


def _check_takes(row: InstanceRow, kind: SignalKind) -> None:
    if row.status.is_terminal or (kind is not SignalKind.CUSTOM and row.status is not Status.RUNNING):
        raise IllegalTransition(
            f"an instance that is {row.status} takes no {kind} signal",
            hint="Read the instance again; it may have changed since you last looked.",
            status=row.status.value,
            change=kind.value,
        )


def _matches(row: InstanceRow, where: InstanceFilter) -> bool:
    conditions: Sequence[Callable[[], bool]] = (
        lambda: where.tenant_id in (None, row.tenant_id),
        lambda: not where.statuses or row.status in where.statuses,
        lambda: where.image_id in (None, row.image_id),
        lambda: row.instance_id.startswith(where.instance_id_prefix or ""),
        lambda: where.created_after is None or row.created_at > where.created_after,
        lambda: where.created_before is None or row.created_at < where.created_before,
    )
    return all(condition() for condition in conditions)
