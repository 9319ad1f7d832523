"""``transform``: tables of inputs and outputs, one per capability."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runtara.agents import AgentError
from tests.unit.agents.fuzzing import any_json, assert_explained, fuzz, ids_of, texts
from tests.unit.agents.test_builtin import call

DEEP: list[Any] = []
for _ in range(5000):
    DEEP = [DEEP]


async def transformed(capability_id: str, **inputs: Any) -> Any:
    """The output as a scenario sees it; its numbers keep their kind, so that 1, 1.0 and true are told apart by repr."""
    return msgspec.to_builtins(await call(f"transform/{capability_id}", inputs))


async def refused(capability_id: str, **inputs: Any) -> str:
    with pytest.raises(AgentError) as caught:
        await call(f"transform/{capability_id}", inputs)
    assert caught.value.category == "permanent"
    return caught.value.code


@pytest.mark.parametrize(
    ("value", "path", "values"),
    [
        ([{"a": 1}, {"a": None}, {"b": 2}, 5, None], "a", [1, None, None, None, None]),
        ([{"a": {"b": [7, 8]}}, {"a": {"b": []}}], "$.a.b.1", [8, None]),
        ([[1, 2], [3]], "0", [1, 3]),
        ([[1, 2], [3]], "name", [None, None]),
        ([{"a": 1}], "", [{"a": 1}]),
        ([{"a": 1}], "$", [{"a": 1}]),
        ([], "a", []),
    ],
)
async def test_extract(value: Any, path: str, values: list[Any]) -> None:
    assert await transformed("extract", value=value, property_path=path) == {"values": values, "count": len(values)}


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        ({"value": {"a": {"b": 1}}, "property_path": "a.b"}, 1),
        ({"value": {"a": [1, 2]}, "property_path": "$.a.1"}, 2),
        ({"value": {"a": 1}, "property_path": "$"}, {"a": 1}),
        ({"value": {"a": 1}, "property_path": "a.b.c"}, None),
        ({"value": {"a": 1}, "property_path": ""}, None),
        ({"value": {"a": 1}, "property_path": None}, None),
        ({"value": {"": 1}, "property_path": "."}, None),
        ({"value": None, "property_path": "a"}, None),
        ({"value": "text", "property_path": "0"}, None),
        ({}, None),
    ],
)
async def test_get_value_by_path(inputs: dict[str, Any], output: Any) -> None:
    assert await transformed("get-value-by-path", **inputs) == output


@pytest.mark.parametrize(
    ("target", "path", "value", "output"),
    [
        ({}, "a", 1, {"a": 1}),
        ({"a": 1, "b": 2}, "$.a", None, {"a": None, "b": 2}),
        ({"z": 0}, "a.b.c", [1], {"z": 0, "a": {"b": {"c": [1]}}}),
        ({"a": {"b": 1, "c": 2}}, "a.b", 3, {"a": {"b": 3, "c": 2}}),
        ({"a": 5}, "a.b", 1, {"a": 5}),
        ({"a": None}, "a.b", 1, {"a": None}),
        ({"a": [1]}, "a.0", 9, {"a": [1]}),
        ({"a": 1}, "", 9, {"a": 1}),
        ({"a": 1}, None, 9, {"a": 1}),
        ([1], "0", 9, [1]),
        ("text", "a", 9, "text"),
        (None, "a", 9, None),
    ],
)
async def test_set_value_by_path(target: Any, path: str | None, value: Any, output: Any) -> None:
    before = msgspec.json.encode(target)
    assert await transformed("set-value-by-path", target=target, property_path=path, value=value) == output
    assert msgspec.json.encode(target) == before


async def test_a_path_to_set_has_a_hundred_names_at_most() -> None:
    found = await transformed("set-value-by-path", target={}, property_path=".".join("a" * 100), value=1)
    assert await transformed("get-value-by-path", value=found, property_path=".".join("a" * 100)) == 1
    code = await refused("set-value-by-path", target={}, property_path=".".join("a" * 101), value=1)
    assert code == "TRANSFORM_PATH_TOO_LONG"


MIXED = ["", " \t", "a", None, 0, 0.0, "0", False, True, [], {}]


@pytest.mark.parametrize(
    ("flags", "removed"),
    [
        ((), []),
        (("filter_empty_strings",), [""]),
        (("filter_blank_strings",), ["", " \t"]),
        (("filter_null_values",), [None]),
        (("filter_zero_values",), [0, 0.0, "0"]),
        (("filter_zero_values", "filter_empty_strings", "filter_null_values"), ["", None, 0, 0.0, "0"]),
    ],
)
async def test_filter_non_values(flags: tuple[str, ...], removed: list[Any]) -> None:
    options: dict[str, Any] = dict.fromkeys(flags, True)
    kept = [item for item in MIXED if repr(item) not in map(repr, removed)]
    output = await transformed("filter-non-values", value=MIXED, **options)
    assert repr(output["items"]) == repr(kept)
    assert (output["count"], output["removed_count"]) == (len(kept), len(removed))
    wrapped = [{"a": item} for item in MIXED]
    output = await transformed("filter-non-values", value=wrapped, property_path="a", **options)
    assert repr([item["a"] for item in output["items"]]) == repr(kept)


async def test_an_item_without_the_property_counts_as_null() -> None:
    output = await transformed(
        "filter-non-values", value=[{"a": 1}, {"b": 1}, 7], property_path="a", filter_null_values="yes"
    )
    assert output == {"items": [{"a": 1}], "count": 1, "removed_count": 2}


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ([None, "", " ", 0, 0.0, False, "x", 1], "x"),
        ([None, []], []),
        ([False, {}], {}),
        ([0, True], True),
        (["0"], "0"),
        ([None, ""], None),
        ([], None),
        (None, None),
    ],
)
async def test_select_first(value: Any, output: Any) -> None:
    assert repr(await transformed("select-first", value=value)) == repr(output)


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        ({"values": [None, "", 0]}, ""),
        ({"values": [None, False, 1]}, False),
        ({"values": [None, "", 0, 1], "treat_empty_string_as_null": True}, 0),
        ({"values": [0, 0.0, "", 1], "treat_zero_as_null": True}, ""),
        ({"values": [0, "", False], "treat_zero_as_null": True, "treat_empty_string_as_null": True}, False),
        ({"values": [0, " "], "treat_zero_as_null": True, "treat_empty_string_as_null": True}, " "),
        ({"values": [None]}, None),
        ({"values": []}, None),
    ],
)
async def test_coalesce(inputs: dict[str, Any], output: Any) -> None:
    assert repr(await transformed("coalesce", **inputs)) == repr(output)


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ('{"a": [1, 2.0, "é", null, true]}', {"a": [1, 2.0, "é", None, True]}),
        (' "x" ', "x"),
        ("null", None),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        (7, 7),
        ("", None),
        (None, None),
    ],
)
async def test_from_json_string(value: Any, output: Any) -> None:
    assert repr(await transformed("from-json-string", value=value)) == repr(output)


@pytest.mark.parametrize("value", ["{", "{'a': 1}", "1 2", " ", "NaN", "1e999", "[" * 100_000, '"\\ud800"', "9" * 5000])
async def test_a_text_that_is_not_json_is_refused(value: str) -> None:
    assert await refused("from-json-string", value=value) == "TRANSFORM_JSON_PARSE_ERROR"


@pytest.mark.parametrize(
    ("value", "json"),
    [
        ({"b": 1, "a": [True, None]}, '{"a":[true,null],"b":1}'),
        ("é", '"é"'),
        (1.0, "1.0"),
        (2**70, "1180591620717411303424"),
        ([], "[]"),
        (None, "null"),
    ],
)
async def test_to_json_string(value: Any, json: str) -> None:
    assert await transformed("to-json-string", value=value) == {"json": json, "length": len(json.encode())}


@pytest.mark.parametrize("value", ["\ud800", DEEP, object()])
async def test_what_has_no_json_form_is_refused(value: Any) -> None:
    assert await refused("to-json-string", value=value) == "TRANSFORM_JSON_SERIALIZE_ERROR"


ONES = [1, 1.0, True, "1", None, [1], {"n": 1}]


@pytest.mark.parametrize(
    ("condition", "wanted", "kept"),
    [
        ("INCLUDES", 1, [1, 1.0, [1]]),
        ("INCLUDES", "1", ["1"]),
        ("INCLUDES", [True, {"n": 1.0}], [True, {"n": 1}]),
        ("INCLUDES", None, []),
        ("INCLUDES", [], []),
        ("EXCLUDES", [1, "1"], [True, None, {"n": 1}]),
        ("EXCLUDES", None, ONES),
        ("EXCLUDES", [], ONES),
        ("STARTS_WITH", 1, []),
        ("STARTS_WITH", ["1", "x"], ["1"]),
        ("CONTAINS", "", ["1"]),
    ],
)
async def test_filter_by_equality(condition: str, wanted: Any, kept: list[Any]) -> None:
    output = await transformed("filter", value=ONES, property_path="$", match_values=wanted, match_condition=condition)
    assert repr(output["items"]) == repr(kept)
    assert (output["count"], output["removed_count"]) == (len(kept), len(ONES) - len(kept))


@pytest.mark.parametrize(
    ("condition", "wanted", "kept"),
    [
        ("STARTS_WITH", "ap", ["apple", ["pear", "apricot"]]),
        ("ENDS_WITH", ["le", "ar"], ["apple", "pear", ["pear", "apricot"]]),
        ("CONTAINS", "ea", ["pear", ["pear", "apricot"]]),
        ("CONTAINS", "EA", []),
        ("INCLUDES", ["apricot", "apple"], ["apple", ["pear", "apricot"]]),
        ("EXCLUDES", "pear", ["apple", None, 5, []]),
    ],
)
async def test_filter_by_texts(condition: str, wanted: Any, kept: list[Any]) -> None:
    value = [{"a": {"b": fruit}} for fruit in ("apple", "pear", ["pear", "apricot"], None, 5, [])]
    output = await transformed(
        "filter", value=value, property_path="a.b", match_values=wanted, match_condition=condition
    )
    assert [item["a"]["b"] for item in output["items"]] == kept


@pytest.mark.parametrize("inputs", [{"value": None}, {"value": []}, {}])
async def test_of_no_array_nothing_is_kept(inputs: dict[str, Any]) -> None:
    output = await transformed("filter", property_path="a", match_values=1, match_condition="EXCLUDES", **inputs)
    assert output == {"items": [], "count": 0, "removed_count": 0}


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"match_condition": "EQUALS"}, "INPUT_DESERIALIZATION_ERROR"),
        ({"match_condition": None}, "INPUT_DESERIALIZATION_ERROR"),
        ({"value": "text"}, "INPUT_DESERIALIZATION_ERROR"),
        ({"property_path": None}, "INPUT_DESERIALIZATION_ERROR"),
        ({"match_values": [DEEP]}, "TRANSFORM_INVALID_INPUT"),
        ({"value": [[DEEP]]}, "TRANSFORM_INVALID_INPUT"),
    ],
)
async def test_a_filter_that_cannot_be_is_refused(inputs: dict[str, Any], code: str) -> None:
    usual = {"value": [1], "property_path": "", "match_values": 1, "match_condition": "INCLUDES"}
    assert await refused("filter", **(usual | inputs)) == code


@pytest.mark.parametrize(
    ("value", "ascending"),
    [
        ([2, 10, 1.5, -3], [-3, 1.5, 2, 10]),
        (["b", "B", "a", "é", "10", "9"], ["10", "9", "B", "a", "b", "é"]),
        ([True, False, True], [False, True, True]),
        ([{"a": 1}, True, [2], [1], 7, -7, "x"], ["x", -7, 7, [1], [2], True, {"a": 1}]),
        ([None, 2, None, 1], [1, 2, None, None]),
        ([2**70, 1.5, 2**70 - 1], [1.5, 2**70 - 1, 2**70]),
        ([], []),
    ],
)
async def test_sort(value: list[Any], ascending: list[Any]) -> None:
    expected = {"items": ascending, "count": len(value)}
    assert await transformed("sort", value=value) == expected
    descending = await transformed("sort", value=value, ascending=False)
    assert descending == {"items": ascending[::-1], "count": len(value)}


async def test_items_with_equal_properties_keep_their_order_both_ways() -> None:
    rows = [{"a": {"n": n % 2}, "i": n} for n in range(6)]
    ascending = await transformed("sort", value=rows, property_path="a.n")
    assert [row["i"] for row in ascending["items"]] == [0, 2, 4, 1, 3, 5]
    descending = await transformed("sort", value=rows, property_path="a.n", ascending=False)
    assert [row["i"] for row in descending["items"]] == [1, 3, 5, 0, 2, 4]


@pytest.mark.parametrize("value", [None, "text", {"a": 1}, 5])
async def test_only_an_array_is_sorted(value: Any) -> None:
    assert await refused("sort", value=value) == "INPUT_DESERIALIZATION_ERROR"


async def test_arrays_too_deep_to_be_compared_are_not_sorted() -> None:
    assert await refused("sort", value=[DEEP, DEEP]) == "TRANSFORM_JSON_SERIALIZE_ERROR"


@pytest.mark.parametrize(
    ("value", "key", "groups"),
    [
        ([{"k": "b"}, {"k": "a"}, {"k": "b", "n": 1}], "k", [[{"k": "b"}, {"k": "b", "n": 1}], [{"k": "a"}]]),
        ([1, True, "1", 1.0, False, 0], "", [[1, 1.0], [True], ["1"], [False], [0]]),
        ([{"k": None}, {}, 5, {"k": 0}], "k", [[{"k": 0}]]),
        ([{"k": {"a": 1, "b": 2}}, {"k": {"b": 2, "a": 1.0}}], "k", [[{"k": {"a": 1, "b": 2}}] * 2]),
        ([[1, "x"], [1, "y"], [2]], "0", [[[1, "x"], [1, "y"]], [[2]]]),
        ([], "k", []),
    ],
)
async def test_group_by(value: list[Any], key: str, groups: list[Any]) -> None:
    output = await transformed("group-by", value=value, key=key)
    assert output == {"groups": groups, "group_count": len(groups)}


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        (["x", "y", "x"], {"x": ["x", "x"], "y": ["y"]}),
        ([1, "1", 1.0, True], {"1": [1, "1", 1.0], "true": [True]}),
        ([1.5, [1], {"b": 1, "a": 2}], {"1.5": [1.5], "[1]": [[1]], '{"a":2,"b":1}': [{"b": 1, "a": 2}]}),
        ([None, ""], {"": [""]}),
        ([], {}),
    ],
)
async def test_group_by_as_a_map(value: list[Any], groups: dict[str, Any]) -> None:
    output = await transformed("group-by", value=value, key="", as_map=True)
    assert output == {"groups": groups, "group_count": len(groups)}
    assert list(output["groups"]) == list(groups)


@pytest.mark.parametrize("value", [None, {"a": 1}, "text", 5])
async def test_only_an_array_is_grouped(value: Any) -> None:
    assert await refused("group-by", value=value, key="a") == "TRANSFORM_INVALID_INPUT"


@pytest.mark.parametrize("as_map", [True, False])
async def test_keys_too_deep_to_be_compared_make_no_groups(as_map: bool) -> None:
    code = await refused("group-by", value=[DEEP], key="", as_map=as_map)
    assert code == ("TRANSFORM_JSON_SERIALIZE_ERROR" if as_map else "TRANSFORM_INVALID_INPUT")


@pytest.mark.parametrize(
    ("array", "item", "output"),
    [
        ([], 1, [1]),
        ([1], None, [1, None]),
        ([1], [2, 3], [1, [2, 3]]),
        ([None], {}, [None, {}]),
        (["a"], "a", ["a", "a"]),
    ],
)
async def test_append(array: list[Any], item: Any, output: list[Any]) -> None:
    length = len(array)
    assert await transformed("append", array=array, item=item) == {"array": output, "length": len(output)}
    assert len(array) == length


@pytest.mark.parametrize("inputs", [{"array": None, "item": 1}, {"array": "a", "item": 1}, {"item": 1}, {"array": []}])
async def test_one_item_is_appended_to_an_array(inputs: dict[str, Any]) -> None:
    assert await refused("append", **inputs) == "INPUT_DESERIALIZATION_ERROR"


@pytest.mark.parametrize(
    ("value", "path", "items"),
    [
        ([{"a": [1, 2]}, {"a": [3]}], "a", [1, 2, 3]),
        ([{"a": [[1], None]}, {"a": []}], "a", [[1], None]),
        ([{"a": "text"}, {"a": None}, {"b": [1]}, 5, {"a": {"0": 1}}], "a", []),
        ([[1], [2, 3]], "$", [1, 2, 3]),
        ([[1], [2, 3]], "", []),
        ([], "a", []),
    ],
)
async def test_flat_map(value: list[Any], path: str, items: list[Any]) -> None:
    assert await transformed("flat-map", value=value, property_path=path) == {"items": items, "count": len(items)}


@pytest.mark.parametrize(
    ("value", "length", "is_array"),
    [
        ([1, None], 2, True),
        ([], 0, True),
        ({"a": 1, "b": 2}, 2, False),
        ("aé€", 6, False),
        (12345, 0, False),
        (True, 0, False),
        (None, 0, False),
    ],
)
async def test_array_length(value: Any, length: int, is_array: bool) -> None:
    assert await transformed("array-length", value=value) == {"length": length, "is_array": is_array}


@pytest.mark.parametrize(
    ("value", "items", "was_array"),
    [
        ([1], [1], True),
        ([], [], True),
        (None, [], False),
        ({"a": 1}, [{"a": 1}], False),
        (False, [False], False),
        ("", [""], False),
    ],
)
async def test_ensure_array(value: Any, items: list[Any], was_array: bool) -> None:
    output = await transformed("ensure-array", value=value)
    assert output == {"items": items, "count": len(items), "was_array": was_array}


@pytest.mark.parametrize("capability_id", ids_of("transform"))
def test_any_json_is_transformed_or_refused(capability_id: str) -> None:
    json_texts = any_json.map(lambda value: msgspec.json.encode(value).decode()) | texts
    fuzz(f"transform/{capability_id}", {"value": json_texts} if capability_id == "from-json-string" else {})


@pytest.mark.parametrize("capability_id", ids_of("transform"))
def test_a_capability_and_its_inputs_explain_themselves(capability_id: str) -> None:
    assert_explained(f"transform/{capability_id}")
