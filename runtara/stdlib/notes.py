"""What a scenario tells people: Log and Error steps. Sources: dsl.md §3.8, §3.10, §11."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from runtara.agents.errors import AgentError, Category, Severity
from runtara.stdlib.failures import StepFailed
from runtara.stdlib.steps import ErrorStep, LogStep, Step
from runtara.stdlib.trace import shown, timestamp_ms

if TYPE_CHECKING:
    from runtara.stdlib.run import Run

__all__ = ("emit", "fail", "log")


async def log(run: Run, step: LogStep, context: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``workflow_log``."""
    outputs = {"level": step.level, "message": step.message}
    emit(run, "workflow_log", step, {**outputs, "context": shown(dict(context))})
    return outputs


async def fail(run: Run, step: ErrorStep, context: Mapping[str, Any]) -> None:
    """Write ``workflow_error``, and fail. Raises ``StepFailed``."""
    facts = {"category": step.category, "code": step.code, "message": step.message, "severity": step.severity}
    emit(run, "workflow_error", step, {**facts, "context": shown(dict(context))})
    error = AgentError(
        step.code, step.message, category=cast("Category", step.category), severity=cast("Severity", step.severity)
    )
    raise StepFailed(step, error, {"context": dict(context)})


def emit(run: Run, subtype: str, step: Step, facts: Mapping[str, Any]) -> None:
    """Write an event of a step. In a replay it is written again; ``step_id`` and ``timestamp_ms`` tell them apart."""
    payload = {
        "step_id": step.id,
        "step_name": step.name,
        "timestamp_ms": timestamp_ms(run.execution.durable),
        **facts,
    }
    run.execution.durable.emit(subtype, msgspec.json.encode(payload, order="sorted"))
