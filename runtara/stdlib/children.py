"""Children: another scenario's graph inside this run, with data and names of its own. Sources: dsl.md §3.7, §7.4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from runtara.stdlib.deadlines import Deadline, tried_within, waits_within
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
    live = partial(_live, run, step, data, body, scenario, key)
    return await tried_within(run, step, key, "CHILD_TIMEOUT", live)


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
    scope_id = run.place.scope_of(step)
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
        waits=waits_within(run.waits, deadline),
        is_durable=run.place.is_durable and scenario.durable and step.durable,
        roots={},
    )
    return type(run)(run.execution, place, data, variables)


def _wrapped(step: StartScenarioStep, scenario: Scenario, failure: StepFailed) -> StepFailed:
    message = clipped(f"the child {scenario.id!r} failed: {failure.error.message}", 2000)
    error = failure.error.retold("CHILD_SCENARIO_FAILED", message)
    child_error = msgspec.json.decode(encode_error(failure.to_data()))
    return StepFailed(step, error, {"childScenarioId": scenario.id, "childError": child_error})
