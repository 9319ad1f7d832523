"""A whole server as one object in somebody's event loop: start, serve, drain, stop.

Everything runs inside one task that this object owns, and inside that task it is structured: what starts later stops
earlier, and a start that fails halfway leaves nothing behind. So it does not matter which task starts a server and
which one stops it, and a host that is cancelled still gets an orderly (only faster) stop.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import anyio

from runtara import __version__
from runtara.clock import Clock, SystemClock
from runtara.config import ServerConfig
from runtara.datadir import DataDir
from runtara.errors import InternalError, RuntaraError, Unavailable
from runtara.server.assembly import Assembly, assemble
from runtara.server.compose import compose
from runtara.server.data_directory import DataDirUnusable, hold, publish_endpoints
from runtara.server.parts import Parts
from runtara.transport.base import Address

__all__ = ("RuntaraServer",)

_log = logging.getLogger(__name__)


class RuntaraServer:
    """``async with RuntaraServer(ServerConfig.from_env()) as server``: serving inside the block, stopped after it.

    Starting and stopping may be repeated. If the server breaks, the block is cancelled and the reason is raised.
    """

    def __init__(self, config: ServerConfig, *, parts: Parts | None = None, clock: Clock | None = None) -> None:
        self.config = config
        self._parts = parts
        self._clock = clock or SystemClock()
        self._task: asyncio.Task[None] | None = None
        self._assembly: Assembly | None = None
        self._data: DataDir | None = None
        self._host: asyncio.Task[object] | None = None
        self._has_cancelled_host = False
        self._ready, self._stopping, self._hurry = anyio.Event(), anyio.Event(), anyio.Event()

    # ---- what a host needs to know

    @property
    def instance_address(self) -> Address:
        """Where programs connect. Raises ``Unavailable`` while nothing is served."""
        return self.assembly.instance_address

    @property
    def management_address(self) -> Address:
        """Where clients connect. Raises ``Unavailable`` while nothing is served."""
        return self.assembly.management_address

    @property
    def database(self) -> str:
        """Which database, in words. Raises ``Unavailable`` while nothing is served."""
        return self.assembly.database

    @property
    def data_dir(self) -> DataDir:
        """Where its certificate authority, its administrator's token and all the rest lie."""
        return self._data or DataDir(self.config.data_dir.absolute())

    @property
    def assembly(self) -> Assembly:
        """What it is made of, for tests and tools. Raises ``Unavailable`` while nothing is served."""
        if self._assembly is None:
            raise Unavailable("the server does not run")
        return self._assembly

    # ---- life

    async def __aenter__(self) -> Self:
        await self.start()
        self._host = asyncio.current_task()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        host, self._host = self._host, None
        if self._has_cancelled_host and host is not None:
            # The cancellation was ours: what is raised instead is why.
            host.uncancel()
        await self.stop()

    async def start(self) -> None:
        """Serving when this returns. Started already: the same. Cancelled: stopped, as if never started.

        Raises:
            DataDirInUse: another server runs on the data directory.
            Unavailable: the database does not answer, or a port is taken.
            SchemaTooNew: the database belongs to a newer version.
        """
        if self._task is None:
            self._ready, self._stopping, self._hurry = anyio.Event(), anyio.Event(), anyio.Event()
            self._has_cancelled_host = False
            self._task = asyncio.create_task(self._run(), name="runtara server")
            self._task.add_done_callback(self._ended)
        task = self._task
        try:
            await _first(task, self._ready)
        except asyncio.CancelledError:
            await self.stop()
            raise
        if task.done():
            self._task = None
            if task.cancelled():
                raise Unavailable("the server was stopped while it started")
            task.result()

    async def stop(self) -> None:
        """Nothing is left when this returns. Stopped already: the same. Cancelled: it hurries, and then says so.

        Programs are asked to suspend, and have ``drain_s`` for it; they go on at the next start.
        Raises what the server broke of, if it did.
        """
        task = self._task
        if task is None:
            return
        self.request_stop()
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                cancelled = error
                self.hurry()
        self._task = None
        if cancelled is not None:
            raise cancelled
        if not task.cancelled():
            task.result()

    def request_stop(self) -> None:
        """Have it stopped soon, from anywhere: a signal handler, a request. Whoever started it is told."""
        self._stopping.set()
        if self._task is not None and not self._ready.is_set():
            # Nothing is served yet that could be drained.
            self._task.cancel()

    def hurry(self) -> None:
        """Stop waiting for programs to suspend. Harmless when nothing is stopping."""
        self._hurry.set()

    async def wait_stopping(self) -> None:
        """Returns when somebody has asked it to stop, or it broke."""
        if self._task is not None:
            await _first(self._task, self._stopping)

    # ---- inside its task

    async def _run(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                await self._serve(stack)
        except BaseExceptionGroup as group:
            raise _only(group) from None
        finally:
            self._assembly = None
            _log.info("stopped")

    async def _serve(self, stack: AsyncExitStack) -> None:
        _log.info("runtara %s is starting on %s", __version__, self.data_dir.root)
        data = self._data = stack.enter_context(hold(self.config.data_dir))
        try:
            assembly = await stack.enter_async_context(
                assemble(self.config, data, parts=self._parts or compose(self.config), clock=self._clock)
            )
            stack.enter_context(publish_endpoints(data, {**assembly.endpoints, "pid": os.getpid()}))
        except OSError as error:
            raise DataDirUnusable(
                f"the data directory {str(data.root)!r} cannot be used: {error}", data_dir=str(data.root)
            ) from error
        self._assembly = assembly
        self._ready.set()
        _log.info("ready: instances at %s, management at %s", self.instance_address, self.management_address)
        await self._stopping.wait()
        await assembly.drain(hurry=self._hurry)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """It ended by itself: tell the host's block."""
        error = None if task.cancelled() else task.exception()
        if error is not None and self._ready.is_set():
            _log.error("the server broke", exc_info=error)
            if self._host is not None and not self._host.done():
                self._has_cancelled_host = True
                self._host.cancel("the server broke")


async def _first(task: asyncio.Task[None], event: anyio.Event) -> None:
    """Returns when the task has ended or the event is set. Cancelling this cancels neither."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error that matters of a group: the first of ours, or the group when there is none."""
    inner: list[BaseException] = [group]
    while any(isinstance(error, BaseExceptionGroup) for error in inner):
        inner = [
            leaf
            for error in inner
            for leaf in (error.exceptions if isinstance(error, BaseExceptionGroup) else (error,))
        ]
    ours = [error for error in inner if isinstance(error, RuntaraError)]
    if ours:
        return ours[0]
    return inner[0] if len(inner) == 1 else InternalError(f"the server broke: {group}")
