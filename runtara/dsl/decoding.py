"""Decoding: from bytes to a JSON tree of bounded size and depth, in which no key is given twice unnoticed."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from runtara.dsl.diagnostics import Code, Diagnostic, diagnose
from runtara.dsl.paths import child_path
from runtara.dsl.structure import describe
from runtara.limits import SCENARIO_BYTES_MAX, SCENARIO_NESTING_MAX

__all__ = ("Document", "Unreadable", "decode")

Document = bytes | str | Mapping[str, Any]
"""A scenario as it comes from outside: JSON, or what JSON was decoded to."""


class Unreadable(Exception):
    """The document is no JSON object, or too large; ``diagnostic`` says why."""

    def __init__(self, code: Code, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.diagnostic = diagnose(code, "$", message, hint=hint)


def decode(document: Document) -> tuple[dict[str, Any], Iterator[Diagnostic]]:
    """The tree, and the keys that are given twice in it.

    Raises:
        Unreadable: there is no tree.
    """
    objects = _Objects()
    tree = _parsed(_as_text(document), objects)
    if _is_deeper_than(tree, SCENARIO_NESTING_MAX):
        raise _too_deep()
    if not isinstance(tree, dict):
        raise Unreadable(Code.TYPE_WRONG, f"a scenario is an object, not {describe(tree)}")
    return tree, _keys_given_twice(tree, "$") if objects.have_keys_twice else iter(())


def _as_text(document: Document) -> str:
    try:
        if isinstance(document, bytes):
            text = document.decode("utf-8")
        elif isinstance(document, str):
            text = document
        else:
            text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        size = len(text.encode("utf-8"))
    except RecursionError as error:
        raise _too_deep() from error
    except (UnicodeError, TypeError, ValueError) as error:
        raise Unreadable(Code.DOCUMENT_MALFORMED, f"the document is not JSON in UTF-8: {error}") from error
    if size > SCENARIO_BYTES_MAX:
        message = f"the document has {size} bytes, and {SCENARIO_BYTES_MAX} are allowed"
        raise Unreadable(Code.LIMIT_EXCEEDED, message, hint="Divide the scenario.")
    return text


def _parsed(text: str, objects: _Objects) -> Any:
    try:
        tree = json.loads(text, object_pairs_hook=objects.read, parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(tree, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise Unreadable(Code.DOCUMENT_MALFORMED, f"the document is not JSON: {error}") from error
    return tree


class _Object(dict[str, Any]):
    """A JSON object that remembers which keys were given twice."""

    twice: tuple[str, ...] = ()


class _Objects:
    """Makes the objects of one document."""

    have_keys_twice = False

    def read(self, pairs: list[tuple[str, Any]]) -> _Object:
        """An object of these members."""
        made = _Object(pairs)
        if len(made) < len(pairs):
            self.have_keys_twice = True
            counts = Counter(key for key, _ in pairs)
            made.twice = tuple(key for key, count in counts.items() if count > 1)
        return made


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large for a number")
    return number


def _too_deep() -> Unreadable:
    message = f"the document is nested deeper than {SCENARIO_NESTING_MAX} levels"
    return Unreadable(Code.LIMIT_EXCEEDED, message, hint="Divide the value or the condition.")


def _is_deeper_than(tree: Any, levels: int) -> bool:
    layer = [tree]
    for _ in range(levels):
        layer = [child for node in layer for _, child in _members(node)]
    return any(isinstance(node, dict | list) for node in layer)


def _keys_given_twice(tree: Any, path: str) -> Iterator[Diagnostic]:
    if isinstance(tree, _Object):
        for name in tree.twice:
            yield diagnose(Code.KEY_GIVEN_TWICE, child_path(path, name), f"the key {name!r} is given twice")
    for key, value in _members(tree):
        yield from _keys_given_twice(value, child_path(path, key))


def _members(node: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(node, dict):
        return node.items()
    return enumerate(node) if isinstance(node, list) else ()
