"""What a start, a lost lease or a sweep decides from three lists."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from runtara.core.model import OwnedAttempt
from runtara.environment.recovery import plan
from runtara.environment.runner.base import Launched
from runtara.ids import InstanceId, InstanceNo, TenantId


def _owned(instance_no: int, epoch: int = 1) -> OwnedAttempt:
    return OwnedAttempt(
        instance_no=InstanceNo(instance_no),
        tenant_id=TenantId("t"),
        instance_id=InstanceId(str(instance_no)),
        epoch=epoch,
        image_id=None,
        timeout_s=None,
        attempt_started_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def _launched(instance_no: int, epoch: int = 1) -> Launched:
    return Launched(instance_no=InstanceNo(instance_no), epoch=epoch, pid=instance_no, started_ticks=1)


@pytest.mark.parametrize(("owned", "launched", "supervised"), list(itertools.product([False, True], repeat=3)))
def test_an_attempt_is_in_exactly_the_list_that_its_state_asks_for(
    owned: bool, launched: bool, supervised: bool
) -> None:
    key = (InstanceNo(1), 1)
    todo = plan(
        owned=[_owned(1)] if owned else [],
        launched=[_launched(1)] if launched else [],
        supervised=[key] if supervised else [],
    )
    assert bool(todo.adopt) is (owned and launched and not supervised)
    assert bool(todo.requeue) is (owned and not launched and not supervised)
    assert bool(todo.end) is (launched and not owned and not supervised)
    assert bool(todo.disowned) is (supervised and not owned)


def test_another_epoch_is_another_attempt() -> None:
    todo = plan(owned=[_owned(1, epoch=2)], launched=[_launched(1, epoch=1)], supervised=[])
    assert todo.requeue == [_owned(1, epoch=2)]
    assert todo.end == [_launched(1, epoch=1)]
    assert not todo.adopt


def test_an_adopted_attempt_comes_with_its_process() -> None:
    todo = plan(owned=[_owned(1), _owned(2)], launched=[_launched(2), _launched(1)], supervised=[])
    assert todo.adopt == [(_owned(1), _launched(1)), (_owned(2), _launched(2))]
