"""Look after one attempt: from its claim until its process is gone and its end is written down.

Who writes what, and when. What ends the instance for good (a timeout, a stop) is written first and kills after: dying
in between leaves a process that nobody owns, and a start kills those. What makes it due again (a crash, a yield) is
written when the process is gone: dying in between leaves a row that says running, and a start finds that its process
is gone. So there are never two processes of an instance, and no result that was reported is lost: every change is
guarded by the attempt's epoch and by the row still running.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import Final

from runtara.core.engine import Engine
from runtara.core.model import LaunchOrder, ResourceUsage, Status
from runtara.core.persistence.base import ChangeStatus, Outcome, OutcomeKind, RecordExit
from runtara.core.state import Change
from runtara.environment.attempts import Attempt, Attempts
from runtara.environment.exits import Verdict, exit_code_of, judge_crash, judge_launch_failure, timeout_error
from runtara.environment.launcher import Launcher
from runtara.environment.patience import insist, within
from runtara.environment.runner.base import Exit, Launched, LaunchFailed, Runner
from runtara.environment.wake import DatabaseTime

__all__ = ("KILL_GRACE_S", "Supervisor")

_log = logging.getLogger(__name__)

# Between SIGTERM and SIGKILL for a process that must go and had its chance before.
KILL_GRACE_S: Final = 2.0
# A program that has reported its end has this long to exit.
LINGER_S: Final = 10.0


class Supervisor:
    """See the module. One for all attempts of a server; each method is about one."""

    def __init__(
        self,
        engine: Engine,
        *,
        launcher: Launcher,
        runner: Runner,
        attempts: Attempts,
        time: DatabaseTime,
        failures_max: int,
    ) -> None:
        self._engine = engine
        self._clock = engine.clock
        self._launcher = launcher
        self._runner = runner
        self._attempts = attempts
        self._time = time
        self._failures_max = failures_max

    async def run(self, attempt: Attempt, order: LaunchOrder) -> None:
        """Launch it and follow it to its end."""
        try:
            await self._predecessors_gone(attempt)
            launched = await self._launcher.launch(order)
        except LaunchFailed as error:
            await self._launch_failed(attempt, error)
        except Exception as error:
            # A bug of ours: nothing runs. It counts like any failed launch, or it would be tried for ever.
            _log.exception("launching %s failed", attempt)
            await self._launch_failed(attempt, LaunchFailed(f"internal error: {error!r}", permanent=False))
        else:
            await self.follow(attempt, launched)

    async def follow(self, attempt: Attempt, launched: Launched, *, ran_s: float = 0.0) -> None:
        """From the launch, ``ran_s`` ago, to the end: wait, bring the timeout to bear, write down what became of it."""
        attempt.launched = launched
        attempt.settled.set()
        exit_ = await self._exit_in_time(attempt, launched, ran_s)
        if exit_ is None:
            await self._time_out(attempt, launched)
            exit_ = await self._runner.wait(launched)
        await self._conclude(attempt, exit_)
        await self._runner.forget(launched)
        self._engine.credentials.forget(attempt.instance_no, epoch=attempt.epoch)

    async def end(self, attempt: Attempt, *, grace_s: float) -> None:
        """End its process, as soon as it has one. ``follow`` writes down how it ended. Safe twice."""
        await attempt.settled.wait()
        if attempt.launched is not None:
            await self._runner.stop(attempt.launched, grace_s=grace_s)

    async def requeue(self, attempt: Attempt) -> None:
        """Nothing of it was ever launched, or the whole machine went down: not its fault."""
        await self._change(attempt, Change.LOSE_SERVER)

    # ---- steps

    async def _predecessors_gone(self, attempt: Attempt) -> None:
        """An earlier attempt may still be on its way out: two at once would share a directory, and effects."""
        for other in self._attempts.predecessors(attempt):
            await within(self._clock, LINGER_S, other.gone.wait)
            await self.end(other, grace_s=0)
            await other.gone.wait()

    async def _exit_in_time(self, attempt: Attempt, launched: Launched, ran_s: float) -> Exit | None:
        wait = partial(self._runner.wait, launched)
        if attempt.timeout_s is None:
            return await wait()
        return await within(self._clock, attempt.timeout_s - ran_s, wait)

    async def _time_out(self, attempt: Attempt, launched: Launched) -> None:
        """At its deadline. If it had reported an end of its own by now, that stays; its process goes all the same."""
        await self._change(attempt, Change.TIME_OUT, error=timeout_error(attempt.timeout_s or 0.0))
        await self._runner.stop(launched, grace_s=KILL_GRACE_S)

    async def _conclude(self, attempt: Attempt, end: Exit) -> None:
        """Write down the exit; and what it means, unless the program or somebody else has said so before."""
        record = RecordExit(
            instance_no=attempt.instance_no, epoch=attempt.epoch, exit_code=exit_code_of(end), usage=end.usage
        )
        outcome = await insist(self._clock, partial(self._engine.writer.write, record))
        if outcome.kind is not OutcomeKind.DONE or outcome.status != Status.RUNNING:
            return
        if attempt.yields:
            await self._change(attempt, Change.YIELD, end=end)
        else:
            failures = await self._failures(attempt)
            verdict = judge_crash(end, failures=failures, failures_max=self._failures_max)
            _log.warning("%s ended badly (%s %s): %s", attempt, end.kind, end.code, verdict.change)
            await self._apply(attempt, verdict, end=end)

    async def _launch_failed(self, attempt: Attempt, error: LaunchFailed) -> None:
        failures = await self._failures(attempt)
        verdict = judge_launch_failure(
            str(error), permanent=error.permanent, failures=failures, failures_max=self._failures_max
        )
        _log.warning("%s was not launched: %s (%s)", attempt, error, verdict.change)
        await self._apply(attempt, verdict)

    async def _failures(self, attempt: Attempt) -> int:
        """Attempts in a row that ended badly, this one included; 0 when it saved a checkpoint."""
        persistence = self._engine.persistence
        newest = partial(persistence.list_checkpoints, attempt.instance_no, limit=1, cursor=None)
        page = await insist(self._clock, newest)
        if page.rows and page.rows[0].epoch == attempt.epoch:
            return 0
        instance = await insist(self._clock, partial(persistence.get_instance, attempt.instance_no))
        return instance.attempts_without_progress + 1

    async def _apply(self, attempt: Attempt, verdict: Verdict, *, end: Exit | None = None) -> None:
        await self._change(attempt, verdict.change, error=verdict.error, delay_s=verdict.delay_s, end=end)

    async def _change(
        self,
        attempt: Attempt,
        change: Change,
        *,
        error: bytes | None = None,
        delay_s: float | None = None,
        end: Exit | None = None,
    ) -> Outcome:
        """Repeated while the database is away: a second one finds the first and changes nothing."""

        async def once() -> Outcome:
            return await self._engine.change(
                ChangeStatus(
                    instance_no=attempt.instance_no,
                    epoch=attempt.epoch,
                    change=change,
                    wake_at=None if delay_s is None else self._time.now() + timedelta(seconds=delay_s),
                    error=error,
                    exit_code=exit_code_of(end) if end is not None else None,
                    usage=end.usage if end is not None else ResourceUsage(),
                )
            )

        return await insist(self._clock, once)
