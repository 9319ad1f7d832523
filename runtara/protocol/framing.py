"""Frames: a 4-byte big-endian length, then that many bytes. The stream is cut here and nothing is understood.

A long frame arrives in thousands of pieces; they are kept apart until the frame is whole and joined once, so the
work is proportional to the bytes whatever their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from runtara.errors import LimitExceeded

__all__ = ("HEADER_BYTES", "FrameCutter", "FrameReader", "cut_frames", "frame_too_long")

HEADER_BYTES: Final = 4


class FrameCutter(Protocol):
    """What cuts a buffer; ``cut_frames`` is the reference, ``runtara._native`` has a faster one."""

    def __call__(self, buffer: bytes, /, *, frame_bytes_max: int) -> tuple[list[bytes], int]:
        """See ``cut_frames``."""


def frame_too_long(actual: int, maximum: int) -> LimitExceeded:
    """The error of a frame whose payload is over the limit, on either side of the wire."""
    return LimitExceeded(
        f"a frame of {actual} bytes is over the limit of {maximum}",
        limit="frame_bytes",
        unit="bytes",
        maximum=maximum,
        actual=actual,
    )


def cut_frames(buffer: bytes, /, *, frame_bytes_max: int) -> tuple[list[bytes], int]:
    """The payloads of all whole frames at the start of ``buffer``, and how many bytes they and their headers took.

    Raises:
        LimitExceeded: a header announces more than ``frame_bytes_max``, even if the frame is not whole yet.
    """
    payloads, start, size = [], 0, len(buffer)
    while size - start >= HEADER_BYTES:
        length = int.from_bytes(buffer[start : start + HEADER_BYTES], "big")
        if length > frame_bytes_max:
            raise frame_too_long(length, frame_bytes_max)
        end = start + HEADER_BYTES + length
        if end > size:
            break
        payloads.append(buffer[start + HEADER_BYTES : end])
        start = end
    return payloads, start


class FrameReader:
    """Collects the pieces of one stream and gives whole frames."""

    __slots__ = ("_cut", "_have", "_need", "_pieces", "frame_bytes_max")

    def __init__(self, *, frame_bytes_max: int, cut: FrameCutter = cut_frames) -> None:
        self.frame_bytes_max = frame_bytes_max
        self._cut = cut
        self._pieces: list[bytes] = []
        self._have = 0
        self._need = HEADER_BYTES

    @property
    def is_empty(self) -> bool:
        """Whether the stream stands between two frames."""
        return not self._pieces

    def feed(self, data: bytes) -> Sequence[bytes]:
        """The payloads that ``data`` completes. Raises ``LimitExceeded``; the reader is then of no more use."""
        if not self._pieces and int.from_bytes(data[:HEADER_BYTES], "big") == len(data) - HEADER_BYTES:
            return self._whole(data)
        self._pieces.append(data)
        self._have += len(data)
        return self._join() if self._have >= self._need else ()

    def _whole(self, data: bytes) -> Sequence[bytes]:
        """The usual case, exactly one frame, costs one slice."""
        if len(data) - HEADER_BYTES > self.frame_bytes_max:
            raise frame_too_long(len(data) - HEADER_BYTES, self.frame_bytes_max)
        return (data[HEADER_BYTES:],)

    def _join(self) -> Sequence[bytes]:
        buffer = b"".join(self._pieces)
        payloads, consumed = self._cut(buffer, frame_bytes_max=self.frame_bytes_max)
        rest = buffer[consumed:]
        self._pieces = [rest] if rest else []
        self._have = len(rest)
        self._need = HEADER_BYTES
        if len(rest) >= HEADER_BYTES:
            self._need += int.from_bytes(rest[:HEADER_BYTES], "big")
        return payloads
