"""A batch is cut exactly where the order of two writes can be noticed."""

from __future__ import annotations

import pytest

from runtara.core.model import EventType, ResourceUsage, Retry
from runtara.core.persistence.base import (
    AckSignal,
    AppendEvent,
    ChangeStatus,
    RecordExit,
    RecordRetry,
    SaveCheckpoint,
    Write,
)
from runtara.core.persistence.postgres.segments import cut
from runtara.core.state import Change
from runtara.ids import CheckpointKey, InstanceNo

ONE, TWO = InstanceNo(1), InstanceNo(2)


def save(number: InstanceNo = ONE, key: str = "a", signal_no: int | None = None) -> SaveCheckpoint:
    return SaveCheckpoint(number, 1, CheckpointKey(key), b"", signal_no)


def change(number: InstanceNo = ONE, signal_no: int | None = None) -> ChangeStatus:
    return ChangeStatus(instance_no=number, epoch=1, change=Change.COMPLETE, signal_no=signal_no)


def event(number: InstanceNo = ONE) -> AppendEvent:
    return AppendEvent(number, 1, EventType.CUSTOM, None, None)


def retry(number: InstanceNo = ONE, key: str = "a") -> RecordRetry:
    return RecordRetry(number, 1, Retry(key=CheckpointKey(key), tries=1, error=b"", next_at=None))


def end(number: InstanceNo = ONE) -> RecordExit:
    return RecordExit(instance_no=number, epoch=1, exit_code=0, usage=ResourceUsage())


def ack(number: InstanceNo = ONE, signal_no: int = 7) -> AckSignal:
    return AckSignal(number, 1, signal_no)


@pytest.mark.parametrize(
    "batch",
    [
        [save(key="a"), save(key="b"), save(TWO, "a")],
        [event(), event(), event()],
        [save(), event(), retry(), ack(), end(), change()],
        [change(ONE), change(TWO), save(InstanceNo(3))],
        [retry(key="a"), retry(key="b"), save(key="a")],
        [save(key="a", signal_no=1), save(key="b", signal_no=2), ack(signal_no=3)],
        [ack(ONE), event(TWO)],
        [event(), ack()],
        [end(ONE), end(TWO)],
    ],
)
def test_what_can_be_done_at_once_is(batch: list[Write]) -> None:
    assert len(cut(batch)) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (save(key="a"), save(key="a")),
        (save(key="a", signal_no=1), save(key="a")),
        (save(key="a", signal_no=1), save(key="b", signal_no=1)),
        (save(key="a", signal_no=7), ack(signal_no=7)),
        (ack(signal_no=7), change(signal_no=7)),
        (ack(), event()),
        (retry(key="a"), retry(key="a")),
        (end(), end()),
        *[(change(), later) for later in (save(), event(), retry(), ack(), end(), change())],
    ],
)
def test_what_depends_on_an_earlier_write_comes_later(first: Write, second: Write) -> None:
    segments = cut([first, save(TWO, "z"), second])
    assert len(segments) == 2
    positions = [position for writes in segments[1].writes.values() for position, _ in writes]
    assert positions == [2]


def test_positions_are_those_of_the_batch() -> None:
    batch = [save(), change(), save(key="b"), save(TWO)]
    placed = {position: write for s in cut(batch) for writes in s.writes.values() for position, write in writes}
    assert [placed[position] for position in range(len(batch))] == batch
