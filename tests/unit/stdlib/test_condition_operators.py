"""What operators mean: the table of cases H04, and the corners around it. Source: dsl.md §5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara.stdlib import conditions as c

OPERATORS: dict[str, Callable[..., bool]] = {
    "AND": lambda *args: all(map(c.truthy, args)),
    "OR": lambda *args: any(map(c.truthy, args)),
    "NOT": lambda one: not c.truthy(one),
    "GT": c.greater,
    "GTE": c.at_least,
    "LT": c.less,
    "LTE": c.at_most,
    "EQ": c.equal,
    "NE": lambda one, other: not c.equal(one, other),
    "STARTS_WITH": c.starts_with,
    "ENDS_WITH": c.ends_with,
    "CONTAINS": c.contains,
    "IN": c.is_in,
    "NOT_IN": lambda one, other: not c.is_in(one, other),
    "LENGTH": lambda one: c.length(one) > 0,
    "IS_DEFINED": c.is_defined,
    "IS_EMPTY": c.is_empty,
    "IS_NOT_EMPTY": lambda one: not c.is_empty(one),
}


@pytest.mark.parametrize(
    ("operator", "arguments", "result"),
    [
        ("AND", [], True),
        ("OR", [], False),
        ("AND", [True, 0], False),
        ("OR", [0, "x"], True),
        ("OR", [0, "", None, [], {}, 0.0, False], False),
        ("AND", ["false", "0", 1, [0], {"a": None}], True),
        ("NOT", [[]], True),
        ("GT", ["10", 9], True),
        ("GT", ["b", "a"], False),
        ("GT", ["1 ", 0], False),
        ("GT", ["inf", 10**300], True),
        ("GT", [[2], 1], False),
        ("LT", [None, 1], False),
        ("LT", [1, "2.5"], True),
        ("LTE", [2, 2], True),
        ("LTE", ["nan", 2], False),
        ("GTE", [True, 1], True),
        ("GTE", [False, 1], False),
        ("EQ", [1, 1.0], True),
        ("EQ", [0.1 + 0.2, 0.3], True),
        ("EQ", [1, 1.0000001], False),
        ("EQ", ["5", 5], True),
        ("EQ", [5, "5.0"], True),
        ("EQ", ["5", "5.0"], False),
        ("EQ", [True, 1], False),
        ("EQ", ["true", True], False),
        ("EQ", [None, None], True),
        ("EQ", [None, ""], False),
        ("EQ", [None, 0], False),
        ("EQ", [[1, "2"], ["1", 2]], True),
        ("EQ", [[1], [1, 2]], False),
        ("EQ", [{"a": 1}, {"a": "1"}], True),
        ("EQ", [{"a": 1}, {"b": 1}], False),
        ("EQ", [{}, []], False),
        ("EQ", ["nan", float("nan")], False),
        ("NE", [1, 2], True),
        ("NE", [None, "x"], True),
        ("STARTS_WITH", ["abc", "ab"], True),
        ("STARTS_WITH", ["abc", "AB"], False),
        ("STARTS_WITH", [123, "1"], False),
        ("ENDS_WITH", ["abc", "bc"], True),
        ("ENDS_WITH", ["abc", None], False),
        ("CONTAINS", [["a", "b"], "a"], True),
        ("CONTAINS", [[1, 2], "1"], True),
        ("CONTAINS", ["abc", "b"], False),
        ("CONTAINS", [None, None], False),
        ("IN", ["a", ["a", "b"]], True),
        ("IN", ["a", "abc"], False),
        ("NOT_IN", ["z", ["a"]], True),
        ("NOT_IN", ["a", "abc"], True),
        ("LENGTH", [[]], False),
        ("LENGTH", ["x"], True),
        ("LENGTH", [7], True),
        ("LENGTH", [None], False),
        ("IS_DEFINED", [None], False),
        ("IS_DEFINED", [0], True),
        ("IS_DEFINED", [""], True),
        ("IS_EMPTY", [None], True),
        ("IS_EMPTY", [""], True),
        ("IS_EMPTY", [" "], False),
        ("IS_EMPTY", [0], False),
        ("IS_EMPTY", [False], False),
        ("IS_EMPTY", [{}], True),
        ("IS_NOT_EMPTY", [None], False),
        ("IS_NOT_EMPTY", [0], True),
        ("IS_NOT_EMPTY", [[1]], True),
    ],
)
def test_operators(operator: str, arguments: list[Any], result: bool) -> None:
    assert OPERATORS[operator](*arguments) is result


@pytest.mark.parametrize(
    ("value", "length"), [("äb", 3), ([1, 2], 2), ({"a": 1}, 1), (None, 0), (7, 1), (True, 1), ("", 0)]
)
def test_length_counts_bytes_items_and_keys(value: Any, length: int) -> None:
    assert c.length(value) == length


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, json_values)
def test_operators_are_total_and_equality_is_symmetric(one: Any, other: Any) -> None:
    for operator in ("GT", "GTE", "LT", "LTE", "EQ", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "IN"):
        assert isinstance(OPERATORS[operator](one, other), bool)
    assert c.equal(one, other) == c.equal(other, one)
    assert c.greater(one, other) == c.less(other, one)
