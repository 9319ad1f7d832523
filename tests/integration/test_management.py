"""The management verbs through the client, on a server whose database, network and processes are in memory."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import resource
from contextlib import aclosing, contextmanager
from functools import partial

import anyio
import pytest

from runtara._native import api as native
from runtara.client import InstanceFailed, ResultTimeout
from runtara.core.model import EventType
from runtara.core.persistence.base import AppendEvent, SaveCheckpoint
from runtara.core.state import Change
from runtara.environment import service
from runtara.environment.access import new_token
from runtara.environment.service import ManagementConnection, Verb
from runtara.errors import (
    AlreadyExists,
    BadCredential,
    DiskFull,
    IllegalTransition,
    ImageDigestMismatch,
    ImageInUse,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    Overloaded,
    Unavailable,
)
from runtara.ids import CheckpointKey
from runtara.limits import (
    INPUT_BYTES_MAX,
    LOG_BYTES_MAX,
    MANAGEMENT_REQUESTS_MAX,
    MANAGEMENT_REQUESTS_PER_CONNECTION_MAX,
    PAGE_ROWS_MAX,
    PREFETCH_BYTES_MAX,
    SCRIPT_BYTES_MAX,
    SIGNAL_PAYLOAD_BYTES_MAX,
    STOP_GRACE_S_MAX,
    UPLOADS_PER_CONNECTION_MAX,
    WATCHES_PER_CONNECTION_MAX,
)
from runtara.protocol import messages as m
from tests.support.management import Program, completes, memory_server

ARTIFACT = b"print('an artifact')\n"


@pytest.fixture
async def world(tmp_path):
    async with memory_server(tmp_path / "data", drain_s=0) as world:
        yield world


@pytest.fixture
async def client(world):
    async with world.client() as client:
        await client.register_image(ARTIFACT, name="orders")
        yield client


async def running(client, instance_id="i-1", **given):
    """An instance that runs."""
    handle = await client.start_instance("orders", instance_id=instance_id, **given)
    async with aclosing(handle.changes()) as changes:
        async for instance in changes:
            if instance.status == "running":
                return handle
    raise AssertionError("it ended")


# ---- starting


async def test_the_same_start_is_the_same_instance_and_another_one_is_a_conflict(client):
    first = await client.start_instance("orders", instance_id="i-1", input={"a": 1}, env={"A": "1"})
    again = await client.start_instance("orders", instance_id="i-1", input={"a": 1}, env={"A": "1"})
    assert (first.started.created, again.started.created) == (True, False)
    for other in ({"input": {"a": 2}}, {"env": {"A": "2"}}, {"timeout_s": 5}):
        given = {"input": {"a": 1}, "env": {"A": "1"}} | other
        with pytest.raises(AlreadyExists):
            await client.start_instance("orders", instance_id="i-1", **given)


async def test_an_image_is_started_by_name_or_by_id_and_the_name_leads_to_the_newest(client):
    former = await client.get_image("orders")
    newer = await client.register_image(b"print('newer')\n", name="orders")
    by_name = await client.start_instance("orders")
    by_id = await client.start_instance(former.image_id)
    assert (by_name.started.image_id, by_id.started.image_id) == (newer.image_id, former.image_id)


async def test_a_result_is_pushed(world, client):
    world.behaviours["i-1"] = completes
    handle = await client.start_instance("orders", instance_id="i-1")
    assert await handle.result(timeout_s=5) == {"total": 3}
    instance = await handle.status(with_input=True)
    assert (instance.status, instance.termination_reason, instance.input) == ("completed", "completed", {})
    assert instance.finished_at >= instance.started_at >= instance.created_at


async def test_a_failure_is_pushed_with_its_structured_error(world, client):
    async def fails(program: Program) -> int:
        await program.end(Change.FAIL, error=b'{"code": "NO_STOCK", "message": "none is left"}')
        return 0

    world.behaviours["i-1"] = fails
    with pytest.raises(InstanceFailed, match="none is left") as caught:
        await (await client.start_instance("orders", instance_id="i-1")).result(timeout_s=5)
    assert caught.value.error["code"] == "NO_STOCK"


async def test_a_result_that_is_not_there_yet_is_a_timeout(client):
    handle = await running(client)
    with pytest.raises(ResultTimeout):
        await handle.result(timeout_s=0.05)


# ---- watching


async def test_a_watch_hears_every_status_in_order(world, client):
    goes_on = anyio.Event()

    async def completes_later(program: Program) -> int:
        await goes_on.wait()
        return await completes(program)

    world.behaviours["i-1"] = completes_later
    handle = await client.start_instance("orders", instance_id="i-1")
    heard = []
    async for instance in handle.changes():
        heard.append(instance.status)
        if instance.status == "running":
            goes_on.set()
    assert heard in (["pending", "running", "completed"], ["running", "completed"])


async def test_a_watch_survives_a_cut_of_the_network(world, client):
    handle = await running(client)
    async with aclosing(handle.changes()) as changes:
        assert (await anext(changes)).status == "running"
        world.network.cut()
        await client.cancel("i-1")
        await client.stop("i-1", grace_s=0)
        assert [instance.status async for instance in changes][-1] == "cancelled"


async def test_a_watch_survives_the_restart_of_the_server(tmp_path):
    async with memory_server(tmp_path / "data", drain_s=0) as world:
        port = world.server.management_address.port
        async with world.client() as client:
            await client.register_image(ARTIFACT, name="orders")
            handle = await running(client)
            waiting = asyncio.create_task(handle.result(timeout_s=10))
            await world.server.stop()
            world.behaviours["i-1"] = completes
            world.server = world.new_server(type(world.config)(data_dir=world.config.data_dir, env_quic_port=port))
            await world.server.start()
            assert await waiting == {"total": 3}


async def test_what_is_watched_no_more_is_pushed_no_more(world, client):
    handle = await running(client)
    (connection,) = world.server.assembly.management._connections
    async with aclosing(handle.changes()) as changes:
        await anext(changes)
        assert len(connection._followed) == 1
    await client.health()
    assert not connection._followed


async def test_watches_end_with_their_connection(world, client):
    async with world.client() as other, aclosing(other.watch((await running(client)).instance_id)) as changes:
        await anext(changes)
        watching = next(each for each in world.server.assembly.management._connections if each._followed)
    await anyio.wait_all_tasks_blocked()
    assert not watching._followed


# ---- steering


async def test_a_stop_ends_the_process_and_says_how_it_ended(client):
    handle = await running(client)
    instance = await handle.stop(grace_s=0, reason="tired")
    assert (instance.status, instance.termination_reason) == ("cancelled", "stopped")


async def test_what_the_status_forbids_is_said_with_the_status(world, client):
    world.behaviours["i-1"] = completes
    handle = await client.start_instance("orders", instance_id="i-1")
    await handle.wait(timeout_s=5)
    for refused in (handle.pause, handle.resume, handle.cancel):
        with pytest.raises(IllegalTransition) as caught:
            await refused()
        assert caught.value.attributes["status"] == "completed"
    with pytest.raises(IllegalTransition):
        await handle.send_custom_signal("go")


async def test_signals_are_numbered(client):
    handle = await running(client)
    assert await handle.send_custom_signal("go", {"x": 1}) < await handle.send_custom_signal("go")


# ---- what is left behind


async def test_checkpoints_are_listed_and_read_as_they_were_saved(world, client):
    handle = await running(client)
    instance = await world.instance("i-1", "default")
    for key, state in (("a", b'{"x": 1}'), ("b", b"\xff\xfe"), ("c", b"")):
        write = SaveCheckpoint(instance.instance_no, instance.epoch, CheckpointKey(key), native.seal([state])[0])
        await world.server.assembly.engine.writer.write(write)
    rows = [row async for row in client.checkpoints("i-1", page_rows=2)]
    assert [row.key for row in rows] == ["c", "b", "a"]
    assert await client.get_checkpoint("i-1", "a") == {"x": 1}
    assert await client.get_checkpoint("i-1", "b") == b"\xff\xfe"
    assert await client.get_checkpoint_state("i-1", "c") == b""
    with pytest.raises(NotFound):
        await client.get_checkpoint("i-1", "d")
    assert (await handle.status()).checkpoint_key == "c"


async def test_events_are_read_in_order_however_large_they_are(world, client):
    await running(client)
    instance = await world.instance("i-1", "default")
    number_of_events = 2 * PREFETCH_BYTES_MAX // 900_000
    for number in range(number_of_events):
        payload = b'"' + b"x" * 900_000 + b'"'
        await world.server.assembly.engine.writer.write(
            AppendEvent(instance.instance_no, instance.epoch, EventType.CUSTOM, f"e{number}", payload)
        )
    events = [event async for event in client.events("i-1", types=["custom"])]
    assert [event.subtype for event in events] == [f"e{number}" for number in range(number_of_events)]
    assert [event.type async for event in client.events("i-1", page_rows=1)][:2] == [
        "instance.created",
        "instance.started",
    ]


async def test_logs_are_read_while_it_runs_and_after(world, client):
    goes_on = anyio.Event()

    async def prints(program: Program) -> int:
        program.process.print("one\n")
        program.process.print("oops\n", error=True)
        await goes_on.wait()
        program.process.print("two\n")
        return await completes(program)

    world.behaviours["i-1"] = prints
    await running(client)
    following = client.logs("i-1", follow=True)
    assert await anext(following) == b"one\n"
    goes_on.set()
    assert b"".join([chunk async for chunk in following]) == b"two\n"
    assert [chunk async for chunk in client.logs("i-1", stream="stderr")] == [b"oops\n"]
    with pytest.raises(InvalidRequest):
        await client.read_logs("i-1", stream="stdin")


async def test_lists_are_paged_by_key_and_filtered(client):
    for number in range(5):
        await client.start_instance("orders", instance_id=f"a-{number}")
    await client.register_image(b"print(2)\n", name="other")
    await client.start_instance("other", instance_id="b-0")
    rows = [row.instance_id async for row in client.list_instances(page_rows=2)]
    assert rows == ["b-0", "a-4", "a-3", "a-2", "a-1", "a-0"]
    assert [row.instance_id async for row in client.list_instances(image="other")] == ["b-0"]
    assert len([row async for row in client.list_instances(instance_id_prefix="a-")]) == 5
    assert [row async for row in client.list_instances(image="nothing")] == []
    with pytest.raises(InvalidRequest):
        await client._call(m.ListInstances(cursor="rubbish"), m.InstancePage)


# ---- images


async def test_an_upload_in_pieces_is_the_same_image_as_one_in_one_piece(client):
    async def pieces():
        yield ARTIFACT[:3]
        yield ARTIFACT[3:]

    digest = hashlib.sha256(ARTIFACT).hexdigest()
    image = await client.register_image_stream(pieces(), name="orders", size_bytes=len(ARTIFACT), digest=digest)
    assert image == await client.get_image("orders")
    assert (image.digest, image.size_bytes) == (digest, len(ARTIFACT))


async def test_bytes_that_are_not_those_that_were_announced_are_refused_and_forgotten(world, client):
    async def pieces():
        yield b"print('something else')\n"

    digest = hashlib.sha256(ARTIFACT).hexdigest()
    for size_bytes in (24, 25):
        with pytest.raises(ImageDigestMismatch):
            await client.register_image_stream(pieces(), name="new", size_bytes=size_bytes, digest=digest)
    with pytest.raises(LimitExceeded):
        await client.register_image_stream(pieces(), name="new", size_bytes=3, digest=digest)
    with pytest.raises(NotFound):
        await client.get_image("new")
    assert list(world.server.data_dir.uploads.iterdir()) == []


@contextmanager
def files_of_at_most(size_bytes):
    """The kernel refuses to let a file of this process grow further, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size_bytes", [3_000_000, 8_000_000], ids=["in one request", "in pieces"])
