"""Where everything goes: layers by the longest path, an order with few crossings, places without overlaps.

The usual steps (Sugiyama, Tagawa, Toda): an arrow that passes layers gets a slot in each of them, so that it runs
beside the boxes; orders are improved by the mean place of the neighbours; places are as near to the neighbours' as the
distances allow. Everything is in pixels, from the left and from above.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

__all__ = ("Box", "Route", "Sheet", "arrange")

Size = tuple[float, float]
Point = tuple[float, float]

_GAP_X: Final = 28.0
_GAP_Y: Final = 58.0
_SLOT_WIDTH: Final = 14.0
_ORDER_SWEEPS: Final = 12
_PLACE_SWEEPS: Final = 8


@dataclass(frozen=True, slots=True)
class Box:
    """Where a node is."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Route:
    """The way of an arrow: straight down inside layers, in curves between them. From above to below."""

    points: tuple[Point, ...]
    is_upward: bool = False
    """The arrow points to the first point: it closes a circle."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A graph with all its places."""

    boxes: Mapping[str, Box]
    routes: tuple[Route, ...]
    """Of the links, in their order."""
    width: float
    height: float


def arrange(sizes: Mapping[str, Size], links: Sequence[tuple[str, str]], labels: Sequence[float] = ()) -> Sheet:
    """Places for nodes of these sizes, and for links whose labels have these widths.

    Total: links in a circle are drawn upwards somewhere.
    """
    plan = _Plan(sizes, links)
    plan.make_room(labels)
    plan.order()
    plan.place()
    return plan.sheet()


@dataclass(slots=True)
class _Slot:
    """A node, or the part of an arrow in one layer."""

    width: float
    height: float
    layer: int
    key: str | None = None
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    x: float = 0.0
    """Of its middle."""
    room: float = 0.0
    """What the labels of its arrows need at least."""

    @property
    def reach(self) -> float:
        """How far it and its labels go to either side."""
        return max(self.width, self.room) / 2


