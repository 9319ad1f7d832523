"""Events of a program on their way through its server: what is confirmed is stored, all of it and once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtara.core.model import EventType
from runtara.core.persistence.base import AppendEvent, Outcome, Write
from runtara.errors import InternalError
from runtara.protocol import messages as m
from runtara.transport.peer import Peer
from tests.support.launched import connected, launch
from tests.support.management import World, memory_server


@dataclass
class Program:
    """A registered connection of the instance ``i-1``."""

    world: World
    peer: Peer

    async def append(self, *subtypes: str) -> None:
        message = m.AppendEvents(tuple((subtype, None) for subtype in subtypes))
        assert await self.peer.call(message, timeout_s=10) == m.Ok()

    async def stored(self) -> list[str | None]:
        number = (await self.world.instance("i-1", "default")).instance_no
        events = await self.world.persistence.list_events(
            number, after_event_no=0, limit=1000, types=(EventType.CUSTOM,)
        )
        return [event.subtype for event in events]


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    async with memory_server(tmp_path / "data", drain_s=0) as world, world.client() as client:
        record = (await launch(world, client, "i-1"))["i-1"]
        async with connected(world, record.psk) as peer:
            await peer.call(m.Register(record.instance_id, record.tenant_id), timeout_s=10)
            yield Program(world, peer)


async def test_events_are_stored_in_their_order(program: Program) -> None:
    await program.append()
    await program.append("a", "b")
    await program.append("c")
    assert await program.stored() == ["a", "b", "c"]


@pytest.mark.parametrize("subtypes", [("bad", "good"), ("good", "bad")], ids=" ".join)
async def test_one_event_that_is_not_stored_is_told_wherever_it_is_in_its_batch(
    program: Program, subtypes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = program.world.persistence.write

    async def writes_nothing_bad(batch: Sequence[Write]) -> Sequence[Outcome]:
        assert not any(isinstance(each, AppendEvent) and each.subtype == "bad" for each in batch)
        return await write(batch)

    monkeypatch.setattr(program.world.persistence, "write", writes_nothing_bad)
    with pytest.raises(InternalError):
        await program.append(*subtypes)
    assert await program.stored() == ["good"]
