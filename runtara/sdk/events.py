"""Events of a program's own, stored in order with those of its instance."""

from __future__ import annotations

from typing import Any

import msgspec

from runtara.sdk.scope import current_scope

__all__ = ("emit",)


def emit(name: str, payload: Any = None) -> None:
    """Store an event; durable with the next durable call. ``payload`` must be what JSON can hold.

    A replay emits it again: an event is told, not promised.
    """
    current_scope().durable.emit(name, None if payload is None else msgspec.json.encode(payload))
