"""The nouns of the core as plain frozen values; what may happen to them is said in ``state``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from runtara.ids import CheckpointKey, ImageId, InstanceId, InstanceNo, TenantId

__all__ = (
    "Checkpoint",
    "CheckpointInfo",
    "Event",
    "EventType",
    "Instance",
    "InstanceFilter",
    "LaunchOrder",
    "NewInstance",
    "OwnedAttempt",
    "Page",
    "ResourceUsage",
    "Retry",
    "ServerRow",
    "Signal",
    "SignalKind",
    "Status",
    "TerminationReason",
)

T = TypeVar("T")


class Status(StrEnum):
    """Where an instance is. Stored by name."""

    PENDING = "pending"
    RUNNING = "running"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """True when it never changes again by itself."""
        return self in _TERMINAL


_TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


class TerminationReason(StrEnum):
    """Why the last attempt ended, or why the instance waits. Every parked or terminal row has one."""

    COMPLETED = "completed"
    APPLICATION_ERROR = "application_error"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    PAUSED = "paused"
    SLEEPING = "sleeping"
    WAITING_SIGNAL = "waiting_signal"
    SHUTDOWN_REQUESTED = "shutdown_requested"
    SERVER_LOST = "server_lost"
    LAUNCH_FAILED = "launch_failed"


class SignalKind(StrEnum):
    """What a signal asks of an instance."""

    CANCEL = "cancel"
    PAUSE = "pause"
    CUSTOM = "custom"


class EventType(StrEnum):
    """The catalogue of stored events; everything a program emits itself is ``custom`` with a subtype."""

    CREATED = "instance.created"
    STARTED = "instance.started"
    COMPLETED = "instance.completed"
    FAILED = "instance.failed"
    CANCELLED = "instance.cancelled"
    SUSPENDED = "instance.suspended"
    RESUMED = "instance.resumed"
    REQUEUED = "instance.requeued"
    SIGNAL_RECEIVED = "signal.received"
    SIGNAL_ACKNOWLEDGED = "signal.acknowledged"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceUsage:
    """What one attempt used, as the kernel reported it at its exit."""

    memory_peak_bytes: int | None = None
    cpu_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInstance:
    """A request to run something: the whole launch specification, from which every attempt is launched."""

    tenant_id: TenantId
    instance_id: InstanceId
    image_no: int | None
    image_id: ImageId | None
    input: bytes
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    fingerprint: bytes = b""
    """Digest of everything above; a second start with the same id and fingerprint is the same start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance as stored. ``epoch`` is the number of its latest attempt, 0 before the first."""

    instance_no: InstanceNo
    tenant_id: TenantId
    instance_id: InstanceId
    image_id: ImageId | None
    status: Status
    epoch: int
    owner: int | None
    """The server whose attempt is running; None unless the status is running."""
    attempts_without_progress: int
    termination_reason: TerminationReason | None
    created_at: datetime
    started_at: datetime | None
    """Start of the first attempt."""
    finished_at: datetime | None
    """Set exactly when the status is terminal."""
    wake_at: datetime | None
    """When it wants a launch: set while pending, sleeping, or waiting with a deadline."""
    sleep_until: datetime | None
    """The end of its durable sleep; kept while it is paused."""
    timeout_s: float | None
    input: bytes
    output: bytes | None
    error: bytes | None
    """UTF-8 JSON object of the structured error."""
    exit_code: int | None
    usage: ResourceUsage
    checkpoint_key: CheckpointKey | None
    """The last one saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFilter:
    """Which instances to list; all conditions must hold."""

    tenant_id: TenantId | None = None
    statuses: Sequence[Status] = ()
    image_id: ImageId | None = None
    instance_id_prefix: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and where the next page begins: None after the last one. Newest first unless said."""

    rows: Sequence[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOrder:
    """A claimed attempt: whoever holds it must launch it, and nobody else may."""

    instance_no: InstanceNo
    tenant_id: TenantId
    instance_id: InstanceId
    epoch: int
    image_no: int | None
    image_id: ImageId | None
    input: bytes
    env: Mapping[str, str]
    timeout_s: float | None
    due_at: datetime
    """The ``wake_at`` that made it due: the difference to now is the lateness of the wake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedAttempt:
    """A running attempt of a server, as the database knows it."""

    instance_no: InstanceNo
    tenant_id: TenantId
    instance_id: InstanceId
    epoch: int
    image_id: ImageId | None
    timeout_s: float | None
    attempt_started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A named result. ``state`` is a sealed envelope (``runtara._native.api``)."""

    key: CheckpointKey
    state: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointInfo:
    """A checkpoint without its state."""

    key: CheckpointKey
    epoch: int
    created_at: datetime
    state_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened. ``payload`` is UTF-8 JSON or None. Ordered by ``event_no`` within an instance."""

    event_no: int
    type: EventType
    subtype: str | None
    payload: bytes | None
    epoch: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A request to an instance. ``name`` is set for custom ones only."""

    signal_no: int
    kind: SignalKind
    name: str | None
    payload: bytes | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The failed tries of one durable step so far; survives restarts, is no checkpoint."""

    key: CheckpointKey
    tries: int
    """How many tries have failed."""
    error: bytes
    """UTF-8 JSON of the last failure."""
    next_at: datetime | None
    """When the next try is allowed; None when there is none left (the failure is final)."""
    waited_ms: int = 0
    """What rate limits have cost so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRow:
    """A server as the others see it."""

    server_no: int
    name: str
    lease_until: datetime
