"""Attempts: claimed for a launch, or registered without one."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import anyio
import pytest

from runtara.core.model import (
    EventType,
    LaunchOrder,
    Status,
)
from runtara.core.persistence.base import (
    ChangeStatus,
    Outcome,
    OutcomeKind,
    SaveCheckpoint,
)
from runtara.core.state import Change
from runtara.errors import Conflict, IllegalTransition
from runtara.ids import ImageId, InstanceId
from runtara.testing.contracts.persistence.host import (
    ACME,
    GLOBEX,
    HOUR,
    PENDING_MAX,
    Host,
    HostedContract,
    gather,
    key,
)

__all__ = ("ClaimContract",)


class ClaimContract(HostedContract):
    """Attempts: claimed for a launch, or registered without one."""

    # ---- claiming

    async def test_a_claim_starts_an_attempt(self, ready: Host) -> None:
        number = await ready.pending(input=b"in", env={"A": "b"}, timeout_s=2.0)
        await ready.advance(HOUR)
        now = await ready.persistence.check()
        order = await ready.claim()
        instance = await ready.get(number)
        assert order == LaunchOrder(
            instance_no=number,
            tenant_id=ACME,
            instance_id=InstanceId("order-1"),
            epoch=1,
            image_no=ready.image_no,
            image_id=ImageId("image-1"),
            input=b"in",
            env={"A": "b"},
            timeout_s=2.0,
            due_at=now - HOUR,
        )
        assert (instance.status, instance.epoch, instance.owner) == (Status.RUNNING, 1, ready.server_no)
        assert (instance.started_at, instance.wake_at, instance.termination_reason) == (now, None, None)
        assert await ready.events(number) == [EventType.CREATED, EventType.STARTED]

    async def test_what_is_claimed_is_not_claimed_again(self, ready: Host) -> None:
        await ready.running()
        assert await ready.persistence.claim_due(ready.server_no, slots=5) == []

    async def test_the_first_start_is_remembered(self, ready: Host) -> None:
        order = await ready.running()
        started_at = (await ready.get(order.instance_no)).started_at
        await ready.change(order, Change.YIELD)
        await ready.advance(HOUR)
        again = await ready.claim()
        assert again.epoch == 2
        assert (await ready.get(order.instance_no)).started_at == started_at

    async def test_a_sleeper_is_claimed_when_its_time_has_come(self, ready: Host) -> None:
        order = await ready.running()
        wake_at = await ready.persistence.check() + HOUR
        await ready.change(order, Change.SLEEP, wake_at=wake_at)
        await ready.advance(HOUR - timedelta(microseconds=1))
        assert await ready.persistence.claim_due(ready.server_no, slots=1) == []
        await ready.advance(timedelta(microseconds=1))
        assert (await ready.claim()).due_at == wake_at
        assert (await ready.get(order.instance_no)).sleep_until is None

    async def test_slots_are_an_upper_bound(self, ready: Host) -> None:
        for number in range(5):
            await ready.pending(str(number))
        assert len(await ready.persistence.claim_due(ready.server_no, slots=3)) == 3
        assert len(await ready.persistence.claim_due(ready.server_no, slots=3)) == 2

    async def test_within_a_tenant_the_oldest_goes_first(self, ready: Host) -> None:
        for name in ("first", "second", "third"):
            await ready.pending(name)
            await ready.advance(timedelta(seconds=1))
        orders = await ready.persistence.claim_due(ready.server_no, slots=2)
        assert [order.instance_id for order in orders] == ["first", "second"]

    async def test_a_tenant_with_many_does_not_keep_another_waiting(self, ready: Host) -> None:
        for number in range(10):
            await ready.pending(f"a{number}", ACME)
        await ready.advance(HOUR)
        for number in range(2):
            await ready.pending(f"g{number}", GLOBEX)
        orders = await ready.persistence.claim_due(ready.server_no, slots=5)
        assert [order.instance_id for order in orders] == ["a0", "g0", "a1", "g1", "a2"]

    async def test_running_attempts_of_this_server_count_for_fairness(self, ready: Host) -> None:
        for number in range(3):
            await ready.pending(f"a{number}", ACME)
        await ready.persistence.claim_due(ready.server_no, slots=2)
        await ready.advance(HOUR)
        await ready.pending("g0", GLOBEX)
        other = await ready.persistence.join("second", lease_s=10)
        # For a server that runs nothing yet, the oldest goes first.
        await ready.pending("spare", GLOBEX)
        (order,) = await ready.persistence.claim_due(ready.server_no, slots=1)
        assert order.instance_id == "g0"
        (order,) = await ready.persistence.claim_due(other, slots=1)
        assert order.instance_id == "a2"

    async def test_concurrent_servers_never_get_the_same(self, ready: Host) -> None:
        servers = [await ready.persistence.join(f"server-{number}", lease_s=10) for number in range(6)]
        total = PENDING_MAX
        for number in range(total):
            await ready.pending(str(number), (ACME, GLOBEX)[number % 2])
        claimed: list[LaunchOrder] = []

        async def claim_all(server_no: int) -> None:
            while len(claimed) < total:
                orders = await ready.persistence.claim_due(server_no, slots=3)
                claimed.extend(orders)
                if not orders:
                    await anyio.lowlevel.checkpoint()

        with anyio.fail_after(20):
            await gather(*[partial(claim_all, server_no) for server_no in servers])
        assert len(claimed) == total
        assert len({order.instance_no for order in claimed}) == total
        assert {order.epoch for order in claimed} == {1}

    async def test_nobody_claims_what_has_no_image(self, ready: Host) -> None:
        await ready.pending("by itself", image_no=None, image_id=None)
        assert await ready.persistence.claim_due(ready.server_no, slots=1) == []
        assert await ready.persistence.next_due(limit=1) == []

    async def test_the_next_wake_times_come_soonest_first(self, ready: Host) -> None:
        now = await ready.persistence.check()
        for hours in (3, 1, 2):
            order = await ready.running(str(hours))
            await ready.change(order, Change.SLEEP, wake_at=now + hours * HOUR)
        await ready.pending("due")
        assert await ready.persistence.next_due(limit=3) == [now, now + HOUR, now + 2 * HOUR]

    # ---- registering without a launch

    async def test_a_program_that_nobody_launched_registers(self, ready: Host) -> None:
        number, epoch = await ready.persistence.register_self(ACME, InstanceId("self"), server_no=ready.server_no)
        instance = await ready.get(number)
        assert epoch == instance.epoch == 1
        assert (instance.status, instance.owner, instance.image_id) == (Status.RUNNING, ready.server_no, None)
        assert instance.started_at == instance.created_at
        assert await ready.events(number) == [EventType.CREATED, EventType.STARTED]

    async def test_registering_again_fences_the_former_attempt(self, ready: Host) -> None:
        number, _ = await ready.persistence.register_self(ACME, InstanceId("self"), server_no=ready.server_no)
        again, epoch = await ready.persistence.register_self(ACME, InstanceId("self"), server_no=ready.server_no)
        assert (again, epoch) == (number, 2)
        outcome = await ready.one(SaveCheckpoint(number, 1, key("k"), b""))
        assert outcome == Outcome(OutcomeKind.FENCED, status="running")

    async def test_what_has_ended_does_not_register(self, ready: Host) -> None:
        number, epoch = await ready.persistence.register_self(ACME, InstanceId("self"), server_no=ready.server_no)
        await ready.one(ChangeStatus(instance_no=number, epoch=epoch, change=Change.COMPLETE))
        with pytest.raises(IllegalTransition):
            await ready.persistence.register_self(ACME, InstanceId("self"), server_no=ready.server_no)

    async def test_what_has_an_image_is_only_launched(self, ready: Host) -> None:
        await ready.pending()
        with pytest.raises(Conflict):
            await ready.persistence.register_self(ACME, InstanceId("order-1"), server_no=ready.server_no)

    async def test_concurrent_registrations_get_different_epochs(self, ready: Host) -> None:
        name = InstanceId("self")
        attempts = await gather(*[lambda: ready.persistence.register_self(ACME, name, server_no=ready.server_no)] * 6)
        assert sorted(epoch for _, epoch in attempts) == [1, 2, 3, 4, 5, 6]
