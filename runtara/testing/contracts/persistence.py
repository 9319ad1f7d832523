"""What every ``Persistence`` must do. Subclass ``PersistenceContract`` and give it one, and a hand on its clock.

The suite never waits: time goes forward when a test says so, for the database too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeAlias

import anyio
import pytest

from runtara.core.model import (
    EventType,
    Instance,
    InstanceFilter,
    LaunchOrder,
    NewInstance,
    ResourceUsage,
    Retry,
    SignalKind,
    Status,
    TerminationReason,
)
from runtara.core.persistence.base import (
    AckSignal,
    AppendEvent,
    ChangeStatus,
    Notification,
    NotificationKind,
    Outcome,
    OutcomeKind,
    Persistence,
    RecordExit,
    RecordRetry,
    SaveCheckpoint,
    Write,
)
from runtara.core.state import RULES, Change, Wake
from runtara.errors import AlreadyExists, Conflict, IllegalTransition, InvalidRequest, NotFound, Overloaded
from runtara.ids import CheckpointKey, ImageId, InstanceId, InstanceNo, TenantId

__all__ = ("PENDING_MAX", "Advance", "Host", "PersistenceContract")

Advance: TypeAlias = Callable[[timedelta], Awaitable[None]]

PENDING_MAX: Final = 40
"""The persistence under test takes so many instances of one tenant that wait for a launch."""

ACME, GLOBEX = TenantId("acme"), TenantId("globex")
HOUR: Final = timedelta(hours=1)
DONE: Final = Outcome(OutcomeKind.DONE)

# A change that a claim or a registration makes, because it needs an owner.
OWNED: Final = frozenset(change for change, rule in RULES.items() if rule.new_attempt)


def key(text: str) -> CheckpointKey:
    """A checkpoint key."""
    return CheckpointKey(text)


@dataclass
class Host:
    """What a test has in its hands."""

    persistence: Persistence
    advance: Advance
    """Let the time of the persistence go forward."""
    make_image: Callable[[], Awaitable[int]]
    """An image that exists."""
    delete_image: Callable[[int], Awaitable[None]]
    server_no: int = 0
    image_no: int = 0

    # ---- making instances

    def new(self, name: str = "order-1", tenant: TenantId = ACME, **facts: Any) -> NewInstance:
        """A start of the host's image."""
        image = {"image_no": self.image_no, "image_id": ImageId("image-1")}
        return NewInstance(**{"tenant_id": tenant, "instance_id": InstanceId(name), "input": b"{}", **image, **facts})

    async def pending(self, name: str = "order-1", tenant: TenantId = ACME, **facts: Any) -> InstanceNo:
        """A new instance that waits for its launch."""
        return (await self.persistence.create_instance(self.new(name, tenant, **facts))).instance_no

    async def running(self, name: str = "order-1", tenant: TenantId = ACME, **facts: Any) -> LaunchOrder:
        """A new instance in its first attempt, owned by the host's server."""
        await self.pending(name, tenant, **facts)
        return await self.claim(name)

    async def claim(self, name: str = "order-1") -> LaunchOrder:
        """The next attempt of the only instance that is due."""
        (order,) = await self.persistence.claim_due(self.server_no, slots=1)
        assert order.instance_id == name
        return order

    async def in_status(self, status: Status, name: str = "order-1") -> Instance:
        """A new instance brought to a status; its latest epoch is 1, or 0 when it never ran."""
        if status is Status.PENDING:
            return await self.get(await self.pending(name))
        order = await self.running(name)
        ways = {
            Status.SUSPENDED: Change.PAUSE,
            Status.COMPLETED: Change.COMPLETE,
            Status.FAILED: Change.FAIL,
            Status.CANCELLED: Change.CANCEL,
        }
        if status in ways:
            await self.change(order, ways[status])
        return await self.get(order.instance_no)

    # ---- looking and writing

    async def get(self, instance_no: InstanceNo) -> Instance:
        """The instance as it is now."""
        return await self.persistence.get_instance(instance_no)

    async def one(self, write: Write) -> Outcome:
        """What became of one write."""
        (outcome,) = await self.persistence.write([write])
        return outcome

    async def change(self, attempt: LaunchOrder, change: Change, **facts: Any) -> Outcome:
        """What became of a change of this attempt."""
        return await self.one(
            ChangeStatus(instance_no=attempt.instance_no, epoch=attempt.epoch, change=change, **facts)
        )

    async def person(self, instance_no: InstanceNo, change: Change) -> Outcome:
        """What became of a change that no attempt asked for."""
        return await self.one(ChangeStatus(instance_no=instance_no, epoch=None, change=change))

    async def save(self, attempt: LaunchOrder, name: str, state: bytes = b"state", **facts: Any) -> Outcome:
        """What became of a checkpoint of this attempt."""
        return await self.one(SaveCheckpoint(attempt.instance_no, attempt.epoch, key(name), state, **facts))

    async def states(self, instance_no: InstanceNo) -> dict[str, bytes]:
        """All checkpoints."""
        rows, _ = await self.persistence.read_checkpoints(instance_no, after=None, bytes_max=2**30)
        return {row.key: row.state for row in rows}

    async def events(self, instance_no: InstanceNo) -> list[EventType]:
        """The types of all events, oldest first."""
        events = await self.persistence.list_events(instance_no, after_event_no=0, limit=1000)
        return [event.type for event in events]

    async def signal(self, instance_no: InstanceNo, kind: SignalKind = SignalKind.CUSTOM, name: str = "go") -> int:
        """The number of a signal that was sent."""
        name_of_custom = name if kind is SignalKind.CUSTOM else None
        return (await self.persistence.send_signal(instance_no, kind, name=name_of_custom, payload=b"42")).signal_no


