"""From a graph to a structured plan: sequences, branches, and where branches meet again.

The meaning of a graph: the entry is reached; a step that is reached runs once, after all that lead to it and after the
steps whose results it refers to; a step that ran makes its targets reached (a fork: the targets of the chosen
way); a Finish ends everything at once, and comes as late as the order allows. The plan says the same with nothing but
blocks, so that it can be emitted as code that reads like what it does.

How: every step gets a *block*, the innermost one that all ways to it have in common (the whole graph, or one way out of
a fork). Inside its block a step is reached for sure, or on some ways only; then it is *joined*: the ways to it
set a mark, and the step, with all that hangs on it, runs if the mark is set. Each step appears once in the plan, so
its size is that of the graph, however the branches cross.

A handler of failures from which no way leads back is a *side*: it ends the graph, so what follows the step itself need
not stand in a branch. Where several steps share it, it stands in the plan once for each of them, in a block of its own
at the top. Any other handler is a way out of a fork like others.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TypeAlias

from runtara.dsl.ends import find_two_ends
from runtara.dsl.graph import Graph, Link
from runtara.dsl.sides import find_sides
from runtara.limits import BRANCHES_NESTED_MAX

__all__ = ("Arms", "Body", "Choice", "Conflict", "Flow", "Item", "Joined", "Visit", "structure")

# No route of a Switch can have these names: they begin like the ways of failures.
_JOINED = "onError:joined"
_ASIDE = "onError:aside"

Block: TypeAlias = tuple[tuple[str, str], ...]
"""A block, as the path to it: ways out of forks and into sides, and joined steps (their way is ``_JOINED``).

A shared side is a block at the top: its first step, and the way ``_ASIDE``.
"""


Arms: TypeAlias = "tuple[tuple[str, Body], ...]"
"""Bodies, by the way that leads into them."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Run a step from which one way goes on; then set marks. If it fails, one of its sides runs instead, to an end."""

    step: str
    marks: tuple[str, ...] = ()
    sides: Arms = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """Run a step, then the body of the way that it takes. If it fails, and has sides, one of them runs."""

    step: str
    arms: Arms
    sides: Arms = ()


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
    given_up: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    """For each side, as its step and way: the steps that do not run when it does."""

    def excludes(self, one: str, other: str) -> bool:
        """Whether no run comes to ``one`` and after it to ``other``: they stand on different ways out of one step."""
        if self._gives_up(one, other) or self._gives_up(other, one):
            return True
        if _is_aside(self.blocks[one]) or _is_aside(self.blocks[other]):
            return not _is_aside(self.blocks[other])
        for part, opposite in zip(self.blocks[one], self.blocks[other], strict=False):
            if part != opposite:
                return part[0] == opposite[0]
        return False

    def _gives_up(self, one: str, other: str) -> bool:
        return any(other in self.given_up.get(part, ()) for part in self.blocks[one])


def structure(
    graph: Graph,
    *,
    forks: Mapping[str, tuple[str, ...]],
    ends: Iterable[str],
    needs: Mapping[str, frozenset[str]],
    handlers: Mapping[str, tuple[str, ...]] | None = None,
) -> Flow:
    """The plan of an acyclic graph whose steps are all reached.

    Args:
        graph: The steps and links; ``Graph.find_cycle`` is None.
        forks: The steps that choose, with all their ways; also those along which no edge leads.
        ends: The Finish steps, and all others after which nothing runs.
        needs: For a step, the steps whose results it refers to and that do not come after it.
        handlers: The ways that a step's failure takes. Where they lead to no end, the failure goes on.
    """
    layout = _laid_out(graph, forks, frozenset(ends), needs, handlers or {})
    deepest = max(graph.topological, key=lambda step: len(layout.blocks[step]))
    if len(layout.blocks[deepest]) > BRANCHES_NESTED_MAX:
        return Flow(Body(()), (), layout.blocks, (Conflict("depth", (deepest,)),))
    body = layout.body(())
    two_ends = find_two_ends(graph, layout.ends)
    if two_ends is not None:
        layout.conflicts.append(Conflict("ends", two_ends))
    marks = tuple(step for step in graph.topological if layout.is_joined(step))
    return Flow(
        body=body,
        marks=marks,
        blocks=layout.blocks,
        conflicts=tuple(layout.conflicts),
        given_up=layout.given_up(),
    )


def _laid_out(
    graph: Graph,
    forks: Mapping[str, tuple[str, ...]],
    ends: frozenset[str],
    needs: Mapping[str, frozenset[str]],
    handlers: Mapping[str, tuple[str, ...]],
) -> _Layout:
    sides = find_sides(graph, handlers)
    crossing = {step: ways for step, ways in handlers.items() if step not in sides.ways}
    all_forks = {step: (*crossing.get(step, ()), *forks.get(step, ("next",))) for step in {*forks, *crossing}}
    return _Layout(graph, all_forks, sides.ways, sides.shared, ends, needs)


