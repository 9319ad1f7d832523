"""What waits for the attempt: signals of people and products, and requests to end here. Pure, but for the waiting.

The server may tell of a signal twice, after a reconnect or by a race; signals have numbers, and one that was settled
here does not come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime

from runtara.clock import Clock
from runtara.protocol.messages import Drain, SignalPending

__all__ = ("Inbox",)


class Inbox:
    """See the module. Belongs to one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_kind: dict[str, dict[int, SignalPending]] = {"cancel": {}, "pause": {}, "custom": {}}
        self._settled: set[int] = set()
        self._is_server_draining = False
        self._is_stopping = False
        self._readers: set[asyncio.Future[None]] = set()

    # ---- what comes in

    def receive(self, signal: SignalPending) -> None:
        """A signal that may be known already."""
        # A kind of a newer server is not for this program.
        pending = self._by_kind.get(signal.kind)
        if pending is not None and signal.signal_no not in self._settled:
            pending[signal.signal_no] = signal
            self.notify()

    def replace(self, signals: Iterable[SignalPending]) -> None:
        """All that waits at a server to which this attempt has just presented itself. It is not draining yet."""
        for pending in self._by_kind.values():
            pending.clear()
        self._is_server_draining = False
        for signal in signals:
            self.receive(signal)

    def drain(self) -> None:
        """The server is going."""
        self._is_server_draining = True
        self.notify()

    def stop(self) -> None:
        """This process is asked to go, whatever the server does."""
        self._is_stopping = True
        self.notify()

    # ---- what is done with it

    @property
    def urgent(self) -> SignalPending | Drain | None:
        """What the program has to answer at its next safe point: a cancel before a pause, a pause before a drain."""
        for kind in ("cancel", "pause"):
            if self._by_kind[kind]:
                return self._by_kind[kind][min(self._by_kind[kind])]
        return Drain() if self._is_server_draining or self._is_stopping else None

    def find_custom(self, name: str) -> SignalPending | None:
        """The oldest custom signal of that name."""
        numbers = [number for number, signal in self._by_kind["custom"].items() if signal.name == name]
        return self._by_kind["custom"][min(numbers)] if numbers else None

    def settle(self, signal_no: int) -> None:
        """It was acknowledged, consumed or withdrawn."""
        self._settled.add(signal_no)
        for pending in self._by_kind.values():
            pending.pop(signal_no, None)

    # ---- waiting

    def notify(self) -> None:
        """Wake all readers; they look for themselves what is new."""
        for reader in self._readers:
            if not reader.done():
                reader.set_result(None)

    async def wait(self, *, until: datetime | None) -> None:
        """Returns when something came, or at that time."""
        reader: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.add(reader)
        alarm = None if until is None else asyncio.ensure_future(self._clock.sleep_until(until))
        try:
            await asyncio.wait({reader} if alarm is None else {reader, alarm}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._readers.discard(reader)
            if alarm is not None:
                alarm.cancel()
