"""``@agent`` and ``@capability``: ordinary classes and functions that scenarios can call.

::

    @agent(id="my-erp", name="ERP")
    class MyErp:
        @capability(side_effects=True)
        async def create_order(self, number: str, lines: list[dict[str, Any]], context: CallContext) -> Order: ...

A package offers its agents through the entry-point group ``runtara.agents``; the name of the entry is the agent's id.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import anyio.to_thread
import msgspec

from runtara.agents.context import CallContext
from runtara.agents.errors import AgentError
from runtara.agents.signature import Signature, SignatureUnusable, read_signature
from runtara.dsl.catalog import AgentInfo, CapabilityInfo
from runtara.dsl.coercion import coerce_input

__all__ = ("Agent", "Capability", "agent", "capability", "find_declared_agent")

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declaration:
    id: str | None
    side_effects: bool
    idempotent: bool | None
    name: str | None
    description: str | None
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Capability:
    """A capability that can be called."""

    info: CapabilityInfo
    signature: Signature
    function: Callable[..., Any]

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return _is_async(self.function)

    async def call(self, inputs: Mapping[str, Any], context: CallContext, *, in_thread: bool = False) -> Any:
        """Bind the inputs, run the function, return what it returned.

        A synchronous function without side effects runs right here, without giving way to anything; one with side
        effects, or with ``in_thread``, runs in a thread, and is left alone there when the call is cancelled.

        Raises:
            AgentError: ``INPUT_DESERIALIZATION_ERROR`` when the inputs do not fit; and whatever the function raises.
        """
        arguments = self._arguments(self.bind(inputs), context)
        if self.is_async:
            return await self.function(**arguments)
        if self.info.has_side_effects or in_thread:
            return await anyio.to_thread.run_sync(lambda: self.function(**arguments), abandon_on_cancel=True)
        return self.function(**arguments)

    def bind(self, inputs: Mapping[str, Any]) -> msgspec.Struct:
        """The inputs as the function's types, after the conversions of ``coerce_input``.

        Raises:
            AgentError: they do not fit; ``INPUT_DESERIALIZATION_ERROR``.
        """
        named = dict(self._by_field_name(inputs))
        try:
            return msgspec.convert(named, self.signature.inputs)
        except msgspec.ValidationError as error:
            raise _misfit(str(error)) from error

    def _by_field_name(self, inputs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        given: set[str] = set()
        for key, value in inputs.items():
            field = self.info.find_input(key)
            if field is None:
                raise _misfit(f"{self.info.id!r} has no input {key!r}")
            if field.name in given:
                raise _misfit(f"the input {field.name!r} is given twice")
            given.add(field.name)
            yield field.name, coerce_input(value, field)

    def _arguments(self, bound: msgspec.Struct, context: CallContext) -> dict[str, Any]:
        names = self.signature.inputs.__struct_fields__
        arguments = {name: getattr(bound, name) for name in names}
        if self.signature.takes_struct:
            arguments = {self.signature.parameter: bound}
        if self.signature.context_parameter is not None:
            arguments[self.signature.context_parameter] = context
        return arguments


_is_async = cache(inspect.iscoroutinefunction)


def _misfit(message: str) -> AgentError:
    return AgentError("INPUT_DESERIALIZATION_ERROR", message)


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent that can be called."""

    info: AgentInfo
    capabilities: Mapping[str, Capability]
    """By id."""

    def find(self, capability_id: str) -> Capability | None:
        """The capability of that id or alias."""
        info = self.info.find_capability(capability_id)
        return None if info is None else self.capabilities[info.id]


def capability(
    *,
    side_effects: bool,
    id: str | None = None,  # noqa: A002 - the word of the language
    idempotent: bool | None = None,
    name: str | None = None,
    description: str | None = None,
    aliases: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Makes a function of an agent callable from scenarios. The function itself is not changed.

    Args:
        side_effects: Whether it changes anything outside the program. The engine waits for the disk before such a
            call, and never repeats it once its result is recorded. Say False only if a repetition harms nobody.
        id: By default the name of the function, with ``-`` for ``_``.
        idempotent: Whether repeating a call is the same as calling once; by default, that it has no side effects.
        name: For people; by default the id.
        description: For people; by default the first line of the docstring.
        aliases: Other ids under which it is found.

    Inputs and outputs must be what JSON can hold. Inputs are shared with other steps: do not change them in place.
    """
    declaration = _Declaration(
        id=id, side_effects=side_effects, idempotent=idempotent, name=name, description=description, aliases=aliases
    )

    def declare(function: F) -> F:
        function.__capability__ = declaration  # type: ignore[attr-defined]
        return function

    return declare


def agent(
    *,
    id: str,  # noqa: A002 - the word of the language
    name: str | None = None,
    description: str | None = None,
    supports_connections: bool = False,
    integration_ids: tuple[str, ...] = (),
) -> Callable[[T], T]:
    """Makes a class (without constructor arguments) or an object an agent: its ``@capability`` functions are offered.

    Raises:
        SignatureUnusable: a capability has a parameter that no scenario could give, or there is no capability.
    """

    def declare(target: T) -> T:
        holder = target() if isinstance(target, type) else target
        capabilities = {made.info.id: made for made in map(_capability_of, _declared_functions(holder))}
        if not capabilities:
            raise SignatureUnusable(f"the agent {id!r} has no capability")
        doc = inspect.getdoc(target)
        info = AgentInfo(
            id=id,
            name=name or id,
            description=description or _first_line(doc),
            capabilities=tuple(capabilities[key].info for key in sorted(capabilities)),
            supports_connections=supports_connections,
            integration_ids=integration_ids,
            has_side_effects=any(made.info.has_side_effects for made in capabilities.values()),
        )
        target.__agent__ = Agent(info, capabilities)  # type: ignore[attr-defined]
        return target

    return declare


def find_declared_agent(target: object) -> Agent | None:
    """The agent of a decorated class or object."""
    found = getattr(target, "__agent__", None)
    return found if isinstance(found, Agent) else None


def _declared_functions(holder: object) -> Iterator[Callable[..., Any]]:
    for attribute in dir(holder):
        function = getattr(holder, attribute, None)
        if isinstance(getattr(function, "__capability__", None), _Declaration):
            assert callable(function)
            yield function


def _capability_of(function: Callable[..., Any]) -> Capability:
    declared: _Declaration = function.__capability__  # type: ignore[attr-defined]
    signature = read_signature(function)
    capability_id = declared.id or function.__name__.replace("_", "-")
    info = CapabilityInfo(
        id=capability_id,
        name=function.__name__,
        display_name=declared.name or capability_id,
        description=declared.description or _first_line(inspect.getdoc(function)),
        inputs=signature.fields,
        output=signature.output,
        has_side_effects=declared.side_effects,
        is_idempotent=not declared.side_effects if declared.idempotent is None else declared.idempotent,
        aliases=declared.aliases,
    )
    return Capability(info=info, signature=signature, function=function)


def _first_line(doc: str | None) -> str | None:
    return doc.splitlines()[0] if doc else None
