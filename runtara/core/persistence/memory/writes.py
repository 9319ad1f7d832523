"""One write after the other, on dictionaries: what ``writes.sql`` does for whole batches."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from runtara.core.model import CheckpointInfo, EventType, ResourceUsage, SignalKind, Status
from runtara.core.persistence.base import (
    AckSignal,
    AppendEvent,
    ChangeStatus,
    Outcome,
    OutcomeKind,
    RecordExit,
    RecordRetry,
    SaveCheckpoint,
    Write,
)
from runtara.core.persistence.effects import WOKEN_BY, SleepEffect, sleep_effect
from runtara.core.persistence.memory.tables import CheckpointRow, InstanceRow, Tables
from runtara.core.state import RULES, Rule, Wake

__all__ = ("apply",)

_DONE: Final = Outcome(OutcomeKind.DONE)
_WITHDRAWN: Final = Outcome(OutcomeKind.WITHDRAWN)


def apply(tables: Tables, write: Write, now: datetime) -> Outcome:
    """Do one write; what became of it."""
    row = tables.instances.get(write.instance_no)
    if row is None:
        return Outcome(OutcomeKind.UNKNOWN_INSTANCE)
    match write:
        case ChangeStatus():
            return _change(tables, row, write, now)
        case RecordExit():
            return _record_exit(row, write)
        case _ if row.status is not Status.RUNNING or row.epoch != write.epoch:
            return Outcome(OutcomeKind.FENCED, status=row.status.value)
        case SaveCheckpoint():
            return _save(tables, write, now)
        case AppendEvent():
            return _append(tables, row, write, now)
        case RecordRetry():
            tables.retries.setdefault(row.instance_no, {})[write.retry.key] = write.retry
            return _DONE
        case AckSignal():
            return _acknowledge(tables, row, write, now)


def _save(tables: Tables, write: SaveCheckpoint, now: datetime) -> Outcome:
    checkpoints = tables.checkpoints.setdefault(write.instance_no, {})
    if write.key in checkpoints:
        return Outcome(OutcomeKind.FOUND, state=checkpoints[write.key].state)
    if write.consumes_signal_no is not None:
        signal = tables.waits(write.instance_no, write.consumes_signal_no, SignalKind.CUSTOM)
        if signal is None:
            return _WITHDRAWN
        signal.is_waiting = False
    info = CheckpointInfo(key=write.key, epoch=write.epoch, created_at=now, state_bytes=len(write.state))
    checkpoints[write.key] = CheckpointRow(write.state, tables.next_number(), info)
    return _DONE


def _append(tables: Tables, row: InstanceRow, write: AppendEvent, now: datetime) -> Outcome:
    if write.number is not None:
        known = (row.instance_no, row.epoch, write.number)
        if known in tables.event_numbers:
            return _DONE
        tables.event_numbers.add(known)
    tables.tell(row, write.type, now, subtype=write.subtype, payload=write.payload)
    return _DONE


def _acknowledge(tables: Tables, row: InstanceRow, write: AckSignal, now: datetime) -> Outcome:
    signal = tables.waits(write.instance_no, write.signal_no)
    if signal is None:
        return _WITHDRAWN
    signal.is_waiting = False
    tables.tell(row, EventType.SIGNAL_ACKNOWLEDGED, now, subtype=signal.signal.kind.value)
    return _DONE


def _record_exit(row: InstanceRow, write: RecordExit) -> Outcome:
    if row.epoch != write.epoch:
        return Outcome(OutcomeKind.FENCED, status=row.status.value)
    row.exit_code, row.usage = write.exit_code, write.usage
    return Outcome(OutcomeKind.DONE, status=row.status.value)


# ---- changes of status


def _change(tables: Tables, row: InstanceRow, write: ChangeStatus, now: datetime) -> Outcome:
    rule = RULES[write.change]
    assert not rule.new_attempt, "a new attempt has an owner: claim_due and register_self"
    refusal = _refusal(tables, row, write, rule)
    if refusal is not None:
        return refusal
    _set_times(tables, row, write, rule, now)
    _set_image(row, rule)
    _set_result(tables, row, write, rule)
    row.status, row.termination_reason, row.owner = rule.target, rule.reason, None
    _answer_signals(tables, row, write)
    tables.tell(row, rule.event, now, payload=write.detail)
    return Outcome(OutcomeKind.DONE, status=row.status.value)


def _refusal(tables: Tables, row: InstanceRow, write: ChangeStatus, rule: Rule) -> Outcome | None:
    if write.epoch is not None and write.epoch != row.epoch:
        return Outcome(OutcomeKind.FENCED, status=row.status.value)
    fits = rule.source_reasons is None or row.termination_reason in rule.source_reasons
    if row.status not in rule.sources or not fits:
        return Outcome(OutcomeKind.REFUSED, status=row.status.value)
    if write.signal_no is not None and tables.waits(row.instance_no, write.signal_no) is None:
        return _WITHDRAWN
    if _needs_image(rule) and row.image_no_last is not None and not tables.image_exists(row.image_no_last):
        return Outcome(OutcomeKind.IMAGE_GONE)
    return None


def _needs_image(rule: Rule) -> bool:
    """What has ended had given its image back."""
    return any(status.is_terminal for status in rule.sources)


def _set_times(tables: Tables, row: InstanceRow, write: ChangeStatus, rule: Rule, now: datetime) -> None:
    sleep = sleep_effect(write.change)
    must_wake = rule.target is Status.PENDING or sleep is SleepEffect.SET
    given = write.wake_at or (now if must_wake else None)
    match rule.wake:
        case Wake.NONE:
            row.wake_at = None
        case Wake.NOW:
            row.wake_at = now
        case Wake.SLEEP_UNTIL:
            row.wake_at = row.sleep_until or now
        case Wake.GIVEN:
            row.wake_at = now if _is_woken(tables, row, write) else given
    if sleep is not SleepEffect.KEEP:
        row.sleep_until = given if sleep is SleepEffect.SET else None
    row.finished_at = now if rule.target.is_terminal else None


def _is_woken(tables: Tables, row: InstanceRow, write: ChangeStatus) -> bool:
    """See ``WOKEN_BY``."""
    kinds = WOKEN_BY.get(write.change, frozenset())
    return any(
        waiting.signal.kind in kinds
        and waiting.signal.signal_no != write.signal_no
        and (waiting.signal.kind is not SignalKind.CUSTOM or waiting.epoch == row.epoch)
        for waiting in tables.waiting(row.instance_no)
    )


def _set_image(row: InstanceRow, rule: Rule) -> None:
    if rule.target.is_terminal:
        row.image_no = None
    elif _needs_image(rule):
        row.image_no = row.image_no_last


def _set_result(tables: Tables, row: InstanceRow, write: ChangeStatus, rule: Rule) -> None:
    row.output, row.error = write.output, write.error
    row.exit_code = row.exit_code if write.exit_code is None else write.exit_code
    new, old = write.usage, row.usage
    row.usage = ResourceUsage(
        memory_peak_bytes=old.memory_peak_bytes if new.memory_peak_bytes is None else new.memory_peak_bytes,
        cpu_us=old.cpu_us if new.cpu_us is None else new.cpu_us,
    )
    last = tables.last_checkpoint(row.instance_no)
    has_progress = last is not None and last.epoch == row.epoch
    is_setback = rule.counts_against_progress and not has_progress
    row.attempts_without_progress = row.attempts_without_progress + 1 if is_setback else 0


def _answer_signals(tables: Tables, row: InstanceRow, write: ChangeStatus) -> None:
    for waiting in tuple(tables.waiting(row.instance_no)):
        is_answered = waiting.signal.signal_no == write.signal_no
        is_moot = row.status.is_terminal and waiting.signal.kind is not SignalKind.CUSTOM
        if is_answered or is_moot:
            waiting.is_waiting = False
