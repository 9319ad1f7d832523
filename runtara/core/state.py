"""The state machine of an instance, as one table. Nothing else decides what may follow what.

How to read it. A *change* is something that happens to an instance; a *rule* says in which statuses it may happen,
what the status is then, and why (the termination reason). The guard of every change is the same: the status is one
of ``sources`` (for a few changes the reason is one of ``source_reasons`` too), and, when ``by_attempt``, the epoch is
the caller's. All are checked in the statement that writes (``persistence``), so a change that lost a race changes
nothing and says so.

Rules that hold for the whole table, and are tested on it:
1. A terminal status has no way out except ``RETRY``, which only a person asks for.
2. Only ``CLAIM`` and ``REGISTER_AGAIN`` make a new attempt (epoch + 1), and only they lead to ``running``.
3. Whatever leaves ``running`` either belongs to the attempt itself (``by_attempt``) or to the server that owns it.
4. Every rule writes exactly one event, in the same transaction.
5. ``wake_at`` is set exactly when the instance wants a launch by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from runtara.core.model import EventType, Status, TerminationReason

__all__ = ("RULES", "Change", "Rule", "Wake", "allowed")


class Change(StrEnum):
    """What can happen to an instance."""

    CLAIM = "claim"
    """A server takes it for a launch, because it is due and a place is free."""
    REGISTER_AGAIN = "register_again"
    """A self-started program presents itself once more under the same id; its former attempt is fenced."""
    COMPLETE = "complete"
    FAIL = "fail"
    SLEEP = "sleep"
    WAIT = "wait"
    """The attempt ends and waits for a custom signal, until its deadline if it has one."""
    YIELD = "yield"
    """The attempt ends because the server drains; it goes on at the next chance."""
    PAUSE = "pause"
    """The attempt acknowledged a pause."""
    PAUSE_PARKED = "pause_parked"
    CANCEL = "cancel"
    """The attempt acknowledged a cancel."""
    CANCEL_PARKED = "cancel_parked"
    STOP = "stop"
    """The server ended the attempt by force, because a person asked for it."""
    RESUME = "resume"
    RESUME_SLEEP = "resume_sleep"
    """Resume of what was paused in its sleep: it sleeps on."""
    SIGNAL_ARRIVED = "signal_arrived"
    CRASH = "crash"
    CRASH_LAST = "crash_last"
    TIME_OUT = "time_out"
    LAUNCH_FAIL = "launch_fail"
    LAUNCH_FAIL_LAST = "launch_fail_last"
    LOSE_SERVER = "lose_server"
    """The lease of the owning server ended; another one puts the attempt back into the queue."""
    RETRY = "retry"
    """A person asks for a failed or cancelled instance to go on from its checkpoints."""


class Wake(StrEnum):
    """What a change does to ``wake_at``."""

    NONE = "none"
    """Cleared: it waits for a person, a signal or nothing."""
    NOW = "now"
    """It is due at once."""
    GIVEN = "given"
    """The change carries the time (None allowed: a wait without a deadline)."""
    SLEEP_UNTIL = "sleep_until"
    """The remembered end of its sleep."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table."""

    sources: frozenset[Status]
    target: Status
    reason: TerminationReason | None
    event: EventType
    wake: Wake
    by_attempt: bool = True
    """The caller must name the epoch, and it must be the current one."""
    new_attempt: bool = False
    source_reasons: frozenset[TerminationReason] | None = None
    """When given, the change needs one of these termination reasons too: a resume must not end a sleep."""
    counts_against_progress: bool = False
    """The attempt ended without our wish: it counts unless it saved a checkpoint."""


_PENDING, _RUNNING, _SUSPENDED = Status.PENDING, Status.RUNNING, Status.SUSPENDED
_ACTIVE: Final = frozenset({_RUNNING})
_PARKED: Final = frozenset({_PENDING, _SUSPENDED})
_R, _E = TerminationReason, EventType

