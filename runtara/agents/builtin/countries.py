"""From the name of a country, as people write it, to its ISO 3166-1 codes. Source: dsl.md §12.6."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from runtara.agents.builtin.country_names import COUNTRIES
from runtara.agents.errors import AgentError

__all__ = ("NAME_CHARACTERS_MAX", "Country", "find_country")

NAME_CHARACTERS_MAX: Final = 200
"""Three times the longest name of a country; a longer text is no name, and takes long to compare."""

_DISTANCE_ALWAYS_ALLOWED: Final = 3
_LEFT_OUT: Final = frozenset({"the", "of", "and"})
_FORM: Final = re.compile(
    r"(?:\w+ ){0,3}"
    r"(?:republic|kingdom|states?|principality|duchy|sultanate|commonwealth|union|federation|emirate|islands?)"
    r" of (?:the )?(?P<name>.+)"
)
_NO_DECOMPOSITION: Final = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae"})


class Country(NamedTuple):
    """A country of ISO 3166-1."""

    alpha2: str
    alpha3: str
    name: str
    """The usual one, in English."""


def find_country(name: str) -> Country:
    """The country of that name or code.

    First the names and codes themselves; then the name after a form like "Kingdom of"; then the most similar name,
    which may be 3 letters off, or a quarter of the letters of a long one, but not more than half of a short one.

    Raises:
        AgentError: ``UTILS_COUNTRY_NOT_FOUND``, also for a text that is too long; ``UTILS_COUNTRY_AMBIGUOUS`` when
            several countries are equally similar.
    """
    if len(name) > NAME_CHARACTERS_MAX:
        raise AgentError("UTILS_COUNTRY_NOT_FOUND", f"a country's name has {NAME_CHARACTERS_MAX} characters at most")
    normal = _normal(name)
    exact = _find_exact(normal)
    found = _most_similar(normal) if exact is None else {exact}
    if not found:
        raise AgentError("UTILS_COUNTRY_NOT_FOUND", f"there is no country like {name!r}", attributes={"name": name})
    if len(found) > 1:
        candidates = ", ".join(sorted(country.name for country in found))
        raise AgentError("UTILS_COUNTRY_AMBIGUOUS", f"{name!r} may be {candidates}", attributes={"name": name})
    return found.pop()


def _normal(name: str) -> str:
    """Lower case, no accents, single spaces for what is no letter; "Iran, Republic of" the other way round."""
    turned = " ".join(reversed(re.split("[,(]", name, maxsplit=1)))
    plain = unicodedata.normalize("NFKD", turned.casefold().translate(_NO_DECOMPOSITION))
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return " ".join(re.findall(r"\w+", re.sub(r"['’.]", "", letters)))


def _words_of(normal: str) -> frozenset[str]:
    return frozenset(normal.split()) - _LEFT_OUT


@dataclass(frozen=True, slots=True)
class _Index:
    by_code: Mapping[str, Country]
    by_name: Mapping[str, Country]
    by_words: Mapping[frozenset[str], Country]


@cache
def _index() -> _Index:
    by_code = {code.lower(): country for country, _ in _rows() for code in country[:2]}
    by_name = {_normal(name): country for country, names in _rows() for name in names}
    return _Index(by_code, by_name, {_words_of(name): country for name, country in by_name.items()})


def _rows() -> Iterator[tuple[Country, list[str]]]:
    for row in COUNTRIES.strip().splitlines():
        alpha2, alpha3, names = row.split(" ", 2)
        parts = names.split(" | ")
        yield Country(alpha2, alpha3, parts[0]), parts


def _find_exact(name: str) -> Country | None:
    index = _index()
    found = index.by_code.get(name) or index.by_words.get(_words_of(name))
    form = _FORM.fullmatch(name)
    return index.by_words.get(_words_of(form["name"])) if found is None and form else found


def _most_similar(name: str) -> set[Country]:
    allowed = min(max(_DISTANCE_ALWAYS_ALLOWED, len(name) // 4), len(name) // 2)
    nearest: set[Country] = set()
    for candidate, country in _index().by_name.items():
        distance = _distance(name, candidate, allowed)
        if distance > allowed:
            continue
        if distance < allowed:
            allowed, nearest = distance, set()
        nearest.add(country)
    return nearest


def _distance(one: str, other: str, limit: int) -> int:
    """How many letters must be put in, taken out or replaced to make one of the other; any number above the limit."""
    if abs(len(one) - len(other)) > limit:
        return limit + 1
    row: Iterable[int] = range(len(other) + 1)
    for index, letter in enumerate(one, start=1):
        row = _next_row(list(row), letter, other, index)
    return list(row)[-1]


def _next_row(above: list[int], letter: str, other: str, first: int) -> list[int]:
    row = [first]
    for index, candidate in enumerate(other):
        row.append(min(above[index] + (letter != candidate), above[index + 1] + 1, row[index] + 1))
    return row
