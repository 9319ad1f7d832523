"""Real processes with the real SDK over QUIC, and servers that are killed and come back; the database is a fake."""

from __future__ import annotations

import os
import signal
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from runtara.clock import SystemClock
from runtara.core.engine import Engine
from runtara.core.model import EventType, Instance, NewInstance, Status, TerminationReason
from runtara.core.persistence.memory import MemoryPersistence
from runtara.core.service import InstanceEndpoint
from runtara.environment.launcher import LaunchSettings
from runtara.environment.lifecycle import Environment, EnvironmentSettings
from runtara.environment.runner.process import ProcessRunner
from runtara.environment.store.base import NewImage
from runtara.environment.store.memory import MemoryStore
from runtara.ids import CheckpointKey, InstanceId, InstanceNo, TenantId
from runtara.transport.base import Address, ServerOptions
from runtara.transport.peer import listen_peers
from runtara.transport.quic import quic_transport
from tests.support.certificates import certificates
from tests.support.tasks import background_group

pytestmark = pytest.mark.slow

PATIENCE_S = 30.0
TENANT = TenantId("tenant")

PRELUDE = """
import asyncio, os, pathlib
from datetime import timedelta
from runtara.sdk.program import run_program

async def until(name):
    "A file, in the place of whatever a program waits for."
    while not pathlib.Path(name).exists():
        await asyncio.sleep(0.01)
"""


def program(body: str) -> bytes:
    """A program whose ``main`` has this body."""
    return (PRELUDE + "\nasync def main(durable):\n" + textwrap.indent(textwrap.dedent(body), "    ")
            + "\nrun_program(main)\n").encode()  # fmt: skip


