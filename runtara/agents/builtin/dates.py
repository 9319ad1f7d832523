"""Dates for ``utils``: ISO 8601 in, a few plain tokens out. Source: dsl.md §12.6."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from runtara.agents.errors import AgentError

__all__ = ("formatted", "parse_iso_date", "unix_timestamp_of")

_TOKEN: Final = re.compile("yyyy|yy|MM|dd|HH|mm|ss")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_iso_date(text: str) -> datetime:
    """The time that an ISO 8601 text means, with its own offset; without one it is UTC. A date is its midnight.

    Raises:
        AgentError: ``UTILS_INVALID_DATE``.
    """
    try:
        parsed = datetime.fromisoformat(text.strip().upper())
    except ValueError as error:
        message = f"{text[:50]!r} is not a date like 2026-01-31T08:30:00Z: {error}"
        raise AgentError("UTILS_INVALID_DATE", message) from error
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def unix_timestamp_of(moment: datetime) -> int:
    """Whole seconds since 1970, fractions cut off towards the past."""
    return (moment - _EPOCH) // timedelta(seconds=1)


def formatted(moment: datetime, pattern: str) -> str:
    """The pattern with its tokens ``yyyy yy MM dd HH mm ss`` filled in; the rest stays as it is.

    The clock that is shown is the one of the date: its offset is not taken away.
    """
    return _TOKEN.sub(lambda token: _FIELDS[token.group()](moment), pattern)


_FIELDS: Final[Mapping[str, Callable[[datetime], str]]] = {
    "yyyy": lambda moment: f"{moment.year:04}",
    "yy": lambda moment: f"{moment.year % 100:02}",
    "MM": lambda moment: f"{moment.month:02}",
    "dd": lambda moment: f"{moment.day:02}",
    "HH": lambda moment: f"{moment.hour:02}",
    "mm": lambda moment: f"{moment.minute:02}",
    "ss": lambda moment: f"{moment.second:02}",
}
