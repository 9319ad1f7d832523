"""Scenarios and capabilities in the calling process: what products test their scenarios with, and so do we.

A scenario is compiled as for the server and runs on an instance in memory. Sleeping takes no time. Crashes can be asked
for at each persistence call; the run then goes on in a new attempt, as it would on a server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from types import ModuleType
from typing import Any, Final

import anyio.lowlevel
import msgspec

from runtara.agents import CallContext, Registry, Resources, registry
from runtara.clock import Clock
from runtara.compiler import CompilationInput, translate_scenario
from runtara.compiler.backend.memory import load_module
from runtara.dsl import Document
from runtara.dsl.children import library_of
from runtara.errors import InvalidRequest, NotFound
from runtara.sdk.base import Durable, Interruption
from runtara.sdk.memory import MemoryDurable, SimulatedCrash
from runtara.sdk.memory_store import MemoryInstanceStore
from runtara.sdk.program import attend
from runtara.stdlib import execute
from runtara.stdlib.values import encode_value
from runtara.testing.clock import ManualClock
from runtara.testing.doubles import Call, Double, Recorder, registry_with

__all__ = ("AttemptStart", "RunResult", "ScriptedSignal", "call_capability", "run_scenario")

# Far more than any scenario needs; a run that is not over by then goes in circles.
_ATTEMPTS_MAX: Final = 1000

# Of the event loop, before a sleep is over: more than it takes for one task to hear of another.
_TURNS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedSignal:
    """Something that happens to the run from outside."""

    kind: str
    """``cancel``, ``pause``, ``resume`` or ``custom``."""
    name: str = ""
    payload: Any = None
    after_step: str | None = None
    """Comes when this step's result is recorded; None: before the run begins, or as soon as the run stands still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStart:
    """How far the run was when an attempt began."""

    calls: int
    """So many calls of capabilities had been made."""
    checkpoints: int
    """So many checkpoints were stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What came of a run."""

    status: str
    """``completed``, ``failed`` or ``cancelled``; ``suspended`` when it waits for what never comes."""
    output: Any
    error: Mapping[str, Any] | None
    """The structured error of a failed run."""
    checkpoints: tuple[tuple[str, Any], ...]
    """Key and value, in the order in which they were stored."""
    events: tuple[tuple[str, Any], ...]
    """Subtype and payload."""
    calls: tuple[Call, ...]
    """All calls of capabilities, in all attempts."""
    attempts: int
    attempt_starts: tuple[AttemptStart, ...]
    """Of the attempts of this run, in their order."""
    checkpoints_at_crash: int | None
    """So many were stored when an attempt died; None when none did."""
    persistence_calls: int
    """How many places there are for ``crash_after``."""
    elapsed_s: float
    """By the clock of the run, which sleeping moves."""

    @property
    def effects(self) -> tuple[Call, ...]:
        """The calls that have side effects."""
        return tuple(call for call in self.calls if call.has_side_effects)


async def run_scenario(
    document: Document,
    data: Any,
    *,
    variables: Mapping[str, Any] | None = None,
    children: Mapping[str, Document] | None = None,
    agents: Mapping[str, Double] | None = None,
    signals: Sequence[ScriptedSignal] = (),
    crash_after: int | None = None,
    crash_before: int | None = None,
    clock: Clock | None = None,
    store: MemoryInstanceStore | None = None,
    debug: bool = False,
    connection_url: str | None = None,
) -> RunResult:
    """Compile a scenario and run it to its end.

    Args:
        document: The scenario.
        data: What references to ``data`` see.
        variables: Set over the defaults of the scenario.
        children: The scenarios that it starts, by ``id`` or ``id@version``.
        agents: Doubles; see ``runtara.testing.doubles.registry_with``.
        signals: What happens from outside, in this order.
        crash_after: After so many persistence calls, of all attempts together, the attempt dies; the next ones live.
        crash_before: The attempt dies at this persistence call, before it takes effect: what the step did to the
            world before has happened all the same.
        clock: By default one that starts at a fixed time, and that sleeping moves; so does any ``ManualClock``.
        store: An instance that has begun before, to go on with.
        debug: Compile it in debug mode.
        connection_url: Of the service that knows the connections.

    Raises:
        ScenarioInvalid: the scenario has errors.
    """
    known = registry_with(agents or {}, registry())
    module = _compiled(document, children, known, debug=debug)
    run = _ScriptedRun(
        module=module,
        agents=known,
        clock=_JumpingClock(clock or ManualClock()) if isinstance(clock, ManualClock | None) else clock,
        store=store or MemoryInstanceStore(),
        signals=list(signals),
        crash_after=crash_after,
        crash_before=crash_before,
        connection_url=connection_url,
    )
    run.store.input = encode_value({"data": data, "variables": dict(variables or {})})
    return await run.to_the_end()


