"""Which values fit which input of a capability, after the conversions that cannot lose anything.

One set of rules for the validator, which judges immediate values, and for binding, which judges all. Source: dsl.md
§12.2; a text that is no boolean stays what it is, and then does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from runtara.dsl.catalog import CapabilityField

__all__ = ("coerce_input", "fits")

_WHOLE = re.compile(r"[+-]?[0-9]{1,400}\Z")
_BOOLEANS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def coerce_input(value: Any, field: CapabilityField) -> Any:
    """The value as the field wants it, or the value itself where there is no such conversion."""
    if value is None:
        return None
    if isinstance(value, list) and field.type == "array":
        return [_coerce(item, field.items) for item in value]
    if isinstance(value, dict) and field.type == "object" and field.items is not None:
        return {key: _coerce(item, field.items) for key, item in value.items()}
    return _coerce(value, field.type)


def _coerce(value: Any, kind: str | None) -> Any:
    if isinstance(value, bool):
        return ("true" if value else "false") if kind == "string" else value
    convert = _CONVERSIONS.get((type(value), kind or ""))
    return value if convert is None else convert(value)


def _to_whole(text: str) -> Any:
    return int(text) if _WHOLE.match(text.strip()) else text


def _to_number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _to_boolean(text: str) -> Any:
    return _BOOLEANS.get(text.strip().lower(), text)


_CONVERSIONS: Final[Mapping[tuple[type, str], Callable[[Any], Any]]] = {
    (str, "integer"): _to_whole,
    (str, "number"): _to_number,
    (str, "boolean"): _to_boolean,
    (int, "string"): str,
    (float, "string"): repr,
    (int, "boolean"): bool,
    (float, "boolean"): bool,
}


def fits(value: Any, field: CapabilityField) -> bool:
    """Whether the value, already coerced, has the type of the field."""
    if value is None:
        return field.nullable or field.type == "any"
    if not _has_type(value, field.type):
        return False
    if isinstance(value, list):
        return all(_has_type(item, field.items) for item in value)
    return not isinstance(value, dict) or all(_has_type(item, field.items) for item in value.values())


def _has_type(value: Any, kind: str | None) -> bool:
    if kind is None or kind == "any":
        return True
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (),
    "array": (list,),
    "object": (dict,),
}
