"""How long to try again, and how soon: the rules for a server that is away. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from runtara.clock import Clock
from runtara.errors import RuntaraError
from runtara.sdk.base import ServerLost

__all__ = ("GIVE_UP_AFTER_S", "Backoff", "Patience")

GIVE_UP_AFTER_S: Final = 600.0
"""A deploy, a restart of the database, a reboot of the server's host: none of them may cost a running instance."""


class Patience:
    """Counts the time for which nothing has worked."""

    def __init__(self, clock: Clock, *, give_up_after_s: float = GIVE_UP_AFTER_S) -> None:
        self._clock = clock
        self._since: float | None = None
        self.give_up_after_s = give_up_after_s

    def restore(self) -> None:
        """Something worked."""
        self._since = None

    def spend(self, error: RuntaraError) -> None:
        """Something did not work. Raises ``ServerLost`` when that has been so for too long."""
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since > self.give_up_after_s:
            raise ServerLost(f"the server has been away for {self.give_up_after_s:g} s: {error.message}") from error


@dataclass(slots=True, kw_only=True)
class Backoff:
    """Waiting times that double, each shortened by chance so that a thousand instances do not return as one."""

    random: Random
    first_s: float = 0.02
    max_s: float = 0.5
    _last_s: float = 0.0

    def next_s(self, error: RuntaraError) -> float:
        """How long to wait before the next try; never less than the error asks for."""
        self._last_s = min(self._last_s * 2 or self.first_s, self.max_s)
        return max(self._last_s * self.random.uniform(0.5, 1.0), (error.retry_after_ms or 0) / 1000)

    def reset(self) -> None:
        """It worked: begin with the first time again."""
        self._last_s = 0.0
