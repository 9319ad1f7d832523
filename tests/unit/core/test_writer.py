"""The group-commit writer over a persistence that commits when told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import anyio
import pytest
from anyio.abc import TaskGroup

from runtara.core.model import EventType
from runtara.core.persistence.base import AppendEvent, ChangeStatus, Outcome, OutcomeKind, SaveCheckpoint, Write
from runtara.core.state import Change
from runtara.core.writer import Writer
from runtara.errors import InternalError, OutcomeUnknown, Overloaded, RuntaraError, Unavailable
from runtara.ids import CheckpointKey, InstanceNo
from runtara.limits import WRITER_BATCH_BYTES_MAX, WRITER_QUEUE_BYTES_MAX
from tests.support.tasks import background_group

DONE = Outcome(OutcomeKind.DONE)


@dataclass
class Disk:
    """A persistence whose commits take as long as the test wants."""

    batches: list[list[Write]] = field(default_factory=list)
    fails: Callable[[Sequence[Write]], Exception | None] = lambda batch: None
    started: anyio.Event = field(default_factory=anyio.Event)
    go_on: anyio.Event = field(default_factory=anyio.Event)

    async def write(self, batch: Sequence[Write]) -> Sequence[Outcome]:
        self.batches.append(list(batch))
        self.started.set()
        await self.go_on.wait()
        error = self.fails(batch)
        if error is not None:
            raise error
        return [Outcome(OutcomeKind.FOUND, state=write.state) for write in batch if isinstance(write, SaveCheckpoint)]


def save(name: str, state: bytes = b"") -> SaveCheckpoint:
    return SaveCheckpoint(InstanceNo(1), 1, CheckpointKey(name), state)


def names(batch: Sequence[Write]) -> list[str]:
    return [write.key for write in batch if isinstance(write, SaveCheckpoint)]


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def writer(disk: Disk) -> Writer:
    return Writer(disk, queue_max=5, batch_max=3)  # type: ignore[arg-type]


@pytest.fixture
async def group() -> AsyncIterator[TaskGroup]:
    async with background_group() as group:
        yield group


def collect(results: dict[str, Outcome | RuntaraError], name: str) -> Callable[[Outcome | RuntaraError], None]:
    def done(outcome: Outcome | RuntaraError) -> None:
        assert name not in results, "told twice"
        results[name] = outcome

    return done


async def test_what_gathers_during_a_commit_is_the_next_batch(disk: Disk, writer: Writer) -> None:
    results: dict[str, Outcome | RuntaraError] = {}
    async with anyio.create_task_group() as group:
        group.start_soon(writer.run)
        writer.submit(save("a"), collect(results, "a"))
        await disk.started.wait()
        for name in "bc":
            writer.submit(save(name), collect(results, name))
        assert results == {}
        disk.go_on.set()
        await writer.write(save("d"))
        group.cancel_scope.cancel()
    assert [names(batch) for batch in disk.batches][:2] == [["a"], ["b", "c", "d"]]
    assert {outcome.kind for outcome in results.values() if isinstance(outcome, Outcome)} == {OutcomeKind.FOUND}


async def test_each_hears_of_its_own_write(disk: Disk, writer: Writer, group: TaskGroup) -> None:
    group.start_soon(writer.run)
    disk.go_on.set()
    results: dict[str, Outcome | RuntaraError] = {}
    for name in "abc":
        writer.submit(save(name, name.encode()), collect(results, name))
    await writer.write(save("last"))
    assert results == {name: Outcome(OutcomeKind.FOUND, state=name.encode()) for name in "abc"}


async def test_a_batch_has_an_end(disk: Disk, writer: Writer, group: TaskGroup) -> None:
    for name in "abcde":
        writer.submit(save(name), lambda outcome: None)
    disk.go_on.set()
    group.start_soon(writer.run)
    await disk.started.wait()
    await writer.write(save("f"))
    assert [names(batch) for batch in disk.batches] == [["a", "b", "c"], ["d", "e", "f"]]


async def test_a_full_queue_refuses_and_keeps_what_it_has(disk: Disk, writer: Writer) -> None:
    for name in "abcde":
        writer.submit(save(name), lambda outcome: None)
    with pytest.raises(Overloaded) as refusal:
        writer.submit(save("f"), lambda outcome: pytest.fail("it was refused"))
    assert refusal.value.retry_after_ms
    disk.go_on.set()
    async with anyio.create_task_group() as group:
        group.start_soon(writer.run)
        await disk.started.wait()
        group.cancel_scope.cancel()
    assert [name for batch in disk.batches for name in names(batch)] == list("abcde")


async def test_bytes_count_too(disk: Disk) -> None:
    writer = Writer(disk)  # type: ignore[arg-type]
    large = b"x" * (WRITER_QUEUE_BYTES_MAX // 8)
    for number in range(8):
        writer.submit(save(str(number), large), lambda outcome: None)
    with pytest.raises(Overloaded):
        writer.submit(save("one more", b"x"), lambda outcome: None)
    writer.submit(save("nothing"), lambda outcome: None)
    disk.go_on.set()
    async with anyio.create_task_group() as group:
        group.start_soon(writer.run)
        await disk.started.wait()
        group.cancel_scope.cancel()
    sizes = [sum(len(write.state) for write in batch if isinstance(write, SaveCheckpoint)) for batch in disk.batches]
    assert max(sizes) <= WRITER_BATCH_BYTES_MAX
    assert sum(sizes) == WRITER_QUEUE_BYTES_MAX


async def test_one_write_may_be_larger_than_a_batch(disk: Disk, group: TaskGroup) -> None:
    writer = Writer(disk)  # type: ignore[arg-type]
    disk.go_on.set()
    writer.submit(save("large", b"x" * (WRITER_BATCH_BYTES_MAX + 1)), lambda outcome: None)
    writer.submit(save("small"), lambda outcome: None)
    group.start_soon(writer.run)
    await writer.write(save("last"))
    assert [names(batch) for batch in disk.batches] == [["large"], ["small", "last"]]


def test_everything_that_can_be_large_counts() -> None:
    writer = Writer(None)  # type: ignore[arg-type]
    half = b"x" * (WRITER_QUEUE_BYTES_MAX // 2 + 1)
    writes: list[Write] = [
        AppendEvent(InstanceNo(1), 1, EventType.CUSTOM, None, half),
        ChangeStatus(instance_no=InstanceNo(1), epoch=1, change=Change.FAIL, error=half),
    ]
    writer.submit(writes[0], lambda outcome: None)
    with pytest.raises(Overloaded):
        writer.submit(writes[1], lambda outcome: None)


@pytest.mark.parametrize("error", [Unavailable("away"), OutcomeUnknown("perhaps")])
async def test_everybody_hears_of_an_outage_and_nothing_is_repeated(
    disk: Disk, writer: Writer, group: TaskGroup, error: Unavailable
) -> None:
    disk.fails = lambda batch: error
    disk.go_on.set()
    results: dict[str, Outcome | RuntaraError] = {}
    for name in "ab":
        writer.submit(save(name), collect(results, name))
    group.start_soon(writer.run)
    with pytest.raises(type(error)):
        await writer.write(save("c"))
    assert results == {"a": error, "b": error}
    disk.fails = lambda batch: None
    assert (await writer.write(save("d"))).kind is OutcomeKind.FOUND
    assert [names(batch) for batch in disk.batches] == [["a", "b", "c"], ["d"]]


@pytest.mark.parametrize("bug", [InternalError("a bug"), ValueError("another")])
async def test_a_write_that_cannot_be_done_does_not_take_its_neighbours_along(
    disk: Disk, writer: Writer, group: TaskGroup, bug: Exception
) -> None:
    disk.fails = lambda batch: bug if "b" in names(batch) else None
    disk.go_on.set()
    results: dict[str, Outcome | RuntaraError] = {}
    for name in "abc":
        writer.submit(save(name), collect(results, name))
    group.start_soon(writer.run)
    await writer.write(save("d"))
    assert isinstance(results["b"], InternalError)
    assert isinstance(results["a"], Outcome)
    assert isinstance(results["c"], Outcome)


async def test_whoever_fails_when_told_harms_nobody(disk: Disk, writer: Writer, group: TaskGroup) -> None:
    def done(outcome: Outcome | RuntaraError) -> None:
        raise RuntimeError("the connection is gone")

    disk.go_on.set()
    writer.submit(save("a"), done)
    group.start_soon(writer.run)
    assert (await writer.write(save("b"))).kind is OutcomeKind.FOUND


async def test_an_end_finishes_the_commit_and_what_was_submitted_before(disk: Disk, writer: Writer) -> None:
    results: dict[str, Outcome | RuntaraError] = {}
    async with anyio.create_task_group() as group:
        group.start_soon(writer.run)
        writer.submit(save("a"), collect(results, "a"))
        await disk.started.wait()
        for name in "bcde":
            writer.submit(save(name), collect(results, name))
        group.cancel_scope.cancel()
        disk.go_on.set()
    assert set(results) == set("abcde")
    assert all(isinstance(outcome, Outcome) for outcome in results.values())
    with pytest.raises(Unavailable, match="stopping"):
        writer.submit(save("late"), lambda outcome: None)


async def test_whoever_stops_waiting_does_not_undo_the_write(disk: Disk, writer: Writer, group: TaskGroup) -> None:
    group.start_soon(writer.run)
    async with anyio.create_task_group() as waiters:
        waiters.start_soon(writer.write, save("a"))
        await disk.started.wait()
        waiters.cancel_scope.cancel()
    disk.go_on.set()
    await writer.write(save("b"))
    assert [names(batch) for batch in disk.batches] == [["a"], ["b"]]
