"""Scenarios in a few lines, for tests."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"


def example(name: str) -> bytes:
    """A scenario of ``examples/scenarios``, as it is written there."""
    return (EXAMPLES / f"{name}.json").read_bytes()


def immediate(value: Any) -> dict[str, Any]:
    return {"valueType": "immediate", "value": value}


def reference(path: str, **more: Any) -> dict[str, Any]:
    return {"valueType": "reference", "value": path} | more


def operation(op: str, *arguments: Any) -> dict[str, Any]:
    return {"type": "operation", "op": op, "arguments": list(arguments)}


def agent(step_id: str, call: str, inputs: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An Agent step; ``call`` is ``agent/capability``."""
    agent_id, _, capability_id = call.partition("/")
    names = {"stepType": "Agent", "id": step_id, "agentId": agent_id, "capabilityId": capability_id}
    return names | {"inputMapping": inputs or {}} | more


def echo(step_id: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A pure step whose result is its input."""
    return agent(step_id, "utils/return-input", {"value": value}, **more)


def conditional(step_id: str, condition: dict[str, Any]) -> dict[str, Any]:
    return {"stepType": "Conditional", "id": step_id, "condition": condition}


def finish(step_id: str = "finish", **inputs: dict[str, Any]) -> dict[str, Any]:
    return {"stepType": "Finish", "id": step_id, "inputMapping": inputs}


def scenario(*steps: dict[str, Any], edges: str | None = None, **more: Any) -> dict[str, Any]:
    """A scenario that begins at the first step.

    ``edges``: ``"a b, b c:true"`` for an edge from a to b and one from b to c with a label; by default each step leads
    to the next.
    """
    ids = [step["id"] for step in steps]
    written = edges if edges is not None else ", ".join(f"{one} {other}" for one, other in pairwise(ids))
    plan = [_edge(edge.strip()) for edge in written.split(",") if edge.strip()]
    return {"steps": {step["id"]: step for step in steps}, "entryPoint": ids[0], "executionPlan": plan} | more


def _edge(text: str) -> dict[str, Any]:
    ends, _, label = text.partition(":")
    source, target = ends.split()
    return {"fromStep": source, "toStep": target} | ({"label": label} if label else {})
