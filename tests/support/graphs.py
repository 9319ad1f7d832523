"""Random acyclic graphs of steps, by a number each."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from runtara.dsl.flow import Flow, structure
from runtara.dsl.graph import Graph, Link


@dataclass(frozen=True)
class Case:
    graph: Graph
    forks: frozenset[str]
    ends: frozenset[str]
    fragile: frozenset[str]
    """Steps whose failure is handled."""

    def flow(self, needs: dict[str, frozenset[str]] | None = None) -> Flow:
        return structure(
            self.graph,
            forks=dict.fromkeys(self.forks, ("true", "false")),
            ends=self.ends,
            needs=needs or {},
            handlers=dict.fromkeys(self.fragile, ("onError",)),
        )


def case_of(seed: int) -> Case:
    """A random acyclic graph: links go from lower to higher numbers, and all steps are reached.

    Drawn by a seed of its own: left to Hypothesis, one graph in a hundred had branches that cross.
    """
    chance = Random(seed)
    steps = tuple(f"s{number}" for number in range(chance.randint(1, 14)))
    kinds = {step: chance.choices(["plain", "fork", "end", "fragile"], [4, 5, 2, 3])[0] for step in steps}
    links = tuple(link for step in steps for link in _links_of(step, steps, kinds[step], chance))
    reached = Graph("s0", steps, links).breadth_first
    graph = Graph(
        "s0",
        tuple(step for step in steps if step in reached),
        tuple(link for link in links if link.source in reached),
    )
    forks, ends, fragile = (
        frozenset(step for step in reached if kinds[step] == kind) for kind in ("fork", "end", "fragile")
    )
    return Case(graph, forks, ends, fragile)


def _links_of(step: str, steps: tuple[str, ...], kind: str, chance: Random) -> list[Link]:
    near = steps[steps.index(step) + 1 :][:5]
    ways = {"plain": ["next"], "fork": ["true", "false"], "end": [], "fragile": ["next", "onError"]}[kind]
    arms = {way: chance.choices([0, 1, 2], [1, 10, 3])[0] for way in ways}
    return [Link(step, target, way) for way in ways for target in chance.sample(near, min(arms[way], len(near)))]


def shared_case_of(seed: int) -> Case:
    """A random graph in which all failures have the same handler, of one to three steps; each ends or goes on."""
    chance, case = Random(seed), case_of(seed)
    inner = Graph(case.graph.entry, case.graph.steps, tuple(link for link in case.graph.links if link.way != "onError"))
    kept = inner.breadth_first
    fragile = case.fragile & set(kept)
    handler = tuple(f"h{number}" for number in range(chance.randint(1, 3))) if fragile else ()
    links = [link for link in inner.links if link.source in kept]
    links += [Link(step, handler[0], "onError") for step in sorted(fragile)]
    links += [Link(handler[0], step) for step in handler[1:]]
    ends = {*(case.ends & set(kept)), *(handler[-1:] if chance.random() < 0.7 else ())}
    graph = Graph(case.graph.entry, (*kept, *handler), tuple(links))
    return Case(graph, case.forks & set(kept), frozenset(ends), fragile)
