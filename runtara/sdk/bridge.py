"""An event loop on a thread of its own, and calls into it from threads that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Self, TypeVar

__all__ = ("Bridge",)

T = TypeVar("T")


class Bridge:
    """Enter it to start the thread, leave it to stop it. What is called may raise anything, also ``Interruption``."""

    def __init__(self) -> None:
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="runtara", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop.result()
        return self

    def __exit__(self, *_: object) -> None:
        self.soon(self._stop.set)
        self._thread.join()

    def call(self, work: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """Run it on the loop; what it returns or raises comes back here. Not from the loop's own thread."""
        return asyncio.run_coroutine_threadsafe(work(*arguments), self._loop.result()).result()

    def soon(self, work: Callable[[], Any]) -> None:
        """Call it on the loop, without waiting. Fine in a signal handler."""
        self._loop.result().call_soon_threadsafe(work)

    @contextmanager
    def opened(self, manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter it on the loop, and leave it there; its exit is not told of errors."""
        value = self.call(_entered, manager)
        try:
            yield value
        finally:
            self.call(_left, manager)

    def _serve(self) -> None:
        asyncio.run(self._wait())

    async def _wait(self) -> None:
        self._loop.set_result(asyncio.get_running_loop())
        await self._stop.wait()


async def _entered(manager: AbstractAsyncContextManager[T]) -> T:
    return await manager.__aenter__()


async def _left(manager: AbstractAsyncContextManager[Any]) -> None:
    await manager.__aexit__(None, None, None)
