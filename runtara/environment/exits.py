"""What the end of a process means for its instance, as one table. Pure: facts in, verdict out.

Nothing here looks at a status: a verdict is a change of ``core.state`` whose guard decides whether it still applies.
A program that reported its own end before it exited is no matter for a verdict.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from runtara.core.state import Change
from runtara.environment.runner.base import Exit, ExitKind

__all__ = ("Verdict", "exit_code_of", "judge_crash", "judge_launch_failure", "timeout_error")

_BACKOFF_S_MAX: Final = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A change, and what goes with it."""

    change: Change
    error: bytes
    """UTF-8 JSON: ``code``, ``message``, ``category``, and facts."""
    delay_s: float | None = None
    """How long until the next attempt; None: there is none."""


@dataclass(frozen=True, slots=True)
class _Row:
    code: str
    message: str
    category: str


# Permanent: with the same checkpoints it will most likely happen again. Transient: it may have been the world.
_CRASHES: Final[Mapping[tuple[ExitKind, bool], _Row]] = {
    (ExitKind.EXITED, True): _Row(
        "instance.ended_without_result", "the program exited with code 0 and never reported a result", "permanent"
    ),
    (ExitKind.EXITED, False): _Row("instance.crashed", "the program exited with code {exit_code}", "permanent"),
    (ExitKind.SIGNALLED, False): _Row("instance.killed", "the program was killed by {signal}", "transient"),
    (ExitKind.LOST, False): _Row("instance.lost", "the process is gone and nobody saw how it ended", "transient"),
}


def judge_crash(end: Exit, *, failures: int, failures_max: int) -> Verdict:
    """For an attempt whose process ended and whose row is still running.

    Args:
        end: how it ended.
        failures: attempts in a row that ended badly without a new checkpoint, this one included; 0 when it saved one.
        failures_max: with as many the instance has failed.
    """
    row = _CRASHES[end.kind, end.kind is ExitKind.EXITED and end.code == 0]
    facts = _facts(end)
    error = _error(row.code, row.message.format_map(facts), row.category, **facts, stderr_tail=end.stderr_tail)
    if failures >= failures_max:
        return Verdict(Change.CRASH_LAST, error)
    # The first relaunch is immediate; whoever crashes again without progress waits 1, 2, 4 … seconds.
    return Verdict(Change.CRASH, error, 0.0 if failures <= 1 else _backoff_s(failures - 2))


def judge_launch_failure(message: str, *, permanent: bool, failures: int, failures_max: int) -> Verdict:
    """For an attempt of which no process ever ran. ``failures`` as in ``judge_crash``."""
    category = "permanent" if permanent else "transient"
    error = _error("instance.launch_failed", f"the attempt could not be launched: {message}", category)
    if permanent or failures >= failures_max:
        return Verdict(Change.LAUNCH_FAIL_LAST, error)
    return Verdict(Change.LAUNCH_FAIL, error, _backoff_s(failures - 1))


def timeout_error(timeout_s: float) -> bytes:
    """The error of an attempt that ran too long."""
    return _error("instance.timeout", f"the attempt ran longer than {timeout_s:g} s", "permanent", timeout_s=timeout_s)


def exit_code_of(end: Exit) -> int | None:
    """As a shell shows it: 128 + n for signal n; None when nobody knows."""
    return end.code + 128 if end.kind is ExitKind.SIGNALLED and end.code is not None else end.code


def _facts(end: Exit) -> dict[str, Any]:
    match end.kind:
        case ExitKind.EXITED:
            return {"exit_code": end.code}
        case ExitKind.SIGNALLED:
            return {"signal": _signal_name(end.code)}
        case ExitKind.LOST:
            return {}


def _signal_name(number: int | None) -> str:
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"


def _backoff_s(exponent: int) -> float:
    return min(_BACKOFF_S_MAX, 2.0 ** min(max(exponent, 0), 10))


def _error(code: str, message: str, category: str, **facts: Any) -> bytes:
    return msgspec.json.encode({"code": code, "message": message, "category": category, **facts})
