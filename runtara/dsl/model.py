"""The document: a scenario as an author wrote it, as frozen values.

JSON names are camelCase, ours are snake_case; a field that is not here does not exist in the language of this version.
What the language of the reference has and this version lacks is listed in ``runtara.dsl.notyet``, so that it is refused
by name. Source: dsl.md §1.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta

__all__ = (
    "DSL_VERSION",
    "MAX_RETRIES_DEFAULT",
    "RETRY_DELAY_MS_DEFAULT",
    "AgentStep",
    "ConditionTree",
    "ConditionalStep",
    "Edge",
    "ExecutionGraph",
    "FinishStep",
    "Immediate",
    "InputMapping",
    "MappingValue",
    "Note",
    "Position",
    "Reference",
    "Scenario",
    "Step",
    "TypeHint",
    "Variable",
)

DSL_VERSION: Final = "3.0.0"
"""The version of the language, as the reference counts."""

MAX_RETRIES_DEFAULT: Final = 3
RETRY_DELAY_MS_DEFAULT: Final = 1000

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
"""A whole number that every JSON implementation can hold."""

TypeHint: TypeAlias = Literal["string", "integer", "number", "boolean", "json", "file"]

ConditionTree: TypeAlias = Annotated[Any, Meta(extra={"grammar": "condition"})]
"""The JSON of a condition; ``runtara.dsl.conditions.read_condition`` gives it a shape."""


class _Document(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What all parts of the document have in common."""


class Immediate(_Document, frozen=True, kw_only=True, tag_field="valueType", tag="immediate"):
    """The value itself."""

    value: Any


class Reference(_Document, frozen=True, kw_only=True, tag_field="valueType", tag="reference"):
    """A look-up in the run's context. Missing values are ``default``, or null."""

    value: str
    """The path; see ``runtara.dsl.paths.tokenize``."""
    type: TypeHint | None = None
    default: Any = UNSET
    """``UNSET`` when there is none; null is a default as good as any other."""


MappingValue: TypeAlias = Immediate | Reference

InputMapping: TypeAlias = dict[str, MappingValue]
"""Target key to value; a dot in a key makes a nested object."""


class _Step(_Document, frozen=True, kw_only=True, tag_field="stepType"):
    """What all steps have in common."""

    id: str
    name: str | None = None


class AgentStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="Agent"):
    """Calls a capability. Tried ``max_retries`` + 1 times, ``retry_delay`` ms apart at first, doubling.

    None stands for ``MAX_RETRIES_DEFAULT`` and ``RETRY_DELAY_MS_DEFAULT``.
    """

    agent_id: str
    capability_id: str
    input_mapping: InputMapping = {}
    max_retries: Count | None = None
    retry_delay: Count | None = None
    timeout: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    """Milliseconds that one try may take."""


class ConditionalStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="Conditional"):
    """Goes on along the edges labelled ``true`` or ``false``."""

    condition: ConditionTree


class FinishStep(_Step, frozen=True, kw_only=True, tag_field="stepType", tag="Finish"):
    """Ends the scenario; its mapped object is the result."""

    input_mapping: InputMapping = {}


Step: TypeAlias = AgentStep | ConditionalStep | FinishStep


class Edge(_Document, frozen=True, kw_only=True):
    """What runs after what."""

    from_step: str
    to_step: str
    label: str | None = None


class Variable(_Document, frozen=True, kw_only=True):
    """A constant that the input of a run may override."""

    type: Literal["string", "number", "integer", "boolean", "array", "object", "file"]
    value: Any
    description: str | None = None


class Position(_Document, frozen=True, kw_only=True):
    """Where a note lies on the screen."""

    x: float
    y: float


class Note(_Document, frozen=True, kw_only=True):
    """A remark on the screen."""

    id: str | None = None
    text: str | None = None
    position: Position | None = None
    metadata: dict[str, Any] | None = None


class ExecutionGraph(_Document, frozen=True, kw_only=True):
    """The steps and their order. ``nodes``, ``edges`` and ``notes`` are the editor's and mean nothing to a run."""

    steps: dict[str, Step]
    entry_point: str
    execution_plan: tuple[Edge, ...] = ()
    name: str | None = None
    description: str | None = None
    variables: dict[str, Variable] = {}
    rate_limit_budget_ms: Count = 60_000
    """How long a step may wait in all for a service that limits its rate."""
    notes: tuple[Note, ...] | None = None
    nodes: Any = None
    edges: Any = None


class Scenario(_Document, frozen=True, kw_only=True):
    """The whole document. A bare execution graph is a scenario with nothing around it."""

    execution_graph: ExecutionGraph
    debug_mode: bool = False
    durable: bool = True
