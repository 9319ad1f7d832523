"""Values and conditions as Python expressions: what mappings and operators look like in emitted code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from msgspec import UNSET

from runtara.compiler.expressions import Atom, Expression, Group, call, literal, mapping, negation
from runtara.dsl.conditions import Argument, Operand, read_condition
from runtara.dsl.mappings import Composite, Immediate, InputMapping, MappingValue, Template
from runtara.dsl.paths import child_path, tokenize
from runtara.dsl.values import reference_in

__all__ = ("NOTHING", "Values", "later", "later_of_run")

NOTHING: Final = Atom("None")


def later(expression: Expression) -> Expression:
    """The expression, to be evaluated when it is called."""
    return _prefixed("lambda: ", expression)


def later_of_run(expression: Expression) -> Expression:
    """The expression, to be evaluated in a context that is handed over when it is called."""
    return _prefixed("lambda run: ", expression)


def _prefixed(prefix: str, expression: Expression) -> Expression:
    if isinstance(expression, Atom):
        return replace(expression, code=prefix + expression.code)
    return replace(expression, opening=prefix + expression.opening)


@dataclass(frozen=True)
class Values:
    """Makes expressions, and notes which names of the standard library they use."""

    used: set[str]

    def inputs(self, inputs: InputMapping, path: str) -> Expression:
        """An object of values."""
        entries = {key: self.value(value, child_path(path, key)) for key, value in inputs.items()}
        # What can fail gets a line of its own, so that the failure can name it.
        made = mapping(entries, is_open=any(not isinstance(value, Immediate) for value in inputs.values()))
        if any("." in key for key in inputs):
            return self.use("nested", made)
        return made

    def value(self, value: MappingValue, path: str) -> Expression:
        """One value."""
        if isinstance(value, Immediate):
            return literal(value.value, path=path)
        if isinstance(value, Composite):
            return self._composite(value.value, child_path(path, "value"))
        if isinstance(value, Template):
            return call("run.template", [literal(value.value)], path=path)
        segments = [literal(segment) for segment in tokenize(value.value)]
        named: dict[str, Expression] = {}
        if value.type is not None:
            named["hint"] = literal(value.type)
        if value.default is not UNSET:
            named["default"] = literal(value.default)
        return call("run.reference", segments, named, path=path)

    def _composite(self, value: dict[str, MappingValue] | list[MappingValue], path: str) -> Expression:
        if isinstance(value, dict):
            return mapping(
                {key: self.value(inner, child_path(path, key)) for key, inner in value.items()}, is_open=True
            )
        parts = tuple(("", self.value(inner, child_path(path, index))) for index, inner in enumerate(value))
        return Group("[", parts, "]", path=path)

    def output(self, tree: Any, path: str) -> Expression:
        """An output of a Switch: plain JSON with values in it."""
        reference = reference_in(tree)
        if reference is not None:
            return self.value(reference, path)
        if isinstance(tree, dict) and tree.get("valueType") == "immediate" and "value" in tree:
            return literal(tree["value"], path=path)
        if isinstance(tree, dict):
            return mapping({key: self.output(value, child_path(path, key)) for key, value in tree.items()})
        if isinstance(tree, list):
            parts = tuple(("", self.output(value, child_path(path, index))) for index, value in enumerate(tree))
            return Group("[", parts, "]", path=path)
        return literal(tree, path=path)

    def use(self, name: str, *arguments: Expression, path: str | None = None) -> Group:
        """A call of a function of the standard library."""
        self.used.add(name)
        return call(name, arguments, path=path)

    # -- conditions

    def condition(self, tree: Any, path: str) -> Expression:
        """A condition, as an expression whose value is a boolean."""
        return self._truth(read_condition(tree, path))

    def _truth(self, argument: Argument) -> Expression:
        if isinstance(argument, Operand):
            return self.use("truthy", self.value(argument.value, argument.path))
        if argument.operator in _CHAINS:
            return self._chain(argument.operator, argument.arguments, argument.path)
        if argument.operator in _NEGATIONS:
            return negation(self._truth_of(_NEGATIONS[argument.operator], argument.arguments, argument.path))
        if argument.operator == "NOT":
            # NOT of nothing is true, as AND is.
            return negation(self._truth(argument.arguments[0])) if argument.arguments else Atom("True")
        if argument.operator == "LENGTH":
            return Group("(", (("", self._argument(argument)), ("", Atom("0"))), ")", separator=" > ")
        return self._truth_of(argument.operator, argument.arguments, argument.path)

    def _truth_of(self, operator: str, arguments: Iterable[Argument], path: str) -> Expression:
        return self.use(_FUNCTIONS[operator], *(self._argument(argument) for argument in arguments), path=path)

    def _chain(self, operator: str, arguments: tuple[Argument, ...], path: str) -> Expression:
        if not arguments:
            return Atom(str(operator == "AND"))
        parts = tuple(("", self._truth(argument)) for argument in arguments)
        return Group("(", parts, ")", separator=_CHAINS[operator], path=path)

    def _argument(self, argument: Argument) -> Expression:
        """An expression for an operand: a value, the number of a LENGTH, or the boolean of another operation."""
        if isinstance(argument, Operand):
            return self.value(argument.value, argument.path)
        if argument.operator == "LENGTH":
            return self._truth_of("LENGTH", argument.arguments, argument.path)
        return self._truth(argument)


_CHAINS: Final[Mapping[str, str]] = {"AND": " and ", "OR": " or "}

_NEGATIONS: Final[Mapping[str, str]] = {"NE": "EQ", "NOT_IN": "IN", "IS_NOT_EMPTY": "IS_EMPTY"}

_FUNCTIONS: Final[Mapping[str, str]] = {
    "GT": "greater",
    "GTE": "at_least",
    "LT": "less",
    "LTE": "at_most",
    "EQ": "equal",
    "STARTS_WITH": "starts_with",
    "ENDS_WITH": "ends_with",
    "CONTAINS": "contains",
    "IN": "is_in",
    "LENGTH": "length",
    "IS_DEFINED": "is_defined",
    "IS_EMPTY": "is_empty",
}
