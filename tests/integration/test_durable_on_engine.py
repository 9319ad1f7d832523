"""The contract of ``Durable`` on the real engine and its instance endpoint: so the fake server is a verified one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TypeAlias

import pytest

from runtara.clock import Clock, SystemClock
from runtara.core.engine import Engine
from runtara.core.model import EventType, Instance, LaunchOrder, NewInstance, Status
from runtara.core.persistence.base import ChangeStatus, Persistence
from runtara.core.persistence.memory import MemoryPersistence
from runtara.core.persistence.postgres import PostgresPersistence
from runtara.core.service import Authenticate, InstanceEndpoint
from runtara.core.state import Change
from runtara.environment.store.base import EnvironmentStore, NewImage
from runtara.environment.store.memory import MemoryStore
from runtara.environment.store.postgres import PostgresStore
from runtara.errors import BadCredential, Conflict
from runtara.ids import ImageId, InstanceId, InstanceNo, TenantId
from runtara.protocol import messages as m
from runtara.protocol.launch import KnownCheckpoint
from runtara.protocol.messages import Drain
from runtara.sdk.base import Durable, InstanceSuspended, Interruption
from runtara.sdk.checkpoints import unseal
from runtara.sdk.link import Dialer
from runtara.sdk.program import attend
from runtara.sdk.remote import RemoteOptions, open_remote
from runtara.testing.clock import ManualClock
from runtara.testing.contracts.durable import DurableContract, DurableWorld, Snapshot
from runtara.testing.contracts.transport import Answers
from runtara.transport.base import Address, ClientOptions, ServerOptions
from runtara.transport.memory import MemoryNetwork, Weather
from runtara.transport.peer import connect_peer, listen_peers
from tests.support.every_verb import OUTPUT, every_verb
from tests.support.hasty_clock import hasty_clock
from tests.support.tasks import background_group

Advance: TypeAlias = Callable[[float], Awaitable[None]]
"""Returns when so many seconds have passed."""

INSTANCE_ADDRESS = Address("server", 8001)
PREFETCH_BYTES = 8 * 1024 * 1024


class EngineWorld(DurableWorld):
    """One instance of a real engine, launched by hand."""

    instance_id = "order-7"
    tenant_id = "acme"
    input = b'{"order":7}'

    def __init__(
        self, engine: Engine, network: MemoryNetwork, clock: Clock, *, advance: Advance, sleep_threshold_s: float
    ) -> None:
        self.engine = engine
        self.network = network
        self.clock = clock
        self._advance = advance
        self.sleep_threshold_s = sleep_threshold_s
        self.instance_no = InstanceNo(0)

    async def create(self, store: EnvironmentStore) -> None:
        await store.put_blob(bytes(32), _once(b"# program"))
        image, _ = await store.register_image(
            NewImage(tenant_id=TenantId(self.tenant_id), name="image"), digest=bytes(32), size_bytes=9
        )
        created = await self.engine.persistence.create_instance(
            NewInstance(
                tenant_id=TenantId(self.tenant_id),
                instance_id=InstanceId(self.instance_id),
                image_no=image.image_no,
                image_id=ImageId(image.image_id),
                input=self.input,
            )
        )
        self.instance_no = created.instance_no

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[Durable]:
        order = await self._claim()
        try:
            async with open_remote(await self._options(order), clock=self.clock) as durable:
                yield durable
        finally:
            if (await self._get()).status is Status.RUNNING:
                await self._crash(order.epoch)

    async def supersede(self) -> None:
        await self._crash((await self._get()).epoch)
        await self._claim()

    async def look(self) -> Snapshot:
        instance, persistence = await self._get(), self.engine.persistence
        rows, is_complete = await persistence.read_checkpoints(self.instance_no, after=None, bytes_max=PREFETCH_BYTES)
        assert is_complete
        events = await persistence.list_events(
            self.instance_no, after_event_no=0, limit=10_000, types=(EventType.CUSTOM,)
        )
        return Snapshot(
            status=str(instance.status),
            termination_reason=instance.termination_reason and str(instance.termination_reason),
            wake_at=instance.wake_at,
            attempt=instance.epoch,
            output=instance.output,
            error=instance.error,
            checkpoints={row.key: unseal(row.state) for row in rows},
            events=[(event.subtype or "", event.payload) for event in events],
        )

    async def send_signal(self, name: str, payload: bytes | None) -> None:
        await self.engine.send_custom_signal(await self._get(), name=name, payload=payload)

    async def cancel(self) -> None:
        await self.engine.cancel(await self._get())

    async def pause(self) -> None:
        await self.engine.pause(await self._get())

    async def resume(self) -> None:
        await self.engine.resume(await self._get())

    async def drain(self) -> None:
        session = self.engine.sessions.find(self.instance_no)
        assert session is not None
        session.push(Drain())

    async def pass_time(self, seconds: float) -> None:
        await self._advance(seconds)

    # ---- what an environment does

    async def _claim(self) -> LaunchOrder:
        async with asyncio.timeout(10):
            while not (orders := await self.engine.persistence.claim_due(self.engine.server_no, slots=1)):
                instance = await self._get()
                assert instance.wake_at is not None, f"it waits for somebody: {instance.termination_reason}"
                await self.pass_time(max(0.0, (instance.wake_at - self.clock.now()).total_seconds()))
        return orders[0]

    async def _options(self, order: LaunchOrder) -> RemoteOptions:
        rows, is_complete = await self.engine.persistence.read_checkpoints(
            self.instance_no, after=None, bytes_max=PREFETCH_BYTES
        )
        psk = self.engine.credentials.mint(self.instance_no, order.epoch)
        return RemoteOptions(
            instance_id=self.instance_id,
            tenant_id=self.tenant_id,
            dialer=Dialer(transport=self.network.transport(), address=INSTANCE_ADDRESS, options=ClientOptions(psk=psk)),
            input=order.input,
            checkpoints=tuple(KnownCheckpoint(row.key, row.state) for row in rows),
            checkpoints_complete=is_complete,
            sleep_threshold_s=self.sleep_threshold_s,
        )

    async def _crash(self, epoch: int) -> None:
        await self.engine.change(
            ChangeStatus(instance_no=self.instance_no, epoch=epoch, change=Change.CRASH, wake_at=self.clock.now())
        )

    async def _get(self) -> Instance:
        return await self.engine.persistence.get_instance(self.instance_no)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


@asynccontextmanager
async def engine_world(
    persistence: Persistence,
    store: EnvironmentStore,
    clock: Clock,
    *,
    advance: Advance,
    sleep_threshold_s: float,
    authenticate: Authenticate | None = None,
) -> AsyncIterator[EngineWorld]:
    engine = Engine(persistence, name="server", clock=clock, credential_key=bytes(32), lease_s=1e8)
    await engine.open()
    async with MemoryNetwork(clock=clock) as network, background_group() as group:
        group.start_soon(engine.writer.run)
        endpoint = InstanceEndpoint(engine, group=group, authenticate=authenticate)
        options = ServerOptions(certificate_pem=b"", private_key_pem=b"", credentials=engine.credentials)
        listener = await listen_peers(network.transport(), INSTANCE_ADDRESS, options, endpoint.accept)
        world = EngineWorld(engine, network, clock, advance=advance, sleep_threshold_s=sleep_threshold_s)
        await world.create(store)
        yield world
        await listener.aclose()


class TestOnMemory(DurableContract):
    @pytest.fixture
    async def world(self) -> AsyncIterator[EngineWorld]:
        clock = ManualClock()
        persistence = MemoryPersistence(clock=clock)
        store = MemoryStore(persistence, clock=clock)

        async def advance(seconds: float) -> None:
            await clock.advance(timedelta(seconds=seconds))

        async with engine_world(persistence, store, clock, advance=advance, sleep_threshold_s=30.0) as world:
            yield world


async def test_a_token_does_not_let_a_program_speak_for_a_launched_one_whatever_attempt_it_names() -> None:
    async def tenant_of(token: str) -> TenantId:
        return TenantId("acme")

    async with hasty_clock() as clock:
        persistence = MemoryPersistence(clock=clock)
        store = MemoryStore(persistence, clock=clock)
        async with engine_world(
            persistence, store, clock, advance=clock.sleep, sleep_threshold_s=30.0, authenticate=tenant_of
        ) as world:
            async with world.attempt() as durable:
                hello, options = m.Hello(m.PROTOCOL_VERSIONS, "test", "token"), ClientOptions(skip_verification=True)
                peer = await connect_peer(
                    world.network.transport(), INSTANCE_ADDRESS, options, hello, Answers(), timeout_s=5
                )
                for epoch in (0, durable.info.attempt):
                    with pytest.raises(Conflict, match="started from an image"):
                        await peer.call(m.Register(world.instance_id, "acme", False, epoch), timeout_s=5)
                peer.close()
                await durable.complete(b"1")
            assert (await world.look()).output == b"1"


async def test_whatever_connections_are_lost_the_real_engine_comes_to_the_same_end() -> None:
    crashes = 0
    for seed in range(30):
        async with hasty_clock() as clock:
            persistence = MemoryPersistence(clock=clock)
            store = MemoryStore(persistence, clock=clock)
            async with engine_world(persistence, store, clock, advance=clock.sleep, sleep_threshold_s=30.0) as world:
                world.network.random.seed(seed)
                world.network.weather = Weather(cut_share=0.05)
                effects: list[str] = []
                crashed = await _run_to_the_end(world, effects)
                seen = await world.look()
        assert seen.output == OUTPUT
        assert set(effects) == {"charge", "ship", "mail"}
        assert len(effects) <= 3 + crashed
        crashes += crashed
    assert crashes > 0, "it got somewhere"


async def _run_to_the_end(world: EngineWorld, effects: list[str]) -> int:
    """How many attempts died on the way."""
    crashes = 0
    while (seen := await world.look()).status not in ("completed", "failed", "cancelled"):
        if seen.termination_reason == "waiting_signal" and seen.wake_at is None:
            await world.send_signal("go", b'"now"')
        try:
            async with world.attempt() as durable:
                await attend(durable, partial(every_verb, effects=effects))
        except InstanceSuspended:
            pass
        except (Interruption, BadCredential):
            crashes += 1
    return crashes


@pytest.mark.slow
class TestOnPostgres(DurableContract):
    @pytest.fixture
    async def world(
        self, postgres_persistence: PostgresPersistence, postgres_store: PostgresStore
    ) -> AsyncIterator[EngineWorld]:
        clock = SystemClock()
        async with engine_world(
            postgres_persistence, postgres_store, clock, advance=clock.sleep, sleep_threshold_s=0.2
        ) as world:
            yield world
