"""``csv``: tables of texts in and out, and what is written is read again."""

from __future__ import annotations

import base64
import codecs
import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runtara.agents import AgentError, registry
from runtara.agents.builtin.csv_dialect import Dialect, read_rows, write_rows
from runtara.agents.builtin.text_encodings import find_codec
from tests.unit.agents.test_capability import new_context


async def call(capability_id: str, **inputs: Any) -> Any:
    found = registry().find_capability("csv", capability_id)
    assert found is not None
    return msgspec.to_builtins(await found.call(inputs, new_context()))


async def error_of(capability_id: str, **inputs: Any) -> AgentError:
    with pytest.raises(AgentError) as raised:
        await call(capability_id, **inputs)
    assert raised.value.category == "permanent"
    return raised.value


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# ---- from-csv


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", []),
        ("a,b\n", []),
        ("a,b\n1,2", [{"a": "1", "b": "2"}]),
        ("a,b\r\n1,2\r\n3,4\r\n", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        ("a,b\r1,2\r", [{"a": "1", "b": "2"}]),
        ("a,b\n,\n \n\n1,\n", [{"a": "1", "b": ""}]),
        ('a,b\n"1,\n2","3""4"\n', [{"a": "1,\n2", "b": '3"4'}]),
        ('a,b\n5" pipe,"x"y\n', [{"a": '5" pipe', "b": "xy"}]),
        ("a,,c\n1,2,3\n", [{"a": "1", "c": "3"}]),
        ("a,a\n1,2\n", [{"a": "2"}]),
        ("\ufeffa,b\n1,2\n", [{"a": "1", "b": "2"}]),
        ("a,b\n 1 ,null\n", [{"a": " 1 ", "b": "null"}]),
        ("a,b\nü,🙂\u2028\x0b\x00\n", [{"a": "ü", "b": "🙂\u2028\x0b\x00"}]),
    ],
)
async def test_a_line_becomes_an_object(text: str, rows: list[Any]) -> None:
    assert await call("from-csv", data=text) == rows
    assert await call("from-csv", data=in_base64(text.encode())) == rows
    assert await call("from-csv", data={"content": in_base64(text.encode()), "mimeType": "text/csv"}) == rows
    assert await call("from-csv", data=list(text.encode())) == rows


@pytest.mark.parametrize(
    ("inputs", "rows"),
    [
        ({"data": "1,2\n3,4\n", "use_header": False}, [["1", "2"], ["3", "4"]]),
        ({"data": "a,b\n\n1,2\n", "skip_empty_lines": False}, [{"a": "", "b": ""}, {"a": "1", "b": "2"}]),
        ({"data": "a,b\n , \n", "skip_empty_lines": False}, [{"a": " ", "b": " "}]),
        ({"data": "a, \n 1 ,2\n", "trim_whitespace": True}, [{"a": "1"}]),
        ({"data": "a;b\n1,5;2\n", "delimiter": ";"}, [{"a": "1,5", "b": "2"}]),
        ({"data": "a\tb\n1\t2\n", "delimiter": "\\t"}, [{"a": "1", "b": "2"}]),
        ({"data": "a,b\n'1,2',\"3\n", "quote_char": "'"}, [{"a": "1,2", "b": '"3'}]),
        ({"data": 'a,b\n"1,2\n', "quote_char": None}, [{"a": '"1', "b": "2"}]),
        ({"data": 'a,b\n"1\\"2",3\n', "escape_char": "\\"}, [{"a": '1"2', "b": "3"}]),
        ({"data": 'a,b\n"1\\"2",3\n', "escape_char": "\\", "use_header": "false"}, [["a", "b"], ['1"2', "3"]]),
        ({"data": "€".encode("cp1252"), "encoding": "latin1", "use_header": False}, [["€"]]),
        ({"data": "ж\n1".encode("cp1251"), "encoding": " Windows-1251 "}, [{"ж": "1"}]),
        ({"data": "日\n1".encode("shift_jis"), "encoding": "x-sjis"}, [{"日": "1"}]),
        ({"data": "a\n1".encode("utf-16")}, [{"a": "1"}]),
        ({"data": b"\xff\n1", "encoding": "no such"}, [{"\ufffd": "1"}]),
        ({"data": b"\x81\n1", "encoding": "ISO_8859-1:1987"}, [{"\x81": "1"}]),
        ({"data": "", "use_header": False}, []),
    ],
)
async def test_the_dialect_and_the_encoding_are_inputs(inputs: dict[str, Any], rows: list[Any]) -> None:
    data = inputs["data"] if isinstance(inputs["data"], str) else list(inputs["data"])
    assert await call("from-csv", **inputs | {"data": data}) == rows


