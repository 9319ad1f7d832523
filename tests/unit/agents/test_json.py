"""``json``: tables of inputs and outputs, one per capability. Tables of RFC 6901 §5 and RFC 7396 appendix A."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from runtara.agents import AgentError
from runtara.limits import CHECKPOINT_BYTES_MAX
from tests.unit.agents.fuzzing import any_json, assert_explained, fuzz, ids_of, paths, texts
from tests.unit.agents.test_builtin import call


async def refused(capability_id: str, **inputs: Any) -> str:
    with pytest.raises(AgentError) as caught:
        await call(f"json/{capability_id}", inputs)
    assert caught.value.category == "permanent"
    return caught.value.code


def nested(depth: int, inner: Any = None) -> Any:
    """Objects and arrays in one another."""
    for level in range(depth):
        inner = [inner] if level % 2 else {"a": inner}
    return inner


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, -2.50, "\\u00e9", true, null]}', {"a": [1, -2.5, "é", True, None]}),
        ("[]", []),
        ("null", None),
        (" 7\n", 7),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        (True, True),
    ],
)
async def test_parse(text: Any, value: Any) -> None:
    assert repr(await call("json/parse", {"text": text})) == repr(value)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "JSON_PARSE_ERROR"),
        ("{a: 1}", "JSON_PARSE_ERROR"),
        ("[1,]", "JSON_PARSE_ERROR"),
        ("1 2", "JSON_PARSE_ERROR"),
        ("NaN", "JSON_PARSE_ERROR"),
        ("1e999", "JSON_PARSE_ERROR"),
        ("[" * 100_000, "JSON_PARSE_ERROR"),
        ('"\ud800"', "JSON_PARSE_ERROR"),
        (None, "INPUT_DESERIALIZATION_ERROR"),
        ({"a": 1}, "INPUT_DESERIALIZATION_ERROR"),
    ],
)
async def test_what_is_no_json_is_not_parsed(text: Any, code: str) -> None:
    assert await refused("parse", text=text) == code


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"value": {"b": 1, "a": [1.0, "é", None]}}, '{"b":1,"a":[1.0,"é",null]}'),
        ({"value": {"b": 1, "a": {"d": 1, "c": 2}}, "sort_keys": True}, '{"a":{"c":2,"d":1},"b":1}'),
        ({"value": {"b": 1, "a": 2}, "sortKeys": "true"}, '{"a":2,"b":1}'),
        ({"value": {"b": [1, {}], "a": []}, "indent": 2}, '{\n  "b": [\n    1,\n    {}\n  ],\n  "a": []\n}'),
        ({"value": {"b": "é", "a": 1}, "indent": 1, "sort_keys": True}, '{\n "a": 1,\n "b": "é"\n}'),
        ({"value": "text", "indent": 4}, '"text"'),
        ({"value": None}, "null"),
        ({"value": 2**70}, "1180591620717411303424"),
    ],
)
async def test_stringify(inputs: dict[str, Any], text: str) -> None:
    assert await call("json/stringify", inputs) == text


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"value": "\ud800"}, "JSON_STRINGIFY_ERROR"),
        ({"value": nested(5000)}, "JSON_STRINGIFY_ERROR"),
        ({"value": nested(5000), "indent": 1}, "JSON_STRINGIFY_ERROR"),
        ({"value": object()}, "JSON_STRINGIFY_ERROR"),
        ({"value": 1, "indent": 11}, "INPUT_DESERIALIZATION_ERROR"),
        ({"value": 1, "indent": -1}, "INPUT_DESERIALIZATION_ERROR"),
        ({"indent": 1}, "INPUT_DESERIALIZATION_ERROR"),
    ],
)
async def test_what_has_no_text_is_refused(inputs: dict[str, Any], code: str) -> None:
    assert await refused("stringify", **inputs) == code


async def test_an_indented_text_is_not_larger_than_what_can_be_stored() -> None:
    deep = nested(200, [1] * 5_000)
    assert json.loads(await call("json/stringify", {"value": deep, "indent": 10})) == deep
    wide = nested(200, [1] * (CHECKPOINT_BYTES_MAX // 2000))
    assert await refused("stringify", value=wide, indent=10) == "JSON_STRINGIFY_ERROR"
    assert len(await call("json/stringify", {"value": wide})) < 20_000


RFC_6901 = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
    "null": None,
    "~1": 9,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC_6901),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
        ("/null", None),
        ("/~01", 9),
    ],
)
async def test_get_by_pointer(pointer: str, value: Any) -> None:
    assert await call("json/get-by-pointer", {"value": RFC_6901, "pointer": pointer}) == value


@pytest.mark.parametrize(
    "pointer",
    ["/missing", "/foo/2", "/foo/-", "/foo/-1", "/foo/01", "/foo/bar", "/foo/0/x", "/null/x", "/foo/" + "9" * 5000],
)
async def test_where_a_pointer_finds_nothing_is_an_error_or_null(pointer: str) -> None:
    assert await refused("get-by-pointer", value=RFC_6901, pointer=pointer) == "JSON_POINTER_NOT_FOUND"
    inputs = {"value": RFC_6901, "pointer": pointer, "fail_on_missing": False}
    assert await call("json/get-by-pointer", inputs) is None


@pytest.mark.parametrize("pointer", ["foo", "foo/0", "$.foo", "/m~n", "/~", "/~2", "#/foo", " "])
async def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    code = await refused("get-by-pointer", value=RFC_6901, pointer=pointer, fail_on_missing=False)
    assert code == "JSON_POINTER_INVALID"


@pytest.mark.parametrize("value", [None, 5, "text", True, []])
async def test_a_scalar_has_no_members(value: Any) -> None:
    assert await call("json/get-by-pointer", {"value": value, "pointer": ""}) == value
    assert await refused("get-by-pointer", value=value, pointer="/0") == "JSON_POINTER_NOT_FOUND"


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        (None, {}, {}),
    ],
)
async def test_merge(target: Any, patch: Any, merged: Any) -> None:
    before = msgspec.json.encode([target, patch])
    assert await call("json/merge", {"target": target, "patch": patch}) == merged
    assert msgspec.json.encode([target, patch]) == before


async def test_a_patch_that_is_nested_too_deep_is_refused() -> None:
    patch: dict[str, Any] = {}
    for _ in range(5000):
        patch = {"a": patch}
    assert await refused("merge", target={}, patch=patch) == "JSON_MERGE_ERROR"
    assert await refused("merge", target={}) == "INPUT_DESERIALIZATION_ERROR"


@pytest.mark.parametrize("capability_id", ids_of("json"))
def test_any_json_gives_json_or_is_refused(capability_id: str) -> None:
    json_texts = any_json.map(lambda value: msgspec.json.encode(value).decode()) | texts
    pointers = st.sampled_from(["", "/a", "/a/0", "/0/b", "/~0/~1", "~"]) | paths | texts
    fuzz(f"json/{capability_id}", {"text": json_texts, "pointer": pointers, "indent": st.integers(-1, 11)})


@pytest.mark.parametrize("capability_id", ids_of("json"))
def test_a_capability_and_its_inputs_explain_themselves(capability_id: str) -> None:
    assert_explained(f"json/{capability_id}")
