"""Events of a program's own, stored in order with those of its instance."""

from __future__ import annotations

from typing import Any

from runtara.sdk.scope import current_scope
from runtara.sdk.values import encode_value

__all__ = ("emit",)


def emit(name: str, payload: Any = None) -> None:
    """Store an event; durable with the next durable call. ``payload`` must be what JSON can hold, else ``NotJson``.

    A replay emits it again: an event is told, not promised.
    """
    data = None if payload is None else encode_value(payload, what=f"the payload of the event {name!r}")
    current_scope().durable.emit(name, data)
