from datetime import timedelta

import anyio
import pytest

from runtara.core.feed import ChangeFeed, DueBell
from runtara.ids import InstanceNo
from runtara.testing.clock import ManualClock

ONE, TWO = InstanceNo(1), InstanceNo(2)


async def test_a_watcher_hears_a_change_that_came_before_it_waited() -> None:
    feed = ChangeFeed()
    with feed.watch(ONE) as watch:
        feed.publish(ONE)
        with anyio.fail_after(1):
            await watch.next()


async def test_a_watcher_hears_nothing_of_other_instances_and_each_change_once() -> None:
    feed = ChangeFeed()
    with feed.watch(ONE) as watch:
        feed.publish(TWO)
        feed.publish(ONE)
        await watch.next()
        with pytest.raises(TimeoutError), anyio.fail_after(0):
            await watch.next()


async def test_nothing_is_kept_of_watchers_that_left() -> None:
    feed = ChangeFeed()
    with feed.watch(ONE), feed.watch(ONE):
        pass
    assert not feed._watches


async def test_the_bell_wakes_whoever_waits_and_whoever_comes_later_once() -> None:
    bell = DueBell(clock=ManualClock())
    bell.ring()
    with anyio.fail_after(1):
        await bell.wait(None)
    with pytest.raises(TimeoutError), anyio.fail_after(0):
        await bell.wait(None)


async def test_the_bell_wakes_at_the_time_that_was_asked_for() -> None:
    clock = ManualClock()
    bell = DueBell(clock=clock)
    woken: list[float] = []

    async def wait() -> None:
        await bell.wait(clock.now() + timedelta(days=30))
        woken.append(clock.monotonic())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await clock.advance(timedelta(days=29))
        assert not woken
        await clock.advance(timedelta(days=1))
    assert len(woken) == 1
