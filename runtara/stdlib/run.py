"""One graph of a run, as generated code sees it: references, steps, branches, the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeVar

from msgspec import structs

from runtara.dsl.paths import MISSING, PathMismatch, format_path, resolve
from runtara.dsl.templates import TemplateFailed, TemplateInvalid, render
from runtara.errors import RuntaraError
from runtara.sdk.base import Durable
from runtara.stdlib import ai, children, collecting, loops, notes, signals
from runtara.stdlib import steps as s
from runtara.stdlib.call import DurableCall
from runtara.stdlib.connections import fetch_for_step
from runtara.stdlib.deadlines import Deadline
from runtara.stdlib.execution import Execution
from runtara.stdlib.failures import StepFailed, step_failure
from runtara.stdlib.keys import step_key
from runtara.stdlib.retry import RetryPolicy
from runtara.stdlib.schemas import fitting
from runtara.stdlib.trace import Trace
from runtara.stdlib.tries import Tries
from runtara.stdlib.values import ValueFailed, coerced
from runtara.stdlib.waits import Waits

__all__ = ("Body", "Place", "Run")

Inputs = Callable[[], Mapping[str, Any]]
"""Evaluates what a step is given, when its turn has come."""

Body = Callable[["Run"], Awaitable[Any]]
"""The main function of a graph."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a run a graph is: what its keys begin with, and how it waits."""

    scenario: s.Scenario
    waits: Waits
    prefix: str = ""
    """Of the keys of its steps: empty, or ending with a slash."""
    suffix: str = ""
    """Of the keys under which failed tries are counted: what is around it may be tried again."""
    indices: tuple[int, ...] = ()
    """Of the loops around it, outermost first."""
    scope_id: str | None = None
    parent_scope_id: str | None = None
    deadline: Deadline | None = None
    is_durable: bool = True
    output_schema: Mapping[str, Any] = field(default_factory=dict)
    """Of the graph's result, where the graph itself says one."""
    roots: Mapping[str, Any] = field(default_factory=dict)
    """More roots for references."""

    def scope_of(self, step: s.Step) -> str:
        """The scope of the graph that a step of this one runs; an item's or an iteration's has its index behind it."""
        return f"{self.scope_id or 'sc'}_{step.id}"


