"""What one rendering may still do. Everything in a template that could grow or repeat pays here first.

A unit of work is about what a node of the template costs once, or a value of the context that is looked at, or a few
characters that are copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from runtara.limits import TEMPLATE_OUTPUT_CHARACTERS_MAX, TEMPLATE_WORK_MAX

__all__ = ("CHARACTERS_PER_UNIT", "OverBudget", "budget", "check_length", "spend", "spend_on")

CHARACTERS_PER_UNIT: Final = 16


class OverBudget(Exception):
    """The template does too much; the message says of what."""


class _Budget:
    """The work that is left."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = TEMPLATE_WORK_MAX


_current: ContextVar[_Budget] = ContextVar("template_budget")


@contextmanager
def budget() -> Iterator[None]:
    """A full budget for the code inside."""
    token = _current.set(_Budget())
    try:
        yield
    finally:
        _current.reset(token)


def spend(units: int) -> None:
    """Pay for work.

    Raises:
        OverBudget: there is not enough left.
    """
    current = _current.get()
    current.left -= units
    if current.left < 0:
        raise OverBudget(f"it takes more than {TEMPLATE_WORK_MAX} units of work")


def spend_on(value: Any) -> None:
    """Pay for looking at a value with everything in it, as often as it is in it.

    Raises:
        OverBudget: there is not enough left.
    """
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            spend(1 + len(item) // CHARACTERS_PER_UNIT)
        elif isinstance(item, dict):
            spend(1 + len(item))
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, list | tuple):
            spend(1 + len(item))
            stack.extend(item)


def check_length(characters: int) -> None:
    """Pay for a text of that length, before it is made.

    Raises:
        OverBudget: no text may be as long, or there is not enough left.
    """
    if characters > TEMPLATE_OUTPUT_CHARACTERS_MAX:
        raise OverBudget(f"a text would have more than {TEMPLATE_OUTPUT_CHARACTERS_MAX} characters")
    spend(1 + characters // CHARACTERS_PER_UNIT)
