from __future__ import annotations

from typing import Any

import pytest

from runtara.stdlib.keys import step_key
from runtara.stdlib.values import ValueFailed, coerced, nested, parse_number

FAILS = object()


@pytest.mark.parametrize(
    ("hint", "value", "result"),
    [
        *[(hint, None, None) for hint in ("string", "integer", "number", "boolean", "json", "file")],
        ("string", True, "true"),
        ("string", 5, "5"),
        ("string", 5.0, "5.0"),
        ("string", "x", "x"),
        ("string", {"b": [1], "a": None}, '{"a":null,"b":[1]}'),
        ("integer", True, 1),
        ("integer", 5, 5),
        ("integer", -1.9, -1),
        ("integer", "-12", -12),
        ("integer", " 42 ", FAILS),
        ("integer", "42.7", FAILS),
        ("integer", "abc", FAILS),
        ("integer", [], FAILS),
        ("number", 5, 5.0),
        ("number", "1e3", 1000.0),
        ("number", ".5", 0.5),
        ("number", " 5", FAILS),
        ("number", "1_000", FAILS),
        ("number", "inf", FAILS),
        ("number", True, FAILS),
        ("number", {}, FAILS),
        ("boolean", False, False),
        ("boolean", 2, True),
        ("boolean", 0, False),
        ("boolean", 1.5, False),
        ("boolean", "true", True),
        ("boolean", "1", True),
        ("boolean", "yes", False),
        ("boolean", [0], True),
        ("boolean", {}, False),
        ("json", {"a": 1}, {"a": 1}),
        ("file", {"content": ""}, {"content": ""}),
    ],
)
def test_type_hints(hint: str, value: Any, result: Any) -> None:
    """Source: dsl.md §4.4, the column of H."""
    if result is FAILS:
        with pytest.raises(ValueFailed, match=f"cannot be coerced to {hint}") as caught:
            coerced(value, hint)
        assert caught.value.code == "VALUE_NOT_COERCIBLE"
    else:
        assert coerced(value, hint) == result
        assert type(coerced(value, hint)) is type(result)


def test_a_long_value_is_shortened_in_the_message() -> None:
    with pytest.raises(ValueFailed) as caught:
        coerced(["x" * 1000], "integer")
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e3", 1000.0), (".5", 0.5), ("5.", 5.0), ("+1", 1.0), ("inf", float("inf")), ("", None), (" 1", None),
     ("1_0", None), ("0x1", None), ("1e", None), ("١", None)],
)  # fmt: skip
def test_numbers_in_texts(text: str, number: float | None) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize(
    ("flat", "result"),
    [
        ({}, {}),
        ({"a": 1}, {"a": 1}),
        ({"a.b": 1, "a.c": 2, "d": 3}, {"a": {"b": 1, "c": 2}, "d": 3}),
        ({"a.b.c": 1}, {"a": {"b": {"c": 1}}}),
        ({"a": {"b": 1, "x": 0}, "a.b": 2}, {"a": {"b": 2, "x": 0}}),
    ],
)
def test_dotted_targets_make_nested_objects(flat: dict[str, Any], result: dict[str, Any]) -> None:
    assert nested(flat) == result


def test_a_target_inside_a_value_that_is_no_object_is_a_failure() -> None:
    with pytest.raises(ValueFailed, match=r"'a\.b' leads into 'a'"):
        nested({"a": 1, "a.b": 2})


def test_nesting_does_not_change_the_objects_it_is_given() -> None:
    shared = {"b": 1}
    assert nested({"a": shared, "a.c": 2}) == {"a": {"b": 1, "c": 2}}
    assert shared == {"b": 1}


def test_keys_are_paths_and_no_two_ids_share_one() -> None:
    assert step_key("", "fetch") == "fetch"
    assert step_key("loop[3]/", "fetch") == "loop[3]/fetch"
    strange = ["a/b", "a%2Fb", "a[0]", "a%5B0%5D", "a", "a%"]
    assert len({step_key("", step_id) for step_id in strange}) == len(strange)
    assert not any(set("/[]") & set(step_key("", step_id)) for step_id in strange)
