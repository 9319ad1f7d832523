"""What can be asked of any instance, launched here or self-started: look, list, watch, steer, signal."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeAlias

from runtara.core.engine import Engine
from runtara.core.model import Instance, InstanceFilter
from runtara.environment.verbs.caller import Caller
from runtara.environment.verbs.checks import (
    check_cursor,
    check_json,
    check_page,
    check_prefix,
    check_signal_name,
    check_statuses,
    check_text,
)
from runtara.environment.verbs.views import instance_view
from runtara.errors import NotFound, Unavailable
from runtara.ids import ImageId, TenantId, parse_image_id, parse_instance_id
from runtara.limits import SIGNAL_PAYLOAD_BYTES_MAX
from runtara.protocol import messages as m

__all__ = ("FindImageId", "InstanceVerbs", "get_instance")

_log = logging.getLogger(__name__)

FindImageId: TypeAlias = Callable[[TenantId | None, str], Awaitable[ImageId | None]]
"""The id of an image that is named by id or name."""

_DATABASE_RETRY_S: Final = 0.5


async def get_instance(engine: Engine, caller: Caller, tenant_id: str | None, instance_id: str) -> Instance:
    """The instance, if the caller may see it.

    Raises:
        NotFound: there is none, or it is another tenant's.
    """
    scope = caller.principal.scope(tenant_id)
    found = await engine.persistence.find_instance(scope, parse_instance_id(instance_id))
    if found is None:
        raise NotFound(f"there is no instance {instance_id!r}", instance_id=instance_id)
    return found


class InstanceVerbs:
    """See the module."""

    def __init__(self, engine: Engine, *, find_image_id: FindImageId | None = None) -> None:
        self._engine = engine
        self._find_image_id = find_image_id

    # ---- looking

    async def get(self, caller: Caller, request: m.GetInstance) -> m.InstanceView:
        """One instance, as it is now."""
        instance = await get_instance(self._engine, caller, request.tenant_id, request.instance_id)
        return self._view(instance, with_input=request.with_input)

    async def list(self, caller: Caller, request: m.ListInstances) -> m.InstancePage:
        """A page of instances, newest first. Inputs, outputs and errors are left out: a page must fit."""
        tenant_id = caller.principal.scope(request.tenant_id)
        where = InstanceFilter(
            tenant_id=tenant_id,
            statuses=check_statuses(request.statuses),
            instance_id_prefix=check_prefix(request.instance_id_prefix),
            created_after=request.created_after,
            created_before=request.created_before,
        )
        if request.image is not None:
            where = replace(where, image_id=await self._image_id(tenant_id, request.image))
        page = await self._engine.persistence.list_instances(
            where, limit=check_page(request.limit), cursor=check_cursor(request.cursor)
        )
        return m.InstancePage(
            tuple(self._view(replace(row, output=None, error=None)) for row in page.rows), page.next_cursor
        )

    async def watch(self, caller: Caller, request: m.WatchInstance) -> m.Ok:
        """Push the instance now and at every change of its status, until it has ended."""
        instance = await get_instance(self._engine, caller, request.tenant_id, request.instance_id)

        async def push_changes() -> None:
            await self._push_changes(caller, instance, request.watch_no)

        caller.follow(request.watch_no, push_changes)
        return m.Ok()

    async def unwatch(self, caller: Caller, request: m.UnwatchInstance) -> m.Ok:
        """No more pushes of that number."""
        caller.unfollow(request.watch_no)
        return m.Ok()

    # ---- steering

    async def pause(self, caller: Caller, request: m.PauseInstance) -> m.InstanceView:
        """See ``Engine.pause``."""
        instance = await get_instance(self._engine, caller, request.tenant_id, request.instance_id)
        return self._view(await self._engine.pause(instance))

    async def resume(self, caller: Caller, request: m.ResumeInstance) -> m.InstanceView:
        """See ``Engine.resume``."""
        instance = await get_instance(self._engine, caller, request.tenant_id, request.instance_id)
        return self._view(await self._engine.resume(instance, from_failed=request.from_failed))

    async def cancel(self, caller: Caller, request: m.CancelInstance) -> m.InstanceView:
        """See ``Engine.cancel``."""
        reason = check_text("reason", request.reason)
        instance = await get_instance(self._engine, caller, request.tenant_id, request.instance_id)
        return self._view(await self._engine.cancel(instance, reason=reason))

    async def send_custom_signal(self, caller: Caller, request: m.SendCustomSignal) -> m.SignalAccepted:
        """See ``Engine.send_custom_signal``."""
        name = check_signal_name(request.name)
        if request.payload is not None:
            check_json("payload", request.payload, SIGNAL_PAYLOAD_BYTES_MAX)
        instance = await get_instance(self._engine, caller, request.tenant_id, request.instance_id)
        sent = await self._engine.send_custom_signal(instance, name=name, payload=request.payload)
        return m.SignalAccepted(sent.signal_no)

    # ---- inside

    async def _image_id(self, tenant_id: TenantId | None, image: str) -> ImageId:
        """An image that is gone may still have ended instances, so an unknown name is taken for an id."""
        reference = parse_image_id(image)
        found = None if self._find_image_id is None else await self._find_image_id(tenant_id, reference)
        return found or reference

    async def _push_changes(self, caller: Caller, instance: Instance, watch_no: int) -> None:
        told: object = None
        with self._engine.feed.watch(instance.instance_no) as watch:
            while True:
                instance = await self._read(instance)
                state = (instance.status, instance.epoch, instance.termination_reason, instance.wake_at)
                if state != told:
                    caller.push(m.InstanceChanged(watch_no, self._view(instance)))
                    told = state
                if instance.status.is_terminal:
                    return
                await watch.next()

    async def _read(self, instance: Instance) -> Instance:
        """The instance as it is; a database that is away is waited for, because the watcher waits too."""
        while True:
            try:
                return await self._engine.persistence.get_instance(instance.instance_no)
            except Unavailable as error:
                _log.debug("a watch waits for the database: %s", error.message)
            await self._engine.clock.sleep(_DATABASE_RETRY_S)

    def _view(self, instance: Instance, *, with_input: bool = False) -> m.InstanceView:
        session = self._engine.sessions.find(instance.instance_no)
        last_seen = None
        if session is not None:
            clock = self._engine.clock
            last_seen = clock.now() - timedelta(seconds=clock.monotonic() - session.last_seen)
        return instance_view(instance, last_seen=last_seen, with_input=with_input)
