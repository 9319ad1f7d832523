"""The steps of an instance, as a tree of what ran inside of what."""

from __future__ import annotations

from typing import Any, Final

import click

from runtara.cli.output import emit_json, note, table
from runtara.cli.session import Session, asking
from runtara.client import StepSummary
from runtara.client.steps import step_tree

__all__ = ("duration_text", "error_text", "steps_command")

_COLUMNS: Final = ("step", "type", "scope", "status", "duration", "error")


@click.command()
@click.argument("instance_id", metavar="ID")
@click.option("--scope", help="Only steps of this scope; main: of the scenario itself.")
@click.option("--status", type=click.Choice(["running", "completed", "failed"]), help="Only these.")
@click.option("--type", "step_type", help="Only steps of this type, such as Agent.")
@asking
async def steps_command(
    session: Session, *, instance_id: str, scope: str | None, status: str | None, step_type: str | None
) -> None:
    """Show the steps of an instance that was compiled in debug mode, with what ran inside of what.

    `runtara run` compiles so, and so does "debugMode": true in a scenario. With --json also inputs and outputs.
    """
    async with session.connect() as client:
        steps = await client.list_steps(
            instance_id, scope=scope, status=status, type=step_type, with_values=session.as_json
        )
    if session.as_json:
        emit_json([_described(step) for step in steps])
        return
    table(_COLUMNS, (_row(depth, step) for depth, step in step_tree(steps)))
    if not steps:
        note('No such steps were recorded. They are in debug mode: `runtara run`, or "debugMode": true.')


def _row(depth: int, step: StepSummary) -> tuple[Any, ...]:
    # Spaces at the beginning of a cell would not be kept.
    lead = "│ " * (depth - 1) + "└ " if depth else ""
    return (
        lead + step.step_id,
        step.step_type,
        step.scope_id,
        step.status,
        duration_text(step),
        error_text(step),
    )


def duration_text(step: StepSummary) -> str | None:
    """How long it took: milliseconds while they are few, then seconds, minutes, hours."""
    if step.duration is None:
        return None
    seconds = step.duration.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def error_text(step: StepSummary) -> str | None:
    """The code and the message of its failure."""
    if not isinstance(step.error, dict):
        return None
    return ": ".join(str(step.error[name]) for name in ("code", "message") if step.error.get(name))


def _described(step: StepSummary) -> dict[str, Any]:
    facts = {name: getattr(step, name) for name in StepSummary.__dataclass_fields__}
    duration_ms = None if step.duration is None else round(step.duration.total_seconds() * 1000)
    return facts | {"duration_ms": duration_ms}
