"""``xml``: documents in, values out; and documents that are made to hurt."""

from __future__ import annotations

import base64
import json
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara.agents import AgentError, registry
from runtara.agents.builtin.xml_reader import XML_BYTES_MAX, XML_ELEMENTS_MAX, XML_NESTING_MAX
from tests.unit.agents.test_capability import new_context


async def call(**inputs: Any) -> Any:
    found = registry().find_capability("xml", "from-xml")
    assert found is not None
    return msgspec.to_builtins(await found.call(inputs, new_context()))


async def error_of(**inputs: Any) -> AgentError:
    with pytest.raises(AgentError) as raised:
        await call(**inputs)
    assert raised.value.category == "permanent"
    return raised.value


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<a/>", {"a": {}}),
        ("<a></a>", {"a": {}}),
        ("<a> \n </a>", {"a": {}}),
        ("<a>x</a>", {"a": "x"}),
        ("<a> x y </a>", {"a": "x y"}),
        ('<a b="1"/>', {"a": {"@attributes": {"b": "1"}}}),
        ('<a b="">x</a>', {"a": {"@attributes": {"b": ""}, "@text": "x"}}),
        ("<a><b>1</b><c/></a>", {"a": {"b": "1", "c": {}}}),
        ("<a><b>1</b><b>2</b></a>", {"a": {"b": ["1", "2"]}}),
        ("<a><b>1</b><c/><b/><b>3</b></a>", {"a": {"b": ["1", {}, "3"], "c": {}}}),
        ("<a>x <b/> y<b/>\n</a>", {"a": {"@text": "x y", "b": [{}, {}]}}),
        ("<a><!-- no -->x<!-- no -->y<?no no?></a>", {"a": "xy"}),
        ("<a>1 &lt; 2 &amp; &#252;<![CDATA[<b>]]></a>", {"a": "1 < 2 & ü<b>"}),
        (
            '<p:a xmlns:p="urn:p" xmlns="urn:d" p:x="1" xml:lang="de"><p:b/><q:b/></p:a>',
            {"a": {"@attributes": {"x": "1", "lang": "de"}, "b": [{}, {}]}},
        ),
        ('<?xml version="1.0" encoding="ISO-8859-1"?>\n<ä>ü</ä>', {"ä": "ü"}),
        ("\ufeff<a>🙂</a>\n", {"a": "🙂"}),
        ('<!DOCTYPE cXML SYSTEM "http://xml.cxml.org/cXML.dtd"><cXML>&lt;</cXML>', {"cXML": "<"}),
        ('<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN" "xhtml1.dtd"><html/>', {"html": {}}),
    ],
)
async def test_a_document_becomes_a_value(text: str, value: Any) -> None:
    assert await call(data=text) == value
    assert await call(data=text, data_format="text") == value
    assert await call(data=in_base64(text)) == value
    assert await call(data={"content": in_base64(text), "filename": "a.xml"}, data_format="base64") == value
    assert await call(data=list(text.encode())) == value


@pytest.mark.parametrize(
    ("choices", "value"),
    [
        ({}, {"a": {"@attributes": {"k": "v"}, "@text": "x y", "b": "z"}}),
        ({"preserve_text": False}, {"a": {"@attributes": {"k": "v"}, "b": {}}}),
        ({"include_attributes": False}, {"a": {"@text": "x y", "b": "z"}}),
        ({"include_attributes": "no", "preserve_text": "no"}, {"a": {"b": {}}}),
        ({"trim_text": False}, {"a": {"@attributes": {"k": "v"}, "@text": " x    y\n", "b": " z "}}),
        ({"encoding": "utf8"}, {"a": {"@attributes": {"k": "v"}, "@text": "x y", "b": "z"}}),
    ],
)
async def test_text_and_attributes_are_chosen(choices: dict[str, Any], value: Any) -> None:
    assert await call(data='<a k="v"> x <b> z </b>  y\n</a>', **choices) == value


async def test_blanks_are_a_text_where_nothing_else_is_and_nothing_is_trimmed() -> None:
    assert await call(data="<a> <b> </b>\n</a>", trim_text=False) == {"a": {"b": " "}}


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"data": None}, "XML_DECODE_ERROR"),
        ({"data": 5}, "XML_DECODE_ERROR"),
        ({"data": {}}, "XML_DECODE_ERROR"),
        ({"data": "<a/>", "data_format": "base64"}, "XML_DECODE_ERROR"),
        ({}, "INPUT_DESERIALIZATION_ERROR"),
        ({"data": "<a/>", "trim_text": None}, "INPUT_DESERIALIZATION_ERROR"),
        ({"data": "<a/>", "encoding": "latin1"}, "XML_ENCODING_ERROR"),
        ({"data": "<a/>", "encoding": ""}, "XML_ENCODING_ERROR"),
        ({"data": [0x3C, 0xE4, 0x2F, 0x3E]}, "XML_ENCODING_ERROR"),
        ({"data": ""}, "XML_PARSE_ERROR"),
        ({"data": "word"}, "XML_ENCODING_ERROR"),
        ({"data": "two words"}, "XML_PARSE_ERROR"),
        ({"data": "<a>"}, "XML_PARSE_ERROR"),
        ({"data": "<a></b>"}, "XML_PARSE_ERROR"),
        ({"data": "<a/><b/>"}, "XML_PARSE_ERROR"),
        ({"data": "<a b='1' b='2'/>"}, "XML_PARSE_ERROR"),
        ({"data": "<a>\x00</a>"}, "XML_PARSE_ERROR"),
        ({"data": "<a>\ud800</a>"}, "XML_PARSE_ERROR"),
        ({"data": "<a>&nbsp;</a>"}, "XML_PARSE_ERROR"),
    ],
)
async def test_what_is_no_xml_is_refused(inputs: dict[str, Any], code: str) -> None:
    assert (await error_of(**inputs)).code == code


