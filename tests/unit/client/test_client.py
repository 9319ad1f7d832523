import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import anyio
import msgspec
import pytest

from runtara.client import Client, InstanceCancelled, InstanceFailed, ResultTimeout
from runtara.config import ConfigInvalid
from runtara.errors import (
    BadCredential,
    DiskFull,
    ImageDigestMismatch,
    InternalError,
    NotFound,
    OutcomeUnknown,
    Overloaded,
    Unavailable,
)
from runtara.limits import MANAGEMENT_REQUESTS_PER_CONNECTION_MAX, PAGE_ROWS_DEFAULT
from runtara.protocol import messages as m
from tests.support.certificates import certificates
from tests.support.scripted_server import ADDRESS, HOLD, scripted_server

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VIEW = m.InstanceView("i-1", "acme", "img-1", "running", 1, NOW, NOW, None, None, None, None, None, input=b'{"a": 1}')
IMAGE = m.ImageView("img-1", "acme", "orders", None, "00" * 32, 3, {}, NOW)
HEALTHY = m.HealthReport(True, "0", 1.0, {}, {})


def ended(status, *, output=None, error=None, reason=None):
    return msgspec.structs.replace(
        VIEW, status=status, output=output, error=error, termination_reason=reason, finished_at=NOW
    )


@pytest.fixture
async def server():
    async with scripted_server() as server:
        yield server


def client_of(server, **options):
    options = {"ca": certificates().ca, "request_timeout_s": 5.0, "connections": 1} | options
    return Client.connect(str(ADDRESS), transport=server.network.transport(), **options)


# ---- connecting


async def test_a_client_says_who_it_is(server):
    async with client_of(server, token="rt_x"):
        pass
    (hello,) = server.of(m.Hello)
    assert hello.token == "rt_x"
    assert hello.client.startswith("runtara-client/")


async def test_a_refused_token_is_known_at_once(server):
    server.on(m.Hello, BadCredential("the token is unknown or revoked"))
    with pytest.raises(BadCredential):
        async with client_of(server):
            pass
    assert len(server.of(m.Hello)) == 1


async def test_a_server_under_another_authority_is_refused(server):
    with pytest.raises(BadCredential):
        async with client_of(server, ca=certificates().other_ca):
            pass


async def test_nobody_at_the_address_is_unavailable(server):
    await server.close()
    with pytest.raises(Unavailable):
        async with client_of(server):
            pass


@pytest.mark.parametrize("address", ["nowhere", "a:b", "::1:80", ""])
def test_an_address_that_is_none_is_refused_before_anything_is_opened(address):
    with pytest.raises(ConfigInvalid):
        Client.connect(address)


def test_an_authority_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        Client.connect(ca=tmp_path / "none.pem")


async def test_a_closed_client_answers_unavailable(server):
    async with client_of(server) as client:
        pass
    with pytest.raises(Unavailable):
        await client.health()


async def test_connections_take_turns(server):
    server.on(m.Health, HEALTHY)
    async with client_of(server, connections=3) as client:
        for _ in range(6):
            await client.health()
        assert len(server.of(m.Hello)) == 3


async def test_many_tasks_share_the_opening_of_one_connection(server):
    server.on(m.Health, HEALTHY)
    async with client_of(server) as client:
        server.network.cut()
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(client.health)
        assert len(server.of(m.Hello)) == 2


# ---- asking again


async def test_a_lost_connection_is_opened_again(server):
    server.on(m.Health, HEALTHY)
    async with client_of(server) as client:
        assert (await client.health()).healthy
        server.network.cut()
        assert (await client.health()).healthy


async def test_a_request_that_was_lost_on_its_way_is_asked_again(server):
    def lose(request):
        server.network.cut()

    server.on(m.StartInstance, lose, lambda request: m.InstanceStarted(request.instance_id, "acme", "img-1", True))
    async with client_of(server) as client:
        handle = await client.start_instance("orders")
    first, second = server.of(m.StartInstance)
    assert first == second
    assert handle.instance_id == first.instance_id != ""


