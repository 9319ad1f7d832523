"""Values to frames and back: ``[kind, number, body]`` in msgpack behind a length.

The happy path is one decoder for envelope and message together. Only when it fails is the envelope looked at alone,
to tell a message that we do not understand (its sender can be answered) from bytes that are no frame at all.
"""

from __future__ import annotations

from typing import Final

import msgspec

from runtara.errors import FrameMalformed, InvalidRequest, RuntaraError, WireError
from runtara.protocol.framing import HEADER_BYTES, frame_too_long
from runtara.protocol.messages import AnyMessage, Message

__all__ = (
    "ERROR",
    "NUMBER_MAX",
    "PUSH",
    "REPLY",
    "REQUEST",
    "decode",
    "decode_envelope",
    "encode",
    "encode_error",
)

REQUEST: Final = 0
REPLY: Final = 1
ERROR: Final = 2
PUSH: Final = 3

NUMBER_MAX: Final = 2**53 - 1
"""The largest number of a request: one that every language can hold."""

# Where the kind is in a payload: after the byte that says "an array of three".
_KIND_AT: Final = 1

_encode = msgspec.msgpack.Encoder().encode
# Attributes of an error may be anything; what msgpack does not know goes as its text.
_encode_lenient = msgspec.msgpack.Encoder(enc_hook=str).encode
_decode_message = msgspec.msgpack.Decoder(tuple[int, int, AnyMessage]).decode
_decode_error = msgspec.msgpack.Decoder(tuple[int, int, WireError]).decode
_decode_raw = msgspec.msgpack.Decoder(tuple[int, int, msgspec.Raw]).decode


def encode(kind: int, number: int, message: Message, *, frame_bytes_max: int) -> bytes:
    """The message as a frame.

    Raises:
        LimitExceeded: it is too large for one.
        InvalidRequest: a text in it is none, as bytes of a command line that are not UTF-8 become in Python.
    """
    try:
        payload = _encode((kind, number, message))
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{error.object[:80]!a} is not a text", hint="Write it in UTF-8.") from error
    return _frame(payload, frame_bytes_max)


def encode_error(number: int, error: RuntaraError, *, frame_bytes_max: int) -> bytes:
    """The error as a frame; number 0 speaks of the connection. Never fails: facts that cannot travel stay behind."""
    wire = error.to_wire()
    try:
        return _frame(_encode_lenient((ERROR, number, wire)), frame_bytes_max)
    except (RuntaraError, TypeError, ValueError, OverflowError, RecursionError):
        bare = WireError(
            code=wire.code,
            family=wire.family,
            message=_plain(wire.message),
            retry_after_ms=wire.retry_after_ms,
        )
        return _frame(_encode((ERROR, number, bare)), frame_bytes_max)


def decode(payload: bytes) -> tuple[int, int, Message | RuntaraError]:
    """Kind, number and body of a frame; the body of an error frame is the error itself.

    Raises:
        FrameMalformed: not so. Ask ``decode_envelope`` whether at least the envelope is good.
    """
    try:
        if payload[_KIND_AT : _KIND_AT + 1] != b"\x02":
            return _decode_message(payload)
        kind, number, wire = _decode_error(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameMalformed(f"the message cannot be read: {error}") from error
    return kind, number, RuntaraError.from_wire(wire)


def decode_envelope(payload: bytes) -> tuple[int, int]:
    """Kind and number of a frame whose body is something else. Raises ``FrameMalformed``."""
    try:
        kind, number, _ = _decode_raw(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameMalformed(f"the frame is malformed: {error}") from error
    return kind, number


def _frame(payload: bytes, frame_bytes_max: int) -> bytes:
    if len(payload) > frame_bytes_max:
        raise frame_too_long(len(payload), frame_bytes_max)
    return len(payload).to_bytes(HEADER_BYTES, "big") + payload


def _plain(text: str) -> str:
    """Text that surely can be encoded, and is short."""
    return text[:1000].encode("utf-8", "replace").decode()