@pytest.mark.parametrize("text", ["name\njohn", "name\tcity\nJohn\tBonn\n", "a,b", "a b\n", "ab/c+de"])
async def test_text_that_only_resembles_base64_is_text(text: str) -> None:
    assert await call("from-csv", data=text, use_header=False, delimiter="|") == [[line] for line in text.splitlines()]


async def test_base64_may_have_the_lines_of_pem_and_mime() -> None:
    rows = [[str(number), "x" * 20] for number in range(20)]
    text = "".join(f"{a},{b}\n" for a, b in rows)
    for data in (base64.encodebytes(text.encode()).decode(), in_base64(text.encode()) + "\n"):
        assert await call("from-csv", data=data, use_header=False) == rows


async def test_what_a_string_is_can_be_said() -> None:
    assert await call("from-csv", data="name", data_format="text", use_header=False) == [["name"]]
    assert await call("from-csv", data="bm FtZQ==", data_format="base64", use_header=False) == [["name"]]
    assert (await error_of("from-csv", data="name")).code == "CSV_ENCODING_ERROR"
    assert (await error_of("from-csv", data="a,b", data_format="base64")).code == "CSV_DECODE_ERROR"


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"data": None}, "CSV_DECODE_ERROR"),
        ({"data": 5}, "CSV_DECODE_ERROR"),
        ({"data": {"text": "a"}}, "CSV_DECODE_ERROR"),
        ({"data": [256]}, "CSV_DECODE_ERROR"),
        ({}, "INPUT_DESERIALIZATION_ERROR"),
        ({"data": "", "data_format": "raw"}, "INPUT_DESERIALIZATION_ERROR"),
        ({"data": "", "delimiter": None}, "INPUT_DESERIALIZATION_ERROR"),
        ({"data": [0xFF, 0x41]}, "CSV_ENCODING_ERROR"),
        ({"data": [0xFF, 0xFE, 0x41]}, "CSV_ENCODING_ERROR"),
        ({"data": "a,b\n1\n"}, "CSV_PARSE_ERROR"),
        ({"data": "a,b\n1,2,3\n"}, "CSV_PARSE_ERROR"),
        ({"data": "a,b\n1\n", "use_header": False}, "CSV_PARSE_ERROR"),
        ({"data": 'a,b\n1,"2\n'}, "CSV_PARSE_ERROR"),
        ({"data": '"'}, "CSV_PARSE_ERROR"),
        ({"data": "a,b\\", "escape_char": "\\"}, "CSV_PARSE_ERROR"),
        ({"data": "", "delimiter": ""}, "CSV_PARSE_ERROR"),
        ({"data": "", "delimiter": "||"}, "CSV_PARSE_ERROR"),
        ({"data": "", "delimiter": "\n"}, "CSV_PARSE_ERROR"),
        ({"data": "", "delimiter": '"'}, "CSV_PARSE_ERROR"),
        ({"data": "", "quote_char": "\\", "escape_char": "\\"}, "CSV_PARSE_ERROR"),
    ],
)
async def test_what_is_no_csv_is_refused(inputs: dict[str, Any], code: str) -> None:
    assert (await error_of("from-csv", **inputs)).code == code


async def test_the_row_of_another_length_is_named() -> None:
    error = await error_of("from-csv", data="a,b\n1,2\n3\n")
    assert error.attributes == {"row": "3", "expected": "2", "found": "1"}


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("UTF-8", "utf-8"),
        ("unicode-1-1-utf-8", "utf-8"),
        ("US-ASCII", "cp1252"),
        ("iso_8859-9:1989", "cp1254"),
        ("GB_2312-80", "gb18030"),
        ("KS_C_5601-1987", "cp949"),
        ("zip", None),
        ("unicode_escape", None),
        ("", None),
        ("8" * 99_999, None),
    ],
)
def test_an_encoding_has_the_names_of_the_web_and_no_others(name: str, codec: str | None) -> None:
    assert find_codec(name) == codec
    assert codec is None or codecs.lookup(codec)


