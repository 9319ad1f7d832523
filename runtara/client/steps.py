"""The steps of an instance, put together from the events that it writes in debug mode.

Each attempt runs from the beginning, and writes again of the steps whose results it takes from the checkpoints. A step
that has completed is not listed again for that, and keeps its times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from runtara.client.records import Event

__all__ = ("MAIN_SCOPE", "STEP_EVENTS", "StepBook", "StepFilter", "StepSummary", "step_tree")

STEP_EVENTS: Final = "custom"
"""The type of the events that steps write."""

MAIN_SCOPE: Final = "main"
"""How the scope of the scenario itself is asked for, which has no id."""

_BEGIN: Final = "step_debug_start"
_END: Final = "step_debug_end"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSummary:
    """One run of one step: in a loop there is one for each pass, in a child one for each start of the child."""

    step_id: str
    step_name: str | None
    step_type: str
    scope_id: str | None
    """Of the loop pass or the child that it ran in; None: in the scenario itself."""
    parent_scope_id: str | None
    loop_indices: tuple[int, ...]
    status: str
    """running, completed or failed; running also while the instance is parked on it, or ended under it."""
    started_at: datetime
    finished_at: datetime | None = None
    attempt: int
    """Of the instance, when it began, or was begun again."""
    error: Any = None
    inputs: Any = None
    outputs: Any = None

    @property
    def duration(self) -> timedelta | None:
        """How long it took, with the time that the instance was parked; None while it runs."""
        return None if self.finished_at is None else self.finished_at - self.started_at


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFilter:
    """Which steps are asked for; None: all."""

    scope: str | None = None
    status: str | None = None
    type: str | None = None

    def fits(self, step: StepSummary) -> bool:
        """Whether the step is one of them."""
        scope = MAIN_SCOPE if step.scope_id is None else step.scope_id
        asked = ((self.scope, scope), (self.status, step.status), (self.type, step.step_type))
        return all(wanted is None or wanted == found for wanted, found in asked)


@dataclass(slots=True)
class _Runs:
    """What is known of one step in one scope."""

    places: list[int] = field(default_factory=list)
    """In the book, of each run."""
    current: int = -1
    """The run that the attempt is at."""
    attempt: int = 0


class StepBook:
    """Takes events in their order, and knows the steps."""

    def __init__(self, *, with_values: bool = False) -> None:
        """With values: also what steps were given, and what came of them."""
        self._with_values = with_values
        self._steps: list[StepSummary] = []
        self._runs: dict[tuple[str | None, str], _Runs] = {}

    @property
    def steps(self) -> tuple[StepSummary, ...]:
        """All steps so far, in the order in which they began."""
        return tuple(self._steps)

    def apply(self, event: Event) -> StepSummary | None:
        """The step that has begun or ended by this event; None when the event tells nothing new."""
        payload = event.payload
        if event.subtype not in (_BEGIN, _END) or not isinstance(payload, Mapping):
            return None
        runs = self._runs.setdefault((payload.get("scope_id"), str(payload.get("step_id"))), _Runs())
        if event.subtype == _BEGIN:
            return self._begin(runs, event, payload)
        return self._end(runs, payload)

    def _begin(self, runs: _Runs, event: Event, payload: Mapping[str, Any]) -> StepSummary | None:
        if event.attempt != runs.attempt:
            runs.attempt, runs.current = event.attempt, 0
        elif self._steps[runs.places[runs.current]].status == "completed":
            runs.current += 1
        if runs.current == len(runs.places):
            runs.places.append(len(self._steps))
            self._steps.append(self._begun(event, payload))
        elif self._steps[runs.places[runs.current]].status == "completed":
            return None
        else:
            self._begin_again(runs.places[runs.current], event)
        return self._steps[runs.places[runs.current]]

    def _begun(self, event: Event, payload: Mapping[str, Any]) -> StepSummary:
        return StepSummary(
            step_id=str(payload.get("step_id")),
            step_name=payload.get("step_name"),
            step_type=str(payload.get("step_type")),
            scope_id=payload.get("scope_id"),
            parent_scope_id=payload.get("parent_scope_id"),
            loop_indices=tuple(payload.get("loop_indices") or ()),
            status="running",
            started_at=_time_of(payload),
            attempt=event.attempt,
            inputs=payload.get("inputs") if self._with_values else None,
        )

    def _begin_again(self, place: int, event: Event) -> None:
        """In a new attempt, or since what is around it is tried again. It began when it began first."""
        step = self._steps[place]
        self._steps[place] = replace(step, status="running", attempt=event.attempt, finished_at=None, error=None)

    def _end(self, runs: _Runs, payload: Mapping[str, Any]) -> StepSummary | None:
        if runs.current < 0 or self._steps[runs.places[runs.current]].status != "running":
            return None
        place = runs.places[runs.current]
        outputs = payload.get("outputs")
        is_failed = isinstance(outputs, Mapping) and outputs.get("_error") is True
        self._steps[place] = replace(
            self._steps[place],
            status="failed" if is_failed else "completed",
            finished_at=_time_of(payload),
            error=outputs.get("error") if is_failed and isinstance(outputs, Mapping) else None,
            outputs=outputs if self._with_values and not is_failed else None,
        )
        return self._steps[place]


def _time_of(payload: Mapping[str, Any]) -> datetime:
    milliseconds = payload.get("timestamp_ms")
    return datetime.fromtimestamp((milliseconds if isinstance(milliseconds, int) else 0) / 1000, UTC)


def step_tree(steps: Iterable[StepSummary]) -> Iterator[tuple[int, StepSummary]]:
    """The steps with their depth: those inside of a loop or a child come after it, scope by scope."""
    steps = list(steps)
    scopes: dict[str | None, list[StepSummary]] = {}
    for step in steps:
        scopes.setdefault(step.scope_id, []).append(step)
    parents = {step.scope_id: step.parent_scope_id for step in steps if step.scope_id is not None}
    # Also those whose container was filtered out, or wrote nothing.
    roots = [scope for scope in scopes if scope is None or parents[scope] not in scopes]
    for root in roots:
        yield from _scope(root, 0, scopes, parents)


def _scope(
    scope: str | None, depth: int, scopes: Mapping[str | None, list[StepSummary]], parents: Mapping[str, str | None]
) -> Iterator[tuple[int, StepSummary]]:
    inner = [each for each in scopes if each is not None and parents[each] == scope]
    for step in scopes[scope]:
        yield depth, step
        base = f"{scope or 'sc'}_{step.step_id}"
        mine = [each for each in inner if each == base or each.removeprefix(f"{base}_").isdigit()]
        for each in mine:
            inner.remove(each)
            yield from _scope(each, depth + 1, scopes, parents)
    for each in inner:
        yield from _scope(each, depth + 1, scopes, parents)
