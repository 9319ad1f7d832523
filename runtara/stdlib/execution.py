"""What all graphs of one run share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import anyio.lowlevel

from runtara.agents import CallContext, Registry, Resources
from runtara.clock import Clock
from runtara.sdk.base import Durable
from runtara.stdlib.steps import Scenario, Step
from runtara.stdlib.volatile import VolatileDurable

__all__ = ("Execution", "Pace")

_BREATH_S: Final = 0.01


class Pace:
    """Gives way to the event loop often enough that connections live and interruptions are heard."""

    def __init__(self) -> None:
        self._gave_way_at = 0.0

    async def breathe(self) -> None:
        """Returns at once, unless it is ``_BREATH_S`` since somebody gave way."""
        now = asyncio.get_running_loop().time()
        if now - self._gave_way_at > _BREATH_S:
            self._gave_way_at = now
            await anyio.lowlevel.checkpoint()


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of a generated module: its durable instance, and what its steps work with."""

    durable: Durable
    volatile: VolatileDurable
    """In the place of ``durable`` for steps that store nothing."""
    agents: Registry
    clock: Clock
    random: Random
    resources: Resources
    scenario: Scenario
    connection_url: str | None = None
    """Of the service that knows the connections."""
    pace: Pace = field(default_factory=Pace)

    def durable_for(self, *, is_durable: bool) -> Durable:
        """Where a step stores its results."""
        return self.durable if is_durable else self.volatile

    def context(self, step: Step, key: str, connection: Mapping[str, Any] | None = None) -> CallContext:
        """What a capability may ask for, in a call under that key."""
        info = self.durable.info
        return CallContext(
            instance_id=info.instance_id,
            tenant_id=info.tenant_id,
            step_id=step.id,
            idempotency_key=f"{info.instance_id}:{key}",
            clock=self.clock,
            random=self.random,
            resources=self.resources,
            connection=connection,
        )
