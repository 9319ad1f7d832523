"""The verbs of the core: what can be asked of an instance, each one transaction and one answer.

The engine decides nothing about statuses (``state`` does) and writes nothing itself (``persistence`` does). It reads
where an instance is, picks the change that fits, and looks again when somebody was faster.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import anyio

from runtara.clock import Clock
from runtara.core.credentials import CredentialMint
from runtara.core.feed import ChangeFeed, DueBell
from runtara.core.lease import LEASE_S, Lease
from runtara.core.model import Instance, SignalKind, Status, TerminationReason
from runtara.core.notifier import Notifier
from runtara.core.persistence.base import (
    ChangeStatus,
    Notification,
    NotificationKind,
    Outcome,
    OutcomeKind,
    Persistence,
    SignalSent,
    Write,
)
from runtara.core.sessions import Sessions
from runtara.core.state import Change
from runtara.core.writer import Writer
from runtara.errors import IllegalTransition, NotFound, RuntaraError, Unavailable
from runtara.ids import InstanceNo
from runtara.protocol.messages import SignalPending

__all__ = ("Engine",)

_log = logging.getLogger(__name__)

# How often a verb looks again after somebody else was faster. Each round means that the instance really moved.
_ROUNDS_MAX: Final = 10

_RELISTEN_S: Final = 0.5


class Engine:
    """One server's core. ``open``, then ``run`` until cancelled, then ``aclose``."""

    def __init__(
        self, persistence: Persistence, *, name: str, clock: Clock, credential_key: bytes, lease_s: float = LEASE_S
    ) -> None:
        self.persistence = persistence
        self.clock = clock
        self.writer = Writer(persistence)
        self.sessions = Sessions()
        self.feed = ChangeFeed()
        self.due = DueBell(clock=clock)
        self.credentials = CredentialMint(credential_key, clock=clock)
        self.lease = Lease(persistence, name=name, clock=clock, lease_s=lease_s)
        self._notifier = Notifier(persistence)

    @property
    def server_no(self) -> int:
        """This server's number; 0 before ``open``."""
        return self.lease.server_no

    # ---- life

    async def open(self) -> None:
        """Join the servers of the database. From now on ``list_owned`` is ours to re-adopt."""
        await self.lease.open()

    async def run(self, *, on_lost: Callable[[], Awaitable[None]]) -> None:
        """Write, listen and keep the lease, until cancelled. ``on_lost``: see ``Lease.run``."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.writer.run)
            group.start_soon(self._notifier.run)
            group.start_soon(self._listen)
            await self.lease.run(on_lost=on_lost, on_taken_over=self._taken_over)

    async def aclose(self) -> None:
        """Leave the servers of the database. Safe twice."""
        await self.lease.close()

    # ---- writes of attempts

    def submit(self, write: Write, done: Callable[[Outcome | RuntaraError], None]) -> None:
        """Hand a write to the next batch; ``done`` is called once, after the commit.

        Raises:
            Unavailable: this server does not hold its lease, so it must not write.
            Overloaded: too many writes wait.
        """
        if not self.lease.is_held:
            raise Unavailable("this server has lost its lease and is renewing it", retry_after_ms=250)
        self.writer.submit(write, done)

    async def change(self, change: ChangeStatus) -> Outcome:
        """Apply a change of status, durable on return, and tell whoever watches. Safe to repeat: see the outcome."""
        outcome = await self.writer.write(change)
        if outcome.kind is OutcomeKind.DONE:
            self.changed(change.instance_no, outcome.status)
        return outcome

    def changed(self, instance_no: InstanceNo, status: str | None) -> None:
        """Tell this server and the others that the instance is in another status now."""
        self.feed.publish(instance_no)
        self._notifier.announce(Notification(NotificationKind.CHANGED, instance_no=instance_no))
        if status in (Status.PENDING, Status.SUSPENDED):
            self.announce_due()

    def announce_due(self, at: datetime | None = None) -> None:
        """Tell this server and the others that something became, or will become, due."""
        self.due.ring()
        self._notifier.announce(Notification(NotificationKind.DUE, at=at))

    # ---- verbs of people

    async def pause(self, instance: Instance) -> Instance:
        """Ask for a pause. A parked instance is paused on return, a running one pauses at its next safe point.

        Raises:
            IllegalTransition: it has ended.
        """
        return await self._steer(instance, "pause", self._pause_once)

    async def resume(self, instance: Instance, *, from_failed: bool = False) -> Instance:
        """Let a paused instance go on; withdraw a pause that has not been acknowledged yet.

        With ``from_failed`` a failed or cancelled one goes on from its checkpoints.

        Raises:
            IllegalTransition: it is not paused (nor failed or cancelled, when that is allowed).
            NotFound: it had failed or was cancelled, and its image was deleted since.
        """

        async def once(current: Instance) -> bool:
            return await self._resume_once(current, from_failed=from_failed)

        return await self._steer(instance, "resume", once)

    async def cancel(self, instance: Instance, *, reason: str | None = None) -> Instance:
        """Ask for the end. A parked instance is cancelled on return, a running one at its next safe point.

        Raises:
            IllegalTransition: it has ended otherwise. (Cancelled already is fine.)
        """
        payload = None if reason is None else reason.encode()

        async def once(current: Instance) -> bool:
            return await self._cancel_once(current, payload)

        return await self._steer(instance, "cancel", once)

    async def send_custom_signal(self, instance: Instance, *, name: str, payload: bytes | None) -> SignalSent:
        """Store a signal for the program, durable on return. It is pushed to a running one and wakes a waiting one.

        Raises:
            IllegalTransition: the instance has ended.
        """
        sent = await self.persistence.send_signal(instance.instance_no, SignalKind.CUSTOM, name=name, payload=payload)
        if sent.woke:
            self.changed(instance.instance_no, sent.status)
        session = self.sessions.find(sent.instance_no)
        if session is None:
            self._hint(sent)
        else:
            session.push(SignalPending(sent.signal_no, SignalKind.CUSTOM, name, payload))
        return sent

    async def _steer(self, instance: Instance, verb: str, once: Callable[[Instance], Awaitable[bool]]) -> Instance:
        """Try until the change that fits the status was applied; the instance as it is then."""
        for _ in range(_ROUNDS_MAX):
            if await once(instance):
                return await self.persistence.get_instance(instance.instance_no)
            instance = await self.persistence.get_instance(instance.instance_no)
        raise Unavailable(f"the instance changed too fast to {verb} it", retry_after_ms=100)

    async def _pause_once(self, instance: Instance) -> bool:
        if instance.status.is_terminal:
            raise _refused(instance, "pause")
        if instance.status is Status.RUNNING:
            return await self._signal_running(instance, SignalKind.PAUSE, None)
        if instance.termination_reason is TerminationReason.PAUSED and instance.status is Status.SUSPENDED:
            return True
        return await self._apply(instance, Change.PAUSE_PARKED)

    async def _resume_once(self, instance: Instance, *, from_failed: bool) -> bool:
        if instance.status is Status.RUNNING and await self.persistence.withdraw_pauses(instance.instance_no):
            return True
        if instance.status in (Status.FAILED, Status.CANCELLED) and from_failed:
            return await self._apply(instance, Change.RETRY)
        if instance.status is not Status.SUSPENDED or instance.termination_reason is not TerminationReason.PAUSED:
            raise _refused(instance, "resume")
        asleep = instance.sleep_until is not None and instance.sleep_until > await self.persistence.check()
        return await self._apply(instance, Change.RESUME_SLEEP if asleep else Change.RESUME)

    async def _cancel_once(self, instance: Instance, payload: bytes | None) -> bool:
        if instance.status is Status.CANCELLED:
            return True
        if instance.status.is_terminal:
            raise _refused(instance, "cancel")
        if instance.status is Status.RUNNING:
            return await self._signal_running(instance, SignalKind.CANCEL, payload)
        return await self._apply(instance, Change.CANCEL_PARKED)

    async def _apply(self, instance: Instance, change: Change) -> bool:
        outcome = await self.change(ChangeStatus(instance_no=instance.instance_no, epoch=None, change=change))
        if outcome.kind is OutcomeKind.IMAGE_GONE:
            raise NotFound("the image of the instance was deleted", image_id=instance.image_id)
        return outcome.kind is OutcomeKind.DONE

    async def _signal_running(self, instance: Instance, kind: SignalKind, payload: bytes | None) -> bool:
        try:
            sent = await self.persistence.send_signal(instance.instance_no, kind, name=None, payload=payload)
        except IllegalTransition:
            return False
        await self._route(sent)
        return True

    # ---- signals on their way

    async def _route(self, sent: SignalSent) -> None:
        """Bring a stored signal to its instance: by push if it is connected here, by a hint if elsewhere."""
        if self.sessions.find(sent.instance_no) is not None:
            await self.deliver(sent.instance_no)
        else:
            self._hint(sent)

    def _hint(self, sent: SignalSent) -> None:
        """Tell the server that the instance is connected to, if there is one, to deliver what waits for it."""
        if sent.owner is not None:
            self._notifier.announce(
                Notification(NotificationKind.SIGNAL, instance_no=sent.instance_no, server_no=sent.owner)
            )

    async def deliver(self, instance_no: InstanceNo) -> None:
        """Push what waits for an instance that is connected here. Repeats are harmless: signals have numbers."""
        for signal in await self.persistence.pending_signals(instance_no):
            session = self.sessions.find(instance_no)
            if session is None:
                return
            session.push_signal(signal)

    # ---- hints from other servers

    async def _listen(self) -> None:
        while True:
            try:
                async with self.persistence.listen() as notifications:
                    self.due.ring()  # What was announced while nobody listened.
                    async for notification in notifications:
                        await self._heard(notification)
            except Unavailable as error:
                _log.warning("not listening to the other servers: %s", error.message)
            await self.clock.sleep(_RELISTEN_S)

    async def _heard(self, notification: Notification) -> None:
        match notification.kind:
            case NotificationKind.DUE:
                self.due.ring()
            case NotificationKind.CHANGED if notification.instance_no is not None:
                self.feed.publish(notification.instance_no)
            case NotificationKind.SIGNAL if notification.instance_no is not None:
                await self.deliver(notification.instance_no)

    async def _taken_over(self, count: int) -> None:
        del count
        self.announce_due()


def _refused(instance: Instance, verb: str) -> IllegalTransition:
    reason = f" ({instance.termination_reason})" if instance.termination_reason is not None else ""
    return IllegalTransition(
        f"cannot {verb} an instance that is {instance.status}{reason}",
        hint="Read the instance again; it may have changed since you last looked.",
        status=str(instance.status),
        change=verb,
    )
