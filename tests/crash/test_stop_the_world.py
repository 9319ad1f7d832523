"""Stop the server before and after each call across the persistence seam, start another one on what is left, and find
the same result: no recorded step ran again, no attempt worked beside another, nothing was lost.

Everything but the disk, the network and the processes is the real thing: server, engine, endpoint, environment, SDK.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from runtara.client import Client
from runtara.clock import SystemClock
from runtara.config import ServerConfig
from runtara.core.model import EventType, Instance, Status
from runtara.core.persistence.base import Persistence
from runtara.core.persistence.memory import MemoryPersistence
from runtara.datadir import DataDir
from runtara.environment.runner.memory import MemoryHost, MemoryProcess, MemoryRunner
from runtara.environment.store.base import NewImage
from runtara.environment.store.memory import MemoryStore
from runtara.ids import InstanceId, TenantId
from runtara.sdk.base import Durable, Interruption
from runtara.sdk.link import Dialer
from runtara.sdk.program import attend
from runtara.sdk.remote import RemoteOptions, open_remote
from runtara.server.assembly import assemble
from runtara.server.data_directory import hold
from runtara.server.parts import Database, Parts
from runtara.testing.faults import PowerSwitch, switched
from runtara.transport.base import Address, ClientOptions
from runtara.transport.memory import MemoryNetwork

TENANT, INSTANCE = TenantId("acme"), InstanceId("one")
EFFECTS = 3

# Verbs of a run; those of the background (leases, sweeps, hints) would make the count depend on time.
VERBS = frozenset(
    {
        "create_instance",
        "claim_due",
        "write",
        "get_instance",
        "pending_signals",
        "read_retries",
        "read_checkpoints",
        "list_checkpoints",
    }
)


@dataclass
class World:
    """What outlives a server: disk, network, processes, and the effects that were had."""

    directory: Path
    persistence: MemoryPersistence
    store: MemoryStore
    network: MemoryNetwork
    host: MemoryHost
    effects: list[tuple[int, int]] = field(default_factory=list)
    """(attempt, step) in order."""
    recorded_again: list[int] = field(default_factory=list)
    """Steps that ran although their result was recorded: must stay empty."""

    async def instance(self) -> Instance:
        found = await self.persistence.find_instance(TENANT, INSTANCE)
        assert found is not None
        return found


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    clock = SystemClock()
    persistence = MemoryPersistence(clock=clock)
    async with MemoryNetwork() as network, anyio.create_task_group() as group:

        async def run(process: MemoryProcess) -> int:
            return await program(process, it)

        it = World(directory, persistence, MemoryStore(persistence), network, MemoryHost(group, run))
        yield it
        group.cancel_scope.cancel()


async def program(process: MemoryProcess, it: World) -> int:
    """What a guest process does, as a task: effects, a pure step, a durable sleep that ends the attempt, an effect."""
    record = process.request.record
    host, _, port = record.server_address.rpartition(":")
    options = RemoteOptions(
        instance_id=record.instance_id,
        tenant_id=record.tenant_id,
        dialer=Dialer(
            transport=it.network.transport(),
            address=Address(host, int(port)),
            options=ClientOptions(psk=record.psk, connect_timeout_s=1.0),
        ),
        input=record.input,
        checkpoints=record.checkpoints,
        checkpoints_complete=record.checkpoints_complete,
        sleep_threshold_s=0.0,
    )

    async def entry(durable: Durable) -> bytes:
        for step in range(EFFECTS - 1):
            await effect(durable, step, it)
        if await durable.find("pure") is None:
            durable.send("pure", b"computed")
        until = (durable.now() + timedelta(milliseconds=20)).isoformat().encode()
        until = await durable.find("until") or await durable.save("until", until)
        await durable.sleep_until(durable.now().fromisoformat(until.decode()))
        await effect(durable, EFFECTS - 1, it)
        return b'"done"'

    try:
        async with open_remote(options) as durable:
            await attend(durable, entry)
    except Interruption:
        pass
    return 0


async def effect(durable: Durable, step: int, it: World) -> None:
    key = f"effect/{step}"
    if await durable.find(key) is not None:
        return
    instance = await it.instance()
    if await it.persistence.find_checkpoint(instance.instance_no, key) is not None:
        it.recorded_again.append(step)
    await durable.flush()
    it.effects.append((durable.info.attempt, step))
    await durable.save(key, b"had")


@asynccontextmanager
async def server(it: World, switch: PowerSwitch) -> AsyncIterator[None]:
    """A server on the world until the block ends: then it is gone, without a drain, as after a kill."""
    persistence: Persistence = switched(it.persistence, switch)

    @asynccontextmanager
    async def open_database(config: ServerConfig, data: DataDir) -> AsyncIterator[Database]:
        yield Database(persistence=persistence, store=it.store, description="memory")

    parts = Parts(
        open_database=open_database, transport=it.network.transport(), runner=lambda data: MemoryRunner(it.host)
    )
    config = ServerConfig(data_dir=it.directory, quic_port=8001, env_quic_port=8002)
    with hold(it.directory) as data:
        async with assemble(config, data, parts=parts, clock=SystemClock()):
            yield
            switch.off.set()
            it.network.cut()


def product(it: World) -> Client:
    """The product's side: it repeats its requests until it has an answer, whichever server gives it."""
    data = DataDir(it.directory)
    return Client.connect(
        "127.0.0.1:8002",
        token=data.admin_token.read_text().strip(),
        ca=data.ca_certificate,
        tenant_id=TENANT,
        transport=it.network.transport(),
    )


