from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara.dsl.paths import MISSING, PathMalformed, PathMismatch, child_path, format_path, resolve, tokenize

DATA = {"a": {"b": [{"c": 10}, {"c": 20}]}, "k-1": 5, "x y": 6, "": 7, "a.b": 8, "n": None}


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("data", ("data",)),
        ("data.a.b[1].c", ("data", "a", "b", "1", "c")),
        ("data.a.b.0.c", ("data", "a", "b", "0", "c")),
        ("data['k-1']", ("data", "k-1")),
        ('data["x y"]', ("data", "x y")),
        ("data['a.b']", ("data", "a.b")),
        ("data['']", ("data", "")),
        ("data[ 0 ]", ("data", "0")),
        ("data[-1][0]", ("data", "-1", "0")),
        ("data['it\"s']", ("data", 'it"s')),
    ],
)
def test_a_path_is_cut_at_dots_and_brackets(path: str, segments: tuple[str, ...]) -> None:
    assert tokenize(path) == segments


@pytest.mark.parametrize(
    "path",
    ["", ".", "data.", ".data", "data..x", "data[", "data[]", "data[0", "data['x]", "data[0]x", "data]", "data['x'y]"],
)
def test_a_malformed_path_is_refused(path: str) -> None:
    with pytest.raises(PathMalformed):
        tokenize(path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b[1].c", 20),
        ("a.b.0.c", 10),
        ("a.b[-1].c", 20),
        ("['k-1']", 5),
        ("['']", 7),
        ("['a.b']", 8),
        ("a.b", DATA["a"]["b"]),  # type: ignore[index]
        ("n", None),
        ("a.b[2].c", MISSING),
        ("a.b[-3]", MISSING),
        ("a.b[99999999999999999999999999]", MISSING),
        ("a.missing.deep", MISSING),
        ("k-1.x", MISSING),
        ("n.x", MISSING),
    ],
)
def test_a_path_leads_to_a_value_or_to_nothing(path: str, value: object) -> None:
    assert resolve(DATA, tokenize(path)) == value


def test_a_name_that_is_asked_of_an_array_is_not_taken_for_a_missing_value() -> None:
    with pytest.raises(PathMismatch, match="'c' is asked of an array of 2"):
        resolve(DATA, ("a", "b", "c"))


keys = st.text().filter(lambda text: not ("'" in text and '"' in text))


@given(st.lists(keys, min_size=1, max_size=5))
def test_a_formatted_path_is_cut_into_the_same_segments(segments: list[str]) -> None:
    assert tokenize(format_path(segments)) == tuple(segments)


@given(st.text())
def test_any_text_is_a_path_or_malformed(text: str) -> None:
    with suppress(PathMalformed):
        assert tokenize(text)


def test_document_paths_quote_what_is_no_plain_name() -> None:
    assert child_path("$.steps", "fetch-1") == "$.steps.fetch-1"
    assert child_path("$.steps", "a b") == '$.steps["a b"]'
    assert child_path("$", 3) == "$[3]"
