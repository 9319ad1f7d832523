"""The header ``Retry-After``, for everything here that talks HTTP. Source: RFC 9110 §10.2.3."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

__all__ = ("retry_after_ms",)

_SECONDS: Final = re.compile(r"[0-9]{1,9}")


def retry_after_ms(header: str | None, now: datetime) -> int | None:
    """How long to wait: given in seconds, or as a date. None where it says nothing that can be read."""
    from email.utils import parsedate_to_datetime  # only who is asked to wait reads a date

    if header is None:
        return None
    if _SECONDS.fullmatch(header.strip()):
        return int(header) * 1000
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0, round((at - now).total_seconds() * 1000))
