"""One attempt's process, from when somebody watches it until its exit is known and stored; our child or a stranger."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
from pathlib import Path
from typing import Final

import anyio

from runtara.core.model import ResourceUsage
from runtara.environment.runner import linux
from runtara.environment.runner.base import Exit, ExitKind
from runtara.environment.runner.handles import Handle, HandleFiles
from runtara.environment.runner.output import STDERR_NAME, STDOUT_NAME, cut_output, read_tail
from runtara.environment.runner.spawn import kill_group

__all__ = ("STDERR_TAIL_CHARACTERS_MAX", "WatchedProcess")

STDERR_TAIL_CHARACTERS_MAX: Final = 2000

_log = logging.getLogger(__name__)


class WatchedProcess:
    """Ends once: ``exit`` is set, stored beside the handle, and only then ``ended`` is.

    While the leader is not reaped its number cannot be given away, so signals to its group reach its group.
    """

    def __init__(self, handle: Handle, handles: HandleFiles, *, pidfd: int | None = None) -> None:
        self.handle = handle
        self.exit: Exit | None = None
        self.ended = anyio.Event()
        self._handles = handles
        self._pidfd = pidfd
        self._memory_peak_bytes: int | None = None

    def watch(self) -> None:
        """Begin. Returns with ``ended`` set when it is gone already."""
        if self._pidfd is None and self.handle.exit is None:
            self._pidfd = _find(self.handle)
        if self._pidfd is not None:
            asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)
        else:
            self._end(self.handle.exit or self._exit(None, None))

    def unwatch(self) -> None:
        """Let go of it; it lives on. Safe twice."""
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def signal(self, number: int) -> None:
        """Signal its whole group, if it has not ended."""
        if self._pidfd is not None:
            kill_group(self.handle.pid, number)

    def look(self) -> None:
        """Keep its output within the limit, and see what memory it needs. Call it now and then."""
        directory = Path(self.handle.directory)
        for name in (STDOUT_NAME, STDERR_NAME):
            cut_output(directory / name, bytes_max=self.handle.output_bytes_max)
        if self._pidfd is not None:
            self._memory_peak_bytes = linux.memory_peak_bytes(self.handle.pid) or self._memory_peak_bytes

    def _on_end(self) -> None:
        """The leader is dead. What it left behind in its group dies too, while the number is still the group's."""
        kill_group(self.handle.pid, signal.SIGKILL)
        exit_ = self._bury()
        self.unwatch()
        try:
            self._handles.write(self.handle.with_exit(exit_))
        except OSError as error:
            # A full disk: the exit is known to this process, and a next one will find the attempt lost.
            _log.warning(
                "the exit of attempt %d.%d is not stored: %s", self.handle.instance_no, self.handle.epoch, error
            )
        self._end(exit_)

    def _end(self, exit_: Exit) -> None:
        self.exit = exit_
        self.ended.set()

    def _bury(self) -> Exit:
        pid = self.handle.pid
        try:
            _, wait_status, usage = os.wait4(pid, 0)
        except ChildProcessError:
            return self._ask_kernel()
        cpu_us = int((usage.ru_utime + usage.ru_stime) * 1_000_000)
        return self._exit(wait_status, cpu_us, memory_peak_bytes=usage.ru_maxrss * 1024)

    def _ask_kernel(self) -> Exit:
        """Somebody else's child: read it while it is a zombie, else what the pidfd remembers."""
        stat = linux.read_stat(self.handle.pid)
        if stat is not None and stat.is_dead and stat.started_ticks == self.handle.started_ticks:
            return self._exit(stat.wait_status, stat.cpu_us)
        assert self._pidfd is not None, "only a watched process ends"
        return self._exit(linux.status_by_pidfd(self._pidfd), None)

    def _exit(self, wait_status: int | None, cpu_us: int | None, *, memory_peak_bytes: int = 0) -> Exit:
        # Until its exec a child counts the server's memory as its own peak (vfork): a figure below ours says nothing.
        own_peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if memory_peak_bytes > own_peak_bytes:
            self._memory_peak_bytes = memory_peak_bytes
        tail = read_tail(
            Path(self.handle.directory) / STDERR_NAME,
            from_bytes=self.handle.stderr_from_bytes,
            characters_max=STDERR_TAIL_CHARACTERS_MAX,
        )
        usage = ResourceUsage(memory_peak_bytes=self._memory_peak_bytes, cpu_us=cpu_us)
        kind, code = _how(wait_status)
        return Exit(kind=kind, code=code, usage=usage, stderr_tail=tail)


def _how(wait_status: int | None) -> tuple[ExitKind, int | None]:
    if wait_status is None:
        return ExitKind.LOST, None
    if os.WIFSIGNALED(wait_status):
        return ExitKind.SIGNALLED, os.WTERMSIG(wait_status)
    return ExitKind.EXITED, os.WEXITSTATUS(wait_status)


def _find(handle: Handle) -> int | None:
    """A pidfd of the very process that was launched, or None when it is gone (its number may be another's by now)."""
    try:
        pidfd = os.pidfd_open(handle.pid)
    except ProcessLookupError:
        return None
    # First the pidfd, then the look: what we see now is what the pidfd holds.
    stat = linux.read_stat(handle.pid)
    if stat is not None and stat.started_ticks == handle.started_ticks:
        return pidfd
    os.close(pidfd)
    return None
