"""The tables of the schema as dictionaries of mutable rows, and the small questions that are asked of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from runtara.core.model import (
    CheckpointInfo,
    Event,
    EventType,
    Instance,
    LaunchOrder,
    ResourceUsage,
    Retry,
    Signal,
    SignalKind,
    Status,
    TerminationReason,
)
from runtara.errors import NotFound
from runtara.ids import CheckpointKey, ImageId, InstanceId, InstanceNo, TenantId

__all__ = ("CheckpointRow", "InstanceRow", "ServerState", "SignalRow", "Tables")


@dataclass(slots=True, kw_only=True)
class InstanceRow:
    """See the table ``instance``."""

    instance_no: InstanceNo
    tenant_id: TenantId
    instance_id: InstanceId
    status: Status
    created_at: datetime
    image_id: ImageId | None = None
    image_no: int | None = None
    image_no_last: int | None = None
    input: bytes = b""
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    fingerprint: bytes = b""
    epoch: int = 0
    owner: int | None = None
    attempts_without_progress: int = 0
    termination_reason: TerminationReason | None = None
    started_at: datetime | None = None
    attempt_started_at: datetime | None = None
    finished_at: datetime | None = None
    wake_at: datetime | None = None
    sleep_until: datetime | None = None
    output: bytes | None = None
    error: bytes | None = None
    exit_code: int | None = None
    usage: ResourceUsage = field(default_factory=ResourceUsage)

    @property
    def is_due_some_time(self) -> bool:
        """True when a launch will be wanted, now or later."""
        return self.wake_at is not None and self.image_no is not None

    def start(self, owner: int, now: datetime) -> None:
        """A new attempt begins, and nothing is known of it yet."""
        self.status, self.owner, self.epoch = Status.RUNNING, owner, self.epoch + 1
        self.termination_reason = self.wake_at = self.sleep_until = None
        self.output = self.error = self.exit_code = None
        self.usage = ResourceUsage()
        self.started_at = self.started_at or now
        self.attempt_started_at = now

    def order(self, due_at: datetime) -> LaunchOrder:
        """What a launch of the current attempt needs."""
        return LaunchOrder(
            instance_no=self.instance_no,
            tenant_id=self.tenant_id,
            instance_id=self.instance_id,
            epoch=self.epoch,
            image_no=self.image_no,
            image_id=self.image_id,
            input=self.input,
            env=self.env,
            timeout_s=self.timeout_s,
            due_at=due_at,
        )


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """See the table ``checkpoint``."""

    state: bytes
    checkpoint_no: int
    info: CheckpointInfo


@dataclass(slots=True)
class SignalRow:
    """See the table ``signal``."""

    signal: Signal
    epoch: int
    is_waiting: bool = True


@dataclass(slots=True)
class ServerState:
    """See the table ``server``."""

    server_no: int
    lease_until: datetime
    lost_attempts: bool = False


class Tables:
    """Everything that is stored."""

    def __init__(self) -> None:
        self.instances: dict[InstanceNo, InstanceRow] = {}
        self.checkpoints: dict[InstanceNo, dict[CheckpointKey, CheckpointRow]] = {}
        self.retries: dict[InstanceNo, dict[CheckpointKey, Retry]] = {}
        self.events: dict[InstanceNo, list[Event]] = {}
        self.event_numbers: set[tuple[InstanceNo, int, int]] = set()
        self.signals: dict[InstanceNo, dict[int, SignalRow]] = {}
        self.servers: dict[str, ServerState] = {}
        self.secrets: dict[str, bytes] = {}
        self.image_exists: Callable[[int], bool] = lambda image_no: True
        """The environment's store says which images there are; without an environment nobody checks."""
        self._numbers = itertools.count(1)

    def next_number(self) -> int:
        """A number higher than all before."""
        return next(self._numbers)

    def instance(self, instance_no: InstanceNo) -> InstanceRow:
        """The row, or ``NotFound``."""
        try:
            return self.instances[instance_no]
        except KeyError:
            raise NotFound("there is no such instance") from None

    def find(self, tenant_id: TenantId | None, instance_id: InstanceId) -> list[InstanceRow]:
        """Rows with this id; of one tenant, when given."""
        return [
            row
            for row in self.instances.values()
            if row.instance_id == instance_id and tenant_id in (None, row.tenant_id)
        ]

    def add_instance(self, row: InstanceRow) -> None:
        """Store a new row, and that it was made."""
        self.instances[row.instance_no] = row
        self.tell(row, EventType.CREATED, row.created_at, epoch=0)

    def tell(
        self,
        row: InstanceRow,
        kind: EventType,
        at: datetime,
        *,
        subtype: str | None = None,
        payload: bytes | None = None,
        epoch: int | None = None,
    ) -> None:
        """Append an event."""
        event = Event(
            event_no=self.next_number(),
            type=kind,
            subtype=subtype,
            payload=payload,
            epoch=row.epoch if epoch is None else epoch,
            created_at=at,
        )
        self.events.setdefault(row.instance_no, []).append(event)

    def last_checkpoint(self, instance_no: InstanceNo) -> CheckpointInfo | None:
        """The newest, if there is one."""
        rows = self.checkpoints.get(instance_no, {}).values()
        return max(rows, key=lambda row: row.checkpoint_no).info if rows else None

    def waiting(self, instance_no: InstanceNo) -> Iterator[SignalRow]:
        """Signals without an answer, oldest first."""
        return (row for row in self.signals.get(instance_no, {}).values() if row.is_waiting)

    def waits(self, instance_no: InstanceNo, signal_no: int, *kinds: SignalKind) -> SignalRow | None:
        """The signal, if it is the instance's, without an answer, and of one of the kinds (of any, when none)."""
        row = self.signals.get(instance_no, {}).get(signal_no)
        if row is None or not row.is_waiting or (kinds and row.signal.kind not in kinds):
            return None
        return row

    def view(self, row: InstanceRow, *, is_short: bool = False) -> Instance:
        """The row as others see it; ``is_short`` leaves input and output out."""
        last = self.last_checkpoint(row.instance_no)
        return Instance(
            instance_no=row.instance_no,
            tenant_id=row.tenant_id,
            instance_id=row.instance_id,
            image_id=row.image_id,
            status=row.status,
            epoch=row.epoch,
            owner=row.owner,
            attempts_without_progress=row.attempts_without_progress,
            termination_reason=row.termination_reason,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            wake_at=row.wake_at,
            sleep_until=row.sleep_until,
            timeout_s=row.timeout_s,
            input=b"" if is_short else row.input,
            output=None if is_short else row.output,
            error=row.error,
            exit_code=row.exit_code,
            usage=row.usage,
            checkpoint_key=None if last is None else last.key,
        )
