"""Bytes out of everything that stands for a file, and codes for everything that does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runtara.agents import AgentError
from runtara.agents.builtin.files import FileData, bytes_of, file_bytes


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("", b""),
        ("aGk=", b"hi"),
        ("aG\r\n k=\n", b"hi"),
        (b"hi", b"hi"),
        ({"content": "aGk="}, b"hi"),
        ({"content": "", "filename": None, "mimeType": "text/plain"}, b""),
        ({"content": "w7w=", "filename": "ü.txt", "size": 2}, "ü".encode()),
        (FileData("aGk="), b"hi"),
        ([], b""),
        ([0, 255, 104], b"\x00\xffh"),
    ],
)
def test_these_stand_for_bytes(value: Any, data: bytes) -> None:
    assert bytes_of(value) == data


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        ("a", "FILE_BASE64_DECODE_ERROR", "base64"),
        ("aGk", "FILE_BASE64_DECODE_ERROR", "base64"),
        ("a-k_", "FILE_BASE64_DECODE_ERROR", "base64"),
        ("aGk=ü", "FILE_BASE64_DECODE_ERROR", "base64"),
        ({"content": "?"}, "FILE_BASE64_DECODE_ERROR", "base64"),
        ({}, "FILE_INVALID_STRUCTURE", "content"),
        ({"content": None}, "FILE_INVALID_STRUCTURE", "content"),
        ({"content": "", "mimeType": 5}, "FILE_INVALID_STRUCTURE", "mimeType"),
        ([1, "2"], "FILE_INVALID_BYTE_ARRAY", "item 1 .* a text"),
        ([True], "FILE_INVALID_BYTE_ARRAY", "item 0 .* a boolean"),
        ([1.0], "FILE_INVALID_BYTE_ARRAY", "item 0 .* a number"),
        ([[1]], "FILE_INVALID_BYTE_ARRAY", "item 0 .* an array"),
        ([0, 256], "FILE_BYTE_OUT_OF_RANGE", "item 1"),
        ([-1], "FILE_BYTE_OUT_OF_RANGE", "item 0"),
        (None, "FILE_INVALID_INPUT_TYPE", "null"),
        (5, "FILE_INVALID_INPUT_TYPE", "number"),
        (True, "FILE_INVALID_INPUT_TYPE", "boolean"),
    ],
)
def test_what_is_no_file_has_a_code(value: Any, code: str, said: str) -> None:
    with pytest.raises(AgentError, match=said) as caught:
        bytes_of(value)
    assert (caught.value.code, caught.value.category) == (code, "permanent")


def test_a_file_has_the_wire_names_and_leaves_out_what_it_does_not_know() -> None:
    assert msgspec.to_builtins(FileData.of(b"hi")) == {"content": "aGk="}
    named = msgspec.to_builtins(FileData.of(b"hi", "a.txt", "text/plain"))
    assert named == {"content": "aGk=", "filename": "a.txt", "mimeType": "text/plain"}
    assert bytes_of(named) == b"hi"


def test_a_format_has_a_code_of_its_own() -> None:
    assert file_bytes("aGk=", prefix="CSV") == b"hi"
    with pytest.raises(AgentError, match="null") as caught:
        file_bytes(None, prefix="CSV")
    assert caught.value.code == "CSV_DECODE_ERROR"
    assert caught.value.attributes == {"reason": "FILE_INVALID_INPUT_TYPE"}
