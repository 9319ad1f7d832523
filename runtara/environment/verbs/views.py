"""What a product sees of our rows."""

from __future__ import annotations

from datetime import datetime

from runtara.core.model import CheckpointInfo, Event, Instance
from runtara.environment.store.base import Image, Token
from runtara.protocol import messages as m

__all__ = ("checkpoint_view", "event_view", "image_view", "instance_view", "token_view")


def instance_view(instance: Instance, *, last_seen: datetime | None = None, with_input: bool = False) -> m.InstanceView:
    """An instance; its input only when asked for."""
    return m.InstanceView(
        instance_id=instance.instance_id,
        tenant_id=instance.tenant_id,
        image_id=instance.image_id,
        status=str(instance.status),
        attempt=instance.epoch,
        created_at=instance.created_at,
        started_at=instance.started_at,
        finished_at=instance.finished_at,
        wake_at=instance.wake_at,
        output=instance.output,
        error=instance.error,
        termination_reason=None if instance.termination_reason is None else str(instance.termination_reason),
        exit_code=instance.exit_code,
        memory_peak_bytes=instance.usage.memory_peak_bytes,
        cpu_us=instance.usage.cpu_us,
        checkpoint_key=instance.checkpoint_key,
        attempts_without_progress=instance.attempts_without_progress,
        timeout_s=instance.timeout_s,
        input=instance.input if with_input else None,
        last_seen=last_seen,
    )


def image_view(image: Image) -> m.ImageView:
    """An image without its bytes."""
    return m.ImageView(
        image_id=image.image_id,
        tenant_id=image.tenant_id,
        name=image.name,
        description=image.description,
        digest=image.digest.hex(),
        size_bytes=image.size_bytes,
        metadata=dict(image.metadata),
        created_at=image.created_at,
    )


def checkpoint_view(checkpoint: CheckpointInfo) -> m.CheckpointView:
    """A checkpoint without its state."""
    return m.CheckpointView(checkpoint.key, checkpoint.epoch, checkpoint.created_at, checkpoint.state_bytes)


def event_view(event: Event) -> m.EventView:
    """An event."""
    return m.EventView(event.event_no, str(event.type), event.subtype, event.payload, event.epoch, event.created_at)


def token_view(token: Token) -> m.TokenView:
    """A token without its secret."""
    return m.TokenView(token.token_id, token.tenant_id, token.note, token.created_at, token.revoked_at)
