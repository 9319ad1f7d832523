"""What generated code says about the scenario and its steps, as frozen values.

Structs, not dataclasses: a dataclass is compiled when its module is imported, and every launch would pay for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

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
    "Graph",
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


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario, or a child of one."""

    id: str
    version: int
    name: str | None = None
    variables: Mapping[str, Any] = {}
    """The defaults of its variables."""
    input_schema: Mapping[str, Any] = {}
    """As in the document; see ``runtara.dsl.mappings.SchemaField``."""
    output_schema: Mapping[str, Any] = {}
    rate_limit_budget_ms: int = 60_000
    durable: bool = True
    debug: bool = False


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """What the graph of a loop or of a wait says of itself, where it says anything."""

    variables: Mapping[str, Any] = {}
    """Those that it has where nothing around it has them."""
    input_schema: Mapping[str, Any] = {}
    output_schema: Mapping[str, Any] = {}
    rate_limit_budget_ms: int | None = None
    durable: bool = True


class Step(msgspec.Struct, frozen=True, kw_only=True):
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


class AgentStep(Step, frozen=True, kw_only=True):
    """A call of a capability."""

    type: ClassVar[str] = "Agent"
    agent: str
    capability: str
    connection_id: str | None = None
    max_retries: int = 3
    retry_delay_ms: int = 1000
    timeout_ms: int | None = None
    durable: bool = True


class StartScenarioStep(Step, frozen=True, kw_only=True):
    """A run of a child."""

    type: ClassVar[str] = "StartScenario"
    child: str
    max_retries: int = 3
    retry_delay_ms: int = 1000
    timeout_ms: int | None = None
    durable: bool = True


class AiAgentStep(Step, frozen=True, kw_only=True):
    """A conversation with a model."""

    type: ClassVar[str] = "AiAgent"
    connection_id: str
    provider: str | None = None
    max_iterations: int = 10
    output_schema: Mapping[str, Any] = {}
    max_messages: int | None = None
    """Of the memory; None: no compaction."""
    summarize: bool = False
    max_retries: int = 0
    retry_delay_ms: int = 1000
    turn_timeout_ms: int = 180_000
    durable: bool = True


class Tool(msgspec.Struct, frozen=True, kw_only=True):
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


class ConnectionStep(Step, frozen=True, kw_only=True):
    """A connection to fetch."""

    type: ClassVar[str] = "Connection"
    connection_id: str
    integration_id: str
    max_retries: int = 3
    retry_delay_ms: int = 1000
    timeout_ms: int | None = None


class ConditionalStep(Step, frozen=True, kw_only=True):
    """A branch."""

    type: ClassVar[str] = "Conditional"


class Case(msgspec.Struct, frozen=True):
    """A case of a Switch."""

    match_type: str
    match: Any
    output: Callable[[], Any]
    route: str | None = None


class SwitchStep(Step, frozen=True, kw_only=True):
    """A choice of outputs, and of ways where ``routes``."""

    type: ClassVar[str] = "Switch"
    routes: bool = False


class FinishStep(Step, frozen=True, kw_only=True):
    """An end."""

    type: ClassVar[str] = "Finish"
    unnamed: ClassVar[str] = "Finish"


class ErrorStep(Step, frozen=True, kw_only=True):
    """A failure of the author's own."""

    type: ClassVar[str] = "Error"
    code: str
    message: str
    category: str = "permanent"
    severity: str = "error"


class SplitStep(Step, frozen=True, kw_only=True):
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
    input_schema: Mapping[str, Any] = {}
    output_schema: Mapping[str, Any] = {}
    durable: bool = True


class WhileStep(Step, frozen=True, kw_only=True):
    """A graph as long as a condition holds."""

    type: ClassVar[str] = "While"
    max_iterations: int = 10
    max_retries: int = 0
    retry_delay_ms: int = 1000
    timeout_ms: int | None = None


class FilterStep(Step, frozen=True, kw_only=True):
    """The elements for which a condition holds."""

    type: ClassVar[str] = "Filter"


class GroupByStep(Step, frozen=True, kw_only=True):
    """The elements by a field."""

    type: ClassVar[str] = "GroupBy"
    key: tuple[str, ...]
    expected_keys: tuple[str, ...] = ()


class LogStep(Step, frozen=True, kw_only=True):
    """An event for people."""

    type: ClassVar[str] = "Log"
    message: str
    level: str = "info"


class DelayStep(Step, frozen=True, kw_only=True):
    """A wait for a time."""

    type: ClassVar[str] = "Delay"
    durable: bool = True


class WaitForSignalStep(Step, frozen=True, kw_only=True):
    """A wait for somebody."""

    type: ClassVar[str] = "WaitForSignal"
    response_schema: Mapping[str, Any] = {}
    action: str | None = None
    """The key of its action."""
