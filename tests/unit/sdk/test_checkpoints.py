from __future__ import annotations

from runtara.sdk.checkpoints import KnownCheckpoints, seal, unseal


def test_a_state_comes_out_of_its_envelope() -> None:
    assert unseal(seal(b"state")) == b"state"


def test_what_is_not_known_does_not_exist_once_all_were_read() -> None:
    known = KnownCheckpoints()
    known.add("a", b"1")
    assert known.find("a") == b"1"
    assert known.find("b") is None
    assert not known.is_complete
    known.all_read()
    assert known.is_complete


def test_the_first_envelope_stays() -> None:
    known = KnownCheckpoints()
    known.add("a", b"1")
    known.add("a", b"2")
    assert known.find("a") == b"1"


def test_beyond_the_budget_nothing_is_kept_and_nothing_is_sure() -> None:
    known = KnownCheckpoints(bytes_max=10)
    known.add("a", b"12345")
    known.all_read()
    known.add("b", b"12345")
    assert known.is_complete
    known.add("c", b"1")
    assert known.is_full
    assert known.find("c") is None
    assert not known.is_complete
