from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg.adapt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.pq import Format

from runtara._native import api

int4s = st.integers(-(2**31), 2**31 - 1)
int8s = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def load(array: bytes, oid: int) -> list[object]:
    """What psycopg, another reader of the same format, makes of it."""
    transformer = psycopg.adapt.Transformer()
    return transformer.get_loader(oid, Format.BINARY).load(array)  # type: ignore[no-any-return]


def utf8(values: Sequence[str | None]) -> list[bytes | None]:
    return [None if value is None else value.encode() for value in values]


@given(st.lists(int4s))
@example([])
def test_int4_arrays_are_read_by_psycopg(values: list[int]) -> None:
    assert load(api.int4_array(values), 1007) == values


@given(st.lists(int8s))
@example([])
def test_int8_arrays_are_read_by_psycopg(values: list[int]) -> None:
    assert load(api.int8_array(values), 1016) == values


@given(st.lists(texts | st.none()))
@example([])
@example([None, "", None])
def test_text_arrays_are_read_by_psycopg(values: list[str | None]) -> None:
    assert load(api.text_array(utf8(values)), 1009) == values


@given(st.lists(st.binary() | st.none()))
@example([])
@example([None, b"", None])
def test_bytea_arrays_are_read_by_psycopg(values: list[bytes | None]) -> None:
    assert load(api.bytea_array(values), 1001) == values


def test_the_bytes_are_those_of_postgresql() -> None:
    """Recorded from ``select array_send('{7,NULL}'::text[])`` of PostgreSQL 18."""
    recorded = "00000001 00000001 00000019 00000002 00000001 00000001 37 ffffffff"
    assert api.text_array([b"7", None]).hex() == recorded.replace(" ", "")


def test_any_sequence_will_do() -> None:
    assert api.int8_array(range(3)) == api.int8_array((0, 1, 2)) == api.int8_array([0, 1, 2])


@pytest.mark.parametrize(("pack", "bits"), [(api.int4_array, 31), (api.int8_array, 63)])
def test_a_number_that_does_not_fit_is_refused(pack: Callable[[Sequence[int]], bytes], bits: int) -> None:
    pack([2**bits - 1, -(2**bits)])
    for outside in (2**bits, -(2**bits) - 1):
        with pytest.raises(OverflowError):
            pack([0, outside])
