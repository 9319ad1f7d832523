"""The contract between a program and its durable instance. Nothing here runs.

``remote`` talks to a server; ``memory`` keeps everything in this process (``runtara.testing``). The functions that
authors import (``durable``, ``checkpoint``, ``sleep`` …) and the generated code both stand on this and on nothing else.

States are plain bytes here; sealing them is the implementation's business. Interruptions are ``BaseException``s, so
that ``except Exception`` in a program does not swallow them; they are raised only at safe points: in a method of this
contract, before its effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from runtara.protocol.messages import RetryRecord

__all__ = (
    "AttemptSuperseded",
    "Durable",
    "InstanceCancelled",
    "InstanceFailed",
    "InstanceInfo",
    "InstancePaused",
    "InstanceSuspended",
    "Interruption",
    "ServerLost",
)


class Interruption(BaseException):
    """The program must end here. Let it pass; clean up with ``finally``; do not start new effects."""


class InstanceCancelled(Interruption):
    """A cancel was acknowledged: the instance is cancelled."""


class InstancePaused(Interruption):
    """A pause was acknowledged: the instance is suspended until somebody resumes it."""


class InstanceSuspended(Interruption):
    """It sleeps, waits or yields: the instance is suspended and is launched again by itself."""


class AttemptSuperseded(Interruption):
    """A newer attempt runs: nothing that this one does counts any more."""


class ServerLost(Interruption):
    """The server was away for too long, or lets this attempt in no more: nothing can be stored.

    The attempt ends as if it had crashed, and is launched again from its checkpoints.
    """


class InstanceFailed(Exception):
    """Raised by a program's entry to end the instance as failed with exactly this structured error.

    Any other exception of an entry is a failure as well, described by its type, message and traceback.
    """

    def __init__(self, message: str, *, error: bytes) -> None:
        super().__init__(message)
        self.error = error
        """The JSON that ``Durable.fail`` gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceInfo:
    """Who I am."""

    instance_id: str
    tenant_id: str
    attempt: int
    input: bytes
    """UTF-8 JSON."""


class Durable(Protocol):
    """One running attempt. All methods belong to one event loop."""

    @property
    def info(self) -> InstanceInfo:
        """See ``InstanceInfo``."""

    # -- checkpoints

    async def find(self, key: str) -> bytes | None:
        """The state under the key, or None. No round trip when all checkpoints of the instance are known here."""

    def send(self, key: str, state: bytes) -> None:
        """Store without waiting: durable after the next ``flush`` that returns. For results of pure steps only.

        Raises ``LimitExceeded`` when the state is too large.
        """

    async def save(self, key: str, state: bytes) -> bytes:
        """Store, durable on return. The state that holds is returned: the first one ever stored under the key."""

    async def flush(self) -> None:
        """Returns when everything that was sent is durable. Required before any effect on the world.

        Raises the first error of what was sent; nothing that was sent after it may be relied on.
        """

    # -- retries

    def retry_of(self, key: str) -> RetryRecord | None:
        """What was recorded of the failed tries of this step, in this attempt or a former one."""

    async def record_retry(self, retry: RetryRecord) -> None:
        """Replace the record, durable on return."""

    # -- interruptions

    def check(self) -> bool:
        """True when an interruption waits; then ``await interrupt()`` at the next safe point. Costs nothing."""

    async def interrupt(self) -> None:
        """Acknowledge what waits and raise its ``Interruption``; returns when nothing waits (it was withdrawn)."""

    # -- time and signals

    def now(self) -> datetime:
        """The wall clock of this attempt. Not durable: save what you decide by it."""

    async def sleep_until(self, at: datetime) -> None:
        """Wait here when ``at`` is near, else suspend the instance (raises ``InstanceSuspended``).

        ``at`` must have been saved before, so that a replay comes to the same time. Interruptible.
        """

    async def wait_signal(self, name: str, *, key: str, deadline: datetime | None) -> bytes | None:
        """The payload of the oldest unconsumed custom signal of that name; None when the deadline passed.

        Consumption and checkpoint are one transaction: a replay with the same ``key`` gives the same payload.
        Suspends the instance when it takes long (raises ``InstanceSuspended``).
        """

    async def take_signal(self, name: str, *, key: str) -> bytes | None:
        """As ``wait_signal``, but without waiting: None, and nothing stored, when there is no such signal now."""

    async def pause_until(self, at: datetime | None) -> None:
        """Wait in this process; returns at that time, or earlier when something has come. Suspends nothing.

        Raises no ``Interruption`` that ``interrupt`` would; ``check`` tells whether one came.
        """

    async def wait_any(self, names: Sequence[str], *, until: datetime | None) -> None:
        """Returns when a custom signal of one of these names is there, or at that time.

        Suspends the instance when it takes long (raises ``InstanceSuspended``); it consumes nothing. Interruptible.
        """

    # -- events and the end

    def emit(self, subtype: str, payload: bytes | None) -> None:
        """Store a custom event (JSON payload), without waiting; in order, durable with the next ``flush``."""

    async def complete(self, output: bytes) -> None:
        """Flush, then end as completed; durable on return."""

    async def fail(self, error: bytes) -> None:
        """Flush, then end as failed with this structured error (JSON); durable on return."""
