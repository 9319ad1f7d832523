"""Values of programs as JSON and back."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ("NotJson", "decode_value", "encode_value")


class NotJson(TypeError):
    """The value cannot be stored. Another try would not change that."""

    code = "program.not_json"
    category = "permanent"


def encode_value(value: Any, *, what: str) -> bytes:
    """The value as JSON. Raises ``NotJson``."""
    try:
        return msgspec.json.encode(value, enc_hook=_refuse)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotJson(f"{what} cannot be stored as JSON: {error}") from error


def decode_value(data: bytes, type_: Any, *, what: str) -> Any:
    """The value, of that type. Raises ``NotJson`` when it is none."""
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.MsgspecError as error:
        raise NotJson(f"{what} is no {getattr(type_, '__name__', type_)}: {error}") from error


def _refuse(value: Any) -> Any:
    raise TypeError(f"{type(value).__qualname__} is none of the types that JSON can hold")
