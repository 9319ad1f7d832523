"""How JSON is read, written and compared: one equality, one order, one notion of empty for all agents."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import msgspec

from runtara.agents.errors import AgentError

__all__ = (
    "decode_json",
    "encode_json",
    "identity",
    "is_blank",
    "is_empty_text",
    "is_null",
    "is_zero",
    "sort_key",
    "text_of",
)

_WHOLE_FLOAT_MAX: Final = 2.0**53
"""Above it neighbouring whole numbers are the same float, so its digits would pretend to be exact."""


def identity(value: Any) -> Hashable:
    """What two values have in common exactly if they are equal: 1 and 1.0, but neither 1 and true nor 1 and "1".

    Raises:
        AgentError: ``TRANSFORM_INVALID_INPUT``; the value is nested too deep to be compared.
    """
    try:
        return _identity(value)
    except RecursionError as error:
        raise AgentError("TRANSFORM_INVALID_INPUT", "a value is nested too deep to be compared") from error


def _identity(value: Any) -> Hashable:
    if isinstance(value, bool):
        return (bool, value)
    if isinstance(value, list):
        return (list, *map(_identity, value))
    if isinstance(value, dict):
        return (dict, frozenset((key, _identity(item)) for key, item in value.items()))
    return value  # type: ignore[no-any-return]


def sort_key(value: Any) -> tuple[Any, ...]:
    """Numbers by value, texts by code point, false before true, null last, and everything else by its JSON text.

    The ranks put different types into the order of their first characters in JSON: ``"``, digits, ``[``, ``false`` and
    ``true``, ``{``.

    Raises:
        AgentError: ``TRANSFORM_JSON_SERIALIZE_ERROR``; an array or object cannot be written.
    """
    if value is None:
        return (5,)
    if isinstance(value, str):
        return (0, value)
    if isinstance(value, bool):
        return (3, value)
    if isinstance(value, int | float):
        return (1, value)
    return (2 if isinstance(value, list) else 4, encode_json(value))


def is_null(value: Any) -> bool:
    """Whether it is null."""
    return value is None


def is_empty_text(value: Any) -> bool:
    """Whether it is the empty text."""
    return isinstance(value, str) and not value


def is_blank(value: Any) -> bool:
    """Whether it is a text of nothing but white space, or of nothing."""
    return isinstance(value, str) and not value.strip()


def is_zero(value: Any) -> bool:
    """Whether it is the number 0. False is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


def text_of(value: Any) -> str:
    """A text as it is, anything else as JSON; equal numbers give equal texts.

    Raises:
        AgentError: ``TRANSFORM_JSON_SERIALIZE_ERROR``.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE_FLOAT_MAX:
        return str(int(value))
    return encode_json(value, sort_keys=True).decode()


def decode_json(text: str, *, code: str) -> Any:
    """The value of a JSON text.

    Raises:
        AgentError: it is not JSON, or nested too deep; of that code.
    """
    try:
        return msgspec.json.decode(text)
    except RecursionError as error:
        raise AgentError(code, "the text is nested too deep") from error
    except ValueError as error:
        raise AgentError(code, f"the text is not JSON: {error}") from error


def encode_json(value: Any, *, code: str = "TRANSFORM_JSON_SERIALIZE_ERROR", sort_keys: bool = False) -> bytes:
    """The value as compact JSON.

    Raises:
        AgentError: it has no JSON form (half of a surrogate pair, a foreign type) or is nested too deep; of that code.
    """
    try:
        return msgspec.json.encode(value, order="sorted" if sort_keys else None)
    except RecursionError as error:
        raise AgentError(code, "the value is nested too deep to be written as JSON") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise AgentError(code, f"the value cannot be written as JSON: {error}") from error
