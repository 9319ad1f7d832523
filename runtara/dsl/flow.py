"""From a graph to a structured plan: sequences, branches, and where branches meet again.

The meaning of a graph: the entry is reached; a step that is reached runs once, after all that lead to it and after the
steps whose results it refers to; a step that ran makes its targets reached (a Conditional: the targets of the chosen
way); a Finish ends everything at once, and comes as late as the order allows. The plan says the same with nothing but
blocks, so that it can be emitted as code that reads like what it does.

How: every step gets a *block*, the innermost one that all ways to it have in common (the whole graph, or one way out of
a Conditional). Inside its block a step is reached for sure, or on some ways only; then it is *joined*: the ways to it
set a mark, and the step, with all that hangs on it, runs if the mark is set. Each step appears once in the plan, so
its size is that of the graph, however the branches cross.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TypeAlias

from runtara.dsl.graph import Graph, Link
from runtara.limits import BRANCHES_NESTED_MAX

__all__ = ("Body", "Choice", "Conflict", "Flow", "Item", "Joined", "Visit", "structure")

_JOINED = "joined"

Block: TypeAlias = tuple[tuple[str, str], ...]
"""A block, as the path to it: ways out of Conditionals, and joined steps (their way is ``joined``)."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Run a step that is no Conditional; then set marks."""

    step: str
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """Run a Conditional, then one of two bodies."""

    step: str
    when_true: Body
    when_false: Body


@dataclass(frozen=True, slots=True)
class Joined:
    """Run a body if the mark of its first step is set."""

    step: str
    body: Body


Item: TypeAlias = Visit | Choice | Joined


