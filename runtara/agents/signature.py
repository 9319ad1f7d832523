"""From the signature of a function to the metadata of a capability: one source for listing, validation and binding."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_type_hints

import msgspec
from msgspec import inspect as types

from runtara.agents.context import CallContext
from runtara.dsl.catalog import CapabilityField, CapabilityOutput

__all__ = ("Signature", "SignatureUnusable", "read_signature")


class SignatureUnusable(TypeError):
    """A function cannot be a capability; the message says why. Raised when its agent is loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """How a capability is called."""

    inputs: type[msgspec.Struct]
    """What the inputs are bound to."""
    fields: tuple[CapabilityField, ...]
    output: CapabilityOutput
    takes_struct: bool
    """The function takes the bound inputs as one value; else each as a keyword."""
    parameter: str
    """The name of that one parameter."""
    context_parameter: str | None


def read_signature(function: Callable[..., Any]) -> Signature:
    """The metadata of a function: either parameters with types, or one parameter that is a ``msgspec.Struct``.

    Descriptions, examples and other names of an input come from ``Annotated[…, msgspec.Meta(…)]``; other names are
    ``extra={"aliases": (…)}``.

    Raises:
        SignatureUnusable: a parameter has no type, or cannot be given by name.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters = [_checked(parameter, hints, function) for parameter in _parameters(function)]
    context = next((p.name for p in parameters if hints[p.name] is CallContext), None)
    parameters = [parameter for parameter in parameters if parameter.name != context]
    takes_struct = len(parameters) == 1 and _is_struct(hints[parameters[0].name])
    inputs = hints[parameters[0].name] if takes_struct else _struct_of(function, parameters, hints)
    return Signature(
        inputs=inputs,
        fields=_fields_of(inputs),
        output=_output_of(hints.get("return", Any)),
        takes_struct=takes_struct,
        parameter=parameters[0].name if takes_struct else "",
        context_parameter=context,
    )


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    return parameters[1:] if parameters and parameters[0].name == "self" else parameters


def _checked(parameter: inspect.Parameter, hints: Mapping[str, Any], function: Callable[..., Any]) -> inspect.Parameter:
    place = f"the parameter {parameter.name!r} of the capability {function.__qualname__}"
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        raise SignatureUnusable(f"{place} cannot be given by its name")
    if parameter.name not in hints:
        raise SignatureUnusable(f"{place} has no type")
    return parameter


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _struct_of(
    function: Callable[..., Any], parameters: Iterable[inspect.Parameter], hints: Mapping[str, Any]
) -> type[msgspec.Struct]:
    fields = [
        (p.name, hints[p.name]) if p.default is p.empty else (p.name, hints[p.name], _default(p.default))
        for p in parameters
    ]
    return msgspec.defstruct(f"{function.__name__}_inputs", fields, kw_only=True)


def _default(value: Any) -> Any:
    """A fresh copy for each call, where the default could be changed."""
    if isinstance(value, list | dict):
        return msgspec.field(default_factory=value.copy)
    return value


def _fields_of(struct: type[msgspec.Struct]) -> tuple[CapabilityField, ...]:
    info = types.type_info(struct)
    assert isinstance(info, types.StructType)
    return tuple(_field(field) for field in info.fields)


def _field(field: types.Field) -> CapabilityField:
    kind, notes = _unwrapped(field.type)
    kind, nullable = _without_null(kind)
    kind, inner_notes = _unwrapped(kind)
    notes |= inner_notes
    return CapabilityField(
        name=field.encode_name,
        type=_json_type(kind),
        required=field.required,
        nullable=nullable,
        description=notes.get("description"),
        display_name=notes.get("title"),
        example=next(iter(notes.get("examples", ())), None),
        items=_items(kind),
        enum=tuple(kind.values) if isinstance(kind, types.LiteralType) else (),
        default=None if field.default is msgspec.NODEFAULT else field.default,
        aliases=tuple(notes.get("aliases", ())),
    )


def _unwrapped(kind: types.Type) -> tuple[types.Type, dict[str, Any]]:
    if not isinstance(kind, types.Metadata):
        return kind, {}
    inner, notes = _unwrapped(kind.type)
    return inner, notes | (kind.extra_json_schema or {}) | (kind.extra or {})


def _without_null(kind: types.Type) -> tuple[types.Type, bool]:
    if not isinstance(kind, types.UnionType):
        return kind, False
    members = [member for member in kind.types if not isinstance(member, types.NoneType)]
    nullable = len(members) < len(kind.types)
    return (members[0] if len(members) == 1 else types.AnyType()), nullable


def _json_type(kind: types.Type) -> str:
    if isinstance(kind, types.LiteralType):
        return "integer" if isinstance(kind.values[0], int) else "string"
    return _JSON_TYPES.get(type(kind), "string")


def _items(kind: types.Type) -> str | None:
    inner = getattr(kind, "item_type", None) or getattr(kind, "value_type", None)
    item = None if inner is None else _json_type(_unwrapped(inner)[0])
    return None if item == "any" else item


_JSON_TYPES: Final[Mapping[type, str]] = {
    types.AnyType: "any",
    types.NoneType: "any",
    types.UnionType: "any",
    types.BoolType: "boolean",
    types.IntType: "integer",
    types.FloatType: "number",
    types.ListType: "array",
    types.VarTupleType: "array",
    types.TupleType: "array",
    types.SetType: "array",
    types.DictType: "object",
    types.StructType: "object",
    types.DataclassType: "object",
    types.TypedDictType: "object",
}
"""Everything else is a string in JSON: texts, bytes, dates, ids."""


def _output_of(hint: Any) -> CapabilityOutput:
    kind, _ = _without_null(_unwrapped(types.type_info(hint))[0])
    fields = _fields_of(kind.cls) if isinstance(kind, types.StructType) else ()
    return CapabilityOutput(type=_json_type(kind), items=_items(kind), fields=fields)
