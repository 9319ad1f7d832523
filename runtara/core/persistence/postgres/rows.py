"""Rows of the database as values of the model."""

from __future__ import annotations

from runtara.core.model import (
    CheckpointInfo,
    Event,
    EventType,
    Instance,
    LaunchOrder,
    OwnedAttempt,
    ResourceUsage,
    Retry,
    Signal,
    SignalKind,
    Status,
    TerminationReason,
)
from runtara.core.persistence.postgres.database import Row

__all__ = (
    "checkpoint_info_from",
    "event_from",
    "instance_from",
    "launch_order_from",
    "owned_attempt_from",
    "retry_from",
    "signal_from",
)


def instance_from(row: Row) -> Instance:
    """Of a statement that selects the columns of an instance and ``checkpoint_key``."""
    plain = {name: row[name] for name in _PLAIN}
    reason = row["termination_reason"]
    return Instance(
        **plain,
        status=Status(row["status"]),
        termination_reason=None if reason is None else TerminationReason(reason),
        usage=ResourceUsage(memory_peak_bytes=row["memory_peak_bytes"], cpu_us=row["cpu_us"]),
    )


_PLAIN = (
    *("instance_no", "tenant_id", "instance_id", "image_id", "epoch", "owner", "attempts_without_progress"),
    *("created_at", "started_at", "finished_at", "wake_at", "sleep_until", "timeout_s"),
    *("input", "output", "error", "exit_code", "checkpoint_key"),
)


def launch_order_from(row: Row) -> LaunchOrder:
    """Of ``claim_due``."""
    return LaunchOrder(**row)


def owned_attempt_from(row: Row) -> OwnedAttempt:
    """Of ``list_owned``."""
    return OwnedAttempt(**row)


def checkpoint_info_from(row: Row) -> CheckpointInfo:
    """Of ``list_checkpoints``."""
    return CheckpointInfo(
        key=row["key"], epoch=row["epoch"], created_at=row["created_at"], state_bytes=row["state_bytes"]
    )


def event_from(row: Row) -> Event:
    """Of ``list_events``."""
    return Event(**{**row, "type": EventType(row["type"])})


def signal_from(row: Row) -> Signal:
    """Of ``pending_signals``."""
    return Signal(**{**row, "kind": SignalKind(row["kind"])})


def retry_from(row: Row) -> Retry:
    """Of ``read_retries``."""
    return Retry(**row)
