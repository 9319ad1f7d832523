"""What the language has and this version lacks. An entry leaves this list when its support arrives.

Refusing by name is more helpful than "unknown field": an author who copies a scenario from the reference learns that it
is right, and that it has to wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ("FIELDS", "KINDS")

_EVERY_STEP: Final = frozenset({"breakpoint", "durable"})

FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "Scenario": frozenset({"memoryTier", "trackEvents"}),
    "ExecutionGraph": frozenset({"inputSchema", "outputSchema", "executionTimeoutSeconds", "durable"}),
    "AgentStep": _EVERY_STEP | {"connectionId", "connectionRef", "compensation"},
    "ConditionalStep": _EVERY_STEP,
    "FinishStep": _EVERY_STEP,
    "Edge": frozenset({"condition", "priority"}),
}
"""By the class of the document model, JSON names."""

KINDS: Final[Mapping[str, frozenset[str]]] = {
    "stepType": frozenset(
        {
            "AiAgent",
            "Connection",
            "Delay",
            "Error",
            "Filter",
            "GroupBy",
            "Log",
            "Split",
            "StartScenario",
            "Switch",
            "WaitForSignal",
            "While",
        }
    ),
    "valueType": frozenset({"composite", "template"}),
}
"""By the field that tells the kind."""
