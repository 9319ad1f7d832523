from __future__ import annotations

import msgspec
import pytest

from runtara.errors import (
    Conflict,
    FrameMalformed,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    RuntaraError,
    WireError,
)
from runtara.protocol import messages as m
from runtara.protocol.codec import ERROR, REPLY, REQUEST, decode, decode_envelope, encode, encode_error

PLENTY = 1_000_000


def payload_of(frame: bytes) -> bytes:
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    return frame[4:]


def error_of(error: RuntaraError) -> RuntaraError:
    kind, number, body = decode(payload_of(encode_error(3, error, frame_bytes_max=PLENTY)))
    assert (kind, number) == (ERROR, 3)
    assert isinstance(body, RuntaraError)
    return body


def test_a_message_is_the_same_on_the_other_side() -> None:
    message = m.SaveCheckpoint("a/b[0]", b"\x00state", 7)
    frame = encode(REQUEST, 5, message, frame_bytes_max=PLENTY)
    assert decode(payload_of(frame)) == (REQUEST, 5, message)


def test_an_error_is_the_same_on_the_other_side() -> None:
    error = error_of(Conflict("moved on", hint="look again", retry_after_ms=5, status="failed", tries=[1, 2]))
    assert type(error) is Conflict
    assert error.to_wire() == WireError(
        code="state.conflict",
        family="conflict",
        message="moved on",
        hint="look again",
        retry_after_ms=5,
        attributes={"status": "failed", "tries": [1, 2]},
    )


def test_an_unknown_code_becomes_its_family() -> None:
    wire = WireError(code="state.of_the_future", family="conflict", message="new")
    payload = msgspec.msgpack.encode((ERROR, 1, wire))
    _, _, error = decode(payload)
    assert type(error) is Conflict
    assert error.code == "state.of_the_future"


def test_attributes_that_cannot_travel_go_as_text() -> None:
    assert error_of(NotFound("gone", path=complex(1, 2))).attributes == {"path": "(1+2j)"}


def test_an_error_that_cannot_travel_at_all_leaves_its_attributes_behind() -> None:
    error = error_of(NotFound("gone \ud800", number=2**70, retry_after_ms=9))
    assert (error.code, error.message, error.attributes, error.retry_after_ms) == (NotFound.code, "gone ?", {}, 9)


def test_an_error_that_is_too_large_leaves_its_attributes_behind() -> None:
    frame = encode_error(1, InternalError("m", dump="x" * 2000), frame_bytes_max=200)
    _, _, error = decode(payload_of(frame))
    assert isinstance(error, InternalError)
    assert error.attributes == {}


def test_attributes_named_like_parts_of_an_error_do_no_harm() -> None:
    wire = WireError(
        code="internal.bug", family="internal", message="m", attributes={"message": 1, "hint": 2, "self": 3, "x": 4}
    )
    _, _, error = decode(msgspec.msgpack.encode((ERROR, 1, wire)))
    assert isinstance(error, InternalError)
    assert (error.message, error.hint, error.attributes) == ("m", None, {"message": 1, "hint": 2, "self": 3, "x": 4})


def test_a_message_one_over_the_limit_is_refused() -> None:
    frame = encode(REPLY, 1, m.CheckpointState(b"12345"), frame_bytes_max=PLENTY)
    size = len(frame) - 4
    assert encode(REPLY, 1, m.CheckpointState(b"12345"), frame_bytes_max=size) == frame
    with pytest.raises(LimitExceeded) as caught:
        encode(REPLY, 1, m.CheckpointState(b"12345"), frame_bytes_max=size - 1)
    assert caught.value.attributes["actual"] == size


def test_a_message_with_what_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"'\\udcff' is not a text"):
        encode(REQUEST, 1, m.GetCheckpoint("\udcff"), frame_bytes_max=PLENTY)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x93",
        b"\xc1\xc1\xc1",
        msgspec.msgpack.encode([0, 1]),
        msgspec.msgpack.encode([0, 1, [4], 5]),
        msgspec.msgpack.encode(["0", 1, [4]]),
        msgspec.msgpack.encode({"kind": 0}),
        msgspec.msgpack.encode((0, 1, m.Ping())) + b"\x00",
        b"\x93\x00\x01" + b"\x91" * 100_000,
    ],
)
def test_what_is_no_frame_is_malformed(payload: bytes) -> None:
    with pytest.raises(FrameMalformed):
        decode(payload)
    with pytest.raises(FrameMalformed):
        decode_envelope(payload)


@pytest.mark.parametrize("body", [[9999], [14, 1], [14, "k"], {"code": 1}, None, [14, b"\xff", b""]])
def test_a_body_that_is_no_message_leaves_the_envelope_readable(body: object) -> None:
    payload = msgspec.msgpack.encode((0, 12, body))
    with pytest.raises(FrameMalformed):
        decode(payload)
    assert decode_envelope(payload) == (0, 12)


def test_a_field_of_a_newer_release_is_ignored() -> None:
    payload = msgspec.msgpack.encode((0, 1, [4, "a field that Ping has in the future"]))
    assert decode(payload) == (0, 1, m.Ping())
