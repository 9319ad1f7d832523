"""Sites: every place of a program that has a checkpoint key, with what may have run before it.

A site's key is the checkpoint key of its step without the indices of loops: ``call/charge``, ``lines[]/reserve``. What
a model calls as a tool stands below its AiAgent: ``triage/tool/lookup``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from runtara.compiler.lower import PlannedChild, PlannedGraph, PlannedStep, Program
from runtara.dsl.model import AgentStep, AiAgentStep, DelayStep, SplitStep, Step, WaitForSignalStep, WhileStep
from runtara.dsl.values import referenced_in_condition, referenced_steps
from runtara.errors import LimitExceeded

__all__ = ("SITES_MAX", "Layout", "Site", "layout_of", "site_key")

SITES_MAX: Final = 20_000
"""Children count once for each step that starts them, so a small document can have a great many sites."""

_ESCAPES: Final = str.maketrans({"%": "%25", "/": "%2F", "[": "%5B", "]": "%5D"})
"""As ``runtara.stdlib.keys``, which a compiler does not import; a test compares them."""

_INDEX: Final = re.compile(r"\[\d+\]")
_TOOL_NUMBER: Final = re.compile(r"(/tool/[^/]+)/\d+")
_INTERNAL: Final = re.compile(r"/(%|llm/|memory/).*$")


def site_key(checkpoint_key: str) -> str:
    """The key of the site that a checkpoint belongs to; also of the marks that a step keeps below its own key."""
    bare = checkpoint_key.removeprefix("%breakpoint/")
    return _INTERNAL.sub("", _TOOL_NUMBER.sub(r"\1", _INDEX.sub("[]", bare)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One place."""

    key: str
    planned: PlannedStep = field(repr=False)
    prefix: str
    """Of its graph; the tools of an AiAgent are a graph of their own."""
    scope: str
    """Of the graph whose steps it can refer to."""
    container: str | None
    """The site whose graph it is in."""
    is_durable: bool
    """Whether what it stores outlives a crash."""
    child: PlannedChild | None = field(default=None, repr=False)
    """What it starts."""

    @property
    def step(self) -> Step:
        """The step as it is written."""
        return self.planned.step

    @property
    def type(self) -> str:
        """Its ``stepType``."""
        tag = self.step.__struct_config__.tag
        assert isinstance(tag, str)
        return tag

    @property
    def is_effect(self) -> bool:
        """Whether it changes anything outside of the run. A model costs money, so asking one does."""
        capability = self.planned.capability
        return isinstance(self.step, AiAgentStep) or (capability is not None and capability.has_side_effects)

    @property
    def is_stored(self) -> bool:
        """Whether its result is a checkpoint; what is not is computed anew by each attempt."""
        if isinstance(self.step, WaitForSignalStep):
            return True
        return self.is_durable and isinstance(self.step, AgentStep | AiAgentStep | DelayStep)

    @property
    def is_repeating(self) -> bool:
        """Whether what is inside runs more than once."""
        return isinstance(self.step, SplitStep | WhileStep | AiAgentStep)

    @property
    def conditions(self) -> tuple[tuple[str, Any], ...]:
        """The ways out of it that have a condition, in the order in which they are asked."""
        ways = self.planned.ways.targets.items()
        return tuple((way, edge.condition) for way, edges in ways for edge in edges if edge.condition is not None)

    @property
    def chooses(self) -> bool:
        """Whether it decides what runs."""
        return bool(self.planned.ways.forks or self.conditions) or isinstance(self.step, WhileStep)

    @property
    def read_steps(self) -> frozenset[str]:
        """The ids of the steps that it, or a condition behind it, refers to."""
        conditions = (referenced_in_condition(condition) for _, condition in self.conditions)
        return referenced_steps(self.step).union(*conditions)


