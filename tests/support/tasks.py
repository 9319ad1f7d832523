"""A task group for fixtures: pytest-asyncio sets a fixture up in one task and tears it down in another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup


@asynccontextmanager
async def background_group() -> AsyncIterator[TaskGroup]:
    """A task group that is cancelled at the end. A task of it that raised makes the end raise."""
    begun: asyncio.Future[TaskGroup] = asyncio.get_running_loop().create_future()
    ending = anyio.Event()

    async def keep() -> None:
        async with anyio.create_task_group() as group:
            begun.set_result(group)
            await ending.wait()
            group.cancel_scope.cancel()

    keeper = asyncio.create_task(keep())
    try:
        yield await begun
    finally:
        ending.set()
        await keeper
