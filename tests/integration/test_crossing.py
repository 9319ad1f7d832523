"""Who may ask what: every management message, asked by everybody; the refusals over real QUIC too.

The table names each request of the protocol once, about a thing of the tenant *acme*; a message that is in neither
table fails the test, so a new one cannot be forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from runtara.environment.access import new_token
from runtara.environment.verbs.table import all_verbs, core_verbs
from runtara.errors import BadCredential, Conflict, InvalidRequest, NotFound, PermissionDenied, RuntaraError
from runtara.protocol import messages as m
from runtara.transport.base import ClientOptions
from runtara.transport.peer import Peer, Reply, connect_peer
from tests.support.certificates import certificates
from tests.support.management import World, memory_server
from tests.support.quic_network import QuicNetwork

ARTIFACT = b"print('an artifact')\n"
DIGEST = hashlib.sha256(ARTIFACT).hexdigest()
OTHER = b"print('another artifact')\n"


@dataclass(frozen=True)
class Row:
    """One request."""

    ask: Callable[[Stage], m.Message]
    stranger: str
    """What somebody of another tenant hears: ``unknown`` (as if it did not exist), ``nothing`` (an empty answer),
    ``own`` (it is about his own tenant), ``admin`` (it is not for tenants), ``session`` (it ends with the connection)
    or ``anybody``."""


@dataclass
class Stage:
    """Things of acme, and a token of each kind."""

    world: World
    image: m.ImageView
    instance_id: str
    tokens: dict[str, str | None]


TABLE: dict[type[m.Message], Row] = {
    m.Health: Row(lambda stage: m.Health(), "anybody"),
    m.BeginImage: Row(lambda stage: m.BeginImage(None, "new", len(OTHER), hashlib.sha256(OTHER).hexdigest()), "own"),
    m.UploadChunk: Row(lambda stage: m.UploadChunk(1, 0, b"x"), "session"),
    m.FinishImage: Row(lambda stage: m.FinishImage(1), "session"),
    m.RegisterImage: Row(lambda stage: m.RegisterImage(None, "new", OTHER), "own"),
    m.ListImages: Row(lambda stage: m.ListImages(), "nothing"),
    m.GetImage: Row(lambda stage: m.GetImage(None, stage.image.image_id), "unknown"),
    m.DeleteImage: Row(lambda stage: m.DeleteImage(None, stage.image.image_id), "unknown"),
    m.StartInstance: Row(lambda stage: m.StartInstance(None, stage.image.image_id, None, b"{}"), "unknown"),
    m.GetInstance: Row(lambda stage: m.GetInstance(None, stage.instance_id), "unknown"),
    m.ListInstances: Row(lambda stage: m.ListInstances(), "nothing"),
    m.PauseInstance: Row(lambda stage: m.PauseInstance(None, stage.instance_id), "unknown"),
    m.ResumeInstance: Row(lambda stage: m.ResumeInstance(None, stage.instance_id), "unknown"),
    m.CancelInstance: Row(lambda stage: m.CancelInstance(None, stage.instance_id), "unknown"),
    m.StopInstance: Row(lambda stage: m.StopInstance(None, stage.instance_id, 0.0), "unknown"),
    m.SendCustomSignal: Row(lambda stage: m.SendCustomSignal(None, stage.instance_id, "go"), "unknown"),
    m.ListCheckpoints: Row(lambda stage: m.ListCheckpoints(None, stage.instance_id), "unknown"),
    m.GetCheckpointState: Row(lambda stage: m.GetCheckpointState(None, stage.instance_id, "key"), "unknown"),
    m.ListEvents: Row(lambda stage: m.ListEvents(None, stage.instance_id), "unknown"),
    m.WatchInstance: Row(lambda stage: m.WatchInstance(None, stage.instance_id, 1), "unknown"),
    m.UnwatchInstance: Row(lambda stage: m.UnwatchInstance(1), "session"),
    m.ReadLogs: Row(lambda stage: m.ReadLogs(None, stage.instance_id, "stdout"), "unknown"),
    m.CreateToken: Row(lambda stage: m.CreateToken("acme"), "admin"),
    m.ListTokens: Row(lambda stage: m.ListTokens(), "admin"),
    m.RevokeToken: Row(lambda stage: m.RevokeToken("x"), "admin"),
}
ANSWERS = {
    m.InstanceView, m.HealthReport, m.ImageView, m.UploadBegun, m.ImageRegistered, m.ImagePage, m.InstanceStarted,
    m.InstancePage, m.SignalAccepted, m.CheckpointView, m.CheckpointList, m.EventView, m.EventList, m.InstanceChanged,
    m.LogChunk, m.TokenCreated, m.TokenView, m.TokenList,
}  # fmt: skip

# The state may forbid it (nothing is paused, the image is in use, there is no such key): that is an answer.
ANSWERED = {"answered", "state.illegal_transition", "image.in_use", "request.not_found", "request.invalid"}

ROWS = pytest.mark.parametrize("row", TABLE.values(), ids=[kind.__name__ for kind in TABLE])
FOR_TENANTS = [kind for kind in TABLE if "tenant_id" in kind.__struct_fields__]


def management_messages() -> set[type[m.Message]]:
    kinds = [kind for kind in vars(m).values() if isinstance(kind, type) and issubclass(kind, m.Message)]
    return {kind for kind in kinds if kind is not m.Message and 100 <= kind.__struct_config__.tag < 200}


def ascii_start(value: str) -> str:
    return ascii(value)[:12]


class Quiet:
    """A client that only asks."""

    def opened(self, peer: Peer) -> None: ...

    def pushed(self, peer: Peer, message: m.Message) -> None: ...

    def closed(self, peer: Peer, error: Exception | None) -> None: ...

    def request(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        reply.send(m.Ok())
        return True


@asynccontextmanager
async def peer_of(stage: Stage, who: str, *, ca_pem: bytes | None = None) -> AsyncIterator[Peer]:
    """A welcomed client that pins the server's certificate authority, or the one that is given."""
    server = stage.world.server
    peer = await connect_peer(
        stage.world.network.transport(),
        server.management_address,
        ClientOptions(ca_pem=ca_pem or server.data_dir.ca_certificate.read_bytes()),
        m.Hello(m.PROTOCOL_VERSIONS, "test", stage.tokens[who]),
        Quiet(),
        timeout_s=5.0,
    )
    try:
        yield peer
    finally:
        peer.close()


