from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara._native import _python, api
from runtara._native.base import Codec, Native
from runtara.errors import CheckpointCorrupt, LimitExceeded
from runtara.limits import CHECKPOINT_BYTES_MAX
from runtara.testing.contracts.native import frame, framed


def refuse(name: str) -> ModuleType:
    raise ImportError(f"no {name} here")


# ---- which implementation serves


def test_python_is_taken_when_it_is_demanded() -> None:
    assert api.choose("python") == ("python", _python)


def test_without_the_extension_python_serves() -> None:
    assert api.choose(None, load=refuse) == ("python", _python)


def test_a_demanded_extension_that_is_missing_says_how_to_build_it() -> None:
    with pytest.raises(ImportError, match=r"no runtara\._native\._cffi here.*pip install -e \."):
        api.choose("c", load=refuse)


def test_the_extension_is_taken_where_it_was_built() -> None:
    extension = ModuleType("extension")
    assert api.choose(None, load=lambda _: extension) == ("c", extension)
    assert api.choose("c", load=lambda _: extension) == ("c", extension)


def test_the_variable_insists() -> None:
    environ = {**os.environ, "RUNTARA_NATIVE": "python"}  # noqa: TID251 - of a child process
    program = "from runtara._native import api; print(api.IMPLEMENTATION)"
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "python\n"


# ---- cutting frames


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which implementation was asked to cut, in order."""
    calls: list[str] = []

    class Spy:
        def __init__(self, name: str) -> None:
            self.name = name

        def cut_frames(self, buffer: bytes, /, *, frame_bytes_max: int) -> tuple[list[bytes], int]:
            calls.append(self.name)
            return cut(buffer, frame_bytes_max=frame_bytes_max)

    cut = _python.cut_frames
    monkeypatch.setattr(api, "_native", Spy("native"))
    monkeypatch.setattr(api, "_python", Spy("python"))
    return calls


@pytest.mark.parametrize(("count", "expected"), [(0, "python"), (1, "python"), (11, "python"), (12, "native")])
def test_few_frames_are_cut_without_a_crossing(calls: list[str], count: int, expected: str) -> None:
    payloads = [b"0123456789"] * count
    assert api.cut_frames(framed(payloads), frame_bytes_max=100) == (payloads, 14 * count)
    assert calls == [expected]


@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer_gives_bytes(kind: type[bytes], count: int) -> None:
    cut, consumed = api.cut_frames(kind(frame(b"payload") * count), frame_bytes_max=100)
    assert (cut, consumed) == ([b"payload"] * count, 11 * count)
    assert {type(payload) for payload in cut} == {bytes}


def test_a_wrong_guess_about_the_frames_changes_nothing() -> None:
    payloads = [b"", *[bytes(1000)] * 3, *[b"x"] * 30, bytes(10_000)]
    buffer = framed(payloads)
    assert api.cut_frames(buffer, frame_bytes_max=10_000) == (payloads, len(buffer))


@pytest.mark.parametrize("before", [0, 20])
def test_a_frame_of_one_byte_too_many_is_refused(before: int) -> None:
    buffer = framed([b"ok"] * before + [bytes(101)])
    with pytest.raises(LimitExceeded):
        api.cut_frames(buffer, frame_bytes_max=100)
    assert api.cut_frames(buffer, frame_bytes_max=101)[1] == len(buffer)


# ---- envelopes


@given(st.lists(st.binary(max_size=3000), max_size=5))
def test_states_come_back(states: list[bytes]) -> None:
    envelopes = api.seal(states)
    assert api.check(envelopes) == [True] * len(states)
    assert api.unseal(envelopes) == states


def test_a_large_state_is_stored_smaller_and_comes_back() -> None:
    pytest.importorskip("zstandard")
    state = b'{"sku": "A-1", "quantity": 12},' * 1000
    (envelope,) = api.seal([state])
    assert len(envelope) < len(state) / 10
    assert api.unseal([envelope]) == [state]


def test_a_state_of_the_largest_size_is_sealed_and_one_byte_more_is_refused() -> None:
    largest = bytes(CHECKPOINT_BYTES_MAX)
    assert api.unseal(api.seal([largest])) == [largest]
    with pytest.raises(LimitExceeded) as refused:
        api.seal([b"small", largest + b"!"])
    assert refused.value.attributes == {
        "limit": "checkpoint_bytes",
        "unit": "bytes",
        "maximum": CHECKPOINT_BYTES_MAX,
        "actual": CHECKPOINT_BYTES_MAX + 1,
    }


def test_the_damaged_one_of_a_batch_is_named() -> None:
    envelopes = api.seal([b"one", b"two", b"three"])
    envelopes[1] = envelopes[1][:-1] + b"!"
    assert api.check(envelopes) == [True, False, True]
    with pytest.raises(CheckpointCorrupt, match="wrong sum") as corrupt:
        api.unseal(envelopes)
    assert corrupt.value.attributes == {"index": 1, "verdict": "wrong_sum"}


def sealed_lie(native: Native, *, announced: int, stored: bytes) -> bytes:
    """An envelope whose checksum is right and whose content is not."""
    return native.seal([stored], [Codec.ZSTD], [announced])[0]


def test_a_lying_length_is_corrupt() -> None:
    zstandard = pytest.importorskip("zstandard")
    small = zstandard.compress(bytes(5000))
    assert api.unseal([sealed_lie(_python, announced=5000, stored=small)]) == [bytes(5000)]
    for announced in (4999, 5001, CHECKPOINT_BYTES_MAX):
        lie = sealed_lie(_python, announced=announced, stored=small)
        assert api.check([lie]) == [True], "only unpacking can tell"
        with pytest.raises(CheckpointCorrupt, match="length"):
            api.unseal([lie])
