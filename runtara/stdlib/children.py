"""Children: another scenario's graph inside this run, with data and names of its own. Sources: dsl.md §3.7, §7.4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from runtara.agents.errors import AgentError
from runtara.stdlib.deadlines import Deadline, DeadlineWaits, within
from runtara.stdlib.failures import StepFailed, clipped, encode_error, step_failure
from runtara.stdlib.schemas import fitting
from runtara.stdlib.steps import Scenario, StartScenarioStep
from runtara.stdlib.values import ValueFailed

if TYPE_CHECKING:
    from runtara.stdlib.run import Body, Run

__all__ = ("start",)


async def start(
    run: Run,
    step: StartScenarioStep,
    inputs: Mapping[str, Any],
    body: Body,
    scenario: Scenario,
    *,
    key: str | None = None,
) -> Any:
    """The result of a child. Its inputs are checked first, once: a child that is given the wrong things is not tried.

    Raises:
        StepFailed: it failed finally, with ``CHILD_SCENARIO_FAILED`` and its own error in ``childError``.
    """
    key = key or run.key(step)
    data = fitting(
        dict(inputs), scenario.input_schema, f"the input of {step.id!r} for {scenario.id!r}", "CHILD_INPUT_INVALID"
    )
    tries = run.tries(step, key)

    async def attempt() -> Any:
        suffix = f"{run.place.suffix}~{tries.failed}" if tries.failed else run.place.suffix
        live = partial(_live, run, step, data, body, scenario, key, suffix)
        if step.timeout_ms is None:
            return await live(None)
        name = f"{key}/%deadline{suffix}"
        return await within(run, step, step.timeout_ms, name, "CHILD_TIMEOUT", live)

    return await tries.until_success(attempt)


async def _live(
    run: Run,
    step: StartScenarioStep,
    data: Any,
    body: Body,
    scenario: Scenario,
    key: str,
    suffix: str,
    deadline: Deadline | None,
) -> Any:
    inside = _inside(run, step, data, scenario, key, suffix, deadline)
    try:
        result = await body(inside)
        return fitting(result, scenario.output_schema, "the result", "OUTPUT_INVALID")
    except (StepFailed, ValueFailed) as error:
        failure = step_failure(step, error)
        if failure.step is step:
            raise failure from error
        raise _wrapped(step, scenario, failure) from error


def _inside(
    run: Run,
    step: StartScenarioStep,
    data: Any,
    scenario: Scenario,
    key: str,
    suffix: str,
    deadline: Deadline | None,
) -> Run:
    info = run.execution.durable.info
    scope_id = f"{run.place.scope_id or 'sc'}_{step.id}"
    variables = {
        **scenario.variables,
        "_scenario_id": scenario.id,
        "_instance_id": info.instance_id,
        "_tenant_id": info.tenant_id,
        "_scope_id": scope_id,
    }
    place = replace(
        run.place,
        scenario=scenario,
        output_schema={},
        prefix=f"{key}/",
        suffix=suffix,
        scope_id=scope_id,
        parent_scope_id=run.place.scope_id,
        deadline=deadline or run.place.deadline,
        waits=run.waits if deadline is None else DeadlineWaits(run.waits, deadline),
        is_durable=run.place.is_durable and scenario.durable and step.durable,
        roots={},
    )
    return type(run)(run.execution, place, data, variables)


def _wrapped(step: StartScenarioStep, scenario: Scenario, failure: StepFailed) -> StepFailed:
    inner = failure.error
    error = AgentError(
        "CHILD_SCENARIO_FAILED",
        clipped(f"the child {scenario.id!r} failed: {inner.message}", 2000),
        category=inner.category,
        severity=inner.severity,
        retry_after_ms=inner.retry_after_ms,
        attributes=inner.attributes,
    )
    child_error = msgspec.json.decode(encode_error(failure.to_data()))
    return StepFailed(step, error, {"childScenarioId": scenario.id, "childError": child_error})
