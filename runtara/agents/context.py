"""What a capability may ask for besides its inputs: who calls, the call's token, time, chance, and things to share.

A capability that wants it has a parameter annotated ``CallContext``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

from runtara.clock import Clock

__all__ = ("CallContext", "Resources")

T = TypeVar("T")


class Resources:
    """Things that are opened once in a run, shared by its calls, and closed at its end: clients, pools."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._opened: dict[str, Any] = {}

    async def get(self, name: str, open_resource: Callable[[], AbstractAsyncContextManager[T]]) -> T:
        """The resource of that name; it is opened by the first who asks."""
        if name not in self._opened:
            self._opened[name] = await self._stack.enter_async_context(open_resource())
        resource: T = self._opened[name]
        return resource

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened.clear()
        await self._stack.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """See the module."""

    instance_id: str
    tenant_id: str
    step_id: str
    idempotency_key: str
    """The same at every try of the same call, and at no other call. Hand it to whoever can recognise a repetition."""
    connection: Mapping[str, Any] | None = None
    """What the step's connection gives: ``parameters``, ``integration_id``, ``connection_subtype``."""
    clock: Clock
    random: Random
    resources: Resources