async def ask(stage: Stage, who: str, request: m.Message, *, ca_pem: bytes | None = None) -> m.Message:
    async with peer_of(stage, who, ca_pem=ca_pem) as peer:
        return await peer.call(request, timeout_s=5.0)


@pytest.fixture
async def stage(tmp_path):
    async with staged(tmp_path / "data", network=None) as stage:
        yield stage


@pytest.fixture(params=["qh3", pytest.param("aioquic", marks=pytest.mark.slow)])
async def quic_stage(request, tmp_path):
    """The same over real QUIC."""
    async with staged(tmp_path / "data", network=QuicNetwork(request.param)) as stage:
        yield stage


@asynccontextmanager
async def staged(data_dir: Path, *, network: QuicNetwork | None) -> AsyncIterator[Stage]:
    async with memory_server(data_dir, network=network, drain_s=0) as world, world.client() as admin:
        tokens = {name: (await admin.create_token(tenant_id=name)).token for name in ("acme", "globex")}
        revoked = await admin.create_token(tenant_id="acme")
        await admin.revoke_token(revoked.token_id)
        tokens |= {
            "nobody": None,
            "wrong": new_token(),
            "revoked": revoked.token,
            "admin": world.server.data_dir.admin_token.read_text().strip(),
        }
        stage = Stage(world, None, "i-1", tokens)  # type: ignore[arg-type]
        registered = await ask(stage, "acme", m.RegisterImage(None, "orders", ARTIFACT))
        assert isinstance(registered, m.ImageRegistered)
        stage.image = registered.image
        await ask(stage, "acme", m.StartInstance(None, "orders", "i-1", b"{}"))
        yield stage


def test_every_management_message_is_in_the_table_or_is_an_answer():
    assert set(TABLE) | ANSWERS == management_messages()
    assert not set(TABLE) & ANSWERS


def test_every_request_of_the_table_has_a_verb_and_no_verb_is_without_a_request():
    class Anything:
        images = None
        clock = type("Clock", (), {"monotonic": staticmethod(lambda: 0.0)})

    full = all_verbs(Anything(), Anything(), Anything(), facts=dict)  # type: ignore[arg-type]
    core = core_verbs(Anything(), facts=dict)  # type: ignore[arg-type]
    assert set(full) == set(TABLE)
    assert set(core) < set(full)


@ROWS
async def test_without_a_token_only_the_health_is_answered(stage, row):
    request = row.ask(stage)
    if row.stranger == "anybody":
        report = await ask(stage, "nobody", request)
        assert (report.counts, report.detail) == ({}, {})
        return
    with pytest.raises(BadCredential):
        await ask(stage, "nobody", request)


@ROWS
async def test_a_token_that_is_none_opens_nothing_not_even_the_health(stage, row):
    for who in ("wrong", "revoked"):
        with pytest.raises(BadCredential):
            await ask(stage, who, row.ask(stage))


@ROWS
async def test_over_quic_everybody_who_may_not_ask_is_refused(quic_stage, row):
    request = row.ask(quic_stage)
    before = await quic_stage.world.instance("i-1", "acme")
    for who in ("wrong", "revoked", *(() if row.stranger == "anybody" else ("nobody",))):
        with pytest.raises(BadCredential):
            await ask(quic_stage, who, request)
    refusal = {"unknown": NotFound, "admin": PermissionDenied}.get(row.stranger)
    if refusal is not None:
        with pytest.raises(refusal):
            await ask(quic_stage, "globex", request)
    assert await quic_stage.world.instance("i-1", "acme") == before


