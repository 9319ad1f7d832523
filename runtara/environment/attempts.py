"""The attempts that occupy a place on this server, from their claim until nothing of their process is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import anyio

from runtara.environment.runner.base import Launched
from runtara.ids import InstanceNo

__all__ = ("Attempt", "Attempts")


class Attempt:
    """One of them."""

    def __init__(self, instance_no: InstanceNo, epoch: int, *, timeout_s: float | None = None) -> None:
        self.instance_no = instance_no
        self.epoch = epoch
        self.timeout_s = timeout_s
        """How long it may run; None: it has ended already, only its process has not."""
        self.launched: Launched | None = None
        self.settled = anyio.Event()
        """It is launched, or never will be."""
        self.gone = anyio.Event()
        """Its process has ended and its end is recorded."""
        self.yields = False
        """Its process is ended because the server goes: that is no crash."""
        self.disowned_at: float | None = None
        """Monotonic time at which its row was first seen not to be running any more."""

    def __str__(self) -> str:
        return f"attempt {self.instance_no}.{self.epoch}"


class Attempts:
    """All of them. A place is free again when the process is gone, not when the row says so."""

    def __init__(self, *, places: int) -> None:
        self.places = places
        self._by_key: dict[tuple[InstanceNo, int], Attempt] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(tuple(self._by_key.values()))

    @property
    def free(self) -> int:
        """Places for new attempts. None below zero: adopted ones are not turned away."""
        return max(0, self.places - len(self._by_key))

    def add(self, attempt: Attempt) -> None:
        """It occupies a place from now on."""
        key = (attempt.instance_no, attempt.epoch)
        assert key not in self._by_key, f"{attempt} has one supervisor"
        self._by_key[key] = attempt

    def remove(self, attempt: Attempt) -> None:
        """Its place is free, and whoever waits for that is told."""
        del self._by_key[attempt.instance_no, attempt.epoch]
        attempt.settled.set()
        attempt.gone.set()

    def find(self, instance_no: InstanceNo, epoch: int) -> Attempt | None:
        """The attempt, if it is here."""
        return self._by_key.get((instance_no, epoch))

    def predecessors(self, attempt: Attempt) -> Sequence[Attempt]:
        """Earlier attempts of the same instance whose process is not gone yet."""
        return [other for other in self if other.instance_no == attempt.instance_no and other.epoch < attempt.epoch]
