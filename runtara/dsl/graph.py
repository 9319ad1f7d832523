"""The graph of a scenario as a graph: who follows whom, what can be reached, which order holds.

Pure, and total: a graph with a cycle in it still answers, so that a validator can ask everything at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

__all__ = ("Graph", "Link", "Way")

Way = str
"""Which way out of a step an edge is: ``next``, ``true`` or ``false``."""


@dataclass(frozen=True, slots=True)
class Link:
    """An edge between two steps that exist."""

    source: str
    target: str
    way: Way = "next"


@dataclass(frozen=True)
class Graph:
    """Steps and links, in the order of the document. Equal links count once."""

    entry: str
    steps: tuple[str, ...]
    links: tuple[Link, ...]

    @cached_property
    def out(self) -> Mapping[str, tuple[Link, ...]]:
        """The links that leave a step."""
        return self._grouped(lambda link: link.source)

    @cached_property
    def into(self) -> Mapping[str, tuple[Link, ...]]:
        """The links that enter a step."""
        return self._grouped(lambda link: link.target)

    def _grouped(self, key: Callable[[Link], str]) -> Mapping[str, tuple[Link, ...]]:
        groups: dict[str, list[Link]] = {step: [] for step in self.steps}
        for link in dict.fromkeys(self.links):
            groups[key(link)].append(link)
        return {step: tuple(links) for step, links in groups.items()}

    def targets(self, source: str, way: Way) -> tuple[str, ...]:
        """Where a way out of a step leads."""
        return self._targets.get((source, way), ())

    @cached_property
    def _targets(self) -> Mapping[tuple[str, Way], tuple[str, ...]]:
        found: dict[tuple[str, Way], list[str]] = {}
        for link in dict.fromkeys(self.links):
            found.setdefault((link.source, link.way), []).append(link.target)
        return {way: tuple(targets) for way, targets in found.items()}

    @cached_property
    def breadth_first(self) -> tuple[str, ...]:
        """The steps that the entry reaches, nearest first, in the order of the edges."""
        return tuple(self._walk([self.entry]))

    def reached_from(self, steps: Iterable[str]) -> frozenset[str]:
        """These steps, and all that come after them."""
        return frozenset(self._walk(steps))

    def _walk(self, steps: Iterable[str]) -> dict[str, None]:
        seen = dict.fromkeys(steps)
        queue = deque(seen)
        while queue:
            for link in self.out[queue.popleft()]:
                if link.target not in seen:
                    seen[link.target] = None
                    queue.append(link.target)
        return seen

    @cached_property
    def topological(self) -> tuple[str, ...]:
        """The reached steps, each after all that lead to it; steps on or behind a cycle are left out."""
        reached = dict.fromkeys(self.breadth_first)
        waits_for = {step: sum(link.source in reached for link in self.into[step]) for step in reached}
        order, ready = [], deque(step for step in reached if not waits_for[step])
        while ready:
            order.append(step := ready.popleft())
            for link in self.out[step]:
                waits_for[link.target] -= 1
                if not waits_for[link.target]:
                    ready.append(link.target)
        return tuple(order)

    @cached_property
    def reach(self) -> Mapping[str, frozenset[str]]:
        """For each step in ``topological``: the steps that a run can still come to after it."""
        reach: dict[str, frozenset[str]] = {}
        for step in reversed(self.topological):
            after = [{link.target} | reach.get(link.target, frozenset()) for link in self.out[step]]
            reach[step] = frozenset().union(*after)
        return reach

    def find_cycle(self) -> tuple[str, ...] | None:
        """Steps that lead from one to the next and back to the first, if there are any."""
        tangled = set(self.steps) - set(self.topological)
        tangled = _trimmed(tangled, {step: {link.target for link in self.out[step]} for step in tangled})
        if not tangled:
            return None
        walk = [min(tangled, key=self.steps.index)]
        while True:
            step = next(link.target for link in self.out[walk[-1]] if link.target in tangled)
            if step in walk:
                return tuple(walk[walk.index(step) :])
            walk.append(step)


def _trimmed(steps: Iterable[str], targets: Mapping[str, set[str]]) -> set[str]:
    """Only the steps from which one can walk on for ever."""
    left = set(steps)
    while dead := {step for step in left if not targets[step] & left}:
        left -= dead
    return left
