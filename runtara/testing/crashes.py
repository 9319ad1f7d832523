"""A scenario, crashed at each of its persistence calls: it must come to the same end, and do nothing twice.

The scenario runs once undisturbed, to count its persistence calls; then twice for each call: with a crash right before
the call takes effect, and with one right after it. An effect is *completed* when its result is recorded, and is never
done again. One in flight at the crash may be repeated; it goes out with the same idempotency key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, TypeAlias

from runtara.dsl import Document
from runtara.errors import InvalidRequest
from runtara.testing.doubles import Call, Double
from runtara.testing.scenario import RunResult, ScriptedSignal, run_scenario

__all__ = (
    "CrashPoint",
    "CrashReport",
    "CrashedRun",
    "Difference",
    "completed_twice",
    "crash_points",
    "difference_of",
    "try_crashes",
)

Doubles: TypeAlias = Mapping[str, Double] | Callable[[], Mapping[str, Double]]

_ABSENT: Final = "(absent)"
_ENDS: Final = ("status", "output", "error")


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """Where a run dies."""

    when: Literal["before", "after"]
    call: int
    """The number of the persistence call, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a crash has changed."""

    path: str
    """In the result of the run: ``status``, ``output.total``, ``error.code``; ``effects.STEP`` for one done twice."""
    expected: Any
    found: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashedRun:
    """A run that died once."""

    point: CrashPoint
    result: RunResult
    last_checkpoint: str | None
    """The newest checkpoint that was stored when the run died."""
    repeated: tuple[Call, ...]
    """Effects that succeeded before the crash, and were called again after it."""
    difference: Difference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashReport:
    """What came of all runs."""

    undisturbed: RunResult
    runs: tuple[CrashedRun, ...]

    @property
    def first_difference(self) -> CrashedRun | None:
        """The first run that a crash has changed."""
        return next((run for run in self.runs if run.difference is not None), None)

    @property
    def is_clean(self) -> bool:
        """Whether no crash has changed anything."""
        return self.first_difference is None

    @property
    def effects_sent(self) -> int:
        """How many calls with side effects all runs together have made."""
        return sum(len(result.effects) for result in (self.undisturbed, *(run.result for run in self.runs)))


async def try_crashes(
    document: Document,
    data: Any,
    *,
    variables: Mapping[str, Any] | None = None,
    children: Mapping[str, Document] | None = None,
    agents: Doubles | None = None,
    signals: Sequence[ScriptedSignal] = (),
    connection_url: str | None = None,
    crashes_max: int | None = None,
) -> CrashReport:
    """Run a scenario undisturbed, and then with a crash before and after each of its persistence calls.

    What the doubles do not stand in for is called really, in each run.

    Args:
        document: The scenario; this and the following as for ``run_scenario``.
        data: What references to ``data`` see.
        variables: Set over the defaults of the scenario.
        children: The scenarios that it starts.
        agents: Doubles, or a function that makes them anew for each run. A double must answer a call that is repeated
            as it did the first time, as a service does that honours idempotency keys; a list of replies does not.
        signals: What happens from outside, in each run.
        connection_url: Of the service that knows the connections.
        crashes_max: Only so many crashes, evenly spread; None: all.

    Raises:
        ScenarioInvalid: the scenario has errors.
        InvalidRequest: the undisturbed run does not end: it waits for what never comes.
    """

    async def run(**crash: int) -> RunResult:
        return await run_scenario(
            document,
            data,
            variables=variables,
            children=children,
            agents=agents() if callable(agents) else agents,
            signals=signals,
            connection_url=connection_url,
            **crash,  # type: ignore[arg-type]  # Only the points of a crash are in it.
        )

    undisturbed = await run()
    if undisturbed.status == "suspended":
        hint = "Say which signals come, in their order."
        raise InvalidRequest("the scenario does not end: it waits for a signal or a person", hint=hint)
    points = crash_points(undisturbed.persistence_calls, crashes_max)
    runs = [_examined(point, undisturbed, await run(**{f"crash_{point.when}": point.call})) for point in points]
    return CrashReport(undisturbed=undisturbed, runs=tuple(runs))


def crash_points(persistence_calls: int, crashes_max: int | None = None) -> tuple[CrashPoint, ...]:
    """Before and after each call, in their order; with a maximum, so many that are evenly spread."""
    points = [CrashPoint(when, call) for call in range(1, persistence_calls + 1) for when in ("before", "after")]
    if crashes_max is None or len(points) <= crashes_max:
        return tuple(points)
    return tuple(points[index * len(points) // crashes_max] for index in range(crashes_max))


def _examined(point: CrashPoint, undisturbed: RunResult, crashed: RunResult) -> CrashedRun:
    stored = crashed.checkpoints[: crashed.checkpoints_at_crash or 0]
    return CrashedRun(
        point=point,
        result=crashed,
        last_checkpoint=stored[-1][0] if stored else None,
        repeated=_repeated(crashed),
        difference=completed_twice(crashed) or _changed_end(undisturbed, crashed),
    )


# ---- effects


def _repeated(result: RunResult) -> tuple[Call, ...]:
    """Effects that had succeeded in an attempt, and were called again in a later one."""
    return tuple(
        call
        for before, after in _cuts(result)
        for call in after
        if any(each.idempotency_key == call.idempotency_key and each.error is None for each in before)
    )


def completed_twice(result: RunResult) -> Difference | None:
    """An effect that was called in an attempt which began when its result was recorded already."""
    for start, (_, after) in zip(result.attempt_starts[1:], _cuts(result), strict=True):
        recorded = {key for key, _ in result.checkpoints[: start.checkpoints]}
        for call in after:
            if call.idempotency_key.partition(":")[2] in recorded:
                once = f"{call.agent_id}/{call.capability_id} once with the key {call.idempotency_key}"
                return Difference(path=f"effects.{call.step_id}", expected=once, found="called again, though completed")
    return None


def _cuts(result: RunResult) -> Iterator[tuple[Sequence[Call], Sequence[Call]]]:
    """For each attempt after the first: the effects of all attempts before it, and its own."""
    ends = [start.calls for start in result.attempt_starts[1:]] + [len(result.calls)]
    for begin, end in pairwise(ends):
        yield (
            [call for call in result.calls[:begin] if call.has_side_effects],
            [call for call in result.calls[begin:end] if call.has_side_effects],
        )


# ---- ends


def _changed_end(undisturbed: RunResult, crashed: RunResult) -> Difference | None:
    found = (difference_of(getattr(undisturbed, name), getattr(crashed, name), name) for name in _ENDS)
    return next((difference for difference in found if difference is not None), None)


def difference_of(expected: Any, found: Any, path: str) -> Difference | None:
    """The first place where two JSON values differ, in the order of names and items; None where they are equal."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        pairs: dict[str, tuple[Any, Any]] = {
            f"{path}.{name}": (expected.get(name, _ABSENT), found.get(name, _ABSENT))
            for name in sorted(expected.keys() | found.keys())
        }
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = {f"{path}[{index}]": pair for index, pair in enumerate(zip(expected, found, strict=True))}
    elif type(expected) is type(found) and expected == found:
        return None
    else:
        return Difference(path=path, expected=expected, found=found)
    inner = (difference_of(one, other, where) for where, (one, other) in pairs.items())
    return next((difference for difference in inner if difference is not None), None)
