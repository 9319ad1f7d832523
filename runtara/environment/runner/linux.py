"""What Linux says about a process: its birth, its death, and what it used. Reading only; nothing here kills.

A pid and the ticks of its start name one process for ever (within one boot). How a process ended is told to its
parent (``wait4``); to anybody else the kernel tells it while the process is a zombie (``/proc/<pid>/stat``, field 52)
and, since 6.15, after that through a pidfd that was opened in time (``PIDFD_GET_INFO``).
"""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ("ProcessStat", "boot_id", "memory_peak_bytes", "read_stat", "status_by_pidfd")

_US_PER_TICK: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")

# struct pidfd_info, first version: mask, cgroup, eleven ids, exit code.
_PIDFD_INFO: Final = struct.Struct("=QQ11Ii")
_PIDFD_INFO_EXIT: Final = 1 << 3
# _IOWR(0xFF, 11, struct pidfd_info)
_PIDFD_GET_INFO: Final = (3 << 30) | (_PIDFD_INFO.size << 16) | (0xFF << 8) | 11


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """A line of ``/proc/<pid>/stat``, as far as we need it."""

    is_dead: bool
    """It has ended, and its parent has not asked yet how (a zombie)."""
    started_ticks: int
    cpu_us: int
    wait_status: int
    """As ``wait`` would give it; meaningful only when it is dead."""


def read_stat(pid: int) -> ProcessStat | None:
    """What the process is, or None when there is none of that number."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name of the program comes second, in parentheses, and may hold anything.
    fields = line.rpartition(")")[2].split()
    return ProcessStat(
        is_dead=fields[0] in "ZX",
        started_ticks=int(fields[19]),
        cpu_us=(int(fields[11]) + int(fields[12])) * _US_PER_TICK,
        wait_status=int(fields[49]),
    )


def status_by_pidfd(pidfd: int) -> int | None:
    """The wait status of a process that its parent has buried, or None when this kernel does not tell."""
    try:
        answer = fcntl.ioctl(pidfd, _PIDFD_GET_INFO, _PIDFD_INFO.pack(_PIDFD_INFO_EXIT, *(0,) * 13))
    except OSError:
        return None
    mask, *_, wait_status = _PIDFD_INFO.unpack(answer)
    return int(wait_status) if mask & _PIDFD_INFO_EXIT else None


def memory_peak_bytes(pid: int) -> int | None:
    """The most memory that the process has had in RAM so far; None when it is gone or a zombie."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return None


def boot_id() -> str:
    """Names this run of the machine: pids of another run mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
