"""Two ends at once: whether one run of a graph comes to two different ends, so that none is the end.

Two walkers go through the graph. At a fork where both stand they take the same way, elsewhere any. The one who is
behind goes first, so they cannot pass the same fork at different times; one at an end waits for the other. In the
largest scenarios the two can be at a million pairs of steps, so a set of steps is a number here, with a bit for each
step by its turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from runtara.dsl.graph import Graph, Link

__all__ = ("find_two_ends",)


def find_two_ends(graph: Graph, ends: Set[str]) -> tuple[str, str] | None:
    """Two different ends that one run of an acyclic graph comes to, if there are any."""
    order = graph.topological
    turn = {step: index for index, step in enumerate(order)}
    at_end = sum(1 << turn[step] for step in ends if step in turn)
    after, beside = _after(graph, turn), _beside(graph, turn)
    # For a walker at each step: where the other can be, behind it and ahead of it.
    behind, ahead = [0] * len(order), [0] * len(order)
    for index, step in enumerate(order):
        others = 0
        for link in _into(graph, step, turn):
            source = turn[link.source]
            others |= ahead[source] | (behind[source] & at_end) | beside[link.source, link.way]
        for other in _bits(others & _below(index)):
            others |= after[other]
        others &= _below(index)
        behind[index] = others
        for other in _bits(others):
            ahead[other] |= 1 << index
        if step in ends and others & at_end:
            return order[next(_bits(others & at_end))], step
    return None


def _after(graph: Graph, turn: Mapping[str, int]) -> list[int]:
    """For each step, by its turn: the steps that come after it."""
    after = [0] * len(turn)
    for step in reversed(graph.topological):
        for link in graph.out[step]:
            after[turn[step]] |= 1 << turn[link.target] | after[turn[link.target]]
    return after


def _beside(graph: Graph, turn: Mapping[str, int]) -> dict[tuple[str, str], int]:
    """For each way out of a step: the steps that it leads to."""
    beside: dict[tuple[str, str], int] = {}
    for link in (link for step in graph.topological for link in graph.out[step]):
        beside[link.source, link.way] = beside.get((link.source, link.way), 0) | 1 << turn[link.target]
    return beside


def _into(graph: Graph, step: str, turn: Mapping[str, int]) -> Iterator[Link]:
    return (link for link in graph.into[step] if link.source in turn)


def _below(index: int) -> int:
    return (1 << index) - 1


def _bits(number: int) -> Iterator[int]:
    """The places of its ones, the lowest first."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
