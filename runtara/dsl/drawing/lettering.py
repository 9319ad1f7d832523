"""How wide a text is, without a font: on the safe side of what the usual sans-serif ones need."""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ("fitted", "text_width")

_NARROW: Final = frozenset("iljtfrI.,:;'|!()[]{} -/")
_BROAD: Final = frozenset("mwMWGOQ@%—…")


def text_width(text: str, size: float) -> float:
    """The width at that size, in the same unit."""
    return size * sum(map(_em, text))


def _em(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.05
    if letter in _NARROW:
        return 0.36
    if letter in _BROAD:
        return 0.92
    return 0.7 if letter.isupper() else 0.58


def fitted(text: str, size: float, room: float) -> str:
    """The text, or as much of it as fits, with an ellipsis."""
    if text_width(text, size) <= room:
        return text
    left = room - text_width("…", size)
    for end, letter in enumerate(text):
        left -= size * _em(letter)
        if left < 0:
            return text[:end].rstrip() + "…"
    return text