RULES: Final[Mapping[Change, Rule]] = {
    Change.CLAIM: Rule(_PARKED, _RUNNING, None, _E.STARTED, Wake.NONE, by_attempt=False, new_attempt=True),
    Change.REGISTER_AGAIN: Rule(
        _ACTIVE | _PARKED, _RUNNING, None, _E.STARTED, Wake.NONE, by_attempt=False, new_attempt=True
    ),
    Change.COMPLETE: Rule(_ACTIVE, Status.COMPLETED, _R.COMPLETED, _E.COMPLETED, Wake.NONE),
    Change.FAIL: Rule(_ACTIVE, Status.FAILED, _R.APPLICATION_ERROR, _E.FAILED, Wake.NONE),
    Change.SLEEP: Rule(_ACTIVE, _SUSPENDED, _R.SLEEPING, _E.SUSPENDED, Wake.GIVEN),
    Change.WAIT: Rule(_ACTIVE, _SUSPENDED, _R.WAITING_SIGNAL, _E.SUSPENDED, Wake.GIVEN),
    Change.YIELD: Rule(_ACTIVE, _SUSPENDED, _R.SHUTDOWN_REQUESTED, _E.SUSPENDED, Wake.NOW),
    Change.PAUSE: Rule(_ACTIVE, _SUSPENDED, _R.PAUSED, _E.SUSPENDED, Wake.NONE),
    Change.PAUSE_PARKED: Rule(_PARKED, _SUSPENDED, _R.PAUSED, _E.SUSPENDED, Wake.NONE, by_attempt=False),
    Change.CANCEL: Rule(_ACTIVE, Status.CANCELLED, _R.CANCELLED, _E.CANCELLED, Wake.NONE),
    Change.CANCEL_PARKED: Rule(_PARKED, Status.CANCELLED, _R.CANCELLED, _E.CANCELLED, Wake.NONE, by_attempt=False),
    Change.STOP: Rule(_ACTIVE, Status.CANCELLED, _R.STOPPED, _E.CANCELLED, Wake.NONE),
    Change.RESUME: Rule(
        frozenset({_SUSPENDED}),
        _PENDING,
        None,
        _E.RESUMED,
        Wake.NOW,
        by_attempt=False,
        source_reasons=frozenset({_R.PAUSED}),
    ),
    Change.RESUME_SLEEP: Rule(
        frozenset({_SUSPENDED}),
        _SUSPENDED,
        _R.SLEEPING,
        _E.RESUMED,
        Wake.SLEEP_UNTIL,
        by_attempt=False,
        source_reasons=frozenset({_R.PAUSED}),
    ),
    Change.SIGNAL_ARRIVED: Rule(
        frozenset({_SUSPENDED}),
        _PENDING,
        None,
        _E.RESUMED,
        Wake.NOW,
        by_attempt=False,
        source_reasons=frozenset({_R.WAITING_SIGNAL}),
    ),
    Change.CRASH: Rule(_ACTIVE, _PENDING, _R.CRASHED, _E.REQUEUED, Wake.GIVEN, counts_against_progress=True),
    Change.CRASH_LAST: Rule(_ACTIVE, Status.FAILED, _R.CRASHED, _E.FAILED, Wake.NONE, counts_against_progress=True),
    Change.TIME_OUT: Rule(_ACTIVE, Status.FAILED, _R.TIMEOUT, _E.FAILED, Wake.NONE),
    Change.LAUNCH_FAIL: Rule(
        _ACTIVE, _PENDING, _R.LAUNCH_FAILED, _E.REQUEUED, Wake.GIVEN, counts_against_progress=True
    ),
    Change.LAUNCH_FAIL_LAST: Rule(
        _ACTIVE, Status.FAILED, _R.LAUNCH_FAILED, _E.FAILED, Wake.NONE, counts_against_progress=True
    ),
    # Losing a server says nothing about the instance, so it does not count against its progress.
    Change.LOSE_SERVER: Rule(_ACTIVE, _PENDING, _R.SERVER_LOST, _E.REQUEUED, Wake.NOW),
    Change.RETRY: Rule(
        frozenset({Status.FAILED, Status.CANCELLED}), _PENDING, None, _E.RESUMED, Wake.NOW, by_attempt=False
    ),
}


def allowed(status: Status, change: Change) -> bool:
    """True when the table lets ``change`` happen to an instance in ``status``."""
    return status in RULES[change].sources
