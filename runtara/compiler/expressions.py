"""Python expressions as values, and how they are laid out: on one line if they fit, else one part to a line.

Every part may carry the document path that it was made from; the layout keeps it with each line, for the source map.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

__all__ = (
    "WIDTH",
    "Atom",
    "Expression",
    "Group",
    "Line",
    "call",
    "layout",
    "literal",
    "mapping",
    "negation",
    "text_literal",
)

WIDTH: Final = 120

Line: TypeAlias = tuple[str, str | None]
"""Text, and the document path that it stands for."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A piece of code that is never divided."""

    code: str
    path: str | None = None

    @property
    def flat(self) -> str:
        """On one line."""
        return self.code


@dataclass(frozen=True, slots=True)
class Group:
    """Parts between an opening and a closing: a call, a literal, a chain of ``and``."""

    opening: str
    parts: tuple[tuple[str, Expression], ...]
    """Each with what stands in front of it: ``"key": ``."""
    closing: str
    separator: str = ","
    path: str | None = None
    is_open: bool = False
    """Always one part to a line, so that each has a line of its own in the source map."""

    @property
    def flat(self) -> str:
        """On one line."""
        space = " " if self.separator == "," else ""
        inner = (self.separator + space).join(label + part.flat for label, part in self.parts)
        return self.opening + inner + self.closing

    @property
    def must_open(self) -> bool:
        """Whether it or a part of it has to be laid out over several lines."""
        return bool(self.parts) and (self.is_open or any(isinstance(p, Group) and p.must_open for _, p in self.parts))


Expression: TypeAlias = Atom | Group


def layout(
    expression: Expression, *, prefix: str = "", suffix: str = "", indent: int = 0, path: str | None = None
) -> list[Line]:
    """The lines of an expression, with what stands before and behind it; each part's path, or ``path``, with them."""
    path = expression.path or path
    flat = " " * indent + prefix + expression.flat + suffix
    if isinstance(expression, Atom) or not expression.parts or (not expression.must_open and len(flat) <= WIDTH):
        return [(flat, path)]
    if _hugs(expression):
        return _layout_hugging(expression, prefix, suffix, indent, path)
    lines = [((" " * indent + prefix + expression.opening).rstrip(), path)]
    for index, (label, part) in enumerate(expression.parts):
        joint = _joint(expression, index)
        lines += layout(part, prefix=joint[0] + label, suffix=joint[1], indent=indent + 4, path=path)
    return [*lines, (" " * indent + expression.closing + suffix, path)]


def _joint(group: Group, index: int) -> tuple[str, str]:
    """What stands before and behind a part on a line of its own: a comma behind, an ``and`` before."""
    if group.separator == ",":
        return "", ","
    return (f"{group.separator.strip()} " if index else ""), ""


def _hugs(group: Group) -> bool:
    """Whether only the last part needs several lines, so that its brackets can share the lines of the outer ones."""
    *others, (_, last) = group.parts
    return (
        group.closing == ")"
        and group.separator == ","
        and not group.is_open
        and isinstance(last, Group)
        and len(last.parts) > 0
        and not any(isinstance(part, Group) for _, part in others)
    )


def _layout_hugging(group: Group, prefix: str, suffix: str, indent: int, path: str | None) -> list[Line]:
    *others, (label, last) = group.parts
    before = "".join(f"{name}{part.flat}, " for name, part in others)
    opened = prefix + group.opening + before + label
    lines = layout(last, prefix=opened, suffix=group.closing + suffix, indent=indent, path=path)
    return [(lines[0][0], path), *lines[1:]]


# ---- making expressions


def call(
    function: str,
    arguments: Sequence[Expression],
    named: Mapping[str, Expression] | None = None,
    *,
    path: str | None = None,
) -> Group:
    """``function(arguments, named=…)``."""
    labelled = [(f"{name}=", value) for name, value in (named or {}).items()]
    return Group(f"{function}(", (*_unlabelled(arguments), *labelled), ")", path=path)


def negation(expression: Expression) -> Expression:
    """``not expression``, for an expression that is a call, a name or in brackets."""
    if isinstance(expression, Atom):
        return replace(expression, code=f"not {expression.code}")
    return replace(expression, opening=f"not {expression.opening}")


def mapping(entries: Mapping[str, Expression], *, is_open: bool = False) -> Group:
    """``{"key": …}``, in the order of the keys."""
    parts = tuple((f"{text_literal(key)}: ", entries[key]) for key in sorted(entries))
    return Group("{", parts, "}", is_open=is_open)


def literal(value: Any, *, path: str | None = None) -> Expression:
    """A JSON value as Python, with sorted keys: equal values give equal code."""
    if isinstance(value, dict):
        parts = tuple((f"{text_literal(key)}: ", literal(value[key])) for key in sorted(value))
        return Group("{", parts, "}", path=path)
    if isinstance(value, list):
        return Group("[", _unlabelled([literal(item) for item in value]), "]", path=path)
    return Atom(text_literal(value) if isinstance(value, str) else repr(value), path)


def _unlabelled(parts: Sequence[Expression]) -> tuple[tuple[str, Expression], ...]:
    return tuple(("", part) for part in parts)


def text_literal(text: str) -> str:
    """A text as a Python literal on one line, in double quotes; what nobody could see is escaped."""
    return "".join(c if c.isprintable() else _escape(c) for c in json.dumps(text, ensure_ascii=False))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
