"""The launch record: everything an attempt is told at its birth, in one small msgpack map on an inherited descriptor.

Base runtime first, record second, scenario last: nothing at import time may depend on it. The environment variables
of ``RUNTARA_INSTANCE_ID`` and so on are set from it for programs that read them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from runtara.errors import FrameMalformed

__all__ = (
    "LAUNCH_FD_VARIABLE",
    "KnownCheckpoint",
    "LaunchRecord",
    "Psk",
    "decode_launch_record",
    "encode_launch_record",
)

LAUNCH_FD_VARIABLE: Final = "RUNTARA_LAUNCH_FD"
"""The environment variable that names the descriptor. It is read once, and the descriptor is closed."""


class Psk(msgspec.Struct, frozen=True):
    """A single-use TLS 1.3 credential: the label is sent in the clear, the secret never."""

    label: bytes
    secret: bytes
    """48 bytes."""
    not_after_s: float
    """Unix time."""


class KnownCheckpoint(msgspec.Struct, frozen=True, array_like=True):
    """A checkpoint that the server already knew when it launched the attempt."""

    key: str
    state: bytes


class LaunchRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """See the module."""

    version: int = 1
    instance_id: str
    tenant_id: str
    epoch: int
    server_address: str
    """``host:port`` of the instance endpoint."""
    psk: Psk
    quic: str = ""
    """``aioquic`` or ``qh3``: the library of the server, which must be the one on both ends."""
    input: bytes | None = None
    """The JSON input; None when it is too large and must be asked for (``Registered.input``)."""
    checkpoints: tuple[KnownCheckpoint, ...] = ()
    checkpoints_complete: bool = False
    """True when ``checkpoints`` are all there are, so that a miss needs no round trip."""
    sleep_threshold_s: float = 30.0
    env: dict[str, str] = {}
    """What the caller of the start added; never overrides a name of ours."""


_DECODER = msgspec.msgpack.Decoder(LaunchRecord)


def encode_launch_record(record: LaunchRecord) -> bytes:
    """The record as bytes."""
    return msgspec.msgpack.encode(record)


def decode_launch_record(data: bytes) -> LaunchRecord:
    """The record again. Raises ``FrameMalformed``."""
    try:
        return _DECODER.decode(data)
    except msgspec.MsgspecError as error:
        raise FrameMalformed(f"the launch record is malformed: {error}") from error
