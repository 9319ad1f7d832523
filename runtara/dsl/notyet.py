"""What the language has and this version lacks. An entry leaves this list when its support arrives.

Refusing by name is more helpful than "unknown field": an author who copies a scenario from the reference learns that it
is right, and that it has to wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ("FIELDS",)

FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "AgentStep": frozenset({"compensation", "connectionRef"}),
    "SchemaField": frozenset({"integration"}),
}
"""By the class of the document model, JSON names."""
