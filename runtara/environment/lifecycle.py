"""The environment of a server: turns due instances into processes, and looks after them.

Three loops share one set of attempts. *Claims* take due instances while there are places, woken by the engine's bell
or by the timer of the soonest wake. A *supervisor* per attempt launches it and follows it to its end. A *sweep* now
and then compares what is with what should be, so that whatever was missed is found. If we die, nothing is lost:
processes live on, the database knows which were ours, and the next start begins with the same sweep.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import anyio
from anyio.abc import TaskGroup

from runtara.core.engine import Engine
from runtara.core.model import Instance, LaunchOrder, OwnedAttempt, Status
from runtara.environment.attempts import Attempt, Attempts
from runtara.environment.images import ImageRegistry
from runtara.environment.launcher import Launcher, LaunchSettings
from runtara.environment.logs import InstanceDirectories
from runtara.environment.patience import insist, within
from runtara.environment.recovery import plan
from runtara.environment.runner.base import Launched, Runner
from runtara.environment.stopping import Stopper
from runtara.environment.store.base import EnvironmentStore
from runtara.environment.supervisor import KILL_GRACE_S, LINGER_S, Supervisor
from runtara.environment.wake import DatabaseTime, next_look
from runtara.errors import Unavailable
from runtara.limits import ATTEMPTS_WITHOUT_PROGRESS_MAX
from runtara.protocol.messages import Drain

__all__ = ("Environment", "EnvironmentSettings")

_log = logging.getLogger(__name__)

_Work: TypeAlias = Callable[[], Awaitable[None]]

_SWEEP_INTERVAL_S: Final = 5.0
_OUTAGE_RETRY_S: Final = 0.5
_NEXT_WAKES: Final = 64
# Drain is said again, because a program may connect, or reconnect, after it was said first.
_DRAIN_INTERVAL_S: Final = 0.5
# Beyond the killing itself: the time to write down what was killed.
_CONCLUDE_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSettings:
    """What an environment needs to know."""

    data_dir: Path
    launch: LaunchSettings
    max_concurrent_instances: int = 32
    execution_timeout_s: float = 300.0
    """Of each attempt of an instance whose start did not say."""
    attempts_without_progress_max: int = ATTEMPTS_WITHOUT_PROGRESS_MAX


class Environment:
    """See the module. ``run`` until cancelled; ``drain`` before, to leave nothing running."""

    def __init__(
        self, *, engine: Engine, store: EnvironmentStore, runner: Runner, settings: EnvironmentSettings
    ) -> None:
        self.images = ImageRegistry(store, data_dir=settings.data_dir)
        self.directories = InstanceDirectories(settings.data_dir)
        self.attempts = Attempts(places=settings.max_concurrent_instances)
        self._engine = engine
        self._clock = engine.clock
        self._runner = runner
        self._settings = settings
        self._time = DatabaseTime(engine.persistence, clock=engine.clock)
        launcher = Launcher(
            engine, images=self.images, directories=self.directories, runner=runner, settings=settings.launch
        )
        self._supervisor = Supervisor(
            engine,
            launcher=launcher,
            runner=runner,
            attempts=self.attempts,
            time=self._time,
            failures_max=settings.attempts_without_progress_max,
        )
        self.recovered = anyio.Event()
        """Set when ``run`` has taken up whatever a former process left."""
        self._claiming = anyio.Lock()
        self._draining = False
        self._group: TaskGroup | None = None

    # ---- life

    async def run(self) -> None:
        """Recover what a former process left, then claim and look after instances, until cancelled.

        Cancelled, it closes the runner, which lets go of the processes; they live on for the next start.
        """
        async with anyio.create_task_group() as group:
            self._group = group
            try:
                await insist(self._clock, self._time.measure)
                await insist(self._clock, partial(self._reconcile, linger_s=0.0))
                self.recovered.set()
                group.start_soon(self._sweep)
                await self._claim_for_ever()
            finally:
                self._group = None
                await self._runner.aclose()

    async def resync(self) -> None:
        """The lease had ended: peers may own what runs here. End what is not ours any more. Raises ``Unavailable``."""
        if self._group is not None:
            await self._reconcile(linger_s=0.0)

    async def drain(self, *, timeout_s: float) -> None:
        """Launch nothing more, ask all programs to suspend at their next safe point, and end those that do not.

        On return nothing runs here, and what was suspended is due at the next start (or now, on another server);
        unless the database is away: then the next start finds out. Safe twice.
        """
        self._draining = True
        await within(self._clock, timeout_s, self._drained)
        await within(self._clock, KILL_GRACE_S + _CONCLUDE_S, self._evict)

    async def stop_instance(self, instance: Instance, *, grace_s: float, reason: str | None = None) -> Instance:
        """Cancel it, give it ``grace_s`` to obey, then end it by force. The instance as it ended.

        Raises:
            IllegalTransition: it had ended otherwise before.
        """
        return await Stopper(self._engine, self.attempts, self._supervisor).stop(
            instance, grace_s=grace_s, reason=reason
        )

    # ---- claims

    async def _claim_for_ever(self) -> None:
        while True:
            try:
                until = await self._claim()
            except Unavailable as error:
                _log.warning("cannot claim: %s", error.message)
                until = self._clock.now() + timedelta(seconds=_OUTAGE_RETRY_S)
            await self._engine.due.wait(until)

    async def _claim(self) -> datetime | None:
        """Take what is due, as far as there are places. When to try again if nobody rings before."""
        async with self._claiming:
            places = self.attempts.free
            if self._draining or not places:
                return None
            if not self._engine.lease.is_held:
                raise Unavailable("the lease has ended; what we claim now would be taken from us at once")
            claimed_at = self._time.now()
            orders = await self._engine.persistence.claim_due(self._engine.server_no, slots=places)
            for order in orders:
                self._take(order)
        if len(orders) == places:
            return None
        wakes = await self._engine.persistence.next_due(limit=_NEXT_WAKES)
        at = next_look(wakes, claimed_at=claimed_at, now=self._time.now())
        return None if at is None else self._time.here(at)

    def _take(self, order: LaunchOrder) -> None:
        self._engine.changed(order.instance_no, Status.RUNNING)
        attempt = Attempt(order.instance_no, order.epoch, timeout_s=self._timeout_s(order.timeout_s))
        self._look_after(attempt, partial(self._supervisor.run, attempt, order))

    def _look_after(self, attempt: Attempt, work: _Work) -> None:
        """Give it a place and run ``work`` until the place is free again."""
        self.attempts.add(attempt)
        self._tasks.start_soon(self._occupy, attempt, work)

    async def _occupy(self, attempt: Attempt, work: _Work) -> None:
        try:
            await self._contain(attempt, work)
        finally:
            self.attempts.remove(attempt)
            self._engine.due.ring()

    async def _contain(self, attempt: Attempt, work: _Work) -> None:
        """A bug in the care of one attempt ends that, not the server; the sweep takes it up again."""
        try:
            await work()
        except Exception:
            _log.exception("looking after %s failed", attempt)

    @property
    def _tasks(self) -> TaskGroup:
        assert self._group is not None, "attempts begin only while we run"
        return self._group

    def _timeout_s(self, given_s: float | None) -> float:
        return self._settings.execution_timeout_s if given_s is None else given_s

    # ---- the sweep

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(_SWEEP_INTERVAL_S)
            try:
                await self._time.measure()
                await self._reconcile(linger_s=LINGER_S)
            except (Unavailable, OSError) as error:
                # The database is away, or this host is out of descriptors: the next sweep may do better.
                _log.warning("cannot look after what was missed: %s", error)
            self._engine.due.ring()

    async def _reconcile(self, *, linger_s: float) -> None:
        """See ``recovery.plan``. A process whose attempt has ended is given ``linger_s`` to exit by itself."""
        async with self._claiming:
            supervised = [(attempt.instance_no, attempt.epoch) for attempt in self.attempts]
            todo = plan(
                supervised=supervised,
                owned=await self._engine.persistence.list_owned(self._engine.server_no),
                launched=await self._runner.list_launched(),
            )
            for owned, launched in todo.adopt:
                self._adopt(owned, launched)
            for owned in todo.requeue:
                attempt = Attempt(owned.instance_no, owned.epoch)
                self._look_after(attempt, partial(self._supervisor.requeue, attempt))
            for launched in todo.end:
                self._end(launched)
        for instance_no, epoch in todo.disowned:
            self._hurry(self.attempts.find(instance_no, epoch), linger_s)

    def _adopt(self, owned: OwnedAttempt, launched: Launched) -> None:
        attempt = Attempt(owned.instance_no, owned.epoch, timeout_s=self._timeout_s(owned.timeout_s))
        _log.info("adopting %s", attempt)
        ran_s = (self._time.now() - owned.attempt_started_at).total_seconds()
        self._look_after(attempt, partial(self._supervisor.follow, attempt, launched, ran_s=ran_s))

    def _end(self, launched: Launched) -> None:
        """Launched here, and not ours any more."""
        attempt = Attempt(launched.instance_no, launched.epoch)
        self._look_after(attempt, partial(self._supervisor.follow, attempt, launched))
        self._tasks.start_soon(self._end_process, attempt)

    async def _end_process(self, attempt: Attempt) -> None:
        await self._contain(attempt, partial(self._supervisor.end, attempt, grace_s=KILL_GRACE_S))

    def _hurry(self, attempt: Attempt | None, linger_s: float) -> None:
        if attempt is None:
            return
        now = self._clock.monotonic()
        attempt.disowned_at = now if attempt.disowned_at is None else attempt.disowned_at
        if now - attempt.disowned_at >= linger_s:
            _log.warning("%s is not ours any more and its process has not ended", attempt)
            self._tasks.start_soon(self._end_process, attempt)

    # ---- drain

    async def _drained(self) -> None:
        """Returns when nothing runs here any more."""
        async with self._claiming:
            pass  # A claim that was under way has added what it took.
        while len(self.attempts):
            for session in self._engine.sessions:
                session.push(Drain())
            await within(self._clock, _DRAIN_INTERVAL_S, self._all_gone)

    async def _all_gone(self) -> None:
        for attempt in self.attempts:
            await attempt.gone.wait()

    async def _evict(self) -> None:
        """End what did not suspend by itself. Its supervisor writes, when it is gone, that it goes on later."""
        async with anyio.create_task_group() as group:
            for attempt in self.attempts:
                attempt.yields = True
                group.start_soon(self._end_process, attempt)
        await self._all_gone()