@pytest.mark.parametrize("refusal", [Unavailable("not now"), Overloaded("too much", retry_after_ms=10)])
async def test_a_server_that_says_later_is_asked_later(server, refusal):
    server.on(m.Health, refusal, refusal, HEALTHY)
    async with client_of(server) as client:
        assert (await client.health()).healthy
    assert len(server.of(m.Health)) == 3


async def test_a_time_to_come_back_beyond_the_deadline_is_not_waited_for(server):
    server.on(m.Health, Overloaded("too much", retry_after_ms=60_000))
    async with client_of(server) as client:
        with pytest.raises(Overloaded) as caught:
            await client.health()
    assert caught.value.retry_after_ms == 60_000
    assert len(server.of(m.Health)) == 1


async def test_what_may_have_been_stored_twice_is_not_sent_twice(server):
    def lose(request):
        server.network.cut()

    server.on(m.SendCustomSignal, lose)
    server.on(m.CreateToken, lose)
    async with client_of(server) as client:
        with pytest.raises(OutcomeUnknown):
            await client.send_custom_signal("i-1", "go")
        with pytest.raises(OutcomeUnknown):
            await client.create_token(tenant_id="acme")
    assert len(server.of(m.SendCustomSignal)) == len(server.of(m.CreateToken)) == 1


async def test_what_was_certainly_not_stored_is_sent_again(server):
    server.on(m.SendCustomSignal, Unavailable("not now"), m.SignalAccepted(7))
    async with client_of(server) as client:
        assert await client.send_custom_signal("i-1", "go", {"x": 1}) == 7
    assert server.of(m.SendCustomSignal)[1].payload == b'{"x":1}'


async def test_an_error_that_waiting_does_not_cure_comes_at_once(server):
    server.on(m.GetInstance, NotFound("there is no instance 'i-1'"))
    async with client_of(server) as client:
        with pytest.raises(NotFound):
            await client.get_instance("i-1")
    assert len(server.of(m.GetInstance)) == 1


async def test_more_requests_than_the_server_takes_at_once_wait_for_their_turn(server):
    server.on(m.Health, HOLD)
    async with client_of(server) as client, anyio.create_task_group() as group:
        for _ in range(2 * MANAGEMENT_REQUESTS_PER_CONNECTION_MAX):
            group.start_soon(client.health)
        await anyio.wait_all_tasks_blocked()
        assert 1 < len(server.held) <= MANAGEMENT_REQUESTS_PER_CONNECTION_MAX
        server.on(m.Health, HEALTHY)
        for reply in server.held:
            reply.send(HEALTHY)
    assert len(server.of(m.Health)) == 2 * MANAGEMENT_REQUESTS_PER_CONNECTION_MAX


async def test_a_turn_that_does_not_come_in_time_is_unavailable_and_nothing_was_sent(server):
    server.on(m.Health, HOLD)
    async with client_of(server) as client, anyio.create_task_group() as group:
        for _ in range(MANAGEMENT_REQUESTS_PER_CONNECTION_MAX):
            group.start_soon(client.health)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Unavailable) as caught:
            await client._call(m.ListImages(), m.ImagePage, timeout_s=0.05)
        assert not isinstance(caught.value, OutcomeUnknown)
        assert not server.of(m.ListImages)
        server.on(m.Health, HEALTHY)
        for reply in server.held:
            reply.send(HEALTHY)


async def test_silence_ends_with_the_request_timeout(server):
    server.on(m.Health, None)
    async with client_of(server, request_timeout_s=0.05) as client:
        with pytest.raises(OutcomeUnknown):
            await client.health()


# ---- results


def pushing(server, *views):
    """Answers a watch, then pushes the views."""

    def watch(request):
        (peer,) = server.peers
        for view in views:
            asyncio.get_running_loop().call_soon(peer.push, m.InstanceChanged(request.watch_no, view))
        return m.Ok()

    return watch


@pytest.fixture
def started(server):
    server.on(m.StartInstance, m.InstanceStarted("i-1", "acme", "img-1", True))
    server.on(m.UnwatchInstance, m.Ok())