def _compiled(
    document: Document, children: Mapping[str, Document] | None, agents: Registry, *, debug: bool
) -> ModuleType:
    compilation = CompilationInput(
        tenant_id="test",
        scenario_id="test",
        execution_graph=document,
        debug_mode=debug,
        child_scenarios=library_of(children).children,
    )
    return load_module(translate_scenario(compilation, catalog=agents).layer)


class _JumpingClock:
    """A manual clock that jumps whenever somebody wants to wait."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self.sleep_until(self.now() + timedelta(seconds=max(0.0, seconds)))

    async def sleep_until(self, at: datetime) -> None:
        # Whatever can happen now happens before time passes.
        for _ in range(_TURNS):
            await anyio.lowlevel.checkpoint()
        self._clock.jump(max(timedelta(0), at - self.now()))
        await anyio.lowlevel.checkpoint()


@dataclass
class _ScriptedRun:
    module: ModuleType
    agents: Registry
    clock: Clock
    store: MemoryInstanceStore
    signals: list[ScriptedSignal]
    crash_after: int | None
    crash_before: int | None
    connection_url: str | None = None
    random: Random = field(default_factory=lambda: Random(0))
    recorder: Recorder = field(default_factory=Recorder)
    starts: list[AttemptStart] = field(default_factory=list)
    checkpoints_at_crash: int | None = None
    calls_before: int = field(init=False)
    """Persistence calls that the store has seen before this run."""

    def __post_init__(self) -> None:
        self.calls_before = self.store.calls

    async def to_the_end(self) -> RunResult:
        began = self.clock.now()
        self.deliver(after_step=None)
        while not self.store.is_ended and await self._is_going_on():
            assert self.store.attempt < _ATTEMPTS_MAX, "the run goes in circles"
            start = AttemptStart(calls=len(self.recorder.calls), checkpoints=len(self.store.checkpoints))
            self.starts.append(start)
            await self._attempt()
        return self._result((self.clock.now() - began).total_seconds())

    async def _attempt(self) -> None:
        durable = _WatchedDurable(self)
        try:
            await attend(durable, self._entry)
        except Interruption:
            pass  # The store knows how it ended.
        except SimulatedCrash:
            self.crash_after = self.crash_before = None
            self.checkpoints_at_crash = len(self.store.checkpoints)
            self._deliver_missed()

    def _deliver_missed(self) -> None:
        """Send what was waiting for a result that was stored by the very call after which the attempt died."""
        while self.signals and self.signals[0].after_step in self.store.checkpoints:
            self.deliver(after_step=self.signals[0].after_step)
            if self.store.status != "pending":
                return

    async def _entry(self, durable: Durable) -> bytes:
        agents = self.recorder.watch(self.agents)
        return await execute(
            self.module,
            durable,
            agents=agents,
            clock=self.clock,
            random=self.random,
            connection_url=self.connection_url,
        )

    async def _is_going_on(self) -> bool:
        """Whether another attempt follows, from now on."""
        if self.store.status == "suspended" and self.store.wake_at is not None:
            await self.clock.sleep_until(self.store.wake_at)
            return True
        if self.store.status == "suspended":
            self.deliver(after_step=None)
        return self.store.status == "pending"

    def deliver(self, *, after_step: str | None) -> None:
        """Send the signals that are next, as far as they were waiting for this step."""
        while self.signals and self.signals[0].after_step == after_step:
            signal = self.signals.pop(0)
            match signal.kind:
                case "cancel":
                    self.store.cancel()
                case "pause":
                    self.store.pause()
                case "resume":
                    self.store.resume()
                case _:
                    self.store.send_signal(signal.name, encode_value(signal.payload))
            if self.store.status == "suspended":
                # What the signal did has to be seen before the next one comes.
                return

    def _result(self, elapsed_s: float) -> RunResult:
        store = self.store
        return RunResult(
            status=store.status,
            output=None if store.output is None else msgspec.json.decode(store.output),
            error=None if store.error is None else msgspec.json.decode(store.error),
            checkpoints=tuple((key, _value_of(state)) for key, state in store.checkpoints.items()),
            events=tuple((subtype, payload and msgspec.json.decode(payload)) for subtype, payload in store.events),
            calls=tuple(self.recorder.calls),
            attempts=store.attempt,
            attempt_starts=tuple(self.starts),
            checkpoints_at_crash=self.checkpoints_at_crash,
            persistence_calls=store.calls,
            elapsed_s=elapsed_s,
        )


def _value_of(state: bytes) -> Any:
    # What a wait that timed out has stored is empty.
    return msgspec.json.decode(state) if state else None


class _WatchedDurable(MemoryDurable):
    """Tells the script when the result of a step was stored or sent."""

    def __init__(self, run: _ScriptedRun) -> None:
        done = run.store.calls - run.calls_before
        super().__init__(
            run.store,
            clock=run.clock,
            crash_after=None if run.crash_after is None else run.crash_after - done,
            crash_before=None if run.crash_before is None else run.crash_before - done,
        )
        self._run = run

    def send(self, key: str, state: bytes) -> None:
        """See ``Durable.send``."""
        super().send(key, state)
        self._run.deliver(after_step=key)

    async def save(self, key: str, state: bytes) -> bytes:
        """See ``Durable.save``."""
        held = await super().save(key, state)
        self._run.deliver(after_step=key)
        return held


async def call_capability(
    agent_id: str,
    capability_id: str,
    input: Mapping[str, Any],  # noqa: A002 - the word of the language
    *,
    connection: Mapping[str, Any] | None = None,
) -> Any:
    """Run one capability, and return its output as JSON-like values.

    Args:
        agent_id: The agent.
        capability_id: Its capability.
        input: The inputs.
        connection: What the connection service would give: ``parameters`` and ``integration_id``.

    Raises:
        NotFound: there is no such capability.
        InvalidRequest: the agent works with no connection.
        AgentError: it failed, or the inputs do not fit.
        AssertionError: it changed its inputs, which belong to other steps as well.
    """
    agent = registry().find(agent_id)
    found = None if agent is None else agent.find(capability_id)
    if agent is None or found is None:
        raise NotFound(f"there is no capability {agent_id}/{capability_id}")
    if connection is not None and not agent.info.supports_connections:
        raise InvalidRequest(f"the agent {agent_id!r} works with no connection", field="connection")
    before = encode_value(input)
    async with Resources() as resources:
        output = await found.call(input, _test_context(resources, connection))
    assert encode_value(input) == before, f"{agent_id}/{capability_id} changed its inputs"
    return msgspec.json.decode(encode_value(output))


def _test_context(resources: Resources, connection: Mapping[str, Any] | None) -> CallContext:
    return CallContext(
        instance_id="test",
        tenant_id="test",
        step_id="test",
        idempotency_key="test:test",
        clock=_JumpingClock(ManualClock()),
        random=Random(0),
        resources=resources,
        connection=connection,
    )
