"""What mappings evaluate to: type hints on references, and nested target keys. Source: dsl.md §4.

A value that cannot be what its mapping says is a failure of the run, never a null or a zero; the ``default`` of a
reference is the way to say otherwise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

__all__ = ("ValueFailed", "coerced", "encode_value", "nested", "parse_number")


class ValueFailed(Exception):
    """A mapping has no value; ``code`` and the message say why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _NotCoercible(Exception):
    pass


def encode_value(value: Any) -> bytes:
    """A value as JSON with sorted keys: equal values give equal bytes.

    Raises:
        TypeError, ValueError, OverflowError, RecursionError: JSON cannot hold it.
    """
    return msgspec.json.encode(value, order="sorted")


_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)\Z", re.IGNORECASE)


def parse_number(text: str) -> float | None:
    """The number that the text is, without surrounding space; None for any other text."""
    return float(text) if _NUMBER.match(text) else None


def coerced(value: Any, hint: str) -> Any:
    """The value as its type hint wants it; null stays null.

    Raises:
        ValueFailed: it cannot be that; ``VALUE_NOT_COERCIBLE``.
    """
    if value is None or hint in ("json", "file"):
        return value
    try:
        return _COERCIONS[hint](value)
    except _NotCoercible:
        shown = encode_value(value).decode()
        shown = shown if len(shown) <= 80 else f"{shown[:79]}…"
        raise ValueFailed("VALUE_NOT_COERCIBLE", f"{shown} cannot be coerced to {hint}") from None


def _to_string(value: Any) -> str:
    return value if isinstance(value, str) else encode_value(value).decode()


def _to_integer(value: Any) -> int:
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return math.trunc(value)
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,400}", value):
        return int(value)
    raise _NotCoercible


def _to_number(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    number = parse_number(value) if isinstance(value, str) else None
    if number is None or not math.isfinite(number):
        raise _NotCoercible
    return number


def _to_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value in ("true", "1")
    # A number with a fraction part, even .0, counts as false; the reference has it so.
    return value != 0 if isinstance(value, int) else bool(value) and not isinstance(value, float)


_COERCIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "string": _to_string,
    "integer": _to_integer,
    "number": _to_number,
    "boolean": _to_boolean,
}


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The object that dotted target keys describe: ``{"a.b": 1, "a.c": 2}`` is ``{"a": {"b": 1, "c": 2}}``.

    A key adds to, or replaces in, what a shorter key has put there.

    Raises:
        ValueFailed: a key leads into a value that is no object; ``MAPPING_CONFLICT``.
    """
    result: dict[str, Any] = {}
    for key in sorted(flat):
        *parents, last = key.split(".")
        _descend(result, parents, key)[last] = flat[key]
    return result


def _descend(place: dict[str, Any], parents: list[str], key: str) -> dict[str, Any]:
    for parent in parents:
        inner = place.get(parent, {})
        if not isinstance(inner, dict):
            raise ValueFailed("MAPPING_CONFLICT", f"the target {key!r} leads into {parent!r}, which is no object")
        # A copy: the object may belong to the data of the run.
        place[parent] = dict(inner)
        place = place[parent]
    return place
