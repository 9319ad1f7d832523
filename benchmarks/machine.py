"""What is measured on, and what processes use of it: read from /proc."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ("Watch", "busy_s", "cpu_s", "describe", "family_cpu_s", "load")

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_LIBRARIES = ("qh3", "aioquic", "uvloop", "psycopg", "msgspec")


def describe() -> str:
    """Date, machine and versions, in a few lines."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
    return "\n".join(
        (
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load {load()}",
            f"{os.cpu_count()} cores ({_cpu_model()}), {memory_gib:.1f} GiB, Linux {platform.release()}",
            f"Python {platform.python_version()}, {libraries}",
        )
    )


def load() -> str:
    """The load of the last minute: what else the machine did."""
    return f"{os.getloadavg()[0]:.1f}"


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, to a hundredth of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def family_cpu_s(pid: int) -> float:
    """Of a process and those that it started and that still run."""
    total_s = cpu_s(pid)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _parent(entry) == pid:
            total_s += cpu_s(int(entry.name))
    return total_s


def busy_s() -> float:
    """Time that all processors together spent working since the machine started."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle, waiting = fields[3], fields[4]
    return (sum(fields) - idle - waiting) * _TICK_S


class Watch:
    """How much of the machine others used: what all did, without what the given processes did."""

    def __init__(self, *families: int) -> None:
        self._families = families
        self._began_at = time.perf_counter()
        self._busy_s, self._ours_s = busy_s(), self._ours()

    def others_cores(self, *, also_ours_s: float = 0.0) -> float:
        """Cores, on average since the beginning."""
        ours_s = self._ours() - self._ours_s + also_ours_s
        return max(0.0, (busy_s() - self._busy_s - ours_s) / (time.perf_counter() - self._began_at))

    def _ours(self) -> float:
        return sum(map(family_cpu_s, self._families))


def _parent(process: Path) -> int | None:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
