"""What all graphs of one run share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

from runtara.agents import CallContext, Registry, Resources
from runtara.clock import Clock
from runtara.sdk.base import Durable
from runtara.stdlib.steps import Scenario, Step
from runtara.stdlib.volatile import VolatileDurable

__all__ = ("Execution",)


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

    def in_ms(self, milliseconds: float) -> Any:
        """The time so many milliseconds from now."""
        return self.durable.now() + timedelta(milliseconds=milliseconds)
