"""Compatibility: what a new version of the language, or of the agents, does to the scenarios of the old one.

Two specifications of the same sort are compared: two scenario schemas (``schema/scenario.schema.json``), or two lists
of agents (``{"agents": […]}``, of ``AgentInfo``). The kinds of changes are those of dsl.md §1.6; ``RemovedField`` is
ours, since here an unknown field is refused. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from runtara.errors import InvalidRequest

__all__ = ("Change", "CompatibilityReport", "compare_specifications")

BREAKING: Final = frozenset(
    {
        "RemovedStepType",
        "RemovedAgent",
        "RemovedCapability",
        "RemovedField",
        "RequiredFieldAdded",
        "TypeChanged",
        "EnumValueRemoved",
    }
)
"""A scenario that was valid may not be any more."""

COMPATIBLE: Final = frozenset(
    {
        "AddedStepType",
        "AddedAgent",
        "AddedCapability",
        "OptionalFieldAdded",
        "EnumValueAdded",
        "DescriptionUpdated",
        "RequirementDropped",
        "TypeWidened",
    }
)
"""Every scenario stays what it was. Any other kind is a warning: valid still, but perhaps not the same."""

Json = Mapping[str, Any]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference."""

    kind: str
    path: str
    """The step type and field, or the agent, capability and input."""
    message: str


class CompatibilityReport(msgspec.Struct, frozen=True, kw_only=True):
    """All differences, by what they mean."""

    breaking_changes: tuple[Change, ...] = ()
    compatible_changes: tuple[Change, ...] = ()
    warnings: tuple[Change, ...] = ()

    @property
    def is_compatible(self) -> bool:
        """Whether nothing that was valid stops being so."""
        return not self.breaking_changes


def compare_specifications(old: Any, new: Any) -> CompatibilityReport:
    """What the new specification changes.

    Raises:
        InvalidRequest: one of them is no specification, or they are not of the same sort.
    """
    sorts = _sort_of(old), _sort_of(new)
    if sorts[0] != sorts[1]:
        raise InvalidRequest(f"a specification of {sorts[0]} cannot be compared with one of {sorts[1]}")
    changes = tuple(_language(old, new) if sorts[0] == "the language" else _agents(old["agents"], new["agents"]))
    return CompatibilityReport(
        breaking_changes=tuple(change for change in changes if change.kind in BREAKING),
        compatible_changes=tuple(change for change in changes if change.kind in COMPATIBLE),
        warnings=tuple(change for change in changes if change.kind not in BREAKING | COMPATIBLE),
    )


def _sort_of(specification: Any) -> str:
    if isinstance(specification, dict) and isinstance(specification.get("x-step-types"), list):
        return "the language"
    if isinstance(specification, dict) and isinstance(specification.get("agents"), list):
        return "agents"
    hint = "`runtara scenario schema` prints that of the language, with --agents that of the agents."
    raise InvalidRequest("this is no specification: it has neither x-step-types nor agents", hint=hint)


def _change(kind: str, path: str, message: str) -> Change:
    return Change(kind=kind, path=path, message=message)


# ---- the language


def _language(old: Json, new: Json) -> Iterator[Change]:
    yield from _versions(str(old.get("x-dsl-version")), str(new.get("x-dsl-version")))
    before, after = (_by(each["x-step-types"], "type") for each in (old, new))
    yield from _members(before, after, "StepType", "step type", "")
    for name in before.keys() & after.keys():
        yield from _description(before[name], after[name], name)
    definitions = old.get("$defs", {}), new.get("$defs", {})
    for name in sorted(definitions[0].keys() & definitions[1].keys() - {"Step"}):
        yield from _schema(definitions[0][name], definitions[1][name], name)


def _versions(old: str, new: str) -> Iterator[Change]:
    if old.partition(".")[0] != new.partition(".")[0]:
        yield _change("MajorVersionChanged", "x-dsl-version", f"from {old} to {new}")


