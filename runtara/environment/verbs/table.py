"""Which verb answers which message: the whole management protocol as one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from runtara.core.engine import Engine
from runtara.environment.access import DEFAULT_TENANT
from runtara.environment.lifecycle import Environment
from runtara.environment.service import Verb
from runtara.environment.store.base import EnvironmentStore
from runtara.environment.verbs.health import HealthVerb
from runtara.environment.verbs.history import HistoryVerbs
from runtara.environment.verbs.images import ImageVerbs
from runtara.environment.verbs.instances import FindImageId, InstanceVerbs
from runtara.environment.verbs.launches import LaunchVerbs
from runtara.environment.verbs.tokens import TokenVerbs
from runtara.ids import ImageId, TenantId
from runtara.protocol import messages as m

__all__ = ("Verbs", "all_verbs", "core_verbs")

Verbs: TypeAlias = Mapping[type[m.Message], Verb]


def core_verbs(
    engine: Engine, *, facts: Callable[[], dict[str, Any]], find_image_id: FindImageId | None = None
) -> Verbs:
    """What every server answers, one without managed processes too."""
    instances = InstanceVerbs(engine, find_image_id=find_image_id)
    history = HistoryVerbs(engine)
    return {
        m.Health: Verb(run=HealthVerb(engine, facts=facts).report, for_strangers=True),
        m.GetInstance: Verb(run=instances.get),
        m.ListInstances: Verb(run=instances.list),
        m.WatchInstance: Verb(run=instances.watch),
        m.UnwatchInstance: Verb(run=instances.unwatch),
        m.PauseInstance: Verb(run=instances.pause),
        m.ResumeInstance: Verb(run=instances.resume),
        m.CancelInstance: Verb(run=instances.cancel),
        m.SendCustomSignal: Verb(run=instances.send_custom_signal),
        m.ListCheckpoints: Verb(run=history.list_checkpoints),
        m.GetCheckpointState: Verb(run=history.get_checkpoint),
        m.ListEvents: Verb(run=history.list_events),
    }


def all_verbs(
    engine: Engine, environment: Environment, store: EnvironmentStore, *, facts: Callable[[], dict[str, Any]]
) -> Verbs:
    """What a full server answers."""
    images, launches, tokens = ImageVerbs(environment.images), LaunchVerbs(engine, environment), TokenVerbs(store)

    async def find_image_id(tenant_id: TenantId | None, reference: str) -> ImageId | None:
        image = await store.find_image(tenant_id, reference)
        if image is None and tenant_id is None:
            # Without a tenant only an id is found; as for ``get_image``, a name is the default tenant's.
            image = await store.find_image(DEFAULT_TENANT, reference)
        return None if image is None else image.image_id

    return {
        **core_verbs(engine, facts=facts, find_image_id=find_image_id),
        m.RegisterImage: Verb(run=images.register, begins_work=True, answers_soon=False),
        m.BeginImage: Verb(run=images.begin, begins_work=True),
        m.UploadChunk: Verb(run=images.take_chunk),
        m.FinishImage: Verb(run=images.finish, answers_soon=False),
        m.GetImage: Verb(run=images.get),
        m.ListImages: Verb(run=images.list),
        m.DeleteImage: Verb(run=images.delete),
        m.StartInstance: Verb(run=launches.start, begins_work=True),
        m.StopInstance: Verb(run=launches.stop, answers_soon=False),
        m.ReadLogs: Verb(run=launches.read_logs),
        m.CreateToken: Verb(run=tokens.create),
        m.ListTokens: Verb(run=tokens.list),
        m.RevokeToken: Verb(run=tokens.revoke),
    }
