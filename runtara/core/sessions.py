"""The instances that are connected to this server right now, and how to reach them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runtara.core.model import Signal
from runtara.ids import InstanceNo
from runtara.protocol.messages import Fenced, Message, SignalPending
from runtara.transport.peer import Peer

__all__ = ("Session", "Sessions")


@dataclass(eq=False, slots=True)
class Session:
    """One connected attempt."""

    instance_no: InstanceNo
    epoch: int
    peer: Peer

    @property
    def last_seen(self) -> float:
        """Monotonic seconds of the last sign of life: any datagram counts, so liveness costs nothing."""
        return self.peer.channel.last_received

    def push(self, message: Message) -> None:
        """Send it if the connection still stands; a lost push is made good at the next register."""
        self.peer.push(message)

    def push_signal(self, signal: Signal) -> None:
        """See ``push``."""
        self.push(SignalPending(signal.signal_no, signal.kind, signal.name, signal.payload))


class Sessions:
    """At most one session per instance: the latest."""

    def __init__(self) -> None:
        self._by_instance: dict[InstanceNo, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._by_instance.values()))

    def __len__(self) -> int:
        return len(self._by_instance)

    def find(self, instance_no: InstanceNo) -> Session | None:
        """The session of the instance, if it is connected here."""
        return self._by_instance.get(instance_no)

    def add(self, session: Session) -> None:
        """It registered. A former session of an older attempt is told that it is fenced."""
        former = self._by_instance.get(session.instance_no)
        self._by_instance[session.instance_no] = session
        if former is not None and former.epoch < session.epoch:
            former.push(Fenced())

    def remove(self, session: Session) -> None:
        """Its connection has ended. A session that has replaced it stays."""
        if self._by_instance.get(session.instance_no) is session:
            del self._by_instance[session.instance_no]