async def test_a_result_is_the_decoded_output_and_is_told(server, started):
    server.on(m.WatchInstance, pushing(server, VIEW, ended("completed", output=b'{"total": 3}')))
    async with client_of(server) as client:
        handle = await client.start_instance("orders", input={"order": 1})
        assert await handle.result(timeout_s=5) == {"total": 3}
    assert not server.of(m.GetInstance)
    assert server.of(m.StartInstance)[0].input == b'{"order":1}'


async def test_a_failed_instance_raises_its_structured_error(server, started):
    error = b'{"code": "HTTP_404", "message": "no such order"}'
    server.on(m.WatchInstance, pushing(server, ended("failed", error=error, reason="application_error")))
    async with client_of(server) as client:
        with pytest.raises(InstanceFailed, match="no such order") as caught:
            await (await client.start_instance("orders")).result(timeout_s=5)
    assert caught.value.error == {"code": "HTTP_404", "message": "no such order"}
    assert caught.value.instance.termination_reason == "application_error"


async def test_a_cancelled_instance_raises(server, started):
    server.on(m.WatchInstance, pushing(server, ended("cancelled", reason="stopped")))
    async with client_of(server) as client:
        with pytest.raises(InstanceCancelled) as caught:
            await (await client.start_instance("orders")).result(timeout_s=5)
    assert caught.value.attributes["termination_reason"] == "stopped"


async def test_a_result_that_takes_too_long_is_a_timeout_of_both_kinds(server, started):
    server.on(m.WatchInstance, pushing(server, VIEW))
    async with client_of(server) as client:
        handle = await client.start_instance("orders")
        with pytest.raises(TimeoutError) as caught:
            await handle.result(timeout_s=0.05)
        assert isinstance(caught.value, ResultTimeout)
        assert not isinstance(caught.value, OutcomeUnknown)
        await server.wait_for(lambda: bool(server.of(m.UnwatchInstance)))
    assert [unwatch.watch_no for unwatch in server.of(m.UnwatchInstance)] == [server.of(m.WatchInstance)[0].watch_no]


async def test_a_watch_survives_the_loss_of_its_connection(server, started):
    server.on(
        m.WatchInstance,
        pushing(server, VIEW),
        pushing(server, ended("completed", output=b"42")),
    )
    async with client_of(server) as client:
        handle = await client.start_instance("orders")
        async with aclosing(handle.changes()) as changes:
            assert (await anext(changes)).status == "running"
            server.network.cut()
            assert (await anext(changes)).output == 42
            with pytest.raises(StopAsyncIteration):
                await anext(changes)
    assert len(server.of(m.WatchInstance)) == 2


async def test_a_watch_survives_a_server_that_is_away(server, started):
    server.on(m.WatchInstance, pushing(server, VIEW), pushing(server, ended("completed", output=b"42")))
    async with client_of(server) as client, anyio.create_task_group() as group:
        handle = await client.start_instance("orders")

        async def restart():
            await server.wait_for(lambda: bool(server.of(m.WatchInstance)))
            await server.close()
            await anyio.wait_all_tasks_blocked()
            await server.listen()

        group.start_soon(restart)
        assert await handle.result(timeout_s=5) == 42


async def test_a_watch_of_an_unknown_instance_says_so(server):
    server.on(m.WatchInstance, NotFound("there is no instance 'x'"))
    server.on(m.UnwatchInstance, m.Ok())
    async with client_of(server) as client:
        with pytest.raises(NotFound):
            await anext(client.watch("x"))


async def test_two_watches_of_one_connection_do_not_hear_each_other(server, started):
    views = {"a": ended("completed", output=b'"A"'), "b": ended("completed", output=b'"B"')}
    server.on(m.WatchInstance, lambda request: pushing(server, views[request.instance_id]))
    server.on(m.StartInstance, lambda request: m.InstanceStarted(request.instance_id, "acme", "img-1", True))
    async with client_of(server) as client:
        a = await client.start_instance("orders", instance_id="a")
        b = await client.start_instance("orders", instance_id="b")
        assert await asyncio.gather(a.result(timeout_s=5), b.result(timeout_s=5)) == ["A", "B"]


