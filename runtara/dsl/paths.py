"""Paths: the one tokenizer and the one look-up, shared by the validator, the compiler and the run time.

Two kinds are here. A *reference path* is what an author writes into a mapping (``data.items[0]['unit price']``); it is
cut into segments once, when the scenario is compiled. A *document path* (``$.steps.fetch.inputMapping.url``) is where a
diagnostic points to.

Segments are strings; whether ``0`` is an index or a key is decided by the value it meets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

__all__ = ("MISSING", "PathMalformed", "PathMismatch", "child_path", "format_path", "resolve", "tokenize")


class _Missing:
    """The type of ``MISSING``."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What ``resolve`` found when there is nothing at the end of a path. It is not null."""


class PathMalformed(ValueError):
    """The text is not a path; the message says what is wrong with it."""


class PathMismatch(LookupError):
    """The path names a field of an array: nothing can be meant by that, so it is not taken for a missing value."""


_BARE = re.compile(r"[^.\[\]]+")
_BRACKET = re.compile(r"""\[(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|\s*(?P<bare>[^\]'"]*?)\s*)\]""")
_INDEX = re.compile(r"-?[0-9]+\Z")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


def tokenize(path: str) -> tuple[str, ...]:
    """The segments of a reference path: ``a.b[0]['c d']`` is ``("a", "b", "0", "c d")``.

    Raises:
        PathMalformed: a part is empty, a bracket or a quote is not closed, or a dot is missing or too many.
    """
    segments: list[str] = []
    position = 0
    while position < len(path) or not segments:
        segment, position = _next_segment(path, position, first=not segments)
        segments.append(segment)
    return tuple(segments)


def _next_segment(path: str, position: int, *, first: bool) -> tuple[str, int]:
    if path[position : position + 1] == "[":
        return _bracketed(path, position)
    if not first:
        if path[position] != ".":
            raise PathMalformed(f"a dot is missing after the bracket at position {position}")
        position += 1
    match = _BARE.match(path, position)
    if match is None:
        raise PathMalformed(f"a part is empty at position {position}")
    return match.group(), match.end()


def _bracketed(path: str, position: int) -> tuple[str, int]:
    match = _BRACKET.match(path, position)
    if match is None:
        raise PathMalformed(f"the bracket at position {position} is not closed")
    if match["bare"] == "":
        raise PathMalformed(f"the bracket at position {position} is empty")
    kind = match.lastgroup
    assert kind is not None
    return match[kind], match.end()


def resolve(value: Any, segments: Iterable[str]) -> Any:
    """The value at the end of the path, or ``MISSING``.

    An index may be negative and counts from the end then. A scalar on the way, an absent key and an index out of
    range are missing values.

    Raises:
        PathMismatch: a segment that is no index met an array.
    """
    for segment in segments:
        if isinstance(value, dict):
            value = value.get(segment, MISSING)
        elif isinstance(value, list):
            value = _item(value, segment)
        else:
            return MISSING
        if value is MISSING:
            return MISSING
    return value


def _item(items: list[Any], segment: str) -> Any:
    if _INDEX.match(segment) is None:
        raise PathMismatch(f"{segment!r} is asked of an array of {len(items)}")
    index = int(segment) if len(segment) < 20 else len(items)
    return items[index] if -len(items) <= index < len(items) else MISSING


def format_path(segments: Sequence[str]) -> str:
    """A reference path that ``tokenize`` cuts into these segments again, for messages."""
    return "".join(
        ("." if position else "") + segment if _is_plain(segment) else f"[{_quoted(segment)}]"
        for position, segment in enumerate(segments)
    )


def _is_plain(segment: str) -> bool:
    return _BARE.fullmatch(segment) is not None and segment == segment.strip()


def _quoted(segment: str) -> str:
    return f'"{segment}"' if "'" in segment else f"'{segment}'"


def child_path(path: str, key: str | int) -> str:
    """The document path of a member: ``$.steps`` and ``fetch`` give ``$.steps.fetch``."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if _PLAIN_KEY.match(key) else f"{path}[{json.dumps(key, ensure_ascii=False)}]"