async def test_a_full_disk_is_said_at_once_and_nothing_is_left(world, client, size_bytes):
    artifact, progress = ARTIFACT.ljust(size_bytes, b"#"), []
    with files_of_at_most(2_000_000), pytest.raises(DiskFull) as caught:
        await client.register_image(artifact, name="new", on_progress=progress.append)
    assert caught.value.hint == "Free space under DATA_DIR, then try again."
    # It is not sent again: a disk that is full now will be full when the bytes have come again.
    assert progress == sorted(progress)
    assert sum(progress[-1:]) <= 2_000_000
    with pytest.raises(NotFound):
        await client.get_image("new")
    assert list(world.server.data_dir.uploads.iterdir()) == []
    if size_bytes <= SCRIPT_BYTES_MAX:
        assert (await client.register_image(artifact, name="new")).size_bytes == size_bytes


async def test_an_upload_ends_with_its_connection(world, client):
    async with world.client() as other:
        await other._call(m.BeginImage(None, "new", 100, "00" * 32), m.UploadBegun)
        await other._call(m.UploadChunk(1, 0, b"x" * 50), m.Ok)
        assert len(list(world.server.data_dir.uploads.iterdir())) == 1
    await anyio.wait_all_tasks_blocked()
    assert list(world.server.data_dir.uploads.iterdir()) == []


