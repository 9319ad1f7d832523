"""Where the labels of arrows stand: on their arrows, below the step that is left, and not on each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from runtara.dsl.drawing.layout import Box, Point, Route
from runtara.dsl.drawing.lettering import fitted, text_width
from runtara.dsl.drawing.picture import Arrow

__all__ = ("LABEL_SIZE", "Label", "label_width", "labels_of")

LABEL_SIZE: Final = 10.5
_LABEL_WIDTH_MAX: Final = 180.0
_HEIGHT: Final = 16.0
_SHARES: Final = (0.55, 0.75, 1.0, 0.4, 0.15)
"""How far along the first bend labels may stand: the nearer to the next step, the farther from each other."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label in its place."""

    arrow: Arrow
    text: str
    box: Box


def label_width(text: str) -> float:
    """The room that a label takes; none for no label."""
    return text_width(fitted(text, LABEL_SIZE, _LABEL_WIDTH_MAX), LABEL_SIZE) + 10 if text else 0.0


def labels_of(arrows: Sequence[Arrow], routes: Sequence[Route]) -> tuple[Label, ...]:
    """The labels of all arrows that have one."""
    groups: dict[str, list[tuple[Arrow, Route]]] = {}
    for arrow, route in zip(arrows, routes, strict=True):
        if arrow.label:
            groups.setdefault(arrow.source, []).append((arrow, route))
    made: list[Label] = []
    for group in groups.values():
        made += _group(group, made)
    return tuple(made)


def _group(group: Sequence[tuple[Arrow, Route]], others: Sequence[Label]) -> list[Label]:
    """The labels of one step's arrows: all as far along, where that can be read, else each where there is room."""
    for share in _SHARES:
        labels = [_label(arrow, route, share) for arrow, route in group]
        if not any(_collides(label, [*others, *labels]) for label in labels):
            return labels
    made: list[Label] = []
    for arrow, route in group:
        places = [_label(arrow, route, share) for share in _SHARES]
        made.append(next((each for each in places if not _collides(each, [*others, *made])), places[0]))
    return made


def _label(arrow: Arrow, route: Route, share: float) -> Label:
    text = fitted(arrow.label, LABEL_SIZE, _LABEL_WIDTH_MAX)
    return Label(arrow, text, _around(_on_bend(route.points, share), label_width(arrow.label)))


def _collides(label: Label, others: Iterable[Label]) -> bool:
    return any(_overlap(label.box, other.box) for other in others if other is not label)


def _around(middle: Point, width: float) -> Box:
    return Box(middle[0] - width / 2, middle[1] - _HEIGHT / 2, width, _HEIGHT)


def _on_bend(points: Sequence[Point], share: float) -> Point:
    """A point of the curve between the layer of the source and the next one."""
    if len(points) < 3:
        return points[0][0], points[0][1] + 24
    (x, y), (end_x, end_y) = points[1], points[2]
    eased = share * share * (3 - 2 * share)
    return x + (end_x - x) * eased, y + (end_y - y) * (0.5 + (share - 0.5) * 0.42)


def _overlap(one: Box, other: Box) -> bool:
    apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
    return not apart_x and one.y < other.y + other.height and other.y < one.y + one.height
