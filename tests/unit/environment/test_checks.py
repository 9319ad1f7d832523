import msgspec
import pytest

from runtara.environment.verbs import checks
from runtara.errors import InvalidRequest, LimitExceeded
from runtara.limits import (
    CURSOR_CHARACTERS_MAX,
    EXECUTION_TIMEOUT_S_MAX,
    IMAGE_METADATA_BYTES_MAX,
    NAME_CHARACTERS_MAX,
    PAGE_ROWS_MAX,
    START_ENV_BYTES_MAX,
    TEXT_CHARACTERS_MAX,
)

# What is checked, the largest that passes, one past it.
LIMITS = [
    (checks.check_page, PAGE_ROWS_MAX, PAGE_ROWS_MAX + 1),
    (checks.check_cursor, "x" * CURSOR_CHARACTERS_MAX, "x" * (CURSOR_CHARACTERS_MAX + 1)),
    (checks.check_prefix, "x" * NAME_CHARACTERS_MAX, "x" * (NAME_CHARACTERS_MAX + 1)),
    (checks.check_signal_name, "ü" * NAME_CHARACTERS_MAX, "ü" * (NAME_CHARACTERS_MAX + 1)),
    (checks.check_timeout, EXECUTION_TIMEOUT_S_MAX, EXECUTION_TIMEOUT_S_MAX + 1),
    (lambda text: checks.check_text("reason", text), "x" * TEXT_CHARACTERS_MAX, "x" * (TEXT_CHARACTERS_MAX + 1)),
    (lambda document: checks.check_json("input", document, 10), b'"12345678"', b'"123456789"'),
    (checks.check_metadata, {"k": "x" * (IMAGE_METADATA_BYTES_MAX - 8)}, {"k": "x" * (IMAGE_METADATA_BYTES_MAX - 7)}),
    (checks.check_env, {"K": "x" * (START_ENV_BYTES_MAX - 1)}, {"K": "x" * START_ENV_BYTES_MAX}),
]


@pytest.mark.parametrize(("check", "largest", "too_large"), LIMITS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_limit_holds_and_says_what_it_is(check, largest, too_large):
    assert check(largest) == largest
    with pytest.raises(LimitExceeded) as caught:
        check(too_large)
    assert set(caught.value.attributes) == {"limit", "unit", "maximum", "actual"}
    assert caught.value.attributes["actual"] > caught.value.attributes["maximum"]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_has_a_row_at_least(limit):
    with pytest.raises(InvalidRequest, match="at least 1"):
        checks.check_page(limit)


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("-inf")])
def test_a_timeout_is_a_positive_number(timeout_s):
    with pytest.raises(InvalidRequest):
        checks.check_timeout(timeout_s)


def test_an_infinite_timeout_is_over_the_limit():
    with pytest.raises(LimitExceeded):
        checks.check_timeout(float("inf"))


@pytest.mark.parametrize(
    "document",
    [b"", b"nul", b"{", b'{"a":}', b"{} x", b"NaN", b"{a: 1}", b'"\xff"', b"[" * 100_000 + b"]" * 100_000, b"\x00"],
    ids=repr,
)
def test_what_is_no_json_is_refused(document):
    with pytest.raises(InvalidRequest, match="the input is not JSON"):
        checks.check_json("input", document, 1_000_000)


@pytest.mark.parametrize("document", [b"{}", b" [1, 2] ", b"null", b'"\xc3\xbc"', b"1e3"])
def test_json_is_passed_on_as_it_is(document):
    assert checks.check_json("input", document, 100) is document


@pytest.mark.parametrize(
    "name",
    [
        "RUNTARA_INSTANCE_ID", "RUNTARA_X", "LD_PRELOAD", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "PYTHONSTARTUP",
        "BASH_ENV", "", "1A", "A B", "A=B", "A\0", "Ä", "A" * 100_000 + "=",
    ],
)  # fmt: skip
def test_a_start_cannot_set_who_its_program_is_or_what_it_runs(name):
    with pytest.raises(InvalidRequest):
        checks.check_env({name: "x"})


def test_a_variable_cannot_hold_a_nul():
    with pytest.raises(InvalidRequest):
        checks.check_env({"A": "x\0y"})


def test_a_start_may_set_variables_of_its_own():
    assert checks.check_env({"SHOP_URL": "http://x", "path": "y", "_A1": ""})


@pytest.mark.parametrize("name", ["", "a\nb", "a\0b", "\ud800"])
def test_a_signal_name_is_printable(name):
    with pytest.raises(InvalidRequest):
        checks.check_signal_name(name)


@pytest.mark.parametrize("text", ["a\0b", "\udc00"])
def test_a_text_that_the_database_cannot_hold_is_refused(text):
    with pytest.raises(InvalidRequest, match="cannot be stored"):
        checks.check_text("note", text)
    with pytest.raises(InvalidRequest, match="cannot be stored"):
        checks.check_prefix(text)


def test_unknown_statuses_and_types_are_answered_with_the_known_ones():
    with pytest.raises(InvalidRequest) as caught:
        checks.check_statuses(("running", "sleeping"))
    assert "suspended" in caught.value.hint
    with pytest.raises(InvalidRequest) as caught:
        checks.check_event_types(("custom", "nothing"))
    assert "instance.created" in caught.value.hint


@pytest.mark.parametrize("metadata", [{"k": "a\0b"}, {"k": object()}, {"k": {1, 2}, "a": 1j}])
def test_metadata_is_json_that_the_database_can_hold(metadata):
    with pytest.raises(InvalidRequest):
        checks.check_metadata(metadata)


def test_metadata_that_came_over_the_wire_may_be_nested():
    metadata = {"artifact": {"steps": [1, 2, None], "x": True}}
    assert checks.check_metadata(metadata) == msgspec.json.decode(msgspec.json.encode(metadata))