async def test_a_field_may_be_large_but_a_name_may_not_multiply() -> None:
    assert await call("from-csv", data=f"a,b\n{'x' * 500_000},1\n") == [{"a": "x" * 500_000, "b": "1"}]
    error = await error_of("from-csv", data=f"{'x' * 1_000_000},b\n" + "1,2\n" * 100)
    assert error.code == "CSV_PARSE_ERROR"


# ---- to-csv


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], ""),
        ([{}], ""),
        ([[]], ""),
        ([{"b": 1, "a": "x"}], "a,b\nx,1\n"),
        ({"a": 1}, "a\n1\n"),
        ([{"a": 1}, {"b": 2}], "a,b\n1,\n,2\n"),
        ([{"a": 1, "b": 2}, {"b": 3, "a": 4}], "a,b\n1,2\n4,3\n"),
        ([{"a": None, "b": True, "c": 1.5, "d": -0.0}], "a,b,c,d\n,true,1.5,-0.0\n"),
        ([{"a": {"k": [1, "x"]}, "b": []}], 'a,b\n"{""k"":[1,""x""]}",[]\n'),
        ([{"a,": 'x"y', "b": "1\n2", "c": "\r"}], '"a,",b,c\n"x""y","1\n2","\r"\n'),
        ([{"a": ""}, {"a": None}], 'a\n""\n""\n'),
        ([[1, "x"], [2]], "Column 1,Column 2\n1,x\n2,\n"),
        ([{"a": 10**30}], f"a\n{10**30}\n"),
    ],
)
async def test_objects_become_lines(value: Any, text: str) -> None:
    assert await call("to-csv", value=value, output_format="text") == text
    assert await call("to-csv", value=value) == list(text.encode())
    assert await call("to-csv", value=value, output_format="base64") == in_base64(text.encode())


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"value": [{"a": 1}], "use_header": False}, "1\n"),
        ({"value": [[1, 2]], "use_header": False, "delimiter": ";"}, "1;2\n"),
        ({"value": [["a\tb", "c"]], "use_header": False, "delimiter": "\\t"}, '"a\tb"\tc\n'),
        ({"value": [["a'b"]], "use_header": False, "quote_char": "'"}, "'a''b'\n"),
        ({"value": [['a"b\\']], "use_header": False, "escape_char": "\\"}, '"a\\"b\\\\"\n'),
        ({"value": [["a,b"]], "use_header": False, "quote_char": "", "escape_char": "\\"}, "a\\,b\n"),
    ],
)
async def test_lines_are_written_in_a_dialect(inputs: dict[str, Any], text: str) -> None:
    assert await call("to-csv", **inputs, output_format="text") == text


async def test_lines_are_written_in_an_encoding() -> None:
    assert await call("to-csv", value=[["€"]], use_header=False, encoding="latin1") == [0x80, 10]
    assert await call("to-csv", value=[["€"]], use_header=False, encoding="no such") == [*"€\n".encode()]
    assert (await error_of("to-csv", value=[["ж"]], encoding="latin1")).code == "CSV_ENCODING_ERROR"


@pytest.mark.parametrize(
    "inputs",
    [
        {"value": None},
        {"value": "a,b"},
        {"value": 5},
        {"value": [1, 2]},
        {"value": [{"a": 1}, [2]]},
        {"value": [{"a": 1}, None]},
        {"value": [["a,b"]], "quote_char": None},
        {"value": [], "delimiter": ""},
        {"value": [], "delimiter": "ab"},
        {"value": [{str(i): i} for i in range(5000)]},
        {"value": [[]] * 5000 + [[0] * 5000]},
    ],
)
async def test_what_has_no_rows_is_not_written(inputs: dict[str, Any]) -> None:
    assert (await error_of("to-csv", **inputs)).code == "CSV_WRITE_ERROR"


# ---- get-header


@pytest.mark.parametrize(
    ("text", "header"),
    [
        (
            "a,b,c,d,e,f\ntrue,1,1.5,x,,01\n",
            {"a": "Boolean", "b": "Integer", "c": "Double", "d": "String", "e": "String", "f": "String"},
        ),
        ("a,b\n-5,1e9\nx,y\n", {"a": "Integer", "b": "Double"}),
        ("a,b\n null,\n", {"a": "String", "b": "String"}),
        ("a,b\n 12 ,+1\n", {"a": "Integer", "b": "String"}),
        (f"a,b\n{10**17},{10**20}\n", {"a": "Integer", "b": "Double"}),
        ("a,b\n", {"a": "String", "b": "String"}),
        ("\n\na,,c\n\n1,2,3\n", {"a": "Integer", "c": "Integer"}),
    ],
)
async def test_the_first_row_has_the_types_of_the_columns(text: str, header: dict[str, str]) -> None:
    assert await call("get-header", data=text) == header


