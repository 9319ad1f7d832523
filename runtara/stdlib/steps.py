"""What generated code says about the scenario and its steps, as frozen values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

__all__ = (
    "AgentStep",
    "AiAgentStep",
    "Case",
    "ConditionalStep",
    "ConnectionStep",
    "DelayStep",
    "ErrorStep",
    "FilterStep",
    "FinishStep",
    "GroupByStep",
    "LogStep",
    "Scenario",
    "SplitStep",
    "StartScenarioStep",
    "Step",
    "SwitchStep",
    "Tool",
    "WaitForSignalStep",
    "WhileStep",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A scenario, or a child of one."""

    id: str
    version: int
    name: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    """The defaults of its variables."""
    input_schema: Mapping[str, Any] = field(default_factory=dict)
    """As in the document; see ``runtara.dsl.mappings.SchemaField``."""
    output_schema: Mapping[str, Any] = field(default_factory=dict)
    rate_limit_budget_ms: int = 60_000
    durable: bool = True
    debug: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What all steps have."""

    type: ClassVar[str]
    unnamed: ClassVar[str] = "Unnamed"
    """What stands for the name in the entry of a step without one."""
    id: str
    name: str | None = None
    breakpoint: bool = False
    mapping: Mapping[str, Any] | None = None
    """Its inputs as the author wrote them; in debug mode only."""

    def entry(self, outputs: Any) -> dict[str, Any]:
        """What ``steps.<id>`` is after the step. Source: dsl.md §3.0."""
        return {"stepId": self.id, "stepName": self.name or self.unnamed, "stepType": self.type, "outputs": outputs}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStep(Step):
    """A call of a capability."""

    type: ClassVar[str] = "Agent"
    agent: str
    capability: str
    connection_id: str | None = None
    max_retries: int = 3
    retry_delay_ms: int = 1000
    timeout_ms: int | None = None
    durable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StartScenarioStep(Step):
    """A run of a child."""

    type: ClassVar[str] = "StartScenario"
    child: str
    max_retries: int = 3
    retry_delay_ms: int = 1000
    timeout_ms: int | None = None
    durable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AiAgentStep(Step):
    """A conversation with a model."""

    type: ClassVar[str] = "AiAgent"
    connection_id: str
    provider: str | None = None
    max_iterations: int = 10
    output_schema: Mapping[str, Any] = field(default_factory=dict)
    max_messages: int | None = None
    """Of the memory; None: no compaction."""
    summarize: bool = False
    max_retries: int = 0
    retry_delay_ms: int = 1000
    turn_timeout_ms: int = 180_000
    durable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A step that a model may call, or that keeps its memory."""

    name: str
    step: AgentStep | StartScenarioStep | WaitForSignalStep
    inputs: Callable[[], Mapping[str, Any]]
    """What the step is given; the arguments of the model go over it."""
    parameters: Sequence[str] = ()
    """The inputs that the model may give."""
    description: str | None = None
    start: Any = None
    """Of a child: its main function and its ``Scenario``; of a wait: its timeout, ``onWait`` and action, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStep(Step):
    """A connection to fetch."""

    type: ClassVar[str] = "Connection"
    connection_id: str
    integration_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionalStep(Step):
    """A branch."""

    type: ClassVar[str] = "Conditional"


@dataclass(frozen=True, slots=True)
class Case:
    """A case of a Switch."""

    match_type: str
    match: Any
    output: Callable[[], Any]
    route: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchStep(Step):
    """A choice of outputs, and of ways where ``routes``."""

    type: ClassVar[str] = "Switch"
    routes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishStep(Step):
    """An end."""

    type: ClassVar[str] = "Finish"
    unnamed: ClassVar[str] = "Finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorStep(Step):
    """A failure of the author's own."""

    type: ClassVar[str] = "Error"
    code: str
    message: str
    category: str = "permanent"
    severity: str = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitStep(Step):
    """A graph for each item."""

    type: ClassVar[str] = "Split"
    parallelism: int = 1
    dont_stop_on_failed: bool = False
    max_retries: int = 0
    retry_delay_ms: int = 1000
    timeout_ms: int | None = None
    allow_null: bool = False
    convert_single_value: bool = False
    batch_size: int = 0
    input_schema: Mapping[str, Any] = field(default_factory=dict)
    output_schema: Mapping[str, Any] = field(default_factory=dict)
    durable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WhileStep(Step):
    """A graph as long as a condition holds."""

    type: ClassVar[str] = "While"
    max_iterations: int = 10
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterStep(Step):
    """The elements for which a condition holds."""

    type: ClassVar[str] = "Filter"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupByStep(Step):
    """The elements by a field."""

    type: ClassVar[str] = "GroupBy"
    key: tuple[str, ...]
    expected_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStep(Step):
    """An event for people."""

    type: ClassVar[str] = "Log"
    message: str
    level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayStep(Step):
    """A wait for a time."""

    type: ClassVar[str] = "Delay"
    durable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitForSignalStep(Step):
    """A wait for somebody."""

    type: ClassVar[str] = "WaitForSignal"
    response_schema: Mapping[str, Any] = field(default_factory=dict)
    action: str | None = None
    """The key of its action."""
