"""What an instance leaves behind: checkpoints, retry records, events."""

from __future__ import annotations

import pytest

from runtara.core.model import (
    EventType,
    LaunchOrder,
    Retry,
)
from runtara.core.persistence.base import (
    AppendEvent,
    ChangeStatus,
    Outcome,
    OutcomeKind,
    RecordRetry,
    SaveCheckpoint,
)
from runtara.core.state import Change
from runtara.ids import InstanceNo
from runtara.testing.contracts.persistence.host import (
    DONE,
    HOUR,
    Host,
    HostedContract,
    key,
)

__all__ = ("HistoryContract",)


class HistoryContract(HostedContract):
    """What an instance leaves behind: checkpoints, retry records, events."""

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

    async def test_a_numbered_event_of_an_attempt_is_stored_once(self, ready: Host) -> None:
        order, other = await ready.running(), await ready.running("order-2")

        def event(number: int | None, subtype: str, order: LaunchOrder = order) -> AppendEvent:
            return AppendEvent(order.instance_no, order.epoch, EventType.CUSTOM, subtype, None, number)

        first = [event(1, "a"), event(2, "b"), event(2, "b again"), event(None, "free"), event(1, "other's", other)]
        assert list(await ready.persistence.write(first)) == [DONE] * 5
        again = [event(1, "a again"), event(3, "c"), event(None, "free"), event(2**53, "last")]
        assert list(await ready.persistence.write(again)) == [DONE] * 4
        assert await self._subtypes(ready, order) == ["a", "b", "free", "c", "free", "last"]
        assert await self._subtypes(ready, other) == ["other's"]

    async def test_the_next_attempt_counts_its_events_anew(self, ready: Host) -> None:
        order = await ready.running()
        for attempt in range(2):
            event = AppendEvent(order.instance_no, order.epoch, EventType.CUSTOM, f"of attempt {attempt}", None, 1)
            assert await ready.one(event) == DONE
            await ready.one(
                ChangeStatus(
                    instance_no=order.instance_no, epoch=order.epoch, change=Change.CRASH, wake_at=order.due_at
                )
            )
            (order,) = await ready.persistence.claim_due(ready.server_no, slots=1)
        assert await self._subtypes(ready, order) == ["of attempt 0", "of attempt 1"]

    async def _subtypes(self, ready: Host, order: LaunchOrder) -> list[str | None]:
        events = await ready.persistence.list_events(
            order.instance_no, after_event_no=0, limit=99, types=[EventType.CUSTOM]
        )
        return [event.subtype for event in events]

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
