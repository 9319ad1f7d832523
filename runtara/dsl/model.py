"""The document: a scenario as an author wrote it, as frozen values.

A field that is not here does not exist in the language; what the reference has and this version lacks is listed in
``runtara.dsl.notyet``, so that it is refused by name. Source: dsl.md §1, §3.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import UNSET, Meta

from runtara.dsl.mappings import (
    ConditionTree,
    Count,
    Document,
    InputMapping,
    MappingValue,
    Milliseconds,
    SchemaFields,
    Variable,
)

__all__ = (
    "DSL_VERSION",
    "MAX_ITERATIONS_DEFAULT",
    "MAX_RETRIES_DEFAULT",
    "RATE_LIMIT_BUDGET_MS_DEFAULT",
    "RETRY_DELAY_MS_DEFAULT",
    "AgentStep",
    "AiAgentConfig",
    "AiAgentStep",
    "AiMemory",
    "Compaction",
    "ConditionalStep",
    "ConnectionStep",
    "DelayStep",
    "Edge",
    "ErrorStep",
    "ExecutionGraph",
    "FilterConfig",
    "FilterStep",
    "FinishStep",
    "GroupByConfig",
    "GroupByStep",
    "LogStep",
    "MemoryTier",
    "Note",
    "Position",
    "Scenario",
    "SplitConfig",
    "SplitStep",
    "StartScenarioStep",
    "Step",
    "SwitchCase",
    "SwitchConfig",
    "SwitchStep",
    "WaitAction",
    "WaitForSignalStep",
    "WhileConfig",
    "WhileStep",
    "graph_in",
)

DSL_VERSION: Final = "3.1.0"
"""The version of the language, as the reference counts."""

MAX_RETRIES_DEFAULT: Final = 3
"""Of Agent, StartScenario and Connection; Split, While and AiAgent are not tried again unless they say so."""
RETRY_DELAY_MS_DEFAULT: Final = 1000
RATE_LIMIT_BUDGET_MS_DEFAULT: Final = 60_000
MAX_ITERATIONS_DEFAULT: Final = 10

MemoryTier: TypeAlias = Literal["S", "M", "L", "XL"]


class _Step(Document, frozen=True, kw_only=True, tag_field="stepType"):
    """What all steps have in common."""

    id: str
    name: str | None = None
    breakpoint: bool = False
    """In debug mode: stop before the step, until the signal ``%breakpoint/<key of the step>`` comes."""


# ---- work


class AgentStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="Agent"):
    """Calls a capability. Tried ``max_retries`` + 1 times, ``retry_delay`` ms apart at first, doubling."""

    agent_id: str
    capability_id: str
    connection_id: str | None = None
    """The connection that the capability works with; fetched anew for each try, and never stored."""
    input_mapping: InputMapping = {}
    max_retries: Count | None = None
    retry_delay: Count | None = None
    timeout: Milliseconds | None = None
    """Of one try."""
    durable: bool | None = None
    """False: the result is not stored; a resumed run calls again."""


class StartScenarioStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="StartScenario"):
    """Runs another scenario, which is compiled into this one, and takes its result."""

    child_scenario_id: str
    child_version: int | str
    """A version, or ``latest``, or ``current``."""
    input_mapping: InputMapping = {}
    max_retries: Count | None = None
    retry_delay: Count | None = None
    timeout: Milliseconds | None = None
    """Of one try of the whole child."""
    durable: bool | None = None


class AiMemory(Document, frozen=True, kw_only=True):
    """A conversation that outlives the run; the step at the edge ``memory`` loads and saves it."""

    conversation_id: MappingValue
    compaction: Compaction | None = None


class Compaction(Document, frozen=True, kw_only=True):
    """What is done about conversations that grow."""

    max_messages: Annotated[int, Meta(ge=2, le=10_000)] = 50
    strategy: Literal["slidingWindow", "summarize"] = "slidingWindow"


class AiAgentConfig(Document, frozen=True, kw_only=True):
    """What the model is asked, and how far it may go."""

    system_prompt: MappingValue | None = None
    user_prompt: MappingValue | None = None
    provider: Literal["openai", "anthropic"] | None = None
    """None: by the type of the connection."""
    model: MappingValue | None = None
    """None: the default of the provider."""
    max_iterations: Annotated[int, Meta(ge=1, le=1000)] = MAX_ITERATIONS_DEFAULT
    """Turns of the model."""
    temperature: MappingValue | None = None
    max_tokens: MappingValue | None = None
    memory: AiMemory | None = None
    output_schema: SchemaFields = {}
    max_retries: Count | None = None
    retry_delay: Count | None = None
    turn_timeout: Milliseconds = 180_000


class AiAgentStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="AiAgent"):
    """A conversation with a language model, which may call the steps at its labelled edges as tools."""

    connection_id: str | None = None
    config: AiAgentConfig = AiAgentConfig()
    durable: bool | None = None


class ConnectionStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="Connection"):
    """Fetches a connection; its outputs are credentials, so they may go to agents that talk to the world only."""

    connection_id: str
    integration_id: str
    max_retries: Count | None = None
    retry_delay: Count | None = None
    timeout: Milliseconds | None = None
    """Of one try."""


# ---- the way


class ConditionalStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="Conditional"):
    """Goes on along the edges labelled ``true`` or ``false``."""

    condition: ConditionTree


class SwitchCase(Document, frozen=True, kw_only=True):
    """Matches a value, and says what comes of it."""

    match_type: Literal[
        "EQ",
        "NE",
        "GT",
        "GTE",
        "LT",
        "LTE",
        "STARTS_WITH",
        "ENDS_WITH",
        "CONTAINS",
        "IN",
        "NOT_IN",
        "IS_DEFINED",
        "IS_EMPTY",
        "IS_NOT_EMPTY",
        "BETWEEN",
        "RANGE",
    ]
    match: Any = None
    output: Any = None
    """A value; objects with ``valueType`` and ``value`` in it are looked up."""
    route: str | None = None
    """The label of the edges to go on along."""


class SwitchConfig(Document, frozen=True, kw_only=True):
    """The value and its cases; the first that matches counts."""

    value: MappingValue
    cases: list[SwitchCase] = []
    default: Any = UNSET


class SwitchStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="Switch"):
    """Chooses an output, and, where a case has a route, the way to go on."""

    config: SwitchConfig | None = None


class FinishStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="Finish"):
    """Ends the graph; its mapped object is the result."""

    input_mapping: InputMapping = {}


class ErrorStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="Error"):
    """Ends the graph with a failure."""

    category: Literal["transient", "permanent"] = "permanent"
    code: str
    message: str
    severity: Literal["info", "warning", "error", "critical"] = "error"
    context: InputMapping = {}


# ---- loops


class SplitConfig(Document, frozen=True, kw_only=True):
    """The items of a Split, and how they are gone through."""

    value: MappingValue
    parallelism: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """So many items at a time; 0 and 1: one after the other."""
    sequential: bool = False
    """One after the other, whatever ``parallelism`` says."""
    dont_stop_on_failed: bool = False
    variables: InputMapping = {}
    max_retries: Count | None = None
    """Of the whole Split; what its steps have stored is not done again."""
    retry_delay: Count | None = None
    timeout: Milliseconds | None = None
    """Of one try of the whole Split."""
    allow_null: bool = False
    convert_single_value: bool = False
    batch_size: Count = 0
    """Above 0: the items are arrays of so many values."""


class SplitStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="Split"):
    """Runs a graph for each item of an array."""

    subgraph: ExecutionGraph
    config: SplitConfig
    input_schema: SchemaFields = {}
    """Of each item."""
    output_schema: SchemaFields = {}
    """Of each result."""
    durable: bool | None = None


class WhileConfig(Document, frozen=True, kw_only=True):
    """How long a While may go on."""

    max_iterations: Count = MAX_ITERATIONS_DEFAULT
    max_retries: Count | None = None
    """Of the whole loop; what its steps have stored is not done again."""
    retry_delay: Count | None = None
    timeout: Milliseconds | None = None
    """Of one try of the whole loop."""
    variables: InputMapping = {}


class WhileStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="While"):
    """Runs a graph as long as a condition holds."""

    condition: ConditionTree
    subgraph: ExecutionGraph
    config: WhileConfig = WhileConfig()


# ---- values


class FilterConfig(Document, frozen=True, kw_only=True):
    """What is filtered, and what stays: ``item`` is the element in the condition."""

    value: MappingValue
    condition: ConditionTree


class FilterStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="Filter"):
    """The elements of an array for which a condition holds."""

    config: FilterConfig


class GroupByConfig(Document, frozen=True, kw_only=True):
    """What is grouped, and by which field of the elements."""

    value: MappingValue
    key: str
    expected_keys: list[str] = []


class GroupByStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="GroupBy"):
    """The elements of an array by the value of one of their fields."""

    config: GroupByConfig


class LogStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="Log"):
    """Writes an event."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    message: str
    context: InputMapping = {}


