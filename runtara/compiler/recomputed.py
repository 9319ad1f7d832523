"""Which values that no checkpoint holds a new program computes otherwise than the old one.

Every attempt computes them anew: conditions, filters, the items of a Split, the inputs of a child. A stored result ends
the chain, since a step that is done is not computed again, whatever it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import msgspec

from runtara.compiler.sites import Layout, Site
from runtara.dsl.mappings import MappingValue
from runtara.dsl.model import SplitStep, WhileStep
from runtara.dsl.values import iter_condition, iter_values, paths_in

__all__ = ("Recomputed",)

_NOT_VALUES = ("name", "breakpoint", "subgraph", "onWait", "maxRetries", "retryDelay", "timeout", "durable")


class Recomputed:
    """What the new one computes otherwise, of the sites that both have."""

    def __init__(self, old: Layout, new: Layout) -> None:
        self._old = old
        self._new = new
        self._results: set[str] = set()
        """The sites that have another result."""
        self._given: set[str] = set()
        """The sites that are given something else, and so are the graphs that they run."""
        while self._grow():
            pass

    def is_decided_otherwise(self, key: str) -> bool:
        """Whether what decides about the ways out of a site has changed."""
        old, new = self._old.sites[key], self._new.sites[key]
        if old.conditions != new.conditions:
            return True
        if any(self._looks_at_changed(new, _condition_values(condition)) for _, condition in new.conditions):
            return True
        return not new.is_stored and self._is_given_otherwise(new)

    def has_other_items(self, key: str) -> bool:
        """Whether a Split may have other items."""
        old, new = self._old.sites[key].step, self._new.sites[key].step
        if not isinstance(old, SplitStep) or not isinstance(new, SplitStep):
            return False
        value = msgspec.structs.replace(new, config=msgspec.structs.replace(new.config, variables={}))
        return _items_of(old) != _items_of(new) or self._looks_at_changed(self._new.sites[key], _values(value))

    def _grow(self) -> bool:
        """Add what looks at changed sites, in the order of the sites; whether any was added."""
        before = len(self._results) + len(self._given)
        for site in self._new.sites.values():
            if not site.is_stored and self._is_given_otherwise(site):
                self._given.add(site.key)
                self._results.add(site.key)
                if site.type == "Finish" and site.container is not None:
                    self._end_of(self._new.sites[site.container])
        return len(self._results) + len(self._given) > before

    def _end_of(self, container: Site) -> None:
        """The result of a graph is that of the step that runs it, unless that is stored; a While looks at it, too."""
        if not container.is_stored:
            self._results.add(container.key)
        if isinstance(container.step, WhileStep):
            self._given.add(container.key)

    def _is_given_otherwise(self, site: Site) -> bool:
        """Whether a site is written otherwise, or looks at what has changed."""
        old = self._old.sites.get(site.key)
        if old is None:
            # What takes the result of a new step is written otherwise, and found by that; an end is taken by nobody.
            return site.type == "Finish"
        if _written(old) != _written(site):
            return True
        return self._looks_at_changed(site, _values(site.step))

    def _looks_at_changed(self, site: Site, values: Iterable[MappingValue]) -> bool:
        members = self._new.members[site.scope]
        for path in (path for value in values for path in paths_in(value)):
            if path[0] == "steps":
                if len(path) > 1 and members.get(path[1]) in self._results:
                    return True
            elif self._is_root_changed(site, path):
                return True
        return False

    def _is_root_changed(self, site: Site, path: tuple[str, ...]) -> bool:
        """Data, variables and the like: of the run, or given by what is around."""
        if path[0] == "variables" and len(path) > 1 and path[1] in self._other_variables:
            return True
        return any(key in self._given for key in self._givers(site))

    def _givers(self, site: Site) -> Iterator[str]:
        """The sites whose data and variables are seen from a site: those around it, as far as the child it is in."""
        if isinstance(site.step, WhileStep):
            yield site.key
        for key in self._new.containers(site.key):
            container = self._new.sites[key]
            if container.prefix != site.scope:  # The tool of an AiAgent sees what the AiAgent sees.
                yield key
            if container.child is not None:
                return

    @cached_property
    def _other_variables(self) -> frozenset[str]:
        """Those whose default is another one; what the input of a run sets is not known."""
        old, new = self._old.program.default_variables, self._new.program.default_variables
        return frozenset(name for name in old.keys() | new.keys() if name not in old or old[name] != new.get(name))


def _written(site: Site) -> Any:
    tree = msgspec.to_builtins(site.step)
    return {name: value for name, value in tree.items() if name not in _NOT_VALUES}


def _items_of(step: SplitStep) -> Any:
    config = step.config
    return config.value, config.batch_size, config.allow_null, config.convert_single_value


def _values(step: Any) -> Iterator[MappingValue]:
    return (place.value for place in iter_values(step, "$"))


def _condition_values(condition: Any) -> Iterator[MappingValue]:
    return (place.value for place in iter_condition(condition, "$"))
