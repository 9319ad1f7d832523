"""Servers, leases, takeovers, and what servers tell each other."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from runtara.core.model import (
    EventType,
    Status,
    TerminationReason,
)
from runtara.core.persistence.base import (
    Notification,
    NotificationKind,
    Outcome,
    OutcomeKind,
)
from runtara.core.state import Change
from runtara.errors import NotFound
from runtara.ids import InstanceNo
from runtara.testing.contracts.persistence.host import (
    ACME,
    HOUR,
    Host,
    HostedContract,
    gather,
)

__all__ = ("ServerContract",)


class ServerContract(HostedContract):
    """Servers, leases, takeovers, and what servers tell each other."""

    # ---- life

    async def test_time_is_aware_and_the_databases_own(self, host: Host) -> None:
        before = await host.persistence.check()
        await host.advance(HOUR)
        assert await host.persistence.check() - before == HOUR
        assert before.utcoffset() == timedelta(0)

    async def test_a_secret_is_made_once(self, host: Host) -> None:
        first, again, other = [await host.persistence.secret(name) for name in ("a", "a", "b")]
        assert first == again != other
        assert len(first) == 32

    async def test_concurrent_callers_get_the_same_secret(self, host: Host) -> None:
        assert len(set(await gather(*[lambda: host.persistence.secret("a")] * 8))) == 1

    # ---- servers

    async def test_a_name_has_one_number_for_ever(self, host: Host) -> None:
        first = await host.persistence.join("a", lease_s=10)
        other = await host.persistence.join("b", lease_s=10)
        assert await host.persistence.join("a", lease_s=10) == first != other

    async def test_servers_are_listed_while_their_lease_lasts(self, host: Host) -> None:
        now = await host.persistence.check()
        long = await host.persistence.join("long", lease_s=20)
        await host.persistence.join("short", lease_s=10)
        left = await host.persistence.join("left", lease_s=10)
        await host.persistence.leave(left)
        await host.advance(timedelta(seconds=10))
        (row,) = await host.persistence.list_servers()
        assert (row.server_no, row.name, row.lease_until) == (long, "long", now + timedelta(seconds=20))

    async def test_a_renewal_in_time_loses_nothing(self, ready: Host) -> None:
        await ready.running()
        for _ in range(5):
            await ready.advance(timedelta(seconds=9))
            assert list(await ready.persistence.take_over(grace_s=0, limit=9)) == []
            assert await ready.persistence.renew_lease(ready.server_no, lease_s=10)

    async def test_a_dead_servers_attempts_are_taken_over(self, ready: Host) -> None:
        order = await ready.running()
        await ready.advance(timedelta(seconds=11))
        assert list(await ready.persistence.take_over(grace_s=2, limit=9)) == []
        await ready.advance(timedelta(seconds=2))
        assert list(await ready.persistence.take_over(grace_s=2, limit=9)) == [order.instance_no]
        instance = await ready.get(order.instance_no)
        assert (instance.status, instance.termination_reason) == (Status.PENDING, TerminationReason.SERVER_LOST)
        assert instance.wake_at == await ready.persistence.check()
        assert (await ready.events(order.instance_no))[-1] is EventType.REQUEUED
        assert list(await ready.persistence.take_over(grace_s=2, limit=9)) == []

    async def test_a_server_learns_that_it_was_taken_for_dead(self, ready: Host) -> None:
        await ready.running()
        await ready.advance(timedelta(seconds=11))
        await ready.persistence.take_over(grace_s=0, limit=9)
        assert not await ready.persistence.renew_lease(ready.server_no, lease_s=10)
        assert await ready.persistence.renew_lease(ready.server_no, lease_s=10)

    async def test_a_server_that_joins_again_starts_afresh(self, ready: Host) -> None:
        await ready.running()
        await ready.advance(timedelta(seconds=11))
        await ready.persistence.take_over(grace_s=0, limit=9)
        await ready.persistence.join("first", lease_s=10)
        assert await ready.persistence.renew_lease(ready.server_no, lease_s=10)

    async def test_taking_over_nothing_does_not_alarm_the_late(self, ready: Host) -> None:
        await ready.advance(timedelta(seconds=11))
        assert list(await ready.persistence.take_over(grace_s=0, limit=9)) == []
        assert await ready.persistence.renew_lease(ready.server_no, lease_s=10)

    async def test_a_takeover_has_a_limit(self, ready: Host) -> None:
        numbers = [(await ready.running(str(number))).instance_no for number in range(5)]
        await ready.persistence.leave(ready.server_no)
        assert list(await ready.persistence.take_over(grace_s=1, limit=3)) == numbers[:3]
        assert list(await ready.persistence.take_over(grace_s=1, limit=3)) == numbers[3:]

    async def test_concurrent_takeovers_take_each_attempt_once(self, ready: Host) -> None:
        numbers = [(await ready.running(str(number))).instance_no for number in range(8)]
        await ready.persistence.leave(ready.server_no)
        takers = [lambda: ready.persistence.take_over(grace_s=0, limit=2)] * 8
        taken: list[InstanceNo] = []
        with anyio.fail_after(20):
            while len(taken) < len(numbers):
                taken += [number for some in await gather(*takers) for number in some]
        assert sorted(taken) == numbers

    async def test_the_lost_attempt_is_fenced(self, ready: Host) -> None:
        order = await ready.running()
        await ready.persistence.leave(ready.server_no)
        await ready.persistence.take_over(grace_s=0, limit=9)
        assert await ready.save(order, "late") == Outcome(OutcomeKind.FENCED, status="pending")
        other = await ready.persistence.join("second", lease_s=10)
        (again,) = await ready.persistence.claim_due(other, slots=1)
        assert again.epoch == 2
        assert await ready.save(order, "late") == Outcome(OutcomeKind.FENCED, status="running")

    async def test_a_server_lists_what_it_runs(self, ready: Host) -> None:
        other = await ready.persistence.join("second", lease_s=10)
        await ready.pending("theirs")
        await ready.persistence.claim_due(other, slots=1)
        await ready.advance(HOUR)
        now = await ready.persistence.check()
        order = await ready.running("ours", timeout_s=3.0)
        done = await ready.running("done")
        await ready.change(done, Change.COMPLETE)
        (attempt,) = await ready.persistence.list_owned(ready.server_no)
        assert (attempt.instance_no, attempt.epoch, attempt.tenant_id) == (order.instance_no, 1, ACME)
        assert (attempt.instance_id, attempt.image_id) == ("ours", "image-1")
        assert (attempt.timeout_s, attempt.attempt_started_at) == (3.0, now)

    async def test_a_lease_of_nobody(self, host: Host) -> None:
        with pytest.raises(NotFound):
            await host.persistence.renew_lease(4711, lease_s=1)

    # ---- hints

    async def test_hints_reach_whoever_listens(self, host: Host) -> None:
        now = await host.persistence.check()
        sent = [
            Notification(NotificationKind.DUE, at=now),
            Notification(NotificationKind.SIGNAL, instance_no=InstanceNo(2**40), server_no=3),
            Notification(NotificationKind.CHANGED, instance_no=InstanceNo(5)),
        ] * 100
        async with host.persistence.listen() as first, host.persistence.listen() as second:
            await host.persistence.notify(sent)
            await host.persistence.notify([])
            for listener in (first, second):
                with anyio.fail_after(10):
                    assert [await anext(listener) for _ in sent] == sent

    async def test_notifying_nobody(self, host: Host) -> None:
        await host.persistence.notify([Notification(NotificationKind.DUE)])
