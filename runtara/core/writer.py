"""The group-commit writer: whatever gathered while the last commit ran is the next commit.

The size of a batch follows the load by itself. A timer or a second connection gained nothing
(``benchmarks/group_commit.py``), and one connection keeps the writes of an instance in order.

What a caller hears: the outcome, after the commit. ``Unavailable``: nothing was written, try again. ``OutcomeUnknown``:
the commit was on its way when the database was lost; every write may be repeated, so try again too. The writer itself
repeats nothing: the connection of whoever waits may be gone by then, and its queue must not grow with an outage.
"""

from __future__ import annotations

import logging
from asyncio import Future, get_running_loop
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import anyio
import anyio.lowlevel

from runtara.core.persistence.base import AppendEvent, ChangeStatus, Outcome, Persistence, SaveCheckpoint, Write
from runtara.errors import InternalError, Overloaded, RuntaraError, Unavailable
from runtara.limits import WRITER_BATCH_BYTES_MAX, WRITER_BATCH_MAX, WRITER_QUEUE_BYTES_MAX, WRITER_QUEUE_MAX

__all__ = ("Done", "Writer")

Done: TypeAlias = Callable[[Outcome | RuntaraError], None]
"""Called exactly once, in the writer's task: it must not block, and what it raises is only logged."""

_RETRY_AFTER_MS: Final = 100

_log = logging.getLogger(__name__)


class Writer:
    """One queue, one task, one commit at a time. ``run`` it, then ``submit``; what was submitted before waits."""

    def __init__(
        self, persistence: Persistence, *, queue_max: int = WRITER_QUEUE_MAX, batch_max: int = WRITER_BATCH_MAX
    ) -> None:
        self._persistence = persistence
        self._queue_max = queue_max
        self._batch_max = batch_max
        # Two lists and not one of pairs: the writes go to the database as they are.
        self._writes: list[Write] = []
        self._dones: list[Done] = []
        self._bytes = 0
        self._wake = anyio.Event()
        self._has_ended = False

    def submit(self, write: Write, done: Done) -> None:
        """Hand over a write; ``done`` is called with what became of it. Writes are done in the order given.

        Raises:
            Overloaded: too many writes, or too many bytes, wait. Nothing was taken.
            Unavailable: the writer has ended. Nothing was taken.
        """
        size = _size(write)
        if len(self._writes) >= self._queue_max or self._bytes + size > WRITER_QUEUE_BYTES_MAX:
            raise Overloaded("too many writes wait for the database", retry_after_ms=_RETRY_AFTER_MS)
        if self._has_ended:
            raise Unavailable("the server is stopping", retry_after_ms=1000)
        if not self._writes:
            self._wake.set()
        self._writes.append(write)
        self._dones.append(done)
        self._bytes += size

    async def write(self, write: Write) -> Outcome:
        """``submit``, and wait for the outcome. Cancelling the wait does not cancel the write."""
        future: Future[Outcome | RuntaraError] = get_running_loop().create_future()

        def done(outcome: Outcome | RuntaraError) -> None:
            if not future.done():
                future.set_result(outcome)

        self.submit(write, done)
        outcome = await future
        if isinstance(outcome, RuntaraError):
            raise outcome
        return outcome

    async def run(self) -> None:
        """Write until cancelled; then what was submitted before, and end."""
        try:
            while True:
                await anyio.lowlevel.checkpoint_if_cancelled()
                await self._wake.wait()
                await self._write_batch()
        finally:
            self._has_ended = True
            while self._writes:
                await self._write_batch()

    async def _write_batch(self) -> None:
        writes, dones = self._take()
        # A commit that has begun is never abandoned: somebody would not know what became of his write.
        with anyio.CancelScope(shield=True):
            await self._commit(writes, dones)

    def _take(self) -> tuple[list[Write], list[Done]]:
        """The next batch: all that waits, if it fits."""
        if len(self._writes) <= self._batch_max and self._bytes <= WRITER_BATCH_BYTES_MAX:
            writes, self._writes, dones, self._dones, self._bytes = self._writes, [], self._dones, [], 0
        else:
            count = self._count_that_fits()
            writes, dones = self._writes[:count], self._dones[:count]
            del self._writes[:count], self._dones[:count]
            self._bytes -= sum(map(_size, writes))
        if not self._writes:
            self._wake = anyio.Event()
        return writes, dones

    def _count_that_fits(self) -> int:
        total = 0
        for count, write in enumerate(self._writes[: self._batch_max]):
            total += _size(write)
            if total > WRITER_BATCH_BYTES_MAX:
                return max(count, 1)
        return min(len(self._writes), self._batch_max)

    async def _commit(self, writes: Sequence[Write], dones: Sequence[Done]) -> None:
        try:
            outcomes = await self._persistence.write(writes)
        except Unavailable as error:
            _tell(dones, [error] * len(dones))
        except Exception as error:
            await self._isolate(writes, dones, error)
        else:
            _tell(dones, outcomes)

    async def _isolate(self, writes: Sequence[Write], dones: Sequence[Done], error: Exception) -> None:
        """Halve until the write that cannot be done (a bug of ours) is alone: its neighbours must not suffer."""
        if len(writes) > 1:
            middle = len(writes) // 2
            await self._commit(writes[:middle], dones[:middle])
            await self._commit(writes[middle:], dones[middle:])
            return
        _log.error("a write of type %s cannot be done", type(writes[0]).__name__, exc_info=error)
        bug = error if isinstance(error, RuntaraError) else InternalError(f"the write failed: {error!r}")
        _tell(dones, [bug])


def _tell(dones: Sequence[Done], outcomes: Sequence[Outcome | RuntaraError]) -> None:
    for done, outcome in zip(dones, outcomes, strict=True):
        try:
            done(outcome)
        except Exception:
            _log.exception("whoever waited for a write failed when told")


def _size(write: Write) -> int:
    """About how many bytes a write sends, where that can be many."""
    match write:
        case SaveCheckpoint():
            return len(write.state)
        case AppendEvent():
            return len(write.payload or b"")
        case ChangeStatus():
            return len(write.output or b"") + len(write.error or b"") + len(write.detail or b"")
        case _:
            return 0
