from __future__ import annotations

import msgspec
import pytest

from runtara.errors import (
    Conflict,
    FrameMalformed,
    InvalidRequest,
    LimitExceeded,
    OutcomeUnknown,
    Overloaded,
    Unavailable,
    UnsupportedVersion,
)
from runtara.limits import GREETING_BYTES_MAX
from runtara.protocol import messages as m
from runtara.protocol.codec import ERROR, NUMBER_MAX, PUSH, REPLY, REQUEST, encode
from runtara.protocol.connection import (
    Broken,
    Connection,
    Event,
    Goodbye,
    Phase,
    PushReceived,
    ReplyReceived,
    RequestReceived,
    RequestRefused,
    Role,
    choose_version,
)

HELLO = m.Hello((1,), "test")
WELCOME = m.Welcome(1, "test")
MIB = 1024 * 1024


def open_pair(**limits: int) -> tuple[Connection[str], Connection[str]]:
    client: Connection[str] = Connection(Role.CLIENT, **limits)
    server: Connection[str] = Connection(Role.SERVER, **limits)
    assert server.receive(client.request(HELLO, context="hello")) == [RequestReceived(1, HELLO)]
    assert client.receive(server.reply(1, WELCOME)) == [ReplyReceived("hello", WELCOME)]
    assert client.phase is server.phase is Phase.OPEN
    return client, server


def only(events: list[Event[str]]) -> Event[str]:
    assert len(events) == 1
    return events[0]


def raw(kind: int, number: int, body: object) -> bytes:
    payload = msgspec.msgpack.encode((kind, number, body))
    return len(payload).to_bytes(4, "big") + payload


def test_versions_are_chosen_best_first() -> None:
    assert choose_version((3, 2, 1)) == 1
    with pytest.raises(UnsupportedVersion):
        choose_version((2, 3))
    with pytest.raises(UnsupportedVersion):
        choose_version(())


def test_both_sides_remember_the_greeting() -> None:
    for side in open_pair():
        assert (side.hello, side.welcome) == (HELLO, WELCOME)


def test_requests_go_both_ways_and_contexts_come_back() -> None:
    client, server = open_pair()
    assert server.receive(client.request(m.Ping(), context="up")) == [RequestReceived(2, m.Ping())]
    assert client.receive(server.request(m.Ping(), context="down")) == [RequestReceived(1, m.Ping())]
    assert client.receive(server.reply(2, m.Ok())) == [ReplyReceived("up", m.Ok())]
    refusal = only(server.receive(client.fail(1, Conflict("no"))))
    assert isinstance(refusal, ReplyReceived)
    assert (refusal.context, type(refusal.outcome)) == ("down", Conflict)
    assert client.requests_in_flight == server.requests_in_flight == 0
    assert client.requests_open == server.requests_open == 0


def test_pushes_go_both_ways() -> None:
    client, server = open_pair()
    assert server.receive(client.push(m.Ping())) == [PushReceived(m.Ping())]
    assert client.receive(server.push(m.Drain())) == [PushReceived(m.Drain())]


def test_several_frames_at_once_come_in_order() -> None:
    client, server = open_pair()
    frames = client.request(m.Ping(), context="a") + client.push(m.Drain()) + client.request(m.Ok(), context="b")
    assert server.receive(frames) == [
        RequestReceived(2, m.Ping()),
        PushReceived(m.Drain()),
        RequestReceived(3, m.Ok()),
    ]


# ---- greeting


def test_before_the_welcome_a_client_can_ask_nothing_but_hello() -> None:
    client: Connection[str] = Connection(Role.CLIENT)
    with pytest.raises(InvalidRequest):
        client.request(m.Ping(), context="early")
    with pytest.raises(InvalidRequest):
        client.push(m.Ping())
    client.request(HELLO, context="hello")
    with pytest.raises(InvalidRequest):
        client.request(m.Ping(), context="early")


def test_before_the_welcome_a_server_can_ask_nothing() -> None:
    server: Connection[str] = Connection(Role.SERVER)
    with pytest.raises(InvalidRequest):
        server.request(HELLO, context="hello")
    with pytest.raises(InvalidRequest):
        server.push(m.Drain())


def test_a_server_serves_nothing_before_hello_is_welcomed() -> None:
    server: Connection[str] = Connection(Role.SERVER)
    refused = only(server.receive(encode(REQUEST, 1, m.Ping(), frame_bytes_max=MIB)))
    assert isinstance(refused, RequestRefused)
    assert server.receive(encode(REQUEST, 2, HELLO, frame_bytes_max=MIB)) == [RequestReceived(2, HELLO)]
    for early in (m.Ping(), HELLO):
        refused = only(server.receive(encode(REQUEST, server._last_open + 1, early, frame_bytes_max=MIB)))
        assert isinstance(refused, RequestRefused)
        assert isinstance(refused.error, InvalidRequest)
    assert server.phase is Phase.GREETING