async def test_columns_without_names_are_numbered() -> None:
    header = await call("get-header", data="1,x\n", use_header=False)
    assert header == {"Column 1": "Integer", "Column 2": "String"}


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"data": ""}, "CSV_EMPTY_FILE"),
        ({"data": " \n,\n"}, "CSV_EMPTY_FILE"),
        ({"data": "", "use_header": False}, "CSV_EMPTY_FILE"),
        ({"data": None}, "CSV_DECODE_ERROR"),
        ({"data": "a,b\n1"}, "CSV_PARSE_ERROR"),
        ({"data": '"a'}, "CSV_PARSE_ERROR"),
    ],
)
async def test_there_is_no_header_in_what_is_no_csv(inputs: dict[str, Any], code: str) -> None:
    assert (await error_of("get-header", **inputs)).code == code


# ---- laws

CHARACTERS = st.sampled_from(",;\t'\"\\|~ab \r\nü") | st.characters(exclude_categories=["Cs"])
TABLES = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(st.text(CHARACTERS, max_size=6), min_size=width, max_size=width), max_size=5)
)
MARKS = st.sampled_from(",;\t'\"\\|~a")


@given(TABLES, MARKS, MARKS, MARKS | st.none())
def test_what_a_dialect_writes_it_reads(table: list[list[str]], delimiter: str, quote: str, escape: str | None) -> None:
    assume(len({delimiter, quote, escape}) == 3)
    dialect = Dialect.of(delimiter, quote, escape, error_code="CSV_PARSE_ERROR")
    assert list(read_rows(write_rows(table, dialect), dialect)) == table


@given(TABLES, MARKS)
async def test_a_table_without_a_header_comes_back(table: list[list[str]], delimiter: str) -> None:
    assume(delimiter != '"' and not (table and table[0][0].startswith("\ufeff")))
    inputs = {"use_header": False, "delimiter": delimiter}
    data = await call("to-csv", value=table, **inputs)
    assert await call("from-csv", data=data, skip_empty_lines=False, **inputs) == table


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(CHARACTERS, max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
OPTIONS = {
    "encoding": st.sampled_from(["utf-8", "utf-16", "latin1", "sjis", "gbk", "euc-kr", "hz"]) | JSON,
    "delimiter": MARKS | JSON,
    "quote_char": MARKS | st.none() | JSON,
    "escape_char": MARKS | st.none() | JSON,
    "use_header": st.booleans(),
    "skip_empty_lines": st.booleans(),
    "trim_whitespace": st.booleans(),
}


@given(
    st.sampled_from(["from-csv", "get-header"]),
    st.fixed_dictionaries({"data": st.lists(st.integers(0, 255)) | st.text(CHARACTERS) | JSON}, optional=OPTIONS),
)
async def test_any_text_gives_json_or_an_agent_error(capability_id: str, inputs: dict[str, Any]) -> None:
    await gives_json_or_an_agent_error(capability_id, inputs)


@given(st.fixed_dictionaries({"value": st.lists(JSON) | JSON}, optional=OPTIONS))
async def test_any_value_gives_json_or_an_agent_error(inputs: dict[str, Any]) -> None:
    inputs = {name: given for name, given in inputs.items() if name not in ("skip_empty_lines", "trim_whitespace")}
    await gives_json_or_an_agent_error("to-csv", inputs)


async def gives_json_or_an_agent_error(capability_id: str, inputs: dict[str, Any]) -> None:
    try:
        json.dumps(await call(capability_id, **inputs), allow_nan=False)
    except AgentError as error:
        assert error.code.startswith(("CSV_", "INPUT_"))  # noqa: PT017 - both ends are right


@pytest.mark.parametrize("depth", [50, 100_000])
async def test_a_deep_value_is_written_or_refused(depth: int) -> None:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    if depth == 50:
        assert await call("to-csv", value=value, output_format="text", use_header=False) == "[" * 49 + "]" * 49 + "\n"
    else:
        assert (await error_of("to-csv", value=value)).code == "CSV_WRITE_ERROR"