@ROWS
async def test_over_quic_a_server_with_another_certificate_is_asked_nothing(quic_stage, row):
    """The client finds out before it says its token."""
    with pytest.raises(BadCredential):
        await ask(quic_stage, "admin", row.ask(quic_stage), ca_pem=certificates().other_ca)


@ROWS
async def test_over_quic_the_administrator_is_answered(quic_stage, row):
    """Or else the refusals would prove nothing."""
    assert await answer_or_refusal(quic_stage, "admin", row.ask(quic_stage)) in ANSWERED


@ROWS
async def test_another_tenant_sees_and_touches_nothing_of_it(stage, row):
    before = await stage.world.instance("i-1", "acme")
    request = row.ask(stage)
    match row.stranger:
        case "unknown":
            with pytest.raises(NotFound):
                await ask(stage, "globex", request)
        case "nothing":
            answer = await ask(stage, "globex", request)
            assert not getattr(answer, answer.__struct_fields__[0])
        case "own":
            answer = await ask(stage, "globex", request)
            assert isinstance(answer, m.UploadBegun) or answer.image.tenant_id == "globex"
        case "admin":
            with pytest.raises(PermissionDenied):
                await ask(stage, "globex", request)
        case "session":
            if isinstance(request, m.UnwatchInstance):
                assert await ask(stage, "globex", request) == m.Ok()
            else:
                with pytest.raises(InvalidRequest, match="no upload"):
                    await ask(stage, "globex", request)
        case "anybody":
            assert (await ask(stage, "globex", request)).healthy
    after = await stage.world.instance("i-1", "acme")
    assert after.status not in ("cancelled", "suspended")
    assert before.instance_no == after.instance_no


@pytest.mark.parametrize("kind", FOR_TENANTS, ids=lambda kind: kind.__name__)
async def test_naming_another_tenant_is_answered_as_naming_an_unknown_one(stage, kind):
    request = TABLE[kind].ask(stage)
    for tenant_id in ("acme", "nowhere"):
        with pytest.raises(NotFound, match=f"there is no tenant '{tenant_id}'"):
            await ask(stage, "globex", msgspec.structs.replace(request, tenant_id=tenant_id))


@pytest.mark.parametrize("kind", FOR_TENANTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("tenant_id", ["", "a/b", "../acme", "a\0", "x" * 10_000], ids=ascii_start)
async def test_what_is_no_tenant_is_refused_from_everybody(stage, kind, tenant_id):
    request = msgspec.structs.replace(TABLE[kind].ask(stage), tenant_id=tenant_id)
    for who in ("admin", "acme"):
        with pytest.raises(InvalidRequest):
            await ask(stage, who, request)


@ROWS
@pytest.mark.parametrize("who", ["acme", "admin"])
async def test_the_owner_and_an_administrator_are_answered(stage, row, who):
    request = row.ask(stage)
    if row.stranger == "admin" and who != "admin":
        with pytest.raises(PermissionDenied):
            await ask(stage, who, request)
        return
    heard = await answer_or_refusal(stage, who, request)
    assert heard in ANSWERED
    if heard == "request.not_found":
        assert isinstance(request, m.GetCheckpointState | m.RevokeToken)


async def answer_or_refusal(stage: Stage, who: str, request: m.Message) -> str:
    try:
        await ask(stage, who, request)
    except RuntaraError as error:
        return error.code
    return "answered"


async def test_an_administrator_may_name_any_tenant(stage):
    view = await ask(stage, "admin", m.GetInstance("acme", "i-1"))
    assert view.tenant_id == "acme"
    with pytest.raises(NotFound):
        await ask(stage, "admin", m.GetInstance("globex", "i-1"))


async def test_two_tenants_may_use_the_same_ids_and_names_and_an_administrator_must_say_whose(stage):
    await ask(stage, "globex", m.RegisterImage(None, "orders", ARTIFACT))
    await ask(stage, "globex", m.StartInstance(None, "orders", "i-1", b"{}"))
    assert (await ask(stage, "globex", m.GetInstance(None, "i-1"))).tenant_id == "globex"
    assert (await ask(stage, "acme", m.GetInstance(None, "i-1"))).tenant_id == "acme"
    assert (await ask(stage, "admin", m.GetInstance("globex", "i-1"))).tenant_id == "globex"
    with pytest.raises(Conflict):
        await ask(stage, "admin", m.GetInstance(None, "i-1"))


async def test_the_bytes_of_another_tenant_are_not_given_away_by_their_digest(stage):
    begun = await ask(stage, "globex", m.BeginImage(None, "orders", len(ARTIFACT), DIGEST))
    assert begun.image is None
