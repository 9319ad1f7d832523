"""JSON as text, pointers into it (RFC 6901), and merge patches (RFC 7396)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

from msgspec import Meta

from runtara.agents.builtin.json_values import decode_json, encode_json
from runtara.agents.capability import agent, capability
from runtara.agents.errors import AgentError
from runtara.dsl.paths import MISSING
from runtara.limits import CHECKPOINT_BYTES_MAX

__all__ = ("Json",)

_INDENT_MAX: Final = 10
_POINTER: Final = re.compile("(?:/(?:[^/~]|~[01])*)*")
_INDEX: Final = re.compile("0|[1-9][0-9]{0,17}")
"""No zeros in front (RFC 6901 §4), and no index that an array could not have."""


@agent(id="json", name="JSON")
class Json:
    """Read, write, look into and merge JSON."""

    @capability(side_effects=False)
    def parse(self, text: Annotated[str, Meta(description="JSON.", examples=['{"a": 1}'])]) -> Any:
        """The value of a JSON text. Fails with ``JSON_PARSE_ERROR``."""
        return decode_json(text, code="JSON_PARSE_ERROR")

    @capability(side_effects=False)
    def stringify(
        self,
        value: Annotated[Any, Meta(description="Any value.")],
        indent: Annotated[
            int, Meta(description="Spaces for each level; with 0, all in one line.", ge=0, le=_INDENT_MAX)
        ] = 0,
        sort_keys: Annotated[bool, Meta(description="Keys in order.", extra={"aliases": ("sortKeys",)})] = False,
    ) -> str:
        """The value as JSON. Fails with ``JSON_STRINGIFY_ERROR``, also where the text gets too large to be stored."""
        compact = encode_json(value, code="JSON_STRINGIFY_ERROR", sort_keys=sort_keys)
        return _indented(compact, indent) if indent else compact.decode()

    @capability(side_effects=False)
    def get_by_pointer(
        self,
        value: Annotated[Any, Meta(description="The value to look into.")],
        pointer: Annotated[str, Meta(description="A JSON pointer; empty is the value itself.", examples=["/lines/0"])],
        fail_on_missing: Annotated[bool, Meta(description="Whether a missing value is an error, or null.")] = True,
    ) -> Any:
        """The value that a pointer (RFC 6901) means.

        Fails with ``JSON_POINTER_INVALID``, or ``JSON_POINTER_NOT_FOUND`` when there is nothing.
        """
        if _POINTER.fullmatch(pointer) is None:
            message = "a pointer has a / before each name, and ~0 for ~, ~1 for / in it"
            raise AgentError("JSON_POINTER_INVALID", message, attributes={"pointer": pointer})
        for name in pointer.split("/")[1:]:
            value = _member(value, name.replace("~1", "/").replace("~0", "~"))
        if value is not MISSING:
            return value
        if fail_on_missing:
            raise AgentError("JSON_POINTER_NOT_FOUND", f"there is nothing at {pointer!r}")
        return None

    @capability(side_effects=False)
    def merge(
        self,
        target: Annotated[Any, Meta(description="The value to start from.")],
        patch: Annotated[Any, Meta(description="Fields to set; null removes one.")],
    ) -> Any:
        """The target with a merge patch (RFC 7396) applied: objects field by field, anything else as a whole.

        Fails with ``JSON_MERGE_ERROR`` when the patch is nested too deep.
        """
        try:
            return _merged(target, patch)
        except RecursionError as error:
            raise AgentError("JSON_MERGE_ERROR", "the patch is nested too deep") from error


def _indented(compact: bytes, indent: int) -> str:
    """Piece by piece: the spaces of a deep value are many times its size."""
    encoder = json.JSONEncoder(indent=indent, ensure_ascii=False)
    value = decode_json(compact.decode(), code="JSON_STRINGIFY_ERROR")
    try:
        return "".join(_limited(encoder.iterencode(value)))
    except RecursionError as error:
        raise AgentError("JSON_STRINGIFY_ERROR", "the value is nested too deep to be indented") from error


def _limited(pieces: Iterator[str]) -> Iterator[str]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > CHECKPOINT_BYTES_MAX:
            raise AgentError("JSON_STRINGIFY_ERROR", f"the text has more than {CHECKPOINT_BYTES_MAX} characters")
        yield piece


def _member(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name, MISSING)
    if isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
        return value[int(name)]
    return MISSING


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), change)
    return merged