def _schema(old: Json, new: Json, path: str) -> Iterator[Change]:
    """The differences of two JSON Schemas, as far as this project's use it."""
    yield from _types(_types_of(old), _types_of(new), path)
    if "enum" in old and "enum" in new:
        yield from _enums(old["enum"], new["enum"], path)
    yield from _limits(old, new, path)
    for word in ("items", "additionalProperties"):
        if isinstance(old.get(word), dict) and isinstance(new.get(word), dict):
            yield from _schema(old[word], new[word], f"{path}[]")
    if "properties" in old and "properties" in new:
        yield from _properties(old, new, path)


def _types_of(schema: Json) -> frozenset[str]:
    """What a value may be: names of types and of definitions; empty when it may be anything."""
    if "$ref" in schema:
        return frozenset({schema["$ref"].rpartition("/")[2]})
    members = schema.get("anyOf") or schema.get("oneOf")
    if members:
        return frozenset().union(*map(_types_of, members))
    if "enum" in schema:
        return frozenset({"enum"})
    if "const" in schema:
        return frozenset({f"const {schema['const']}"})
    written = schema.get("type", ())
    return frozenset({written} if isinstance(written, str) else written)


def _types(old: frozenset[str], new: frozenset[str], path: str) -> Iterator[Change]:
    if old == new:
        return
    shown = " to ".join(", ".join(sorted(each)) or "anything" for each in (old, new))
    widened = not new or (bool(old) and old < new)
    yield _change("TypeWidened" if widened else "TypeChanged", path, f"from {shown}")


def _enums(old: Sequence[Any], new: Sequence[Any], path: str) -> Iterator[Change]:
    for value in old:
        if value not in new:
            yield _change("EnumValueRemoved", path, f"{value!r} is not allowed any more")
    for value in new:
        if value not in old:
            yield _change("EnumValueAdded", path, f"{value!r} is allowed now")


def _limits(old: Json, new: Json, path: str) -> Iterator[Change]:
    for word, is_tighter in _TIGHTER.items():
        if word in new and (word not in old or is_tighter(old[word], new[word])):
            yield _change("LimitTightened", path, f"{word} is {new[word]}, and was {old.get(word, 'not there')}")
    if old.get("default") != new.get("default"):
        yield _change("DefaultChanged", path, f"from {old.get('default')!r} to {new.get('default')!r}")


_TIGHTER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "minimum": lambda old, new: new > old,
    "maximum": lambda old, new: new < old,
    "minItems": lambda old, new: new > old,
    "maxItems": lambda old, new: new < old,
}


def _properties(old: Json, new: Json, path: str) -> Iterator[Change]:
    before, after = old["properties"], new["properties"]
    required = set(old.get("required", ())), set(new.get("required", ()))
    for name in before:
        if name not in after:
            yield _change("RemovedField", f"{path}.{name}", "the field is not there any more")
    for name, schema in after.items():
        where = f"{path}.{name}"
        if name not in before:
            yield _added(where, is_required=name in required[1])
            continue
        yield from _requirement(where, was=name in required[0], now=name in required[1])
        yield from _description(before[name], schema, where)
        yield from _schema(before[name], schema, where)


# ---- agents


def _agents(old: Sequence[Json], new: Sequence[Json]) -> Iterator[Change]:
    before, after = _by(old, "id"), _by(new, "id")
    yield from _members(before, after, "Agent", "agent", "")
    for name in sorted(before.keys() & after.keys()):
        yield from _description(before[name], after[name], name)
        yield from _capabilities(before[name], after[name], name)


def _capabilities(old: Json, new: Json, agent_id: str) -> Iterator[Change]:
    before, after = (_by(each.get("capabilities", ()), "id") for each in (old, new))
    known = _with_aliases(after)
    yield from _members(before, known, "Capability", "capability", f"{agent_id}/", added=after)
    for name in sorted(before.keys() & known.keys()):
        yield from _capability(before[name], known[name], f"{agent_id}/{name}")


