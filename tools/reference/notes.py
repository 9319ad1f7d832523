"""What the document model says about itself: the sentences that stand under its fields, read from its source."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise

import msgspec

from tools.reference.meanings import MEANINGS

__all__ = ("class_note", "field_notes")


def class_note(kind: type) -> str:
    """What a struct is for: its docstring, on one line."""
    return _plain(inspect.getdoc(kind) or "", _names(kind))


@cache
def field_notes(kind: type) -> Mapping[str, str]:
    """What each field of a struct means, by its name in JSON: the sentence under it, else its entry in ``MEANINGS``."""
    written = _written_notes(kind)
    return {name: written.get(name) or _meaning(kind, name) for name in _names(kind).values()}


def _meaning(kind: type, name: str) -> str:
    return MEANINGS.get(f"{kind.__name__}.{name}") or MEANINGS[name]


def _written_notes(kind: type) -> dict[str, str]:
    notes: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if issubclass(each, msgspec.Struct) and each is not msgspec.Struct:
            notes |= _documented(_body_of(each))
    names = _names(kind)
    own = {name: note for name, note in notes.items() if "UNSET" not in note and "runtara." not in note}
    return {names[name]: _plain(note, names) for name, note in own.items()}


def _names(kind: type) -> dict[str, str]:
    """Our names of the fields, and those in JSON."""
    return dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))  # type: ignore[attr-defined]


def _body_of(kind: type) -> list[ast.stmt]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return tree.body


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            assert isinstance(below.value, ast.Constant)
            yield field.target.id, str(below.value.value)


def _plain(text: str, names: Mapping[str, str]) -> str:
    """One line, in the words of JSON: its names of fields, no None; and Markdown's quotes for those of docstrings."""
    text = re.sub("``([a-z_]+)``", lambda found: f"``{names.get(found[1], found[1])}``", text)
    return " ".join(text.split()).replace("``", "`").replace("None:", "Without it:")