def test_a_push_before_the_welcome_breaks_the_connection() -> None:
    server: Connection[str] = Connection(Role.SERVER)
    assert isinstance(only(server.receive(encode(PUSH, 0, m.Ping(), frame_bytes_max=MIB))), Broken)


def test_a_refused_hello_may_be_followed_by_a_better_one() -> None:
    client: Connection[str] = Connection(Role.CLIENT)
    server: Connection[str] = Connection(Role.SERVER)
    server.receive(client.request(HELLO, context="first"))
    client.receive(server.fail(1, Conflict("bad token")))
    assert server.phase is client.phase is Phase.GREETING
    better = m.Hello((1,), "test", token="good")
    server.receive(client.request(better, context="second"))
    client.receive(server.reply(2, WELCOME))
    assert server.phase is client.phase is Phase.OPEN
    assert server.hello == client.hello == better


def test_a_hello_without_a_common_version_does_not_reach_the_program() -> None:
    server: Connection[str] = Connection(Role.SERVER)
    refused = only(server.receive(encode(REQUEST, 1, m.Hello((7,), "x"), frame_bytes_max=MIB)))
    assert isinstance(refused, RequestRefused)
    assert isinstance(refused.error, UnsupportedVersion)


def test_a_second_hello_is_refused() -> None:
    _, server = open_pair()
    refused = only(server.receive(encode(REQUEST, 2, HELLO, frame_bytes_max=MIB)))
    assert isinstance(refused, RequestRefused)
    assert server.phase is Phase.OPEN


def test_a_server_that_says_hello_is_refused() -> None:
    client, server = open_pair()
    assert isinstance(only(client.receive(server.request(HELLO, context="odd"))), RequestRefused)


def test_an_answer_that_is_no_welcome_opens_nothing() -> None:
    client: Connection[str] = Connection(Role.CLIENT)
    client.request(HELLO, context="hello")
    client.receive(encode(REPLY, 1, m.Ok(), frame_bytes_max=MIB))
    assert client.phase is Phase.GREETING


def test_a_version_that_was_not_offered_is_refused_by_the_client() -> None:
    client: Connection[str] = Connection(Role.CLIENT)
    client.request(HELLO, context="hello")
    answer = only(client.receive(encode(REPLY, 1, m.Welcome(2, "odd"), frame_bytes_max=MIB)))
    assert isinstance(answer, ReplyReceived)
    assert isinstance(answer.outcome, UnsupportedVersion)
    assert client.phase is Phase.GREETING


def test_frames_are_short_until_the_welcome() -> None:
    hello = m.Hello((1,), "test", token="x" * GREETING_BYTES_MAX)
    server: Connection[str] = Connection(Role.SERVER)
    broken = only(server.receive(encode(REQUEST, 1, hello, frame_bytes_max=MIB)))
    assert isinstance(broken, Broken)
    assert isinstance(broken.error, LimitExceeded)
    client, server = open_pair()
    message = m.CheckpointState(bytes(GREETING_BYTES_MAX))
    assert server.receive(client.push(message)) == [PushReceived(message)]


# ---- limits


def test_one_request_too_many_is_not_asked() -> None:
    client, server = open_pair(requests_in_flight_max=2)
    for context in "ab":
        server.receive(client.request(m.Ping(), context=context))
    with pytest.raises(Overloaded) as caught:
        client.request(m.Ping(), context="c")
    assert caught.value.retry_after_ms
    client.receive(server.reply(2, m.Ok()))
    client.request(m.Ping(), context="c")


def test_one_request_too_many_is_not_served() -> None:
    client, _ = open_pair(requests_in_flight_max=3)
    _, server = open_pair(requests_in_flight_max=2)
    for context in "ab":
        assert isinstance(only(server.receive(client.request(m.Ping(), context=context))), RequestReceived)
    refused = only(server.receive(client.request(m.Ping(), context="c")))
    assert isinstance(refused, RequestRefused)
    assert isinstance(refused.error, Overloaded)
    answer = only(client.receive(server.fail(refused.number, refused.error)))
    assert isinstance(answer, ReplyReceived)
    assert answer.context == "c"
    server.reply(2, m.Ok())
    frame = encode(REQUEST, 5, m.Ping(), frame_bytes_max=MIB)
    assert isinstance(only(server.receive(frame)), RequestReceived)


