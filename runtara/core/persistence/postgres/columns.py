"""Writes as the columns that ``writes.sql`` unnests: one array per column, one element per write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtara.core.model import EventType, Status
from runtara.core.persistence.base import (
    AckSignal,
    AppendEvent,
    ChangeStatus,
    RecordExit,
    RecordRetry,
    SaveCheckpoint,
)
from runtara.core.persistence.effects import WOKEN_BY, sleep_effect
from runtara.core.persistence.postgres.arrays import ByteaArray, Int4Array, Int8Array, TextArray
from runtara.core.persistence.postgres.database import Parameters
from runtara.core.state import RULES, Change

__all__ = (
    "acknowledgement_columns",
    "change_columns",
    "checkpoint_columns",
    "event_columns",
    "exit_columns",
    "plain_checkpoint_columns",
    "retry_columns",
)


def plain_checkpoint_columns(writes: Sequence[SaveCheckpoint]) -> tuple[Int8Array, Int4Array, TextArray, ByteaArray]:
    """For ``save_plain_checkpoints``."""
    return (
        Int8Array([write.instance_no for write in writes]),
        Int4Array([write.epoch for write in writes]),
        TextArray([write.key for write in writes]),
        ByteaArray([write.state for write in writes]),
    )


def checkpoint_columns(writes: Sequence[SaveCheckpoint]) -> Parameters:
    """For ``save_checkpoints``."""
    instance_no, epoch, key, state = plain_checkpoint_columns(writes)
    signal_no = Int8Array([write.consumes_signal_no or 0 for write in writes])
    return {"instance_no": instance_no, "epoch": epoch, "key": key, "state": state, "signal_no": signal_no}


def event_columns(writes: Sequence[AppendEvent]) -> Parameters:
    """For ``append_events``."""
    return {
        "instance_no": [write.instance_no for write in writes],
        "epoch": [write.epoch for write in writes],
        "type": [write.type.value for write in writes],
        "subtype": [write.subtype for write in writes],
        "payload": [write.payload for write in writes],
        "number": [write.number for write in writes],
    }


def retry_columns(writes: Sequence[RecordRetry]) -> Parameters:
    """For ``record_retries``."""
    return {
        "instance_no": [write.instance_no for write in writes],
        "epoch": [write.epoch for write in writes],
        "key": [write.retry.key for write in writes],
        "tries": [write.retry.tries for write in writes],
        "error": [write.retry.error for write in writes],
        "next_at": [write.retry.next_at for write in writes],
        "waited_ms": [write.retry.waited_ms for write in writes],
    }


def acknowledgement_columns(writes: Sequence[AckSignal]) -> Parameters:
    """For ``acknowledge_signals``."""
    return {
        "instance_no": [write.instance_no for write in writes],
        "epoch": [write.epoch for write in writes],
        "signal_no": [write.signal_no for write in writes],
        "event": EventType.SIGNAL_ACKNOWLEDGED.value,
    }


def exit_columns(writes: Sequence[RecordExit]) -> Parameters:
    """For ``record_exits``."""
    return {
        "instance_no": [write.instance_no for write in writes],
        "epoch": [write.epoch for write in writes],
        "exit_code": [write.exit_code for write in writes],
        "memory_peak_bytes": [write.usage.memory_peak_bytes for write in writes],
        "cpu_us": [write.usage.cpu_us for write in writes],
    }


def change_columns(writes: Sequence[ChangeStatus]) -> Parameters:
    """For ``change_status``: the facts of each change, and the rule that it follows."""
    facts = [_facts(write) | _RULE_COLUMNS[write.change] for write in writes]
    return {name: [row[name] for row in facts] for name in facts[0]}


def _facts(write: ChangeStatus) -> dict[str, Any]:
    return {
        "instance_no": write.instance_no,
        "epoch": write.epoch,
        "wake_at": write.wake_at,
        "signal_no": write.signal_no,
        "output": write.output,
        "error": write.error,
        "exit_code": write.exit_code,
        "memory_peak_bytes": write.usage.memory_peak_bytes,
        "cpu_us": write.usage.cpu_us,
        "detail": write.detail,
    }


def _rule_columns(change: Change) -> dict[str, Any]:
    rule = RULES[change]
    return {
        "sources": " ".join(sorted(rule.sources)),
        "source_reasons": None if rule.source_reasons is None else " ".join(sorted(rule.source_reasons)),
        "target": rule.target.value,
        "reason": None if rule.reason is None else rule.reason.value,
        "event": rule.event.value,
        "wake": rule.wake.value,
        "woken_by": " ".join(sorted(WOKEN_BY[change])) if change in WOKEN_BY else None,
        "sleep": sleep_effect(change).value,
        "counts": rule.counts_against_progress,
        "is_end": rule.target.is_terminal,
        # What has ended had given its image back.
        "needs_image": any(status.is_terminal for status in rule.sources),
    }


# New attempts have an owner, so they have verbs of their own: claim_due and register_self.
_RULE_COLUMNS = {change: _rule_columns(change) for change, rule in RULES.items() if rule.target is not Status.RUNNING}
