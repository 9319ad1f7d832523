"""Events of a program on their way through its server: what is confirmed is stored, all of it and once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtara.core.model import EventType
from runtara.core.persistence.base import AppendEvent, Outcome, Write
from runtara.errors import InternalError, InvalidRequest, Overloaded
from runtara.protocol import messages as m
from runtara.transport.peer import Peer
from tests.support.launched import connected, launch
from tests.support.management import World, memory_server


@dataclass
class Program:
    """A registered connection of the instance ``i-1``."""

    world: World
    peer: Peer

    async def append(self, *subtypes: str, first_no: int = 0) -> None:
        message = m.AppendEvents(tuple((subtype, None) for subtype in subtypes), first_no)
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


async def test_numbered_events_that_come_again_are_stored_once(program: Program) -> None:
    await program.append("a", "b", first_no=1)
    await program.append("a", "b", "c", first_no=1)
    await program.append("c", "d", first_no=3)
    assert await program.stored() == ["a", "b", "c", "d"]


async def test_without_a_number_they_are_stored_as_often_as_they_come(program: Program) -> None:
    for _ in range(2):
        await program.append("a")
    assert await program.stored() == ["a", "a"]


async def test_a_batch_that_fills_the_queue_is_stored_once_when_it_is_sent_again(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program.world.server.assembly.engine.writer, "_queue_max", 2)
    with pytest.raises(Overloaded):
        await program.append("a", "b", "c", first_no=1)
    monkeypatch.undo()
    await program.append("a", "b", "c", first_no=1)
    assert await program.stored() == ["a", "b", "c"]


@pytest.mark.parametrize("first_no", [-1, 2**53])
async def test_what_is_no_number_is_refused(program: Program, first_no: int) -> None:
    with pytest.raises(InvalidRequest):
        await program.append("a", first_no=first_no)
    assert await program.stored() == []
