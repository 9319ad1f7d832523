"""Processes as the system knows them: those of a server's attempts, and the moment at which one is gone."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GONE_S = 30.0

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, order=True)
class AttemptProcess:
    """One that a server has launched and not yet forgotten."""

    instance_no: int
    epoch: int
    pid: int


def attempts_of(data_dir: Path) -> list[AttemptProcess]:
    """What the server on that directory has launched and has not seen to end."""
    handles = [json.loads(path.read_bytes()) for path in (data_dir / "processes").glob("*.json")]
    return sorted(
        AttemptProcess(handle["instance_no"], handle["epoch"], handle["pid"])
        for handle in handles
        if handle.get("ended") is None
    )


def only_attempt_of(data_dir: Path) -> AttemptProcess:
    """The one that runs there."""
    (attempt,) = attempts_of(data_dir)
    return attempt


async def gone(pid: int) -> None:
    """Returns when the process has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        async with asyncio.timeout(GONE_S):
            await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """Children of a server that is killed become this process's own, so that it can ask how they ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


async def exit_code_of_orphan(pid: int) -> int:
    """How an adopted process ended: its exit code, or minus the signal that ended it."""
    await gone(pid)
    _, wait_status = os.waitpid(pid, 0)  # noqa: ASYNC222 (it has ended: there is nothing to wait for)
    return os.waitstatus_to_exitcode(wait_status)