# ---- looking


async def test_records_are_decoded(server):
    server.on(m.GetInstance, msgspec.structs.replace(VIEW, output=b"\xff\xfe", error=b'{"message": "x"}'))
    async with client_of(server, tenant_id="acme") as client:
        instance = await client.get_instance("i-1", with_input=True)
    assert (instance.input, instance.output, instance.error) == ({"a": 1}, b"\xff\xfe", {"message": "x"})
    assert not instance.is_terminal
    assert replace(instance, status="failed").is_terminal
    assert server.of(m.GetInstance) == [m.GetInstance("acme", "i-1", True)]


async def test_pages_are_read_as_they_are_needed(server):
    pages = {None: (("a", "b"), "2"), "2": (("c",), None)}

    def page(request):
        names, cursor = pages[request.cursor]
        return m.InstancePage(tuple(msgspec.structs.replace(VIEW, instance_id=name) for name in names), cursor)

    server.on(m.ListInstances, page)
    async with client_of(server) as client:
        rows = client.list_instances(statuses=("running",), page_rows=2)
        assert (await anext(rows)).instance_id == "a"
        assert len(server.of(m.ListInstances)) == 1
        assert [row.instance_id async for row in rows] == ["b", "c"]
    assert all(request.statuses == ("running",) and request.limit == 2 for request in server.of(m.ListInstances))


async def test_one_row_more_than_a_page_has_is_on_the_next_one(server):
    def page(request):
        first = int(request.cursor or 0)
        last = min(first + request.limit, PAGE_ROWS_DEFAULT + 1)
        rows = tuple(msgspec.structs.replace(VIEW, instance_id=str(number)) for number in range(first, last))
        return m.InstancePage(rows, None if last > PAGE_ROWS_DEFAULT else str(last))

    server.on(m.ListInstances, page)
    async with client_of(server) as client:
        rows = [row.instance_id async for row in client.list_instances()]
    assert rows == [str(number) for number in range(PAGE_ROWS_DEFAULT + 1)]
    assert [request.limit for request in server.of(m.ListInstances)] == [PAGE_ROWS_DEFAULT] * 2
    assert m.ListInstances().limit == PAGE_ROWS_DEFAULT


def event(number, subtype=None):
    return m.EventView(number, "custom", subtype, b"{}", 1, NOW)


async def test_followed_events_end_after_the_last_one(server):
    server.on(
        m.ListEvents, m.EventList((event(1),)), m.EventList(()), m.EventList((event(2), event(3))), m.EventList(())
    )
    server.on(m.GetInstance, ended("completed", output=b"1"))
    async with client_of(server) as client:
        assert [each.event_no async for each in client.events("i-1", follow=True)] == [1, 2, 3]
    assert [request.after_event_no for request in server.of(m.ListEvents)] == [0, 1, 1, 3]


async def test_followed_logs_end_with_the_instance(server):
    server.on(
        m.ReadLogs,
        m.LogChunk(b"ab", 2, False),
        m.LogChunk(b"", 2, False),
        m.LogChunk(b"c", 3, True),
        m.LogChunk(b"", 3, True),
    )
    async with client_of(server) as client:
        assert [chunk async for chunk in client.logs("i-1", follow=True)] == [b"ab", b"c"]
    assert [request.offset_bytes for request in server.of(m.ReadLogs)] == [0, 2, 2, 3]


# ---- uploads


async def test_a_small_image_is_one_request(server, tmp_path):
    server.on(m.RegisterImage, m.ImageRegistered(IMAGE, True))
    path = tmp_path / "artifact"
    path.write_bytes(b"abc")
    async with client_of(server) as client:
        image = await client.register_image(path, name="orders", metadata={"x": 1})
    assert (image.image_id, image.name) == ("img-1", "orders")
    (request,) = server.of(m.RegisterImage)
    assert (request.data, request.metadata) == (b"abc", {"x": 1})
    assert request.digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def taking(server):
    """Takes an upload as a server does."""
    server.on(m.BeginImage, m.UploadBegun(5, 1_000_000))
    server.on(m.UploadChunk, m.Ok())
    server.on(m.FinishImage, m.ImageRegistered(IMAGE, True))


