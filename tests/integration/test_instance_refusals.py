"""Who may speak for an instance: every request of the instance endpoint, over real QUIC, by everybody who may not.

The table names each request once; a message that is neither in it nor an answer fails the test, so a new one cannot
be forgotten. The victim's own program stays connected throughout: nothing that others try may disturb it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from runtara.core.model import EventType
from runtara.environment.access import new_token
from runtara.errors import BadCredential, InvalidRequest, RuntaraError
from runtara.protocol import codec
from runtara.protocol import messages as m
from runtara.protocol.framing import cut_frames
from runtara.protocol.launch import KnownCheckpoint, LaunchRecord, Psk
from runtara.sdk.checkpoints import seal
from runtara.testing.contracts.transport import Raw
from runtara.transport.base import ClientOptions
from runtara.transport.peer import Peer
from tests.support.launched import connected, launch
from tests.support.management import World, memory_server
from tests.support.quic_network import QuicNetwork

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REGISTER = m.Register("i-1", "acme")
REQUESTS: dict[type[m.Message], m.Message] = {
    m.Register: m.Register("i-1", "acme", wants_input=True),
    m.SaveCheckpoint: m.SaveCheckpoint("stolen", seal(b"1")),
    m.SaveCheckpoints: m.SaveCheckpoints((KnownCheckpoint("stolen", seal(b"1")),)),
    m.GetCheckpoint: m.GetCheckpoint("mine"),
    m.ReadCheckpoints: m.ReadCheckpoints(),
    m.AppendEvents: m.AppendEvents((("stolen", None),)),
    m.RecordRetry: m.RecordRetry(m.RetryRecord("stolen", 1, b"{}", NOW)),
    m.Complete: m.Complete(b'"stolen"'),
    m.Fail: m.Fail(b'{"code":"STOLEN"}'),
    m.Sleep: m.Sleep(NOW),
    m.Wait: m.Wait("stolen", None),
    m.Yield: m.Yield(),
    m.AckSignal: m.AckSignal(1),
}
ANSWERS = {
    m.SignalPending, m.RetryRecord, m.Registered, m.CheckpointSaved, m.CheckpointState, m.CheckpointPage, m.Parked,
    m.SignalAcked,
}  # fmt: skip
OF_BOTH_ENDPOINTS = {m.Hello, m.Welcome, m.Ok, m.Ping}

ROWS = pytest.mark.parametrize("request_", REQUESTS.values(), ids=[kind.__name__ for kind in REQUESTS])


@dataclass
class Stage:
    """The instances ``i-1`` and ``i-2`` of the tenant acme run; the program of the first one has registered."""

    world: World
    records: dict[str, LaunchRecord] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    victim: Peer = field(init=False)

    async def tell(
        self, *requests: m.Message, psk: Psk | None = None, token: str | None = None, waits: bool = True
    ) -> list[Any]:
        """The answers to a hello and to these, which wait for the welcome or not. Raises when nobody is let in."""
        raw = Raw()
        channel = await self.world.network.transport().connect(
            self.world.server.instance_address, ClientOptions(psk=psk, skip_verification=psk is None), raw
        )
        hello = m.Hello(m.PROTOCOL_VERSIONS, "test", token)
        try:
            channel.send(codec.encode(codec.REQUEST, 1, hello, frame_bytes_max=65536))
            welcome = await answers_of(raw, 1) if waits else []
            for number, request in enumerate(requests, start=2):
                channel.send(codec.encode(codec.REQUEST, number, request, frame_bytes_max=65536))
            return welcome + await answers_of(raw, 1 + len(requests) - len(welcome))
        finally:
            channel.close()
            await raw.is_closed.wait()

    async def traces(self) -> list[Any]:
        """Everything that is stored of both instances."""
        stored: list[Any] = []
        for instance_id in ("i-1", "i-2"):
            instance = await self.world.instance(instance_id, "acme")
            number, persistence = instance.instance_no, self.world.persistence
            stored += [
                instance,
                await persistence.read_checkpoints(number, after=None, bytes_max=1000),
                await persistence.list_events(number, after_event_no=0, limit=100, types=tuple(EventType)),
                await persistence.read_retries(number),
                await persistence.pending_signals(number),
            ]
        return stored


async def answers_of(raw: Raw, count: int) -> list[Any]:
    """So many answers, in the order of their requests."""
    found: dict[int, Any] = {}
    data = b""
    async with asyncio.timeout(10):
        while len(found) < count:
            await raw.has_data.wait()
            data += raw.take()
            payloads, taken = cut_frames(data, frame_bytes_max=65536)
            data = data[taken:]
            found |= {number: body for kind, number, body in map(codec.decode, payloads) if kind != codec.PUSH}
    return [found[number] for number in sorted(found)]


@pytest.fixture(params=["qh3", pytest.param("aioquic", marks=pytest.mark.slow)])
async def stage(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[Stage]:
    async with memory_server(tmp_path / "data", network=QuicNetwork(request.param), drain_s=0) as world:
        stage = Stage(world)
        await prepare(stage)
        async with registered(stage, stage.records["i-1"].psk) as stage.victim:
            yield stage


async def prepare(stage: Stage) -> None:
    async with stage.world.client() as admin:
        for name in ("acme", "globex"):
            stage.tokens[name] = (await admin.create_token(tenant_id=name)).token
    async with stage.world.client(stage.tokens["acme"]) as client:
        stage.records = await launch(stage.world, client, "i-1", "i-2")
        await client.send_custom_signal("i-1", "go", 1)


@asynccontextmanager
async def registered(stage: Stage, psk: Psk) -> AsyncIterator[Peer]:
    """The program of ``i-1``, with one checkpoint saved."""
    async with connected(stage.world, psk) as peer:
        await peer.call(REGISTER, timeout_s=10)
        await peer.call(m.SaveCheckpoint("mine", seal(b"1")), timeout_s=10)
        yield peer


@asynccontextmanager
async def undisturbed(stage: Stage) -> AsyncIterator[None]:
    """Whatever happens inside changes nothing, and the program itself goes on."""
    before = await stage.traces()
    yield
    assert await stage.traces() == before
    assert await stage.victim.call(m.GetCheckpoint("mine"), timeout_s=10) == m.CheckpointState(seal(b"1"))


def codes(answers: Sequence[Any]) -> list[str]:
    return [answer.code if isinstance(answer, RuntaraError) else type(answer).__name__ for answer in answers]


def test_every_message_of_the_instance_endpoint_is_in_the_table_or_is_an_answer() -> None:
    kinds = [kind for kind in vars(m).values() if isinstance(kind, type) and issubclass(kind, m.Message)]
    kinds = [kind for kind in kinds if kind is not m.Message]
    assert set(REQUESTS) | ANSWERS == {kind for kind in kinds if 10 <= tag_of(kind) < 50}
    assert not set(REQUESTS) & ANSWERS
    assert {kind for kind in kinds if tag_of(kind) < 10} == OF_BOTH_ENDPOINTS


def tag_of(kind: type[m.Message]) -> int:
    tag = kind.__struct_config__.tag
    assert isinstance(tag, int)
    return tag


@ROWS
async def test_the_program_itself_is_answered(stage: Stage, request_: m.Message) -> None:
    """Or else the refusals below would prove nothing."""
    answer = await stage.victim.call(request_, timeout_s=10)
    assert not isinstance(answer, RuntaraError)


@ROWS
async def test_without_a_credential_and_with_no_or_a_wrong_token_nothing_is_answered(
    stage: Stage, request_: m.Message
) -> None:
    async with undisturbed(stage):
        for token in (None, "", "x", new_token()):
            for waits in (True, False):
                answers = await stage.tell(REGISTER, request_, token=token, waits=waits)
                assert codes(answers) == [BadCredential.code, InvalidRequest.code, InvalidRequest.code]


@ROWS
async def test_the_token_of_another_tenant_opens_no_instance_of_this_one(stage: Stage, request_: m.Message) -> None:
    async with undisturbed(stage):
        welcome, *refusals = await stage.tell(REGISTER, request_, token=stage.tokens["globex"])
        assert isinstance(welcome, m.Welcome)
        assert codes(refusals) == [BadCredential.code, refused(request_)]


def refused(request: m.Message) -> str:
    """How a request is refused by which the sender may have meant another instance, or none."""
    return BadCredential.code if isinstance(request, m.Register) else InvalidRequest.code


@ROWS
async def test_the_credential_of_another_instance_opens_its_own_only(stage: Stage, request_: m.Message) -> None:
    async with undisturbed(stage):
        welcome, *refusals = await stage.tell(REGISTER, request_, psk=stage.records["i-2"].psk)
        assert isinstance(welcome, m.Welcome)
        assert codes(refusals) == [BadCredential.code, refused(request_)]


Forge = Callable[[Stage], Awaitable[Psk]]


async def spent(stage: Stage) -> Psk:
    """The program has registered with it."""
    return stage.records["i-1"].psk


async def with_another_secret(stage: Stage) -> Psk:
    fresh = stage.world.server.assembly.engine.credentials.mint(await number_of(stage), 1)
    return msgspec.structs.replace(fresh, secret=bytes(48))


async def of_another_attempt(stage: Stage) -> Psk:
    """The label of an attempt that is to come, around the number of this one: the proof in it does not fit."""
    fresh = stage.world.server.assembly.engine.credentials.mint(await number_of(stage), 1)
    return msgspec.structs.replace(fresh, label=fresh.label[:12] + b"\x02" + fresh.label[13:])


async def made_up(stage: Stage) -> Psk:
    fresh = stage.world.server.assembly.engine.credentials.mint(await number_of(stage), 1)
    return msgspec.structs.replace(fresh, label=bytes(len(fresh.label)))


async def of_a_former_attempt(stage: Stage) -> Psk:
    """Genuine, and never used; but a later attempt has come by."""
    return stage.world.server.assembly.engine.credentials.mint(await number_of(stage), 0)


async def number_of(stage: Stage) -> Any:
    return (await stage.world.instance("i-1", "acme")).instance_no


FORGES = [spent, of_a_former_attempt, with_another_secret, of_another_attempt, made_up]


@ROWS
async def test_a_credential_that_is_spent_or_forged_opens_no_connection(stage: Stage, request_: m.Message) -> None:
    for forge in FORGES:
        psk = await forge(stage)
        async with undisturbed(stage):
            with pytest.raises(BadCredential):
                await stage.tell(request_, psk=psk)


# ---- when a credential is spent


async def test_a_connection_that_is_lost_before_it_registered_leaves_its_credential_good(stage: Stage) -> None:
    psk = stage.records["i-2"].psk
    assert codes(await stage.tell(psk=psk)) == ["Welcome"]
    # A registration that is refused leaves it good as well.
    assert codes(await stage.tell(REGISTER, psk=psk)) == ["Welcome", BadCredential.code]
    assert codes(await stage.tell(m.Register("i-2", "acme"), psk=psk)) == ["Welcome", "Registered"]
    with pytest.raises(BadCredential):
        await stage.tell(m.Register("i-2", "acme"), psk=psk)


async def test_of_two_connections_with_one_credential_only_the_first_registers(stage: Stage) -> None:
    psk, register = stage.records["i-2"].psk, m.Register("i-2", "acme")
    async with connected(stage.world, psk) as first, connected(stage.world, psk) as second:
        await first.call(register, timeout_s=10)
        with pytest.raises(BadCredential):
            await second.call(register, timeout_s=10)
        with pytest.raises(InvalidRequest):
            await second.call(m.SaveCheckpoint("stolen", seal(b"1")), timeout_s=10)
        # The first one may register again: so it renews the credential for its next connection.
        await first.call(register, timeout_s=10)
        await first.call(m.SaveCheckpoint("mine", seal(b"1")), timeout_s=10)
