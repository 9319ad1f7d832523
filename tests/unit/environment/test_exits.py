"""The verdict on an exit is one table: kind of exit × failures so far."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from runtara.core.model import ResourceUsage
from runtara.core.state import RULES, Change, Wake
from runtara.environment.exits import Verdict, exit_code_of, judge_crash, judge_launch_failure, timeout_error
from runtara.environment.runner.base import Exit, ExitKind
from runtara.limits import ERROR_BYTES_MAX


def _exit(kind: ExitKind, code: int | None, tail: str = "") -> Exit:
    return Exit(kind=kind, code=code, usage=ResourceUsage(), stderr_tail=tail)


def _error(verdict: Verdict) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(verdict.error)
    return error


@pytest.mark.parametrize(
    ("end", "code", "says", "category"),
    [
        (_exit(ExitKind.EXITED, 0), "instance.ended_without_result", "never reported a result", "permanent"),
        (_exit(ExitKind.EXITED, 7), "instance.crashed", "code 7", "permanent"),
        (_exit(ExitKind.SIGNALLED, signal.SIGKILL), "instance.killed", "SIGKILL", "transient"),
        (_exit(ExitKind.SIGNALLED, 64), "instance.killed", "SIGRTMAX", "transient"),
        (_exit(ExitKind.SIGNALLED, 99), "instance.killed", "signal 99", "transient"),
        (_exit(ExitKind.LOST, None), "instance.lost", "nobody saw", "transient"),
    ],
)
def test_each_kind_of_crash_has_its_own_words(end: Exit, code: str, says: str, category: str) -> None:
    error = _error(judge_crash(end, failures=1, failures_max=5))
    assert (error["code"], error["category"]) == (code, category)
    assert says in error["message"]


def test_the_facts_are_for_machines_too() -> None:
    exited = _error(judge_crash(_exit(ExitKind.EXITED, 7, "boom"), failures=1, failures_max=5))
    assert (exited["exit_code"], exited["stderr_tail"]) == (7, "boom")
    killed = _error(judge_crash(_exit(ExitKind.SIGNALLED, 9), failures=1, failures_max=5))
    assert killed["signal"] == "SIGKILL"
    assert "exit_code" not in killed


@pytest.mark.parametrize(
    ("failures", "delay_s"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (8, 60), (99, 60), (10_000, 60)]
)
def test_the_first_relaunch_is_immediate_and_later_ones_wait_longer(failures: int, delay_s: float) -> None:
    verdict = judge_crash(_exit(ExitKind.EXITED, 1), failures=failures, failures_max=100_000)
    assert (verdict.change, verdict.delay_s) == (Change.CRASH, delay_s)


@pytest.mark.parametrize(("failures", "change"), [(4, Change.CRASH), (5, Change.CRASH_LAST), (6, Change.CRASH_LAST)])
def test_crashes_without_progress_are_counted(failures: int, change: Change) -> None:
    assert judge_crash(_exit(ExitKind.EXITED, 1), failures=failures, failures_max=5).change is change


def test_an_attempt_that_saved_something_never_was_the_last() -> None:
    assert judge_crash(_exit(ExitKind.EXITED, 1), failures=0, failures_max=1).change is Change.CRASH


@pytest.mark.parametrize(
    ("permanent", "failures", "change", "delay_s"),
    [
        (False, 1, Change.LAUNCH_FAIL, 1),
        (False, 2, Change.LAUNCH_FAIL, 2),
        (False, 4, Change.LAUNCH_FAIL, 8),
        (False, 5, Change.LAUNCH_FAIL_LAST, None),
        (True, 1, Change.LAUNCH_FAIL_LAST, None),
    ],
)
def test_a_launch_is_tried_again_if_that_can_help(
    permanent: bool, failures: int, change: Change, delay_s: float | None
) -> None:
    verdict = judge_launch_failure("no", permanent=permanent, failures=failures, failures_max=5)
    assert (verdict.change, verdict.delay_s) == (change, delay_s)
    assert _error(verdict)["category"] == ("permanent" if permanent else "transient")
    assert "no" in _error(verdict)["message"]


def test_a_verdict_carries_a_time_exactly_when_its_rule_wants_one() -> None:
    verdicts = [
        judge_crash(_exit(ExitKind.EXITED, 1), failures=1, failures_max=5),
        judge_crash(_exit(ExitKind.EXITED, 1), failures=5, failures_max=5),
        judge_launch_failure("no", permanent=False, failures=1, failures_max=5),
        judge_launch_failure("no", permanent=True, failures=1, failures_max=5),
    ]
    for verdict in verdicts:
        assert (RULES[verdict.change].wake is Wake.GIVEN) is (verdict.delay_s is not None)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (_exit(ExitKind.EXITED, 0), 0),
        (_exit(ExitKind.EXITED, 7), 7),
        (_exit(ExitKind.SIGNALLED, 9), 137),
        (_exit(ExitKind.LOST, None), None),
    ],
)
def test_the_exit_code_is_the_one_that_a_shell_shows(end: Exit, code: int | None) -> None:
    assert exit_code_of(end) == code


def test_the_longest_last_words_fit_into_an_error() -> None:
    end = _exit(ExitKind.EXITED, 1, "\x01" * 2000)
    assert len(judge_crash(end, failures=1, failures_max=5).error) < ERROR_BYTES_MAX


def test_a_timeout_says_how_long_it_was() -> None:
    error = json.loads(timeout_error(2.5))
    assert (error["code"], error["timeout_s"]) == ("instance.timeout", 2.5)
    assert "2.5 s" in error["message"]