class Run:
    """The context of a graph: its data, its variables, and what its steps have come to."""

    def __init__(self, execution: Execution, place: Place, data: Any, variables: Mapping[str, Any]) -> None:
        self.execution: Final = execution
        self.place: Final = place
        self.waits: Final = place.waits
        self.data: Final = data
        self.variables: Final = variables
        self._durable: Final = execution.durable
        self._failure: StepFailed | None = None
        self.steps: Final[dict[str, Any]] = {}
        self._roots: dict[str, Any] = {
            "data": data,
            "variables": variables,
            "steps": self.steps,
            "scenario": {"inputs": {"data": data, "variables": variables}},
            **place.roots,
        }
        self._trace: Final = self._new_trace() if execution.scenario.debug else None

    def _new_trace(self) -> Trace:
        place = self.place
        return Trace(self._durable, place.scope_id, place.parent_scope_id, place.indices)

    # -- where it is

    def key(self, step: s.Step) -> str:
        """The checkpoint key of a step of this graph."""
        return step_key(self.place.prefix, step.id)

    def durable_of(self, *, is_durable: bool = True) -> Durable:
        """Where a step of this graph stores its results."""
        return self.execution.durable_for(is_durable=is_durable and self.place.is_durable)

    def inside(self, graph: s.Graph) -> Run:
        """This run as that of a graph which says more of itself.

        Raises:
            ValueFailed: its data is not what the graph takes; ``INPUT_INVALID``.
        """
        scenario = self.place.scenario
        if graph.rate_limit_budget_ms is not None:
            scenario = structs.replace(scenario, rate_limit_budget_ms=graph.rate_limit_budget_ms)
        place = replace(
            self.place,
            scenario=scenario,
            is_durable=self.place.is_durable and graph.durable,
            output_schema=graph.output_schema,
        )
        data = fitting(self.data, graph.input_schema, "data", "INPUT_INVALID")
        return Run(self.execution, place, data, {**graph.variables, **self.variables})

    def with_roots(self, **roots: Any) -> Run:
        """The same context with more roots, for a condition."""
        seen = Run.__new__(Run)
        seen.__dict__.update(self.__dict__)
        seen.__dict__["_roots"] = self._roots | roots
        return seen

    def tries(self, step: Any, key: str | None = None) -> Tries:
        """The tries of a step of this graph whose result is not stored under its own key."""
        is_durable = self.place.is_durable and getattr(step, "durable", True)
        return Tries(
            step=step,
            key=(key or self.key(step)) + self.place.suffix,
            policy=self._policy(step),
            durable=self.durable_of(is_durable=is_durable),
            waits=self.waits,
            is_durable=is_durable,
            records_final=False,
        )

    def _policy(self, step: Any) -> RetryPolicy:
        return RetryPolicy(
            max_retries=step.max_retries,
            delay_ms=step.retry_delay_ms,
            rate_limit_budget_ms=self.place.scenario.rate_limit_budget_ms,
        )

    # -- values

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
            found = resolve(self._roots, segments)
            # A result must not hold the entries that are still being added to, its own among them.
            return dict(self.steps) if found is self.steps else found
        except PathMismatch as error:
            message = f"{format_path(segments)} leads to nothing: {error}"
            raise ValueFailed("REFERENCE_MISMATCH", message) from error

    def template(self, text: str) -> str:
        """The text of a template, with the roots of this context.

        Raises:
            ValueFailed: a name is missing, or it cannot be rendered; ``TEMPLATE_FAILED``.
        """
        try:
            return render(text, self._roots)
        except (TemplateInvalid, TemplateFailed) as error:
            raise ValueFailed("TEMPLATE_FAILED", f"the template cannot be rendered: {error}") from error

    # -- the frame of every step

    async def perform(
        self,
        step: s.Step,
        prepare: Callable[[], T],
        act: Callable[[T], Awaitable[Any]],
        *,
        extras: Mapping[str, Any] | None = None,
        shown: Callable[[T], Any] | None = None,
    ) -> Any:
        """Run one step: evaluate what it is given, act, and note what came of it under ``steps``.

        Args:
            step: The step.
            prepare: Evaluates what it is given.
            act: Makes the outputs.
            extras: What stands beside them in the entry; filled by ``act``.
            shown: What events show of the inputs.

        Raises:
            StepFailed: it failed.
            Interruption: the instance was cancelled, paused, suspended or superseded.
        """
        if self.place.deadline is not None:
            self.place.deadline.check()
        if self._trace is not None:
            return await self._perform_traced(self._trace, step, prepare, act, extras, shown)
        try:
            outputs = await act(prepare())
        except (RuntaraError, StepFailed):
            raise
        except Exception as error:
            raise step_failure(step, error) from error
        self._note(step, outputs, extras)
        await self.safe_point()
        return outputs

    async def _perform_traced(
        self,
        trace: Trace,
        step: s.Step,
        prepare: Callable[[], T],
        act: Callable[[T], Awaitable[Any]],
        extras: Mapping[str, Any] | None,
        shown: Callable[[T], Any] | None,
    ) -> Any:
        span = None
        try:
            given = prepare()
            span = trace.begin(step, given if shown is None else shown(given))
            if step.breakpoint:
                await signals.stop_at(self, step, given)
            outputs = await act(given)
        except RuntaraError:
            raise
        except Exception as error:
            failure = step_failure(step, error)
            (span or trace.begin(step, None)).fail(failure.to_data())
            raise failure from (error.__cause__ if failure is error else error)
        entry = self._note(step, outputs, extras)
        span.end(outputs if isinstance(step, s.AgentStep) else entry)
        await self.safe_point()
        return outputs

    def _note(self, step: s.Step, outputs: Any, extras: Mapping[str, Any] | None) -> dict[str, Any]:
        entry = self.steps[step.id] = step.entry(outputs)
        if extras:
            entry |= extras
        return entry

    async def safe_point(self) -> None:
        """Where the instance may be interrupted."""
        if self._durable.check():
            await self.waits.interrupt()

    async def breathe(self) -> None:
        """A safe point of a loop, which gives way when it has run for long: pure steps never do it by themselves."""
        await self.execution.pace.breathe()
        await self.safe_point()

    # -- failures

    async def tried(self, step: Awaitable[Any]) -> bool:
        """Whether a step succeeded; its failure is ``error`` from then on."""
        try:
            await step
        except StepFailed as failure:
            self._failure = failure
            data = failure.to_data()
            self.steps["error"] = self.steps["__error"] = data
            self._roots["error"] = self._roots["__error"] = data
            return False
        return True

    def failure(self) -> StepFailed:
        """The failure that is being handled, to be raised where no handler ends it."""
        assert self._failure is not None
        return self._failure

    # -- work

    async def agent(self, step: s.AgentStep, inputs: Inputs) -> None:
        """Call the capability of the step, or take what it returned before."""
        await self.perform(step, inputs, self.call(step, self.key(step)).outputs)

    def call(self, step: s.AgentStep, key: str) -> DurableCall:
        """The call of a capability under a key of this graph."""
        return DurableCall(
            execution=self.execution,
            step=step,
            key=key,
            retry_key=key + self.place.suffix,
            durable=self.durable_of(is_durable=step.durable),
            is_durable=step.durable and self.place.is_durable,
            waits=self.waits,
            rate_limit_budget_ms=self.place.scenario.rate_limit_budget_ms,
        )

    async def start(self, step: s.StartScenarioStep, inputs: Inputs, body: Body, scenario: s.Scenario) -> None:
        """Run a child to its result."""

        async def act(given: Mapping[str, Any]) -> Any:
            return await children.start(self, step, given, body, scenario)

        await self.perform(step, inputs, act, extras={"childScenarioId": scenario.id})

    async def ai(self, step: s.AiAgentStep, prompt: Callable[[], ai.Prompt], tools: Sequence[s.Tool] = ()) -> None:
        """Talk to a model until it answers."""

        async def act(given: ai.Prompt) -> Any:
            return await ai.converse(self, step, given, tools)

        await self.perform(step, prompt, act, shown=ai.shown)

    async def connection(self, step: s.ConnectionStep) -> None:
        """Fetch a connection; it is never stored or shown, so a replay fetches it again."""
        try:
            found = await self.tries(step).until_success(partial(fetch_for_step, self.execution, step))
        except Exception as error:
            raise step_failure(step, error) from error
        self._note(step, dict(found), None)
        await self.safe_point()

    # -- the way

    async def decide(self, step: s.ConditionalStep, condition: Callable[[], bool]) -> bool:
        """Note the result of a condition, and pass it on."""

        async def act(result: bool) -> dict[str, bool]:
            return {"result": result}

        outputs = await self.perform(step, condition, act, shown=lambda _: {"condition": "evaluating"})
        result: bool = outputs["result"]
        return result

    async def switch(
        self,
        step: s.SwitchStep,
        value: Callable[[], Any],
        cases: Iterable[s.Case] = (),
        default: Callable[[], Any] | None = None,
    ) -> None:
        """Take the output of the first case that matches."""
        extras: dict[str, Any] = {}

        async def act(given: Any) -> Any:
            case = collecting.matching(given, cases)
            if step.routes:
                extras["route"] = "default" if case is None or case.route is None else case.route
            if case is not None:
                return case.output()
            return {} if default is None else default()

        await self.perform(step, value, act, extras=extras)

    def route(self, step: s.SwitchStep) -> str:
        """The way that a Switch has chosen."""
        route: str = self.steps[step.id]["route"]
        return route

    async def finish(self, step: s.FinishStep, inputs: Inputs) -> Any:
        """The result of the graph: the mapped object, or what is under its only key ``outputs``.

        At the end of a run, everything that was sent is durable on return.
        """

        async def act(mapped: Mapping[str, Any]) -> Any:
            result = mapped["outputs"] if mapped.keys() == {"outputs"} else mapped
            return fitting(result, self.place.output_schema, "the result", "OUTPUT_INVALID")

        return await self.perform(step, inputs, act, shown=lambda _: {"finishing": True})

    async def end(self) -> None:
        """The end without a Finish step: the result is null. Raises a failure that no handler has ended."""
        if self._failure is not None:
            raise self._failure
        fitting(None, self.place.output_schema, "the result", "OUTPUT_INVALID")
        await self.safe_point()

    async def error(self, step: s.ErrorStep, context: Inputs) -> Any:
        """Fail, as the author says. Never returns."""
        await self.perform(step, context, lambda given: notes.fail(self, step, given))

    # -- loops

    async def split(
        self, step: s.SplitStep, items: Callable[[], Any], body: Body, variables: Inputs | None = None
    ) -> None:
        """Run a graph for each item."""
        extras: dict[str, Any] = {}

        async def act(given: tuple[Any, Mapping[str, Any]]) -> Any:
            return await loops.split(self, step, given, body, extras)

        await self.perform(
            step,
            lambda: (items(), _evaluated(variables)),
            act,
            extras=extras,
            shown=lambda given: {
                "value": given[0],
                "variables": given[1],
                "parallelism": step.parallelism,
                "dontStopOnFailed": step.dont_stop_on_failed,
            },
        )

    async def repeat(
        self,
        step: s.WhileStep,
        condition: Callable[[Run], bool],
        body: Body,
        variables: Inputs | None = None,
    ) -> None:
        """Run a graph as long as a condition holds."""
        extras: dict[str, Any] = {}

        async def act(given: Mapping[str, Any]) -> Any:
            return await loops.repeat(self, step, condition, body, given, extras)

        await self.perform(
            step,
            lambda: _evaluated(variables),
            act,
            extras=extras,
            shown=lambda _: {"maxIterations": step.max_iterations},
        )

    # -- values of lists

    async def filter(self, step: s.FilterStep, value: Callable[[], Any], condition: Callable[[Run], bool]) -> None:
        """Keep the elements for which a condition holds."""

        async def act(given: Any) -> Any:
            return collecting.filtered(given, lambda item: condition(self.with_roots(item=item)))

        await self.perform(step, value, act)

    async def group_by(self, step: s.GroupByStep, value: Callable[[], Any]) -> None:
        """Put the elements into groups."""

        async def act(given: Any) -> Any:
            return collecting.grouped(given, step.key, step.expected_keys)

        await self.perform(step, value, act)

    async def log(self, step: s.LogStep, context: Inputs) -> None:
        """Write an event for people."""
        await self.perform(step, context, lambda given: notes.log(self, step, given))

    # -- time and people

    async def delay(self, step: s.DelayStep, milliseconds: Callable[[], Any]) -> None:
        """Wait, without a process where it takes long."""
        extras: dict[str, Any] = {}
        await self.perform(step, milliseconds, lambda given: signals.delay(self, step, given, extras), extras=extras)

    async def wait(
        self,
        step: s.WaitForSignalStep,
        timeout_ms: Callable[[], Any] | None = None,
        on_wait: Body | None = None,
        action: Inputs | None = None,
    ) -> None:
        """Wait for a signal from outside."""
        extras: dict[str, Any] = {"signal_id": self.key(step)}

        async def act(given: tuple[Any, Mapping[str, Any]]) -> Any:
            return await signals.wait(self, step, key=self.key(step), given=given, on_wait=on_wait)

        await self.perform(
            step,
            lambda: (None if timeout_ms is None else timeout_ms(), _evaluated(action)),
            act,
            extras=extras,
            shown=lambda given: {
                "signal_id": extras["signal_id"],
                "timeout_ms": given[0],
                "response_schema": dict(step.response_schema),
            },
        )


def _evaluated(inputs: Inputs | None) -> Mapping[str, Any]:
    return {} if inputs is None else inputs()