async def test_the_place_of_the_error_is_named() -> None:
    assert (await error_of(data="<a>\n<b></c></a>")).attributes == {"line": "2", "column": "5"}


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a>&l9;</a>',
        f'<!DOCTYPE a [<!ENTITY x "{"y" * 100_000}">]><a>{"&x;" * 100_000}</a>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1/"> %x;]><a/>',
        f'<!DOCTYPE a [<!ATTLIST b k CDATA "{"y" * 100_000}">]><a>{"<b/>" * 100_000}</a>',
        "<!DOCTYPE a []><a/>",
        '<!DOCTYPE a SYSTEM "a.dtd"><a>&nbsp;</a>',
    ],
    ids=lambda text: text[:40],
)
async def test_declarations_are_refused(text: str) -> None:
    error = await error_of(data=text)
    assert error.code == "XML_PARSE_ERROR"
    assert "declar" in error.message


def nested(depth: int) -> str:
    return "<a>" * depth + "</a>" * depth


async def test_elements_nest_to_a_limit() -> None:
    value = await call(data=nested(XML_NESTING_MAX))
    assert json.dumps(value).count("{") == XML_NESTING_MAX + 1
    for depth in (XML_NESTING_MAX + 1, 100_000):
        error = await error_of(data=nested(depth))
        assert (error.code, "nested" in error.message) == ("XML_PARSE_ERROR", True)


@pytest.mark.slow
async def test_there_is_a_limit_of_elements() -> None:
    value = await call(data=f"<a>{'<b/>' * (XML_ELEMENTS_MAX - 1)}</a>")
    assert len(value["a"]["b"]) == XML_ELEMENTS_MAX - 1
    error = await error_of(data=f"<a>{'<b/>' * XML_ELEMENTS_MAX}</a>")
    assert (error.code, "elements" in error.message) == ("XML_PARSE_ERROR", True)


async def test_there_is_a_limit_of_bytes() -> None:
    text = "x" * (XML_BYTES_MAX - 7)
    assert await call(data=f"<a>{text}</a>") == {"a": text}
    error = await error_of(data=f"<a>{text}y</a>")
    assert (error.code, "bytes" in error.message) == ("XML_PARSE_ERROR", True)


async def test_a_namespace_under_many_elements_costs_nothing() -> None:
    text = f"<a xmlns='{'u' * 1_000_000}'>{'<b/>' * 20_000}</a>"
    assert len((await call(data=text))["a"]["b"]) == 20_000


NAMES = st.from_regex(r"[a-c]{1,2}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1)
TREES: st.SearchStrategy[Any] = st.recursive(
    TEXTS | st.just({}),
    lambda inner: st.dictionaries(NAMES, inner | st.lists(inner, min_size=2, max_size=3), min_size=1, max_size=3),
    max_leaves=8,
)


def written(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "".join(written(name, item) for item in value)
    if isinstance(value, str):
        return f"<{name}>{escape(value)}</{name}>"
    return f"<{name}>{''.join(written(key, item) for key, item in value.items())}</{name}>"


@given(NAMES, TREES)
async def test_a_value_that_is_written_is_read_as_the_same(name: str, value: Any) -> None:
    assert await call(data=written(name, value), trim_text=False) == {name: value}


@given(NAMES, TEXTS)
async def test_an_attribute_that_is_written_is_read_as_the_same(name: str, text: str) -> None:
    assert await call(data=f"<a {name}={quoteattr(text)}/>") == {"a": {"@attributes": {name: text}}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
PARTS = [
    "<a>",
    "</a>",
    "<b x='1'>",
    "</b>",
    "<c/>",
    "x",
    " ",
    "&lt;",
    "&x;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?p ?>",
]
SOUPS = st.lists(st.sampled_from([*PARTS, '<?xml version="1.0"?>', "<!DOCTYPE a>", "<!DOCTYPE a ["])).map("".join)


@given(
    st.fixed_dictionaries(
        {"data": SOUPS | SOUPS.map(lambda soup: f"<a>{soup}</a>") | st.lists(st.integers(0, 255)) | JSON},
        optional={
            "data_format": st.sampled_from(["auto", "text", "base64"]),
            "encoding": st.just("UTF-8") | JSON,
            "preserve_text": st.booleans() | JSON,
            "include_attributes": st.booleans(),
            "trim_text": st.booleans(),
        },
    )
)
async def test_any_text_gives_json_or_an_agent_error(inputs: dict[str, Any]) -> None:
    try:
        json.dumps(await call(**inputs), allow_nan=False)
    except AgentError as error:
        assert error.code.startswith(("XML_", "INPUT_"))  # noqa: PT017 - both ends are right
