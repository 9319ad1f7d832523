from __future__ import annotations

import asyncio
from datetime import timedelta

from runtara.protocol.messages import Drain, SignalPending
from runtara.sdk.inbox import Inbox
from runtara.testing.clock import ManualClock

PAUSE = SignalPending(1, "pause", None, None)
CANCEL = SignalPending(2, "cancel", None, None)


def inbox(*signals: SignalPending) -> Inbox:
    made = Inbox(ManualClock())
    made.replace(signals)
    return made


def test_a_cancel_is_more_urgent_than_a_pause_and_that_than_a_drain() -> None:
    box = inbox()
    assert box.urgent is None
    box.drain()
    assert box.urgent == Drain()
    box.receive(PAUSE)
    assert box.urgent == PAUSE
    box.receive(CANCEL)
    assert box.urgent == CANCEL


def test_what_was_settled_does_not_come_back() -> None:
    box = inbox(PAUSE)
    box.settle(PAUSE.signal_no)
    box.receive(PAUSE)
    box.replace([PAUSE])
    assert box.urgent is None


def test_custom_signals_are_found_by_name_the_oldest_first() -> None:
    box = inbox(*(SignalPending(number, "custom", name, None) for number, name in ((9, "go"), (7, "go"), (5, "no"))))
    found = box.find_custom("go")
    assert found is not None
    assert found.signal_no == 7
    assert box.find_custom("come") is None
    assert box.urgent is None


def test_a_kind_of_a_newer_server_is_left_alone() -> None:
    box = inbox(SignalPending(1, "levitate", None, None))
    assert box.urgent is None


def test_another_server_does_not_drain_but_a_stopped_process_stays_stopped() -> None:
    box = inbox()
    box.drain()
    box.replace([])
    assert box.urgent is None
    box.stop()
    box.replace([])
    assert box.urgent == Drain()


async def test_all_who_wait_are_woken() -> None:
    box = inbox()
    waits = [asyncio.ensure_future(box.wait(until=None)) for _ in range(3)]
    await asyncio.sleep(0)
    box.receive(CANCEL)
    await asyncio.wait_for(asyncio.gather(*waits), 5)


async def test_a_wait_ends_at_its_time() -> None:
    clock = ManualClock()
    box = Inbox(clock)
    wait = asyncio.ensure_future(box.wait(until=clock.now() + timedelta(hours=1)))
    await clock.advance(timedelta(minutes=59))
    assert not wait.done()
    await clock.advance(timedelta(minutes=1))
    await asyncio.wait_for(wait, 5)
