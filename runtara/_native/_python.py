"""The reference implementation: plain Python, for machines without a compiler, and the judge of the C code."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from typing import Final

from runtara._native.base import ENVELOPE_HEADER_BYTES, ENVELOPE_VERSION, Codec, Verdict
from runtara.limits import CHECKPOINT_BYTES_MAX
from runtara.protocol.framing import cut_frames

__all__ = ("crc32c", "cut_frames", "inspect", "inspect_one", "seal")

_COVERED_HEADER: Final = struct.Struct("!BBI")
_HEADER: Final = struct.Struct("!BBII")
_POLYNOMIAL: Final = 0x82F63B78


def crc32c(data: bytes) -> int:
    """See ``Native.crc32c``."""
    return _continue_crc32c(0, data)


def seal(stored: Sequence[bytes], codecs: Sequence[Codec], raw_sizes: Sequence[int]) -> list[bytes]:
    """See ``Native.seal``."""
    return [_seal_one(*one) for one in zip(stored, codecs, raw_sizes, strict=True)]


def inspect_one(envelope: bytes) -> Verdict:
    """See ``Native.inspect_one``."""
    if len(envelope) < ENVELOPE_HEADER_BYTES:
        return Verdict.TOO_SHORT
    version, codec, raw_size, checksum = _HEADER.unpack_from(envelope)
    if version != ENVELOPE_VERSION:
        return Verdict.UNKNOWN_VERSION
    if codec not in (Codec.RAW, Codec.ZSTD):
        return Verdict.UNKNOWN_CODEC
    stored = envelope[ENVELOPE_HEADER_BYTES:]
    fits = raw_size == len(stored) if codec == Codec.RAW else raw_size > len(stored)
    if raw_size > CHECKPOINT_BYTES_MAX or not fits:
        return Verdict.WRONG_LENGTH
    if checksum != _continue_crc32c(crc32c(envelope[: _COVERED_HEADER.size]), stored):
        return Verdict.WRONG_SUM
    return Verdict.SOUND


def inspect(envelopes: Sequence[bytes]) -> list[Verdict]:
    """See ``Native.inspect``."""
    return [inspect_one(envelope) for envelope in envelopes]


def _seal_one(stored: bytes, codec: Codec, raw_size: int) -> bytes:
    covered = _COVERED_HEADER.pack(ENVELOPE_VERSION, codec, raw_size)
    checksum = _continue_crc32c(crc32c(covered), stored)
    return covered + checksum.to_bytes(4, "big") + stored


def _continue_crc32c(checksum: int, data: bytes) -> int:
    table = _crc32c_table()
    checksum ^= 0xFFFFFFFF
    for byte in data:
        checksum = table[(checksum ^ byte) & 0xFF] ^ (checksum >> 8)
    return checksum ^ 0xFFFFFFFF


@cache
def _crc32c_table() -> tuple[int, ...]:
    return tuple(_divide(byte) for byte in range(256))


def _divide(byte: int) -> int:
    """The remainder of one byte by the polynomial, lowest bit first."""
    for _ in range(8):
        byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte
