"""A durable instance inside this process: what survives its attempts is a store, an attempt dies when it is told to.

For tests of programs and of the platform. It keeps the contract of ``base`` and is as unkind as a server may be: what
was sent and not flushed is lost with the attempt. Crashes can be asked for at each single persistence call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from runtara.clock import Clock, SystemClock
from runtara.errors import IllegalTransition
from runtara.ids import parse_checkpoint_key
from runtara.limits import CHECKPOINT_BYTES_MAX, ERROR_BYTES_MAX, OUTPUT_BYTES_MAX
from runtara.protocol.messages import Drain, RetryRecord, SignalPending
from runtara.sdk.base import (
    AttemptSuperseded,
    InstanceCancelled,
    InstanceInfo,
    InstancePaused,
    InstanceSuspended,
)
from runtara.sdk.checks import check_event, check_size
from runtara.sdk.inbox import Inbox
from runtara.sdk.memory_store import MemoryInstanceStore

__all__ = ("MemoryDurable", "MemoryInstanceStore", "SimulatedCrash")

# As in ``remote``: a wait that timed out is a checkpoint too.
_TIMED_OUT = b""
_NO_PAYLOAD = b"null"


class SimulatedCrash(BaseException):
    """The attempt died here, as by SIGKILL. Nothing in a program may catch it."""


class MemoryDurable:
    """See ``Durable``. One attempt on a store; a second one on the same store supersedes it.

    Args:
        store: What is left of the attempts before this one.
        clock: Time for sleeps and deadlines.
        sleep_threshold_s: Longer sleeps and waits suspend the instance.
        crash_after: After so many persistence calls of this attempt it dies, before the program learns of the last
            one's success. 0: at the first call, before it takes effect.
        crash_before: It dies at the persistence call of this number, before that takes effect; 1 is the first.
    """

    def __init__(
        self,
        store: MemoryInstanceStore,
        *,
        clock: Clock | None = None,
        sleep_threshold_s: float = 30.0,
        crash_after: int | None = None,
        crash_before: int | None = None,
    ) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._threshold_s = sleep_threshold_s
        self._crash_after = crash_after
        self._crash_before = 1 if crash_after == 0 else crash_before
        self._calls = 0
        self._ending: BaseException | None = None
        self._inbox = Inbox(self._clock)
        self._inbox.replace(store.signals.values())
        self._unflushed: list[Callable[[], None]] = []
        self._sent: dict[str, bytes] = {}
        self._info = InstanceInfo(
            instance_id=store.instance_id,
            tenant_id=store.tenant_id,
            attempt=store.begin_attempt(self._inbox),
            input=store.input,
        )

    @property
    def info(self) -> InstanceInfo:
        """See ``Durable.info``."""
        return self._info

    @property
    def ending(self) -> BaseException | None:
        """Why nothing can be done any more, once that is so."""
        return self._ending

    # ---- checkpoints

    async def find(self, key: str) -> bytes | None:
        """See ``Durable.find``."""
        self._check_going()
        return self._find(parse_checkpoint_key(key))

    def send(self, key: str, state: bytes) -> None:
        """See ``Durable.send``."""
        self._check_going()
        check_size("checkpoint_bytes", state, CHECKPOINT_BYTES_MAX)
        if self._find(parse_checkpoint_key(key)) is None:
            self._sent[key] = state
            self._unflushed.append(lambda: self._put(key, state))

    async def save(self, key: str, state: bytes) -> bytes:
        """See ``Durable.save``."""
        self._check_going()
        check_size("checkpoint_bytes", state, CHECKPOINT_BYTES_MAX)
        self._flush()
        if parse_checkpoint_key(key) not in self._store.checkpoints:
            self._persist(lambda: self._put(key, state))
        return self._store.checkpoints[key]

    async def flush(self) -> None:
        """See ``Durable.flush``."""
        self._check_going()
        self._flush()

    def _find(self, key: str) -> bytes | None:
        stored = self._store.checkpoints.get(key)
        return self._sent.get(key) if stored is None else stored

    def _put(self, key: str, state: bytes) -> None:
        self._store.checkpoints.setdefault(key, state)

    # ---- retries

    def retry_of(self, key: str) -> RetryRecord | None:
        """See ``Durable.retry_of``."""
        return self._store.retries.get(key)

    async def record_retry(self, retry: RetryRecord) -> None:
        """See ``Durable.record_retry``."""
        self._check_going()
        check_size("error_bytes", retry.error, ERROR_BYTES_MAX)
        self._persist(lambda: self._store.retries.update({retry.key: retry}))

    # ---- interruptions

    def check(self) -> bool:
        """See ``Durable.check``."""
        return self._ending is not None or self._inbox.urgent is not None

    async def interrupt(self) -> None:
        """See ``Durable.interrupt``."""
        self._check_going()
        while (urgent := self._inbox.urgent) is not None:
            if isinstance(urgent, Drain):
                ending = InstanceSuspended("the instance is suspended: its server is going")
                self._end("suspended", "shutdown_requested", ending, wake_at=self.now())
                raise ending
            self._acknowledge(urgent)

    def _acknowledge(self, signal: SignalPending) -> None:
        """Returns when the signal was withdrawn."""
        self._inbox.settle(signal.signal_no)
        if signal.signal_no not in self._store.signals:
            return
        if signal.kind == "cancel":
            cancelled = InstanceCancelled("the instance is cancelled")
            self._end("cancelled", "cancelled", cancelled, signal_no=signal.signal_no)
            raise cancelled
        paused = InstancePaused("the instance is paused")
        self._end("suspended", "paused", paused, signal_no=signal.signal_no)
        raise paused

    # ---- time and signals

    def now(self) -> datetime:
        """See ``Durable.now``."""
        return self._clock.now()

    async def sleep_until(self, at: datetime) -> None:
        """See ``Durable.sleep_until``."""
        await self.interrupt()
        while (left := at - self.now()) > timedelta(0):
            if left.total_seconds() > self._threshold_s:
                ending = InstanceSuspended(f"the instance is suspended: it sleeps until {at.isoformat()}")
                self._end("suspended", "sleeping", ending, wake_at=at)
                raise ending
            await self._pause_until(at)

    async def wait_signal(self, name: str, *, key: str, deadline: datetime | None) -> bytes | None:
        """See ``Durable.wait_signal``."""
        stored = await self.find(key)
        if stored is None:
            stored = await self._await_signal(name, key, deadline)
        return None if stored == _TIMED_OUT else stored

    async def _await_signal(self, name: str, key: str, deadline: datetime | None) -> bytes:
        await self.interrupt()
        park_at = self.now() + timedelta(seconds=self._threshold_s)
        while True:
            signal = self._inbox.find_custom(name)
            if signal is not None:
                return self._consume(signal, key)
            if deadline is not None and self.now() >= deadline:
                return await self.save(key, _TIMED_OUT)
            if self.now() >= park_at:
                ending = InstanceSuspended(f"the instance is suspended: it waits for the signal {name!r}")
                self._end("suspended", "waiting_signal", ending, wake_at=deadline)
                raise ending
            await self._pause_until(park_at if deadline is None else min(deadline, park_at))

    async def take_signal(self, name: str, *, key: str) -> bytes | None:
        """See ``Durable.take_signal``."""
        stored = await self.find(key)
        signal = self._inbox.find_custom(name)
        if stored is None and signal is not None:
            stored = self._consume(signal, key)
        return None if stored == _TIMED_OUT else stored

    async def pause_until(self, at: datetime | None) -> None:
        """See ``Durable.pause_until``."""
        if not self.check():
            await self._inbox.wait(until=at)

    async def wait_any(self, names: Sequence[str], *, until: datetime | None) -> None:
        """See ``Durable.wait_any``."""
        await self.interrupt()
        park_at = self.now() + timedelta(seconds=self._threshold_s)
        while not any(map(self._inbox.find_custom, names)):
            if until is not None and self.now() >= until:
                return
            if self.now() >= park_at:
                ending = InstanceSuspended(f"the instance is suspended: it waits for the signals {', '.join(names)}")
                self._end("suspended", "waiting_signal", ending, wake_at=until)
                raise ending
            await self._pause_until(park_at if until is None else min(until, park_at))

    def _consume(self, signal: SignalPending, key: str) -> bytes:
        payload = signal.payload or _NO_PAYLOAD

        def consume() -> None:
            self._put(key, payload)
            self._store.signals.pop(signal.signal_no, None)

        self._flush()
        self._persist(consume)
        self._inbox.settle(signal.signal_no)
        return payload

    async def _pause_until(self, at: datetime) -> None:
        await self._inbox.wait(until=at)
        await self.interrupt()

    # ---- events and the end

    def emit(self, subtype: str, payload: bytes | None) -> None:
        """See ``Durable.emit``."""
        self._check_going()
        check_event(subtype, payload)
        self._unflushed.append(lambda: self._store.events.append((subtype, payload)))

    async def complete(self, output: bytes) -> None:
        """See ``Durable.complete``."""
        check_size("output_bytes", output, OUTPUT_BYTES_MAX)
        self._end("completed", "completed", _over("completed"), output=output)

    async def fail(self, error: bytes) -> None:
        """See ``Durable.fail``."""
        check_size("error_bytes", error, ERROR_BYTES_MAX)
        self._end("failed", "application_error", _over("failed"), error=error)

    # ---- persistence

    def _end(
        self,
        status: str,
        reason: str,
        ending: BaseException,
        *,
        wake_at: datetime | None = None,
        output: bytes | None = None,
        error: bytes | None = None,
        signal_no: int | None = None,
    ) -> None:
        def end() -> None:
            self._store.change(status, reason, wake_at)
            self._store.output, self._store.error = output, error
            if signal_no is not None:
                self._store.signals.pop(signal_no, None)

        self._check_going()
        self._flush()
        self._persist(end)
        self._ending = ending

    def _flush(self) -> None:
        unflushed, self._unflushed = self._unflushed, []
        for write in unflushed:
            self._persist(write)
        self._sent.clear()

    def _persist(self, write: Callable[[], None]) -> None:
        """One persistence call; the place where attempts die."""
        self._check_going()
        self._calls += 1
        if self._calls == self._crash_before:
            self._die("before")
        write()
        self._store.calls += 1
        if self._calls == self._crash_after:
            self._die("after")

    def _die(self, when: str) -> None:
        self._ending = SimulatedCrash(f"the attempt died {when} persistence call {self._calls}")
        if self._store.status == "running":
            self._store.change("pending", "crashed", self.now())
        raise self._ending

    def _check_going(self) -> None:
        if self._ending is None and self._store.attempt != self._info.attempt:
            self._ending = AttemptSuperseded("this attempt has a successor")
        if self._ending is not None:
            raise self._ending


def _over(status: str) -> IllegalTransition:
    return IllegalTransition(f"this attempt has ended its instance as {status}", status=status)
