"""The rules that hold for the whole table (see the module's own list)."""

import pytest

from runtara.core.model import Status
from runtara.core.state import RULES, Change, Rule, Wake, allowed

rules = pytest.mark.parametrize(("change", "rule"), RULES.items(), ids=[str(change) for change in RULES])


def test_every_change_has_a_rule() -> None:
    assert set(RULES) == set(Change)


@rules
def test_a_terminal_status_is_left_by_a_person_only(change: Change, rule: Rule) -> None:
    assert change is Change.RETRY or not any(status.is_terminal for status in rule.sources)


@rules
def test_only_a_new_attempt_leads_to_running(change: Change, rule: Rule) -> None:
    assert rule.new_attempt == (rule.target is Status.RUNNING)


@rules
def test_what_leaves_running_names_its_attempt(change: Change, rule: Rule) -> None:
    if rule.sources == {Status.RUNNING}:
        assert rule.by_attempt


@rules
def test_a_wake_time_is_set_exactly_when_it_wants_a_launch(change: Change, rule: Rule) -> None:
    if rule.target is Status.PENDING:
        assert rule.wake in (Wake.NOW, Wake.GIVEN)
    if rule.target.is_terminal or rule.target is Status.RUNNING:
        assert rule.wake is Wake.NONE


@rules
def test_what_is_parked_or_ended_says_why(change: Change, rule: Rule) -> None:
    if rule.target.is_terminal or rule.target is Status.SUSPENDED:
        assert rule.reason is not None


def test_every_status_can_be_reached_and_every_living_one_left() -> None:
    reached = {rule.target for rule in RULES.values()}
    assert reached == set(Status)
    for status in Status:
        assert any(allowed(status, change) for change in Change) == (status is not Status.COMPLETED)
