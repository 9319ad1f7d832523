"""``docs/reference/agents.md``: what the built-in agents can do, from the metadata that inputs are bound to."""

from __future__ import annotations

from collections.abc import Iterator

from runtara.agents import registry
from runtara.agents.registry import BUILT_IN_IDS
from runtara.dsl.catalog import AgentInfo, CapabilityField, CapabilityInfo, CapabilityOutput
from tools.reference.blocks import code_list, markdown_table, shown_json

__all__ = ("agents_page",)

_INTRO = """# Agents

What an Agent step can call in every installation. Packages add agents through the entry points of the group
`runtara.agents`; they look the same in listings and are checked in the same way.

Before an input is bound, a text becomes the number or the boolean that it spells, and a number a text, where that is
what the input takes; what does not fit fails with `INPUT_DESERIALIZATION_ERROR`. A capability with side effects is
given an idempotency key, and its result is stored before anything goes on."""


def agents_page(made_by: str) -> str:
    """The page."""
    known = registry()
    infos = [info for agent_id in sorted(BUILT_IN_IDS) if (info := known.find_agent(agent_id)) is not None]
    index = markdown_table(("agent", "what it does", "capabilities"), map(_index_row, infos))
    return "\n\n".join((made_by, _INTRO, index, *map(_agent, infos))) + "\n"


def _index_row(info: AgentInfo) -> tuple[str, str, str]:
    return f"[`{info.id}`](#{info.id})", _plain(info.description), code_list(each.id for each in info.capabilities)


def _agent(info: AgentInfo) -> str:
    facts = ["Takes a connection: " + code_list(info.integration_ids) + "."] if info.supports_connections else []
    parts = [f"## {info.id}", _plain(info.description), *facts, *map(_capability, info.capabilities)]
    return "\n\n".join(part for part in parts if part)


def _capability(info: CapabilityInfo) -> str:
    return "\n\n".join(part for part in _parts(info) if part)


def _parts(info: CapabilityInfo) -> Iterator[str]:
    yield f"### {info.id}"
    yield _plain(info.description)
    if info.inputs:
        yield markdown_table(("input", "type", "default", "meaning"), map(_input_row, info.inputs))
    yield f"Returns {_output(info.output)}. {_effects(info)}{_aliases(info)}"
    if info.output.fields:
        yield markdown_table(("field", "type", "", "meaning"), map(_output_row, info.output.fields))


def _input_row(field: CapabilityField) -> tuple[str, ...]:
    default = "required" if field.required else "" if field.default is None else f"`{shown_json(field.default)}`"
    return f"`{field.name}`", _type(field), default, _meaning(field)


def _output_row(field: CapabilityField) -> tuple[str, ...]:
    return f"`{field.name}`", _type(field), "may be null" if field.nullable else "", _meaning(field)


def _meaning(field: CapabilityField) -> str:
    aliases = f" Also {code_list(field.aliases)}." if field.aliases else ""
    example = "" if field.example is None else f" Example: `{shown_json(field.example)}`."
    return f"{_plain(field.description)}{example}{aliases}".strip()


def _type(field: CapabilityField) -> str:
    if field.enum:
        return " ".join(f"`{value}`" for value in field.enum)
    return field.type + (f" of {field.items}s" if field.items else "")


def _output(output: CapabilityOutput) -> str:
    if output.type == "any":
        return "any JSON"
    article = "an" if output.type[0] in "aeio" else "a"
    return f"{article} {output.type}" + (f" of {output.items}s" if output.items else "")


def _effects(info: CapabilityInfo) -> str:
    if not info.has_side_effects:
        return "No side effects."
    return "Has side effects" + (", and may be repeated." if info.is_idempotent else ".")


def _aliases(info: CapabilityInfo) -> str:
    return f" Also {code_list(info.aliases)}." if info.aliases else ""


def _plain(text: str | None) -> str:
    return " ".join((text or "").split()).replace("``", "`")
