"""Schemas at work: does a value fit, what are its defaults, how does JSON Schema say the same. Source: dsl.md §1.4.

A schema is a flat map of fields. Fields that it does not name are fine, a missing field is its default, and a null is
taken only where it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from msgspec import UNSET

from runtara.dsl.mappings import SchemaField, SchemaFields

__all__ = ("SchemaMisfit", "check_object", "check_value", "compile_pattern", "fitted", "json_schema")


class SchemaMisfit(ValueError):
    """A value is not what its schema says; the message names the field."""


def fitted(value: Any, fields: SchemaFields, what: str) -> Any:
    """The value with the defaults of the fields that are missing.

    Args:
        value: An object, if any field is required or has a default.
        fields: The schema; an empty one fits everything.
        what: The name of the value, for messages.

    Raises:
        SchemaMisfit: it does not fit.
    """
    if not fields:
        return value
    if value is None and not any(field.required for field in fields.values()):
        value = {}
    if not isinstance(value, dict):
        raise SchemaMisfit(f"{what} is an object with the fields of its schema, not {_kind_of(value)}")
    defaults = {
        name: field.default
        for name, field in fields.items()
        if field.default is not UNSET and value.get(name) is None and not (name in value and field.nullable)
    }
    whole = {**value, **defaults} if defaults else value
    check_object(whole, fields, what)
    return whole


def check_object(value: Mapping[str, Any], fields: SchemaFields, what: str) -> None:
    """Returns when the fields of the object are what the schema says. Raises ``SchemaMisfit`` as ``fitted`` does."""
    for name, field in fields.items():
        if name in value:
            check_value(value[name], field, f"{what}.{name}")
        elif field.required:
            raise SchemaMisfit(f"{what}.{name} is required ({field.type}), and was not provided")


def check_value(value: Any, field: SchemaField, what: str) -> None:
    """Returns when the value is what the field says. Raises ``SchemaMisfit`` as ``fitted`` does."""
    if value is None:
        if field.nullable or not field.required:
            return
        raise SchemaMisfit(f"{what} is required ({field.type}), and was null")
    if not _TYPES[field.type](value):
        raise SchemaMisfit(f"{what} is of type {field.type}, not {_kind_of(value)}")
    if field.enum is not None and not any(_same(value, allowed) for allowed in field.enum):
        raise SchemaMisfit(f"{what} is not one of {', '.join(map(repr, field.enum))[:200]}")
    _check_bounds(value, field, what)
    if field.pattern is not None and isinstance(value, str) and compile_pattern(field.pattern).search(value) is None:
        raise SchemaMisfit(f"{what} does not match {field.pattern!r}")
    for index, item in enumerate(value if isinstance(value, list) and field.items is not None else ()):
        assert field.items is not None
        check_value(item, field.items, f"{what}[{index}]")
    if isinstance(value, dict) and field.properties:
        check_object(value, field.properties, what)


def _check_bounds(value: Any, field: SchemaField, what: str) -> None:
    size = len(value) if isinstance(value, str | list) else value
    if isinstance(size, bool) or not isinstance(size, int | float):
        return
    unit = " characters" if isinstance(value, str) else " items" if isinstance(value, list) else ""
    if field.min is not None and size < field.min:
        raise SchemaMisfit(f"{what} is {size}{unit}, and at least {field.min:g} are asked for")
    if field.max is not None and size > field.max:
        raise SchemaMisfit(f"{what} is {size}{unit}, and at most {field.max:g} are allowed")


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> Any:
    """The pattern in RE2's language, whose time grows with the text and not with what an author thought of.

    Raises:
        ValueError: it is not one.
    """
    re2: Any = import_module("re2")  # most scenarios have no pattern, and it has no types

    try:
        return re2.compile(text)
    except re2.error as error:
        raise ValueError(str(error)) from error


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other if isinstance(one, bool) else one == other


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return _is_number(value) and value == int(value)


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("content"), str)


_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_integer,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "file": _is_file,
}


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    return next(name for name in ("boolean", "integer", "number", "string", "array", "object") if _TYPES[name](value))


# ---- JSON Schema


def json_schema(fields: SchemaFields) -> dict[str, Any]:
    """The schema as JSON Schema, as a language model gets it: closed, with what JSON Schema can say of each field."""
    required = sorted(name for name, field in fields.items() if field.required)
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: _json_field(field) for name, field in fields.items()},
        "additionalProperties": False,
    }
    return schema | ({"required": required} if required else {})


def _json_field(field: SchemaField) -> dict[str, Any]:
    made = dict(_json_facts(field))
    if field.type == "object" and field.properties is not None:
        return json_schema(field.properties) | made
    return made


def _json_facts(field: SchemaField) -> Iterator[tuple[str, Any]]:
    yield "type", "object" if field.type == "file" else field.type
    for name in ("description", "enum"):
        if getattr(field, name) is not None:
            yield name, getattr(field, name)
    if field.default is not UNSET:
        yield "default", field.default
    if field.items is not None:
        yield "items", _json_field(field.items)
    if field.pattern is not None and field.type == "string":
        yield "pattern", field.pattern
    names = _BOUND_NAMES.get(field.type)
    for bound, name in zip((field.min, field.max), names or (), strict=False):
        if bound is not None:
            yield name, int(bound) if bound == int(bound) else bound


_BOUND_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
}
