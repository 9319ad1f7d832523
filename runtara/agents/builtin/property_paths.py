"""Property paths of the agents: names and indices with dots, after an optional ``$.``. Source: dsl.md §12.5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from runtara.agents.errors import AgentError
from runtara.dsl.paths import MISSING, PathMismatch, resolve

__all__ = ("SEGMENTS_MAX", "property_at", "segments_of", "with_property")

SEGMENTS_MAX: Final = 100
"""Names in a path that is written to: each may add a level, and JSON deeper than some hundreds cannot be encoded."""


def segments_of(path: str) -> Sequence[str]:
    """The names in a path; none in the empty path and in ``$``, which mean the whole value."""
    path = "" if path == "$" else path.removeprefix("$.")
    return path.split(".") if path else ()


def property_at(value: Any, path: str) -> Any:
    """The value at a property path; null when it is missing.

    The empty path is the value itself. A name that is asked of an array is missing here, unlike in a reference.
    """
    try:
        found = resolve(value, segments_of(path))
    except PathMismatch:
        return None
    return None if found is MISSING else found


def with_property(target: Any, path: str, value: Any) -> Any:
    """A copy of the target with the value at the path; objects that are missing on the way are made.

    The target itself comes back where there is nothing to set: the path is empty, or leads through something that is no
    object.

    Raises:
        AgentError: ``TRANSFORM_PATH_TOO_LONG``.
    """
    *way, last = segments_of(path) or (None,)
    if len(way) >= SEGMENTS_MAX:
        raise AgentError("TRANSFORM_PATH_TOO_LONG", f"the path has more than {SEGMENTS_MAX} names")
    if last is None or not isinstance(target, dict):
        return target
    changed = here = dict(target)
    for name in way:
        below = here.get(name, {})
        if not isinstance(below, dict):
            return target
        here[name] = dict(below)
        here = here[name]
    here[last] = value
    return changed
