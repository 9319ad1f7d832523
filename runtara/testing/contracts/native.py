"""What every implementation of ``runtara._native.base`` must do; subclass and give the fixture ``native``."""

from __future__ import annotations

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtara._native.base import ENVELOPE_HEADER_BYTES, ENVELOPE_VERSION, Codec, Native, Verdict
from runtara.errors import LimitExceeded
from runtara.limits import CHECKPOINT_BYTES_MAX
from runtara.protocol.framing import HEADER_BYTES

__all__ = ("NativeContract", "corrupted_envelopes", "frame", "framed")

# Not of this project: RFC 3720, appendix B.4, and the check value of the CRC catalogue.
CRC32C_VECTORS = (
    (b"", 0x00000000),
    (b"123456789", 0xE3069283),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
)

# The same test runs in the classes of several implementations; nothing of a class changes how.
inherited = settings(suppress_health_check=[HealthCheck.differing_executors])

payloads = st.lists(st.binary(max_size=40), max_size=20)


def frame(payload: bytes) -> bytes:
    """The payload behind its length."""
    return struct.pack("!I", len(payload)) + payload


def framed(payloads: list[bytes]) -> bytes:
    """All of them, one after the other."""
    return b"".join(map(frame, payloads))


@st.composite
def corrupted_envelopes(draw: st.DrawFn, native: Native) -> bytes:
    """A sealed state with one byte changed, or cut, or lengthened."""
    state = draw(st.binary(max_size=60))
    envelope = native.seal([state], [Codec.RAW], [len(state)])[0]
    at = draw(st.integers(0, len(envelope) - 1))
    damage = draw(st.sampled_from(("change", "cut", "lengthen")))
    if damage == "cut":
        return envelope[:at]
    if damage == "lengthen":
        return envelope + draw(st.binary(min_size=1, max_size=20))
    return envelope[:at] + bytes([envelope[at] ^ draw(st.integers(1, 255))]) + envelope[at + 1 :]