def _capability(old: Json, new: Json, path: str) -> Iterator[Change]:
    yield from _description(old, new, path)
    yield from _inputs(old, new, path)
    yield from _output(old.get("output", {}), new.get("output", {}), f"{path}.output")
    for word, kind in (("hasSideEffects", "SideEffectsChanged"), ("isIdempotent", "IdempotencyChanged")):
        if old.get(word) != new.get(word):
            yield _change(kind, path, f"{word} is {new.get(word)}, and was {old.get(word)}")


def _inputs(old: Json, new: Json, path: str) -> Iterator[Change]:
    before, after = (_by(each.get("inputs", ()), "name") for each in (old, new))
    known = _with_aliases(after)
    for name, field in before.items():
        if name in known:
            yield from _field(field, known[name], f"{path}.{name}")
        elif not new.get("openInputs"):
            yield _change("RemovedField", f"{path}.{name}", "the input is not there any more")
    renamed = {known[name]["name"] for name in before if name in known}
    for name, field in after.items():
        if name not in before and name not in renamed:
            yield _added(f"{path}.{name}", is_required=bool(field.get("required")))


def _field(old: Json, new: Json, path: str) -> Iterator[Change]:
    yield from _requirement(path, was=bool(old.get("required")), now=bool(new.get("required")))
    yield from _description(old, new, path)
    yield from _kinds(old, new, path)
    if bool(old.get("enum")) and bool(new.get("enum")):
        yield from _enums(old["enum"], new["enum"], path)
    if old.get("default") != new.get("default"):
        yield _change("DefaultChanged", path, f"from {old.get('default')!r} to {new.get('default')!r}")


def _output(old: Json, new: Json, path: str) -> Iterator[Change]:
    """Of an output, scenarios read the fields: a new one harms nobody, whether or not it is always there."""
    yield from _kinds(old, new, path)
    before, after = (_by(each.get("fields", ()), "name") for each in (old, new))
    for name, field in before.items():
        if name in after:
            yield from _kinds(field, after[name], f"{path}.{name}")
        elif after:
            yield _change("RemovedField", f"{path}.{name}", "the field is not there any more")
    for name in after.keys() - before.keys():
        yield _change("OptionalFieldAdded", f"{path}.{name}", "the field is there now")


def _kinds(old: Json, new: Json, path: str) -> Iterator[Change]:
    one, other = (" of ".join(filter(None, (each.get("type"), each.get("items")))) for each in (old, new))
    if one != other:
        is_wider = new.get("type") == "any" or (old.get("type"), new.get("type")) == ("integer", "number")
        yield _change("TypeWidened" if is_wider else "TypeChanged", path, f"from {one} to {other}")


# ---- what both have


def _by(entries: Sequence[Json], name: str) -> dict[str, Json]:
    return {entry[name]: entry for entry in entries}


def _with_aliases(entries: Mapping[str, Json]) -> dict[str, Json]:
    aliases = {alias: entry for entry in entries.values() for alias in entry.get("aliases", ())}
    return aliases | dict(entries)


def _members(
    old: Mapping[str, Json],
    new: Mapping[str, Json],
    kind: str,
    word: str,
    prefix: str,
    *,
    added: Mapping[str, Json] | None = None,
) -> Iterator[Change]:
    for name in sorted(old.keys() - new.keys()):
        yield _change(f"Removed{kind}", prefix + name, f"the {word} is not there any more")
    for name in sorted((new if added is None else added).keys() - old.keys()):
        yield _change(f"Added{kind}", prefix + name, f"the {word} is new")


def _added(path: str, *, is_required: bool) -> Change:
    if is_required:
        return _change("RequiredFieldAdded", path, "the field is new, and has to be there")
    return _change("OptionalFieldAdded", path, "the field is new")


def _requirement(path: str, *, was: bool, now: bool) -> Iterator[Change]:
    if now and not was:
        yield _change("RequiredFieldAdded", path, "the field has to be there now")
    if was and not now:
        yield _change("RequirementDropped", path, "the field may be missing now")


def _description(old: Json, new: Json, path: str) -> Iterator[Change]:
    if old.get("description") != new.get("description"):
        yield _change("DescriptionUpdated", path, "the description is another one")
