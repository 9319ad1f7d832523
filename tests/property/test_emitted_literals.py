"""Whatever a document says, its values arrive in the emitted code as they are, and its words stay in their place."""

from __future__ import annotations

import ast
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtara.compiler.expressions import WIDTH, Atom, call, layout, literal, mapping, negation, text_literal

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)


def code_of(expression: Any, **how: Any) -> str:
    return "\n".join(text for text, _ in layout(expression, **how))


@given(values)
def test_a_value_is_read_back_from_its_literal(value: Any) -> None:
    read = ast.literal_eval(code_of(literal(value)))
    assert read == value
    assert repr(read) == repr(_sorted(value))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@given(texts)
def test_a_text_literal_is_one_line_of_what_can_be_seen(text: str) -> None:
    written = text_literal(text)
    assert written.isprintable()
    assert ast.literal_eval(written) == text


@given(values)
def test_equal_values_give_equal_code(value: Any) -> None:
    assert code_of(literal(value)) == code_of(literal(_sorted(value)))


@given(st.dictionaries(texts, values, max_size=4), st.integers(0, 40))
def test_laid_out_calls_parse_whatever_their_arguments(entries: dict[str, Any], indent: int) -> None:
    made = mapping({key: literal(value) for key, value in entries.items()}, is_open=True)
    code = code_of(call("f", [Atom("A"), negation(call("nested", [made]))]), prefix="await ", suffix="")
    (statement,) = ast.parse(f"async def main():\n    {code}").body
    assert isinstance(statement, ast.AsyncFunctionDef)


@given(st.lists(st.integers(), max_size=60), st.integers(0, 60))
def test_no_line_is_wider_than_allowed(numbers: list[int], indent: int) -> None:
    assert all(len(text) <= WIDTH for text, _ in layout(literal(numbers), prefix="x = ", indent=indent))


def test_the_last_argument_shares_its_brackets_with_the_call() -> None:
    inner = mapping({"a": Atom("1", "$.a"), "b": Atom("2", "$.b")}, is_open=True)
    lines = layout(call("f", [Atom("A"), inner]), prefix="await ", path="$")
    assert lines == [
        ("await f(A, {", "$"),
        ('    "a": 1,', "$.a"),
        ('    "b": 2,', "$.b"),
        ("})", "$"),
    ]
