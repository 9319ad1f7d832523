"""What agents say about themselves: the metadata that validation, listings and the runtime identity stand on.

The names here are the wire names. They are made from the same signatures that the inputs are bound to
(``runtara.agents``), so that a listing cannot promise what binding refuses.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

import msgspec

__all__ = (
    "AgentInfo",
    "CapabilityField",
    "CapabilityInfo",
    "CapabilityOutput",
    "Catalog",
    "installed_catalog",
)


class CapabilityField(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An input of a capability, or a field of its output."""

    name: str
    type: str
    """string, integer, number, boolean, array, object or any."""
    required: bool
    nullable: bool = False
    display_name: str | None = None
    description: str | None = None
    items: str | None = None
    """The type of the elements of an array or of the values of an object, where one is known."""
    enum: tuple[Any, ...] = ()
    default: Any = None
    example: Any = None
    aliases: tuple[str, ...] = ()
    """Other names under which the input is taken."""


class CapabilityOutput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a capability returns."""

    type: str
    items: str | None = None
    fields: tuple[CapabilityField, ...] = ()
    """The fields of an object whose fields are all known; empty for any other output."""


class CapabilityInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One thing that a step can call."""

    id: str
    name: str
    inputs: tuple[CapabilityField, ...]
    output: CapabilityOutput
    has_side_effects: bool
    is_idempotent: bool
    rate_limited: bool = False
    display_name: str | None = None
    description: str | None = None
    aliases: tuple[str, ...] = ()
    """Other ids under which the capability is found."""
    open_inputs: bool = False
    """Takes any input (test doubles do)."""

    def find_input(self, name: str) -> CapabilityField | None:
        """The input of that name or alias."""
        return next((field for field in self.inputs if name == field.name or name in field.aliases), None)

    def contract(self) -> tuple[Any, ...]:
        """What compiled scenarios rely on. An added optional input or a better description does not change it."""
        required = sorted((field.name, field.type) for field in self.inputs if field.required)
        return (self.id, self.has_side_effects, *required)


class AgentInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A group of capabilities."""

    id: str
    name: str
    capabilities: tuple[CapabilityInfo, ...]
    description: str | None = None
    supports_connections: bool = False
    integration_ids: tuple[str, ...] = ()
    has_side_effects: bool = False

    def find_capability(self, capability_id: str) -> CapabilityInfo | None:
        """The capability of that id or alias."""
        return next((c for c in self.capabilities if capability_id == c.id or capability_id in c.aliases), None)


class Catalog(Protocol):
    """The agents that are there."""

    def agent_ids(self) -> tuple[str, ...]:
        """The ids of all agents, sorted. Loads none of them."""

    def find_agent(self, agent_id: str) -> AgentInfo | None:
        """What the agent says about itself; None when there is no such agent."""


def installed_catalog() -> Catalog:
    """The agents of this installation.

    Found by name: the language does not depend on any agent, but only with them is its answer about a scenario
    complete.
    """
    catalog: Catalog = import_module("runtara.agents").registry()
    return catalog