# ---- time and people


class DelayStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="Delay"):
    """Waits, without a process where it takes long."""

    duration_ms: MappingValue
    durable: bool | None = None


class WaitAction(Document, frozen=True, kw_only=True):
    """Lets a product find the wait: published with it, and otherwise without meaning."""

    key: str
    correlation: InputMapping = {}
    context: InputMapping = {}


class WaitForSignalStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="WaitForSignal"):
    """Waits for a signal from outside, and takes its payload."""

    on_wait: ExecutionGraph | None = None
    """Runs once before the wait begins; ``variables._signal_id`` is the name of the signal."""
    timeout_ms: MappingValue | None = None
    poll_interval_ms: Count | None = None
    """Without meaning here: signals are pushed."""
    response_schema: SchemaFields = {}
    action: WaitAction | None = None


Step: TypeAlias = (
    AgentStep
    | AiAgentStep
    | ConditionalStep
    | ConnectionStep
    | DelayStep
    | ErrorStep
    | FilterStep
    | FinishStep
    | GroupByStep
    | LogStep
    | SplitStep
    | StartScenarioStep
    | SwitchStep
    | WaitForSignalStep
    | WhileStep
)


# ---- the graph


class Edge(Document, frozen=True, kw_only=True):
    """What runs after what. With a condition: only if it holds; the highest priority is asked first."""

    from_step: str
    to_step: str
    label: str | None = None
    condition: ConditionTree | None = None
    priority: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None


