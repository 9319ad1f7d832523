from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from runtara.sdk.base import Durable
from runtara.sdk.inbox import Inbox
from runtara.sdk.memory import MemoryDurable
from runtara.sdk.memory_store import MemoryInstanceStore
from runtara.sdk.remote import open_remote
from runtara.testing.clock import ManualClock
from runtara.testing.contracts.durable import DurableContract, DurableWorld, Snapshot
from runtara.transport.memory import MemoryNetwork
from tests.support.instance_server import InstanceServer


class StoreWorld(DurableWorld):
    """What both worlds share: the instance is in a store, and the clock moves when told."""

    sleep_threshold_s = 30.0

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.store = MemoryInstanceStore(input=b'{"order":7}')
        self.instance_id = self.store.instance_id
        self.tenant_id = self.store.tenant_id
        self.input = self.store.input

    def become_due(self) -> None:
        at = self.store.wake_at
        if self.store.status == "suspended":
            assert at is not None, "it waits for somebody"
            self.clock.jump(max(at - self.clock.now(), timedelta(0)))

    async def supersede(self) -> None:
        self.store.begin_attempt(Inbox(self.clock))

    async def look(self) -> Snapshot:
        return Snapshot(
            status=self.store.status,
            termination_reason=self.store.termination_reason,
            wake_at=self.store.wake_at,
            attempt=self.store.attempt,
            output=self.store.output,
            error=self.store.error,
            checkpoints=dict(self.store.checkpoints),
            events=list(self.store.events),
        )

    async def send_signal(self, name: str, payload: bytes | None) -> None:
        self.store.send_signal(name, payload)

    async def cancel(self) -> None:
        self.store.cancel()

    async def pause(self) -> None:
        self.store.pause()

    async def resume(self) -> None:
        self.store.resume()

    async def drain(self) -> None:
        self.store.drain()

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(timedelta(seconds=seconds))


class MemoryWorld(StoreWorld):
    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[Durable]:
        self.become_due()
        yield MemoryDurable(self.store, clock=self.clock, sleep_threshold_s=self.sleep_threshold_s)


class RemoteWorld(StoreWorld):
    def __init__(self, clock: ManualClock, network: MemoryNetwork) -> None:
        super().__init__(clock)
        self.server = InstanceServer(
            network=network, clock=self.clock, store=self.store, sleep_threshold_s=self.sleep_threshold_s
        )

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[Durable]:
        self.become_due()
        async with open_remote(self.server.launch(), clock=self.clock) as durable:
            yield durable


class SelfStartedWorld(RemoteWorld):
    """Nobody told it anything: input and checkpoints come from the server, page by page."""

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[Durable]:
        self.become_due()
        async with open_remote(self.server.self_started(), clock=self.clock) as durable:
            yield durable


class TestMemory(DurableContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld(ManualClock())


class TestRemote(DurableContract):
    kind: type[RemoteWorld] = RemoteWorld

    @pytest.fixture
    async def world(self) -> AsyncIterator[RemoteWorld]:
        clock = ManualClock()
        async with MemoryNetwork(clock=clock) as network:
            world = self.kind(clock, network)
            await world.server.start()
            yield world
            await world.server.stop()


class TestRemoteSelfStarted(TestRemote):
    kind = SelfStartedWorld


def test_the_world_starts_in_the_past() -> None:
    """So that whoever mixes the real clock in breaks here."""
    assert ManualClock().now() < datetime.now(ManualClock().now().tzinfo)