async def register(it: World) -> None:
    """The image, whose bytes nobody runs here."""
    data = b"print()"

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    digest = hashlib.sha256(data).digest()
    await it.store.put_blob(digest, chunks())
    await it.store.register_image(NewImage(tenant_id=TENANT, name="program"), digest=digest, size_bytes=len(data))


@dataclass
class Story:
    """What one run came to."""

    result: object
    world: World
    calls: list[str]
    events: list[EventType]
    was_stopped: bool


async def tell(directory: Path, *, at: int | None, after: bool) -> Story:
    """A run whose first server is stopped at call ``at``; a second one is started, and the product is told a result."""
    results: list[object] = []
    async with world(directory) as it:
        await register(it)
        switch = PowerSwitch(VERBS, at=at, after=after)

        async def ask(client: Client, done: anyio.Event) -> None:
            handle = await client.start_instance("program", instance_id=INSTANCE)
            results.append(await handle.result(timeout_s=20))
            done.set()

        done = anyio.Event()
        async with anyio.create_task_group() as group:
            async with server(it, switch):
                client = product(it)
                group.start_soon(ask, client, done)
                await first_of(switch.off, done)
            if not done.is_set():
                async with server(it, PowerSwitch(())):
                    await done.wait()
            await client.aclose()
        instance = await it.instance()
        assert instance.status is Status.COMPLETED
        events = await it.persistence.list_events(instance.instance_no, after_event_no=0, limit=100)
        return Story(results[0], it, switch.calls, [event.type for event in events], switch.off.is_set())


async def first_of(*events: anyio.Event) -> None:
    async with anyio.create_task_group() as group:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            group.cancel_scope.cancel()

        for event in events:
            group.start_soon(wait, event)


def check(story: Story) -> None:
    """What must hold of every story, wherever it was stopped."""
    assert story.result == "done"
    assert not story.world.recorded_again, "a recorded step ran again"
    had = Counter(step for _, step in story.world.effects)
    assert set(had) == set(range(EFFECTS))
    assert sum(had.values()) <= EFFECTS + 1, "only the step in flight may run again"
    attempts = [attempt for attempt, _ in story.world.effects]
    assert attempts == sorted(attempts), "an old attempt worked beside its successor"
    assert story.events.count(EventType.COMPLETED) == 1
    assert story.events.count(EventType.CREATED) == 1
    assert story.world.host.running_peak == 1


async def test_an_undisturbed_run_makes_the_calls_that_are_stopped_at(tmp_path: Path) -> None:
    story = await tell(tmp_path, at=None, after=False)
    check(story)
    assert set(story.calls) >= {"create_instance", "claim_due", "write", "get_instance", "pending_signals"}
    assert len(story.world.effects) == EFFECTS


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_stop_at_any_call_changes_nothing_of_the_result(tmp_path: Path, after: bool) -> None:
    """Until the run is over before the stop would come; each of the verbs must have been stopped at."""
    stopped_at: Counter[str] = Counter()
    for at in range(200):
        story = await tell(tmp_path / str(at), at=at, after=after)
        check(story)
        if not story.was_stopped or len(story.calls) <= at:
            break
        stopped_at[story.calls[at]] += 1
    assert at > 15, "the run is over too soon to prove anything"
    assert set(stopped_at) >= {"create_instance", "claim_due", "write", "get_instance", "pending_signals"}
