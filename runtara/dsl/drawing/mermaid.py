"""A picture as Mermaid text, which many places where people write render by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from runtara.dsl.drawing.picture import Arrow, Node, Picture

__all__ = ("to_mermaid",)

_SHAPES: Final[Mapping[str, tuple[str, str]]] = {
    "Start": ("((", "))"),
    "Finish": ("([", "])"),
    "Error": ("([", "])"),
    "Conditional": ("{", "}"),
    "Switch": ("{", "}"),
}
"""What stands around the text of a step; a rounded box where nothing is said."""

_CLASSES: Final[Mapping[str, str]] = {
    "control": "fill:#f4f0fc,stroke:#8461c9,color:#1f2430",
    "execution": "fill:#e9f2fd,stroke:#2f74c8,color:#1f2430",
    "utility": "fill:#eef5f0,stroke:#4f8f67,color:#1f2430",
    "ending": "fill:#e6f6ec,stroke:#2b8a4b,color:#1f2430",
    "failing": "fill:#fdecec,stroke:#c93a3a,color:#1f2430",
}
_CLASS_OF_KIND: Final[Mapping[str, str]] = {"Finish": "ending", "Error": "failing"}


def to_mermaid(picture: Picture) -> str:
    """The text of a flowchart."""
    names = {node.key: f"n{number}" for number, node in enumerate(_all_nodes(picture))}
    lines = ["flowchart TD", *_graph(picture, names, "  ")]
    for name, style in _CLASSES.items():
        members = [names[node.key] for node in _all_nodes(picture) if _class_of(node) == name]
        if members:
            lines += [f"  classDef {name} {style}", f"  class {','.join(members)} {name}"]
    return "\n".join(lines) + "\n"


def _class_of(node: Node) -> str:
    return _CLASS_OF_KIND.get(node.kind, node.category) if node.inner is None else ""


def _all_nodes(picture: Picture) -> Iterator[Node]:
    for node in picture.nodes:
        yield node
        if node.inner is not None:
            yield from _all_nodes(node.inner)


def _graph(picture: Picture, names: Mapping[str, str], pad: str) -> Iterator[str]:
    for node in picture.nodes:
        yield from _node(node, names, pad)
    for arrow in picture.arrows:
        yield pad + _arrow(arrow, names)


def _node(node: Node, names: Mapping[str, str], pad: str) -> Iterator[str]:
    name = names[node.key]
    if node.inner is not None:
        yield f'{pad}subgraph {name}["{_text(node)}"]'
        yield f"{pad}  direction TB"
        yield from _graph(node.inner, names, pad + "  ")
        yield f"{pad}end"
        return
    opening, closing = _SHAPES.get(node.kind, ("(", ")"))
    yield f'{pad}{name}{opening}"{_text(node)}"{closing}'


def _text(node: Node) -> str:
    if node.kind == "Start":
        return " "
    return "<br/>".join(filter(None, (_escaped(node.title), _escaped(node.kind), _escaped(node.caption))))


def _arrow(arrow: Arrow, names: Mapping[str, str]) -> str:
    line = "-.->" if arrow.is_failure else "-->"
    label = f'|"{_escaped(arrow.label)}"|' if arrow.label else ""
    return f"{names[arrow.source]} {line}{label} {names[arrow.target]}"


def _escaped(text: str) -> str:
    """Any text as Mermaid reads it inside quotes: what has a meaning there becomes the number of its character."""
    return "".join(letter if _is_plain(letter) else f"#{ord(letter)};" for letter in text)


def _is_plain(letter: str) -> bool:
    return letter.isalnum() or letter in " .,_-/@" or (not letter.isascii() and letter.isprintable())
