"""Steps that store nothing: the same contract, and no memory beyond the process."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from runtara.protocol.messages import RetryRecord
from runtara.sdk.base import Durable, InstanceInfo

__all__ = ("VolatileDurable",)


class VolatileDurable:
    """A ``Durable`` that remembers failed tries until the process ends, and nothing else; it waits where it is.

    Interruptions, signals and events are the instance's, and go to it.
    """

    def __init__(self, durable: Durable) -> None:
        self._durable = durable
        self._retries: dict[str, RetryRecord] = {}

    @property
    def info(self) -> InstanceInfo:
        """See ``Durable.info``."""
        return self._durable.info

    async def find(self, key: str) -> bytes | None:
        """Nothing was stored."""
        return None

    def send(self, key: str, state: bytes) -> None:
        """Nothing is stored."""

    async def save(self, key: str, state: bytes) -> bytes:
        """The state itself; nothing is stored."""
        return state

    async def flush(self) -> None:
        """See ``Durable.flush``: what durable steps have sent."""
        await self._durable.flush()

    def retry_of(self, key: str) -> RetryRecord | None:
        """See ``Durable.retry_of``, for this process."""
        return self._retries.get(key)

    async def record_retry(self, retry: RetryRecord) -> None:
        """See ``Durable.record_retry``, for this process."""
        self._retries[retry.key] = retry

    def check(self) -> bool:
        """See ``Durable.check``."""
        return self._durable.check()

    async def interrupt(self) -> None:
        """See ``Durable.interrupt``."""
        await self._durable.interrupt()

    def now(self) -> datetime:
        """See ``Durable.now``."""
        return self._durable.now()

    async def pause_until(self, at: datetime | None) -> None:
        """See ``Durable.pause_until``."""
        await self._durable.pause_until(at)

    async def sleep_until(self, at: datetime) -> None:
        """Wait in the process, however long it takes: a suspended instance would have to begin again."""
        while self._durable.now() < at:
            await self._durable.interrupt()
            await self._durable.pause_until(at)

    async def wait_signal(self, name: str, *, key: str, deadline: datetime | None) -> bytes | None:
        """See ``Durable.wait_signal``: what was consumed is stored all the same."""
        return await self._durable.wait_signal(name, key=key, deadline=deadline)

    async def take_signal(self, name: str, *, key: str) -> bytes | None:
        """See ``Durable.take_signal``."""
        return await self._durable.take_signal(name, key=key)

    async def wait_any(self, names: Sequence[str], *, until: datetime | None) -> None:
        """See ``Durable.wait_any``."""
        await self._durable.wait_any(names, until=until)

    def emit(self, subtype: str, payload: bytes | None) -> None:
        """See ``Durable.emit``."""
        self._durable.emit(subtype, payload)

    async def complete(self, output: bytes) -> None:
        """See ``Durable.complete``."""
        await self._durable.complete(output)

    async def fail(self, error: bytes) -> None:
        """See ``Durable.fail``."""
        await self._durable.fail(error)