def taken(server):
    return b"".join(chunk.data for chunk in server.of(m.UploadChunk))


async def test_a_large_image_is_sent_in_order_and_in_pieces(server, tmp_path):
    taking(server)
    data = bytes(range(256)) * 20_000
    path = tmp_path / "artifact"
    path.write_bytes(data)
    progress = []
    async with client_of(server) as client:
        await client.register_image(path, name="orders", on_progress=progress.append)
    chunks = server.of(m.UploadChunk)
    assert taken(server) == data
    assert [chunk.offset_bytes for chunk in chunks] == [
        sum(len(each.data) for each in chunks[:index]) for index in range(len(chunks))
    ]
    assert max(len(chunk.data) for chunk in chunks) <= 1_000_000
    assert progress == sorted(progress)
    assert progress[-1] == len(data)


async def test_bytes_that_the_server_knows_are_not_sent(server):
    server.on(m.BeginImage, m.UploadBegun(0, 1_000_000, IMAGE))
    async with client_of(server) as client:
        image = await client.register_image(b"x" * 5_000_000, name="orders")
    assert image.image_id == "img-1"
    assert not server.of(m.UploadChunk)


async def test_an_interrupted_upload_of_known_bytes_begins_again(server):
    taking(server)

    def lose_once(request):
        server.on(m.UploadChunk, m.Ok())
        server.network.cut()

    server.on(m.UploadChunk, lose_once)
    async with client_of(server) as client:
        await client.register_image(b"x" * 5_000_000, name="orders")
    assert len(server.of(m.BeginImage)) == 2
    assert taken(server).endswith(b"x" * 5_000_000)


async def pieces(*chunks, error=None):
    for chunk in chunks:
        yield chunk
    if error is not None:
        raise error


async def test_an_interrupted_upload_of_a_stream_says_so(server):
    taking(server)
    server.on(m.UploadChunk, lambda request: server.network.cut() and None)
    async with client_of(server) as client:
        with pytest.raises(OutcomeUnknown):
            await client.register_image_stream(pieces(b"abc"), name="orders", size_bytes=3, digest="00" * 32)
    assert len(server.of(m.BeginImage)) == 1


async def test_a_source_that_breaks_ends_the_upload_on_the_server_too(server):
    taking(server)
    server.on(m.FinishImage, ImageDigestMismatch("other bytes"))
    async with client_of(server) as client:
        send = partial(client.register_image_stream, name="orders", size_bytes=6, digest="00" * 32)
        with pytest.raises(OSError, match="disk"):
            await send(pieces(b"abc", error=OSError("the disk broke")))
        await server.wait_for(lambda: bool(server.of(m.FinishImage)))


async def test_a_refused_chunk_ends_the_upload_with_its_reason(server):
    taking(server)
    server.on(m.UploadChunk, m.Ok(), ImageDigestMismatch("no"))
    async with client_of(server) as client:
        with pytest.raises(ImageDigestMismatch):
            await client.register_image(b"x" * 50_000_000, name="orders")
    assert len(server.of(m.UploadChunk)) < 20


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (DiskFull("no room", retry_after_ms=60_000), 1),
        (Unavailable("the database is away"), 1),
        (InternalError("a bug"), 1),
        (Overloaded("too many uploads", retry_after_ms=10), 5),
    ],
    ids=["a full disk", "no time", "a bug", "a short time"],
)
async def test_an_answer_is_final_unless_it_says_to_come_back_soon(server, error, sent):
    taking(server)
    server.on(m.UploadChunk, error)
    async with client_of(server) as client:
        with pytest.raises(type(error)):
            await client.register_image(b"x" * 5_000_000, name="orders")
    assert len(server.of(m.BeginImage)) == sent
