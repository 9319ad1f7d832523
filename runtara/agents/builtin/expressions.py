"""Arithmetic for ``utils/calculate``: floats, ``+ - * / %``, signs, brackets, and names that stand for numbers.

::

    expression = product (("+" | "-") product)*
    product    = factor (("*" | "/" | "%") factor)*
    factor     = ("+" | "-")* (number | name | "(" expression ")")

A name stands for the number, not for its digits: with x = -5, ``-x`` is 5. Source: dsl.md §12.6.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from operator import add, mul, sub, truediv
from typing import Any, Final

__all__ = ("BRACKETS_NESTED_MAX", "EXPRESSION_CHARACTERS_MAX", "ExpressionInvalid", "evaluate", "rounded")

EXPRESSION_CHARACTERS_MAX: Final = 10_000
"""More than anybody writes by hand; a step does not become slow by its input."""

BRACKETS_NESTED_MAX: Final = 100
"""Each takes four frames of Python's stack, which has a thousand."""

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<name>[^\W\d]\w*(?:\.\w+)*)
      | (?P<sign>[-+*/%()])
    )""",
    re.VERBOSE,
)
_NUMERIC: Final = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
_FLOAT_DIGITS: Final = 400
"""The largest float has 309 digits before the point, and 15 are asked for after it at most."""


class ExpressionInvalid(ValueError):
    """The expression has no value; the message says why."""


def evaluate(expression: str, variables: Mapping[str, Any]) -> float:
    """The value of the expression.

    Args:
        expression: see the module.
        variables: numbers, or texts that are numbers, by name. Only those in the expression are looked at.

    Raises:
        ExpressionInvalid: it is malformed or too large, a name has no number, or the result is not finite.
    """
    if len(expression) > EXPRESSION_CHARACTERS_MAX:
        raise ExpressionInvalid(f"it has more than {EXPRESSION_CHARACTERS_MAX} characters")
    reader = _Reader(expression, variables)
    result = reader.expression()
    if reader.token:
        raise ExpressionInvalid(f"an operator was expected at position {reader.position}, not {_shown(reader.token)}")
    return result + 0.0  # no -0.0


def rounded(number: float, decimal_places: int) -> float:
    """The number with so many digits after the point, a half away from zero: as people do it, on its decimal digits."""
    digits = Decimal(repr(number)).quantize(Decimal(1).scaleb(-decimal_places), context=_ROUNDING)
    return float(digits) + 0.0  # no -0.0


_ROUNDING: Final = Context(prec=_FLOAT_DIGITS, rounding=ROUND_HALF_UP)


class _Reader:
    """Reads the tokens from left to right, and calculates while it reads."""

    def __init__(self, expression: str, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._tokens = _tokens(expression)
        self._depth = 0
        self._advance()

    def _advance(self) -> None:
        self.kind, self.token, self.position = next(self._tokens)

    def expression(self) -> float:
        return self._chain(self._product, "+-")

    def _product(self) -> float:
        return self._chain(self._factor, "*/%")

    def _chain(self, operand: Callable[[], float], operators: str) -> float:
        result = operand()
        while self.token and self.token in operators:
            operator = self.token
            self._advance()
            result = _applied(operator, result, operand())
        return result

    def _factor(self) -> float:
        sign = 1
        while self.token and self.token in "+-":
            sign = -sign if self.token == "-" else sign
            self._advance()
        return sign * self._operand()

    def _operand(self) -> float:
        kind, token, position = self.kind, self.token, self.position
        if kind not in ("number", "name") and token != "(":
            raise ExpressionInvalid(f"a number was expected at position {position}, not {_shown(token)}")
        self._advance()
        if kind == "number":
            return _finite(float(token))
        return self._bracket() if token == "(" else self._variable(token)

    def _bracket(self) -> float:
        self._depth += 1
        if self._depth > BRACKETS_NESTED_MAX:
            raise ExpressionInvalid(f"more than {BRACKETS_NESTED_MAX} brackets are nested")
        result = self.expression()
        if self.token != ")":
            raise ExpressionInvalid(f"a closing bracket was expected at position {self.position}")
        self._depth -= 1
        self._advance()
        return result

    def _variable(self, name: str) -> float:
        if name not in self._variables:
            raise ExpressionInvalid(f"there is no variable {name!r}")
        return _number(name, self._variables[name])


def _tokens(expression: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and position of each token, and at the end empty ones."""
    expression = expression.rstrip()
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ExpressionInvalid(
                f"what begins at position {position} cannot be read: {expression[position:][:20]!r}"
            )
        kind = match.lastgroup
        assert kind is not None
        yield kind, match[kind], match.start(kind)
        position = match.end()
    yield "", "", len(expression)


def _shown(token: str) -> str:
    return repr(token) if token else "the end"


def _number(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and _NUMERIC.fullmatch(value)):
        raise ExpressionInvalid(f"the variable {name!r} is not a number")
    try:
        return _finite(float(value))
    except OverflowError as error:
        raise ExpressionInvalid(f"the variable {name!r} is too large for a number") from error


def _applied(operator: str, left: float, right: float) -> float:
    if right == 0 and operator in "/%":
        raise ExpressionInvalid("a division by zero")
    return _finite(_OPERATORS[operator](left, right))


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ExpressionInvalid("a number gets too large")
    return number


_OPERATORS: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": add,
    "-": sub,
    "*": mul,
    "/": truediv,
    "%": math.fmod,
}
"""The remainder has the sign of the dividend: -7 % 3 is -1."""
