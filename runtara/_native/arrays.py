"""Lists as one-dimensional PostgreSQL arrays in binary format, ready to be the bytes of a parameter.

    i32 dimensions (1) · i32 has NULLs (0 or 1) · i32 element type (OID) · i32 count · i32 lower bound (1)
    then for each element: i32 size (-1 for NULL) · its bytes

Source: array_recv in PostgreSQL's src/backend/utils/adt/arrayfuncs.c. All numbers are in network byte order; an empty
array has no dimensions and ends after the type. psycopg's own list dumper runs a regular expression per element; these
take a sixth to a half of its time. They are Python on purpose: C gained too little (docs/decisions/0002).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

__all__ = ("bytea_array", "int4_array", "int8_array", "text_array")

# Element types; ``select oid, typname from pg_type``.
BYTEA_OID: Final = 17
INT8_OID: Final = 20
INT4_OID: Final = 23
TEXT_OID: Final = 25

_HEADER: Final = struct.Struct("!5i").pack
_EMPTY: Final = struct.Struct("!3i").pack
_SIZE: Final = struct.Struct("!i").pack
_NULL: Final = _SIZE(-1)


def int4_array(values: Sequence[int]) -> bytes:
    """An ``int4[]``. Raises ``OverflowError`` when a value does not fit."""
    return _int_array(INT4_OID, "i", values)


def int8_array(values: Sequence[int]) -> bytes:
    """An ``int8[]``. Raises ``OverflowError`` when a value does not fit."""
    return _int_array(INT8_OID, "q", values)


def text_array(values: Sequence[bytes | None]) -> bytes:
    """A ``text[]`` of UTF-8 bytes without NUL."""
    return _bytes_array(TEXT_OID, values)


def bytea_array(values: Sequence[bytes | None]) -> bytes:
    """A ``bytea[]``."""
    return _bytes_array(BYTEA_OID, values)


def _int_array(element_oid: int, code: str, values: Sequence[int]) -> bytes:
    if not values:
        return _EMPTY(0, 0, element_oid)
    count = len(values)
    sizes_and_values = [struct.calcsize("!" + code)] * (2 * count)
    sizes_and_values[1::2] = values
    try:
        return struct.pack("!5i" + ("i" + code) * count, 1, 0, element_oid, count, 1, *sizes_and_values)
    except struct.error as error:
        raise OverflowError(f"an element does not fit: {error}") from error


def _bytes_array(element_oid: int, values: Sequence[bytes | None]) -> bytes:
    if not values:
        return _EMPTY(0, 0, element_oid)
    has_null = None in values
    parts: list[bytes] = [b""] * (2 * len(values))
    parts[0::2] = [_NULL if value is None else _SIZE(len(value)) for value in values]
    parts[1::2] = [value or b"" for value in values]
    return b"".join((_HEADER(1, has_null, element_oid, len(values), 1), *parts))
