"""What only a server that launches instances can do: start one, stop one, show what it wrote."""

from __future__ import annotations

import hashlib

import msgspec

from runtara.core.engine import Engine
from runtara.core.model import NewInstance
from runtara.environment.lifecycle import Environment
from runtara.environment.store.base import Image
from runtara.environment.verbs.caller import Caller
from runtara.environment.verbs.checks import check_env, check_json, check_number, check_text, check_timeout
from runtara.environment.verbs.images import get_image
from runtara.environment.verbs.instances import get_instance
from runtara.environment.verbs.views import instance_view
from runtara.ids import InstanceId, new_id, parse_instance_id
from runtara.limits import INPUT_BYTES_MAX, LOG_BYTES_MAX, STOP_GRACE_S_MAX
from runtara.protocol import messages as m

__all__ = ("LaunchVerbs",)


class LaunchVerbs:
    """See the module."""

    def __init__(self, engine: Engine, environment: Environment) -> None:
        self._engine = engine
        self._environment = environment

    async def start(self, caller: Caller, request: m.StartInstance) -> m.InstanceStarted:
        """Store the whole launch specification, due now. The same start again is the same instance.

        Raises:
            NotFound: there is no such image.
            AlreadyExists: the id belongs to another start of the tenant.
            Overloaded: too many instances of the tenant wait for their launch.
        """
        instance_id = InstanceId(new_id()) if request.instance_id is None else parse_instance_id(request.instance_id)
        check_json("input", request.input, INPUT_BYTES_MAX)
        check_timeout(request.timeout_s)
        check_env(request.env)
        image = await get_image(self._environment.images, caller, request.tenant_id, request.image)
        created = await self._engine.persistence.create_instance(_new_instance(request, instance_id, image))
        if created.created:
            self._engine.announce_due()
        return m.InstanceStarted(instance_id, image.tenant_id, image.image_id, created.created)

    async def stop(self, caller: Caller, request: m.StopInstance) -> m.InstanceView:
        """See ``Environment.stop_instance``."""
        check_number("grace_s", request.grace_s, 0, STOP_GRACE_S_MAX, "seconds")
        reason = check_text("reason", request.reason)
        instance = await get_instance(self._engine, caller, request.tenant_id, request.instance_id)
        return instance_view(await self._environment.stop_instance(instance, grace_s=request.grace_s, reason=reason))

    async def read_logs(self, caller: Caller, request: m.ReadLogs) -> m.LogChunk:
        """What its program wrote on this host."""
        check_number("bytes_max", request.bytes_max, 1, LOG_BYTES_MAX, "bytes")
        instance = await get_instance(self._engine, caller, request.tenant_id, request.instance_id)
        data, next_offset_bytes = await self._environment.directories.read_log(
            instance.instance_no,
            stream=request.stream,
            offset_bytes=request.offset_bytes,
            bytes_max=request.bytes_max,
        )
        # Its last words may come after it reported its end, for as long as its process is here.
        is_here = self._environment.attempts.find(instance.instance_no, instance.epoch) is not None
        has_ended = instance.status.is_terminal and not is_here
        return m.LogChunk(data, next_offset_bytes, ended=has_ended and not data)


def _new_instance(request: m.StartInstance, instance_id: InstanceId, image: Image) -> NewInstance:
    return NewInstance(
        tenant_id=image.tenant_id,
        instance_id=instance_id,
        image_no=image.image_no,
        image_id=image.image_id,
        input=request.input,
        env=request.env,
        timeout_s=_own_timeout_s(image) if request.timeout_s is None else request.timeout_s,
        fingerprint=_fingerprint(request, image),
    )


def _own_timeout_s(image: Image) -> float | None:
    """What the scenario says of itself (``executionTimeoutSeconds``); None: the server's default."""
    artifact = image.metadata.get("artifact")
    timeout_s = artifact.get("executionTimeoutS") if isinstance(artifact, dict) else None
    return float(timeout_s) if isinstance(timeout_s, int | float) else None


def _fingerprint(request: m.StartInstance, image: Image) -> bytes:
    """What makes two starts the same: the artifact and everything that its program is told."""
    facts = (image.digest, request.input, sorted(request.env.items()), request.timeout_s)
    return hashlib.sha256(msgspec.msgpack.encode(facts)).digest()
