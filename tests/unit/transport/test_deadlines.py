from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic

from runtara.transport.quic.deadlines import NEVER, Deadlines


@dataclass(eq=False)
class Item:
    name: str
    wakes_at: float = NEVER


@dataclass
class Looks:
    """Remembers who was looked at, and may put the item back."""

    names: list[str] = field(default_factory=list)
    passes: int = 0
    put_back_s: float | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.deadlines: Deadlines[Item] = Deadlines(asyncio.get_running_loop(), due=self.due, done=self.done)

    def due(self, item: Item, now: float) -> None:
        self.names.append(item.name)
        if self.put_back_s is not None:
            self.deadlines.at(now + self.put_back_s, item)
            self.put_back_s = None

    def done(self) -> None:
        self.passes += 1
        self.changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.names) < count:
                self.changed.clear()
                await self.changed.wait()


async def test_items_are_looked_at_in_the_order_of_their_times() -> None:
    looks, now = Looks(), monotonic()
    for name, delay_s in (("c", 0.03), ("a", 0.01), ("b", 0.02)):
        looks.deadlines.at(now + delay_s, Item(name))
    await looks.until(3)
    assert looks.names == ["a", "b", "c"]
    assert monotonic() >= now + 0.03


async def test_a_later_time_does_not_move_an_item_and_an_earlier_one_does() -> None:
    looks, item, now = Looks(), Item("x"), monotonic()
    looks.deadlines.at(now + 60, item)
    looks.deadlines.at(now + 0.01, item)
    looks.deadlines.at(now + 30, item)
    assert item.wakes_at == now + 0.01
    await looks.until(1)
    assert item.wakes_at == NEVER


async def test_an_item_may_be_put_back_while_it_is_looked_at() -> None:
    looks = Looks(put_back_s=0.005)
    looks.deadlines.at(monotonic(), Item("x"))
    await looks.until(2)
    assert looks.names == ["x", "x"]


async def test_all_that_is_due_shares_one_pass() -> None:
    looks, now = Looks(), monotonic() - 1
    for number in range(10):
        looks.deadlines.at(now, Item(str(number)))
    await looks.until(10)
    assert looks.passes == 1


async def test_after_the_close_nothing_is_due() -> None:
    looks = Looks()
    looks.deadlines.at(monotonic(), Item("x"))
    looks.deadlines.close()
    looks.deadlines.at(monotonic(), Item("y"))
    looks.deadlines.close()
    await asyncio.sleep(0.01)
    assert looks.names == []
