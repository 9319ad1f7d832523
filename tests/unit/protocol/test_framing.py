from __future__ import annotations

import pytest

from runtara.errors import LimitExceeded
from runtara.protocol.framing import FrameReader, cut_frames


def frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def test_whole_frames_are_cut_and_the_rest_is_left() -> None:
    buffer = frame(b"one") + frame(b"") + frame(b"three") + frame(b"four")[:-1]
    assert cut_frames(buffer, frame_bytes_max=5) == ([b"one", b"", b"three"], 20)


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_half_a_header_is_left(length: int) -> None:
    assert cut_frames(frame(b"x") + bytes(length), frame_bytes_max=5) == ([b"x"], 5)


def test_a_frame_one_over_the_limit_is_refused_before_it_is_whole() -> None:
    assert cut_frames(frame(b"12345"), frame_bytes_max=5) == ([b"12345"], 9)
    with pytest.raises(LimitExceeded) as caught:
        cut_frames(frame(b"123456")[:4], frame_bytes_max=5)
    assert caught.value.attributes == {"limit": "frame_bytes", "unit": "bytes", "maximum": 5, "actual": 6}


def test_a_single_whole_frame_over_the_limit_is_refused() -> None:
    reader = FrameReader(frame_bytes_max=5)
    assert reader.feed(frame(b"12345")) == (b"12345",)
    with pytest.raises(LimitExceeded):
        reader.feed(frame(b"123456"))


def test_a_reader_gives_the_same_frames_however_the_stream_is_cut() -> None:
    stream = frame(b"a" * 300) + frame(b"") + frame(b"b") + frame(b"c" * 70)
    for size in range(1, len(stream) + 1):
        reader = FrameReader(frame_bytes_max=300)
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        payloads = [payload for piece in pieces for payload in reader.feed(piece)]
        assert payloads == [b"a" * 300, b"", b"b", b"c" * 70]
        assert reader.is_empty


def test_a_long_frame_is_joined_once() -> None:
    joins: list[int] = []

    def counting(buffer: bytes, /, *, frame_bytes_max: int) -> tuple[list[bytes], int]:
        joins.append(len(buffer))
        return cut_frames(buffer, frame_bytes_max=frame_bytes_max)

    reader = FrameReader(frame_bytes_max=1_000_000, cut=counting)
    stream = frame(bytes(1_000_000))
    payloads = [p for at in range(0, len(stream), 1200) for p in reader.feed(stream[at : at + 1200])]
    assert payloads == [bytes(1_000_000)]
    # Once when the header is there, once when all is.
    assert joins == [1200, 1_000_004]


def test_the_limit_may_be_raised_between_frames() -> None:
    reader = FrameReader(frame_bytes_max=1)
    reader.frame_bytes_max = 10
    assert reader.feed(frame(b"0123456789")) == (b"0123456789",)
