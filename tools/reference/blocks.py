"""Pieces of the reference pages that are made from tables in the code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import inspect

from tools.reference.notes import field_notes
from tools.reference.schema import default_of

__all__ = ("code_list", "fields_table", "filled", "markdown_table", "shown_json")

_PLACE: Final = re.compile(r"<!-- put: (\w+) -->")
_WIDTH: Final = 110


def filled(template: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """The template with a block in each of its places. Raises ``KeyError`` for a place without one."""
    return _PLACE.sub(lambda place: blocks[place[1]](), template)


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code_list(names: Iterable[str]) -> str:
    """Names in code type, divided by commas."""
    return ", ".join(f"`{name}`" for name in names)


# ---- fields of a struct


def fields_table(kind: type, *, without: Iterable[str] = (), prefix: str = "") -> str:
    """Each field: name, type, default, meaning. Fields of structs that only this struct has follow below it."""
    rows = list(_rows(kind, set(without), prefix))
    return markdown_table(("field", "type", "default", "meaning"), rows) if rows else ""


def _rows(kind: type, without: set[str], prefix: str) -> Iterable[tuple[str, ...]]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    notes = field_notes(kind)
    for field in info.fields:
        if field.encode_name in without:
            continue
        name = f"{prefix}{field.encode_name}"
        yield f"`{name}`", type_name(field.type), _default(field), notes.get(field.encode_name, "")
        inner = _own_struct(field.type)
        if inner is not None:
            yield from _rows(inner.cls, set(), f"{name}[]." if _is_list(field.type) else f"{name}.")


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    default = default_of(field)
    return "" if default is None else f"`{shown_json(default)}`"


def type_name(kind: inspect.Type) -> str:
    """The type as an author would say it."""
    match kind:
        case inspect.Metadata():
            return "condition" if (kind.extra or {}).get("grammar") else type_name(kind.type)
        case inspect.UnionType():
            return _union_name(kind)
        case inspect.LiteralType():
            return " ".join(f"`{value}`" for value in kind.values)
        case inspect.DictType():
            inner = type_name(kind.value_type)
            return "mapping" if inner == "value" else f"object of {_plural(inner)}"
        case inspect.ListType() | inspect.VarTupleType():
            return f"array of {_plural(type_name(kind.item_type))}"
        case inspect.StructType():
            return _STRUCTS.get(kind.cls.__name__, "object")
    return _LEAVES[type(kind)]


def _plural(name: str) -> str:
    return name if name.endswith("JSON") else f"{name}s"


def _union_name(kind: inspect.UnionType) -> str:
    members = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
    structs = [member for member in members if isinstance(member, inspect.StructType)]
    if len(structs) > 1:
        return "step" if structs[0].tag_field == "stepType" else "value"
    return " or ".join(type_name(member) for member in members)


_STRUCTS: Final[Mapping[str, str]] = {
    "Edge": "edge",
    "ExecutionGraph": "graph",
    "Note": "note",
    "SchemaField": "schema field",
    "Variable": "variable",
}
"""Structs that have a section of their own."""

_LEAVES: Final[Mapping[type, str]] = {
    inspect.AnyType: "any JSON",
    inspect.StrType: "string",
    inspect.BoolType: "boolean",
    inspect.FloatType: "number",
    inspect.IntType: "whole number",
}


def _own_struct(kind: inspect.Type) -> inspect.StructType | None:
    """The struct in a field that has no section of its own: it is shown where it is used."""
    if isinstance(kind, inspect.UnionType):
        structs = [member for member in kind.types if isinstance(member, inspect.StructType)]
        return _own_struct(structs[0]) if len(structs) == 1 else None
    if isinstance(kind, inspect.ListType | inspect.VarTupleType):
        return _own_struct(kind.item_type)
    if isinstance(kind, inspect.StructType) and kind.tag is None and kind.cls.__name__ not in _STRUCTS:
        return None if kind.cls.__name__ == "Visibility" else kind
    return None


def _is_list(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.ListType | inspect.VarTupleType)


# ---- JSON


def shown_json(value: Any, indent: int = 0, lead: int = 0) -> str:
    """JSON for reading: what fits on a line stays on it."""
    flat = msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
    if len(flat) + indent + lead <= _WIDTH or not isinstance(value, dict | list) or not value:
        return flat
    pad = "\n" + " " * (indent + 2)
    if isinstance(value, dict):
        members = [f"{_name(key)}{shown_json(inner, indent + 2, len(key) + 4)}" for key, inner in value.items()]
        return "{" + pad + f",{pad}".join(members) + "\n" + " " * indent + "}"
    return "[" + pad + f",{pad}".join(shown_json(inner, indent + 2) for inner in value) + "\n" + " " * indent + "]"


def _name(key: str) -> str:
    return msgspec.json.encode(key).decode() + ": "
