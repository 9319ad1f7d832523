"""Cutting a batch into segments: runs of writes that may be done table by table, in any order, with the same result.

Within a segment all checkpoints are written by one statement, then all events, and so on, status changes last. A write
that would notice the difference begins the next segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from runtara.core.persistence.base import (
    AckSignal,
    AppendEvent,
    ChangeStatus,
    RecordExit,
    RecordRetry,
    SaveCheckpoint,
    Write,
)

__all__ = ("Segment", "cut")

_Mark: TypeAlias = tuple[str, *tuple[object, ...]]


@dataclass(slots=True)
class Segment:
    """Writes by kind, each with its position in the batch."""

    writes: dict[type[Write], list[tuple[int, Write]]] = field(default_factory=dict)
    marks: set[_Mark] = field(default_factory=set)

    def add(self, position: int, write: Write) -> None:
        """Take it in; only after ``takes`` said so."""
        self.writes.setdefault(type(write), []).append((position, write))
        self.marks.update(_leaves(write))

    def takes(self, write: Write) -> bool:
        """True when nothing in here must come before it."""
        return self.marks.isdisjoint(_notices(write))


def cut(batch: Sequence[Write]) -> list[Segment]:
    """The batch as segments, to be done one after the other."""
    segments = [Segment()]
    for position, write in enumerate(batch):
        if not segments[-1].takes(write):
            segments.append(Segment())
        segments[-1].add(position, write)
    return segments


def _leaves(write: Write) -> Iterator[_Mark]:
    """What later writes may notice of this one."""
    yield from _own(write)
    if isinstance(write, ChangeStatus):
        yield "changed", write.instance_no
    if isinstance(write, AckSignal):
        yield "told", write.instance_no


def _notices(write: Write) -> Iterator[_Mark]:
    """What of earlier writes makes a difference to this one."""
    yield from _own(write)
    yield "changed", write.instance_no
    if isinstance(write, AppendEvent):
        # Acknowledgements tell an event too, and events keep their order.
        yield "told", write.instance_no


def _own(write: Write) -> Iterable[_Mark]:
    """What two writes of one segment may not have in common."""
    match write:
        case SaveCheckpoint(consumes_signal_no=None):
            return (("checkpoint", write.instance_no, write.key),)
        case SaveCheckpoint():
            return ("checkpoint", write.instance_no, write.key), ("signal", write.consumes_signal_no)
        case RecordRetry():
            return (("retry", write.instance_no, write.retry.key),)
        case RecordExit():
            return (("exit", write.instance_no),)
        case AckSignal() | ChangeStatus():
            return (("signal", write.signal_no),) if write.signal_no is not None else ()
        case AppendEvent():
            return ()
