"""Files as values: the shape ``{content, filename?, mimeType?}``, and bytes out of whatever stands for them.

Source: dsl.md §12.7. Content is base64, because JSON has no bytes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from runtara.agents.errors import AgentError

__all__ = ("FileData", "bytes_of", "file_bytes")


class FileData(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file."""

    content: Annotated[str, Meta(description="The bytes, in base64.")]
    filename: Annotated[str | None, Meta(description="Without folders.")] = None
    mime_type: Annotated[str | None, Meta(description="What it is: text/csv.")] = field(name="mimeType", default=None)

    @classmethod
    def of(cls, data: bytes, filename: str | None = None, mime_type: str | None = None) -> FileData:
        """A file with these bytes."""
        return cls(base64.b64encode(data).decode(), filename, mime_type)


def bytes_of(value: Any) -> bytes:
    """The bytes of a base64 text, a ``FileData`` or an object like it, or a list of numbers from 0 to 255.

    Line breaks and blanks in base64 are passed over. Other fields of an object are not looked at.

    Raises:
        AgentError: ``FILE_BASE64_DECODE_ERROR``, ``FILE_INVALID_STRUCTURE`` (an object without content),
            ``FILE_INVALID_BYTE_ARRAY``, ``FILE_BYTE_OUT_OF_RANGE``, ``FILE_INVALID_INPUT_TYPE``.
    """
    match value:
        case bytes():
            return value
        case str():
            return _decoded(value)
        case FileData():
            return _decoded(value.content)
        case dict():
            return _decoded(_file_of(value).content)
        case list():
            return _joined(value)
        case _:
            raise AgentError("FILE_INVALID_INPUT_TYPE", f"a file cannot be made of {_kind(value)}")


def file_bytes(value: Any, *, prefix: str) -> bytes:
    """``bytes_of``, for a format with an error code of its own.

    Raises:
        AgentError: with the code ``<prefix>_DECODE_ERROR``, the reason as its message, and its code as an attribute.
    """
    try:
        return bytes_of(value)
    except AgentError as error:
        raise AgentError(f"{prefix}_DECODE_ERROR", error.message, attributes={"reason": error.code}) from None


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise AgentError("FILE_BASE64_DECODE_ERROR", f"the content is not base64: {error}") from None


def _file_of(value: dict[str, Any]) -> FileData:
    try:
        return msgspec.convert(value, FileData)
    except msgspec.ValidationError as error:
        raise AgentError("FILE_INVALID_STRUCTURE", f"the object is no file: {error}") from None


def _joined(values: Iterable[Any]) -> bytes:
    numbers = list(values)
    for position, number in enumerate(numbers):
        if not isinstance(number, int) or isinstance(number, bool):
            message = f"item {position} of the byte array is {_kind(number)}, not a whole number"
            raise AgentError("FILE_INVALID_BYTE_ARRAY", message)
        if not 0 <= number <= 255:
            raise AgentError("FILE_BYTE_OUT_OF_RANGE", f"item {position} of the byte array is not from 0 to 255")
    return bytes(numbers)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a text"
        case list():
            return "an array"
        case dict():
            return "an object"
        case _:
            return "a number"
