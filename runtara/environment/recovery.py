"""What to do when three lists disagree: what the database says is ours, what was launched here, what is looked after.

Pure. Used at a start, after a lost lease, and as a slow sweep that finds whatever else went wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from runtara.core.model import OwnedAttempt
from runtara.environment.runner.base import Launched
from runtara.ids import InstanceNo

__all__ = ("Plan", "plan")

Key = tuple[InstanceNo, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What nobody looks after, by what it needs."""

    adopt: Sequence[tuple[OwnedAttempt, Launched]]
    """Ours and launched: look after it. Whether its process still lives, the runner will say."""
    requeue: Sequence[OwnedAttempt]
    """Ours and not launched on this host: we died before, or the machine did."""
    end: Sequence[Launched]
    """Launched here and not ours any more: it has ended or has a successor elsewhere; its process must go."""
    disowned: Collection[Key]
    """Looked after, and not ours any more: its process should be about to go."""


def plan(*, owned: Sequence[OwnedAttempt], launched: Sequence[Launched], supervised: Collection[Key]) -> Plan:
    """See ``Plan``. ``supervised`` must be older than ``owned``, and nothing may be claimed in between."""
    ours = {(attempt.instance_no, attempt.epoch): attempt for attempt in owned}
    here = {(it.instance_no, it.epoch): it for it in launched}
    neglected = [key for key in ours if key not in supervised]
    return Plan(
        adopt=[(ours[key], here[key]) for key in neglected if key in here],
        requeue=[ours[key] for key in neglected if key not in here],
        end=[it for key, it in here.items() if key not in ours and key not in supervised],
        disowned=[key for key in supervised if key not in ours],
    )
