"""Time and people: delays, signals from outside, breakpoints. Sources: dsl.md §3.13, §3.14, §3.16.

The name of the signal that a step waits for is the step's key: its id, with the path of loops and children before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtara.agents.errors import AgentError
from runtara.stdlib.deadlines import decided_once, waits_within
from runtara.stdlib.notes import emit
from runtara.stdlib.schemas import fitting
from runtara.stdlib.steps import DelayStep, Step, WaitForSignalStep
from runtara.stdlib.trace import shown
from runtara.stdlib.values import ValueFailed

if TYPE_CHECKING:
    from runtara.stdlib.run import Body, Run

__all__ = ("BREAKPOINT_PREFIX", "delay", "stop_at", "wait")

BREAKPOINT_PREFIX: Final = "%breakpoint/"
"""Of the signals that let a run go on at a breakpoint. No step has it: its first character is escaped in ids."""

_LONGEST_MS: Final = 100 * 365 * 86_400_000


async def delay(run: Run, step: DelayStep, milliseconds: Any, extras: dict[str, Any]) -> dict[str, Any]:
    """Wait so long since this place was reached for the first time."""
    duration_ms = _milliseconds(milliseconds, "the duration")
    extras["duration_ms"] = duration_ms
    durable = run.durable_of(is_durable=step.durable)
    at = await decided_once(durable, run.key(step), timedelta(milliseconds=duration_ms))
    if durable.now() < at:
        if durable is run.execution.volatile:
            await waits_within(durable, run.place.deadline).sleep_until(at)
        else:
            await run.waits.sleep_until(at)
    return {"duration_ms": duration_ms}


def _milliseconds(value: Any, what: str) -> int:
    """A whole number of milliseconds: a fraction is cut off, what is negative is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueFailed("DURATION_INVALID", f"{what} is a number of milliseconds")
    if value > _LONGEST_MS:
        raise ValueFailed("DURATION_INVALID", f"{what} is longer than 100 years")
    return max(0, int(value))


async def wait(
    run: Run,
    step: WaitForSignalStep,
    *,
    key: str,
    given: tuple[Any, Mapping[str, Any]],
    on_wait: Body | None,
) -> Any:
    """The payload of the signal whose name is ``key``. One that does not fit the schema is told of and passed over.

    Raises:
        AgentError: ``WAIT_TIMEOUT``.
    """
    timeout_ms, action = given
    if on_wait is not None:
        await on_wait(_inside(run, step, key))
    deadline = None
    if timeout_ms is not None:
        after = timedelta(milliseconds=_milliseconds(timeout_ms, "the timeout"))
        deadline = await decided_once(run.execution.durable, f"{key}/%deadline{run.place.suffix}", after)
    await _publish(run, step, key, action, deadline)
    for number in count(1):
        kept = key if number == 1 else f"{key}/%{number}"
        payload = await _next_signal(run, key, kept, deadline)
        if payload is None:
            raise AgentError("WAIT_TIMEOUT", f"no signal {key!r} came within {timeout_ms} ms", category="timeout")
        try:
            return fitting(msgspec.json.decode(payload), step.response_schema, "the response", "RESPONSE_INVALID")
        except ValueFailed as error:
            facts = {"signal_id": key, "message": str(error)}
            await _tell_once(run, "external_input_rejected", step, facts, told=f"{kept}/%rejected")
    raise AssertionError("signals do not end")


async def _next_signal(run: Run, name: str, kept: str, deadline: datetime | None) -> bytes | None:
    """The payload of the next signal of that name, stored as ``kept``; None when none came before the deadline.

    That none came is stored as well, for this try of what is around it: a signal that comes later changes nothing.
    """
    durable, given_up = run.execution.durable, f"{kept}/%timed-out{run.place.suffix}"
    while await durable.find(given_up) is None:
        if (payload := await durable.take_signal(name, key=kept)) is not None:
            return payload
        if run.place.deadline is not None:
            run.place.deadline.check()
        if deadline is not None and durable.now() >= deadline:
            await durable.save(given_up, b"true")
        else:
            await run.waits.wait_any([name], until=deadline)
    return None


async def _publish(
    run: Run, step: WaitForSignalStep, key: str, action: Mapping[str, Any], deadline: datetime | None
) -> None:
    """Tell products that somebody is waited for."""
    facts: dict[str, Any] = {
        "type": "external_input_requested",
        "signal_id": key,
        "response_schema": dict(step.response_schema),
        "deadline": None if deadline is None else deadline.isoformat(),
    }
    if step.action is not None:
        facts["action"] = {"key": step.action, **action}
    await _tell_once(run, "external_input_requested", step, facts, told=f"{key}/%told")


async def _tell_once(run: Run, subtype: str, step: Step, facts: Mapping[str, Any], *, told: str) -> None:
    """Write an event that later attempts do not write again; a crash right behind it may repeat it."""
    if await run.execution.durable.find(told) is None:
        emit(run, subtype, step, facts)
        run.execution.durable.send(told, b"true")


def _inside(run: Run, step: WaitForSignalStep, key: str) -> Run:
    place = replace(
        run.place,
        output_schema={},
        prefix=f"{key}/",
        scope_id=run.place.scope_of(step),
        parent_scope_id=run.place.scope_id,
    )
    return type(run)(run.execution, place, run.data, {**run.variables, "_signal_id": key})


async def stop_at(run: Run, step: Step, inputs: Any) -> None:
    """Stop before a step, the first time; returns when somebody lets the run go on."""
    name = f"{BREAKPOINT_PREFIX}{run.key(step)}"
    facts = {"step_type": step.type, "inputs": shown(inputs), "steps_context": shown(run.steps), "signal_id": name}
    await _tell_once(run, "breakpoint_hit", step, facts, told=f"{name}/%told")
    await run.execution.durable.flush()
    await _next_signal(run, name, name, None)
