"""The process runner: each attempt is a plain process of its own session, watched through a pidfd.

What it isolates: the environment (nothing of the server's), descriptors, session and process group, working
directory, and resources (rlimits). What it does not: files, network and other processes of the same user; and a
program that leaves its process group (``setsid``) escapes from ``stop``. Those need the container runner.

Re-adoption: a handle per attempt is on disk before the program gets its launch record, so whatever runs is found
again by pid and start time. How a process ended is asked as its parent when we are that, else of the kernel
(``linux``); where neither tells, the exit is ``LOST``.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from runtara.core.model import ResourceUsage
from runtara.environment.runner import linux
from runtara.environment.runner.base import Exit, ExitKind, Launched, LaunchFailed, LaunchRequest
from runtara.environment.runner.handles import Handle, HandleFiles
from runtara.environment.runner.spawn import Spawned, kill_child, spawn
from runtara.environment.runner.watched import WatchedProcess
from runtara.ids import InstanceNo
from runtara.protocol.launch import encode_launch_record

__all__ = ("BOOT", "ProcessRunner")

BOOT: Final = (sys.executable, "-I", "-m", "runtara.sdk.boot")
"""The base runtime: reads the launch record, then runs the artifact that follows as its argument."""

# A child that has not read its record by then never will. Generous: thirty interpreters may start at once.
_RECORD_TIMEOUT_S: Final = 60.0
# The largest that an unprivileged process may ask for: most records fit, and are sent without waiting for the child.
_PIPE_BYTES: Final = 1024 * 1024

# How often a running attempt is looked at: soon at first, so that short ones are measured too.
_FIRST_LOOK_S: Final = 0.1
_LOOK_INTERVAL_S: Final = 2.0

_GONE: Final = Exit(kind=ExitKind.LOST, code=None, usage=ResourceUsage(), stderr_tail="")


class ProcessRunner:
    """See ``Runner``. ``directory`` holds the handles; one runner at a time may use it. Belongs to one event loop."""

    def __init__(self, directory: Path, *, command: Sequence[str] = BOOT) -> None:
        self._command = tuple(command)
        self._boot = linux.boot_id()
        self._handles = HandleFiles(directory, boot=self._boot)
        self._processes: dict[tuple[InstanceNo, int], WatchedProcess] = {}

    async def launch(self, request: LaunchRequest) -> Launched:
        """See ``Runner.launch``. Cancelled, it leaves no process either."""
        record = encode_launch_record(request.record)
        try:
            # Shielded: a child that is born while we are cancelled must not be nobody's.
            with anyio.CancelScope(shield=True):
                process, record_fd = await anyio.to_thread.run_sync(self._start, request)
        except OSError as error:
            raise LaunchFailed(f"the process could not be started: {error}", permanent=False) from error
        launched = process.handle.launched
        self._processes[launched.instance_no, launched.epoch] = process
        process.watch()
        try:
            await _send(record_fd, record)
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await self.stop(launched, grace_s=0)
                await self.forget(launched)
            if isinstance(error, TimeoutError):
                raise LaunchFailed("the process did not read its launch record", permanent=False) from None
            raise
        return launched

    async def wait(self, launched: Launched) -> Exit:
        """See ``Runner.wait``. While it waits, the attempt's output is kept within its limit."""
        process = self._find(launched)
        if process is None:
            return _GONE
        interval_s = _FIRST_LOOK_S
        while process.exit is None:
            with anyio.move_on_after(interval_s):
                await process.ended.wait()
            process.look()
            interval_s = min(2 * interval_s, _LOOK_INTERVAL_S)
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
        return [handle.launched for handle in await anyio.to_thread.run_sync(self._handles.list)]

    async def forget(self, launched: Launched) -> None:
        """See ``Runner.forget``."""
        process = self._processes.pop((launched.instance_no, launched.epoch), None)
        if process is not None:
            process.unwatch()
        self._handles.remove(launched)

    async def aclose(self) -> None:
        """See ``Runner.aclose``."""
        while self._processes:
            _, process = self._processes.popitem()
            process.unwatch()

    def _find(self, launched: Launched) -> WatchedProcess | None:
        """The process that we watch, from now on if need be; None when it was forgotten."""
        key = (launched.instance_no, launched.epoch)
        if key not in self._processes:
            handle = self._handles.find(launched)
            if handle is None:
                return None
            self._processes[key] = WatchedProcess(handle, self._handles)
            self._processes[key].watch()
        return self._processes[key]

    def _start(self, request: LaunchRequest) -> tuple[WatchedProcess, int]:
        """In a thread: spawn, and store the handle before the record can be sent."""
        command = [*self._command, str(request.artifact)]
        spawned = spawn(command, directory=request.directory, limits=request.limits)
        try:
            handle = self._handle(request, spawned)
            self._handles.write(handle)
        except BaseException:
            os.close(spawned.record_fd)
            os.close(spawned.pidfd)
            kill_child(spawned.pid)
            raise
        return WatchedProcess(handle, self._handles, pidfd=spawned.pidfd), spawned.record_fd

    def _handle(self, request: LaunchRequest, spawned: Spawned) -> Handle:
        stat = linux.read_stat(spawned.pid)
        assert stat is not None, "a child that nobody has reaped has a stat"
        return Handle(
            instance_no=request.instance_no,
            epoch=request.record.epoch,
            pid=spawned.pid,
            started_ticks=stat.started_ticks,
            boot=self._boot,
            directory=str(request.directory),
            stderr_from_bytes=spawned.stderr_from_bytes,
            output_bytes_max=request.limits.output_bytes_max,
        )


async def _send(descriptor: int, record: bytes) -> None:
    """Write it all and close. Returns early when the child is dead: its exit tells. Raises ``TimeoutError``."""
    try:
        _widen(descriptor, len(record))
        with anyio.fail_after(_RECORD_TIMEOUT_S):
            await _write_all(descriptor, memoryview(record))
    except BrokenPipeError:
        pass
    finally:
        os.close(descriptor)


def _widen(descriptor: int, wanted_bytes: int) -> None:
    """Let the pipe hold the whole record, if the kernel allows it: a user's pipes have a common limit."""
    os.set_blocking(descriptor, False)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, min(wanted_bytes, _PIPE_BYTES))
    except PermissionError:
        pass


async def _write_all(descriptor: int, left: memoryview) -> None:
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            await anyio.wait_writable(descriptor)