class _Outcome(Enum):
    """What comes of reaching a step, seen from a step that waits for it."""

    COMES = "the waiting step is reached as well"
    ENDS = "the graph ends before the waiting step's turn"
    NEITHER = "the waiting step may not be reached"


@dataclass
class _Layout:
    graph: Graph
    forks: Mapping[str, tuple[str, ...]]
    sides: Mapping[str, tuple[str, ...]]
    asides: Mapping[str, tuple[str, ...]]
    """The steps whose side is shared, each with the first steps of it."""
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
            blocks[step] = block if self._is_sure(step, block, blocks) else (*block, (step, _JOINED))
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
        return self._inside(link.source, link.way, block) if (link.source, link.way) in self._opening else block

    def _inside(self, step: str, way: str, block: Block) -> Block:
        """The block that a way opens; the step is in ``block``."""
        if step in self.asides and way in self.sides[step]:
            return ((self.asides[step][0], _ASIDE),)
        return (*block, (step, way))

    @cached_property
    def _opening(self) -> frozenset[tuple[str, str]]:
        """The ways that lead into blocks of their own, each with its step."""
        return frozenset((step, way) for step in {*self.sides, *self.forks} for way in self._bodies(step))

    def _bodies(self, step: str) -> tuple[str, ...]:
        """The ways out of a step that lead into blocks of their own."""
        return (*self.sides.get(step, ()), *self.forks.get(step, ()))

    def _into(self, step: str) -> Iterator[Link]:
        return (link for link in self.graph.into[step] if link.source in self.graph.reach)

    def is_joined(self, step: str) -> bool:
        """Whether the step stands at the head of a block of its own."""
        return (step, _JOINED) in self.blocks[step][-1:]

    # -- whether a step is reached for sure

    def _is_sure(self, step: str, block: Block, blocks: Mapping[str, Block]) -> bool:
        if len(list(self._into(step))) < 2:
            return True
        # Who stands in the same block and on all ways to the step is reached for sure, if the block is.
        gate = self._gates[step]
        first = (gate,) if blocks[gate] == block else self._first_steps(block)
        outcomes = self._outcomes(step, first, tuple(part for part in block if part[1] != _JOINED))
        return _of_arms(outcomes[one] for one in first) is _Outcome.COMES

    @cached_property
    def _gates(self) -> Mapping[str, str]:
        """For each step: the last one before it that is on all ways to it. The entry is its own."""
        gates: dict[str, str] = {}
        depth: dict[str, int] = {}
        for step in self.graph.topological:
            sources = [link.source for link in self._into(step)]
            gate = sources[0] if sources else step
            for other in sources[1:]:
                while gate != other:
                    gate, other = (gates[gate], other) if depth[gate] >= depth[other] else (gate, gates[other])
            gates[step], depth[step] = gate, depth.get(gate, -1) + 1
        return gates

    def _first_steps(self, block: Block) -> tuple[str, ...]:
        if not block:
            return (self.graph.entry,)
        step, way = block[-1]
        if way == _ASIDE:
            return next(first for first in self.asides.values() if first[0] == step)
        return (step,) if way == _JOINED else self.graph.targets(step, way)

    def _outcomes(self, waiting: str, first: Iterable[str], block: Block) -> Mapping[str, _Outcome]:
        """For each step between the first ones and one that waits in ``block`` (a plain one): what comes of it."""
        between, stack = set(first), list(first)
        while stack:
            for link in self.graph.out[step] if (step := stack.pop()) != waiting else ():
                if link.target not in between:
                    between.add(link.target)
                    stack.append(link.target)
        outcomes: dict[str, _Outcome] = {}
        for step in sorted(between, key=self._turns.__getitem__, reverse=True):
            outcomes[step] = self._outcome(step, waiting, block, outcomes)
        return outcomes

    @cached_property
    def _turns(self) -> Mapping[str, int]:
        return {step: index for index, step in enumerate(self.graph.topological)}

    def _outcome(self, step: str, waiting: str, block: Block, outcomes: Mapping[str, _Outcome]) -> _Outcome:
        if step == waiting:
            return _Outcome.COMES
        if step in self.ends:
            return _Outcome.ENDS if self._is_before(step, waiting, block) else _Outcome.NEITHER
        if step not in self.forks:
            return _of_arms(outcomes[link.target] for link in self._straight(step))
        return _of_ways(
            _of_arms(outcomes[target] for target in self.graph.targets(step, way)) for way in self.forks[step]
        )

    def _is_before(self, end: str, waiting: str, block: Block) -> bool:
        """Whether the end is in a branch that comes before the waiting step; one beside it waits for its turn, too."""
        own = self._plain_blocks[end]
        return len(own) > len(block) and own[: len(block)] == block and waiting in self.graph.reach[own[len(block)][0]]

    def _straight(self, step: str) -> Iterator[Link]:
        """The links out of a step that is no fork, without those of its failure."""
        aside = frozenset(self.sides.get(step, ()))
        return (link for link in self.graph.out[step] if link.way not in aside)

    # -- the order inside a block

    def body(self, block: Block) -> Body:
        """The block as a plan."""
        marks = self._joined(self._first_steps(block)) if block and block[-1][1] != _JOINED else ()
        return Body(items=tuple(self._item(head, block) for head in self._ordered(block)), marks=marks)

    def _item(self, head: str, block: Block) -> Item:
        if self.blocks[head] != block:
            return Joined(step=head, body=self.body((*block, (head, _JOINED))))
        sides = self._arms(head, self.sides.get(head, ()), block)
        if head in self.forks:
            return Choice(step=head, arms=self._arms(head, self.forks[head], block), sides=sides)
        return Visit(step=head, marks=self._joined(link.target for link in self._straight(head)), sides=sides)

    def _arms(self, head: str, ways: Iterable[str], block: Block) -> Arms:
        return tuple((way, self.body(self._inside(head, way, block))) for way in ways)

    def _joined(self, targets: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(target for target in targets if self.is_joined(target)))

    def _ordered(self, block: Block) -> list[str]:
        heads = self._heads[block]
        after = {head: self._after.get((block, head), frozenset()) for head in heads}
        waits_for = dict.fromkeys(heads, 0)
        for target in (target for targets in after.values() for target in targets):
            waits_for[target] += 1
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
            for way in self._bodies(step):
                heads.setdefault(self._inside(step, way, block), [])
        return {block: tuple(steps) for block, steps in heads.items()}

    @cached_property
    def _after(self) -> Mapping[tuple[Block, str], frozenset[str]]:
        """What must come after an item of a block, in that block."""
        links = ((link.source, step) for step in self.blocks for link in self._into(step))
        needs = ((need, step) for step in self.blocks for need in self.needs.get(step, ()))
        after: dict[tuple[Block, str], set[str]] = {}
        for first, second in (*links, *needs):
            if _aside_of(self.blocks[first]) != _aside_of(self.blocks[second]):
                continue  # A shared side stands where a step failed, and that is after all that it can know.
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
            for depth in range(len(own), -1, -1):
                if own[depth : depth + 1] and own[depth][1] in (*self.sides.get(own[depth][0], ()), _ASIDE):
                    break  # A step is not put off because its failure would be an end.
                ending[own[:depth]].add(self._head_of(step, own[:depth]))
        return {block: frozenset(heads) for block, heads in ending.items()}

    # -- sides

    def given_up(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """See ``Flow.given_up``."""
        found: dict[tuple[str, str], frozenset[str]] = {}
        for step, ways in self.sides.items():
            handling = {target for link in self.graph.out[step] if link.way in ways for target in self._with_all(link)}
            found |= {(step, way): self.graph.reach[step] - handling for way in ways}
        for step, first in self.asides.items():
            shared = (first[0], _ASIDE)
            given_up = found[step, self.sides[step][0]]
            found[shared] = found.get(shared, given_up) & given_up
        return found

    def _with_all(self, link: Link) -> frozenset[str]:
        return self.graph.reach[link.target] | {link.target}


def _is_aside(block: Block) -> bool:
    return bool(block) and block[0][1] == _ASIDE


def _aside_of(block: Block) -> Block:
    """The shared side that the block is in; the empty block for none."""
    return block[:1] if _is_aside(block) else ()


def _common(blocks: Iterable[Block]) -> Block:
    """The innermost block that all of them are in."""
    first, *others = blocks
    for depth, part in enumerate(first):
        if any(len(other) <= depth or other[depth] != part for other in others):
            return first[:depth]
    return first


def _of_arms(outcomes: Iterable[_Outcome]) -> _Outcome:
    """All arms of a fan-out run: the best of them counts. No arm is nothing."""
    return _first_of((_Outcome.COMES, _Outcome.ENDS), outcomes, _Outcome.NEITHER)


def _of_ways(outcomes: Iterable[_Outcome]) -> _Outcome:
    """One way of a fork is taken: the worst of them counts."""
    return _first_of((_Outcome.NEITHER, _Outcome.COMES), outcomes, _Outcome.ENDS)


def _first_of(wanted: Iterable[_Outcome], outcomes: Iterable[_Outcome], otherwise: _Outcome) -> _Outcome:
    found = list(outcomes)
    return next((outcome for outcome in wanted if outcome in found), otherwise)
