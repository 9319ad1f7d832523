"""What a deploy does to parked instances: would one that began on the old program go on as well on the new one?

A parked instance sits on a step: a Delay, a WaitForSignal, the wait before another try, a breakpoint. When it goes on,
it runs from the beginning, and takes for each step the result that is stored under the step's key. So an instance on a
step S is *unsafe* by these rules:

| rule | what the new program does |
|---|---|
| ``step-removed`` | has no step under the key of S: removed, renamed, or moved to another graph |
| ``step-changed`` | has another type of step there, or one that calls another capability |
| ``container-changed`` | has another type of step for a loop or a child around S |
| ``effect-inserted`` | may come to an effect before S that was not there, or was none: it would happen now |
| ``way-changed`` | decides otherwise before S, or around it: the instance may not come to S, or do what it did not |
| ``result-dropped`` | keeps no result (``durable``: false) of an effect before S that has one: it would happen again |

It *needs a mapping*, from what is stored to what the new program expects, by these:

| rule | what the new program does |
|---|---|
| ``result-removed`` | has no step for a stored result that the old one still takes, at S or later, or in pure steps |
| ``result-changed`` | still takes a stored result, of a step that has another type, capability or shape of output now |
| ``items-changed`` | goes through other items in a Split before S, or around it, than those whose results are stored |
| ``wait-inserted`` | may come to a Delay or a WaitForSignal before S that was not there, or was none |
| ``input-narrowed`` | takes less than before as input, of the scenario or of a child before S or around it |

Otherwise it is *safe*: steps after S may come, go and change; pure steps before it run again anyway; a result that
nobody takes any more stays unused; other inputs of a step that is done change nothing.

*Before S* is what can be done when a run stands at S: the steps that lead to S or to a loop or child around it, with
all inside them, and in a loop everything that an earlier pass has run. Values that no checkpoint holds are followed:
a decision counts as changed when what it looks at is computed otherwise now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET

from runtara.compiler.lower import Program
from runtara.compiler.recomputed import Recomputed
from runtara.compiler.sites import Layout, Site, layout_of
from runtara.dsl.mappings import SchemaField, SchemaFields
from runtara.dsl.model import AgentStep, AiAgentStep, DelayStep, SplitStep, StartScenarioStep, WaitForSignalStep

__all__ = ("RULES", "Deploy", "Finding", "Risk", "Spot", "SpotKind", "Verdict", "compare", "spots_of")

SpotKind: TypeAlias = Literal["delay", "signal", "retry", "breakpoint", "stopped"]
"""Why an instance sits there. ``stopped``: it was paused, or its server went, and it may be anywhere."""


class Risk(IntEnum):
    """What a deploy does to an instance."""

    SAFE = 0
    NEEDS_MAPPING = 1
    UNSAFE = 2

    @property
    def label(self) -> str:
        """In words."""
        return ("safe", "needs a mapping", "unsafe")[self]


RULES: Final = {
    "step-removed": Risk.UNSAFE,
    "step-changed": Risk.UNSAFE,
    "container-changed": Risk.UNSAFE,
    "effect-inserted": Risk.UNSAFE,
    "way-changed": Risk.UNSAFE,
    "result-dropped": Risk.UNSAFE,
    "result-removed": Risk.NEEDS_MAPPING,
    "result-changed": Risk.NEEDS_MAPPING,
    "items-changed": Risk.NEEDS_MAPPING,
    "wait-inserted": Risk.NEEDS_MAPPING,
    "input-narrowed": Risk.NEEDS_MAPPING,
}


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an instance can sit."""

    key: str
    """Of the site; see ``runtara.compiler.sites``."""
    kind: SpotKind


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a spot is not safe."""

    rule: str
    site: str
    """What has changed, in the old program or the new one; empty for the scenario itself."""
    message: str

    @property
    def risk(self) -> Risk:
        """How bad that is."""
        return RULES[self.rule]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the deploy does to instances at one spot."""

    spot: Spot
    findings: tuple[Finding, ...]
    """The worst first."""

    @property
    def risk(self) -> Risk:
        """The worst of all findings."""
        return max((finding.risk for finding in self.findings), default=Risk.SAFE)


