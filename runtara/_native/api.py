"""The door to the native layer: cutting frames, sealing checkpoint states, arrays for PostgreSQL.

Behind it stand the C extension and its Python reference, which do the same. It takes C where that was built;
``RUNTARA_NATIVE=c`` or ``python`` insists, and is read once, when this module is imported. Where crossing into C
costs more than it gains, Python serves in any case: a few frames, and all arrays.

A checkpoint's state is stored and sent in an envelope (``src/envelope.h``). Guests ``seal``, the server ``check``s
what arrives, and whoever reads a state does ``unseal``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Final, cast

from runtara import config
from runtara._native import _python
from runtara._native.arrays import bytea_array, int4_array, int8_array, text_array
from runtara._native.base import ENVELOPE_HEADER_BYTES, Codec, Native, Verdict
from runtara._native.compression import compress, decompress
from runtara.errors import CheckpointCorrupt, LimitExceeded
from runtara.limits import CHECKPOINT_BYTES_MAX
from runtara.protocol.framing import HEADER_BYTES

__all__ = (
    "ENVELOPE_HEADER_BYTES",
    "IMPLEMENTATION",
    "bytea_array",
    "check",
    "choose",
    "cut_frames",
    "int4_array",
    "int8_array",
    "is_sound",
    "seal",
    "text_array",
    "unseal",
)


def choose(demanded: str | None, *, load: Callable[[str], ModuleType] = importlib.import_module) -> tuple[str, Native]:
    """The name, ``c`` or ``python``, and the functions of the implementation to use.

    Raises ``ImportError``, with the cause and the way out, when C is demanded and cannot be loaded.
    """
    if demanded == "python":
        return "python", _python
    try:
        return "c", cast(Native, load("runtara._native._cffi"))
    except ImportError as error:
        if demanded == "c":
            raise ImportError(
                f"RUNTARA_NATIVE=c, but the C extension cannot be loaded: {error}. "
                "Build it with a C compiler: pip install -e . (or: python setup.py build_ext --inplace)"
            ) from error
        return "python", _python


IMPLEMENTATION, _native = choose(config.native_choice())
_SOUND: Final = Verdict.SOUND  # bound once: looking at an enum class costs as much as half a crossing

# From here on C is faster (benchmarks/native.py): a crossing costs as much as cutting about ten frames in Python.
_FRAMES_FOR_C_MIN: Final = 12


def cut_frames(buffer: bytes | bytearray | memoryview, /, *, frame_bytes_max: int) -> tuple[list[bytes], int]:
    """The payloads of all whole frames at the start of the buffer, and how many bytes they and their headers took.

    Raises:
        LimitExceeded: a header announces more than ``frame_bytes_max``, even if the frame is not whole yet.
    """
    data = buffer if isinstance(buffer, bytes) else bytes(buffer)
    # The first frame is taken for typical; to be wrong costs a microsecond.
    first = HEADER_BYTES + int.from_bytes(data[:HEADER_BYTES], "big")
    cut = _native.cut_frames if len(data) >= _FRAMES_FOR_C_MIN * first else _python.cut_frames
    return cut(data, frame_bytes_max=frame_bytes_max)


def seal(states: Sequence[bytes]) -> list[bytes]:
    """An envelope for each state; compressed inside where that helps.

    Raises ``LimitExceeded`` when a state has more than ``CHECKPOINT_BYTES_MAX`` bytes.
    """
    sizes = [len(state) for state in states]
    if max(sizes, default=0) > CHECKPOINT_BYTES_MAX:
        raise LimitExceeded(
            f"a checkpoint of {max(sizes)} bytes is over the limit of {CHECKPOINT_BYTES_MAX}",
            limit="checkpoint_bytes",
            unit="bytes",
            maximum=CHECKPOINT_BYTES_MAX,
            actual=max(sizes),
        )
    stored = compress(states)
    return _native.seal([one for _, one in stored], [codec for codec, _ in stored], sizes)


def is_sound(envelope: bytes) -> bool:
    """Whether an envelope is whole and undamaged: version, codec, length and checksum. Nothing is unpacked."""
    return _native.inspect_one(envelope) is _SOUND


def check(envelopes: Sequence[bytes]) -> list[bool]:
    """``is_sound`` of each, in one crossing."""
    return [verdict is _SOUND for verdict in _native.inspect(envelopes)]


def unseal(envelopes: Sequence[bytes]) -> list[bytes]:
    """The states again.

    Raises:
        CheckpointCorrupt: an envelope is damaged; ``index`` and ``verdict`` are attributes.
        UnsupportedVersion: a state is compressed, and ``zstandard`` is not installed here.
    """
    for index, verdict in enumerate(_native.inspect(envelopes)):
        if verdict is not _SOUND:
            raise CheckpointCorrupt(
                f"the checkpoint is damaged: {verdict.name.lower().replace('_', ' ')}",
                hint="The database returned other bytes than were stored. Restore it from a backup.",
                index=index,
                verdict=verdict.name.lower(),
            )
    return [_open(envelope) for envelope in envelopes]


def _open(envelope: bytes) -> bytes:
    """The state in a sound envelope."""
    stored = envelope[ENVELOPE_HEADER_BYTES:]
    if envelope[1] == Codec.RAW:
        return stored
    return decompress(stored, size=int.from_bytes(envelope[2:6], "big"))
