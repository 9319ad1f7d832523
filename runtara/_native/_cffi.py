"""The adapter of the C code in ``src/``: it makes the buffers, crosses once a batch, and slices what came back.

All memory that C sees is made here and lives until the call has returned. Importing this fails with ``ImportError``
where the extension was not built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runtara._native._runtara_native import ffi, lib
from runtara._native.base import ENVELOPE_HEADER_BYTES, Codec, Verdict
from runtara.limits import CHECKPOINT_BYTES_MAX
from runtara.protocol.framing import HEADER_BYTES, frame_too_long

__all__ = ("crc32c", "crc32c_kind", "cut_frames", "inspect", "inspect_one", "seal")

# What is about to be written whole needs no zeros first.
_new: Final = ffi.new_allocator(should_clear_after_alloc=False)
_VERDICTS: Final = tuple(Verdict)

# A table of 8 KiB; a buffer with more frames takes another turn.
_CUT_FRAMES_MAX: Final = 1024


def cut_frames(buffer: bytes, /, *, frame_bytes_max: int) -> tuple[list[bytes], int]:
    """See ``Native.cut_frames``."""
    payloads: list[bytes] = []
    ends, cut = _new("size_t[]", _CUT_FRAMES_MAX), _new("rt_cut *")
    data, size, start = ffi.from_buffer(buffer), len(buffer), 0
    status = lib.RT_CUT_FULL
    while status == lib.RT_CUT_FULL:
        status = lib.rt_cut_frames(data + start, size - start, frame_bytes_max, ends, _CUT_FRAMES_MAX, cut)
        at, base = start, start
        payloads += [buffer[at + HEADER_BYTES : (at := base + end)] for end in ffi.unpack(ends, cut.count)]
        start += cut.consumed
    if status == lib.RT_CUT_TOO_LONG:
        raise frame_too_long(int.from_bytes(buffer[start : start + HEADER_BYTES], "big"), frame_bytes_max)
    return payloads, start


def crc32c(data: bytes) -> int:
    """See ``Native.crc32c``."""
    return int(lib.rt_crc32c(0, data, len(data)))


def crc32c_kind() -> str:
    """How this machine computes it: ``sse4.2``, ``armv8`` or ``portable``."""
    return str(ffi.string(lib.rt_crc32c_kind()).decode())


def seal(stored: Sequence[bytes], codecs: Sequence[Codec], raw_sizes: Sequence[int]) -> list[bytes]:
    """See ``Native.seal``."""
    count = len(stored)
    headers = _new("uint8_t[]", ENVELOPE_HEADER_BYTES * count)
    lib.rt_seal(b"".join(stored), [len(one) for one in stored], bytes(codecs), list(raw_sizes), count, headers)
    written = ffi.buffer(headers)[:]
    starts = range(0, len(written), ENVELOPE_HEADER_BYTES)
    return [written[at : at + ENVELOPE_HEADER_BYTES] + one for at, one in zip(starts, stored, strict=True)]


def inspect_one(envelope: bytes) -> Verdict:
    """See ``Native.inspect_one``."""
    verdict: Verdict = _VERDICTS[lib.rt_inspect_one(envelope, len(envelope), CHECKPOINT_BYTES_MAX)]
    return verdict


def inspect(envelopes: Sequence[bytes]) -> list[Verdict]:
    """See ``Native.inspect``."""
    count = len(envelopes)
    verdicts = _new("uint8_t[]", count)
    sizes = [len(one) for one in envelopes]
    lib.rt_inspect(b"".join(envelopes), sizes, count, CHECKPOINT_BYTES_MAX, verdicts)
    return [_VERDICTS[verdict] for verdict in ffi.buffer(verdicts)[:]]