def compare(old: Program, new: Program) -> Deploy:
    """What a deploy of the new program in the place of the old one does.

    Raises:
        LimitExceeded: one of them has too many sites to compare.
    """
    return Deploy(layout_of(old), layout_of(new))


def spots_of(layout: Layout) -> tuple[Spot, ...]:
    """Where an instance of the program can sit without being paused."""
    return tuple(spot for site in layout.sites.values() for spot in _spots(site, is_debug=layout.program.debug))


def _spots(site: Site, *, is_debug: bool) -> Iterator[Spot]:
    if isinstance(site.step, DelayStep) and site.is_durable:
        yield Spot(site.key, "delay")
    if isinstance(site.step, WaitForSignalStep):
        yield Spot(site.key, "signal")
    if site.is_durable and _max_retries(site) > 0:
        yield Spot(site.key, "retry")
    if is_debug and site.step.breakpoint:
        yield Spot(site.key, "breakpoint")


def _max_retries(site: Site) -> int:
    if isinstance(site.step, AgentStep | StartScenarioStep):
        return 3 if site.step.max_retries is None else site.step.max_retries
    if isinstance(site.step, AiAgentStep | SplitStep):
        return site.step.config.max_retries or 0
    return 0


@dataclass(frozen=True)
class Deploy:
    """A program in the place of another."""

    old: Layout
    new: Layout

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """For each spot of the old program, in the order of its steps."""
        return tuple(map(self.verdict, spots_of(self.old)))

    def verdict(self, spot: Spot | None) -> Verdict:
        """For one spot of the old program; None: an instance that has stored nothing yet."""
        if spot is None:
            return Verdict(Spot("", "stopped"), tuple(self._of_inputs(())))
        findings = dict.fromkeys(_Parked(self, spot.key).findings())
        return Verdict(spot, tuple(sorted(findings, key=lambda finding: -finding.risk)))

    @cached_property
    def recomputed(self) -> Recomputed:
        """What the new program computes otherwise."""
        return Recomputed(self.old, self.new)

    def differs(self, key: str) -> str | None:
        """How a site that both have is another one now, in words; None: it is the same."""
        old, new = self.old.sites[key], self.new.sites[key]
        if old.type != new.type:
            return f"is a step of type {new.type} now, and was of type {old.type}"
        if _call_of(old) != _call_of(new):
            return f"calls {_call_of(new)} now, and called {_call_of(old)}"
        return None

    def _of_inputs(self, keys: tuple[str, ...]) -> Iterator[Finding]:
        """What the scenario, and its children among those sites, would refuse now."""
        pairs = [("", self.old.program.input_schema, self.new.program.input_schema)]
        for key in keys:
            one, other = self.old.sites[key].child, self.new.sites[key].child
            if one is not None and other is not None:
                pairs.append((key, one.graph.input_schema, other.graph.input_schema))
        for key, before, after in pairs:
            for name in _narrowed(before, after):
                whose = f"the child that {key!r} starts" if key else "the scenario"
                yield Finding("input-narrowed", key, f"the input {name!r} of {whose} must be something else now")


