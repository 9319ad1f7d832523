"""Which agents there are. One is loaded when somebody asks for it: a program pays only for what it calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Final

from runtara.agents.capability import Agent, Capability, find_declared_agent
from runtara.dsl.catalog import AgentInfo

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ("BUILT_IN_IDS", "ENTRY_POINT_GROUP", "Registry", "registry")

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP: Final = "runtara.agents"

_BUILT_IN: Final[Mapping[str, str]] = {
    "crypto": "runtara.agents.builtin.crypto:Crypto",
    "csv": "runtara.agents.builtin.csv:Csv",
    "datetime": "runtara.agents.builtin.datetime:DateTime",
    "http": "runtara.agents.builtin.http:Http",
    "json": "runtara.agents.builtin.json:Json",
    "text": "runtara.agents.builtin.text:Text",
    "transform": "runtara.agents.builtin.transform:Transform",
    "utils": "runtara.agents.builtin.utils:Utils",
    "xml": "runtara.agents.builtin.xml:Xml",
}

BUILT_IN_IDS: Final = frozenset(_BUILT_IN)
"""The agents that every installation has."""

Loader = Callable[[], Agent]


class Registry:
    """Agents by id; a ``runtara.dsl.catalog.Catalog``."""

    def __init__(self, agents: Mapping[str, Loader], *, others: Callable[[], Mapping[str, Loader]] = dict) -> None:
        self._agents = dict(agents)
        self._others = cache(others)

    def agent_ids(self) -> tuple[str, ...]:
        """See ``Catalog.agent_ids``."""
        return tuple(sorted({*self._agents, *self._others()}))

    def find_agent(self, agent_id: str) -> AgentInfo | None:
        """See ``Catalog.find_agent``."""
        found = self.find(agent_id)
        return None if found is None else found.info

    def find(self, agent_id: str) -> Agent | None:
        """The agent of that id."""
        loader = self._agents.get(agent_id) or self._others().get(agent_id)
        return None if loader is None else loader()

    def find_capability(self, agent_id: str, capability_id: str) -> Capability | None:
        """A capability of an agent, by their ids."""
        found = self.find(agent_id)
        return None if found is None else found.find(capability_id)

    def with_agents(self, agents: Mapping[str, Agent]) -> Registry:
        """The same agents, with these in place of or beside them."""
        own: dict[str, Loader] = {agent_id: _constant(found) for agent_id, found in agents.items()}
        return Registry(self._agents | own, others=self._others)


def _constant(found: Agent) -> Loader:
    return lambda: found


@cache
def registry() -> Registry:
    """The agents of this installation: the built-in ones, and those of the entry points. Built-in ids win."""
    return Registry({agent_id: _built_in(target) for agent_id, target in _BUILT_IN.items()}, others=_installed)


def _built_in(target: str) -> Loader:
    module, _, name = target.partition(":")
    return cache(lambda: _declared(getattr(import_module(module), name), target))


def _installed() -> Mapping[str, Loader]:
    from importlib.metadata import entry_points  # 10 ms that a program with built-in agents only does not pay

    loaders: dict[str, Loader] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name in _BUILT_IN or entry.name in loaders:
            logger.warning("the agent %r of %s is passed over: the id is taken", entry.name, entry.value)
        else:
            loaders[entry.name] = _entry_loader(entry)
    return loaders


def _entry_loader(entry: EntryPoint) -> Loader:
    return cache(lambda: _declared(entry.load(), entry.value))


def _declared(target: object, place: str) -> Agent:
    members = vars(target).values() if isinstance(target, ModuleType) else ()
    found = next((agent for member in (target, *members) if (agent := find_declared_agent(member))), None)
    if found is None:
        raise TypeError(f"{place} is not decorated with @agent")
    return found
