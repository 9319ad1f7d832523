"""A private PostgreSQL under the data directory, for servers that were given no database.

The caller holds the lock of the data directory, so there is one owner at a time. What can happen, and what is done:
- The server is killed: the database lives on, and the next start uses it again, if it is what would be started.
- The database is killed: ``run`` sees it and starts it again; PostgreSQL recovers from its log.
- Both are killed: the next start removes what is stale, and PostgreSQL recovers.
- A start is killed halfway: what it had made so far is thrown away by the next one.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import anyio
import anyio.to_thread

from runtara.errors import Unavailable
from runtara.server.postgres_cluster import ENVIRONMENT, USER, Cluster

__all__ = ("EmbeddedDatabase",)

_log = logging.getLogger(__name__)

_START_TIMEOUT_S: Final = 120.0
_LEFTOVERS_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.01
_RESTART_PAUSE_S: Final = 0.2

# From the politest on, each with the time it gets.
_STOP: Final = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))


class EmbeddedDatabase:
    """``start``, then ``run`` until cancelled, then ``stop``. All files are in ``directory``.

    ``durable=False`` is for tests: fast, and lost with the power.
    """

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._cluster = Cluster(directory, durable=durable)
        self._child: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None
        self.pid = 0
        """The process of the running database; 0 when there is none."""

    async def start(self) -> str:
        """The database accepts connections under the URL that is returned. Safe to repeat.

        Raises:
            Unavailable: PostgreSQL is not installed, or does not start; the message has its last words.
        """
        await anyio.to_thread.run_sync(self._cluster.initialize)
        if self._pidfd is None or self._has_ended():
            await self._ensure_running()
        return f"postgresql://{USER}@/postgres?host={quote(str(self._cluster.socket_directory()), safe='')}"

    async def run(self) -> None:
        """Start it again whenever it ends by itself, until cancelled. Cancel this before ``stop``."""
        while self._pidfd is not None:
            await anyio.wait_readable(self._pidfd)
            _log.error("the database has ended; starting it again")
            await self._restart()

    async def stop(self) -> None:
        """It has ended in order, with everything on disk. Safe twice."""
        if self._pidfd is None:
            return
        with anyio.CancelScope(shield=True):
            for request, timeout_s in _STOP:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, request)
                with anyio.move_on_after(timeout_s) as patience:
                    await anyio.wait_readable(self._pidfd)
                if not patience.cancelled_caught:
                    break
        self._forget()

    # ---- start

    async def _restart(self) -> None:
        while True:
            try:
                return await self._ensure_running()
            except Unavailable as error:
                _log.error("%s", error.message)
                await anyio.sleep(_RESTART_PAUSE_S)

    async def _ensure_running(self) -> None:
        """Use what runs on our data, if it is what we would start; else end it, and start ours."""
        self._forget()
        command = self._cluster.command()
        running = self._running()
        if running is not None and _command_of(running) == command:
            self._watch(running)
        else:
            await self._end_leftovers()
            self._spawn(command)
        await self._wait_until_ready()

    def _spawn(self, command: Sequence[str]) -> None:
        with self._cluster.open_log() as log:
            # A session of its own, so that Ctrl-C at a terminal asks the server and not the database.
            self._child = subprocess.Popen(
                self._cluster.unprivileged(command, directory=self._cluster.data),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        self._watch(self._child.pid)

    async def _wait_until_ready(self) -> None:
        with anyio.move_on_after(_START_TIMEOUT_S):
            while not self._has_ended():
                if self._is_ready():
                    return
                await anyio.sleep(_POLL_S)
            self._forget()
        raise Unavailable(
            f"the database does not start: {self._cluster.last_words()}", hint=f"See {str(self._cluster.log)!r}."
        )

    async def _end_leftovers(self) -> None:
        """Nothing runs on our data any more, so the lock files mean nothing."""
        with anyio.move_on_after(_LEFTOVERS_TIMEOUT_S):
            # What a dead postmaster has left behind ends by itself; another one is asked to.
            while pids := list(self._processes()):
                _signal_all(pids, signal.SIGINT)
                await anyio.sleep(_POLL_S)
        _signal_all(self._processes(), signal.SIGKILL)
        self._cluster.unlock()

    # ---- processes

    def _watch(self, pid: int) -> None:
        self.pid, self._pidfd = pid, os.pidfd_open(pid)

    def _forget(self) -> None:
        """What we watched has ended."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self.pid, self._pidfd = 0, None
        if self._child is not None:
            self._child.wait()
            self._child = None

    def _has_ended(self) -> bool:
        assert self._pidfd is not None
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def _is_ready(self) -> bool:
        lines = self._cluster.lock_file()
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _running(self) -> int | None:
        """The process that the lock file names, unless it is a stranger with the number of a dead one."""
        pid = int((self._cluster.lock_file() or ["0"])[0])
        return pid if pid in self._processes() else None

    def _processes(self) -> Iterator[int]:
        """Everything that runs on our data: a postmaster, and what it has forked, known by the name of the cluster."""
        forked = f"postgres: {self._cluster.name}: "
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                command = _command_of(int(entry.name))
                if command[1:3] == ["-D", str(self._cluster.data)] or (command and command[0].startswith(forked)):
                    yield int(entry.name)


def _command_of(pid: int) -> list[str]:
    """The words that a process was started with; none when there is no such process, or only its corpse."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [os.fsdecode(word) for word in words if word]


def _signal_all(pids: Iterator[int] | Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
