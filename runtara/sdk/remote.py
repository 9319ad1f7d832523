"""A durable instance whose truth is a server: the contract of ``base`` over one connection that heals itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Final

from runtara.clock import Clock, SystemClock
from runtara.errors import Conflict, InternalError
from runtara.ids import parse_checkpoint_key
from runtara.limits import ERROR_BYTES_MAX, OUTPUT_BYTES_MAX
from runtara.protocol.launch import KnownCheckpoint
from runtara.protocol.messages import (
    CheckpointPage,
    CheckpointSaved,
    CheckpointState,
    Complete,
    Drain,
    Fail,
    GetCheckpoint,
    Message,
    ReadCheckpoints,
    RecordRetry,
    Registered,
    RetryRecord,
    SaveCheckpoint,
    SignalPending,
    Sleep,
    Wait,
)
from runtara.sdk.attempt import Attempt
from runtara.sdk.base import InstanceInfo
from runtara.sdk.checkpoints import KNOWN_BYTES_MAX, KnownCheckpoints, seal, unseal
from runtara.sdk.checks import check_size
from runtara.sdk.conclusions import acknowledgement, end, suspension, yielding
from runtara.sdk.link import Dialer
from runtara.sdk.patience import GIVE_UP_AFTER_S

__all__ = ("RemoteDurable", "RemoteOptions", "open_remote")

# After the server said that a signal is there, this long until it is asked again: its push is on the way.
_PUSH_S: Final = 0.5

# A wait that timed out is a checkpoint too, so that a signal which comes later changes nothing of what happened.
_TIMED_OUT: Final = b""
_NO_PAYLOAD: Final = b"null"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteOptions:
    """Who the attempt is, and what it was told at its launch."""

    instance_id: str
    tenant_id: str
    dialer: Dialer
    input: bytes | None = None
    """None: ask the server for it."""
    checkpoints: tuple[KnownCheckpoint, ...] = ()
    """The first ones, in the order of their keys."""
    checkpoints_complete: bool = False
    sleep_threshold_s: float = 30.0
    answer_timeout_s: float = 30.0
    connect_patience_s: float = GIVE_UP_AFTER_S
    """How long the first connection may take; a program that a person started should say soon that nobody answers."""
    give_up_after_s: float = GIVE_UP_AFTER_S
    known_bytes_max: int = KNOWN_BYTES_MAX
    """Checkpoints to keep in memory; beyond that they are asked for one by one."""


@asynccontextmanager
async def open_remote(
    options: RemoteOptions, *, clock: Clock | None = None, random: Random | None = None
) -> AsyncIterator[RemoteDurable]:
    """A registered attempt that knows its checkpoints.

    Raises:
        ServerLost: nobody answered for ``connect_patience_s``.
        RuntaraError: the server does not let this instance in.
    """
    clock = clock or SystemClock()
    attempt = Attempt(
        instance_id=options.instance_id,
        tenant_id=options.tenant_id,
        wants_input=options.input is None,
        dialer=options.dialer,
        clock=clock,
        random=random or Random(),
        answer_timeout_s=options.answer_timeout_s,
        give_up_after_s=options.give_up_after_s,
    )
    registered = await attempt.open(give_up_after_s=options.connect_patience_s)
    try:
        checkpoints = await _read_checkpoints(attempt, options, registered)
        yield RemoteDurable(attempt, registered, checkpoints, options=options, clock=clock)
    finally:
        await attempt.aclose()


async def _read_checkpoints(attempt: Attempt, options: RemoteOptions, registered: Registered) -> KnownCheckpoints:
    """All that there are, or as many as are worth keeping, page by page."""
    known = KnownCheckpoints(bytes_max=options.known_bytes_max)
    page, is_complete = options.checkpoints, options.checkpoints_complete or not registered.has_checkpoints
    while True:
        for checkpoint in page:
            known.add(checkpoint.key, checkpoint.state)
        if is_complete or known.is_full:
            break
        answer = await attempt.ask(ReadCheckpoints(after=page[-1].key if page else None))
        if not isinstance(answer, CheckpointPage):
            raise _unexpected(answer)
        page, is_complete = answer.checkpoints, answer.complete or not answer.checkpoints
    if is_complete:
        known.all_read()
    return known


class RemoteDurable:
    """See ``Durable``."""

    def __init__(
        self,
        attempt: Attempt,
        registered: Registered,
        checkpoints: KnownCheckpoints,
        *,
        options: RemoteOptions,
        clock: Clock,
    ) -> None:
        self._attempt = attempt
        self._checkpoints = checkpoints
        self._clock = clock
        self._threshold_s = options.sleep_threshold_s
        self._retries = {retry.key: retry for retry in registered.retries}
        self._info = InstanceInfo(
            instance_id=options.instance_id,
            tenant_id=options.tenant_id,
            attempt=registered.epoch,
            input=next((given for given in (options.input, registered.input) if given is not None), b"null"),
        )

    @property
    def info(self) -> InstanceInfo:
        """See ``Durable.info``."""
        return self._info

    @property
    def ending(self) -> BaseException | None:
        """Why nothing can be done any more, once that is so."""
        return self._attempt.ending

    def stop(self) -> None:
        """This process was asked to end: suspend at the next safe point."""
        self._attempt.inbox.stop()

    # ---- checkpoints

    async def find(self, key: str) -> bytes | None:
        """See ``Durable.find``."""
        self._attempt.check_going()
        await self._attempt.room()
        envelope = self._checkpoints.find(parse_checkpoint_key(key))
        if envelope is None and not self._checkpoints.is_complete:
            envelope = await self._ask_for(key)
        return None if envelope is None else unseal(envelope)

    def send(self, key: str, state: bytes) -> None:
        """See ``Durable.send``. Raises ``Overloaded`` when 64 MiB wait to be stored and nobody waited for ``flush``."""
        self._attempt.check_going()
        if self._checkpoints.find(parse_checkpoint_key(key)) is not None:
            return
        envelope = seal(state)
        self._attempt.reserve(len(envelope))
        self._checkpoints.add(key, envelope)
        self._attempt.sending.add(key, envelope)

    async def save(self, key: str, state: bytes) -> bytes:
        """See ``Durable.save``."""
        self._attempt.check_going()
        known = self._checkpoints.find(parse_checkpoint_key(key))
        if known is not None:
            await self._attempt.settle()
            return unseal(known)
        return await self._store(SaveCheckpoint(key, seal(state)))

    async def flush(self) -> None:
        """See ``Durable.flush``."""
        await self._attempt.settle()

    async def _store(self, message: SaveCheckpoint) -> bytes:
        """The state that holds."""
        # What was emitted before belongs before it, into the same commit.
        self._attempt.emission.hurry()
        self._attempt.sending.hurry()
        await self._attempt.room()
        note = partial(self._note_stored, message)
        answer = await self._attempt.ask(message, size_bytes=len(message.state), note=note)
        return unseal(_envelope(message, answer))

    def _note_stored(self, message: SaveCheckpoint, answer: Message) -> None:
        self._checkpoints.add(message.key, _envelope(message, answer))
        if message.consumes_signal_no is not None:
            self._attempt.inbox.settle(message.consumes_signal_no)

    async def _ask_for(self, key: str) -> bytes | None:
        await self._attempt.settle()
        answer = await self._attempt.ask(GetCheckpoint(key))
        if not isinstance(answer, CheckpointState):
            raise _unexpected(answer)
        return answer.state

    # ---- retries

    def retry_of(self, key: str) -> RetryRecord | None:
        """See ``Durable.retry_of``."""
        return self._retries.get(key)

    async def record_retry(self, retry: RetryRecord) -> None:
        """See ``Durable.record_retry``."""
        check_size("error_bytes", retry.error, ERROR_BYTES_MAX)
        await self._attempt.ask(RecordRetry(retry))
        self._retries[retry.key] = retry

    # ---- interruptions

    def check(self) -> bool:
        """See ``Durable.check``."""
        return self._attempt.ending is not None or self._attempt.inbox.urgent is not None

    async def interrupt(self) -> None:
        """See ``Durable.interrupt``."""
        self._attempt.check_going()
        while (urgent := self._attempt.inbox.urgent) is not None:
            conclusion = yielding() if isinstance(urgent, Drain) else acknowledgement(urgent)
            if await self._attempt.conclude(conclusion):
                raise conclusion.ending
            if isinstance(urgent, SignalPending):
                self._attempt.inbox.settle(urgent.signal_no)

    async def _pause_until(self, at: datetime | None) -> None:
        """Returns at that time, or when something came that the caller may care for. Raises interruptions."""
        await self._attempt.inbox.wait(until=at)
        await self.interrupt()

    # ---- time and signals

    def now(self) -> datetime:
        """See ``Durable.now``."""
        return self._clock.now()

    async def sleep_until(self, at: datetime) -> None:
        """See ``Durable.sleep_until``."""
        await self.interrupt()
        while (left := at - self.now()) > timedelta(0):
            if left.total_seconds() > self._threshold_s:
                await self._suspend(Sleep(at), f"it sleeps until {at.isoformat()}")
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
            signal = self._attempt.inbox.find_custom(name)
            if signal is not None:
                consumed = await self._consume(signal, key)
                if consumed is not None:
                    return consumed
            elif deadline is not None and self.now() >= deadline:
                return await self.save(key, _TIMED_OUT)
            elif self.now() >= park_at:
                await self._suspend(Wait(name, deadline), f"it waits for the signal {name!r}")
                # The server says that one is there.
                await self._pause_until(self.now() + timedelta(seconds=_PUSH_S))
            else:
                await self._pause_until(park_at if deadline is None else min(deadline, park_at))

    async def take_signal(self, name: str, *, key: str) -> bytes | None:
        """See ``Durable.take_signal``."""
        stored = await self.find(key)
        signal = self._attempt.inbox.find_custom(name)
        if stored is None and signal is not None:
            stored = await self._consume(signal, key)
        return None if stored == _TIMED_OUT else stored

    async def pause_until(self, at: datetime | None) -> None:
        """See ``Durable.pause_until``."""
        if not self.check():
            await self._attempt.inbox.wait(until=at)

    async def wait_any(self, names: Sequence[str], *, until: datetime | None) -> None:
        """See ``Durable.wait_any``."""
        await self.interrupt()
        park_at = self.now() + timedelta(seconds=self._threshold_s)
        first, *others = names
        while not any(map(self._attempt.inbox.find_custom, names)):
            if until is not None and self.now() >= until:
                return
            if self.now() >= park_at:
                await self._suspend(Wait(first, until, tuple(others)), f"it waits for the signals {', '.join(names)}")
                await self._pause_until(self.now() + timedelta(seconds=_PUSH_S))
            else:
                await self._pause_until(park_at if until is None else min(until, park_at))

    async def _consume(self, signal: SignalPending, key: str) -> bytes | None:
        """The payload, stored under the key in the transaction that consumes the signal; None if it was withdrawn."""
        try:
            return await self._store(SaveCheckpoint(key, seal(signal.payload or _NO_PAYLOAD), signal.signal_no))
        except Conflict:
            self._attempt.inbox.settle(signal.signal_no)
            return None

    async def _suspend(self, message: Sleep | Wait, why: str) -> None:
        """End the attempt. Returns only when the server said to go on."""
        conclusion = suspension(message, why)
        if await self._attempt.conclude(conclusion):
            raise conclusion.ending

    # ---- events and the end

    def emit(self, subtype: str, payload: bytes | None) -> None:
        """See ``Durable.emit``. Raises ``InvalidRequest`` or ``LimitExceeded`` for one that no server takes."""
        self._attempt.check_going()
        self._attempt.emission.add(subtype, payload)

    async def complete(self, output: bytes) -> None:
        """See ``Durable.complete``."""
        check_size("output_bytes", output, OUTPUT_BYTES_MAX)
        await self._attempt.conclude(end(Complete(output), "completed"))

    async def fail(self, error: bytes) -> None:
        """See ``Durable.fail``."""
        check_size("error_bytes", error, ERROR_BYTES_MAX)
        await self._attempt.conclude(end(Fail(error), "failed"))


def _envelope(message: SaveCheckpoint, answer: Message) -> bytes:
    """What is stored under the key."""
    if not isinstance(answer, CheckpointSaved):
        raise _unexpected(answer)
    return message.state if answer.found is None else answer.found


def _unexpected(answer: Message) -> InternalError:
    return InternalError(f"the server answered with {type(answer).__name__}")
