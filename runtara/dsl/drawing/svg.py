"""A picture as SVG: boxes from above to below, coloured by what they are, with the graphs of loops inside of them.

It needs nothing but itself, neither scripts nor fonts, and has ``data-step``, ``data-from`` and ``data-to`` for whoever
wants to find things in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from runtara.dsl.drawing.labels import LABEL_SIZE, Label, label_width, labels_of
from runtara.dsl.drawing.layout import Box, Point, Route, Sheet, arrange
from runtara.dsl.drawing.lettering import fitted, text_width
from runtara.dsl.drawing.picture import Arrow, Node, Picture
from runtara.dsl.step_types import STEP_TYPES

__all__ = ("Drawing", "draw", "to_svg")

_MARGIN: Final = 24.0
_TITLE_HEIGHT: Final = 34.0
_PADDING: Final = 14.0
_INNER_MARGIN: Final = 18.0
_BOX_WIDTH_MIN: Final = 132.0
_BOX_WIDTH_MAX: Final = 280.0
_START_SIZE: Final = 18.0

_KIND_SIZE: Final = 9.5
_NAME_SIZE: Final = 13.0
_CAPTION_SIZE: Final = 11.0
_BOLD: Final = 1.12
"""How much wider bold letters are."""


@dataclass(frozen=True, slots=True)
class _Colours:
    fill: str
    line: str


_BY_CATEGORY: Final[Mapping[str, _Colours]] = {
    "control": _Colours("#f4f0fc", "#8461c9"),
    "execution": _Colours("#e9f2fd", "#2f74c8"),
    "utility": _Colours("#eef5f0", "#4f8f67"),
}
_BY_KIND: Final[Mapping[str, _Colours]] = {
    "Finish": _Colours("#e6f6ec", "#2b8a4b"),
    "Error": _Colours("#fdecec", "#c93a3a"),
}
_INK: Final = "#1f2430"
_SOFT_INK: Final = "#5b6475"
_LINE: Final = "#8a93a3"
_FAILURE: Final = "#c93a3a"
_FONT: Final = "Inter, 'Segoe UI', system-ui, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A graph with the places of everything, and the drawings inside of its nodes."""

    picture: Picture
    sheet: Sheet
    labels: tuple[Label, ...]
    inner: Mapping[str, Drawing]


def draw(picture: Picture) -> Drawing:
    """Find the places, those of the inner graphs first: they decide how large their boxes are."""
    inner = {node.key: draw(node.inner) for node in picture.nodes if node.inner is not None}
    sizes = {node.key: _size(node, inner.get(node.key)) for node in picture.nodes}
    links = [(arrow.source, arrow.target) for arrow in picture.arrows]
    sheet = arrange(sizes, links, [label_width(arrow.label) for arrow in picture.arrows])
    return Drawing(picture, sheet, labels_of(picture.arrows, sheet.routes), inner)


def to_svg(picture: Picture) -> str:
    """The picture as an SVG document."""
    drawing = draw(picture)
    top = _MARGIN + (_TITLE_HEIGHT if picture.title else 0.0)
    title_width = text_width(picture.title, 16.0) if picture.title else 0.0
    width = max(drawing.sheet.width, title_width) + 2 * _MARGIN
    height = drawing.sheet.height + top + _MARGIN
    left = (width - drawing.sheet.width) / 2
    lines = [
        _opening(width, height),
        f"<title>{_safe(picture.title or 'Scenario')}</title>",
        f'<rect width="{width:.1f}" height="{height:.1f}" rx="10" fill="#ffffff"/>',
        *([_text(picture.title, width / 2, _MARGIN + 14, 16.0, _INK, weight=600)] if picture.title else []),
        *_drawn(drawing, left, top),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _opening(width: float, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.1f} {height:.1f}" role="img" font-family={quoteattr(_FONT)}>'
    )


# ---- sizes


def _size(node: Node, inner: Drawing | None) -> tuple[float, float]:
    if node.kind == "Start":
        return _START_SIZE, _START_SIZE
    texts = (
        text_width(_kind_name(node), _KIND_SIZE) * 1.2,
        text_width(node.title, _NAME_SIZE) * _BOLD,
        text_width(node.caption, _CAPTION_SIZE),
    )
    width = min(_BOX_WIDTH_MAX, max(_BOX_WIDTH_MIN, max(texts) + 2 * _PADDING))
    height = 62.0 if node.caption else 46.0
    if inner is None:
        return width, height
    return max(width, inner.sheet.width + 2 * _INNER_MARGIN), height + inner.sheet.height + _INNER_MARGIN + 6


def _kind_name(node: Node) -> str:
    return STEP_TYPES[node.kind].display_name.upper() if node.kind in STEP_TYPES else node.kind.upper() or "?"


# ---- drawing


def _drawn(drawing: Drawing, left: float, top: float) -> Iterator[str]:
    """Boxes first, then arrows, then their labels, so that nothing is covered that has to be read."""
    sheet = drawing.sheet
    yield f'<g transform="translate({left:.1f} {top:.1f})">'
    for node in drawing.picture.nodes:
        yield from _node(node, sheet.boxes[node.key], drawing.inner.get(node.key))
    for arrow, route in zip(drawing.picture.arrows, sheet.routes, strict=True):
        yield from _arrow(arrow, route)
    for label in drawing.labels:
        yield from _label(label)
    yield "</g>"