class _Plan:
    def __init__(self, sizes: Mapping[str, Size], links: Sequence[tuple[str, str]]) -> None:
        self._links = links
        self._layer_of = _layers(list(sizes), links)
        self._slots = [_Slot(width, height, self._layer_of[key], key) for key, (width, height) in sizes.items()]
        self._number = {key: number for number, key in enumerate(sizes)}
        self._chains = [self._chain(source, target) for source, target in links]
        count = max(self._layer_of.values(), default=-1) + 1
        self._layers: list[list[int]] = [[] for _ in range(count)]
        for number, slot in enumerate(self._slots):
            self._layers[slot.layer].append(number)

    def _chain(self, source: str, target: str) -> list[int]:
        """The slots of an arrow, from above to below."""
        ends = sorted((self._number[source], self._number[target]), key=lambda number: self._slots[number].layer)
        first, last = self._slots[ends[0]].layer, self._slots[ends[1]].layer
        chain = [ends[0]]
        for layer in range(first + 1, last):
            chain.append(len(self._slots))
            self._slots.append(_Slot(_SLOT_WIDTH, 0.0, layer))
        if last > first:
            chain.append(ends[1])
        for one, other in pairwise(chain):
            self._slots[one].below.append(other)
            self._slots[other].above.append(one)
        return chain

    def make_room(self, labels: Sequence[float]) -> None:
        """Let what follows a label be as far from others as the label is wide."""
        for chain, width in zip(self._chains, labels, strict=False):
            following = self._slots[chain[1 if len(chain) > 1 else 0]]
            following.room = max(following.room, width)

    # -- order

    def order(self) -> None:
        """Give each layer an order in which few arrows cross."""
        best, fewest = [list(layer) for layer in self._layers], self._crossings()
        for sweep in range(_ORDER_SWEEPS):
            if not fewest:
                break
            self._sort_layers(downwards=sweep % 2 == 0)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(layer) for layer in self._layers], crossings
        self._layers = best

    def _sort_layers(self, *, downwards: bool) -> None:
        rank = {number: float(at) for layer in self._layers for at, number in enumerate(layer)}
        for layer in self._layers if downwards else reversed(self._layers):
            wanted = {}
            for number in layer:
                slot = self._slots[number]
                near = slot.above if downwards else slot.below
                wanted[number] = sum(rank[each] for each in near) / len(near) if near else rank[number]
            layer.sort(key=wanted.__getitem__)
            rank.update((number, float(at)) for at, number in enumerate(layer))

    def _crossings(self) -> int:
        rank = {number: at for layer in self._layers for at, number in enumerate(layer)}
        count = 0
        for layer in self._layers:
            ends = [sorted(rank[below] for below in self._slots[number].below) for number in layer]
            count += _inversions([end for those in ends for end in those])
        return count

    # -- places

    def place(self) -> None:
        """Give each slot a place as near to its neighbours' as the distances in its layer allow."""
        for layer in self._layers:
            self._spread(layer, [0.0] * len(layer), [1.0] * len(layer))
        for sweep in range(_PLACE_SWEEPS):
            downwards = sweep % 2 == 0
            for layer in self._layers if downwards else reversed(self._layers):
                wanted = [self._wanted(number, downwards=downwards) for number in layer]
                self._spread(layer, [place for place, _ in wanted], [weight for _, weight in wanted])

    def _wanted(self, number: int, *, downwards: bool) -> tuple[float, float]:
        """Where a slot would like to be, and how much. Arrows want it more than boxes."""
        slot = self._slots[number]
        near = (slot.above if downwards else slot.below) or (slot.below if downwards else slot.above)
        if not near:
            return slot.x, 0.1
        return sum(self._slots[each].x for each in near) / len(near), 1.0 if slot.key is not None else 4.0

    def _spread(self, layer: Sequence[int], wanted: Sequence[float], weights: Sequence[float]) -> None:
        offsets = [0.0]
        for one, other in pairwise(layer):
            distance = self._slots[one].reach + self._slots[other].reach + _GAP_X
            offsets.append(offsets[-1] + distance)
        shifted = [place - offset for place, offset in zip(wanted, offsets, strict=False)]
        for number, place, offset in zip(layer, _not_falling(shifted, weights), offsets, strict=False):
            self._slots[number].x = place + offset

    # -- the result

    def sheet(self) -> Sheet:
        """Everything moved so that it begins at zero."""
        left = min((slot.x - slot.reach for slot in self._slots), default=0.0)
        right = max((slot.x + slot.reach for slot in self._slots), default=0.0)
        for slot in self._slots:
            slot.x -= left
        tops, bottoms = self._heights()
        boxes = {
            slot.key: Box(slot.x - slot.width / 2, tops[slot.layer], slot.width, slot.height)
            for slot in self._slots
            if slot.key is not None
        }
        routes = tuple(self._route(at, tops, bottoms) for at in range(len(self._links)))
        return Sheet(boxes, routes, right - left, bottoms[-1] if bottoms else 0.0)

    def _heights(self) -> tuple[list[float], list[float]]:
        tops, bottoms, y = [], [], 0.0
        for layer in self._layers:
            tops.append(y)
            y += max((self._slots[number].height for number in layer), default=0.0)
            bottoms.append(y)
            y += _GAP_Y
        return tops, bottoms

    def _route(self, at_link: int, tops: Sequence[float], bottoms: Sequence[float]) -> Route:
        chain, points = self._chains[at_link], list[Point]()
        if len(chain) == 1:
            return self._beside(at_link, tops)
        for at, number in enumerate(chain):
            slot = self._slots[number]
            if at > 0:
                points.append((self._port(number, chain[at - 1], slot.above), tops[slot.layer]))
            if at < len(chain) - 1:
                x = self._port(number, chain[at + 1], slot.below)
                points += [(x, tops[slot.layer] + slot.height)] if slot.key is not None else []
                points.append((x, bottoms[slot.layer]))
        return Route(tuple(points), is_upward=self._slots[chain[0]].key != self._links[at_link][0])

    def _beside(self, at_link: int, tops: Sequence[float]) -> Route:
        """Between two nodes of one layer, or from a node to itself: only circles have that."""
        ends = [self._slots[self._number[key]] for key in self._links[at_link]]
        return Route(tuple((slot.x, tops[slot.layer] + slot.height) for slot in ends), is_upward=True)

    def _port(self, number: int, other: int, neighbours: Iterable[int]) -> float:
        """Where at a box an arrow begins or ends: those of many are apart, in the order of their other ends."""
        slot = self._slots[number]
        near = sorted(neighbours, key=lambda each: self._slots[each].x)
        if slot.key is None or len(near) < 2:
            return slot.x
        step = min(26.0, slot.width * 0.7 / (len(near) - 1))
        return slot.x + (near.index(other) - (len(near) - 1) / 2) * step


# ---- arithmetic


def _layers(keys: Sequence[str], links: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The length of the longest way to each node; links that close a circle do not count."""
    targets: dict[str, list[str]] = {key: [] for key in keys}
    for source, target in links:
        targets[source].append(target)
    order = _finished_last_first(keys, targets)
    place = {key: at for at, key in enumerate(order)}
    layer = dict.fromkeys(keys, 0)
    for key in order:
        for target in targets[key]:
            if place[target] > place[key]:
                layer[target] = max(layer[target], layer[key] + 1)
    return layer


def _finished_last_first(keys: Sequence[str], targets: Mapping[str, Sequence[str]]) -> list[str]:
    """A topological order, where there is one; without recursion, since graphs may be long."""
    order: list[str] = []
    seen: set[str] = set()
    for root in keys:
        stack = [] if root in seen else [(root, iter(targets[root]))]
        seen.add(root)
        while stack:
            following = next((target for target in stack[-1][1] if target not in seen), None)
            if following is None:
                order.append(stack.pop()[0])
            else:
                seen.add(following)
                stack.append((following, iter(targets[following])))
    return order[::-1]


def _inversions(numbers: Sequence[int]) -> int:
    """How many pairs are in the wrong order."""
    seen: list[int] = []
    count = 0
    for number in numbers:
        count += len(seen) - bisect_right(seen, number)
        insort(seen, number)
    return count


def _not_falling(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The sequence that never falls and is nearest to the values, by squares (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (one, a, m), (other, b, n) = pools[-2:]
            pools[-2:] = [((one * a + other * b) / (a + b), a + b, m + n)]
    return [value for value, _, count in pools for _ in range(count)]
