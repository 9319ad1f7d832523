"""The steps of a run as they happen: one line when a step begins and one when it ends.

On a terminal what runs now stands in the last line, which is written over; elsewhere every line stays. In a large run
the steps inside of loops and children are not shown for ever; those of the scenario itself always are.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final, Protocol, TextIO

from runtara.cli.output import note
from runtara.cli.steps import duration_text, error_text
from runtara.client import Client, Event, InstanceHandle, StepSummary
from runtara.client.steps import STEP_EVENTS, StepBook
from runtara.errors import RuntaraError

__all__ = ("INNER_STEPS_SHOWN", "PlainLines", "Progress", "Screen", "TerminalLines", "follow_steps", "screen_for")

INNER_STEPS_SHOWN: Final = 200
"""So many events of steps inside of loops and children are shown."""

_ERASE_LINE: Final = "\r\x1b[K"
_MARKS: Final = {"completed": "✓", "failed": "✗"}


class Screen(Protocol):
    """Where steps are shown."""

    def show(self, step: StepSummary) -> None:
        """It has begun, or ended."""

    def say(self, text: str) -> None:
        """Something else, on a line of its own."""

    def close(self) -> None:
        """No more comes."""


class PlainLines:
    """Lines that stay, for files and pipes."""

    def show(self, step: StepSummary) -> None:
        """See ``Screen``."""
        self.say(f"{_name(step)} {_result(step)}")

    def say(self, text: str) -> None:
        """See ``Screen``."""
        note(text)

    def close(self) -> None:
        """See ``Screen``."""


class TerminalLines:
    """What has ended in lines that stay, and below them what runs now."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file or sys.stderr
        self._running: dict[tuple[str | None, str], str] = {}

    def show(self, step: StepSummary) -> None:
        """See ``Screen``."""
        if step.status == "running":
            self._running[step.scope_id, step.step_id] = _name(step)
            self._draw()
        else:
            self._running.pop((step.scope_id, step.step_id), None)
            self.say(f"{_MARKS[step.status]} {_name(step)}  {_result(step, with_status=step.status == 'failed')}")

    def say(self, text: str) -> None:
        """See ``Screen``."""
        self._write(f"{_ERASE_LINE}{text}\n")
        self._draw()

    def close(self) -> None:
        """See ``Screen``. What runs still when the instance has ended was cut short."""
        self._running.clear()
        self._draw()

    def _draw(self) -> None:
        columns = shutil.get_terminal_size().columns
        text = "… " + ", ".join(self._running.values()) if self._running else ""
        # One column is left free: a full line would wrap, and could not be erased.
        self._write(_ERASE_LINE + text[: max(0, columns - 1)])

    def _write(self, text: str) -> None:
        # Not with click, which would look again whether this is a terminal, and erase nothing where it is none.
        self._file.write(text)
        self._file.flush()


def screen_for(file: TextIO) -> Screen:
    """The screen that fits a file."""
    return TerminalLines(file) if file.isatty() else PlainLines()


class Progress:
    """Shows the steps that events tell of."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._book = StepBook()
        self._inner_left = INNER_STEPS_SHOWN

    def apply(self, event: Event) -> None:
        """Show what the event tells, if it tells anything new."""
        if event.subtype == "breakpoint_hit" and isinstance(event.payload, Mapping):
            self._screen.say(_stopped(event.payload))
        step = self._book.apply(event)
        if step is not None and self._is_shown(step):
            self._screen.show(step)

    def _is_shown(self, step: StepSummary) -> bool:
        if step.scope_id is None:
            return True
        self._inner_left -= 1
        if self._inner_left == 0:
            self._screen.say("There are many steps; from here on only those of the scenario itself are shown.")
        return self._inner_left > 0


async def follow_steps(client: Client, handle: InstanceHandle, screen: Screen) -> None:
    """Show the steps until the instance has ended. Returns early when they cannot be read: the run goes on."""
    progress = Progress(screen)
    events = client.events(handle.instance_id, tenant_id=handle.tenant_id, types=(STEP_EVENTS,), follow=True)
    try:
        async with aclosing(events):
            async for event in events:
                progress.apply(event)
    except RuntaraError as error:
        screen.say(f"The steps cannot be followed: {error.message}")
    finally:
        screen.close()


def _name(step: StepSummary) -> str:
    return step.step_id if step.scope_id is None else f"{step.scope_id.removeprefix('sc_')}/{step.step_id}"


def _result(step: StepSummary, *, with_status: bool = True) -> str:
    if step.status == "running":
        return "begins"
    error = error_text(step)
    words = [step.status] if with_status else []
    return " ".join([*words, f"({duration_text(step)})", *([error] if error else [])])


def _stopped(payload: Mapping[str, Any]) -> str:
    name = payload.get("signal_id")
    return f"stopped before {payload.get('step_id')}; `runtara signal ID '{name}'` lets it go on"
