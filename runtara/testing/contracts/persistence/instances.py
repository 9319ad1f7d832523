"""Instances: made, found, listed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runtara.core.model import (
    EventType,
    InstanceFilter,
    ResourceUsage,
    Status,
)
from runtara.core.state import Change
from runtara.errors import AlreadyExists, Conflict, InvalidRequest, NotFound, Overloaded
from runtara.ids import ImageId, InstanceId, InstanceNo
from runtara.testing.contracts.persistence.host import (
    ACME,
    GLOBEX,
    HOUR,
    PENDING_MAX,
    Host,
    HostedContract,
    gather,
)

__all__ = ("InstanceContract",)


class InstanceContract(HostedContract):
    """Instances: made, found, listed."""

    # ---- creating

    async def test_a_new_instance_is_pending_and_due(self, ready: Host) -> None:
        now = await ready.persistence.check()
        made = await ready.persistence.create_instance(ready.new(input=b"in", env={"A": "b"}, timeout_s=1.5))
        instance = await ready.get(made.instance_no)
        assert made.created
        assert (instance.status, instance.epoch, instance.owner) == (Status.PENDING, 0, None)
        assert instance.created_at == instance.wake_at == now
        assert (instance.input, instance.timeout_s, instance.image_id) == (b"in", 1.5, "image-1")
        assert (instance.started_at, instance.finished_at, instance.output, instance.error) == (None,) * 4
        assert (instance.checkpoint_key, instance.exit_code, instance.usage) == (None, None, ResourceUsage())
        assert await ready.events(made.instance_no) == [EventType.CREATED]

    async def test_the_same_start_is_the_same_instance(self, ready: Host) -> None:
        first = await ready.persistence.create_instance(ready.new(fingerprint=b"x"))
        again = await ready.persistence.create_instance(ready.new(fingerprint=b"x"))
        assert (again.instance_no, again.created) == (first.instance_no, False)
        assert await ready.events(first.instance_no) == [EventType.CREATED]

    async def test_another_start_under_the_same_id_is_refused(self, ready: Host) -> None:
        await ready.persistence.create_instance(ready.new(fingerprint=b"x"))
        with pytest.raises(AlreadyExists):
            await ready.persistence.create_instance(ready.new(fingerprint=b"y"))

    async def test_concurrent_starts_under_one_id_make_one_instance(self, ready: Host) -> None:
        made = await gather(*[lambda: ready.persistence.create_instance(ready.new())] * 8)
        assert len({one.instance_no for one in made}) == 1
        assert sum(one.created for one in made) == 1

    async def test_tenants_may_use_the_same_id(self, ready: Host) -> None:
        assert await ready.pending("a", ACME) != await ready.pending("a", GLOBEX)

    async def test_an_image_that_is_gone_cannot_be_started(self, ready: Host) -> None:
        await ready.delete_image(ready.image_no)
        with pytest.raises(NotFound):
            await ready.pending()
        assert await ready.persistence.find_instance(ACME, InstanceId("order-1")) is None

    async def test_a_tenants_queue_has_an_end(self, ready: Host) -> None:
        for number in range(PENDING_MAX):
            await ready.pending(str(number))
        with pytest.raises(Overloaded) as refusal:
            await ready.pending("one too many")
        assert refusal.value.retry_after_ms
        assert await ready.persistence.find_instance(ACME, InstanceId("one too many")) is None
        # Neither another tenant, nor a start that was taken in before, nor whoever comes when there is room, minds.
        await ready.pending("other", GLOBEX)
        assert not (await ready.persistence.create_instance(ready.new("0"))).created
        await ready.persistence.claim_due(ready.server_no, slots=2)
        await ready.pending("one too many")

    async def test_a_sleeper_does_not_count_as_waiting_for_a_launch(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.SLEEP, wake_at=order.due_at + HOUR)
        for number in range(PENDING_MAX):
            await ready.pending(str(number))

    @pytest.mark.parametrize("name", ["a", "-", "..", "x" * 128, "A:b.C_d-9"])
    async def test_ids_are_kept_as_they_are(self, ready: Host, name: str) -> None:
        await ready.pending(name)
        found = await ready.persistence.find_instance(ACME, InstanceId(name))
        assert found is not None
        assert found.instance_id == name

    async def test_a_large_input_comes_back_whole(self, ready: Host) -> None:
        large = bytes(range(256)) * 4096 * 4
        order = await ready.running(input=large)
        assert order.input == large
        assert (await ready.get(order.instance_no)).input == large

    # ---- finding

    async def test_an_unknown_instance_is_not_found(self, ready: Host) -> None:
        assert await ready.persistence.find_instance(ACME, InstanceId("nobody")) is None
        with pytest.raises(NotFound):
            await ready.get(InstanceNo(4711))

    async def test_a_tenant_finds_only_its_own(self, ready: Host) -> None:
        number = await ready.pending("mine", ACME)
        assert await ready.persistence.find_instance(GLOBEX, InstanceId("mine")) is None
        found = await ready.persistence.find_instance(ACME, InstanceId("mine"))
        assert found == await ready.get(number)

    async def test_an_administrator_finds_what_is_unambiguous(self, ready: Host) -> None:
        number = await ready.pending("only", ACME)
        await ready.pending("both", ACME)
        await ready.pending("both", GLOBEX)
        found = await ready.persistence.find_instance(None, InstanceId("only"))
        assert found == await ready.get(number)
        with pytest.raises(Conflict):
            await ready.persistence.find_instance(None, InstanceId("both"))

    # ---- listing

    async def test_lists_are_paged_newest_first(self, ready: Host) -> None:
        numbers = [await ready.pending(str(number)) for number in range(5)]
        seen: list[InstanceNo] = []
        cursor = None
        for expected in (2, 2, 1):
            page = await ready.persistence.list_instances(InstanceFilter(), limit=2, cursor=cursor)
            assert len(page.rows) == expected
            seen += [row.instance_no for row in page.rows]
            cursor = page.next_cursor
        assert seen == numbers[::-1]
        assert cursor is None

    async def test_a_full_last_page_says_that_it_is_the_last(self, ready: Host) -> None:
        for number in range(4):
            await ready.pending(str(number))
        first = await ready.persistence.list_instances(InstanceFilter(), limit=2, cursor=None)
        last = await ready.persistence.list_instances(InstanceFilter(), limit=2, cursor=first.next_cursor)
        assert (len(last.rows), last.next_cursor) == (2, None)

    async def test_a_page_is_not_moved_by_what_comes_later(self, ready: Host) -> None:
        for number in range(4):
            await ready.pending(str(number))
        first = await ready.persistence.list_instances(InstanceFilter(), limit=2, cursor=None)
        await ready.pending("late")
        second = await ready.persistence.list_instances(InstanceFilter(), limit=2, cursor=first.next_cursor)
        assert [row.instance_id for row in second.rows] == ["1", "0"]

    async def test_lists_leave_input_and_output_out(self, ready: Host) -> None:
        order = await ready.running(input=b"in")
        await ready.change(order, Change.COMPLETE, output=b"out")
        (row,) = (await ready.persistence.list_instances(InstanceFilter(), limit=9, cursor=None)).rows
        assert (row.input, row.output) == (b"", None)
        assert row == replace(await ready.get(order.instance_no), input=b"", output=None)

    @pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "0", "9" * 30, "１"])
    async def test_a_cursor_is_ours_or_refused(self, ready: Host, cursor: str) -> None:
        with pytest.raises(InvalidRequest):
            await ready.persistence.list_instances(InstanceFilter(), limit=1, cursor=cursor)

    async def test_every_condition_of_a_filter_must_hold(self, ready: Host) -> None:
        await ready.running("run", image_id=ImageId("image-2"))
        before = await ready.persistence.check()
        await ready.advance(HOUR)
        await ready.pending("order-a")
        await ready.pending("order-b")
        await ready.pending("order-a", GLOBEX)

        async def names(**conditions: Any) -> list[tuple[str, str]]:
            page = await ready.persistence.list_instances(InstanceFilter(**conditions), limit=9, cursor=None)
            return [(row.tenant_id, row.instance_id) for row in page.rows]

        assert await names(tenant_id=GLOBEX) == [("globex", "order-a")]
        assert await names(statuses=[Status.RUNNING]) == [("acme", "run")]
        assert len(await names(statuses=[Status.RUNNING, Status.PENDING])) == 4
        assert await names(statuses=[Status.FAILED]) == []
        assert await names(image_id=ImageId("image-2")) == [("acme", "run")]
        assert await names(created_before=before + HOUR) == [("acme", "run")]
        assert await names(created_after=before, tenant_id=ACME) == [("acme", "order-b"), ("acme", "order-a")]
        assert await names(instance_id_prefix="order-", tenant_id=GLOBEX) == [("globex", "order-a")]
        assert await names(instance_id_prefix="order-%") == []

    async def test_counts_are_of_what_has_not_ended(self, ready: Host) -> None:
        for status in (Status.RUNNING, Status.SUSPENDED, Status.FAILED, Status.CANCELLED, Status.COMPLETED):
            await ready.in_status(status, str(status))
        await ready.in_status(Status.SUSPENDED, "c")
        await ready.pending("a")
        await ready.pending("b", GLOBEX)
        counted = ready.persistence.count_instances
        assert await counted(limit=10) == {"pending": 2, "running": 1, "suspended": 2}
        assert await counted(limit=2) == {"pending": 2, "running": 1, "suspended": 2}
        assert await counted(limit=1) == {"pending": 1, "running": 1, "suspended": 1}

    async def test_without_instances_every_count_is_zero(self, ready: Host) -> None:
        assert await ready.persistence.count_instances(limit=10) == {"pending": 0, "running": 0, "suspended": 0}
