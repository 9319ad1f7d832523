"""Texts cut, padded, wrapped, simplified, compared, and looked through for what is in them. Source: dsl.md §12.7.

Lengths are numbers of characters, so that no character is cut in two.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import chain
from typing import Final, Literal

from runtara.agents.builtin.text_sizes import check_characters
from runtara.agents.errors import AgentError

__all__ = (
    "Direction",
    "distance",
    "emails_in",
    "lines_of",
    "numbers_in",
    "pad",
    "replace_all",
    "slugify",
    "truncate",
    "urls_in",
    "wrap",
)

Direction = Literal["left", "right", "both"]

_COMPARED_CHARACTERS_MAX: Final = 50_000
_DIGITS_MAX: Final = 300

_LETTERS: Final = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l"})
"""Small letters that are more than a letter with an accent."""

_NUMBERS: Final = re.compile(r"(?P<minus>(?<![\w.])-)?[0-9]+(?:\.[0-9]+)?")
_WHOLE_NUMBERS: Final = re.compile(r"(?P<minus>(?<![\w.])-)?[0-9]+")
_EMAIL: Final = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.[A-Za-z]{2,}"
_URL: Final = r"(?i:https?|ftp)://[^\s<>\x22`{}|\\^]+"
_CLOSING: Final = {")": "(", "]": "["}


def lines_of(text: str) -> list[str]:
    """The lines, without their ends: a line feed, with or without a carriage return."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def replace_all(text: str, pattern: str, replacement: str) -> str:
    """The text with another one for a part of it, everywhere; an empty part is nowhere."""
    if not pattern:
        return text
    check_characters(len(text) + text.count(pattern) * (len(replacement) - len(pattern)))
    return text.replace(pattern, replacement)


def slugify(text: str) -> str:
    """What can stand in a URL: small letters of ASCII, digits, and single hyphens in between."""
    plain = unicodedata.normalize("NFKD", text.lower().translate(_LETTERS))
    kept = re.sub(r"[^a-z0-9-]", "", re.sub(r"\s+", "-", plain))
    return re.sub(r"-+", "-", kept).strip("-")


def pad(text: str, length: int, character: str, direction: Direction) -> str:
    """The text with characters added up to the length; when both sides cannot have the same, the right one has more."""
    missing = max(length - len(text), 0)
    check_characters(len(text) + missing)
    left = {"left": missing, "right": 0, "both": missing // 2}[direction]
    return character * left + text + character * (missing - left)


def truncate(text: str, length: int, suffix: str, *, word_boundary: bool) -> str:
    """The text with at most that many characters, the suffix of a text that was cut among them."""
    if len(text) <= length:
        return text
    if len(suffix) >= length:
        return suffix[:length]
    cut = text[: length - len(suffix)]
    if word_boundary and not text[len(cut)].isspace() and re.search(r"\s", cut):
        cut = cut[: len(cut) - len(re.split(r"\s", cut)[-1])]
    return (cut.rstrip() if word_boundary else cut) + suffix


def wrap(text: str, width: int, *, preserve_newlines: bool) -> str:
    """The words of the text in lines of at most that width, as many in each as fit; longer words are broken."""
    paragraphs = lines_of(text) if preserve_newlines else [text]
    return "\n".join("\n".join(_wrapped(paragraph.split(), width)) for paragraph in paragraphs)


def _wrapped(words: list[str], width: int) -> Iterator[str]:
    line: list[str] = []
    room = width
    for word in chain.from_iterable(_pieces(word, width) for word in words):
        if line and len(word) + 1 > room:
            yield " ".join(line)
            line, room = [], width
        room -= len(word) + bool(line)
        line.append(word)
    yield " ".join(line)


def _pieces(word: str, width: int) -> Iterator[str]:
    return (word[start : start + width] for start in range(0, len(word), width))


def numbers_in(text: str, *, decimals: bool, negative: bool) -> list[int | float]:
    """The numbers in the text, in order. A minus counts when no word, number or point is right before it.

    Raises:
        AgentError: a number is beyond those of computers; ``TEXT_NUMBER_OUT_OF_RANGE``.
    """
    found = (_NUMBERS if decimals else _WHOLE_NUMBERS).finditer(text)
    return [_number(match.group() if negative else match.group().lstrip("-")) for match in found]


def _number(digits: str) -> int | float:
    whole = digits.partition(".")[0]
    if len(whole) > _DIGITS_MAX:
        raise AgentError("TEXT_NUMBER_OUT_OF_RANGE", f"a number has {len(whole)} digits, and may have {_DIGITS_MAX}")
    return float(digits) if "." in digits or len(digits) > 18 else int(digits)


def emails_in(text: str) -> list[str]:
    """What looks like an address of electronic mail."""
    return _found(_EMAIL, text)


def urls_in(text: str) -> list[str]:
    """URLs of http, https and ftp, without the marks of the sentence around them."""
    return [url for url in map(_without_marks, _found(_URL, text)) if not url.endswith("://")]


def _found(pattern: str, text: str) -> list[str]:
    import re2  # see ``regexes``

    return [match.group() for match in re2.finditer(pattern, text)]


def _without_marks(url: str) -> str:
    end = len(url)
    while end and (url[end - 1] in ".,;:!?'" or _is_unopened(url, end)):
        end -= 1
    return url[:end]


def _is_unopened(url: str, end: int) -> bool:
    opening = _CLOSING.get(url[end - 1])
    return opening is not None and opening not in url[:end]


def distance(one: str, other: str) -> int:
    """How many characters have to be put in, left out or changed to make one text of the other.

    Raises:
        AgentError: a text is too long for that; ``TEXT_TOO_LONG``.
    """
    longest = max(len(one), len(other))
    if longest > _COMPARED_CHARACTERS_MAX:
        message = f"a text of {longest} characters is not compared, but one of {_COMPARED_CHARACTERS_MAX}"
        raise AgentError("TEXT_TOO_LONG", message)
    return _distance(one, other) if one and other else len(one) + len(other)


def _distance(one: str, other: str) -> int:
    """A column of the table at a time, as bits of two numbers: where it goes up, and where it goes down.

    Source: Hyyrö, A Bit-Vector Algorithm for Computing Levenshtein and Damerau Edit Distances, 2003.
    """
    places: dict[str, int] = {}
    for position, character in enumerate(one):
        places[character] = places.get(character, 0) | 1 << position
    every, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    up, down, result = every, 0, len(one)
    for character in other:
        same = places.get(character, 0)
        diagonal = ((((same & up) + up) ^ up) | same | down) & every
        right, left = down | (~(diagonal | up) & every), up & diagonal
        result += bool(right & last) - bool(left & last)
        right, left = (right << 1 | 1) & every, left << 1 & every
        up, down = left | (~(diagonal | right) & every), right & diagonal
    return result
