"""What is refused here already, because no server would take it."""

from __future__ import annotations

from runtara.errors import InvalidRequest, LimitExceeded
from runtara.limits import EVENT_PAYLOAD_BYTES_MAX, NAME_CHARACTERS_MAX

__all__ = ("check_event", "check_size")


def check_size(what: str, value: bytes, maximum: int) -> None:
    """Raises ``LimitExceeded``; ``what`` is the limit's name."""
    if len(value) > maximum:
        raise LimitExceeded(
            f"{what} of {len(value)} is over the limit of {maximum}",
            limit=what,
            unit="bytes",
            maximum=maximum,
            actual=len(value),
        )


def check_event(subtype: str, payload: bytes | None) -> None:
    """Raises ``InvalidRequest`` or ``LimitExceeded``."""
    if not subtype or len(subtype) > NAME_CHARACTERS_MAX or "\0" in subtype:
        raise InvalidRequest(f"{subtype[:40]!r} is not an event subtype", field="subtype")
    check_size("event_payload_bytes", payload or b"", EVENT_PAYLOAD_BYTES_MAX)
