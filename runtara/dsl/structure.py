"""The structural check: every field of a raw JSON tree against the types of the document model.

msgspec stops at the first mistake; an author wants them all. So the tree is walked along the types that msgspec itself
reports, and the model stays the only description of the language: a new step needs no line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import islice
from sys import float_info
from typing import Any, Final

from msgspec import inspect

from runtara.dsl import notyet
from runtara.dsl.conditions import check_condition
from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, nearest, suggestion
from runtara.dsl.paths import child_path

__all__ = ("check", "describe")


_GUESSES_MAX: Final = 20
"""So many unknown fields of an object are looked at for what they were meant to be."""


def check(tree: Any, kind: Any, path: str) -> Iterator[Diagnostic]:
    """Everything that keeps the tree from being a value of the type ``kind``; nothing when it is one."""
    return _check(tree, _type_info(kind), path)


@cache
def _type_info(kind: Any) -> inspect.Type:
    """What msgspec says of a type. The language is one type, inside out: to ask costs milliseconds."""
    return inspect.type_info(kind)


def describe(tree: Any) -> str:
    """What kind of JSON value it is, for messages."""
    return next(name for kind, name in _NAMES if isinstance(tree, kind))


_NAMES: Final[tuple[tuple[Any, str], ...]] = (
    (bool, "a boolean"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a string"),
    (list, "an array"),
    (dict, "an object"),
    (object, "null"),
)


def _check(tree: Any, kind: inspect.Type, path: str) -> Iterator[Diagnostic]:
    if isinstance(kind, inspect.Metadata):
        grammar = (kind.extra or {}).get("grammar")
        return _GRAMMARS[grammar](tree, path) if grammar else _check(tree, kind.type, path)
    if isinstance(kind, inspect.UnionType):
        return _check_union(tree, kind, path)
    return _CHECKS[type(kind)](tree, kind, path)


def _check_union(tree: Any, kind: inspect.UnionType, path: str) -> Iterator[Diagnostic]:
    structs = [member for member in kind.types if isinstance(member, inspect.StructType)]
    others = [member for member in kind.types if not isinstance(member, inspect.StructType)]
    if tree is None and any(isinstance(member, inspect.NoneType) for member in others):
        return iter(())
    others = [member for member in others if not isinstance(member, inspect.NoneType)]
    if len(structs) > 1:
        return _check_tagged(tree, structs, path)
    members = structs + others
    fitting = [member for member in members if isinstance(tree, _JSON_KINDS.get(type(member), ()))]
    if len(members) > 1 and not fitting:
        return iter([_wrong(tree, " or ".join(_KIND_NAMES[type(member)] for member in members), path)])
    return _check(tree, (fitting or members)[0], path)


def _check_tagged(tree: Any, structs: list[inspect.StructType], path: str) -> Iterator[Diagnostic]:
    if not isinstance(tree, dict):
        yield _wrong(tree, "an object", path)
        return
    tag_field = structs[0].tag_field
    assert tag_field is not None
    by_tag = {struct.tag: struct for struct in structs}
    if tag_field not in tree:
        known = ", ".join(sorted(map(str, by_tag)))
        yield diagnose(Code.FIELD_MISSING, path, f"{tag_field!r} is missing", hint=f"It is one of: {known}.")
    elif tree[tag_field] in _kinds(by_tag):
        yield from _check_struct(tree, by_tag[tree[tag_field]], path)
    else:
        yield _unknown_kind(tree[tag_field], tag_field, _kinds(by_tag), child_path(path, tag_field))


def _kinds(by_tag: Mapping[Any, Any]) -> list[str]:
    return [str(tag) for tag in by_tag]


def _unknown_kind(kind: Any, tag_field: str, known: list[str], path: str) -> Diagnostic:
    if not isinstance(kind, str):
        return _wrong(kind, "a string", path)
    return diagnose(
        Code.KIND_UNKNOWN, path, f"there is no {tag_field} {kind!r}", hint=suggestion(kind, known, what=tag_field)
    )


def _check_struct(tree: Any, kind: inspect.StructType, path: str) -> Iterator[Diagnostic]:
    if not isinstance(tree, dict):
        yield _wrong(tree, "an object", path)
        return
    fields = {field.encode_name: field for field in kind.fields}
    known = [*fields, *([kind.tag_field] if kind.tag_field else [])]
    for key in tree:
        if key in fields:
            yield from _check(tree[key], fields[key].type, child_path(path, key))
        elif key not in known:
            yield _unknown_field(key, kind, known, child_path(path, key))
    missing = [name for name, field in fields.items() if field.required and name not in tree]
    unknown = islice((key for key in tree if key not in known), _GUESSES_MAX) if missing else ()
    misspelt = {nearest(key, fields) for key in unknown}
    for name in missing:
        if name not in misspelt:
            yield diagnose(Code.FIELD_MISSING, path, f"{name!r} is missing")


def _unknown_field(key: str, kind: inspect.StructType, known: list[str], path: str) -> Diagnostic:
    if key in notyet.FIELDS.get(kind.cls.__name__, ()):
        return diagnose(
            Code.NOT_SUPPORTED,
            path,
            f"the field {key!r} is not supported by this version",
            hint="Leave it out; nothing is accepted and then ignored.",
        )
    near = suggestion(key, known, what="field")
    valid = ", ".join(sorted(known))
    hint = near if near.startswith("There") else f"{near} The fields are: {valid}."
    return diagnose(Code.FIELD_UNKNOWN, path, f"there is no field {key!r} here", hint=hint)


def _check_dict(tree: Any, kind: inspect.DictType, path: str) -> Iterator[Diagnostic]:
    if not isinstance(tree, dict):
        yield _wrong(tree, "an object", path)
        return
    for key, value in tree.items():
        yield from _check(value, kind.value_type, child_path(path, key))


def _check_items(tree: Any, kind: inspect.VarTupleType | inspect.ListType, path: str) -> Iterator[Diagnostic]:
    if not isinstance(tree, list):
        yield _wrong(tree, "an array", path)
        return
    for index, value in enumerate(tree):
        yield from _check(value, kind.item_type, child_path(path, index))


def _check_literal(tree: Any, kind: inspect.LiteralType, path: str) -> Iterator[Diagnostic]:
    known = [str(value) for value in kind.values]
    if not isinstance(tree, str):
        yield _wrong(tree, "a string", path)
    elif tree not in known:
        hint = suggestion(tree, known, what="such value")
        yield diagnose(Code.VALUE_NOT_ALLOWED, path, f"{tree!r} is not one of {', '.join(known)}", hint=hint)


def _check_int(tree: Any, kind: inspect.IntType, path: str) -> Iterator[Diagnostic]:
    if type(tree) is not int:
        yield _wrong(tree, "a whole number", path)
    elif not (kind.ge or 0) <= tree <= (kind.le or tree):
        at_most = f", and at most {kind.le}" if kind.le is not None and kind.le < 2**53 else ""
        yield diagnose(
            Code.TYPE_WRONG, path, f"{tree} is out of range", hint=f"It is at least {kind.ge or 0}{at_most}."
        )


def _check_float(tree: Any, _kind: Any, path: str) -> Iterator[Diagnostic]:
    if type(tree) not in (int, float):
        yield _wrong(tree, "a number", path)
    elif not -float_info.max <= tree <= float_info.max:
        yield diagnose(Code.TYPE_WRONG, path, "the number is out of range")


def _leaf(accepted: tuple[type, ...], name: str) -> Callable[[Any, Any, str], Iterator[Diagnostic]]:
    def check_leaf(tree: Any, _kind: Any, path: str) -> Iterator[Diagnostic]:
        if type(tree) not in accepted:
            yield _wrong(tree, name, path)

    return check_leaf


def _anything(_tree: Any, _kind: Any, _path: str) -> Iterator[Diagnostic]:
    return iter(())


def _wrong(tree: Any, expected: str, path: str) -> Diagnostic:
    return diagnose(Code.TYPE_WRONG, path, f"{expected} belongs here, not {describe(tree)}")


_CHECKS: Final[Mapping[type, Callable[[Any, Any, str], Iterator[Diagnostic]]]] = {
    inspect.AnyType: _anything,
    inspect.StrType: _leaf((str,), "a string"),
    inspect.BoolType: _leaf((bool,), "a boolean"),
    inspect.FloatType: _check_float,
    inspect.IntType: _check_int,
    inspect.LiteralType: _check_literal,
    inspect.DictType: _check_dict,
    inspect.ListType: _check_items,
    inspect.VarTupleType: _check_items,
    inspect.StructType: _check_struct,
}

_JSON_KINDS: Final[Mapping[type, type]] = {
    inspect.StrType: str,
    inspect.IntType: int,
    inspect.DictType: dict,
    inspect.ListType: list,
}
"""For unions: what each member looks like in JSON."""

_KIND_NAMES: Final[Mapping[type, str]] = {
    inspect.StrType: "a string",
    inspect.IntType: "a whole number",
    inspect.DictType: "an object",
    inspect.ListType: "an array",
}

_GRAMMARS: Final[Mapping[str, Callable[[Any, str], Iterator[Diagnostic]]]] = {"condition": check_condition}
"""Trees that no struct can describe, by the ``grammar`` of their annotation."""
