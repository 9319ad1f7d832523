"""Pages of lists: a cursor is the number of the last row that was given, opaque to everybody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, TypeVar

from runtara.core.model import Page
from runtara.errors import InvalidRequest

__all__ = ("CHECKPOINT_PAGE_ROWS_MAX", "FIRST_PAGE", "keys_that_fit", "number_of", "page_of")

T = TypeVar("T")

FIRST_PAGE: Final = 2**63 - 1
"""Lists go from the newest, which has the highest number, down."""

CHECKPOINT_PAGE_ROWS_MAX: Final = 10_000
"""However small checkpoints are, a page of them has an end."""


def number_of(cursor: str | None) -> int:
    """The number below which the page begins. Raises ``InvalidRequest`` for a cursor that is not one of ours."""
    if cursor is None:
        return FIRST_PAGE
    if not (cursor.isascii() and cursor.isdigit() and 0 < int(cursor) <= FIRST_PAGE):
        raise InvalidRequest(f"{cursor[:40]!r} is not a cursor", hint="Use the cursor of the page before.")
    return int(cursor)


def page_of(rows: Sequence[T], *, limit: int, number: Callable[[T], int]) -> Page[T]:
    """A page from at most ``limit + 1`` rows: the extra one only tells that there is more."""
    page = rows[:limit]
    return Page(page, str(number(page[-1])) if len(rows) > limit and page else None)


def keys_that_fit(sizes: Sequence[int], *, bytes_max: int) -> int:
    """How many of the first rows go into one page of checkpoints: at least one, if there is any."""
    fitting = sum(total <= bytes_max for total in accumulate(sizes[:CHECKPOINT_PAGE_ROWS_MAX]))
    return max(fitting, min(len(sizes), 1))
