"""When to ask for due instances again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from runtara.environment.wake import next_look

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def _look(*wakes: float, claimed_at: float = 0.0, now: float = 0.001) -> float | None:
    at = next_look([_at(wake) for wake in wakes], claimed_at=_at(claimed_at), now=_at(now))
    return None if at is None else (at - NOON).total_seconds()


def test_the_soonest_wake_counts() -> None:
    assert _look(3, 1, 2) == 1


def test_nothing_to_come_is_nothing_to_wait_for() -> None:
    assert _look() is None


def test_what_became_due_just_after_the_claim_is_asked_for_at_once() -> None:
    assert _look(0.0005, 7) == 0.001 + 0.005


def test_two_clocks_that_differ_a_little_miss_nothing() -> None:
    assert _look(-0.02, 7) == 0.001 + 0.005


def test_what_a_claim_left_behind_is_not_asked_for_again_and_again() -> None:
    assert _look(-60, -1, 7) == 7
    assert _look(-60, -1) is None
