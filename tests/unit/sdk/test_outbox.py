"""The outbox on a connection that answers what the test says, when the test says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import anyio
import pytest

from runtara.errors import Conflict, OutcomeUnknown, Overloaded, RuntaraError, Unavailable
from runtara.limits import GUEST_QUEUE_BYTES_MAX
from runtara.protocol.messages import GetCheckpoint, Message, Ok
from runtara.sdk.base import ServerLost
from runtara.sdk.outbox import Outbox
from runtara.sdk.patience import Backoff, Patience
from runtara.testing.clock import ManualClock


class Line:
    """What the outbox needs of a peer."""

    def __init__(self) -> None:
        self.is_closed = False
        self.asked: list[tuple[str, Callable[[Message | RuntaraError], None]]] = []

    def send_request(self, request: Any, on_reply: Callable[[Message | RuntaraError], None]) -> None:
        self.asked.append((request.key, on_reply))

    def close(self, *, reason: str = "") -> None:
        self.is_closed = True
        asked, self.asked = self.asked, []
        for _, on_reply in asked:
            on_reply(OutcomeUnknown(reason))

    @property
    def keys(self) -> str:
        return "".join(key for key, _ in self.asked)

    def answer(self, key: str, outcome: Message | RuntaraError) -> None:
        (at,) = (at for at, (asked, _) in enumerate(self.asked) if asked == key)
        self.asked.pop(at)[1](outcome)


class Desk:
    """An outbox, its clock, and what came back."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.answers: dict[str, Message | BaseException] = {}
        self.lost: list[ServerLost] = []
        self.outbox = Outbox(
            clock=self.clock,
            patience=Patience(self.clock, give_up_after_s=60),
            backoff=Backoff(random=Random(1)),
            on_lost=self.lost.append,
            answer_timeout_s=30,
        )

    def post(self, *keys: str, size_bytes: int = 0) -> None:
        for key in keys:
            self.outbox.post(
                GetCheckpoint(key), lambda outcome, key=key: self.note(key, outcome), size_bytes=size_bytes
            )

    def note(self, key: str, outcome: Message | BaseException) -> None:
        assert key not in self.answers, "answered twice"
        self.answers[key] = outcome

    def connect(self) -> Line:
        line = Line()
        self.outbox.attach(line)  # type: ignore[arg-type]
        return line

    async def pass_s(self, seconds: float) -> None:
        await anyio.wait_all_tasks_blocked()
        await self.clock.advance(timedelta(seconds=seconds))


async def test_requests_wait_for_a_connection_and_leave_in_order() -> None:
    desk = Desk()
    desk.post("a", "b", "c")
    line = desk.connect()
    assert line.keys == "abc"
    desk.post("d")
    assert line.keys == "abcd"
    line.answer("b", Ok())
    assert desk.answers == {"b": Ok()}
    desk.outbox.abandon(ServerLost())


async def test_what_has_no_answer_is_sent_again_on_the_next_connection_in_order() -> None:
    desk = Desk()
    line = desk.connect()
    desk.post("a", "b", "c", "d")
    line.answer("b", Ok())
    line.close()
    desk.post("e")
    assert desk.connect().keys == "acde"
    desk.outbox.abandon(ServerLost())


async def test_an_error_of_the_programs_is_an_answer() -> None:
    desk = Desk()
    line = desk.connect()
    desk.post("a")
    error = Conflict("no")
    line.answer("a", error)
    assert desk.answers == {"a": error}
    desk.outbox.abandon(ServerLost())


async def test_what_the_server_cannot_do_now_is_asked_again_not_before_it_says() -> None:
    desk = Desk()
    line = desk.connect()
    desk.post("a", "b")
    line.answer("a", Overloaded("full", retry_after_ms=5000))
    desk.post("c")
    assert line.keys == "b", "nothing leaves meanwhile"
    line.answer("b", Unavailable("no database"))
    await desk.pass_s(4.9)
    assert line.keys == ""
    await desk.pass_s(0.1)
    assert line.keys == "abc"
    assert desk.answers == {}
    desk.outbox.abandon(ServerLost())


async def test_patience_ends() -> None:
    desk = Desk()
    line = desk.connect()
    desk.post("a")
    for _ in range(1000):
        if desk.lost:
            break
        line.answer("a", Unavailable("no database"))
        await desk.pass_s(0.5)
    assert str(desk.lost[0]).startswith("the server has been away for 60 s")
    desk.outbox.abandon(desk.lost[0])
    assert desk.answers == {"a": desk.lost[0]}


async def test_a_connection_that_answers_nothing_is_given_up() -> None:
    desk = Desk()
    line = desk.connect()
    desk.post("a")
    await desk.pass_s(20)
    line.answer("a", Ok())
    desk.post("b")
    await desk.pass_s(29)
    assert not line.is_closed, "b has not waited for long"
    await desk.pass_s(31)
    assert line.is_closed
    assert desk.connect().keys == "b"
    desk.outbox.abandon(ServerLost())


async def test_only_so_much_is_in_flight() -> None:
    desk = Desk()
    line = desk.connect()
    desk.post(*"abcde", size_bytes=5 * 1024 * 1024)
    assert line.keys == "abc"
    line.answer("a", Ok())
    assert line.keys == "bcd"
    desk.outbox.abandon(ServerLost())
    desk = Desk()
    line = desk.connect()
    desk.post(*(f"{number}," for number in range(300)))
    assert len(line.asked) == 256
    desk.outbox.abandon(ServerLost())


async def test_the_queue_has_an_end() -> None:
    desk = Desk()
    desk.outbox.reserve(GUEST_QUEUE_BYTES_MAX + 1)  # One that is larger than all is let through alone.
    desk.post("a", size_bytes=GUEST_QUEUE_BYTES_MAX - 10_000)
    desk.outbox.reserve(9_000)
    with pytest.raises(Overloaded, match=str(GUEST_QUEUE_BYTES_MAX)):
        desk.outbox.reserve(10_000)
    desk.outbox.abandon(ServerLost())