@dataclass(frozen=True)
class _Parked:
    """Instances on one site of the old program."""

    deploy: Deploy
    key: str

    def findings(self) -> Iterator[Finding]:
        """By all rules."""
        yield from self._itself()
        if self.key not in self.new.sites:
            yield from self._removed_results()
            return
        for rule in (
            self._inserted,
            self._decisions,
            self._dropped_results,
            self._removed_results,
            self._changed_results,
            self._items,
        ):
            yield from rule()
        yield from self.deploy._of_inputs(tuple(sorted(self._both(self._around_before))))

    @property
    def old(self) -> Layout:
        return self.deploy.old

    @property
    def new(self) -> Layout:
        return self.deploy.new

    @cached_property
    def _before(self) -> frozenset[str]:
        return self.old.before(self.key)

    @cached_property
    def _done(self) -> frozenset[str]:
        return self.old.done(self.key)

    @cached_property
    def _done_now(self) -> frozenset[str]:
        return self.new.done(self.key)

    @cached_property
    def _before_now(self) -> frozenset[str]:
        return self.new.before(self.key)

    @cached_property
    def _containers(self) -> tuple[str, ...]:
        return self.old.containers(self.key)

    @cached_property
    def _around_before(self) -> frozenset[str]:
        return self._before.union(self._containers)

    def _both(self, keys: frozenset[str]) -> frozenset[str]:
        return frozenset(key for key in keys if key in self.new.sites)

    # ---- the step itself

    def _itself(self) -> Iterator[Finding]:
        if self.key not in self.new.sites:
            yield Finding("step-removed", self.key, f"there is no {self.key!r} any more{self._perhaps_renamed()}")
        elif (how := self.deploy.differs(self.key)) is not None:
            yield Finding("step-changed", self.key, f"{self.key!r} {how}")
        for container in self._containers:
            if container in self.new.sites and self.old.sites[container].type != self.new.sites[container].type:
                yield Finding("container-changed", container, f"{container!r} {self.deploy.differs(container)}")

    def _perhaps_renamed(self) -> str:
        """A hint at a new step that is like the one that is gone."""
        gone = self.old.sites[self.key]
        fresh = (site for key, site in self.new.sites.items() if key not in self.old.sites)
        like = [site.key for site in fresh if site.type == gone.type and _call_of(site) == _call_of(gone)]
        return f"; was it renamed to {like[0]!r}?" if like else ""

    # ---- what would run now

    def _inserted(self) -> Iterator[Finding]:
        for key in sorted(self._before_now):
            site = self.new.sites[key]
            what = self._is_new_here(site)
            if what is None:
                continue
            if site.is_effect:
                yield Finding("effect-inserted", key, f"{key!r} {what}, and would run now, before {self.key!r}")
            elif isinstance(site.step, DelayStep | WaitForSignalStep):
                yield Finding("wait-inserted", key, f"{key!r} {what}, and would wait now, before {self.key!r}")

    def _is_new_here(self, site: Site) -> str | None:
        """How it comes that a site before this one has nothing stored yet, in words; None: it has."""
        if site.key not in self.old.sites:
            return "was not there"
        # In a loop an earlier pass has come to it in any case, and this one may not have.
        if site.key not in self._before or site.key in self._done_now - self._done:
            return "came later"
        old = self.old.sites[site.key]
        is_alike = old.type == site.type and old.is_effect == site.is_effect
        return None if old.is_stored or is_alike else "was another step"

    def _decisions(self) -> Iterator[Finding]:
        for key in sorted(self._around_before):
            if self.old.sites[key].chooses and key not in self.new.sites:
                yield Finding("way-changed", key, f"{key!r} decides no more what runs")
        for key in sorted(self._before_now.union(self.new.containers(self.key))):
            how = self._decides_otherwise(self.new.sites[key]) if self.new.sites[key].chooses else None
            if how is not None:
                yield Finding("way-changed", key, f"{key!r} {how}")

    def _decides_otherwise(self, site: Site) -> str | None:
        ways = self._ways(self.new, site.key)
        if site.key not in self._around_before:
            is_certain = ways is None or ways.keys() >= set(site.planned.ways.forks)
            return None if is_certain else "decides now whether the run comes here"
        if not self.old.sites[site.key].chooses:
            return "decides now what runs, and did not"
        if self.deploy.recomputed.is_decided_otherwise(site.key):
            return "decides otherwise now"
        return "leads elsewhere now" if self._leads_elsewhere(site.key, ways or {}) else None

    def _ways(self, layout: Layout, chooser: str) -> Mapping[str, frozenset[str]] | None:
        """The ways out of it that lead here, with what is on them; None when it is in a graph inside another step."""
        for around in (self.key, *layout.containers(self.key)):
            if layout.sites[around].prefix == layout.sites[chooser].prefix and around != chooser:
                return layout.ways_to(chooser, around)
        return None

    def _leads_elsewhere(self, chooser: str, ways: Mapping[str, frozenset[str]]) -> bool:
        """Whether a way does not come here any more, comes here now, or comes to effects that were not on it."""
        before = self._ways(self.old, chooser) or {}
        if before.keys() != ways.keys():
            return True
        fresh = {key for way, keys in ways.items() for key in keys - before[way]}
        return any(self.new.sites[inner].is_effect for key in fresh for inner in (key, *self.new.inside(key)))

    # ---- what is stored

    def _dropped_results(self) -> Iterator[Finding]:
        for key in sorted(self._both(self._before)):
            old, new = self.old.sites[key], self.new.sites[key]
            if new.is_effect and old.is_stored and not new.is_stored:
                yield Finding("result-dropped", key, f"{key!r} keeps no result now, and would run again")

    def _removed_results(self) -> Iterator[Finding]:
        for key in sorted(self._before):
            gone = self.old.sites[key].is_stored and key not in self.new.sites
            if gone and self._is_read_later(self.old, key):
                yield Finding("result-removed", key, f"there is no {key!r} any more, and its result was still needed")

    def _changed_results(self) -> Iterator[Finding]:
        stored = self._before | ({self.key} if self._is_in_loop else frozenset())
        for key in sorted(self._both(stored)):
            if not self.old.sites[key].is_stored:
                continue
            how = self.deploy.differs(key) or self._shape_changed(key)
            if how is not None and self._is_read_later(self.new, key):
                yield Finding("result-changed", key, f"{key!r} {how}, and the result that is stored is still taken")

    @property
    def _is_in_loop(self) -> bool:
        return any(self.old.sites[container].is_repeating for container in self._containers)

    def _shape_changed(self, key: str) -> str | None:
        is_same = _shape_of(self.old.sites[key]) == _shape_of(self.new.sites[key])
        return None if is_same else "has outputs of another shape now"

    def _is_read_later(self, layout: Layout, key: str) -> bool:
        """Whether anything takes the result that does not have a result of its own stored already."""
        return any(not layout.sites[reader].is_stored or reader not in self._done for reader in layout.readers(key))

    def _items(self) -> Iterator[Finding]:
        for key in sorted(self._both(self._around_before)):
            is_stored = any(self.old.sites[inner].is_stored for inner in self.old.inside(key))
            if is_stored and self.deploy.recomputed.has_other_items(key):
                yield Finding("items-changed", key, f"{key!r} may go through other items than those that are stored")