class PersistenceContract:
    """Subclass it, and override the fixture ``host``."""

    @pytest.fixture
    @abstractmethod
    async def host(self) -> Host:
        """A persistence with nothing in it, a clock at any time, ``PENDING_MAX`` in force."""

    @pytest.fixture
    async def ready(self, host: Host) -> Host:
        """The host with a server that has joined, and an image."""
        host.server_no = await host.persistence.join("first", lease_s=10)
        host.image_no = await host.make_image()
        return host

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
        await ready.pending("a")
        await ready.pending("b", GLOBEX)
        assert await ready.persistence.count_instances() == {"pending": 2, "running": 1, "suspended": 1}

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

    # ---- checkpoints

    async def test_a_saved_checkpoint_is_there(self, ready: Host) -> None:
        order = await ready.running()
        assert await ready.save(order, "a", b"1") == DONE
        assert await ready.persistence.find_checkpoint(order.instance_no, key("a")) == b"1"
        assert (await ready.get(order.instance_no)).checkpoint_key == "a"

    async def test_the_first_write_wins(self, ready: Host) -> None:
        order = await ready.running()
        await ready.save(order, "a", b"first")
        assert await ready.save(order, "a", b"second") == Outcome(OutcomeKind.FOUND, state=b"first")
        assert await ready.states(order.instance_no) == {"a": b"first"}

    async def test_the_first_of_one_batch_wins(self, ready: Host) -> None:
        order = await ready.running()
        number, epoch = order.instance_no, order.epoch
        outcomes = await ready.persistence.write(
            [
                SaveCheckpoint(number, epoch, key("a"), b"1"),
                SaveCheckpoint(number, epoch, key("b"), b"2"),
                SaveCheckpoint(number, epoch, key("a"), b"3"),
            ]
        )
        assert list(outcomes) == [DONE, DONE, Outcome(OutcomeKind.FOUND, state=b"1")]

    async def test_found_and_saved_and_fenced_in_one_batch(self, ready: Host) -> None:
        order = await ready.running("a")
        other = await ready.running("b")
        await ready.change(other, Change.COMPLETE)
        await ready.save(order, "old", b"old")
        outcomes = await ready.persistence.write(
            [
                SaveCheckpoint(order.instance_no, 1, key("new"), b"new"),
                SaveCheckpoint(order.instance_no, 1, key("old"), b"other"),
                SaveCheckpoint(order.instance_no, 7, key("zombie"), b""),
                SaveCheckpoint(other.instance_no, 1, key("late"), b""),
                SaveCheckpoint(InstanceNo(4711), 1, key("nobody"), b""),
            ]
        )
        assert list(outcomes) == [
            DONE,
            Outcome(OutcomeKind.FOUND, state=b"old"),
            Outcome(OutcomeKind.FENCED, status="running"),
            Outcome(OutcomeKind.FENCED, status="completed"),
            Outcome(OutcomeKind.UNKNOWN_INSTANCE),
        ]
        assert await ready.states(order.instance_no) == {"new": b"new", "old": b"old"}
        assert await ready.states(other.instance_no) == {}

    async def test_a_checkpoint_of_an_older_attempt_is_found_by_the_next(self, ready: Host) -> None:
        order = await ready.running()
        await ready.save(order, "a", b"1")
        await ready.change(order, Change.YIELD)
        again = await ready.claim()
        assert await ready.save(again, "a", b"2") == Outcome(OutcomeKind.FOUND, state=b"1")

    async def test_an_old_attempt_is_fenced_even_from_what_it_has_saved(self, ready: Host) -> None:
        order = await ready.running()
        await ready.save(order, "a", b"1")
        await ready.change(order, Change.YIELD)
        await ready.claim()
        assert (await ready.save(order, "a", b"1")).kind is OutcomeKind.FENCED

    @pytest.mark.parametrize("state", [b"", b"\0", bytes(range(256)), b"x" * 1024**2], ids=len)
    async def test_states_are_bytes(self, ready: Host, state: bytes) -> None:
        order = await ready.running()
        await ready.save(order, "a", state)
        assert await ready.states(order.instance_no) == {"a": state}

    async def test_keys_are_unicode_in_code_point_order(self, ready: Host) -> None:
        names = [
            "",
            "~",
            "a",
            "Z",
            "a/1",
            "a/10",
            "a/2",
            "ä",
            "ß",
            "日本",
            "🦀",
            "a b",
            "a'b",
            "%s",
            "\x01",
            "x" * 1024,
        ]
        names = [name for name in names if name]
        order = await ready.running()
        await ready.persistence.write(
            [SaveCheckpoint(order.instance_no, 1, key(name), name.encode()) for name in names]
        )
        rows, complete = await ready.persistence.read_checkpoints(order.instance_no, after=None, bytes_max=2**20)
        assert [row.key for row in rows] == sorted(names)
        assert all(row.state.decode() == row.key for row in rows)
        assert complete

    async def test_checkpoints_are_read_page_by_page(self, ready: Host) -> None:
        order = await ready.running()
        for name in "abcde":
            await ready.save(order, name, b"x" * 10)

        async def page(after: str | None, bytes_max: int) -> tuple[str, bool]:
            rows, complete = await ready.persistence.read_checkpoints(
                order.instance_no, after=None if after is None else key(after), bytes_max=bytes_max
            )
            return "".join(row.key for row in rows), complete

        assert await page(None, 20) == ("ab", False)
        assert await page("b", 29) == ("cd", False)
        assert await page("d", 10) == ("e", True)
        assert await page("e", 10) == ("", True)
        assert await page(None, 50) == ("abcde", True)
        # One that does not fit comes alone, or nobody would ever get past it.
        assert await page(None, 1) == ("a", False)

    async def test_reading_checkpoints_of_nothing(self, ready: Host) -> None:
        number = await ready.pending()
        assert await ready.persistence.read_checkpoints(number, after=None, bytes_max=1) in (((), True), ([], True))
        assert await ready.persistence.find_checkpoint(number, key("a")) is None

    async def test_checkpoints_are_listed_newest_first(self, ready: Host) -> None:
        order = await ready.running()
        await ready.persistence.write(
            [SaveCheckpoint(order.instance_no, 1, key(name), name.encode() * 3) for name in ("c", "a", "b")]
        )
        now = await ready.persistence.check()
        await ready.advance(HOUR)
        await ready.save(order, "d", b"")
        first = await ready.persistence.list_checkpoints(order.instance_no, limit=2, cursor=None)
        last = await ready.persistence.list_checkpoints(order.instance_no, limit=2, cursor=first.next_cursor)
        assert [row.key for row in first.rows] + [row.key for row in last.rows] == ["d", "b", "a", "c"]
        assert last.next_cursor is None
        assert [(row.epoch, row.created_at, row.state_bytes) for row in last.rows] == [(1, now, 3)] * 2

    # ---- retries and events

    async def test_a_retry_record_is_replaced(self, ready: Host) -> None:
        order = await ready.running()
        first = Retry(key=key("b"), tries=1, error=b"{}", next_at=order.due_at + HOUR, waited_ms=5)
        second = Retry(key=key("b"), tries=2, error=b"!", next_at=None, waited_ms=2**40)
        other = Retry(key=key("a"), tries=9, error=b"", next_at=None)
        number = order.instance_no
        assert await ready.one(RecordRetry(number, 1, first)) == DONE
        assert list(await ready.persistence.read_retries(number)) == [first]
        batch = [RecordRetry(number, 1, first), RecordRetry(number, 1, second), RecordRetry(number, 1, other)]
        assert list(await ready.persistence.write(batch)) == [DONE] * 3
        assert list(await ready.persistence.read_retries(number)) == [other, second]

    async def test_an_old_attempt_records_no_retry_and_no_event(self, ready: Host) -> None:
        order = await ready.running()
        retry = Retry(key=key("b"), tries=1, error=b"{}", next_at=None)
        outcomes = await ready.persistence.write(
            [
                RecordRetry(order.instance_no, 9, retry),
                AppendEvent(order.instance_no, 9, EventType.CUSTOM, "s", None),
                AppendEvent(InstanceNo(4711), 1, EventType.CUSTOM, "s", None),
            ]
        )
        assert [outcome.kind for outcome in outcomes] == [
            OutcomeKind.FENCED,
            OutcomeKind.FENCED,
            OutcomeKind.UNKNOWN_INSTANCE,
        ]
        assert list(await ready.persistence.read_retries(order.instance_no)) == []
        assert await ready.events(order.instance_no) == [EventType.CREATED, EventType.STARTED]

    async def test_events_keep_their_order_and_are_read_on(self, ready: Host) -> None:
        order = await ready.running()
        payloads = [b"{}", None, b"", b"\xff\0"]
        await ready.persistence.write(
            [
                AppendEvent(order.instance_no, 1, EventType.CUSTOM, f"s{number}", payload)
                for number, payload in enumerate(payloads)
            ]
        )
        events = await ready.persistence.list_events(
            order.instance_no, after_event_no=0, limit=9, types=[EventType.CUSTOM]
        )
        assert [(event.subtype, event.payload, event.epoch) for event in events] == [
            (f"s{number}", payload, 1) for number, payload in enumerate(payloads)
        ]
        rest = await ready.persistence.list_events(order.instance_no, after_event_no=events[1].event_no, limit=1)
        assert list(rest) == [events[2]]
        assert events[0].created_at == await ready.persistence.check()

    # ---- the state table

    @pytest.mark.parametrize("status", Status)
    @pytest.mark.parametrize("change", [change for change in Change if change not in OWNED])
    async def test_the_table_decides(self, ready: Host, status: Status, change: Change) -> None:
        before = await ready.in_status(status)
        rule = RULES[change]
        events = await ready.events(before.instance_no)
        fits = rule.source_reasons is None or before.termination_reason in rule.source_reasons
        wake_at = (await ready.persistence.check()) + HOUR
        outcome = await ready.one(
            ChangeStatus(instance_no=before.instance_no, epoch=before.epoch, change=change, wake_at=wake_at)
        )
        after = await ready.get(before.instance_no)
        if status in rule.sources and fits:
            assert outcome == Outcome(OutcomeKind.DONE, status=rule.target.value)
            assert (after.status, after.termination_reason) == (rule.target, rule.reason)
            assert await ready.events(before.instance_no) == [*events, rule.event]
            assert (after.wake_at is not None) == (rule.wake is not Wake.NONE)
            assert (after.finished_at is not None) == rule.target.is_terminal
            assert after.owner is None
        else:
            assert outcome == Outcome(OutcomeKind.REFUSED, status=status.value)
            assert after == before
            assert await ready.events(before.instance_no) == events

    @pytest.mark.parametrize("change", [change for change in Change if change not in OWNED])
    async def test_an_old_epoch_changes_nothing(self, ready: Host, change: Change) -> None:
        order = await ready.running()
        await ready.change(order, Change.YIELD)
        await ready.claim()
        before, events = await ready.get(order.instance_no), await ready.events(order.instance_no)
        outcome = await ready.change(order, change, wake_at=order.due_at)
        assert outcome == Outcome(OutcomeKind.FENCED, status="running")
        assert await ready.get(order.instance_no) == before
        assert await ready.events(order.instance_no) == events

    async def test_changing_nobody(self, ready: Host) -> None:
        assert await ready.person(InstanceNo(4711), Change.RESUME) == Outcome(OutcomeKind.UNKNOWN_INSTANCE)

    async def test_an_end_keeps_what_it_was_told(self, ready: Host) -> None:
        order = await ready.running()
        await ready.advance(HOUR)
        usage = ResourceUsage(memory_peak_bytes=2**40, cpu_us=7)
        await ready.change(order, Change.FAIL, error=b'{"code":1}', exit_code=3, usage=usage, detail=b'{"d":1}')
        instance = await ready.get(order.instance_no)
        assert (instance.error, instance.exit_code, instance.usage) == (b'{"code":1}', 3, usage)
        assert instance.finished_at == await ready.persistence.check()
        event = (await ready.persistence.list_events(order.instance_no, after_event_no=0, limit=9))[-1]
        assert (event.type, event.payload, event.epoch) == (EventType.FAILED, b'{"d":1}', 1)

    @pytest.mark.parametrize("output", [b"", b"null", b"x" * 1024**2], ids=len)
    async def test_an_output_is_bytes(self, ready: Host, output: bytes) -> None:
        order = await ready.running()
        await ready.change(order, Change.COMPLETE, output=output)
        assert (await ready.get(order.instance_no)).output == output

    async def test_a_given_time_is_when_it_is_due(self, ready: Host) -> None:
        order = await ready.running()
        wake_at = await ready.persistence.check() + HOUR
        await ready.change(order, Change.CRASH, wake_at=wake_at)
        assert (await ready.get(order.instance_no)).wake_at == wake_at

    async def test_a_crash_without_a_time_is_due_now(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.CRASH)
        assert (await ready.get(order.instance_no)).wake_at == await ready.persistence.check()

    async def test_a_wait_without_a_deadline_is_never_due(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.WAIT)
        instance = await ready.get(order.instance_no)
        assert (instance.wake_at, instance.sleep_until) == (None, None)
        assert await ready.persistence.next_due(limit=1) == []

    # ---- sleep, pause, resume

    async def test_a_sleep_outlasts_a_pause(self, ready: Host) -> None:
        order = await ready.running()
        wake_at = await ready.persistence.check() + HOUR
        await ready.change(order, Change.SLEEP, wake_at=wake_at)
        await ready.person(order.instance_no, Change.PAUSE_PARKED)
        paused = await ready.get(order.instance_no)
        assert (paused.wake_at, paused.sleep_until) == (None, wake_at)
        await ready.person(order.instance_no, Change.RESUME_SLEEP)
        asleep = await ready.get(order.instance_no)
        assert (asleep.status, asleep.termination_reason) == (Status.SUSPENDED, TerminationReason.SLEEPING)
        assert (asleep.wake_at, asleep.sleep_until) == (wake_at, wake_at)

    async def test_a_resume_ends_the_pause_and_the_sleep(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.SLEEP, wake_at=order.due_at + HOUR)
        await ready.person(order.instance_no, Change.PAUSE_PARKED)
        await ready.person(order.instance_no, Change.RESUME)
        instance = await ready.get(order.instance_no)
        assert (instance.status, instance.sleep_until) == (Status.PENDING, None)
        assert instance.wake_at == await ready.persistence.check()

    async def test_a_paused_instance_is_never_due(self, ready: Host) -> None:
        await ready.pending()
        number = (await ready.persistence.list_instances(InstanceFilter(), limit=1, cursor=None)).rows[0].instance_no
        await ready.person(number, Change.PAUSE_PARKED)
        assert await ready.persistence.claim_due(ready.server_no, slots=1) == []

    async def test_a_sleep_cannot_be_resumed_as_if_it_were_a_pause(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.SLEEP, wake_at=order.due_at + HOUR)
        assert (await ready.person(order.instance_no, Change.RESUME)).kind is OutcomeKind.REFUSED

    # ---- progress

    async def test_setbacks_in_a_row_are_counted(self, ready: Host) -> None:
        await ready.pending()
        for setbacks in (1, 2, 3):
            order = await ready.claim()
            await ready.change(order, Change.CRASH)
            assert (await ready.get(order.instance_no)).attempts_without_progress == setbacks

    async def test_a_checkpoint_is_progress(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.CRASH)
        order = await ready.claim()
        await ready.save(order, "a")
        await ready.change(order, Change.CRASH)
        assert (await ready.get(order.instance_no)).attempts_without_progress == 0

    async def test_a_checkpoint_of_the_same_batch_is_progress(self, ready: Host) -> None:
        order = await ready.running()
        number = order.instance_no
        await ready.persistence.write(
            [
                SaveCheckpoint(number, 1, key("a"), b""),
                ChangeStatus(instance_no=number, epoch=1, change=Change.CRASH),
            ]
        )
        assert (await ready.get(number)).attempts_without_progress == 0

    async def test_an_old_checkpoint_is_no_progress(self, ready: Host) -> None:
        order = await ready.running()
        await ready.save(order, "a")
        await ready.change(order, Change.YIELD)
        order = await ready.claim()
        await ready.save(order, "a")
        await ready.change(order, Change.CRASH)
        assert (await ready.get(order.instance_no)).attempts_without_progress == 1

    async def test_a_claim_keeps_the_count_and_an_orderly_end_resets_it(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.LAUNCH_FAIL)
        order = await ready.claim()
        assert (await ready.get(order.instance_no)).attempts_without_progress == 1
        await ready.change(order, Change.SLEEP, wake_at=order.due_at)
        assert (await ready.get(order.instance_no)).attempts_without_progress == 0

    # ---- exits

    async def test_an_exit_is_recorded_after_the_program_has_reported_its_end(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.COMPLETE)
        usage = ResourceUsage(memory_peak_bytes=1, cpu_us=2)
        write = RecordExit(instance_no=order.instance_no, epoch=1, exit_code=0, usage=usage)
        events = await ready.events(order.instance_no)
        assert await ready.one(write) == Outcome(OutcomeKind.DONE, status="completed")
        assert await ready.one(write) == Outcome(OutcomeKind.DONE, status="completed")
        instance = await ready.get(order.instance_no)
        assert (instance.status, instance.exit_code, instance.usage) == (Status.COMPLETED, 0, usage)
        assert await ready.events(order.instance_no) == events

    async def test_an_exit_tells_that_the_program_did_not_report(self, ready: Host) -> None:
        order = await ready.running()
        write = RecordExit(instance_no=order.instance_no, epoch=1, exit_code=None, usage=ResourceUsage())
        assert await ready.one(write) == Outcome(OutcomeKind.DONE, status="running")

    async def test_the_exit_of_an_older_attempt_is_not_the_instances(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.YIELD)
        await ready.claim()
        write = RecordExit(instance_no=order.instance_no, epoch=1, exit_code=9, usage=ResourceUsage())
        assert await ready.one(write) == Outcome(OutcomeKind.FENCED, status="running")
        assert (await ready.get(order.instance_no)).exit_code is None

    async def test_a_new_attempt_forgets_how_the_last_one_ended(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.CRASH, exit_code=137, error=b"{}", usage=ResourceUsage(cpu_us=1))
        assert (await ready.get(order.instance_no)).exit_code == 137
        await ready.claim()
        instance = await ready.get(order.instance_no)
        assert (instance.exit_code, instance.error, instance.usage) == (None, None, ResourceUsage())

    # ---- retrying what has ended

    async def test_a_retry_goes_on_from_the_checkpoints(self, ready: Host) -> None:
        order = await ready.running()
        await ready.save(order, "a", b"1")
        await ready.change(order, Change.FAIL, error=b"{}")
        assert (await ready.person(order.instance_no, Change.RETRY)).kind is OutcomeKind.DONE
        instance = await ready.get(order.instance_no)
        assert (instance.status, instance.finished_at, instance.error) == (Status.PENDING, None, None)
        again = await ready.claim()
        assert (again.epoch, again.image_no) == (2, ready.image_no)
        assert await ready.states(order.instance_no) == {"a": b"1"}

    async def test_a_retry_needs_its_image(self, ready: Host) -> None:
        order = await ready.running("a")
        await ready.change(order, Change.FAIL)
        await ready.delete_image(ready.image_no)
        ready.image_no = await ready.make_image()
        other = await ready.running("b")
        before = await ready.get(order.instance_no)
        outcomes = await ready.persistence.write(
            [
                SaveCheckpoint(other.instance_no, 1, key("k"), b""),
                ChangeStatus(instance_no=order.instance_no, epoch=None, change=Change.RETRY),
                ChangeStatus(instance_no=other.instance_no, epoch=1, change=Change.COMPLETE),
            ]
        )
        assert [outcome.kind for outcome in outcomes] == [OutcomeKind.DONE, OutcomeKind.IMAGE_GONE, OutcomeKind.DONE]
        assert await ready.get(order.instance_no) == before

    async def test_a_retry_is_not_cancelled_by_a_cancel_of_before(self, ready: Host) -> None:
        order = await ready.running()
        await ready.signal(order.instance_no, SignalKind.CANCEL)
        await ready.signal(order.instance_no, SignalKind.PAUSE)
        custom = await ready.signal(order.instance_no)
        await ready.change(order, Change.FAIL)
        await ready.person(order.instance_no, Change.RETRY)
        assert [s.signal_no for s in await ready.persistence.pending_signals(order.instance_no)] == [custom]

    # ---- images that are needed

    @pytest.mark.parametrize("status", [Status.PENDING, Status.RUNNING, Status.SUSPENDED])
    async def test_an_image_stays_as_long_as_it_is_needed(self, ready: Host, status: Status) -> None:
        await ready.in_status(status)
        with pytest.raises(Conflict):
            await ready.delete_image(ready.image_no)

    @pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
    async def test_an_image_may_go_when_its_instances_have_ended(self, ready: Host, status: Status) -> None:
        instance = await ready.in_status(status)
        await ready.delete_image(ready.image_no)
        assert (await ready.get(instance.instance_no)).image_id == "image-1"

    # ---- batches

    async def test_no_writes_no_outcomes(self, host: Host) -> None:
        assert list(await host.persistence.write([])) == []

    async def test_a_batch_equals_its_writes_one_by_one(self, ready: Host) -> None:
        order = await ready.running()
        number = order.instance_no
        outcomes = await ready.persistence.write(
            [
                SaveCheckpoint(number, 1, key("a"), b"1"),
                AppendEvent(number, 1, EventType.CUSTOM, "before", None),
                ChangeStatus(instance_no=number, epoch=1, change=Change.PAUSE),
                SaveCheckpoint(number, 1, key("b"), b"2"),
                AppendEvent(number, 1, EventType.CUSTOM, "after", None),
                ChangeStatus(instance_no=number, epoch=1, change=Change.COMPLETE),
                ChangeStatus(instance_no=number, epoch=None, change=Change.RESUME),
                ChangeStatus(instance_no=number, epoch=None, change=Change.CANCEL_PARKED),
                RecordExit(instance_no=number, epoch=1, exit_code=0, usage=ResourceUsage()),
            ]
        )
        assert list(outcomes) == [
            DONE,
            DONE,
            Outcome(OutcomeKind.DONE, status="suspended"),
            Outcome(OutcomeKind.FENCED, status="suspended"),
            Outcome(OutcomeKind.FENCED, status="suspended"),
            Outcome(OutcomeKind.REFUSED, status="suspended"),
            Outcome(OutcomeKind.DONE, status="pending"),
            Outcome(OutcomeKind.DONE, status="cancelled"),
            Outcome(OutcomeKind.DONE, status="cancelled"),
        ]
        assert await ready.states(number) == {"a": b"1"}
        events = await ready.persistence.list_events(number, after_event_no=0, limit=99)
        assert [event.subtype or event.type.value for event in events] == [
            "instance.created",
            "instance.started",
            "before",
            "instance.suspended",
            "instance.resumed",
            "instance.cancelled",
        ]

    async def test_many_instances_in_one_batch(self, ready: Host) -> None:
        orders = [await ready.running(str(number)) for number in range(20)]
        batch: list[Write] = []
        for order in reversed(orders):
            batch.append(SaveCheckpoint(order.instance_no, 1, key("k"), order.instance_id.encode()))
            batch.append(ChangeStatus(instance_no=order.instance_no, epoch=1, change=Change.COMPLETE))
        outcomes = await ready.persistence.write(batch)
        assert {outcome.kind for outcome in outcomes} == {OutcomeKind.DONE}
        for order in orders:
            assert await ready.states(order.instance_no) == {"k": order.instance_id.encode()}

    # ---- signals

    async def test_a_signal_waits_until_it_is_answered(self, ready: Host) -> None:
        order = await ready.running()
        sent = await ready.persistence.send_signal(
            order.instance_no, SignalKind.CUSTOM, name="approve", payload=b"\0yes"
        )
        assert (sent.instance_no, sent.status, sent.owner, sent.woke) == (
            order.instance_no,
            "running",
            ready.server_no,
            False,
        )
        (signal,) = await ready.persistence.pending_signals(order.instance_no)
        assert (signal.signal_no, signal.kind, signal.name) == (sent.signal_no, SignalKind.CUSTOM, "approve")
        assert (signal.payload, signal.created_at) == (b"\0yes", await ready.persistence.check())
        events = await ready.persistence.list_events(order.instance_no, after_event_no=0, limit=9)
        assert (events[-1].type, events[-1].subtype) == (EventType.SIGNAL_RECEIVED, "custom")

    async def test_signals_are_a_queue(self, ready: Host) -> None:
        order = await ready.running()
        numbers = [await ready.signal(order.instance_no, name=name) for name in ("a", "b", "a")]
        pending = await ready.persistence.pending_signals(order.instance_no)
        assert [signal.signal_no for signal in pending] == numbers == sorted(set(numbers))

    @pytest.mark.parametrize("kind", [SignalKind.CANCEL, SignalKind.PAUSE])
    async def test_asking_twice_is_asking_once(self, ready: Host, kind: SignalKind) -> None:
        order = await ready.running()
        numbers = await gather(*[lambda: ready.signal(order.instance_no, kind)] * 4)
        assert len(set(numbers)) == 1
        assert len(await ready.persistence.pending_signals(order.instance_no)) == 1
        assert (await ready.events(order.instance_no)).count(EventType.SIGNAL_RECEIVED) == 1

    @pytest.mark.parametrize("status", Status)
    async def test_who_takes_which_signal(self, ready: Host, status: Status) -> None:
        instance = await ready.in_status(status)
        for kind in (SignalKind.CANCEL, SignalKind.PAUSE):
            if status is Status.RUNNING:
                await ready.signal(instance.instance_no, kind)
            else:
                with pytest.raises(IllegalTransition):
                    await ready.signal(instance.instance_no, kind)
        if status.is_terminal:
            with pytest.raises(IllegalTransition):
                await ready.signal(instance.instance_no)
        else:
            await ready.signal(instance.instance_no)

    async def test_a_signal_to_nobody(self, ready: Host) -> None:
        with pytest.raises(NotFound):
            await ready.signal(InstanceNo(4711))
        with pytest.raises(NotFound):
            await ready.persistence.withdraw_pauses(InstanceNo(4711))
        assert list(await ready.persistence.pending_signals(InstanceNo(4711))) == []

    async def test_a_custom_signal_wakes_whoever_waits(self, ready: Host) -> None:
        order = await ready.running()
        await ready.change(order, Change.WAIT, wake_at=order.due_at + HOUR)
        sent = await ready.persistence.send_signal(order.instance_no, SignalKind.CUSTOM, name="x", payload=None)
        assert (sent.status, sent.woke, sent.owner) == ("pending", True, None)
        assert (await ready.get(order.instance_no)).wake_at == await ready.persistence.check()
        assert (await ready.events(order.instance_no))[-2:] == [EventType.SIGNAL_RECEIVED, EventType.RESUMED]

    @pytest.mark.parametrize("change", [Change.SLEEP, Change.PAUSE, Change.YIELD])
    async def test_a_custom_signal_wakes_nobody_else(self, ready: Host, change: Change) -> None:
        order = await ready.running()
        await ready.change(order, change, wake_at=order.due_at + HOUR)
        before = await ready.get(order.instance_no)
        sent = await ready.persistence.send_signal(order.instance_no, SignalKind.CUSTOM, name="x", payload=None)
        assert (sent.status, sent.woke) == ("suspended", False)
        assert await ready.get(order.instance_no) == before

    async def test_a_consumed_signal_is_a_checkpoint(self, ready: Host) -> None:
        order = await ready.running()
        number = await ready.signal(order.instance_no)
        assert await ready.save(order, "wait", b"42", consumes_signal_no=number) == DONE
        assert list(await ready.persistence.pending_signals(order.instance_no)) == []
        # The same write again, and another key that wants the same signal.
        again = await ready.save(order, "wait", b"42", consumes_signal_no=number)
        assert again == Outcome(OutcomeKind.FOUND, state=b"42")
        assert (await ready.save(order, "other", b"42", consumes_signal_no=number)).kind is OutcomeKind.WITHDRAWN
        assert await ready.states(order.instance_no) == {"wait": b"42"}

    async def test_a_signal_is_consumed_once_in_a_batch(self, ready: Host) -> None:
        order = await ready.running()
        first, second = await ready.signal(order.instance_no), await ready.signal(order.instance_no)
        outcomes = await ready.persistence.write(
            [
                SaveCheckpoint(order.instance_no, 1, key("a"), b"", consumes_signal_no=first),
                SaveCheckpoint(order.instance_no, 1, key("b"), b"", consumes_signal_no=first),
                SaveCheckpoint(order.instance_no, 1, key("b"), b"", consumes_signal_no=second),
            ]
        )
        assert [outcome.kind for outcome in outcomes] == [OutcomeKind.DONE, OutcomeKind.WITHDRAWN, OutcomeKind.DONE]

    async def test_a_found_checkpoint_leaves_the_signal(self, ready: Host) -> None:
        order = await ready.running()
        await ready.save(order, "wait", b"1")
        number = await ready.signal(order.instance_no)
        found = await ready.save(order, "wait", b"2", consumes_signal_no=number)
        assert found == Outcome(OutcomeKind.FOUND, state=b"1")
        assert len(await ready.persistence.pending_signals(order.instance_no)) == 1

    async def test_only_ones_own_custom_signal_can_be_consumed(self, ready: Host) -> None:
        order, other = await ready.running("a"), await ready.running("b")
        foreign = await ready.signal(other.instance_no)
        cancel = await ready.signal(order.instance_no, SignalKind.CANCEL)
        for number in (foreign, cancel, 4711):
            outcome = await ready.save(order, "k", b"", consumes_signal_no=number)
            assert outcome.kind is OutcomeKind.WITHDRAWN
        assert len(await ready.persistence.pending_signals(other.instance_no)) == 1

    async def test_an_old_attempt_consumes_nothing(self, ready: Host) -> None:
        order = await ready.running()
        number = await ready.signal(order.instance_no)
        await ready.change(order, Change.YIELD)
        await ready.claim()
        outcome = await ready.save(order, "k", b"", consumes_signal_no=number)
        assert outcome == Outcome(OutcomeKind.FENCED, status="running")
        assert len(await ready.persistence.pending_signals(order.instance_no)) == 1

    async def test_a_change_answers_its_signal(self, ready: Host) -> None:
        order = await ready.running()
        number = await ready.signal(order.instance_no, SignalKind.PAUSE)
        assert (await ready.change(order, Change.PAUSE, signal_no=number)).kind is OutcomeKind.DONE
        assert list(await ready.persistence.pending_signals(order.instance_no)) == []
        assert (await ready.events(order.instance_no))[-1] is EventType.SUSPENDED

    async def test_a_change_whose_signal_was_withdrawn_does_not_happen(self, ready: Host) -> None:
        order = await ready.running()
        number = await ready.signal(order.instance_no, SignalKind.PAUSE)
        assert await ready.persistence.withdraw_pauses(order.instance_no) == 1
        assert await ready.persistence.withdraw_pauses(order.instance_no) == 0
        assert await ready.change(order, Change.PAUSE, signal_no=number) == Outcome(OutcomeKind.WITHDRAWN)
        assert (await ready.get(order.instance_no)).status is Status.RUNNING

    async def test_withdrawing_pauses_leaves_the_rest(self, ready: Host) -> None:
        order = await ready.running()
        cancel, custom = await ready.signal(order.instance_no, SignalKind.CANCEL), await ready.signal(order.instance_no)
        await ready.signal(order.instance_no, SignalKind.PAUSE)
        await ready.persistence.withdraw_pauses(order.instance_no)
        pending = await ready.persistence.pending_signals(order.instance_no)
        assert [signal.signal_no for signal in pending] == [cancel, custom]

    async def test_an_acknowledgement_without_a_change(self, ready: Host) -> None:
        order = await ready.running()
        number = await ready.signal(order.instance_no, SignalKind.PAUSE)
        write = AckSignal(order.instance_no, 1, number)
        assert await ready.one(write) == DONE
        assert list(await ready.persistence.pending_signals(order.instance_no)) == []
        assert await ready.one(write) == Outcome(OutcomeKind.WITHDRAWN)
        assert (await ready.one(AckSignal(order.instance_no, 9, number))).kind is OutcomeKind.FENCED
        events = await ready.persistence.list_events(order.instance_no, after_event_no=0, limit=9)
        assert [(e.type, e.subtype) for e in events[-2:]] == [
            (EventType.SIGNAL_RECEIVED, "pause"),
            (EventType.SIGNAL_ACKNOWLEDGED, "pause"),
        ]

    async def test_a_pause_or_a_cancel_races_with_its_withdrawal(self, ready: Host) -> None:
        for number in range(10):
            order = await ready.running(str(number))
            signal_no = await ready.signal(order.instance_no, SignalKind.PAUSE)
            outcome, withdrawn = await gather(
                partial(ready.change, order, Change.PAUSE, signal_no=signal_no),
                partial(ready.persistence.withdraw_pauses, order.instance_no),
            )
            is_paused = (await ready.get(order.instance_no)).status is Status.SUSPENDED
            assert is_paused == (outcome.kind is OutcomeKind.DONE) == (withdrawn == 0)

    # ---- signals that come when the program is on its way out

    async def test_a_wait_is_over_when_its_signal_came_before_it(self, ready: Host) -> None:
        order = await ready.running()
        await ready.signal(order.instance_no)
        await ready.change(order, Change.WAIT)
        assert (await ready.get(order.instance_no)).wake_at == await ready.persistence.check()

    async def test_a_signal_of_an_earlier_attempt_is_not_what_it_waits_for(self, ready: Host) -> None:
        order = await ready.running()
        await ready.signal(order.instance_no, name="other")
        await ready.change(order, Change.YIELD)
        order = await ready.claim()
        await ready.change(order, Change.WAIT)
        assert (await ready.get(order.instance_no)).wake_at is None

    @pytest.mark.parametrize("kind", [SignalKind.CANCEL, SignalKind.PAUSE])
    async def test_a_sleep_is_over_when_somebody_wants_something_of_it(self, ready: Host, kind: SignalKind) -> None:
        order = await ready.running()
        await ready.signal(order.instance_no, kind)
        wake_at = order.due_at + HOUR
        await ready.change(order, Change.SLEEP, wake_at=wake_at)
        instance = await ready.get(order.instance_no)
        assert (instance.wake_at, instance.sleep_until) == (await ready.persistence.check(), wake_at)

    async def test_a_sleep_does_not_mind_a_custom_signal(self, ready: Host) -> None:
        order = await ready.running()
        await ready.signal(order.instance_no)
        wake_at = order.due_at + HOUR
        await ready.change(order, Change.SLEEP, wake_at=wake_at)
        assert (await ready.get(order.instance_no)).wake_at == wake_at

    async def test_a_wait_races_with_its_signal_and_neither_is_missed(self, ready: Host) -> None:
        for number in range(10):
            order = await ready.running(str(number))
            await gather(
                partial(ready.change, order, Change.WAIT),
                partial(ready.signal, order.instance_no),
            )
            instance = await ready.get(order.instance_no)
            assert instance.wake_at is not None
            await ready.claim(str(number))

    # ---- races

    async def test_a_cancel_races_with_a_claim(self, ready: Host) -> None:
        for number in range(10):
            instance_no = await ready.pending(str(number))
            outcome, orders = await gather(
                partial(ready.person, instance_no, Change.CANCEL_PARKED),
                lambda: ready.persistence.claim_due(ready.server_no, slots=1),
            )
            status = (await ready.get(instance_no)).status
            assert (outcome.kind is OutcomeKind.DONE) == (status is Status.CANCELLED)
            assert (len(orders) == 1) == (status is Status.RUNNING)

    async def test_a_save_races_with_a_takeover(self, ready: Host) -> None:
        for number in range(10):
            dead = await ready.persistence.join(f"dead-{number}", lease_s=0)
            await ready.pending(str(number))
            (order,) = await ready.persistence.claim_due(dead, slots=1)
            await ready.advance(timedelta(seconds=1))
            batch = [SaveCheckpoint(order.instance_no, 1, key(str(k)), b"") for k in range(5)]
            outcomes, taken = await gather(
                partial(ready.persistence.write, batch),
                lambda: ready.persistence.take_over(grace_s=0, limit=10),
            )
            if not taken:  # The batch held the row.
                taken = await ready.persistence.take_over(grace_s=0, limit=10)
            assert list(taken) == [order.instance_no]
            assert len({outcome.kind for outcome in outcomes}) == 1
            is_saved = outcomes[0].kind is OutcomeKind.DONE
            assert len(await ready.states(order.instance_no)) == (5 if is_saved else 0)
            await ready.claim(str(number))

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


async def gather(*calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """What each of several concurrent calls returned."""
    results: dict[int, Any] = {}

    async def keep(place: int, call: Callable[[], Awaitable[Any]]) -> None:
        results[place] = await call()

    async with anyio.create_task_group() as group:
        for place, call in enumerate(calls):
            group.start_soon(keep, place, call)
    return [results[place] for place in range(len(calls))]
