"""The grammar of conditions: operations over values, as a tree of JSON objects. Source: dsl.md §5.

An operation is ``{"type": "operation", "op": …, "arguments": […]}``; an argument is an operation, a mapping value, or a
mapping value that says ``"type": "value"`` of itself. What the operators mean is in ``runtara.stdlib.conditions``; here
is which there are and how many arguments each takes. An operation with too few is no condition that is false, but a
mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, suggestion
from runtara.dsl.mappings import MappingValue
from runtara.dsl.paths import child_path

__all__ = ("OPERATORS", "Argument", "Operand", "Operation", "check_condition", "iter_operands", "read_condition")

_ANY_NUMBER: Final = -1

OPERATORS: Final[Mapping[str, int]] = {
    "AND": _ANY_NUMBER,
    "OR": _ANY_NUMBER,
    "NOT": 1,
    "GT": 2,
    "GTE": 2,
    "LT": 2,
    "LTE": 2,
    "EQ": 2,
    "NE": 2,
    "STARTS_WITH": 2,
    "ENDS_WITH": 2,
    "CONTAINS": 2,
    "IN": 2,
    "NOT_IN": 2,
    "LENGTH": 1,
    "IS_DEFINED": 1,
    "IS_EMPTY": 1,
    "IS_NOT_EMPTY": 1,
}
"""The number of arguments of each operator; -1: any."""

_DATABASE_OPERATORS: Final = frozenset({"SIMILARITY_GTE", "MATCH", "COSINE_DISTANCE_LTE", "L2_DISTANCE_LTE"})

_OPERATION_FIELDS: Final = ("type", "op", "arguments")


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator and what it is applied to."""

    operator: str
    arguments: tuple[Argument, ...]
    path: str


@dataclass(frozen=True, slots=True)
class Operand:
    """A value in a condition."""

    value: MappingValue
    path: str


Argument: TypeAlias = Operation | Operand


def check_condition(tree: Any, path: str) -> Iterator[Diagnostic]:
    """Everything that keeps the tree from being a condition."""
    if not isinstance(tree, dict):
        yield diagnose(Code.CONDITION_MALFORMED, path, "a condition is an object", hint=_SHAPE_HINT)
    elif tree.get("type") == "operation":
        yield from _check_operation(tree, path)
    elif "valueType" in tree:
        yield from _check_operand(tree, path)
    else:
        message = "a condition has the type 'operation', or a valueType"
        yield diagnose(Code.CONDITION_MALFORMED, path, message, hint=_SHAPE_HINT)


_SHAPE_HINT: Final = 'Write {"type": "operation", "op": "EQ", "arguments": […, …]}.'


def _check_operation(tree: dict[str, Any], path: str) -> Iterator[Diagnostic]:
    for key in tree.keys() - set(_OPERATION_FIELDS):
        hint = f"The fields are: {', '.join(_OPERATION_FIELDS)}."
        yield diagnose(Code.FIELD_UNKNOWN, child_path(path, key), f"there is no field {key!r} here", hint=hint)
    arguments = tree.get("arguments", [])
    if not isinstance(arguments, list):
        yield diagnose(Code.CONDITION_MALFORMED, child_path(path, "arguments"), "the arguments are an array")
        return
    yield from _check_operator(tree.get("op"), len(arguments), path)
    for index, argument in enumerate(arguments):
        yield from check_condition(argument, child_path(child_path(path, "arguments"), index))


def _check_operator(operator: Any, count: int, path: str) -> Iterator[Diagnostic]:
    op_path = child_path(path, "op")
    if not isinstance(operator, str):
        yield diagnose(Code.CONDITION_MALFORMED, op_path, "the operator 'op' is a string", hint=_SHAPE_HINT)
    elif operator in _DATABASE_OPERATORS:
        message = f"the operator {operator!r} is one of database queries (object-model), not of scenarios"
        hint = "Query the database in a step, and test its result here."
        yield diagnose(Code.OPERATOR_NEEDS_DATABASE, op_path, message, hint=hint)
    elif operator not in OPERATORS:
        hint = suggestion(operator, OPERATORS, what="operator")
        yield diagnose(Code.CONDITION_MALFORMED, op_path, f"there is no operator {operator!r}", hint=hint)
    elif OPERATORS[operator] not in (_ANY_NUMBER, count):
        message = f"{operator} takes {OPERATORS[operator]} argument(s), and has {count}"
        yield diagnose(Code.CONDITION_MALFORMED, child_path(path, "arguments"), message)


def _check_operand(tree: dict[str, Any], path: str) -> Iterator[Diagnostic]:
    try:
        msgspec.convert(_bare(tree), MappingValue)
    except msgspec.ValidationError as error:
        yield diagnose(Code.CONDITION_MALFORMED, path, f"the value is malformed: {error}")


def _bare(tree: dict[str, Any]) -> dict[str, Any]:
    """Without the ``"type": "value"`` that a value may carry in a condition, where ``type`` otherwise is a hint."""
    return {key: value for key, value in tree.items() if (key, value) != ("type", "value")}


def read_condition(tree: Any, path: str) -> Argument:
    """The condition as values; ``check_condition`` found nothing wrong with it."""
    if tree.get("type") == "operation":
        arguments_path = child_path(path, "arguments")
        arguments = tree.get("arguments", [])
        return Operation(
            operator=tree["op"],
            arguments=tuple(read_condition(a, child_path(arguments_path, i)) for i, a in enumerate(arguments)),
            path=path,
        )
    value: MappingValue = msgspec.convert(_bare(tree), MappingValue)
    return Operand(value=value, path=path)


def iter_operands(argument: Argument) -> Iterator[Operand]:
    """All values of a condition, in the order of the document."""
    if isinstance(argument, Operand):
        yield argument
        return
    for inner in argument.arguments:
        yield from iter_operands(inner)
