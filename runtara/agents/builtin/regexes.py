"""Regular expressions of scenarios, in time that grows with the text only: the syntax of RE2. Source: dsl.md §12.7.

There is no look-around and no reference back to a group. The library is loaded by the first who asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from runtara.agents.builtin.text_sizes import check_characters
from runtara.agents.errors import AgentError

__all__ = ("Pattern", "compile_pattern")

_COMPILED_BYTES_MAX: Final = 10 * 1024 * 1024
_SEARCH_S_MAX: Final = 5.0
_COMPILED_MAX: Final = 128

# $1, ${1}, $name, ${name}, and $$ for a dollar.
_GROUP: Final = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>[0-9]+|[A-Za-z_][A-Za-z0-9_]*)|\{(?P<braced>\w+)\})")


class Pattern:
    """A pattern that can be looked for.

    The time between two matches is linear in the text, but there may be as many matches as characters, each of which
    took a look at all that follows. So the search as a whole has five seconds, after which it is given up with
    ``TEXT_REGEX_TOO_SLOW``; ``seconds`` is the clock.
    """

    def __init__(self, regex: Any) -> None:
        self._regex = regex

    def matches(self, text: str, seconds: Callable[[], float]) -> Iterator[Any]:
        """All matches, from left to right, none within another."""
        until = seconds() + _SEARCH_S_MAX
        for match in self._regex.finditer(text):
            yield match
            if seconds() > until:
                message = f"the pattern is looked for since {_SEARCH_S_MAX:g} seconds, and there is still more text"
                raise AgentError("TEXT_REGEX_TOO_SLOW", message)

    def is_in(self, text: str) -> bool:
        """Whether there is a match."""
        return self._regex.search(text) is not None

    def check_group(self, group: int) -> None:
        """Return when the pattern has a group of that number; 0 is all of it.

        Raises:
            AgentError: ``TEXT_INVALID_REGEX``.
        """
        if not 0 <= group <= self._regex.groups:
            raise _invalid(f"there is no group {group} in it, but {self._regex.groups}")

    def split(self, text: str, most: int, seconds: Callable[[], float]) -> list[str]:
        """What is between the matches, in at most that many pieces; all of them with 0."""
        pieces: list[str] = []
        end = 0
        for match in self.matches(text, seconds):
            if 0 < most <= len(pieces) + 1:
                break
            pieces.append(text[end : match.start()])
            end = match.end()
        return [*pieces, text[end:]]

    def replace(self, text: str, replacement: str, *, every: bool, seconds: Callable[[], float]) -> str:
        """The text with each match (or the first one) replaced; groups are put in for ``$1``, ``$name``, ``${name}``.

        Raises:
            AgentError: ``TEXT_INVALID_REGEX`` when the replacement names a group that there is not;
                ``TEXT_OUTPUT_TOO_LARGE``.
        """
        parts = self._parts_of(replacement)
        pieces, end, length = [], 0, 0
        for match in self.matches(text, seconds):
            new = "".join(part if isinstance(part, str) else match[part] or "" for part in parts)
            pieces += [text[end : match.start()], new]
            length += len(new)
            check_characters(length)
            end = match.end()
            if not every:
                break
        return "".join((*pieces, text[end:]))

    def _parts_of(self, replacement: str) -> list[str | int]:
        parts: list[str | int] = []
        end = 0
        for found in _GROUP.finditer(replacement):
            parts.append(replacement[end : found.start()])
            parts.append("$" if found["dollar"] else self._number_of(found["bare"] or found["braced"]))
            end = found.end()
        return [*parts, replacement[end:]]

    def _number_of(self, group: str) -> int:
        number: int | None = self._regex.groupindex.get(group)
        if number is None and group.isdecimal() and len(group) < 6:
            number = int(group)
        if number is None or number > self._regex.groups:
            raise _invalid(f"the replacement asks for its group {group!r}, which there is not; $$ is a dollar")
        return number


@lru_cache(_COMPILED_MAX)
def compile_pattern(pattern: str, *, case_insensitive: bool = False) -> Pattern:
    """The pattern, ready.

    Raises:
        AgentError: it is none, or needs more than 10 MiB; ``TEXT_INVALID_REGEX``.
    """
    import re2  # 7 ms that only a program with a pattern pays

    options = re2.Options()
    options.case_sensitive = not case_insensitive
    options.max_mem = _COMPILED_BYTES_MAX
    options.log_errors = False
    try:
        return Pattern(re2.compile(pattern, options))
    except re2.error as error:
        said = error.args[0] if error.args else "?"
        raise _invalid(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)) from None


def _invalid(message: str) -> AgentError:
    return AgentError("TEXT_INVALID_REGEX", f"the pattern cannot be used: {message}")
