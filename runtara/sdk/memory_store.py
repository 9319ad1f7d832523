"""What survives the attempts of an instance in memory, and what people do to it from outside."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from runtara.errors import IllegalTransition
from runtara.protocol.messages import RetryRecord, SignalPending

__all__ = ("MemoryInstanceStore", "SignalListener")


class SignalListener(Protocol):
    """The running attempt, as far as signals need it. ``Inbox`` is one."""

    def receive(self, signal: SignalPending) -> None:
        """A signal came."""

    def drain(self) -> None:
        """The attempt should suspend."""


@dataclass(kw_only=True)
class MemoryInstanceStore:
    """See the module."""

    instance_id: str = "memory-instance"
    tenant_id: str = "memory-tenant"
    input: bytes = b"{}"
    status: str = "pending"
    """As a server says it: pending, running, suspended, completed, failed or cancelled."""
    termination_reason: str | None = None
    wake_at: datetime | None = None
    """While suspended: when it wants to be launched again; None when it waits for a person or for a signal."""
    attempt: int = 0
    checkpoints: dict[str, bytes] = field(default_factory=dict)
    """In the order in which they were stored."""
    retries: dict[str, RetryRecord] = field(default_factory=dict)
    events: list[tuple[str, bytes | None]] = field(default_factory=list)
    signals: dict[int, SignalPending] = field(default_factory=dict)
    """Those that were not consumed, acknowledged or withdrawn."""
    output: bytes | None = None
    error: bytes | None = None
    calls: int = 0
    """Persistence calls that took effect, of all attempts."""
    listener: SignalListener | None = field(default=None, repr=False)
    """Hears of signals while the instance runs."""
    _signal_numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    @property
    def is_ended(self) -> bool:
        """Whether it is completed, failed or cancelled."""
        return self.status in ("completed", "failed", "cancelled")

    def send_signal(self, name: str, payload: bytes | None = None) -> None:
        """A custom signal (JSON payload). It wakes an instance that is suspended for one."""
        self._send("custom", name, payload)
        if self.status == "suspended" and self.termination_reason == "waiting_signal":
            self.change("pending", None)

    def cancel(self, reason: bytes | None = None) -> None:
        """Ask for the end: at once when it is not running, else at its next safe point."""
        if self.status == "running":
            self._send("cancel", None, reason)
        elif not self.is_ended:
            self.change("cancelled", "cancelled")

    def pause(self) -> None:
        """Ask for a pause: at once when it is not running, else at its next safe point."""
        if self.status == "running":
            self._send("pause", None, None)
        elif not self.is_ended:
            self.change("suspended", "paused")

    def resume(self) -> None:
        """Let it go on after a pause; take back a pause that nobody has acknowledged."""
        for number in [number for number, signal in self.signals.items() if signal.kind == "pause"]:
            del self.signals[number]
        if self.status == "suspended" and self.termination_reason == "paused":
            self.change("pending", None)

    def drain(self) -> None:
        """Ask the running attempt to suspend at its next safe point, and to be launched again."""
        if self.listener is not None:
            self.listener.drain()

    # ---- for the attempt

    def begin_attempt(self, listener: SignalListener) -> int:
        """The number of the new attempt; what waits already is in ``signals``.

        Raises ``IllegalTransition`` when the instance has ended.
        """
        if self.is_ended:
            raise IllegalTransition(f"the instance is {self.status}", status=self.status, change="claim")
        self.attempt += 1
        self.change("running", None)
        self.listener = listener
        return self.attempt

    def change(self, status: str, reason: str | None, wake_at: datetime | None = None) -> None:
        """It is in another status now."""
        self.status, self.termination_reason, self.wake_at = status, reason, wake_at

    def _send(self, kind: str, name: str | None, payload: bytes | None) -> None:
        signal = SignalPending(next(self._signal_numbers), kind, name, payload)
        self.signals[signal.signal_no] = signal
        if self.status == "running" and self.listener is not None:
            self.listener.receive(signal)
