"""A durable function: how its calls are told apart, tried again and read back. Both worlds share it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

import msgspec

from runtara.ids import CheckpointKey
from runtara.sdk.operations import DurableCall, RetryPolicy
from runtara.sdk.scope import Scope, current_scope, shortened
from runtara.sdk.values import decode_value

__all__ = ("Call", "Key", "Recipe", "arguments_of_main")

Key: TypeAlias = str | Callable[..., str]
"""A key, or a function of the call's arguments that gives it."""

_NAME_CHARACTERS_MAX: Final = 140


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the conversation with the engine about it, and the surroundings of what it calls itself."""

    durable: DurableCall
    inside: Scope


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """See the module."""

    body: Callable[..., Any]
    key: Key | None
    policy: RetryPolicy

    def call(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Call:
        """A call with these arguments, here. Raises ``TypeError`` when they are not the function's."""
        scope = current_scope()
        given = self.key(*arguments, **named) if callable(self.key) else self.key
        name = self.body.__qualname__ if given is not None else self._name_of(arguments, named)
        key: CheckpointKey = scope.key(name, given)
        return Call(DurableCall(scope.durable, key, self.policy), scope.inside(key))

    def result(self, state: bytes) -> Any:
        """The recorded result, as the return annotation says."""
        return decode_value(state, self._result_type, what=f"the recorded result of {self.body.__qualname__}")

    def _name_of(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> str:
        """Defaults are left out: a new parameter that has one does not change the keys of old calls."""
        bound = self._signature.bind(*arguments, **named)
        try:
            values = msgspec.json.encode([*bound.args, *sorted(bound.kwargs.items())], order="sorted").decode()
        except (TypeError, ValueError, OverflowError, RecursionError):
            return self.body.__qualname__  # ``self``, for instance; the number has to do
        return shortened(f"{self.body.__qualname__}({values[1:-1]})", _NAME_CHARACTERS_MAX)

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.body)

    @cached_property
    def _result_type(self) -> Any:
        return _annotation(inspect.signature(self.body, eval_str=True).return_annotation)


def arguments_of_main(main: Callable[..., Any], data: bytes) -> tuple[Any, ...]:
    """What to call ``main`` with: the input as its first parameter is annotated; nothing when it takes nothing.

    Raises ``NotJson`` when the input does not fit.
    """
    parameters = list(inspect.signature(main, eval_str=True).parameters.values())
    return (decode_value(data, _annotation(parameters[0].annotation), what="the input"),) if parameters else ()


def _annotation(annotation: Any) -> Any:
    return Any if annotation in (inspect.Parameter.empty, None) else annotation
