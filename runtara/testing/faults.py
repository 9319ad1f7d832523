"""Stop the world at a call across a seam: wrap the implementation, say which call, and start anew on what is left.

Stopping *before* a call loses the request, stopping *after* it loses the answer. From then on every call is refused as
if the power were off. This pair finds most bugs of durability; hooks inside the product would find only their own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

import anyio

from runtara.errors import OutcomeUnknown, Unavailable

__all__ = ("PowerSwitch", "switched")

T = TypeVar("T")


class PowerSwitch:
    """Counts the calls of some verbs, and turns the power off at one of them."""

    def __init__(self, verbs: Collection[str], *, at: int | None = None, after: bool = False) -> None:
        """Off at call number ``at`` (from 0): before it, or with ``after`` when it was done. None: never."""
        self.calls: list[str] = []
        self.off = anyio.Event()
        self._verbs = frozenset(verbs)
        self._at = at
        self._after = after

    def begins(self, verb: str) -> bool:
        """A call begins. True when the power goes off after it. Raises ``Unavailable`` when there is none."""
        self.check()
        if verb not in self._verbs:
            return False
        self.calls.append(verb)
        is_it = len(self.calls) - 1 == self._at
        if is_it and not self._after:
            self.off.set()
            self.check()
        return is_it

    def check(self) -> None:
        """Raises ``Unavailable`` when the power is off."""
        if self.off.is_set():
            raise Unavailable("the power is off")


def switched(seam: T, switch: PowerSwitch) -> T:
    """The implementation of a seam, with a power switch in every call."""
    return cast("T", _Switched(seam, switch))


class _Switched:
    def __init__(self, seam: object, switch: PowerSwitch) -> None:
        self._seam = seam
        self._switch = switch

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._seam, name)
        return _call(name, attribute, self._switch) if inspect.iscoroutinefunction(attribute) else attribute


def _call(name: str, verb: Callable[..., Any], switch: PowerSwitch) -> Callable[..., Any]:
    async def call(*arguments: Any, **named: Any) -> Any:
        goes_off = switch.begins(name)
        result = await verb(*arguments, **named)
        if goes_off:
            switch.off.set()
            raise OutcomeUnknown("the power went off before the answer")
        switch.check()
        return result

    return call
