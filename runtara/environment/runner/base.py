"""The contract of a runner: start an attempt, learn how it ended, end it. Nothing here runs.

A runner knows nothing of statuses. It is handed everything that a launch needs, gives a handle that can be stored and
found again by a later server process on the same host, and tells exactly once per launch how the process ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from runtara.core.model import ResourceUsage
from runtara.ids import InstanceNo
from runtara.protocol.launch import LaunchRecord

__all__ = ("Exit", "ExitKind", "LaunchFailed", "LaunchRequest", "Launched", "ResourceLimits", "Runner")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceLimits:
    """What one attempt may use at most; None is no limit of ours."""

    memory_bytes_max: int | None = 2 * 1024**3
    """Address space (RLIMIT_AS)."""
    cpu_s_max: int | None = None
    open_files_max: int | None = 1024
    processes_max: int | None = None
    file_bytes_max: int | None = 1024**3
    core_bytes_max: int | None = 0
    output_bytes_max: int = 16 * 1024**2
    """Of each of stdout and stderr; what is beyond is cut off with a note, the process goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """One attempt to start."""

    instance_no: InstanceNo
    artifact: Path
    """The verified image file on this host; read-only."""
    directory: Path
    """The instance's own directory: scratch, stdout and stderr. Exists; survives from attempt to attempt."""
    record: LaunchRecord
    limits: ResourceLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A running attempt on this host."""

    instance_no: InstanceNo
    epoch: int
    pid: int
    """Of the first process, as this host sees it."""
    started_ticks: int
    """Field 22 of ``/proc/<pid>/stat``: together with the pid it names one process for ever."""


class ExitKind(StrEnum):
    """How a process ended."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    LOST = "lost"
    """It is gone and nobody can say how (its parent was not us)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The end of an attempt's process."""

    kind: ExitKind
    code: int | None
    """Exit code, or the number of the signal."""
    usage: ResourceUsage
    stderr_tail: str
    """At most the last 2,000 characters, for the error of a crash."""


class LaunchFailed(Exception):
    """The attempt could not be started; no process of it is left. ``permanent``: trying again cannot help."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


class Runner(Protocol):
    """See the module."""

    async def launch(self, request: LaunchRequest) -> Launched:
        """Start it. The process runs when this returns, and its handle is on disk *before* the program begins.

        If the server dies during the call, either no process is left or ``list_launched`` finds it.

        Raises:
            LaunchFailed: nothing runs.
        """

    async def wait(self, launched: Launched) -> Exit:
        """Returns when the process has ended, and with it every process that it left behind in its group.

        May be called again: the answer is kept until ``forget``.
        """

    async def stop(self, launched: Launched, *, grace_s: float) -> None:
        """End it and everything it started: SIGTERM, ``grace_s``, SIGKILL. Safe twice, safe when it is gone."""

    async def list_launched(self) -> Sequence[Launched]:
        """Attempts started on this host by this or a former server process of the data directory, alive or not."""

    async def forget(self, launched: Launched) -> None:
        """Its end was recorded elsewhere; drop the handle (not the logs). Safe twice."""

    async def aclose(self) -> None:
        """Let go of everything; the processes live on, for the next server to adopt. Safe twice."""
