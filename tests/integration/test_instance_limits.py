"""The server's side of the limits of a program, asked by one that does not keep to its own: each one past it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtara.errors import InvalidRequest, LimitExceeded
from runtara.limits import (
    CHECKPOINT_BYTES_MAX,
    CHECKPOINT_KEY_BYTES_MAX,
    CHECKPOINTS_PER_REQUEST_MAX,
    ERROR_BYTES_MAX,
    EVENT_PAYLOAD_BYTES_MAX,
    NAME_CHARACTERS_MAX,
    OUTPUT_BYTES_MAX,
    PREFETCH_BYTES_MAX,
)
from runtara.protocol import messages as m
from runtara.protocol.launch import KnownCheckpoint
from runtara.sdk.checkpoints import seal
from runtara.transport.peer import Peer
from tests.support.launched import connected, launch
from tests.support.management import memory_server

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STATE = seal(b"1")
LONG_KEY = "k" * (CHECKPOINT_KEY_BYTES_MAX + 1)
LONG_NAME = "n" * (NAME_CHARACTERS_MAX + 1)


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[Peer]:
    """The registered connection of a program that runs."""
    async with memory_server(tmp_path / "data", drain_s=0) as world, world.client() as client:
        record = (await launch(world, client, "i-1"))["i-1"]
        async with connected(world, record.psk) as peer:
            await peer.call(m.Register(record.instance_id, record.tenant_id), timeout_s=10)
            yield peer


@pytest.mark.parametrize(
    "request_",
    [
        # A sealed envelope may be a little larger than its state.
        m.SaveCheckpoint("k", bytes(CHECKPOINT_BYTES_MAX + 65)),
        m.SaveCheckpoints((KnownCheckpoint("k", bytes(CHECKPOINT_BYTES_MAX + 65)),)),
        m.SaveCheckpoints(tuple(KnownCheckpoint(f"k{n}", STATE) for n in range(CHECKPOINTS_PER_REQUEST_MAX + 1))),
        m.AppendEvents((("small", None), ("large", bytes(EVENT_PAYLOAD_BYTES_MAX + 1)))),
        m.RecordRetry(m.RetryRecord("k", 1, bytes(ERROR_BYTES_MAX + 1), NOW)),
        m.Complete(bytes(OUTPUT_BYTES_MAX + 1)),
        m.Fail(bytes(ERROR_BYTES_MAX + 1)),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_one_byte_too_many_is_refused_with_the_limit_and_the_program_goes_on(
    program: Peer, request_: m.Message
) -> None:
    with pytest.raises(LimitExceeded) as caught:
        await program.call(request_, timeout_s=10)
    assert caught.value.attributes["maximum"] < caught.value.attributes["actual"]
    assert await program.call(m.SaveCheckpoint("after", STATE), timeout_s=10) == m.CheckpointSaved()
    assert await program.call(m.Complete(b"1"), timeout_s=10) == m.Ok()


@pytest.mark.parametrize(
    "request_",
    [
        m.SaveCheckpoint(LONG_KEY, STATE),
        m.SaveCheckpoints((KnownCheckpoint("good", STATE), KnownCheckpoint(LONG_KEY, STATE))),
        m.GetCheckpoint(LONG_KEY),
        m.ReadCheckpoints(LONG_KEY),
        m.RecordRetry(m.RetryRecord(LONG_KEY, 1, b"{}", NOW)),
        m.AppendEvents(((LONG_NAME, None),)),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_one_character_too_many_is_no_key_and_no_name(program: Peer, request_: m.Message) -> None:
    with pytest.raises(InvalidRequest):
        await program.call(request_, timeout_s=10)
    assert await program.call(m.SaveCheckpoint("k" * CHECKPOINT_KEY_BYTES_MAX, STATE), timeout_s=10)


async def test_a_page_of_checkpoints_is_bounded_whatever_is_asked_for(program: Peer) -> None:
    chance = random.Random(1)
    for number in range(5):
        state = seal(chance.randbytes(PREFETCH_BYTES_MAX // 4))
        await program.call(m.SaveCheckpoint(f"k{number}", state), timeout_s=10)
    page = await program.call(m.ReadCheckpoints(bytes_max=10**12), timeout_s=10)
    assert isinstance(page, m.CheckpointPage)
    assert not page.complete
    assert sum(len(row.state) for row in page.checkpoints) <= PREFETCH_BYTES_MAX
    rest = await program.call(m.ReadCheckpoints(page.checkpoints[-1].key, 10**12), timeout_s=10)
    assert isinstance(rest, m.CheckpointPage)
    assert [row.key for row in (*page.checkpoints, *rest.checkpoints)] == [f"k{number}" for number in range(5)]


async def test_many_checkpoints_are_stored_in_one_request_and_the_first_state_of_a_key_holds(program: Peer) -> None:
    await program.call(m.SaveCheckpoint("k1", seal(b"first")), timeout_s=10)
    many = tuple(KnownCheckpoint(f"k{n}", seal(b"%d" % n)) for n in range(CHECKPOINTS_PER_REQUEST_MAX))
    assert await program.call(m.SaveCheckpoints(many), timeout_s=10) == m.Ok()
    assert await program.call(m.SaveCheckpoints(()), timeout_s=10) == m.Ok()
    assert await program.call(m.GetCheckpoint("k1"), timeout_s=10) == m.CheckpointState(seal(b"first"))
    assert await program.call(m.GetCheckpoint("k999"), timeout_s=10) == m.CheckpointState(seal(b"999"))


async def test_a_damaged_checkpoint_among_many_is_refused_with_all_of_them(program: Peer) -> None:
    many = (KnownCheckpoint("whole", STATE), KnownCheckpoint("damaged", STATE[:-1] + b"?"))
    with pytest.raises(InvalidRequest, match="damaged"):
        await program.call(m.SaveCheckpoints(many), timeout_s=10)
    assert await program.call(m.GetCheckpoint("whole"), timeout_s=10) == m.CheckpointState(None)
