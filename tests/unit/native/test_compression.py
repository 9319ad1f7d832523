from __future__ import annotations

import secrets

import pytest

from runtara._native import compression
from runtara._native.base import Codec
from runtara.errors import CheckpointCorrupt, UnsupportedVersion

zstandard = pytest.importorskip("zstandard")

TEXT = b"all work and no play makes jack a dull boy; "


def test_a_state_of_one_kib_stays_as_it_is_and_one_byte_more_is_compressed() -> None:
    kib = (TEXT * 100)[:1024]
    assert compression.compress([kib]) == [(Codec.RAW, kib)]
    ((codec, stored),) = compression.compress([kib + b"!"])
    assert codec is Codec.ZSTD
    assert compression.decompress(stored, size=1025) == kib + b"!"


def test_what_hardly_shrinks_stays_as_it_is() -> None:
    noise = secrets.token_bytes(5000)
    mostly_noise = noise + bytes(300)
    assert compression.compress([noise, mostly_noise]) == [(Codec.RAW, noise), (Codec.RAW, mostly_noise)]


def test_each_state_of_a_batch_is_judged_by_itself() -> None:
    noise, text = secrets.token_bytes(2000), TEXT * 100
    assert [codec for codec, _ in compression.compress([b"small", text, noise])] == [
        Codec.RAW,
        Codec.ZSTD,
        Codec.RAW,
    ]


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"not zstandard at all",
        zstandard.compress(TEXT * 100)[:-1],
        zstandard.compress(TEXT * 100) + b"!",
        zstandard.ZstdCompressor(write_content_size=False).compress(TEXT * 100),
    ],
    ids=["empty", "foreign", "cut", "lengthened", "of unknown length"],
)
def test_what_is_not_one_frame_of_known_length_is_corrupt(stored: bytes) -> None:
    with pytest.raises(CheckpointCorrupt):
        compression.decompress(stored, size=len(TEXT * 100))


def test_a_bomb_is_refused_by_its_label() -> None:
    """A frame that announces 64 GiB in 13 bytes: nothing is allocated for it."""
    bomb = zstandard.FRAME_HEADER + bytes([0b1110_0000]) + (1 << 36).to_bytes(8, "little")
    assert zstandard.frame_content_size(bomb) == 1 << 36
    with pytest.raises(CheckpointCorrupt, match="length"):
        compression.decompress(bomb, size=5000)


def test_without_the_package_states_are_stored_raw_and_compressed_ones_say_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = zstandard.compress(TEXT * 100)
    monkeypatch.setattr(compression, "zstandard", None)
    assert compression.compress([TEXT * 100]) == [(Codec.RAW, TEXT * 100)]
    with pytest.raises(UnsupportedVersion) as refused:
        compression.decompress(stored, size=len(TEXT * 100))
    assert "runtara[fast]" in str(refused.value.hint)
