"""The JSON Schema of scenarios, made of the types of the document model: what is refused there is refused here.

It says the structure only. Whether steps follow each other and references lead anywhere, ``runtara.dsl.validate``
knows. Two things JSON Schema cannot say: that a key is given twice, and that ``1.0`` is not a whole number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import inspect

from runtara.dsl.conditions import OPERATORS
from runtara.dsl.mappings import MappingValue
from runtara.dsl.model import DSL_VERSION, ExecutionGraph, Scenario
from runtara.dsl.shapes import ENTRY_EXTRAS, ENTRY_FIELDS, OUTPUT_FIELDS
from runtara.dsl.step_types import STEP_TYPES, step_class
from tools.reference.notes import class_note, field_notes

__all__ = ("default_of", "scenario_schema", "schema_text")

Json = dict[str, Any]


def schema_text() -> str:
    """The file ``schema/scenario.schema.json``."""
    return msgspec.json.format(msgspec.json.encode(scenario_schema()), indent=2).decode() + "\n"


def scenario_schema() -> Json:
    """The schema of a document: a scenario, or a bare execution graph."""
    maker = _Maker()
    scenario, graph = (maker.of(inspect.type_info(kind)) for kind in (Scenario, ExecutionGraph))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://runtara.dev/schema/scenario.schema.json",
        "title": "Scenario",
        "description": "A business process: a scenario, or a bare execution graph.",
        "x-dsl-version": DSL_VERSION,
        "x-step-types": list(_step_types()),
        "type": "object",
        "if": {"required": ["executionGraph"]},
        "then": scenario,
        "else": graph,
        "$defs": {name: maker.definitions[name] for name in sorted(maker.definitions)},
    }


# ---- types


class _Maker:
    """Turns types into schemas; those with a name become definitions."""

    def __init__(self) -> None:
        self.definitions: dict[str, Json] = {}
        self._add_conditions()

    def of(self, kind: inspect.Type) -> Json:
        """The schema of a type."""
        match kind:
            case inspect.Metadata():
                is_condition = (kind.extra or {}).get("grammar") == "condition"
                return _reference("Condition") if is_condition else self.of(kind.type)
            case inspect.UnionType():
                return self._union(kind)
            case inspect.StructType():
                return self._struct(kind)
            case inspect.DictType():
                return {"type": "object", "additionalProperties": self.of(kind.value_type)}
            case inspect.ListType() | inspect.VarTupleType():
                return {"type": "array", "items": self.of(kind.item_type)}
        return _leaf(kind)

    def _union(self, kind: inspect.UnionType) -> Json:
        members = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
        structs = [member for member in members if isinstance(member, inspect.StructType)]
        made = self._tagged(structs) if len(structs) > 1 else _either([self.of(member) for member in members])
        return made if len(members) == len(kind.types) else _nullable(made)

    def _tagged(self, structs: list[inspect.StructType]) -> Json:
        """Exactly one of them fits, by the tag; the union has a definition of its own."""
        name = "Step" if structs[0].tag_field == "stepType" else "MappingValue"
        if name not in self.definitions:
            self.definitions[name] = {}
            self.definitions[name] = {"oneOf": [self.of(struct) for struct in structs]}
        return _reference(name)

    def _struct(self, kind: inspect.StructType) -> Json:
        name = kind.cls.__name__
        if name not in self.definitions:
            self.definitions[name] = {}  # a type may contain itself
            self.definitions[name] = self.closed_object(kind)
        return _reference(name)

    def closed_object(self, kind: inspect.StructType) -> Json:
        """An object with the fields of a struct, and no other."""
        tag = {kind.tag_field: {"const": kind.tag}} if kind.tag_field else {}
        notes = field_notes(kind.cls)
        fields = {field.encode_name: self._field(field, notes) for field in kind.fields}
        return {
            "description": class_note(kind.cls),
            "type": "object",
            "properties": tag | fields,
            "required": [*tag, *(field.encode_name for field in kind.fields if field.required)],
            "additionalProperties": False,
        }

    def _field(self, field: inspect.Field, notes: Mapping[str, str]) -> Json:
        made = dict(self.of(field.type))
        if field.encode_name in notes:
            made["description"] = notes[field.encode_name]
        default = default_of(field)
        return made if default is None else made | {"default": default}

    def _add_conditions(self) -> None:
        for name, counts in _ARITIES.items():
            self.definitions[name] = _operation(*counts)
        operations = [_reference(name) for name in _ARITIES]
        self.definitions["Condition"] = {
            "description": "An operation, or a value that counts as true or false.",
            "oneOf": [*operations, _reference("ConditionValue")],
        }
        kinds = [self._operand(member) for member in _mapping_values()]
        self.definitions["ConditionValue"] = {
            "description": 'A value in a condition; it may say "type": "value" of itself.',
            "oneOf": kinds,
        }

    def _operand(self, kind: inspect.StructType) -> Json:
        made = self.closed_object(kind)
        hints = made["properties"].get("type", {"enum": []})["enum"]
        made["properties"]["type"] = {"enum": [*hints, "value"]}
        return made


def _mapping_values() -> Iterator[inspect.StructType]:
    union = inspect.type_info(MappingValue)
    assert isinstance(union, inspect.UnionType)
    for member in union.types:
        assert isinstance(member, inspect.StructType)
        yield member


_ARITIES: Final[Mapping[str, tuple[int, ...]]] = {
    "OperationOfAny": (-1,),
    "OperationOfOne": (1,),
    "OperationOfTwo": (2,),
}


def _operation(count: int) -> Json:
    arguments: Json = {"type": "array", "items": _reference("Condition")}
    if count >= 0:
        arguments |= {"minItems": count, "maxItems": count}
    return {
        "type": "object",
        "properties": {
            "type": {"const": "operation"},
            "op": {"enum": [name for name, takes in OPERATORS.items() if takes == count]},
            "arguments": arguments,
        },
        "required": ["type", "op", *(["arguments"] if count > 0 else [])],
        "additionalProperties": False,
    }


def _leaf(kind: inspect.Type) -> Json:
    match kind:
        case inspect.IntType():
            bounds = {"minimum": kind.ge or 0, "maximum": kind.le}
            return {"type": "integer"} | {name: bound for name, bound in bounds.items() if bound is not None}
        case inspect.LiteralType():
            return {"enum": list(kind.values)}
    return dict(_LEAVES[type(kind)])


_LEAVES: Final[Mapping[type, Json]] = {
    inspect.AnyType: {},
    inspect.StrType: {"type": "string"},
    inspect.BoolType: {"type": "boolean"},
    inspect.FloatType: {"type": "number"},
}


def _either(members: list[Json]) -> Json:
    return members[0] if len(members) == 1 else {"anyOf": members}


def _nullable(made: Json) -> Json:
    if not made:
        return made
    if "enum" in made:
        return {"enum": [*made["enum"], None]}
    if isinstance(made.get("type"), str):
        return made | {"type": [made["type"], "null"]}
    return {"anyOf": [*made.get("anyOf", [made]), {"type": "null"}]}


def _reference(name: str) -> Json:
    return {"$ref": f"#/$defs/{name}"}


def default_of(field: inspect.Field) -> Any:
    """What stands in for the field when it is missing; None when that is nothing."""
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    if isinstance(default, msgspec.Struct):
        return {}
    if default is msgspec.NODEFAULT or default is msgspec.UNSET:
        return None
    return msgspec.to_builtins(default)


# ---- step types


def _step_types() -> Iterator[Json]:
    for name in sorted([*STEP_TYPES, "Start"]):
        yield _start() if name == "Start" else _step_type(name)


def _step_type(name: str) -> Json:
    kind = step_class(name)
    return {
        "type": name,
        "displayName": STEP_TYPES[name].display_name,
        "description": class_note(kind),
        "category": STEP_TYPES[name].category,
        "schema": _reference(kind.__name__),
        "outputShape": _entry_of(name),
    }


def _entry_of(name: str) -> Json:
    """What ``steps.<id>`` has after the step. ``outputs`` without properties: they depend on what the step does."""
    known = OUTPUT_FIELDS.get(name)
    outputs = {} if known is None else {"type": "object", "properties": {field: {} for field in known}}
    extras: dict[str, Json] = {field: {} for field in ENTRY_EXTRAS.get(name, ())}
    texts = {field: {"type": "string"} for field in ENTRY_FIELDS if field != "outputs"}
    return {"type": "object", "properties": texts | {"outputs": outputs} | extras}


def _start() -> Json:
    """What an editor draws where a run comes in; it is no step."""
    fields = {"entryPoint": {"type": "string"}, "inputSchema": {"type": "object"}, "variables": {"type": "object"}}
    roots: dict[str, Json] = {"data": {}, "variables": {"type": "object"}}
    return {
        "type": "Start",
        "displayName": "Start",
        "description": "Where a run comes in: the graph's entry point, with the schema of its data and its variables.",
        "category": "control",
        "schema": {"type": "object", "properties": fields},
        "outputShape": {"type": "object", "properties": roots},
    }
