"""Start a process of its own session, with nothing of the server's, that waits for its launch record.

Blocking, about a millisecond: call it in a thread. The child blocks reading the record, so limits can be set and the
handle stored while it waits; when the write end closes before the record came, it ends by itself.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtara.environment.runner.base import ResourceLimits
from runtara.environment.runner.output import STDERR_NAME, STDOUT_NAME, open_output
from runtara.protocol.launch import LAUNCH_FD_VARIABLE

__all__ = ("Spawned", "kill_child", "kill_group", "spawn")

_PATH: Final = "/usr/local/bin:/usr/bin:/bin"

# When memory runs out, the kernel should choose an instance, which is launched again, before the server.
_OOM_SCORE_ADJ: Final = 500


@dataclass(frozen=True, slots=True)
class Spawned:
    """A child that waits for its launch record. Whoever has it owns its descriptors and must reap it."""

    pid: int
    pidfd: int
    record_fd: int
    """Write the record here and close it."""
    stderr_from_bytes: int


def spawn(command: Sequence[str], *, directory: Path, limits: ResourceLimits) -> Spawned:
    """Start ``command`` in ``directory``. Raises ``OSError``, and then nothing runs."""
    with ExitStack() as stack:
        stdout_fd, _ = open_output(directory / STDOUT_NAME, bytes_max=limits.output_bytes_max)
        stack.callback(os.close, stdout_fd)
        stderr_fd, stderr_from_bytes = open_output(directory / STDERR_NAME, bytes_max=limits.output_bytes_max)
        stack.callback(os.close, stderr_fd)
        read_fd, record_fd = os.pipe()
        stack.callback(os.close, read_fd)
        with _closed_on_error(record_fd):
            pid = _start(command, directory, read_fd, stdout_fd, stderr_fd)
            pidfd = _claim(pid, limits)
    return Spawned(pid=pid, pidfd=pidfd, record_fd=record_fd, stderr_from_bytes=stderr_from_bytes)


def kill_group(pid: int, number: int) -> None:
    """Signal every process of the group that ``pid`` leads. Fine when nothing is left of it that we may signal."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def kill_child(pid: int) -> None:
    """End a child and its group at once, and reap it."""
    kill_group(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _start(command: Sequence[str], directory: Path, read_fd: int, stdout_fd: int, stderr_fd: int) -> int:
    # No preexec_fn: so Popen takes vfork, which costs the same however large the server is.
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout_fd,
        stderr=stderr_fd,
        close_fds=True,
        pass_fds=(read_fd,),
        cwd=directory,
        env=_environment(directory, read_fd),
        start_new_session=True,
        umask=0o077,
    )
    # We watch by pidfd and reap ourselves; this keeps Popen's finaliser from doing it behind our back.
    child.returncode = 0
    return child.pid


def _environment(directory: Path, read_fd: int) -> dict[str, str]:
    return {
        "PATH": _PATH,
        "LANG": "C.UTF-8",
        "HOME": str(directory),
        "TMPDIR": str(directory),
        LAUNCH_FD_VARIABLE: str(read_fd),
    }


def _claim(pid: int, limits: ResourceLimits) -> int:
    """Set the limits and open the pidfd, or kill and reap the child."""
    try:
        _limit(pid, limits)
        return os.pidfd_open(pid)
    except BaseException:
        kill_child(pid)
        raise


def _limit(pid: int, limits: ResourceLimits) -> None:
    for kind, value in (
        (resource.RLIMIT_AS, limits.memory_bytes_max),
        (resource.RLIMIT_CPU, limits.cpu_s_max),
        (resource.RLIMIT_NOFILE, limits.open_files_max),
        (resource.RLIMIT_NPROC, limits.processes_max),
        (resource.RLIMIT_FSIZE, limits.file_bytes_max),
        (resource.RLIMIT_CORE, limits.core_bytes_max),
    ):
        if value is not None:
            _, hard = resource.prlimit(pid, kind)
            # Never above what we may use ourselves: raising a hard limit is a privilege.
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, kind, (value, value))
    try:
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(_OOM_SCORE_ADJ))
    except OSError:
        pass  # A hardened host may forbid it; it is a preference.


@contextmanager
def _closed_on_error(descriptor: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(descriptor)
        raise