@dataclass(frozen=True)
class Layout:
    """All sites of a program, in an order in which a run may come to them."""

    program: Program
    sites: Mapping[str, Site]
    members: Mapping[str, Mapping[str, str]]
    """For each graph, by its prefix: the ids of its steps, and their keys."""

    @cached_property
    def _inside(self) -> Mapping[str, tuple[str, ...]]:
        inside: dict[str, list[str]] = {key: [] for key in self.sites}
        for site in self.sites.values():
            for container in self.containers(site.key):
                inside[container].append(site.key)
        return {key: tuple(keys) for key, keys in inside.items()}

    @cached_property
    def _into(self) -> Mapping[str, frozenset[str]]:
        """For each site: those of its graph that lead to it, or whose results it takes."""
        into: dict[str, set[str]] = {key: set() for key in self.sites}
        for site in self.sites.values():
            seen, members = self.members[site.scope], self.members[site.prefix]
            into[site.key] |= {seen[name] for name in site.read_steps if name in seen} - {site.key}
            for edges in site.planned.ways.targets.values():
                for edge in edges:
                    if edge.target in members:
                        into[members[edge.target]].add(site.key)
        return {key: frozenset(keys) for key, keys in into.items()}

    def containers(self, key: str) -> tuple[str, ...]:
        """The sites around it, innermost first."""
        found, container = [], self.sites[key].container
        while container is not None:
            found.append(container)
            container = self.sites[container].container
        return tuple(found)

    def inside(self, key: str) -> tuple[str, ...]:
        """Everything in the graphs that a site runs."""
        return self._inside[key]

    def ancestors(self, key: str) -> frozenset[str]:
        """The sites of its own graph that can come before it."""
        found: set[str] = set()
        left = [key]
        while left:
            fresh = self._into[left.pop()] - found
            found |= fresh
            left += fresh
        return frozenset(found)

    def done(self, key: str) -> frozenset[str]:
        """The sites that can be done when a run stands at this one for the first time."""
        found: set[str] = set()
        for around in (key, *self.containers(key)):
            for before in self.ancestors(around):
                found |= {before, *self.inside(before)}
        return frozenset(found)

    def before(self, key: str) -> frozenset[str]:
        """As ``done``, and what earlier passes of the loops around it have run."""
        loops = [around for around in self.containers(key) if self.sites[around].is_repeating]
        earlier = set(self.inside(loops[-1])) if loops else set()
        return (self.done(key) | earlier) - {key, *self.containers(key)}

    def ways_to(self, chooser: str, key: str) -> Mapping[str, frozenset[str]]:
        """The ways out of a site of the same graph on which a run can come to this one, with the sites on each."""
        members = self.members[self.sites[key].prefix]
        arrivals = {key: self.ancestors(key)} | {before: self.ancestors(before) for before in self.ancestors(key)}
        found = {}
        for way, edges in self.sites[chooser].planned.ways.targets.items():
            targets = {members.get(edge.target) for edge in edges}
            on_it = frozenset(here for here, before in arrivals.items() if here in targets or before & targets)
            if key in on_it:
                found[way] = on_it
        return found

    @cached_property
    def _readers(self) -> Mapping[tuple[str, str], frozenset[str]]:
        readers: dict[tuple[str, str], set[str]] = {}
        for site in self.sites.values():
            for name in site.read_steps:
                readers.setdefault((site.scope, name), set()).add(site.key)
        return {step: frozenset(keys) for step, keys in readers.items()}

    def readers(self, key: str) -> frozenset[str]:
        """The sites that take its result."""
        site = self.sites[key]
        return self._readers.get((site.prefix, site.step.id), frozenset())


def layout_of(program: Program) -> Layout:
    """The sites of a program. Raises ``LimitExceeded`` when they are more than ``SITES_MAX``."""
    sites: dict[str, Site] = {}
    members: dict[str, dict[str, str]] = {}
    for site in _Walk(program).graph(program.main.body, "", None, is_durable=program.main.is_durable):
        if len(sites) == SITES_MAX:
            message = f"the scenario has more than {SITES_MAX} steps, with those of its children each time they start"
            raise LimitExceeded(message, limit="sites", unit="sites", maximum=SITES_MAX, actual=SITES_MAX + 1)
        sites[site.key] = site
        members.setdefault(site.prefix, {})[site.step.id] = site.key
    return Layout(program, sites, members)


@dataclass(frozen=True, slots=True)
class _Walk:
    program: Program

    def graph(self, graph: PlannedGraph, prefix: str, container: str | None, *, is_durable: bool) -> Iterator[Site]:
        """The sites of a graph, and all inside them."""
        for planned in graph.steps.values():
            if planned.tool_of is not None:
                continue
            key = prefix + planned.step.id.translate(_ESCAPES)
            yield from self._site(planned, key, prefix, prefix, container, is_durable=is_durable)
            for edge in planned.ways.tools:
                tools = f"{key}/tool/"
                tool = graph.steps[edge.target]
                yield from self._site(tool, f"{tools}{edge.label}", tools, prefix, key, is_durable=is_durable)

    def _site(
        self, planned: PlannedStep, key: str, prefix: str, scope: str, container: str | None, *, is_durable: bool
    ) -> Iterator[Site]:
        is_durable = is_durable and getattr(planned.step, "durable", None) is not False
        child = None if planned.child is None else self.program.children[planned.child]
        yield Site(
            key=key,
            planned=planned,
            prefix=prefix,
            scope=scope,
            container=container,
            is_durable=is_durable,
            child=child,
        )
        if child is not None:
            yield from self.graph(child.body, f"{key}/", key, is_durable=is_durable and child.is_durable)
        if planned.body is not None:
            is_loop = isinstance(planned.step, SplitStep | WhileStep)
            yield from self.graph(planned.body, f"{key}[]/" if is_loop else f"{key}/", key, is_durable=is_durable)