def _node(node: Node, box: Box, inner: Drawing | None) -> Iterator[str]:
    if node.kind == "Start":
        radius = _START_SIZE / 2
        yield f'<circle cx="{box.x + radius:.1f}" cy="{box.y + radius:.1f}" r="{radius - 1:.1f}" fill="{_INK}"/>'
        return
    colours = _BY_KIND.get(node.kind) or _BY_CATEGORY[node.category]
    middle, room = box.x + box.width / 2, box.width - 2 * _PADDING + 4
    radius = 22 if node.kind in ("Finish", "Error") and inner is None else 9
    yield f"<g class={quoteattr(f'step {node.category}')} data-step={_attribute(node.key)}>"
    yield f"<title>{_safe(' · '.join(filter(None, (node.kind, node.title, node.caption))))}</title>"
    yield (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{radius}" '
        f'fill="{colours.fill}" stroke="{colours.line}" stroke-width="1.4"/>'
    )
    yield _text(_kind_name(node), middle, box.y + 15, _KIND_SIZE, colours.line, weight=600, spacing=0.6)
    yield _text(fitted(node.title, _NAME_SIZE, room / _BOLD), middle, box.y + 33, _NAME_SIZE, _INK, weight=600)
    if node.caption:
        yield _text(fitted(node.caption, _CAPTION_SIZE, room), middle, box.y + 50, _CAPTION_SIZE, _SOFT_INK)
    if inner is not None:
        yield from _inside(inner, box, 62.0 if node.caption else 46.0)
    yield "</g>"


def _inside(inner: Drawing, box: Box, header: float) -> Iterator[str]:
    """The graph of a loop, on paper of its own."""
    paper = Box(box.x + 8, box.y + header - 4, box.width - 16, box.height - header - 4)
    yield (
        f'<rect x="{paper.x:.1f}" y="{paper.y:.1f}" width="{paper.width:.1f}" height="{paper.height:.1f}" rx="7" '
        f'fill="#ffffff" fill-opacity="0.85"/>'
    )
    yield from _drawn(inner, box.x + (box.width - inner.sheet.width) / 2, box.y + header + 6)


def _arrow(arrow: Arrow, route: Route) -> Iterator[str]:
    colour = _FAILURE if arrow.is_failure else _LINE
    dashes = ' stroke-dasharray="5 4"' if arrow.is_failure else ""
    yield (
        f"<path class={quoteattr('failure' if arrow.is_failure else 'edge')} data-from={_attribute(arrow.source)} "
        f'data-to={_attribute(arrow.target)} d="{_path(route.points)}" fill="none" stroke="{colour}" '
        f'stroke-width="1.5"{dashes}/>'
    )
    (x, y), back = (route.points[0], 8.0) if route.is_upward else (route.points[-1], -8.0)
    yield f'<path d="M{x - 4.5:.1f} {y + back:.1f}L{x:.1f} {y:.1f}L{x + 4.5:.1f} {y + back:.1f}Z" fill="{colour}"/>'


def _path(points: Sequence[Point]) -> str:
    """Straight where it goes straight down, and a curve that leaves and arrives upright where it does not."""
    (x, y), rest = points[0], points[1:]
    parts = [f"M{x:.1f} {y:.1f}"]
    for next_x, next_y in rest:
        if (next_x, next_y) == (x, y):
            continue
        if abs(next_x - x) < 0.5:
            parts.append(f"L{next_x:.1f} {next_y:.1f}")
        else:
            bend = max((next_y - y) * 0.55, 22.0)
            end = next_y - bend if next_y > y else next_y + bend
            parts.append(f"C{x:.1f} {y + bend:.1f} {next_x:.1f} {end:.1f} {next_x:.1f} {next_y:.1f}")
        x, y = next_x, next_y
    return "".join(parts)


def _label(label: Label) -> Iterator[str]:
    box = label.box
    yield (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="8" '
        f'fill="#ffffff" fill-opacity="0.94"/>'
    )
    colour = _FAILURE if label.arrow.is_failure else _SOFT_INK
    yield _text(label.text, box.x + box.width / 2, box.y + 11.8, LABEL_SIZE, colour, weight=500)


# ---- text


def _text(text: str, x: float, y: float, size: float, colour: str, *, weight: int = 400, spacing: float = 0.0) -> str:
    extra = f' letter-spacing="{spacing}"' if spacing else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{colour}" '
        f'text-anchor="middle"{extra}>{_safe(text)}</text>'
    )


def _safe(text: str) -> str:
    return escape(_legal(text))


def _attribute(text: str) -> str:
    return quoteattr(_legal(text))


def _legal(text: str) -> str:
    """What XML cannot hold, as the sign for that."""
    return "".join(letter if _is_legal(ord(letter)) else "�" for letter in text)


def _is_legal(code: int) -> bool:
    return code in (0x9, 0xA, 0xD) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
