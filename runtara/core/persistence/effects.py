"""What a change does to an instance beside its status: the part of the state machine that only storage needs.

Every implementation follows these tables, so that they cannot drift apart; the contract suite proves that they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from runtara.core.model import SignalKind
from runtara.core.state import Change

__all__ = ("WOKEN_BY", "SleepEffect", "sleep_effect")


class SleepEffect(StrEnum):
    """What a change does to the remembered end of a sleep."""

    SET = "set"
    """To the wake time of the change."""
    KEEP = "keep"
    CLEAR = "clear"


_SLEEP_EFFECTS: Final[Mapping[Change, SleepEffect]] = {
    Change.SLEEP: SleepEffect.SET,
    Change.PAUSE_PARKED: SleepEffect.KEEP,
    Change.RESUME_SLEEP: SleepEffect.KEEP,
}


def sleep_effect(change: Change) -> SleepEffect:
    """See ``SleepEffect``."""
    return _SLEEP_EFFECTS.get(change, SleepEffect.CLEAR)


WOKEN_BY: Final[Mapping[Change, frozenset[SignalKind]]] = {
    Change.SLEEP: frozenset({SignalKind.CANCEL, SignalKind.PAUSE}),
    Change.WAIT: frozenset(SignalKind),
}
"""An attempt that parks while such a signal waits is due at once: the signal came when the program was already on its
way out, and nobody else would wake it. Custom signals count only when they came during this attempt: an older one was
there when the attempt began, and is not what it waits for."""
