"""Makes large states smaller, where the package ``zstandard`` (extra ``fast``) is installed.

Nothing depends on it for writing: a process without it stores states as they are. Reading a compressed state needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runtara._native.base import Codec
from runtara.errors import CheckpointCorrupt, UnsupportedVersion

try:
    import zstandard
except ImportError:  # optional
    zstandard = None  # type: ignore[assignment, unused-ignore]

__all__ = ("compress", "decompress")

# Below this, a state is one packet anyway.
_STATE_BYTES_MIN: Final = 1024
# Smaller gains are not worth that every reader has to unpack.
_RATIO_MAX: Final = 0.9
# The quickest; higher levels gain a few per cent on JSON and cost several times as much.
_LEVEL: Final = 1


def compress(states: Sequence[bytes]) -> list[tuple[Codec, bytes]]:
    """Each state as it is to be stored: compressed if it is over 1 KiB and shrinks by more than a tenth."""
    if zstandard is None or all(len(state) <= _STATE_BYTES_MIN for state in states):
        return [(Codec.RAW, state) for state in states]
    # One for the call: a compressor must not be shared between threads.
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    return [_compress_one(compressor, state) for state in states]


def _compress_one(compressor: zstandard.ZstdCompressor, state: bytes) -> tuple[Codec, bytes]:
    if len(state) <= _STATE_BYTES_MIN:
        return Codec.RAW, state
    small = compressor.compress(state)
    return (Codec.ZSTD, small) if len(small) < _RATIO_MAX * len(state) else (Codec.RAW, state)


def decompress(stored: bytes, *, size: int) -> bytes:
    """The state again, which must have exactly ``size`` bytes.

    Raises:
        CheckpointCorrupt: it is not such a state. At most ``size`` bytes were allocated to find out.
        UnsupportedVersion: ``zstandard`` is not installed here.
    """
    if zstandard is None:
        raise UnsupportedVersion(
            "this checkpoint is compressed, and the package zstandard is not installed",
            hint="Install it: pip install 'runtara[fast]'",
        )
    try:
        # The library allocates what the frame announces, so that is compared first.
        if zstandard.frame_content_size(stored) != size:
            raise CheckpointCorrupt("the compressed checkpoint does not have the length that its envelope says")
        return zstandard.ZstdDecompressor().decompress(stored, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CheckpointCorrupt(f"the compressed checkpoint cannot be unpacked: {error}") from error
