"""What a client hands to its user: plain frozen records whose JSON is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from runtara.errors import Conflict
from runtara.protocol import messages as m

__all__ = (
    "TERMINAL_STATUSES",
    "Checkpoint",
    "Event",
    "Health",
    "Image",
    "Instance",
    "InstanceCancelled",
    "InstanceFailed",
    "LogChunk",
    "NewToken",
    "StartedInstance",
    "Token",
    "decode_json",
    "ended_without_result",
)

TERMINAL_STATUSES: Final = frozenset({"completed", "failed", "cancelled"})


def decode_json(document: bytes | None) -> Any:
    """The value of a JSON document; None for none; the bytes themselves when they are no JSON."""
    if document is None:
        return None
    try:
        return msgspec.json.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One run of an image, as it was when it was read. In lists, ``input``, ``output`` and ``error`` are None."""

    instance_id: str
    tenant_id: str
    image_id: str | None
    status: str
    """pending, running, suspended, completed, failed or cancelled."""
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    wake_at: datetime | None
    output: Any
    error: Any
    """The structured error of a failed one: a mapping with at least ``message``."""
    termination_reason: str | None
    exit_code: int | None
    memory_peak_bytes: int | None
    cpu_us: int | None
    checkpoint_key: str | None
    attempts_without_progress: int
    timeout_s: float | None
    input: Any
    last_seen: datetime | None

    @property
    def is_terminal(self) -> bool:
        """True when it has ended."""
        return self.status in TERMINAL_STATUSES

    @classmethod
    def from_view(cls, view: m.InstanceView) -> Instance:
        """The record of a message."""
        fields = {name: getattr(view, name) for name in view.__struct_fields__}
        fields |= {name: decode_json(fields[name]) for name in ("output", "error", "input")}
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A registered artifact."""

    image_id: str
    tenant_id: str
    name: str
    description: str | None
    digest: str
    """SHA-256 in hexadecimal."""
    size_bytes: int
    metadata: Mapping[str, Any]
    created_at: datetime

    @classmethod
    def from_view(cls, view: m.ImageView) -> Image:
        """The record of a message."""
        return cls(**{name: getattr(view, name) for name in view.__struct_fields__})


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedInstance:
    """The answer to a start. ``created`` False: the same start was done before."""

    instance_id: str
    tenant_id: str
    image_id: str
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A named result, without its state."""

    key: str
    attempt: int
    created_at: datetime
    state_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to an instance."""

    event_no: int
    type: str
    subtype: str | None
    payload: Any
    attempt: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    """What a program wrote. ``ended``: the instance has ended, and there is no more."""

    data: bytes
    next_offset_bytes: int
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the server is."""

    healthy: bool
    version: str
    uptime_s: float
    counts: Mapping[str, int]
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token whose secret is shown this once."""

    token_id: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token without its secret. Without a tenant: an administrator's."""

    token_id: str
    tenant_id: str | None
    note: str | None
    created_at: datetime
    revoked_at: datetime | None


class InstanceFailed(Conflict):
    """There is no result: the instance failed. ``instance`` is its record, ``error`` its structured error."""

    code = "instance.failed"
    instance: Instance

    @property
    def error(self) -> Any:
        """What the program, or the platform for it, said."""
        return self.instance.error


class InstanceCancelled(Conflict):
    """There is no result: the instance was cancelled or stopped. ``instance`` is its record."""

    code = "instance.cancelled"
    instance: Instance


def ended_without_result(instance: Instance) -> InstanceFailed | InstanceCancelled:
    """The error that says why a terminal instance has no output."""
    facts: dict[str, Any] = {"instance_id": instance.instance_id, "termination_reason": instance.termination_reason}
    error: InstanceFailed | InstanceCancelled
    if instance.status == "cancelled":
        error = InstanceCancelled(f"instance {instance.instance_id} was cancelled", **facts)
    else:
        said = instance.error.get("message") if isinstance(instance.error, dict) else None
        reason = said or instance.termination_reason or "no reason was given"
        error = InstanceFailed(f"instance {instance.instance_id} failed: {reason}", **facts, error=instance.error)
    error.instance = instance
    return error
