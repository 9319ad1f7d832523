"""One run of a scenario, as generated code sees it: references, steps, branches, the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from runtara.dsl.paths import MISSING, PathMismatch, format_path, resolve
from runtara.sdk.base import Durable
from runtara.stdlib.call import Caller
from runtara.stdlib.inputs import RunInput
from runtara.stdlib.keys import step_key
from runtara.stdlib.steps import AgentStep, ConditionalStep, FinishStep
from runtara.stdlib.values import ValueFailed, coerced

__all__ = ("Run",)


class Run:
    """The context of a run: its data, its variables, and what its steps have come to."""

    def __init__(self, durable: Durable, caller: Caller, inputs: RunInput, *, prefix: str = "") -> None:
        self._durable: Final = durable
        self._caller: Final = caller
        self._prefix: Final = prefix
        self._steps: Final[dict[str, Any]] = {}
        self._roots: Final[dict[str, Any]] = {
            "data": inputs.data,
            "variables": inputs.variables,
            "steps": self._steps,
            "scenario": {"inputs": {"data": inputs.data, "variables": inputs.variables}},
        }

    def reference(self, *segments: str, hint: str | None = None, default: Any = MISSING) -> Any:
        """The value at a path, in the type of the hint. What is missing or null is the default, or null.

        A default also stands in for a value that the path cannot have, or that the hint cannot make.

        Raises:
            ValueFailed: there is no default, and the path names a field of an array, or the value does not fit.
        """
        try:
            value = self._look_up(segments)
            if value is MISSING or value is None:
                value = None if default is MISSING else default
            return value if hint is None else coerced(value, hint)
        except ValueFailed:
            if default is MISSING:
                raise
            return default

    def _look_up(self, segments: tuple[str, ...]) -> Any:
        try:
            return resolve(self._roots, segments)
        except PathMismatch as error:
            message = f"{format_path(segments)} leads to nothing: {error}"
            raise ValueFailed("REFERENCE_MISMATCH", message) from error

    async def agent(self, step: AgentStep, inputs: Mapping[str, Any]) -> None:
        """Call the capability of the step, or take what it returned before.

        Raises:
            StepFailed: it failed finally.
            Interruption: the instance was cancelled, paused, suspended or superseded.
        """
        outputs = await self._caller.call(step, inputs, key=step_key(self._prefix, step.id))
        self._steps[step.id] = step.entry(outputs)
        await self._safe_point()

    def decide(self, step: ConditionalStep, result: bool) -> bool:
        """Note the result of a condition, and pass it on."""
        self._steps[step.id] = step.entry({"result": result})
        return result

    async def finish(self, step: FinishStep, mapped: Mapping[str, Any]) -> Any:
        """The result of the run: the mapped object, or what is under its only key ``outputs``.

        Everything that was sent is durable on return.
        """
        await self.end()
        return mapped["outputs"] if mapped.keys() == {"outputs"} else mapped

    async def end(self) -> None:
        """The end without a Finish step: the result is null. Everything that was sent is durable on return."""
        await self._durable.flush()
        await self._safe_point()

    async def _safe_point(self) -> None:
        if self._durable.check():
            await self._durable.interrupt()