async def test_an_image_that_is_needed_is_not_deleted(world, client):
    handle = await running(client)
    with pytest.raises(ImageInUse):
        await client.delete_image("orders")
    await handle.stop(grace_s=0)
    await client.delete_image("orders")
    with pytest.raises(NotFound):
        await client.get_image("orders")


# ---- limits, each one past it


@pytest.mark.parametrize(
    "request_",
    [
        m.StartInstance(None, "orders", "i-2", b'"' + b"x" * (INPUT_BYTES_MAX - 1) + b'"'),
        m.SendCustomSignal(None, "i-1", "go", b'"' + b"x" * (SIGNAL_PAYLOAD_BYTES_MAX - 1) + b'"'),
        m.StopInstance(None, "i-1", STOP_GRACE_S_MAX + 1),
        m.ReadLogs(None, "i-1", "stdout", 0, LOG_BYTES_MAX + 1),
        m.ListInstances(limit=PAGE_ROWS_MAX + 1),
        m.ListImages(limit=PAGE_ROWS_MAX + 1),
        m.ListEvents(None, "i-1", limit=PAGE_ROWS_MAX + 1),
        m.ListCheckpoints(None, "i-1", limit=PAGE_ROWS_MAX + 1),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_one_past_a_limit_is_refused_with_the_limit(client, request_):
    await running(client)
    with pytest.raises(LimitExceeded) as caught:
        await client._call(request_, m.Message)
    assert caught.value.attributes["maximum"] < caught.value.attributes["actual"]


async def test_too_many_uploads_of_one_connection_are_refused(world, client):
    begin = m.BeginImage(None, "new", 100, "00" * 32)
    for _ in range(UPLOADS_PER_CONNECTION_MAX):
        await client._call(begin, m.UploadBegun)
    with pytest.raises(LimitExceeded, match="uploads"):
        await client._call(begin, m.UploadBegun)
    assert len(list(world.server.data_dir.uploads.iterdir())) == UPLOADS_PER_CONNECTION_MAX


async def test_too_many_watches_of_one_connection_are_refused(world):
    connection = ManagementConnection(world.server.assembly.management)
    connection._followed = dict.fromkeys(range(WATCHES_PER_CONNECTION_MAX), anyio.CancelScope())
    with pytest.raises(LimitExceeded, match="watches"):
        connection.follow(WATCHES_PER_CONNECTION_MAX, anyio.sleep_forever)
    with pytest.raises(InvalidRequest, match="runs already"):
        connection.follow(0, anyio.sleep_forever)


@pytest.fixture
def slow_health(world):
    """Makes the health take as long as it is told."""
    goes_on = anyio.Event()

    async def slow(caller, request):
        await goes_on.wait()
        return m.HealthReport(True, "", 0.0, {}, {})

    world.server.assembly.management.verbs[m.Health] = Verb(run=slow, for_strangers=True)
    return goes_on


async def test_too_many_requests_of_one_connection_are_told_to_come_back(world, client, slow_health):
    peer = (await client._connections.get()).peer
    health = partial(peer.call, m.Health(), timeout_s=5)
    tasks = [asyncio.create_task(health()) for _ in range(MANAGEMENT_REQUESTS_PER_CONNECTION_MAX)]
    await anyio.wait_all_tasks_blocked()
    with pytest.raises(Overloaded) as caught:
        await health()
    assert caught.value.retry_after_ms == 100
    async with world.client() as other:
        assert (await other.get_image("orders")).name == "orders"
    slow_health.set()
    assert len(await asyncio.gather(*tasks)) == MANAGEMENT_REQUESTS_PER_CONNECTION_MAX
    assert world.server.assembly.management.requests == 0
    assert (await health()).healthy


async def test_too_many_requests_of_all_connections_are_told_to_come_back(world, client):
    endpoint = world.server.assembly.management
    endpoint.requests = MANAGEMENT_REQUESTS_MAX - 1
    assert (await client.health()).healthy
    endpoint.requests = MANAGEMENT_REQUESTS_MAX
    with pytest.raises(Overloaded):
        await client.health(timeout_s=0.05)


async def test_a_bug_is_told_with_a_number_that_is_in_the_log(world, client, caplog):
    async def broken(caller, request):
        raise ZeroDivisionError("a secret detail")

    world.server.assembly.management.verbs[m.Health] = Verb(run=broken, for_strangers=True)
    with pytest.raises(InternalError) as caught, caplog.at_level(logging.ERROR):
        await client.health()
    assert "secret" not in caught.value.message
    assert caught.value.attributes["correlation_id"] in caplog.text
    assert (await client.get_image("orders")).name == "orders"


# ---- who asks


async def test_a_revoked_token_is_refused_on_connections_that_are_open(tmp_path, monkeypatch):
    monkeypatch.setattr(service, "RECHECK_INTERVAL_S", 0.01)
    async with memory_server(tmp_path / "data", drain_s=0) as world, world.client() as admin:
        created = await admin.create_token(tenant_id="acme")
        async with world.client(created.token) as client:
            assert [image async for image in client.list_images()] == []
            connection = await client._connections.get()
            await admin.revoke_token(created.token_id)
            async with asyncio.timeout(5):
                await connection.peer.wait_closed()
            with pytest.raises(BadCredential):
                await client.get_image("orders")


async def test_an_outage_of_the_database_revokes_nobody(world, client, monkeypatch):
    async def away(token):
        raise Unavailable("the database is away")

    endpoint = world.server.assembly.management
    monkeypatch.setattr(endpoint, "authenticate", away)
    assert not await endpoint._is_revoked(new_token())


async def test_the_health_of_a_server_whose_database_is_away_is_bad(world, client, monkeypatch):
    async def away(*, limit):
        raise Unavailable("the database is away")

    monkeypatch.setattr(world.persistence, "count_instances", away)
    health = await client.health()
    assert (health.healthy, health.counts) == (False, {})