class NativeContract:
    """The suite."""

    @pytest.fixture(scope="class")
    @classmethod
    def native(cls) -> Native:
        """The implementation under test."""
        raise AssertionError("a subclass gives the fixture ``native``")

    # ---- frames

    @inherited
    @given(payloads=payloads, rest=st.binary(max_size=3))
    def test_whole_frames_are_cut_and_the_rest_is_left(
        self, native: Native, payloads: list[bytes], rest: bytes
    ) -> None:
        """There and back; up to three bytes are never a header."""
        buffer = framed(payloads)
        assert native.cut_frames(buffer + rest, frame_bytes_max=40) == (payloads, len(buffer))

    @inherited
    @given(payloads=payloads, last=st.binary(min_size=1, max_size=40), data=st.data())
    def test_an_unfinished_frame_stays(
        self, native: Native, payloads: list[bytes], last: bytes, data: st.DataObject
    ) -> None:
        """Wherever it was cut off."""
        buffer = framed(payloads)
        have = data.draw(st.integers(0, HEADER_BYTES + len(last) - 1))
        assert native.cut_frames(buffer + frame(last)[:have], frame_bytes_max=40) == (payloads, len(buffer))

    @pytest.mark.parametrize("count", [1023, 1024, 1025, 3000])
    def test_any_number_of_frames_is_cut(self, native: Native, count: int) -> None:
        """An implementation may work in tables of some size; their seams must not show."""
        payloads = [index.to_bytes(2, "big") for index in range(count)]
        assert native.cut_frames(framed(payloads), frame_bytes_max=2) == (payloads, 6 * count)

    @pytest.mark.parametrize("before", [0, 1, 1024, 1500])
    @pytest.mark.parametrize("announced", [11, 0x7FFFFFFF, 0xFFFFFFFC, 0xFFFFFFFF])
    def test_a_length_over_the_maximum_is_refused_before_its_bytes_arrive(
        self, native: Native, before: int, announced: int
    ) -> None:
        """Also the lengths that would wrap around when a header is added in 32 bits."""
        buffer = framed([b"0123456789"] * before) + struct.pack("!I", announced)
        with pytest.raises(LimitExceeded) as refused:
            native.cut_frames(buffer, frame_bytes_max=10)
        assert refused.value.attributes == {
            "limit": "frame_bytes",
            "unit": "bytes",
            "maximum": 10,
            "actual": announced,
        }

    def test_the_largest_length_is_allowed_when_the_maximum_is(self, native: Native) -> None:
        """It is then just not whole."""
        assert native.cut_frames(b"\xff\xff\xff\xff" + bytes(100), frame_bytes_max=0xFFFFFFFF) == ([], 0)

    # ---- checksums and envelopes

    @pytest.mark.parametrize(("data", "expected"), CRC32C_VECTORS)
    def test_the_checksum_is_that_of_the_standard(self, native: Native, data: bytes, expected: int) -> None:
        """See ``CRC32C_VECTORS``."""
        assert native.crc32c(data) == expected

    def test_the_bytes_of_an_envelope_never_change(self, native: Native) -> None:
        """Recorded: stored states must stay readable for ever."""
        sealed = native.seal([b'{"a":1}', b"small"], [Codec.RAW, Codec.ZSTD], [7, 500])
        assert [one.hex() for one in sealed] == [
            "e1000000000710d382107b2261223a317d",
            "e101000001f46f899bfc736d616c6c",
        ]

    @inherited
    @given(states=st.lists(st.binary(max_size=100), max_size=10))
    def test_what_was_sealed_is_sound(self, native: Native, states: list[bytes]) -> None:
        """With the state itself behind the header."""
        sealed = native.seal(states, [Codec.RAW] * len(states), [len(state) for state in states])
        assert [one[ENVELOPE_HEADER_BYTES:] for one in sealed] == states
        assert native.inspect(sealed) == [Verdict.SOUND] * len(states)

    @settings(inherited, max_examples=300)
    @given(data=st.data())
    def test_any_changed_byte_is_seen(self, native: Native, data: st.DataObject) -> None:
        """And only the damaged envelope is found, whatever stands beside it."""
        damaged = data.draw(corrupted_envelopes(native))
        sound = native.seal([b"sound"], [Codec.RAW], [5])[0]
        verdicts = native.inspect([sound, damaged, sound])
        assert verdicts[0] is verdicts[2] is Verdict.SOUND
        assert verdicts[1] is not Verdict.SOUND
        assert native.inspect_one(damaged) is verdicts[1]

    @pytest.mark.parametrize(
        ("codec", "stored", "raw_size", "verdict"),
        [
            (Codec.RAW, b"abc", 3, Verdict.SOUND),
            (Codec.RAW, b"abc", 2, Verdict.WRONG_LENGTH),
            (Codec.RAW, b"abc", 4, Verdict.WRONG_LENGTH),
            (Codec.ZSTD, b"abc", 4, Verdict.SOUND),
            (Codec.ZSTD, b"abc", 3, Verdict.WRONG_LENGTH),
            (Codec.ZSTD, b"abc", CHECKPOINT_BYTES_MAX, Verdict.SOUND),
            (Codec.ZSTD, b"abc", CHECKPOINT_BYTES_MAX + 1, Verdict.WRONG_LENGTH),
            (Codec.ZSTD, b"abc", 0xFFFFFFFF, Verdict.WRONG_LENGTH),
        ],
    )
    def test_lengths_must_fit_the_codec_and_the_limit(
        self, native: Native, codec: Codec, stored: bytes, raw_size: int, verdict: Verdict
    ) -> None:
        """A sealed lie is found by what it says, though its checksum is right."""
        assert native.inspect(native.seal([stored], [codec], [raw_size])) == [verdict]

    def test_the_first_mistake_is_the_verdict(self, native: Native) -> None:
        """In the order of ``Verdict``."""
        sound = native.seal([b"state"], [Codec.RAW], [5])[0]
        damaged = (
            b"",
            sound[: ENVELOPE_HEADER_BYTES - 1],
            bytes([ENVELOPE_VERSION + 1]) + sound[1:],
            sound[:1] + b"\x02" + sound[2:],
            sound + b"!",
            sound[:-1] + b"!",
        )
        assert [native.inspect_one(one) for one in damaged] == native.inspect(damaged)
        assert native.inspect(damaged) == [
            Verdict.TOO_SHORT,
            Verdict.TOO_SHORT,
            Verdict.UNKNOWN_VERSION,
            Verdict.UNKNOWN_CODEC,
            Verdict.WRONG_LENGTH,
            Verdict.WRONG_SUM,
        ]

    def test_nothing_in_is_nothing_out(self, native: Native) -> None:
        """Empty batches are batches."""
        assert native.seal([], [], []) == []
        assert native.inspect([]) == []
        assert native.cut_frames(b"", frame_bytes_max=10) == ([], 0)
