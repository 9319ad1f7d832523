from __future__ import annotations

import importlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtara._native import _python
from runtara._native.base import Codec, Native
from runtara.errors import LimitExceeded
from runtara.testing.contracts.native import NativeContract, corrupted_envelopes, framed
from tests.support.needs import missing


@pytest.fixture(scope="session")
def c() -> Native:
    try:
        return importlib.import_module("runtara._native._cffi")
    except ImportError as error:
        missing(f"the C extension: {error}")


class TestPython(NativeContract):
    @pytest.fixture(scope="class")
    @classmethod
    def native(cls) -> Native:
        return _python


class TestC(NativeContract):
    @pytest.fixture(scope="class")
    @classmethod
    def native(cls, c: Native) -> Native:
        return c


class TestAgreement:
    """C and Python, on the same input, sound or not."""

    @given(
        buffer=st.binary(max_size=200)
        | st.lists(st.binary(max_size=12), max_size=30).map(framed)
        | st.tuples(st.lists(st.binary(max_size=12), max_size=5).map(framed), st.binary(max_size=8)).map(b"".join),
        frame_bytes_max=st.sampled_from((0, 5, 12, 1 << 16, 0xFFFFFFFF)),
    )
    @settings(max_examples=500)
    def test_they_cut_alike(self, c: Native, buffer: bytes, frame_bytes_max: int) -> None:
        assert self._cut(c, buffer, frame_bytes_max) == self._cut(_python, buffer, frame_bytes_max)

    @given(st.binary(max_size=300))
    def test_they_sum_alike(self, c: Native, data: bytes) -> None:
        assert c.crc32c(data) == _python.crc32c(data)

    @given(st.lists(st.tuples(st.binary(max_size=50), st.sampled_from(Codec), st.integers(0, 0xFFFFFFFF)), max_size=10))
    def test_they_seal_alike(self, c: Native, states: list[tuple[bytes, Codec, int]]) -> None:
        stored, codecs, sizes = (list(column) for column in zip(*states, strict=True)) if states else ([], [], [])
        assert c.seal(stored, codecs, sizes) == _python.seal(stored, codecs, sizes)

    @given(st.lists(st.binary(max_size=40) | corrupted_envelopes(_python), max_size=10))
    @settings(max_examples=500)
    def test_they_judge_alike(self, c: Native, envelopes: list[bytes]) -> None:
        assert c.inspect(envelopes) == _python.inspect(envelopes)
        assert [c.inspect_one(one) for one in envelopes] == _python.inspect(envelopes)

    @staticmethod
    def _cut(native: Native, buffer: bytes, frame_bytes_max: int) -> object:
        try:
            return native.cut_frames(buffer, frame_bytes_max=frame_bytes_max)
        except LimitExceeded as refused:
            return refused.attributes