class Host:
    """A machine with a database, on which servers come and go."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.clock = SystemClock()
        self.persistence = MemoryPersistence(clock=self.clock)
        self.store = MemoryStore(self.persistence, clock=self.clock)
        self.port = 0
        self.images = 0

    @asynccontextmanager
    async def server(self) -> AsyncIterator[Server]:
        """A server until the end of the block, which is its kill."""
        engine = Engine(self.persistence, name="server", clock=self.clock, credential_key=bytes(32))
        await engine.open()
        transport = quic_transport(None)
        options = ServerOptions(
            certificate_pem=certificates().leaf,
            private_key_pem=certificates().leaf_key,
            credentials=engine.credentials,
        )
        async with background_group() as group:
            endpoint = InstanceEndpoint(engine, group=group, authenticate=None)
            listener = await listen_peers(transport, Address("127.0.0.1", self.port), options, endpoint.accept)
            self.port = listener.address.port
            environment = self._environment(engine, listener.address, transport.name.partition("/")[2])
            group.start_soon(lambda: engine.run(on_lost=environment.resync))
            group.start_soon(environment.run)
            yield Server(self, engine, environment)
            await listener.aclose()

    def _environment(self, engine: Engine, address: Address, quic: str) -> Environment:
        return Environment(
            engine=engine,
            store=self.store,
            runner=ProcessRunner(self.data_dir / "processes"),
            settings=EnvironmentSettings(
                data_dir=self.data_dir,
                launch=LaunchSettings(server_address=str(address), quic=quic, sleep_threshold_s=0.1),
            ),
        )


class Server:
    def __init__(self, host: Host, engine: Engine, environment: Environment) -> None:
        self.host = host
        self.engine = engine
        self.environment = environment

    async def start(self, source: bytes) -> InstanceNo:
        self.host.images += 1
        name = f"image{self.host.images}"
        image, _ = await self.environment.images.register(NewImage(tenant_id=TENANT, name=name), source, digest=None)
        created = await self.engine.persistence.create_instance(
            NewInstance(
                tenant_id=TENANT,
                instance_id=InstanceId(name),
                image_no=image.image_no,
                image_id=image.image_id,
                input=b'{"x": 1}',
            )
        )
        self.engine.announce_due()
        return created.instance_no

    async def until(self, instance_no: InstanceNo, *statuses: Status) -> Instance:
        with self.engine.feed.watch(instance_no) as watch, anyio.fail_after(PATIENCE_S):
            while (instance := await self.engine.persistence.get_instance(instance_no)).status not in statuses:
                await watch.next()
        return instance

    async def until_checkpoint(self, instance_no: InstanceNo, key: str) -> None:
        with anyio.fail_after(PATIENCE_S):
            while await self.engine.persistence.find_checkpoint(instance_no, CheckpointKey(key)) is None:  # noqa: ASYNC110
                await anyio.sleep(0.005)

    async def concluded(self, instance_no: InstanceNo) -> Instance:
        """The instance when nothing of its processes is left."""
        with anyio.fail_after(PATIENCE_S):
            for attempt in self.environment.attempts:
                if attempt.instance_no == instance_no:
                    await attempt.gone.wait()
        return await self.engine.persistence.get_instance(instance_no)

    def pid(self, instance_no: InstanceNo) -> int:
        (attempt,) = (it for it in self.environment.attempts if it.instance_no == instance_no)
        assert attempt.launched is not None
        return attempt.launched.pid

    def touch(self, instance_no: InstanceNo, name: str) -> None:
        (self.environment.directories.make(instance_no) / name).touch()


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(tmp_path)
    yield host
    runner = ProcessRunner(tmp_path / "processes")
    for launched in await runner.list_launched():
        await runner.stop(launched, grace_s=0)
    await runner.aclose()


@pytest.fixture
async def server(host: Host) -> AsyncIterator[Server]:
    async with host.server() as server:
        yield server


async def test_a_program_runs_to_its_result_and_what_it_used_is_recorded(server: Server) -> None:
    instance_no = await server.start(program("return durable.info.input"))
    assert (await server.until(instance_no, Status.COMPLETED, Status.FAILED)).output == b'{"x": 1}'
    instance = await server.concluded(instance_no)
    assert (instance.status, instance.exit_code) == (Status.COMPLETED, 0)
    assert instance.usage.cpu_us is not None
    assert instance.usage.memory_peak_bytes is not None


async def test_a_killed_program_goes_on_from_its_checkpoint(server: Server) -> None:
    source = program("""
        if await durable.find("step") is None:
            await durable.save("step", b"1")
            await until("never")
        return b'"resumed"'
    """)
    instance_no = await server.start(source)
    await server.until_checkpoint(instance_no, "step")
    os.kill(server.pid(instance_no), signal.SIGKILL)
    killed_at = anyio.current_time()
    instance = await server.until(instance_no, Status.COMPLETED, Status.FAILED)
    assert (instance.output, instance.epoch) == (b'"resumed"', 2)
    assert anyio.current_time() - killed_at < 10


async def test_a_program_survives_its_server(host: Host) -> None:
    source = program("""
        await durable.save("before", b"1")
        await until("go")
        await durable.save("after", b"2")
        return b'"done"'
    """)
    async with host.server() as server:
        instance_no = await server.start(source)
        await server.until_checkpoint(instance_no, "before")
    async with host.server() as server:
        server.touch(instance_no, "go")
        instance = await server.until(instance_no, Status.COMPLETED, Status.FAILED)
        assert (instance.output, instance.epoch) == (b'"done"', 1)
        assert (await server.concluded(instance_no)).exit_code == 0


async def test_a_program_and_its_server_that_die_together_go_on_together(host: Host) -> None:
    source = program("""
        if await durable.find("step") is None:
            await durable.save("step", b"1")
            await until("never")
        return b'"resumed"'
    """)
    async with host.server() as server:
        instance_no = await server.start(source)
        await server.until_checkpoint(instance_no, "step")
        pid = server.pid(instance_no)
    os.kill(pid, signal.SIGKILL)
    async with host.server() as server:
        instance = await server.until(instance_no, Status.COMPLETED, Status.FAILED)
        assert (instance.output, instance.epoch) == (b'"resumed"', 2)


async def test_a_long_sleep_needs_no_process_and_ends_in_time(server: Server) -> None:
    source = program("""
        if await durable.find("slept") is None:
            at = durable.now() + timedelta(seconds=1)
            await durable.save("slept", at.isoformat().encode())
            await durable.sleep_until(at)
        return await durable.find("slept")
    """)
    instance_no = await server.start(source)
    asleep = await server.until(instance_no, Status.SUSPENDED, Status.FAILED)
    assert asleep.termination_reason is TerminationReason.SLEEPING
    asleep = await server.concluded(instance_no)
    assert (asleep.status, asleep.exit_code) == (Status.SUSPENDED, 0)
    assert len(server.environment.attempts) == 0
    await server.until(instance_no, Status.COMPLETED, Status.FAILED)
    events = await server.engine.persistence.list_events(instance_no, after_event_no=0, limit=100)
    woken_at = [event.created_at for event in events if event.type is EventType.STARTED][1]
    assert asleep.wake_at is not None
    assert timedelta(0) <= woken_at - asleep.wake_at < timedelta(seconds=0.1)


async def test_stop_lets_a_program_clean_up(server: Server) -> None:
    source = program("""
        await durable.save("up", b"1")
        try:
            await durable.sleep_until(durable.now() + timedelta(seconds=0.09))
            while True:
                await durable.interrupt()
                await asyncio.sleep(0.01)
        finally:
            pathlib.Path("clean").touch()
    """)
    instance_no = await server.start(source)
    await server.until_checkpoint(instance_no, "up")
    instance = await server.engine.persistence.get_instance(instance_no)
    stopped = await server.environment.stop_instance(instance, grace_s=PATIENCE_S)
    assert (stopped.status, stopped.termination_reason) == (Status.CANCELLED, TerminationReason.CANCELLED)
    assert (server.environment.directories.make(instance_no) / "clean").exists()
    assert (await server.concluded(instance_no)).exit_code == 0


async def test_a_drain_suspends_programs_and_the_next_server_wakes_them(host: Host) -> None:
    source = program("""
        await durable.save("up", b"1")
        while not pathlib.Path("go").exists():
            await durable.interrupt()
            await asyncio.sleep(0.01)
        return b'"done"'
    """)
    async with host.server() as server:
        instance_no = await server.start(source)
        await server.until_checkpoint(instance_no, "up")
        await server.environment.drain(timeout_s=PATIENCE_S)
        instance = await server.engine.persistence.get_instance(instance_no)
        assert instance.termination_reason is TerminationReason.SHUTDOWN_REQUESTED
        assert instance.exit_code == 0
        server.touch(instance_no, "go")
    async with host.server() as server:
        instance = await server.until(instance_no, Status.COMPLETED, Status.FAILED)
        assert (instance.output, instance.epoch) == (b'"done"', 2)
