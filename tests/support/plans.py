"""Plans of PostgreSQL, as ``explain (format json)`` tells them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each step, from the top."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes_of(child)