@dataclass(frozen=True, slots=True)
class Body:
    """Set marks, then go through the items."""

    items: tuple[Item, ...]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why there is no plan."""

    kind: str
    """``order``: each of the steps would have to come before the others; ``ends``: one run comes to both of these
    Finish steps; ``depth``: the step stands in too many branches."""
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """The plan. With conflicts it is not to be used."""

    body: Body
    marks: tuple[str, ...]
    """All marks, in the order of the steps."""
    blocks: Mapping[str, Block]
    conflicts: tuple[Conflict, ...]

    def excludes(self, one: str, other: str) -> bool:
        """Whether no run can come to both steps, since they stand on different ways out of one Conditional."""
        for part, opposite in zip(self.blocks[one], self.blocks[other], strict=False):
            if part != opposite:
                return part[0] == opposite[0]
        return False


def structure(graph: Graph, *, forks: Iterable[str], ends: Iterable[str], needs: Mapping[str, frozenset[str]]) -> Flow:
    """The plan of an acyclic graph whose steps are all reached.

    Args:
        graph: The steps and links; ``Graph.find_cycle`` is None.
        forks: The Conditionals.
        ends: The Finish steps.
        needs: For a step, the steps whose results it refers to and that do not come after it.
    """
    layout = _Layout(graph, frozenset(forks), frozenset(ends), needs)
    deepest = max(graph.topological, key=lambda step: len(layout.blocks[step]))
    if len(layout.blocks[deepest]) > BRANCHES_NESTED_MAX:
        return Flow(Body(()), (), layout.blocks, (Conflict("depth", (deepest,)),))
    body = layout.body(())
    two_ends = layout.find_two_ends()
    if two_ends is not None:
        layout.conflicts.append(Conflict("ends", two_ends))
    marks = tuple(step for step in graph.topological if layout.is_joined(step))
    return Flow(body=body, marks=marks, blocks=layout.blocks, conflicts=tuple(layout.conflicts))


class _Outcome(Enum):
    """What comes of reaching a step, seen from a step that waits for it."""

    COMES = "the waiting step is reached as well"
    ENDS = "the scenario ends before the waiting step's turn"
    NEITHER = "the waiting step may not be reached"


@dataclass
class _Layout:
    graph: Graph
    forks: frozenset[str]
    ends: frozenset[str]
    needs: Mapping[str, frozenset[str]]
    conflicts: list[Conflict] = field(default_factory=list)

    # -- which block a step stands in

    @cached_property
    def blocks(self) -> Mapping[str, Block]:
        """The block of each step."""
        blocks: dict[str, Block] = {}
        for step in self.graph.topological:
            block = _common(self._positions(step, blocks))
            blocks[step] = block if self._is_sure(step, block) else (*block, (step, _JOINED))
        return blocks

    @cached_property
    def _plain_blocks(self) -> Mapping[str, Block]:
        """The blocks as they would be without joined ones."""
        blocks: dict[str, Block] = {}
        for step in self.graph.topological:
            blocks[step] = _common(self._positions(step, blocks))
        return blocks

    def _positions(self, step: str, blocks: Mapping[str, Block]) -> list[Block]:
        return [self._position(link, blocks) for link in self._into(step)] or [()]

    def _position(self, link: Link, blocks: Mapping[str, Block]) -> Block:
        block = blocks[link.source]
        return (*block, (link.source, link.way)) if link.source in self.forks else block

    def _into(self, step: str) -> Iterator[Link]:
        return (link for link in self.graph.into[step] if link.source in self.graph.reach)

    def is_joined(self, step: str) -> bool:
        """Whether the step stands at the head of a block of its own."""
        return (step, _JOINED) in self.blocks[step][-1:]

    # -- whether a step is reached for sure

    def _is_sure(self, step: str, block: Block) -> bool:
        if len(list(self._into(step))) < 2:
            return True
        outcomes = self._outcomes(step, tuple(part for part in block if part[1] != _JOINED))
        return _of_arms(outcomes[first] for first in self._first_steps(block)) is _Outcome.COMES

    def _first_steps(self, block: Block) -> tuple[str, ...]:
        if not block:
            return (self.graph.entry,)
        step, way = block[-1]
        return (step,) if way == _JOINED else self.graph.targets(step, way)

    def _outcomes(self, waiting: str, block: Block) -> Mapping[str, _Outcome]:
        """For each step: what comes of it for one that waits in ``block`` (a plain one)."""
        outcomes: dict[str, _Outcome] = {}
        for step in reversed(self.graph.topological):
            outcomes[step] = self._outcome(step, waiting, block, outcomes)
        return outcomes

    def _outcome(self, step: str, waiting: str, block: Block, outcomes: Mapping[str, _Outcome]) -> _Outcome:
        if step == waiting:
            return _Outcome.COMES
        if step in self.ends:
            # Only an end inside a branch comes before the waiting step; one beside it waits for its turn, too.
            inside = len(self._plain_blocks[step]) > len(block) and self._plain_blocks[step][: len(block)] == block
            return _Outcome.ENDS if inside else _Outcome.NEITHER
        if step not in self.forks:
            return _of_arms(outcomes[link.target] for link in self.graph.out[step])
        return _of_ways(
            _of_arms(outcomes[target] for target in self.graph.targets(step, way)) for way in ("true", "false")
        )

    # -- the order inside a block

    def body(self, block: Block) -> Body:
        """The block as a plan."""
        marks = self._marks_at(block) if block and block[-1][1] != _JOINED else ()
        return Body(items=tuple(self._item(head, block) for head in self._ordered(block)), marks=marks)

    def _item(self, head: str, block: Block) -> Item:
        if self.blocks[head] != block:
            return Joined(step=head, body=self.body((*block, (head, _JOINED))))
        if head in self.forks:
            ways = {way: self.body((*block, (head, way))) for way in ("true", "false")}
            return Choice(step=head, when_true=ways["true"], when_false=ways["false"])
        return Visit(step=head, marks=self._joined_targets(self.graph.out[head]))

    def _marks_at(self, block: Block) -> tuple[str, ...]:
        step, way = block[-1]
        return self._joined_targets(link for link in self.graph.out[step] if link.way == way)

    def _joined_targets(self, links: Iterable[Link]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(link.target for link in links if self.is_joined(link.target)))

    def _ordered(self, block: Block) -> list[str]:
        heads = self._heads[block]
        after = {head: self._after.get((block, head), frozenset()) for head in heads}
        waits_for = {head: sum(head in targets for targets in after.values()) for head in heads}
        ready = [self._rank(head, block) for head in heads if not waits_for[head]]
        heapq.heapify(ready)
        order: list[str] = []
        while ready:
            head = heapq.heappop(ready)[-1]
            order.append(head)
            for target in after[head]:
                waits_for[target] -= 1
                if not waits_for[target]:
                    heapq.heappush(ready, self._rank(target, block))
        if len(order) < len(heads):
            self.conflicts.append(Conflict("order", tuple(head for head in heads if waits_for[head] > 0)))
        return order

    def _rank(self, head: str, block: Block) -> tuple[bool, int, str]:
        """Ends come last; otherwise the nearest to the entry comes first."""
        return (head in self._ending[block], self._nearness[head], head)

    @cached_property
    def _nearness(self) -> Mapping[str, int]:
        return {step: index for index, step in enumerate(self.graph.breadth_first)}

    @cached_property
    def _heads(self) -> Mapping[Block, tuple[str, ...]]:
        """The items of each block, by the step that stands at their head."""
        heads: dict[Block, list[str]] = {}
        for step, block in self.blocks.items():
            home = block[:-1] if self.is_joined(step) else block
            heads.setdefault(home, []).append(step)
            if self.is_joined(step):
                heads.setdefault(block, []).append(step)
            for way in ("true", "false") if step in self.forks else ():
                heads.setdefault((*block, (step, way)), [])
        return {block: tuple(steps) for block, steps in heads.items()}

    @cached_property
    def _after(self) -> Mapping[tuple[Block, str], frozenset[str]]:
        """What must come after an item of a block, in that block."""
        links = ((link.source, step) for step in self.blocks for link in self._into(step))
        needs = ((need, step) for step in self.blocks for need in self.needs.get(step, ()))
        after: dict[tuple[Block, str], set[str]] = {}
        for first, second in (*links, *needs):
            block = _common([self.blocks[first], self.blocks[second]])
            before, behind = self._head_of(first, block), self._head_of(second, block)
            if before != behind:
                after.setdefault((block, before), set()).add(behind)
        return {key: frozenset(steps) for key, steps in after.items()}

    def _head_of(self, step: str, block: Block) -> str:
        """The item of ``block`` that ``step`` is in."""
        own = self.blocks[step]
        return step if own == block else own[len(block)][0]

    @cached_property
    def _ending(self) -> Mapping[Block, frozenset[str]]:
        """The items of each block that have a Finish in them."""
        ending: dict[Block, set[str]] = {block: set() for block in self._heads}
        for step in self.ends & self.blocks.keys():
            own = self.blocks[step]
            for depth in range(len(own) + 1):
                ending[own[:depth]].add(self._head_of(step, own[:depth]))
        return {block: frozenset(heads) for block, heads in ending.items()}

    # -- two ends at once

    def find_two_ends(self) -> tuple[str, str] | None:
        """Two different Finish steps that one run comes to, if there are any.

        Two walkers go through the graph; at a Conditional where both stand they take the same way, elsewhere any. The
        one who is behind goes first, so they cannot pass the same Conditional at different times.
        """
        turn = {step: index for index, step in enumerate(self.graph.topological)}
        begin = (self.graph.entry, self.graph.entry)
        seen, queue = {begin}, [begin]
        while queue:
            one, other = queue.pop()
            if one != other and {one, other} <= self.ends:
                return one, other
            for pair in self._next_pairs(one, other):
                pair = (pair[0], pair[1]) if turn[pair[0]] <= turn[pair[1]] else (pair[1], pair[0])
                if pair not in seen:
                    seen.add(pair)
                    queue.append(pair)
        return None

    def _next_pairs(self, one: str, other: str) -> Iterator[tuple[str, str]]:
        """Where two walkers can be next, of whom the first is not ahead."""
        if one != other:
            # An end goes nowhere: its walker waits for the other.
            movable, fixed = (other, one) if one in self.ends else (one, other)
            return ((link.target, fixed) for link in self.graph.out[movable])
        links = self.graph.out[one]
        return ((a.target, b.target) for a in links for b in links if a.way == b.way)


def _common(blocks: Iterable[Block]) -> Block:
    """The innermost block that all of them are in."""
    first, *others = blocks
    for depth, part in enumerate(first):
        if any(len(other) <= depth or other[depth] != part for other in others):
            return first[:depth]
    return first


def _of_arms(outcomes: Iterable[_Outcome]) -> _Outcome:
    """All arms of a fan-out run: the best of them counts. No arm is nothing."""
    found = set(outcomes)
    return next((outcome for outcome in (_Outcome.COMES, _Outcome.ENDS) if outcome in found), _Outcome.NEITHER)


def _of_ways(outcomes: Iterable[_Outcome]) -> _Outcome:
    """One way of a Conditional is taken: the worst of them counts."""
    found = set(outcomes)
    return next((outcome for outcome in (_Outcome.NEITHER, _Outcome.COMES) if outcome in found), _Outcome.ENDS)
