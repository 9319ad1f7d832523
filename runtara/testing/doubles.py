"""Agents for tests: stand-ins where given, and a record of what was called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from runtara.agents import Agent, AgentError, CallContext, Capability, Registry
from runtara.agents.capability import find_declared_agent
from runtara.agents.signature import Signature
from runtara.dsl.catalog import AgentInfo, CapabilityInfo, CapabilityOutput

__all__ = ("Call", "Double", "Recorder", "registry_with")

Double: TypeAlias = Callable[[Mapping[str, Any]], Any] | Sequence[Any] | object
"""What stands in for a capability: a function of the inputs, or what it returns (or raises, if it is an exception) call
by call. Under an agent's id: a class or an object with ``@agent``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of a capability, as it happened."""

    step_id: str
    agent_id: str
    capability_id: str
    inputs: Mapping[str, Any]
    idempotency_key: str
    has_side_effects: bool
    output: Any = None
    error: Mapping[str, Any] | None = None
    """As ``AgentError.to_data`` gives it."""


@dataclass
class Recorder:
    """Notes all calls that go through its registry."""

    calls: list[Call] = field(default_factory=list)

    def watch(self, agents: Registry) -> Registry:
        """The same agents, watched."""
        return _WatchedRegistry(agents, self)


class _WatchedRegistry(Registry):
    def __init__(self, agents: Registry, recorder: Recorder) -> None:
        super().__init__({})
        self._watched = agents
        self._recorder = recorder

    def agent_ids(self) -> tuple[str, ...]:
        """See ``Registry.agent_ids``."""
        return self._watched.agent_ids()

    def find(self, agent_id: str) -> Agent | None:
        """See ``Registry.find``."""
        return self._watched.find(agent_id)

    def find_capability(self, agent_id: str, capability_id: str) -> Capability | None:
        """See ``Registry.find_capability``."""
        found = self._watched.find_capability(agent_id, capability_id)
        return None if found is None else _watched(found, agent_id, self._recorder)


@dataclass(frozen=True, slots=True)
class _Watched(Capability):
    inner: Capability
    agent_id: str
    recorder: Recorder

    async def call(self, inputs: Mapping[str, Any], context: CallContext, *, in_thread: bool = False) -> Any:
        """See ``Capability.call``."""
        try:
            output = await self.inner.call(inputs, context, in_thread=in_thread)
        except Exception as error:
            self._note(inputs, context, error=AgentError.of(error).to_data())
            raise
        self._note(inputs, context, output=output)
        return output

    def _note(self, inputs: Mapping[str, Any], context: CallContext, **result: Any) -> None:
        self.recorder.calls.append(
            Call(
                step_id=context.step_id,
                agent_id=self.agent_id,
                capability_id=self.info.id,
                inputs=inputs,
                idempotency_key=context.idempotency_key,
                has_side_effects=self.info.has_side_effects,
                **result,
            )
        )


def _watched(inner: Capability, agent_id: str, recorder: Recorder) -> Capability:
    return _Watched(inner.info, inner.signature, inner.function, inner, agent_id, recorder)


def registry_with(doubles: Mapping[str, Double], agents: Registry) -> Registry:
    """The agents, with the doubles in place of or beside them.

    Args:
        doubles: Under ``agent/capability`` what stands in for one capability, under ``agent`` an agent. A capability
            that is installed keeps its metadata, so its inputs are checked; any other takes all inputs.
        agents: The agents as they are.
    """
    for name, double in doubles.items():
        agent_id, _, capability_id = name.partition("/")
        agents = agents.with_agents({agent_id: _agent_with(agents.find(agent_id), agent_id, capability_id, double)})
    return agents


def _agent_with(installed: Agent | None, agent_id: str, capability_id: str, double: Double) -> Agent:
    if not capability_id:
        declared = find_declared_agent(double)
        assert declared is not None, f"{agent_id!r} is not decorated with @agent"
        return declared
    installed = installed or Agent(AgentInfo(id=agent_id, name=agent_id, capabilities=()), {})
    made = _double_of(installed.find(capability_id), capability_id, double)
    capabilities = {**installed.capabilities, made.info.id: made}
    infos = tuple(capability.info for capability in capabilities.values())
    return Agent(msgspec.structs.replace(installed.info, capabilities=infos), capabilities)


def _double_of(installed: Capability | None, capability_id: str, double: Double) -> Capability:
    if installed is not None:
        return _Double(installed.info, installed.signature, _as_function(double))
    output = CapabilityOutput(type="any")
    info = CapabilityInfo(
        id=capability_id,
        name=capability_id,
        inputs=(),
        output=output,
        has_side_effects=True,
        is_idempotent=False,
        open_inputs=True,
    )
    signature = Signature(
        inputs=msgspec.defstruct("open_inputs", []),
        fields=(),
        output=output,
        takes_struct=False,
        parameter="",
        context_parameter=None,
    )
    return _Double(info, signature, _as_function(double))


class _Double(Capability):
    """A capability whose function takes the inputs as they are."""

    __slots__ = ()

    async def call(self, inputs: Mapping[str, Any], context: CallContext, *, in_thread: bool = False) -> Any:
        """See ``Capability.call``."""
        if not self.info.open_inputs:
            self.bind(inputs)
        result = self.function(inputs)
        return await result if inspect.isawaitable(result) else result


def _as_function(double: Double) -> Callable[[Mapping[str, Any]], Any]:
    if callable(double):
        return double
    assert isinstance(double, Sequence), f"{double!r} is neither a function nor a sequence of replies"
    replies = iter(double)

    def reply(_inputs: Mapping[str, Any]) -> Any:
        for value in replies:
            if isinstance(value, BaseException):
                raise value
            return value
        raise AssertionError("the script of the double is at its end")

    return reply
