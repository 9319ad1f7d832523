"""Stop one instance: ask, wait, then force; wherever it runs, and whatever it does meanwhile."""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from runtara.core.engine import Engine
from runtara.core.feed import Watch
from runtara.core.model import Instance, Status
from runtara.core.persistence.base import ChangeStatus
from runtara.core.state import Change
from runtara.environment.attempts import Attempts
from runtara.environment.patience import within
from runtara.environment.supervisor import KILL_GRACE_S, Supervisor
from runtara.errors import Unavailable

__all__ = ("Stopper",)

# Each round means that somebody moved the instance in between.
_ROUNDS_MAX: Final = 10

# To write down the exit of a process that was killed.
_CONCLUDE_S: Final = 5.0


class Stopper:
    """See the module."""

    def __init__(self, engine: Engine, attempts: Attempts, supervisor: Supervisor) -> None:
        self._engine = engine
        self._clock = engine.clock
        self._attempts = attempts
        self._supervisor = supervisor

    async def stop(self, instance: Instance, *, grace_s: float, reason: str | None) -> Instance:
        """See ``Environment.stop_instance``."""
        deadline = self._clock.monotonic() + grace_s
        with self._engine.feed.watch(instance.instance_no) as watch:
            await self._engine.cancel(instance, reason=reason)
            await within(self._clock, grace_s, partial(self._ended, instance, watch))
        instance = await self._force(instance, reason)
        await self._end_process(instance, grace_s=deadline - self._clock.monotonic())
        return instance

    async def _ended(self, instance: Instance, watch: Watch) -> None:
        """Returns when it has ended by itself."""
        while not (await self._engine.persistence.get_instance(instance.instance_no)).status.is_terminal:
            await watch.next()

    async def _force(self, instance: Instance, reason: str | None) -> Instance:
        for _ in range(_ROUNDS_MAX):
            instance = await self._engine.persistence.get_instance(instance.instance_no)
            if instance.status.is_terminal:
                return instance
            if instance.status is Status.RUNNING:
                await self._engine.change(_stop(instance, reason))
            else:
                await self._engine.cancel(instance, reason=reason)
        raise Unavailable("the instance changed too fast to stop it", retry_after_ms=100)

    async def _end_process(self, instance: Instance, *, grace_s: float) -> None:
        """If it runs here; elsewhere, the sweep of its server finds that its attempt has ended."""
        attempt = self._attempts.find(instance.instance_no, instance.epoch)
        if attempt is None:
            return
        await within(self._clock, grace_s, attempt.gone.wait)
        await self._supervisor.end(attempt, grace_s=KILL_GRACE_S)
        await within(self._clock, _CONCLUDE_S, attempt.gone.wait)


def _stop(instance: Instance, reason: str | None) -> ChangeStatus:
    return ChangeStatus(
        instance_no=instance.instance_no,
        epoch=instance.epoch,
        change=Change.STOP,
        detail=None if reason is None else msgspec.json.encode({"reason": reason}),
    )
