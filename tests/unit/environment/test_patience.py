"""Waiting with an end, and waiting out an outage, on a clock that stands still until told."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from runtara.environment.patience import insist, within
from runtara.errors import DiskFull, Overloaded, Unavailable
from runtara.testing.clock import ManualClock


async def _answer() -> int:
    return 42


async def test_what_is_quick_enough_is_returned() -> None:
    assert await within(ManualClock(), 1.0, _answer) == 42


async def test_what_takes_longer_is_cancelled() -> None:
    clock = ManualClock()
    results: list[object] = []

    async def wait() -> None:
        results.append(await within(clock, 1.0, anyio.Event().wait))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await clock.advance(timedelta(seconds=0.999))
        assert results == []
        await clock.advance(timedelta(seconds=0.001))
    assert results == [None]


async def test_what_goes_wrong_comes_out_as_it_is() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await within(ManualClock(), 1.0, fail)


class _Outage:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    async def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "back"


async def test_an_outage_is_waited_out_with_growing_patience() -> None:
    clock = ManualClock()
    outage = _Outage(Unavailable("away"), Unavailable("away"), Overloaded("full", retry_after_ms=3000))
    began = clock.now()
    results: list[str] = []

    async def wait() -> None:
        results.append(await insist(clock, outage))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        while not results:
            await anyio.wait_all_tasks_blocked()
            if clock.next_wake_at is not None:
                clock.jump(clock.next_wake_at - clock.now())
    assert results == ["back"]
    assert (clock.now() - began).total_seconds() == pytest.approx(0.1 + 0.2 + 3.0)


@pytest.mark.parametrize("error", [DiskFull("full"), ValueError("a bug")])
async def test_what_does_not_pass_by_itself_is_raised(error: Exception) -> None:
    with pytest.raises(type(error)):
        await insist(ManualClock(), _Outage(error))