class Position(Document, frozen=True, kw_only=True):
    """Where a note lies on the screen."""

    x: float
    y: float


class Note(Document, frozen=True, kw_only=True):
    """A remark on the screen."""

    id: str | None = None
    text: str | None = None
    position: Position | None = None
    metadata: dict[str, Any] | None = None


class ExecutionGraph(Document, frozen=True, kw_only=True):
    """The steps and their order. ``nodes``, ``edges`` and ``notes`` are the editor's and mean nothing to a run."""

    steps: dict[str, Step]
    entry_point: str
    execution_plan: tuple[Edge, ...] = ()
    name: str | None = None
    description: str | None = None
    variables: dict[str, Variable] = {}
    input_schema: SchemaFields = {}
    """Of the data; checked before the first step runs."""
    output_schema: SchemaFields = {}
    """Of the result; checked when it is there."""
    rate_limit_budget_ms: Count = RATE_LIMIT_BUDGET_MS_DEFAULT
    """How long a step may wait in all for a service that limits its rate."""
    execution_timeout_seconds: Annotated[int, Meta(ge=1, le=2**31)] | None = None
    """How long an attempt may run, where the start does not say otherwise. Of a scenario's own graph only."""
    durable: bool = True
    """False: no step of the graph stores its result; a resumed run does them again."""
    notes: tuple[Note, ...] | None = None
    nodes: Any = None
    edges: Any = None


class Scenario(Document, frozen=True, kw_only=True):
    """The whole document. A bare execution graph is a scenario with nothing around it."""

    execution_graph: ExecutionGraph
    memory_tier: MemoryTier | None = None
    """The memory of a run's process: 256 MiB, 512 MiB, 1 GiB or 2 GiB; None: what the server gives."""
    debug_mode: bool = False
    """Each step writes events of its start and end, and breakpoints hold."""
    durable: bool = True


def graph_in(step: Step | None) -> ExecutionGraph | None:
    """The graph that a step runs; None for a step that runs none."""
    if isinstance(step, SplitStep | WhileStep):
        return step.subgraph
    return step.on_wait if isinstance(step, WaitForSignalStep) else None
