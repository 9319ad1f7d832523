"""Values of lists: filtering, grouping, and the cases of a Switch. Sources: dsl.md §3.4, §3.11, §3.12."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from runtara.dsl.paths import MISSING, PathMismatch, resolve
from runtara.stdlib import conditions as c
from runtara.stdlib.steps import Case
from runtara.stdlib.values import encode_value

__all__ = ("filtered", "grouped", "matching")

_NO_GROUP: Final = "_null"


def filtered(value: Any, keeps: Callable[[Any], bool]) -> dict[str, Any]:
    """The elements that are kept, in their order; none of what is no array."""
    items = [item for item in value if keeps(item)] if isinstance(value, list) else []
    return {"items": items, "count": len(items)}


def grouped(value: Any, key: Sequence[str], expected: Iterable[str]) -> dict[str, Any]:
    """The elements by the value at a path inside them; the expected groups first, even if nothing is in them."""
    groups: dict[str, list[Any]] = {name: [] for name in expected}
    for item in value if isinstance(value, list) else ():
        groups.setdefault(_group_of(item, key), []).append(item)
    counts = {name: len(items) for name, items in groups.items()}
    return {"groups": groups, "counts": counts, "total_groups": len(groups)}


def _group_of(item: Any, key: Sequence[str]) -> str:
    try:
        value = resolve(item, key)
    except PathMismatch:
        value = None
    if value is None or value is MISSING:
        return _NO_GROUP
    return value if isinstance(value, str) else encode_value(value).decode()


# ---- Switch


def matching(value: Any, cases: Iterable[Case]) -> Case | None:
    """The first case that matches."""
    return next((case for case in cases if _MATCHES[case.match_type](value, case.match)), None)


def _equals(value: Any, match: Any) -> bool:
    """An array to compare with stands for each of its elements."""
    return c.is_in(value, match) if isinstance(match, list) and not isinstance(value, list) else c.equal(value, match)


def _between(value: Any, match: Any) -> bool:
    return isinstance(match, list) and len(match) >= 2 and c.at_least(value, match[0]) and c.at_most(value, match[1])


def _in_range(value: Any, match: Any) -> bool:
    bounds = match if isinstance(match, dict) else {}
    return all(compare(value, bounds[name]) for name, compare in _BOUNDS.items() if name in bounds)


_BOUNDS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gte": c.at_least,
    "gt": c.greater,
    "lte": c.at_most,
    "lt": c.less,
}

_MATCHES: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "EQ": _equals,
    "NE": lambda value, match: not _equals(value, match),
    "GT": c.greater,
    "GTE": c.at_least,
    "LT": c.less,
    "LTE": c.at_most,
    "STARTS_WITH": c.starts_with,
    "ENDS_WITH": c.ends_with,
    "CONTAINS": c.contains,
    "IN": c.is_in,
    "NOT_IN": lambda value, match: not c.is_in(value, match),
    "IS_DEFINED": lambda value, _: c.is_defined(value),
    "IS_EMPTY": lambda value, _: c.is_empty(value),
    "IS_NOT_EMPTY": lambda value, _: not c.is_empty(value),
    "BETWEEN": _between,
    "RANGE": _in_range,
}
