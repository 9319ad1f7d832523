"""Arrays in PostgreSQL's binary format, made by the native layer in one go.

psycopg's own list dumper is Python per element, which was a quarter of the server's time on the hot path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from runtara._native import api as native
from runtara.core.persistence.postgres.pool import Connection

__all__ = ("ByteaArray", "Int4Array", "Int8Array", "TextArray", "accept_arrays")


class _Array:
    __slots__ = ("binary",)
    oid: ClassVar[int]

    def __init__(self, binary: bytes) -> None:
        self.binary = binary


class Int8Array(_Array):
    """``int8[]``."""

    oid = 1016

    def __init__(self, values: Sequence[int]) -> None:
        super().__init__(native.int8_array(values))


class Int4Array(_Array):
    """``int4[]``."""

    oid = 1007

    def __init__(self, values: Sequence[int]) -> None:
        super().__init__(native.int4_array(values))


class TextArray(_Array):
    """``text[]``."""

    oid = 1009

    def __init__(self, values: Sequence[str]) -> None:
        super().__init__(native.text_array([value.encode() for value in values]))


class ByteaArray(_Array):
    """``bytea[]``."""

    oid = 1001

    def __init__(self, values: Sequence[bytes]) -> None:
        super().__init__(native.bytea_array(values))


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Array) -> Buffer:
        return obj.binary


def accept_arrays(connection: Connection) -> None:
    """Let the connection take these classes as parameters."""
    for kind in (Int8Array, Int4Array, TextArray, ByteaArray):
        connection.adapters.register_dumper(kind, type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": kind.oid}))
