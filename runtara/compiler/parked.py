"""Where an instance is parked, as far as its checkpoints tell, and what a deploy does to it there.

A wait for a signal leaves a mark before it begins, a Delay its end. The wait before another try leaves nothing that a
client can see, and whoever was paused may be anywhere; then what is possible is judged, and the worst of it counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runtara.compiler.deploy import Deploy, Spot, Verdict, spots_of
from runtara.compiler.sites import Layout, site_key
from runtara.dsl.model import DelayStep

__all__ = ("parked_at", "verdict_on")

_TOLD: Final = "/%told"


def verdict_on(deploy: Deploy, keys: Sequence[str], reason: str | None) -> Verdict:
    """What the deploy does to an instance: the worst of where it may be parked. For arguments see ``parked_at``."""
    spots = parked_at(deploy.old, keys, reason)
    return max((deploy.verdict(spot) for spot in spots), key=lambda verdict: verdict.risk)


def parked_at(layout: Layout, keys: Sequence[str], reason: str | None) -> tuple[Spot | None, ...]:
    """Where it may be parked; None: it has stored nothing yet.

    Args:
        layout: Of the program that it began with.
        keys: Of its checkpoints, the newest first.
        reason: Its termination reason: ``sleeping``, ``waiting_signal``, ``paused`` and the like.
    """
    stored = [key for key in map(site_key, keys) if key in layout.sites]
    if reason == "waiting_signal":
        waits = _unanswered(layout, keys)
        if waits:
            return waits
    if not stored:
        return (None,)
    newest = stored[0]
    if reason == "sleeping":
        if isinstance(layout.sites[newest].step, DelayStep):
            return (Spot(newest, "delay"),)
        return _before_another_try(layout, keys, newest) or (Spot(newest, "stopped"),)
    return (Spot(newest, "stopped"),)


def _unanswered(layout: Layout, keys: Sequence[str]) -> tuple[Spot, ...]:
    """The waits that were told of, and have no answer; each site once."""
    stored = set(keys)
    waiting = [key.removesuffix(_TOLD) for key in keys if key.endswith(_TOLD)]
    sites = dict.fromkeys(site_key(key) for key in waiting if key not in stored)
    return tuple(Spot(site, "signal") for site in sites if site in layout.sites)


def _before_another_try(layout: Layout, keys: Sequence[str], newest: str) -> tuple[Spot, ...]:
    """The steps behind the newest checkpoint that can be tried again, and have no result."""
    stored = set(keys)
    spots = (spot for spot in spots_of(layout) if spot.kind == "retry" and spot.key not in stored)
    return tuple(spot for spot in spots if newest in layout.before(spot.key))
