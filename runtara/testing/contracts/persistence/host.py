"""What a test of a persistence has in its hands, and the short ways to the usual situations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias

import anyio
import pytest

from runtara.core.model import (
    EventType,
    Instance,
    LaunchOrder,
    NewInstance,
    SignalKind,
    Status,
)
from runtara.core.persistence.base import (
    ChangeStatus,
    Outcome,
    OutcomeKind,
    Persistence,
    SaveCheckpoint,
    Write,
)
from runtara.core.state import RULES, Change
from runtara.ids import CheckpointKey, ImageId, InstanceId, InstanceNo, TenantId

__all__ = (
    "ACME",
    "DONE",
    "GLOBEX",
    "HOUR",
    "OWNED",
    "PENDING_MAX",
    "Advance",
    "Host",
    "HostedContract",
    "gather",
    "key",
)

Advance: TypeAlias = Callable[[timedelta], Awaitable[None]]

PENDING_MAX: Final = 40
"""The persistence under test takes so many instances of one tenant that wait for a launch."""

ACME, GLOBEX = TenantId("acme"), TenantId("globex")
HOUR: Final = timedelta(hours=1)
DONE: Final = Outcome(OutcomeKind.DONE)

# A change that a claim or a registration makes, because it needs an owner.
OWNED: Final = frozenset(change for change, rule in RULES.items() if rule.new_attempt)


def key(text: str) -> CheckpointKey:
    """A checkpoint key."""
    return CheckpointKey(text)


@dataclass
class Host:
    """What a test has in its hands."""

    persistence: Persistence
    advance: Advance
    """Let the time of the persistence go forward."""
    make_image: Callable[[], Awaitable[int]]
    """An image that exists."""
    delete_image: Callable[[int], Awaitable[None]]
    server_no: int = 0
    image_no: int = 0

    # ---- making instances

    def new(self, name: str = "order-1", tenant: TenantId = ACME, **facts: Any) -> NewInstance:
        """A start of the host's image."""
        image = {"image_no": self.image_no, "image_id": ImageId("image-1")}
        return NewInstance(**{"tenant_id": tenant, "instance_id": InstanceId(name), "input": b"{}", **image, **facts})

    async def pending(self, name: str = "order-1", tenant: TenantId = ACME, **facts: Any) -> InstanceNo:
        """A new instance that waits for its launch."""
        return (await self.persistence.create_instance(self.new(name, tenant, **facts))).instance_no

    async def running(self, name: str = "order-1", tenant: TenantId = ACME, **facts: Any) -> LaunchOrder:
        """A new instance in its first attempt, owned by the host's server."""
        await self.pending(name, tenant, **facts)
        return await self.claim(name)

    async def claim(self, name: str = "order-1") -> LaunchOrder:
        """The next attempt of the only instance that is due."""
        (order,) = await self.persistence.claim_due(self.server_no, slots=1)
        assert order.instance_id == name
        return order

    async def in_status(self, status: Status, name: str = "order-1") -> Instance:
        """A new instance brought to a status; its latest epoch is 1, or 0 when it never ran."""
        if status is Status.PENDING:
            return await self.get(await self.pending(name))
        order = await self.running(name)
        ways = {
            Status.SUSPENDED: Change.PAUSE,
            Status.COMPLETED: Change.COMPLETE,
            Status.FAILED: Change.FAIL,
            Status.CANCELLED: Change.CANCEL,
        }
        if status in ways:
            await self.change(order, ways[status])
        return await self.get(order.instance_no)

    # ---- looking and writing

    async def get(self, instance_no: InstanceNo) -> Instance:
        """The instance as it is now."""
        return await self.persistence.get_instance(instance_no)

    async def one(self, write: Write) -> Outcome:
        """What became of one write."""
        (outcome,) = await self.persistence.write([write])
        return outcome

    async def change(self, attempt: LaunchOrder, change: Change, **facts: Any) -> Outcome:
        """What became of a change of this attempt."""
        return await self.one(
            ChangeStatus(instance_no=attempt.instance_no, epoch=attempt.epoch, change=change, **facts)
        )

    async def person(self, instance_no: InstanceNo, change: Change) -> Outcome:
        """What became of a change that no attempt asked for."""
        return await self.one(ChangeStatus(instance_no=instance_no, epoch=None, change=change))

    async def save(self, attempt: LaunchOrder, name: str, state: bytes = b"state", **facts: Any) -> Outcome:
        """What became of a checkpoint of this attempt."""
        return await self.one(SaveCheckpoint(attempt.instance_no, attempt.epoch, key(name), state, **facts))

    async def states(self, instance_no: InstanceNo) -> dict[str, bytes]:
        """All checkpoints."""
        rows, _ = await self.persistence.read_checkpoints(instance_no, after=None, bytes_max=2**30)
        return {row.key: row.state for row in rows}

    async def events(self, instance_no: InstanceNo) -> list[EventType]:
        """The types of all events, oldest first."""
        events = await self.persistence.list_events(instance_no, after_event_no=0, limit=1000)
        return [event.type for event in events]

    async def signal(self, instance_no: InstanceNo, kind: SignalKind = SignalKind.CUSTOM, name: str = "go") -> int:
        """The number of a signal that was sent."""
        name_of_custom = name if kind is SignalKind.CUSTOM else None
        return (await self.persistence.send_signal(instance_no, kind, name=name_of_custom, payload=b"42")).signal_no


class HostedContract(ABC):
    """A part of the contract."""

    @pytest.fixture
    @abstractmethod
    async def host(self) -> Host:
        """A persistence with nothing in it, a clock at any time, ``PENDING_MAX`` in force."""

    @pytest.fixture
    async def ready(self, host: Host) -> Host:
        """The host with a server that has joined, and an image."""
        host.server_no = await host.persistence.join("first", lease_s=10)
        host.image_no = await host.make_image()
        return host


async def gather(*calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """What each of several concurrent calls returned."""
    results: dict[int, Any] = {}

    async def keep(place: int, call: Callable[[], Awaitable[Any]]) -> None:
        results[place] = await call()

    async with anyio.create_task_group() as group:
        for place, call in enumerate(calls):
            group.start_soon(keep, place, call)
    return [results[place] for place in range(len(calls))]
