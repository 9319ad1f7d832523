"""``text``: tables of inputs and outputs, limits, and any JSON at all."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from runtara.agents import AgentError, CallContext, registry
from runtara.agents.builtin.text_shapes import distance, wrap
from runtara.limits import OUTPUT_BYTES_MAX
from runtara.testing.clock import ManualClock
from tests.unit.agents.fuzzing import assert_explained, fuzz, ids_of
from tests.unit.agents.test_capability import new_context

IDS = ids_of("text")


async def call(capability_id: str, inputs: dict[str, Any], context: CallContext | None = None) -> Any:
    found = registry().find_capability("text", capability_id)
    assert found is not None
    return msgspec.to_builtins(await found.call(inputs, context or new_context()))


async def code_of(capability_id: str, inputs: dict[str, Any], context: CallContext | None = None) -> str:
    with pytest.raises(AgentError) as raised:
        await call(capability_id, inputs, context)
    assert raised.value.category == "permanent"
    return raised.value.code


def rows(capability_id: str, *table: tuple[dict[str, Any], Any]) -> list[tuple[str, dict[str, Any], Any]]:
    return [(capability_id, inputs, output) for inputs, output in table]


CHANGED = [
    *rows(
        "render-template",
        ({"text": "Dear {{ name }},", "context": {"name": "Ann"}}, "Dear Ann,"),
        ({"text": ""}, ""),
        ({"text": "grüße 😀", "context": None}, "grüße 😀"),
        ({"text": "{% for x in l %}{{ x }};{% endfor %}", "context": {"l": [1, True, None]}}, "1;true;none;"),
        ({"text": "{{ a.b }}", "context": {"a": {"b": {"c": 1}}}}, '{"c": 1}'),
        ({"text": 5}, "5"),
    ),
    *rows(
        "trim-normalize",
        ({}, ""),
        ({"text": None}, ""),
        ({"text": " \n\t "}, ""),
        ({"text": "  a \r\n b\u00a0ü "}, "a b ü"),
        ({"text": 12}, "12"),
    ),
    *rows(
        "case-conversion",
        ({}, ""),
        ({"text": "ÄB c"}, "äb c"),
        ({"text": "straße", "format": "uppercase"}, "STRASSE"),
        ({"text": "  hELLO   élan d'or ", "format": "title-case"}, "Hello Élan D'or"),
        ({"text": None, "format": "title-case"}, ""),
    ),
    *rows(
        "find-replace",
        ({}, ""),
        ({"text": "a.b.c", "pattern": ".", "replacement": ""}, "abc"),
        ({"text": "aaa", "pattern": "aa", "replacement": "ü"}, "üa"),
        ({"text": "abc", "pattern": "b"}, "abc"),
        ({"text": "abc", "replacement": "b"}, "abc"),
        ({"text": "abc", "pattern": "", "replacement": "x"}, "abc"),
    ),
    *rows(
        "remove-characters",
        ({}, ""),
        ({"text": "+49 (30) 123-45", "pattern": "()- "}, "+493012345"),
        ({"text": "abc"}, "abc"),
        ({"text": "ünï😀", "pattern": "ï😀"}, "ün"),
        ({"text": "[a^]", "pattern": "^]["}, "a"),
    ),
    *rows(
        "slugify",
        ({}, ""),
        ({"text": "  Crème Brûlée &  Söhne "}, "creme-brulee-sohne"),
        ({"text": "Straße Æon Øre"}, "strasse-aeon-ore"),
        ({"text": "--a__b -- c--"}, "ab-c"),
        ({"text": "日本 2026"}, "2026"),
    ),
    *rows(
        "hash-text",
        ({}, ""),
        ({"text": None}, ""),
        ({"text": "abc"}, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ({"text": "ü"}, "607474ca475a9724d7360aba71a56d5df77e61350e3f724cfa1f46e857e2d85f"),
        ({"text": " "}, "36a9e7f1c95b82ffb99743e0c5c4ce95d83c9a430aac59f84ef3cbfab6145068"),
    ),
]

CUT = [
    *rows(
        "extract-first-line",
        ({}, ""),
        ({"text": "one"}, "one"),
        ({"text": "ä\r\nb"}, "ä"),
        ({"text": "\nb"}, ""),
        ({"text": "a\u2028b\nc"}, "a\u2028b"),
    ),
    *rows(
        "extract-first-word",
        ({}, ""),
        ({"text": "  äh ja"}, "äh"),
        ({"text": " \n "}, ""),
        ({"text": "one"}, "one"),
        ({"text": "a,b c"}, "a,b"),
    ),
    *rows(
        "split",
        ({}, []),
        ({"text": "a, b,,ü"}, ["a", " b", "", "ü"]),
        ({"text": "a--b", "delimiter": "--"}, ["a", "b"]),
        ({"text": "äb", "delimiter": ""}, ["ä", "b"]),
        ({"text": "abc", "delimiter": "x"}, ["abc"]),
        ({"text": None}, []),
    ),
    *rows(
        "split-join",
        ({}, ""),
        ({"text": "a , b,ü"}, "a b ü"),
        ({"text": "a;b", "delimiter": ";", "join_delimiter": " – "}, "a – b"),
        ({"text": "ab", "delimiter": "", "join_delimiter": "-"}, "a-b"),
        ({"text": ",", "join_delimiter": "+"}, "+"),
    ),
    *rows(
        "collapse-expand-lines",
        ({}, ""),
        ({"text": " a\r\n b \nc\n"}, "a b c"),
        ({"text": "a; ü ;c", "delimiter": ";"}, "a\nü\nc"),
        ({"text": "a", "delimiter": ""}, "a"),
        ({"text": "", "delimiter": ";"}, ""),
    ),
    *rows(
        "substring-extraction",
        ({}, ""),
        ({"text": "a [ü] [c]", "start_delimiter": "[", "end_delimiter": "]"}, "ü"),
        ({"text": "a]b[c", "start_delimiter": "[", "end_delimiter": "]"}, ""),
        ({"text": "abc", "start_delimiter": "[", "end_delimiter": "]"}, ""),
        ({"text": "abc", "start_delimiter": "a"}, "abc"),
        ({"text": "abc", "end_delimiter": "c"}, "abc"),
        ({"text": "|a|", "start_delimiter": "|", "end_delimiter": "|"}, "a"),
        ({"text": "abc", "start_delimiter": "", "end_delimiter": "c"}, "ab"),
    ),
    *rows(
        "pad-text",
        ({}, ""),
        ({"length": 3}, ""),
        ({"text": "ü", "length": 3}, "ü  "),
        ({"text": "7", "length": "3", "pad_char": "0", "direction": "left"}, "007"),
        ({"text": "ab", "length": 5, "pad_char": "*-", "direction": "both"}, "*ab**"),
        ({"text": "abc", "length": 2}, "abc"),
        ({"text": "abc"}, "abc"),
        ({"text": "a", "length": 2, "pad_char": ""}, "a "),
    ),
    *rows(
        "truncate-text",
        ({}, ""),
        ({"text": "abcdef"}, "abcdef"),
        ({"text": "äöüß", "max_length": 4, "suffix": "…"}, "äöüß"),
        ({"text": "äöüß!", "max_length": 4, "suffix": "…"}, "äöü…"),
        ({"text": "abcdef", "max_length": 2, "suffix": "..."}, ".."),
        ({"text": "abcdef", "max_length": 0}, ""),
        ({"text": "one two three", "max_length": 9, "word_boundary": True}, "one two"),
        ({"text": "one two three", "max_length": 7, "word_boundary": True}, "one two"),
        ({"text": "one two three", "max_length": 8, "word_boundary": True}, "one two"),
        ({"text": "onetwothree", "max_length": 5, "word_boundary": True}, "onetw"),
    ),
    *rows(
        "wrap-text",
        ({}, ""),
        ({"text": "one two three", "width": 7}, "one two\nthree"),
        ({"text": "äöüäöü ab", "width": 4}, "äöüä\nöü\nab"),
        ({"text": "a  b\n\nc", "width": 10}, "a b\n\nc"),
        ({"text": "a\nb c", "width": 10, "preserve_newlines": False}, "a b c"),
        ({"text": "abc", "width": 1}, "a\nb\nc"),
    ),
]

FOUND = [
    *rows(
        "extract-numbers",
        ({}, []),
        ({"text": "3 for 4.50, v1.2.3"}, [3, 4.5, 1.2, 3]),
        ({"text": "3.5", "include_decimals": False}, [3, 5]),
        ({"text": "-5 and 7-3, a-1", "include_negative": True}, [-5, 7, 3, 1]),
        ({"text": "-5"}, [5]),
        ({"text": "ü٣"}, []),
        ({"text": "123456789012345678 1234567890123456789"}, [123456789012345678, 1234567890123456789.0]),
    ),
    *rows(
        "extract-emails",
        ({}, []),
        ({"text": "Ann <ann.b+c@mail.example.com>, bob@x.io."}, ["ann.b+c@mail.example.com", "bob@x.io"]),
        ({"text": "@ a@b a@b.c"}, []),
        ({"text": "ü@x.de äa@x.de"}, ["a@x.de"]),
        ({"text": None}, []),
    ),
    *rows(
        "extract-urls",
        ({}, []),
        ({"text": "See https://a.de/x?y=1#z, or (http://b.de)."}, ["https://a.de/x?y=1#z", "http://b.de"]),
        ({"text": "ftp://f.de/a_(b) mailto:a@b.de"}, ["ftp://f.de/a_(b)"]),
        ({"text": '<a href="HTTPS://c.de/ü">'}, ["HTTPS://c.de/ü"]),
        ({"text": "https:// http://..."}, []),
    ),
    *rows(
        "compare-text",
        ({}, True),
        ({"text_a": "a", "text_b": "A"}, False),
        ({"text_a": "Straße", "text_b": "STRASSE", "mode": "case-insensitive"}, True),
        ({"text_a": "kitten", "text_b": "sitting", "mode": "levenshtein-distance"}, 3),
        ({"text_a": None, "text_b": "ü😀", "mode": "levenshtein-distance"}, 2),
        ({"text_a": "abc", "text_b": "bc", "mode": "contains"}, True),
        ({"text_a": "bc", "text_b": "abc", "mode": "contains"}, False),
        ({"text_a": "bc", "mode": "contains"}, True),
    ),
    *rows(
        "count-occurrences",
        ({}, 0),
        ({"text": "aaa", "pattern": "aa"}, 1),
        ({"text": "abc", "pattern": ""}, 0),
        ({"text": "abc", "pattern": None}, 0),
        ({"text": "ÄbäB.", "pattern": "äb", "case_insensitive": True}, 2),
        ({"text": "a.b", "pattern": "."}, 1),
        ({"text": "a.b", "pattern": ".", "use_regex": True}, 3),
        ({"text": "aAa", "pattern": "A+", "use_regex": True, "case_insensitive": True}, 1),
    ),
]

MATCHED = [
    *rows(
        "regex-replace",
        ({"pattern": "a"}, ""),
        ({"text": "a1b22", "pattern": "[0-9]+"}, "ab"),
        ({"text": "a1b22", "pattern": "[0-9]+", "replacement": "#", "global": False}, "a#b22"),
        ({"text": "Ann Bee", "pattern": r"(\w+) (?P<last>\w+)", "replacement": "${last}_$1, $last"}, "Bee_Ann, Bee"),
        ({"text": "5", "pattern": r"\d", "replacement": "$$$0 \\1"}, "$5 \\1"),
        ({"text": "ÄB", "pattern": "ä", "replacement": "ö", "case_insensitive": True}, "öB"),
        ({"text": "aüc", "pattern": "x*", "replacement": "-"}, "-a-ü-c-"),
        ({"text": "ab", "pattern": "(a)|(b)", "replacement": "[$1$2]"}, "[a][b]"),
    ),
    *rows(
        "regex-match",
        ({"pattern": "a"}, None),
        ({"pattern": "a", "all_matches": True}, []),
        ({"text": "äb12", "pattern": "[0-9]"}, "1"),
        ({"text": "ab12", "pattern": "[0-9]", "all_matches": True}, ["1", "2"]),
        ({"text": "x=ü;y=2", "pattern": r"(\w)=(\S)", "capture_group": 2}, "ü"),
        ({"text": "ab", "pattern": "(a)|b", "capture_group": 1, "all_matches": True}, ["a"]),
        ({"text": "b", "pattern": "(a)|b", "capture_group": 1}, None),
        ({"text": "B", "pattern": "b", "case_insensitive": True}, "B"),
        ({"text": "b", "pattern": "x"}, None),
    ),
    *rows(
        "regex-test",
        ({"pattern": "a"}, False),
        ({"pattern": "^$"}, True),
        ({"text": "Äb", "pattern": "^ä", "case_insensitive": True}, True),
        ({"text": "ab", "pattern": "b$"}, True),
        ({"text": "ab", "pattern": "^b"}, False),
    ),
    *rows(
        "regex-split",
        ({"pattern": ","}, []),
        ({"text": "a, ü;c", "pattern": r"[,;]\s*"}, ["a", "ü", "c"]),
        ({"text": "a,b,c", "pattern": ",", "limit": 2}, ["a", "b,c"]),
        ({"text": "a,b,c", "pattern": ",", "limit": 1}, ["a,b,c"]),
        ({"text": "a1b", "pattern": r"(\d)"}, ["a", "b"]),
        ({"text": "abc", "pattern": "x"}, ["abc"]),
    ),
]

ENCODED = [
    *rows(
        "as-byte-array",
        ({}, []),
        ({"text": "aü"}, [97, 195, 188]),
        ({"text": "aü", "encoding": "latin1"}, [97, 252]),
        ({"text": "€", "encoding": "windows-1252"}, [128]),
        ({"text": 7}, [55]),
    ),
    *rows(
        "from-base64",
        ({"data": ""}, ""),
        ({"data": "w7w="}, "ü"),
        ({"data": "/A==", "encoding": "ISO-8859-1"}, "ü"),
        ({"data": "/A==", "encoding": "AUTO"}, "ü"),
        ({"data": "w7w=", "encoding": "auto"}, "ü"),
        ({"data": {"content": "aGk=", "mimeType": "text/plain"}}, "hi"),
        ({"data": [104, 105]}, "hi"),
    ),
    *rows(
        "to-base64",
        ({"data": ""}, {"content": ""}),
        ({"data": "ü"}, {"content": "w7w="}),
        (
            {"data": "hi", "filename": "a.txt", "mimeType": "text/plain"},
            {"content": "aGk=", "filename": "a.txt", "mimeType": "text/plain"},
        ),
        ({"data": [104, 105], "mime_type": "x/y"}, {"content": "aGk=", "mimeType": "x/y"}),
        (
            {"data": {"content": "aGk=", "filename": "a", "mimeType": "x/y"}, "filename": "b"},
            {"content": "aGk=", "filename": "b", "mimeType": "x/y"},
        ),
    ),
]

TABLE = [*CHANGED, *CUT, *FOUND, *MATCHED, *ENCODED]


@pytest.mark.parametrize(("capability_id", "inputs", "output"), TABLE)
async def test_the_table(capability_id: str, inputs: dict[str, Any], output: Any) -> None:
    found = await call(capability_id, inputs)
    assert (type(found), found) == (type(output), output)


def test_every_capability_has_at_least_five_rows() -> None:
    counted = {capability_id: sum(row[0] == capability_id for row in TABLE) for capability_id in IDS}
    assert {capability_id: rows for capability_id, rows in counted.items() if rows < 5} == {}


@pytest.mark.parametrize(
    ("capability_id", "inputs", "code"),
    [
        ("render-template", {}, "TEXT_TEMPLATE_MISSING"),
        ("render-template", {"text": None}, "TEXT_TEMPLATE_MISSING"),
        ("render-template", {"text": "{{ broken"}, "TEXT_TEMPLATE_PARSE_ERROR"),
        ("render-template", {"text": "{{ a.b }}", "context": {"a": {}}}, "TEXT_TEMPLATE_RENDER_ERROR"),
        ("render-template", {"text": "x", "context": [1]}, "TEXT_TEMPLATE_RENDER_ERROR"),
        ("case-conversion", {"format": "Title"}, "INPUT_DESERIALIZATION_ERROR"),
        ("pad-text", {"text": "a", "length": -1}, "INPUT_DESERIALIZATION_ERROR"),
        ("wrap-text", {"text": "a", "width": 0}, "INPUT_DESERIALIZATION_ERROR"),
        ("compare-text", {"mode": "fuzzy"}, "INPUT_DESERIALIZATION_ERROR"),
        ("split", {"text": [1]}, "INPUT_DESERIALIZATION_ERROR"),
        ("extract-numbers", {"text": "9" * 301}, "TEXT_NUMBER_OUT_OF_RANGE"),
        ("regex-replace", {}, "INPUT_DESERIALIZATION_ERROR"),
        ("regex-replace", {"text": "a", "pattern": "("}, "TEXT_INVALID_REGEX"),
        ("regex-replace", {"pattern": "("}, "TEXT_INVALID_REGEX"),
        ("regex-replace", {"text": "a", "pattern": "(a)", "replacement": "$2"}, "TEXT_INVALID_REGEX"),
        ("regex-replace", {"text": "a", "pattern": "(a)", "replacement": "${b}"}, "TEXT_INVALID_REGEX"),
        ("regex-replace", {"text": "a", "pattern": "(a)", "replacement": "$" + "9" * 5000}, "TEXT_INVALID_REGEX"),
        ("regex-match", {"text": "a", "pattern": "(?=a)"}, "TEXT_INVALID_REGEX"),
        ("regex-match", {"text": "a", "pattern": "a", "capture_group": 1}, "TEXT_INVALID_REGEX"),
        ("regex-test", {"text": "aa", "pattern": r"(a)\1"}, "TEXT_INVALID_REGEX"),
        ("regex-test", {"text": "a", "pattern": "(((a{99}){99}){99})"}, "TEXT_INVALID_REGEX"),
        ("regex-split", {"text": "a", "pattern": "["}, "TEXT_INVALID_REGEX"),
        ("count-occurrences", {"pattern": "*", "use_regex": True}, "TEXT_INVALID_REGEX"),
        ("as-byte-array", {"text": "a", "encoding": "klingon"}, "TEXT_UNSUPPORTED_ENCODING"),
        ("as-byte-array", {"text": "日", "encoding": "latin1"}, "TEXT_ENCODE_ERROR"),
        ("from-base64", {"data": "/A=="}, "TEXT_UTF8_DECODE_ERROR"),
        ("from-base64", {"data": "AA==", "encoding": "utf-16"}, "TEXT_DECODE_ERROR"),
        ("from-base64", {"data": "aGk=", "encoding": ""}, "TEXT_UNSUPPORTED_ENCODING"),
        ("from-base64", {"data": "?"}, "FILE_BASE64_DECODE_ERROR"),
        ("from-base64", {"data": {"name": "a"}}, "FILE_INVALID_STRUCTURE"),
        ("from-base64", {"data": None}, "FILE_INVALID_INPUT_TYPE"),
        ("to-base64", {"data": {}}, "TEXT_INVALID_FILE_DATA"),
        ("to-base64", {"data": {"content": "?"}}, "TEXT_INVALID_FILE_DATA"),
        ("to-base64", {"data": ["a"]}, "TEXT_INVALID_BYTE_ARRAY"),
        ("to-base64", {"data": [256]}, "TEXT_BYTE_OUT_OF_RANGE"),
        ("to-base64", {"data": 5}, "TEXT_INVALID_INPUT_TYPE"),
    ],
)
async def test_what_cannot_be_done_has_a_code(capability_id: str, inputs: dict[str, Any], code: str) -> None:
    assert await code_of(capability_id, inputs) == code


@pytest.mark.parametrize(
    ("capability_id", "inputs"),
    [
        ("find-replace", {"text": "a" * 5000, "pattern": "a", "replacement": "b" * 5000}),
        ("regex-replace", {"text": "a" * 5000, "pattern": "a", "replacement": "b" * 5000}),
        ("split-join", {"text": "," * 5000, "join_delimiter": "b" * 5000}),
        ("pad-text", {"text": "a", "length": OUTPUT_BYTES_MAX + 1}),
        ("pad-text", {"text": "a", "length": 10**30}),
        ("as-byte-array", {"text": "a" * (OUTPUT_BYTES_MAX // 4 + 1)}),
    ],
)
async def test_a_text_that_no_output_could_hold_is_not_made(capability_id: str, inputs: dict[str, Any]) -> None:
    assert await code_of(capability_id, inputs) == "TEXT_OUTPUT_TOO_LARGE"


async def test_texts_that_are_too_long_are_not_compared() -> None:
    inputs = {"text_a": "a" * 50_000, "text_b": "b", "mode": "levenshtein-distance"}
    assert await call("compare-text", inputs) == 50_000
    assert await code_of("compare-text", inputs | {"text_a": "a" * 50_001}) == "TEXT_TOO_LONG"


@pytest.mark.parametrize("capability_id", ["regex-replace", "regex-match", "regex-split", "count-occurrences"])
async def test_a_pattern_that_is_looked_for_too_long_is_given_up(capability_id: str) -> None:
    inputs: dict[str, Any] = {"text": "a" * 10, "pattern": "a"}
    inputs |= {"regex-match": {"all_matches": True}, "count-occurrences": {"use_regex": True}}.get(capability_id, {})
    slow = replace(new_context(), clock=_SlowClock())
    assert await code_of(capability_id, inputs, slow) == "TEXT_REGEX_TOO_SLOW"
    await call(capability_id, inputs | {"text": "a" * 5}, slow)


class _SlowClock(ManualClock):
    """A second passes between two looks."""

    def __init__(self) -> None:
        super().__init__()
        self._looks = count()

    def monotonic(self) -> float:
        return float(next(self._looks))


@pytest.mark.parametrize(
    ("capability_id", "inputs"),
    [
        ("regex-test", {"pattern": "(a*)*b", "text": "a" * 200_000}),
        ("regex-test", {"pattern": "(a|aa)+$", "text": "a" * 200_000 + "b"}),
        ("extract-emails", {"text": "a" * 200_000}),
        ("extract-emails", {"text": "a@" * 100_000}),
        ("extract-emails", {"text": "a@" + "a." * 100_000}),
        ("extract-urls", {"text": "http://" * 30_000}),
        ("extract-urls", {"text": "http://a" + ")" * 30_000}),
        ("extract-numbers", {"text": "1." * 100_000}),
        ("slugify", {"text": "- " * 100_000}),
        ("trim-normalize", {"text": " " * 200_000}),
        ("truncate-text", {"text": "a " * 100_000, "max_length": 150_000, "word_boundary": True}),
        ("wrap-text", {"text": "a" * 200_000, "width": 1}),
        ("compare-text", {"text_a": "ab" * 25_000, "text_b": "ba" * 25_000, "mode": "levenshtein-distance"}),
    ],
)
async def test_time_grows_with_the_text_only(capability_id: str, inputs: dict[str, Any]) -> None:
    began = time.process_time()
    await call(capability_id, inputs)
    assert time.process_time() - began < 5


texts = st.text("abcü ", max_size=12)


@given(texts, texts)
def test_the_distance_is_that_of_the_table(one: str, other: str) -> None:
    row = list(range(len(other) + 1))
    for position, left in enumerate(one, 1):
        before, row[0] = row[0], position
        for column, right in enumerate(other, 1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (left != right))
    assert distance(one, other) == row[-1]


@given(st.text("ab \n", max_size=40), st.integers(1, 9), st.booleans())
def test_wrapping_keeps_all_but_the_spaces(text: str, width: int, newlines: bool) -> None:
    wrapped = wrap(text, width, preserve_newlines=newlines)
    assert "".join(wrapped.split()) == "".join(text.split())
    assert all(len(line) <= width for line in wrapped.split("\n"))


def test_engines_are_loaded_by_the_first_who_needs_them() -> None:
    code = "import sys, runtara.agents.builtin.text; assert not {'jinja2', 're2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


PATTERNS = st.sampled_from(["", "a", "(a)|b", "[", "x*", r"\w+", "(?i)A", "(?P<n>.)", r"\1"])
FIELDS: dict[str, dict[str, SearchStrategy[Any]]] = {
    "from-base64": {"data": st.sampled_from(["", "w7w=", "/A==", "a"]) | st.lists(st.integers(-1, 256), max_size=5)},
    "regex-match": {"pattern": PATTERNS},
    "regex-replace": {"pattern": PATTERNS, "replacement": st.sampled_from(["$1", "$$", "-", "${n}"])},
    "regex-split": {"pattern": PATTERNS},
    "regex-test": {"pattern": PATTERNS},
    "render-template": {"text": st.sampled_from(["{{ a }}", "{{ a.b }}", "{%", "{{ a | join }}", "{{ a + b }}"])},
}


@pytest.mark.parametrize("capability_id", IDS)
def test_any_json_gives_a_result_or_an_error(capability_id: str) -> None:
    fuzz(f"text/{capability_id}", FIELDS.get(capability_id))


@pytest.mark.parametrize("capability_id", IDS)
def test_every_input_is_explained(capability_id: str) -> None:
    assert_explained(f"text/{capability_id}")
