"""Loops: a graph for each item, a graph as long as a condition holds. Sources: dsl.md §3.5, §3.6."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from runtara.stdlib.deadlines import Deadline, tried_within, waits_within
from runtara.stdlib.failures import StepFailed, step_failure
from runtara.stdlib.lanes import Lanes
from runtara.stdlib.schemas import fitting
from runtara.stdlib.steps import SplitStep, Step, WhileStep
from runtara.stdlib.values import ValueFailed
from runtara.stdlib.waits import LaneWaits, Waits

if TYPE_CHECKING:
    from runtara.stdlib.run import Body, Run

__all__ = ("repeat", "split")


# ---- Split


async def split(
    run: Run,
    step: SplitStep,
    given: tuple[Any, Mapping[str, Any]],
    body: Body,
    extras: dict[str, Any],
) -> list[Any]:
    """The results of all items, in their order.

    Raises:
        StepFailed: the first item that failed, or the whole took too long.
    """
    items = _items_of(given[0], step)
    key = run.key(step)

    async def attempt(suffix: str, deadline: Deadline | None) -> list[Any]:
        return await _Split(run, step, items, given[1], body, extras, key, suffix, deadline).results()

    return await tried_within(run, step, key, "SPLIT_TIMEOUT", attempt)


def _items_of(value: Any, step: SplitStep) -> list[Any]:
    if value is None:
        if step.allow_null:
            return []
        hint = "allow it with allowNull, or make an array with the capability transform/ensure-array"
        raise ValueFailed("SPLIT_VALUE_INVALID", f"the items of {step.id!r} are null; {hint}")
    if not isinstance(value, list):
        if not step.convert_single_value:
            hint = "take it as one item with convertSingleValue, or use the capability transform/ensure-array"
            raise ValueFailed(
                "SPLIT_VALUE_INVALID", f"the items of {step.id!r} are {_kind_of(value)}, no array; {hint}"
            )
        value = [value]
    size = step.batch_size
    return value if size == 0 else [value[first : first + size] for first in range(0, len(value), size)]


def _kind_of(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", dict: "an object"}
    return names.get(type(value), "something else")


@dataclass(frozen=True, slots=True)
class _Split:
    """One try of a Split."""

    run: Run
    step: SplitStep
    items: list[Any]
    variables: Mapping[str, Any]
    body: Body
    extras: dict[str, Any]
    key: str
    suffix: str
    deadline: Deadline | None

    async def results(self) -> list[Any]:
        outcomes = await self._outcomes()
        failures = {index: found for index, found in outcomes.items() if isinstance(found, StepFailed)}
        results = [outcomes[index] for index in sorted(outcomes) if index not in failures]
        if failures and not self.step.dont_stop_on_failed:
            first = min(failures)
            raise self._wrapped(first, failures[first])
        if self.step.dont_stop_on_failed:
            self.extras.update(self._report(results, failures))
        return results

    async def _outcomes(self) -> dict[int, Any]:
        width = min(self.step.parallelism, len(self.items))
        if width > 1:
            lanes = Lanes(
                run=self.run,
                count=len(self.items),
                width=width,
                lane=self._in_lane,
                goes_on=self.step.dont_stop_on_failed,
            )
            return await lanes.outcomes()
        outcomes: dict[int, Any] = {}
        for index in range(len(self.items)):
            outcomes[index] = await self._outcome(index, self.run.waits)
            if isinstance(outcomes[index], StepFailed) and not self.step.dont_stop_on_failed:
                break
            await self.run.breathe()
        return outcomes

    async def _in_lane(self, index: int) -> Any:
        return await self._outcome(index, LaneWaits(self.run.execution.durable))

    async def _outcome(self, index: int, waits: Waits) -> Any:
        """The result of an item, or its failure."""
        if self.deadline is not None:
            self.deadline.check()
        try:
            item = fitting(self.items[index], self.step.input_schema, f"item {index}", "ITEM_INVALID")
            result = await self.body(self._inside(index, item, waits))
            return fitting(result, self.step.output_schema, f"the result of item {index}", "RESULT_INVALID")
        except (StepFailed, ValueFailed) as error:
            failure = step_failure(self.step, error)
            if failure.error.category == "timeout" and failure.step is self.step:
                raise failure from error
            return failure

    def _inside(self, index: int, item: Any, waits: Waits) -> Run:
        indices = (*self.run.place.indices, index)
        variables = {
            **self.run.variables,
            **self.variables,
            **_loop_variables(self.run, self.step, indices),
        }
        roots = {
            "item": item,
            "iteration": {"index": index, "indices": list(indices), "item": item},
            "loop": {"index": index, "outputs": None},
        }
        prefix = f"{self.key}[{index}]/"
        place = replace(
            _place(self.run, self.step, prefix, indices, waits, roots, self.deadline, self.suffix),
            is_durable=self.run.place.is_durable and self.step.durable,
        )
        return type(self.run)(self.run.execution, place, item, variables)

    def _wrapped(self, index: int, failure: StepFailed) -> StepFailed:
        inner = failure.error
        error = inner.retold(inner.code, f"Split step failed at index {index}: {inner.message}")
        made = StepFailed(self.step, error, {**failure.facts, "index": index})
        made.__cause__ = failure
        return made

    def _report(self, results: list[Any], failures: Mapping[int, StepFailed]) -> dict[str, Any]:
        errors = [{"error": failures[index].error.message, "index": index} for index in sorted(failures)]
        counts = {"success": len(results), "error": len(errors), "aborted": 0, "unknown": 0, "skipped": 0}
        return {
            "data": {"success": results, "error": errors, "aborted": [], "unknown": [], "skipped": []},
            "stats": {**counts, "total": len(self.items)},
            "hasFailures": bool(failures),
        }


# ---- While


async def repeat(
    run: Run,
    step: WhileStep,
    condition: Callable[[Run], bool],
    body: Body,
    variables: Mapping[str, Any],
    extras: dict[str, Any],
) -> dict[str, Any]:
    """How often the graph has run, and its last result.

    Raises:
        StepFailed: an iteration failed, or the whole took too long.
    """

    async def attempt(suffix: str, deadline: Deadline | None) -> dict[str, Any]:
        return await _While(run, step, condition, body, variables, extras, suffix, deadline).outputs()

    return await tried_within(run, step, run.key(step), "WHILE_TIMEOUT", attempt)


@dataclass(frozen=True, slots=True)
class _While:
    run: Run
    step: WhileStep
    condition: Callable[[Run], bool]
    body: Body
    variables: Mapping[str, Any]
    extras: dict[str, Any]
    suffix: str
    deadline: Deadline | None

    async def outputs(self) -> dict[str, Any]:
        index, last = 0, None
        while index < self.step.max_iterations and self._holds(index, last):
            if self.deadline is not None:
                self.deadline.check()
            last = await self._iteration(index, last)
            index += 1
            await self.run.breathe()
        self.extras["iterations"] = index
        return {"iterations": index, "outputs": last}

    def _holds(self, index: int, last: Any) -> bool:
        return self.condition(self.run.with_roots(**self._roots(index, last)))

    def _roots(self, index: int, last: Any) -> dict[str, Any]:
        indices = [*self.run.place.indices, index]
        return {
            "loop": {"index": index, "outputs": last},
            "iteration": {"index": index, "indices": indices, "item": None},
        }

    async def _iteration(self, index: int, last: Any) -> Any:
        indices = (*self.run.place.indices, index)
        roots = self._roots(index, last)
        variables = {
            **self.run.variables,
            **self.variables,
            **_loop_variables(self.run, self.step, indices),
            "_loop": roots["loop"],
        }
        variables.pop("_previousOutputs", None)
        if index > 0:
            variables["_previousOutputs"] = last
        prefix = f"{self.run.key(self.step)}[{index}]/"
        place = _place(self.run, self.step, prefix, indices, self.run.waits, roots, self.deadline, self.suffix)
        try:
            return await self.body(type(self.run)(self.run.execution, place, self.run.data, variables))
        except StepFailed as failure:
            raise self._wrapped(index, failure) from failure

    def _wrapped(self, index: int, failure: StepFailed) -> StepFailed:
        if failure.step is self.step:
            return failure
        return StepFailed(self.step, failure.error, {**failure.facts, "iteration": index})


# ---- what both do


def _loop_variables(run: Run, step: Step, indices: tuple[int, ...]) -> dict[str, Any]:
    return {"_index": indices[-1], "_loop_indices": list(indices), "_scope_id": _scope_id(run, step, indices[-1])}


def _scope_id(run: Run, step: Step, index: int) -> str:
    return f"{run.place.scope_of(step)}_{index}"


def _place(
    run: Run,
    step: Step,
    prefix: str,
    indices: tuple[int, ...],
    waits: Waits,
    roots: Mapping[str, Any],
    deadline: Deadline | None,
    suffix: str,
) -> Any:
    return replace(
        run.place,
        prefix=prefix,
        output_schema={},
        suffix=suffix,
        indices=indices,
        waits=waits_within(waits, deadline),
        roots={**run.place.roots, **roots},
        scope_id=_scope_id(run, step, indices[-1]),
        parent_scope_id=run.place.scope_id,
        deadline=deadline or run.place.deadline,
    )
