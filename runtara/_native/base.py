"""The contract of the native layer: what C and Python both do, byte for byte the same. Nothing here runs.

Everything works on batches, because one crossing into C costs as much as some hundred bytes of work
(docs/decisions/0002-c-only-in-batches.md). A module is an implementation: ``_python`` is the reference, ``_cffi`` goes
through C, and ``runtara.testing.contracts.native`` is the suite of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, Protocol

__all__ = ("ENVELOPE_HEADER_BYTES", "ENVELOPE_VERSION", "Codec", "Native", "Verdict")

ENVELOPE_VERSION: Final = 0xE1
ENVELOPE_HEADER_BYTES: Final = 10


class Codec(IntEnum):
    """What the stored bytes of an envelope are."""

    RAW = 0
    ZSTD = 1


class Verdict(IntEnum):
    """What is wrong with an envelope; the first that applies, in this order."""

    SOUND = 0
    TOO_SHORT = 1
    UNKNOWN_VERSION = 2
    UNKNOWN_CODEC = 3
    WRONG_LENGTH = 4
    WRONG_SUM = 5


class Native(Protocol):
    """One implementation. No function keeps anything or changes its arguments; all may be called from any thread."""

    def cut_frames(self, buffer: bytes, /, *, frame_bytes_max: int) -> tuple[list[bytes], int]:
        """See ``runtara.protocol.framing.cut_frames``."""

    def crc32c(self, data: bytes) -> int:
        """The CRC-32C (Castagnoli) of the bytes. Source: RFC 3720, section 12.1."""

    def seal(self, stored: Sequence[bytes], codecs: Sequence[Codec], raw_sizes: Sequence[int]) -> list[bytes]:
        """Envelopes around bytes that are stored as they are; layout in ``src/envelope.h``.

        The three sequences are equally long; sizes fit into 32 bits.
        """

    def inspect_one(self, envelope: bytes) -> Verdict:
        """What is wrong with it. A sound envelope may still hold a compressed state that cannot be unpacked."""

    def inspect(self, envelopes: Sequence[bytes]) -> list[Verdict]:
        """The same, of each."""