def test_requests_that_hold_too_many_bytes_are_not_served() -> None:
    client, server = open_pair(request_bytes_in_flight_max=1000)
    large = m.SaveCheckpoint("k", bytes(990))
    # A single one is always served, whatever its size.
    assert isinstance(only(server.receive(client.request(large, context="a"))), RequestReceived)
    refused = only(server.receive(client.request(m.Ping(), context="b")))
    assert isinstance(refused, RequestRefused)
    assert isinstance(refused.error, Overloaded)
    server.fail(refused.number, refused.error)
    server.reply(2, m.Ok())
    assert isinstance(only(server.receive(client.request(large, context="c"))), RequestReceived)


def test_an_answer_that_does_not_fit_can_still_be_failed() -> None:
    client, server = open_pair(frame_bytes_max=1000)
    server.receive(client.request(m.Ping(), context="a"))
    with pytest.raises(LimitExceeded):
        server.reply(2, m.CheckpointState(bytes(1000)))
    assert isinstance(only(client.receive(server.fail(2, LimitExceeded("too large")))), ReplyReceived)


def test_a_request_that_does_not_fit_was_not_asked() -> None:
    client, _ = open_pair(frame_bytes_max=1000)
    with pytest.raises(LimitExceeded):
        client.request(m.CheckpointState(bytes(1000)), context="a")
    assert client.requests_in_flight == 0


# ---- breaches


@pytest.mark.parametrize(
    "frame",
    [
        raw(7, 2, [4]),
        raw(REQUEST, 1, [4]),
        raw(REQUEST, 0, [4]),
        raw(REQUEST, -1, [4]),
        raw(REQUEST, NUMBER_MAX + 1, [4]),
        raw(REPLY, 9, [3]),
        raw(REPLY, 0, [3]),
        raw(ERROR, 9, {"code": "internal.bug", "family": "internal", "message": ""}),
        raw(ERROR, 0, [3]),
        raw(PUSH, 1, [4]),
        raw(PUSH, 0, [9999]),
        raw(REPLY, 9, [9999]),
        raw(REQUEST, -1, [9999]),
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x01\x90",
    ],
    ids=lambda frame: frame.hex(),
)
def test_a_breach_is_the_last_event(frame: bytes) -> None:
    client, server = open_pair()
    events = server.receive(client.request(m.Ping(), context="good") + frame + client.push(m.Ping()))
    assert events[0] == RequestReceived(2, m.Ping())
    assert len(events) == 2
    broken = events[1]
    assert isinstance(broken, Broken)
    assert isinstance(broken.error, FrameMalformed)
    assert server.phase is Phase.OVER
    assert server.receive(client.push(m.Ping())) == []


def test_a_request_that_is_not_understood_is_refused_by_its_number() -> None:
    client, server = open_pair()
    refused = only(server.receive(raw(REQUEST, 2, [9999])))
    assert isinstance(refused, RequestRefused)
    assert (refused.number, type(refused.error)) == (2, FrameMalformed)
    server.fail(refused.number, refused.error)
    client._last_number = 2
    assert isinstance(only(server.receive(client.request(m.Ping(), context="next"))), RequestReceived)


@pytest.mark.parametrize("frame", [raw(REPLY, 2, [9999]), raw(ERROR, 2, {"code": 5})])
def test_an_answer_that_is_not_understood_leaves_the_outcome_unknown(frame: bytes) -> None:
    client, _ = open_pair()
    client.request(m.Ping(), context="a")
    answer = only(client.receive(frame))
    assert isinstance(answer, ReplyReceived)
    assert isinstance(answer.outcome, OutcomeUnknown)
    assert client.requests_in_flight == 0


def test_a_goodbye_says_why_and_ends_both_sides() -> None:
    client, server = open_pair()
    events = client.receive(server.goodbye(FrameMalformed("that was no frame")) + b"\x00\x00\x00\x00")
    goodbye = only(events)
    assert isinstance(goodbye, Goodbye)
    assert (type(goodbye.error), goodbye.error.message) == (FrameMalformed, "that was no frame")
    assert client.phase is server.phase is Phase.OVER
    for side in (client, server):
        with pytest.raises(Unavailable):
            side.request(m.Ping(), context="late")
        with pytest.raises(Unavailable):
            side.push(m.Ping())


def test_a_lost_connection_gives_back_what_was_asked() -> None:
    client, _ = open_pair()
    for context in "abc":
        client.request(m.Ping(), context=context)
    assert client.lose() == ["a", "b", "c"]
    assert client.lose() == []
    assert client.phase is Phase.OVER
