"""A runner whose processes are tasks of the calling process: for tests, and for whole servers in simulation.

A ``MemoryHost`` is the pretend machine. What runs on it lives on when a runner is closed, and the next runner on the
same host finds it: that is the restart of a server.
"""

from __future__ import annotations

import signal
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import anyio
from anyio.abc import TaskGroup

from runtara.core.model import ResourceUsage
from runtara.environment.runner.base import Exit, ExitKind, Launched, LaunchFailed, LaunchRequest
from runtara.environment.runner.output import STDERR_NAME, STDOUT_NAME, cut_output, read_tail
from runtara.ids import InstanceNo

__all__ = ("MemoryHost", "MemoryProcess", "MemoryRunner", "Program", "Signalled")

_STDERR_TAIL_CHARACTERS_MAX: Final = 2000


class Signalled(Exception):
    """Raised by a program to die of a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class MemoryProcess:
    """A running program, as it sees itself and as its host sees it."""

    def __init__(self, request: LaunchRequest, launched: Launched) -> None:
        self.request = request
        self.launched = launched
        self.catches_sigterm = False
        """Set by the program: then SIGTERM sets ``terminated`` and kills nobody."""
        self.terminated = anyio.Event()
        self.ended = anyio.Event()
        self.exit: Exit | None = None
        self._scope = anyio.CancelScope()
        self._killed_by: int | None = None
        self._stderr_from_bytes = _size(self._path(STDERR_NAME))

    def print(self, text: str, *, error: bool = False) -> None:
        """Append to stdout, or to stderr."""
        with self._path(STDERR_NAME if error else STDOUT_NAME).open("a") as file:
            file.write(text)

    def signal(self, number: int) -> None:
        """What the kernel does when somebody sends it a signal."""
        if self.ended.is_set():
            return
        if number == signal.SIGTERM and self.catches_sigterm:
            self.terminated.set()
        else:
            self._killed_by = self._killed_by or number
            self._scope.cancel()

    async def run(self, program: Program) -> None:
        """Run it to its end. Its exceptions are its own."""
        kind, code = ExitKind.EXITED, 1
        with self._scope:
            try:
                code = await program(self)
            except Signalled as death:
                kind, code = ExitKind.SIGNALLED, death.number
            except Exception:
                self.print(traceback.format_exc(), error=True)
        if self._killed_by is not None and self._scope.cancelled_caught:
            kind, code = ExitKind.SIGNALLED, self._killed_by
        self.exit = Exit(kind=kind, code=code, usage=ResourceUsage(), stderr_tail=self._finish_output())
        self.ended.set()

    def _finish_output(self) -> str:
        tail = read_tail(
            self._path(STDERR_NAME),
            from_bytes=self._stderr_from_bytes,
            characters_max=_STDERR_TAIL_CHARACTERS_MAX,
        )
        for name in (STDOUT_NAME, STDERR_NAME):
            cut_output(self._path(name), bytes_max=self.request.limits.output_bytes_max)
        return tail

    def _path(self, name: str) -> Path:
        return self.request.directory / name


Program: TypeAlias = Callable[[MemoryProcess], Awaitable[int]]
"""What an artifact does: its exit code, ``Signalled``, or any exception for a traceback and exit code 1."""


class MemoryHost:
    """A pretend machine; its processes are tasks of ``group``, and all of them run ``program``."""

    def __init__(self, group: TaskGroup, program: Program) -> None:
        self.processes: dict[tuple[InstanceNo, int], MemoryProcess] = {}
        self.refusals: list[LaunchFailed] = []
        """The next launches fail with these, first one first."""
        self.running = 0
        self.running_peak = 0
        self.launches = 0
        self.launched = anyio.Event()
        """Set at the next launch; then there is another one for the one after."""
        self._group = group
        self._program = program

    def start(self, request: LaunchRequest) -> MemoryProcess:
        """A new process. Raises ``LaunchFailed``."""
        if self.refusals:
            raise self.refusals.pop(0)
        self.launches += 1
        launched = Launched(
            instance_no=request.instance_no,
            epoch=request.record.epoch,
            pid=self.launches,
            started_ticks=self.launches,
        )
        process = MemoryProcess(request, launched)
        self.processes[launched.instance_no, launched.epoch] = process
        self._group.start_soon(self._run, process)
        self.launched.set()
        self.launched = anyio.Event()
        return process

    async def _run(self, process: MemoryProcess) -> None:
        self.running += 1
        self.running_peak = max(self.running_peak, self.running)
        try:
            await process.run(self._program)
        finally:
            self.running -= 1


class MemoryRunner:
    """See ``Runner``."""

    def __init__(self, host: MemoryHost) -> None:
        self._host = host

    async def launch(self, request: LaunchRequest) -> Launched:
        """See ``Runner.launch``."""
        return self._host.start(request).launched

    async def wait(self, launched: Launched) -> Exit:
        """See ``Runner.wait``."""
        process = self._find(launched)
        if process is None:
            return Exit(kind=ExitKind.LOST, code=None, usage=ResourceUsage(), stderr_tail="")
        await process.ended.wait()
        assert process.exit is not None, "an ended process has an exit"
        return process.exit

    async def stop(self, launched: Launched, *, grace_s: float) -> None:
        """See ``Runner.stop``."""
        process = self._find(launched)
        if process is None:
            return
        if grace_s > 0:
            process.signal(signal.SIGTERM)
            with anyio.move_on_after(grace_s):
                await process.ended.wait()
        process.signal(signal.SIGKILL)
        await process.ended.wait()

    async def list_launched(self) -> Sequence[Launched]:
        """See ``Runner.list_launched``."""
        return [process.launched for process in self._host.processes.values()]

    async def forget(self, launched: Launched) -> None:
        """See ``Runner.forget``."""
        if self._find(launched) is not None:
            del self._host.processes[launched.instance_no, launched.epoch]

    async def aclose(self) -> None:
        """See ``Runner.aclose``."""

    def _find(self, launched: Launched) -> MemoryProcess | None:
        process = self._host.processes.get((launched.instance_no, launched.epoch))
        return process if process is not None and process.launched == launched else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
