"""One started instance, to wait for and to steer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio

from runtara.client.records import Event, Instance, StartedInstance, ended_without_result
from runtara.errors import Unavailable

if TYPE_CHECKING:
    from runtara.client.instances import InstanceCalls

__all__ = ("InstanceHandle", "ResultTimeout")


class ResultTimeout(Unavailable, TimeoutError):
    """The instance has not ended yet; it goes on, and asking again is fine."""

    code = "instance.not_finished"


class InstanceHandle:
    """An instance and the client that knows it. Cheap: it holds nothing open."""

    def __init__(self, client: InstanceCalls, started: StartedInstance) -> None:
        self.started = started
        self._client = client

    @property
    def instance_id(self) -> str:
        """Its id."""
        return self.started.instance_id

    @property
    def tenant_id(self) -> str:
        """Whose it is."""
        return self.started.tenant_id

    def __repr__(self) -> str:
        return f"InstanceHandle({self.tenant_id}/{self.instance_id})"

    async def status(self, *, with_input: bool = False) -> Instance:
        """The instance as it is now."""
        return await self._client.get_instance(self.instance_id, tenant_id=self.tenant_id, with_input=with_input)

    def changes(self) -> AsyncGenerator[Instance, None]:
        """See ``Client.watch``."""
        return self._client.watch(self.instance_id, tenant_id=self.tenant_id)

    async def wait(self, *, timeout_s: float | None = None) -> Instance:
        """The instance when it has ended, however it ended. It is told, not asked for, and survives reconnects.

        Raises:
            ResultTimeout: it had not ended within ``timeout_s``.
        """
        with anyio.move_on_after(timeout_s):
            async with aclosing(self._client.watch(self.instance_id, tenant_id=self.tenant_id)) as changes:
                async for instance in changes:
                    if instance.is_terminal:
                        return instance
        raise ResultTimeout(
            f"instance {self.instance_id} has not ended within {timeout_s} s", instance_id=self.instance_id
        )

    async def result(self, *, timeout_s: float | None = None) -> Any:
        """The decoded output.

        Raises:
            InstanceFailed: it failed; the error has the structured error of the program.
            InstanceCancelled: it was cancelled or stopped.
            ResultTimeout: see ``wait``.
        """
        instance = await self.wait(timeout_s=timeout_s)
        if instance.status != "completed":
            raise ended_without_result(instance)
        return instance.output

    async def pause(self) -> Instance:
        """See ``Client.pause``."""
        return await self._client.pause(self.instance_id, tenant_id=self.tenant_id)

    async def resume(self, *, from_failed: bool = False) -> Instance:
        """See ``Client.resume``."""
        return await self._client.resume(self.instance_id, tenant_id=self.tenant_id, from_failed=from_failed)

    async def cancel(self, *, reason: str | None = None) -> Instance:
        """See ``Client.cancel``."""
        return await self._client.cancel(self.instance_id, tenant_id=self.tenant_id, reason=reason)

    async def stop(self, *, grace_s: float = 5.0, reason: str | None = None) -> Instance:
        """See ``Client.stop``."""
        return await self._client.stop(self.instance_id, tenant_id=self.tenant_id, grace_s=grace_s, reason=reason)

    async def send_custom_signal(self, name: str, payload: Any = None) -> int:
        """See ``Client.send_custom_signal``."""
        return await self._client.send_custom_signal(self.instance_id, name, payload, tenant_id=self.tenant_id)

    def events(self) -> AsyncGenerator[Event, None]:
        """See ``Client.events``."""
        return self._client.events(self.instance_id, tenant_id=self.tenant_id)
