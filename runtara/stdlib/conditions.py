"""What the operators of conditions mean, over JSON values. Source: dsl.md §5.

``AND``, ``OR`` and ``NOT`` are Python's own, over ``truthy``: generated code reads and short-circuits as it should.
"""

from __future__ import annotations

import sys
from typing import Any

from runtara.stdlib.values import parse_number

__all__ = (
    "at_least",
    "at_most",
    "contains",
    "ends_with",
    "equal",
    "greater",
    "is_defined",
    "is_empty",
    "is_in",
    "length",
    "less",
    "starts_with",
    "truthy",
)


def truthy(value: Any) -> bool:
    """False for null, false, zero, and what is empty. The texts "false" and "0" are true."""
    return bool(value)


def _number(value: Any) -> float | None:
    """The number that a value stands for in comparisons."""
    if isinstance(value, str):
        return parse_number(value)
    return float(value) if isinstance(value, bool | int | float) else None


def greater(one: Any, other: Any) -> bool:
    """``GT``. False when one of them is no number; texts and dates never compare by their letters."""
    a, b = _number(one), _number(other)
    return a is not None and b is not None and a > b


def at_least(one: Any, other: Any) -> bool:
    """``GTE``; see ``greater``."""
    a, b = _number(one), _number(other)
    return a is not None and b is not None and a >= b


def less(one: Any, other: Any) -> bool:
    """``LT``; see ``greater``."""
    return greater(other, one)


def at_most(one: Any, other: Any) -> bool:
    """``LTE``; see ``greater``."""
    return at_least(other, one)


def equal(one: Any, other: Any) -> bool:
    """``EQ``. A text equals the number that it spells; apart from that, values of two types are not equal."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(value, other[key]) for key, value in one.items())
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    return _equal_numbers(one, other)


def _equal_numbers(one: Any, other: Any) -> bool:
    a, b = _number(one), _number(other)
    return a is not None and b is not None and (a == b or abs(a - b) <= sys.float_info.epsilon)


def starts_with(text: Any, beginning: Any) -> bool:
    """``STARTS_WITH``. Both are texts, or it is false."""
    return isinstance(text, str) and isinstance(beginning, str) and text.startswith(beginning)


def ends_with(text: Any, ending: Any) -> bool:
    """``ENDS_WITH``. Both are texts, or it is false."""
    return isinstance(text, str) and isinstance(ending, str) and text.endswith(ending)


def contains(items: Any, item: Any) -> bool:
    """``CONTAINS``. The first is an array, or it is false; a text contains nothing."""
    return isinstance(items, list) and any(equal(candidate, item) for candidate in items)


def is_in(item: Any, items: Any) -> bool:
    """``IN``; ``contains`` the other way round."""
    return contains(items, item)


def length(value: Any) -> int:
    """``LENGTH``. Of a text in bytes of UTF-8; null has 0, any other single value 1."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list | dict):
        return len(value)
    return 0 if value is None else 1


def is_defined(value: Any) -> bool:
    """``IS_DEFINED``. A missing value is null, so it is not defined."""
    return value is not None


def is_empty(value: Any) -> bool:
    """``IS_EMPTY``. Null, and texts, arrays and objects with nothing in them."""
    return value is None or (isinstance(value, str | list | dict) and not value)