# ---- what counts as the same


def _call_of(site: Site) -> str:
    planned = site.planned
    return f"{planned.agent_id}/{planned.capability.id}" if planned.capability is not None else site.type


def _shape_of(site: Site) -> Any:
    """What is known of the result of a step that stores it."""
    if site.planned.capability is not None:
        return site.planned.capability.output
    if isinstance(site.step, WaitForSignalStep):
        return _plain(site.step.response_schema)
    return _plain(site.step.config.output_schema) if isinstance(site.step, AiAgentStep) else None


_FOR_FORMS: Final = frozenset(
    {"description", "default", "example", "label", "placeholder", "order", "format", "visibleWhen"}
)


def _plain(fields: SchemaFields) -> Any:
    """A schema without what means nothing to a run."""
    return {name: _plain_field(msgspec.to_builtins(field)) for name, field in fields.items()}


def _plain_field(field: dict[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in field.items() if name not in _FOR_FORMS}
    if isinstance(plain.get("items"), dict):
        plain["items"] = _plain_field(plain["items"])
    if isinstance(plain.get("properties"), dict):
        plain["properties"] = {name: _plain_field(inner) for name, inner in plain["properties"].items()}
    return plain


_LOOSER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "required": lambda old, new: new is not True,
    "nullable": lambda old, new: new is True,
    "enum": lambda old, new: new is None or (old is not None and all(value in new for value in old)),
    "min": lambda old, new: new is None or (old is not None and new <= old),
    "max": lambda old, new: new is None or (old is not None and new >= old),
    "pattern": lambda old, new: new is None,
}
"""Whether a change of that part of a field takes everything that it took."""


def _narrowed(old: SchemaFields, new: SchemaFields) -> Iterator[str]:
    """The fields that may refuse what they took."""
    before, after = _plain(old), _plain(new)
    for name, field in after.items():
        if name in before:
            is_narrower = any(
                before[name].get(part) != field.get(part)
                and not _LOOSER.get(part, lambda old, new: False)(before[name].get(part), field.get(part))
                for part in before[name].keys() | field.keys()
            )
        else:
            is_narrower = _must_be_given(new[name])
        if is_narrower:
            yield name


def _must_be_given(field: SchemaField) -> bool:
    return field.required and field.default is UNSET
