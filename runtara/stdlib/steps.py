"""What generated code says about the scenario and its steps, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

__all__ = ("AgentStep", "ConditionalStep", "FinishStep", "Scenario", "Step")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The scenario as a whole."""

    id: str
    version: int
    name: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    """The defaults of its variables."""
    rate_limit_budget_ms: int = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What all steps have."""

    type: ClassVar[str]
    id: str
    name: str | None = None

    def entry(self, outputs: Any) -> dict[str, Any]:
        """What ``steps.<id>`` is after the step. Source: dsl.md §3.0."""
        return {"stepId": self.id, "stepName": self.name or "Unnamed", "stepType": self.type, "outputs": outputs}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStep(Step):
    """A call of a capability."""

    type: ClassVar[str] = "Agent"
    agent: str
    capability: str
    max_retries: int = 3
    retry_delay_ms: int = 1000
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionalStep(Step):
    """A branch."""

    type: ClassVar[str] = "Conditional"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishStep(Step):
    """An end."""

    type: ClassVar[str] = "Finish"
