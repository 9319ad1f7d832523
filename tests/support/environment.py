"""A whole environment on fakes: store and processes in memory; programs are functions that talk to the engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio

from runtara.clock import Clock
from runtara.core.engine import Engine
from runtara.core.model import EventType, Instance, NewInstance, Status
from runtara.core.persistence.base import ChangeStatus, Outcome, SaveCheckpoint
from runtara.core.persistence.memory import MemoryPersistence
from runtara.core.sessions import Session
from runtara.core.state import Change
from runtara.environment.launcher import LaunchSettings
from runtara.environment.lifecycle import Environment, EnvironmentSettings
from runtara.environment.runner.base import Runner
from runtara.environment.runner.memory import MemoryHost, MemoryProcess, MemoryRunner
from runtara.environment.store.base import EnvironmentStore, Image, NewImage
from runtara.environment.store.memory import MemoryStore
from runtara.ids import CheckpointKey, InstanceId, InstanceNo, TenantId
from runtara.protocol.messages import Message
from runtara.testing.clock import ManualClock
from tests.support.tasks import background_group

PATIENCE_S = 20.0


class FakePeer:
    """The server's end of a connection, as far as pushes go."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.arrived = anyio.Event()

    def push(self, message: Message) -> None:
        self.messages.append(message)
        self.arrived.set()


class Guest:
    """What the SDK does for a program, without a wire: writes of its own attempt, fenced by its epoch."""

    def __init__(self, process: MemoryProcess, machine: Machine) -> None:
        self.process = process
        self.instance_no = process.launched.instance_no
        self.epoch = process.launched.epoch
        self._machine = machine

    @property
    def engine(self) -> Engine:
        """Of the server that runs now: a program reconnects after a restart."""
        assert self._machine.engine is not None
        return self._machine.engine

    async def checkpoint(self, key: str) -> Outcome:
        return await self.engine.writer.write(
            SaveCheckpoint(self.instance_no, self.epoch, CheckpointKey(key), b"state")
        )

    async def complete(self, output: bytes = b'"done"') -> Outcome:
        return await self._change(Change.COMPLETE, output=output)

    async def sleep_until(self, at: datetime) -> Outcome:
        return await self._change(Change.SLEEP, wake_at=at)

    async def yield_(self) -> Outcome:
        return await self._change(Change.YIELD)

    async def acknowledge_cancel(self, signal_no: int) -> Outcome:
        return await self._change(Change.CANCEL, signal_no=signal_no)

    async def next_push(self) -> Message:
        """Connect, and wait for what the server pushes."""
        peer = FakePeer()
        self.engine.sessions.add(Session(self.instance_no, self.epoch, peer))  # type: ignore[arg-type]
        await peer.arrived.wait()
        return peer.messages[0]

    async def _change(self, change: Change, **given: Any) -> Outcome:
        return await self.engine.change(
            ChangeStatus(instance_no=self.instance_no, epoch=self.epoch, change=change, **given)
        )


async def pass_time(clock: ManualClock, seconds: float) -> None:
    """Let everybody come to rest, and then let the time pass for them."""
    await anyio.wait_all_tasks_blocked()
    await clock.advance(timedelta(seconds=seconds))


GuestProgram = Callable[[Guest], Awaitable[int]]


async def completes(guest: Guest) -> int:
    await guest.complete()
    return 0


async def crashes(guest: Guest) -> int:
    guest.process.print("boom", error=True)
    return 7


async def never_ends(guest: Guest) -> int:
    await anyio.sleep_forever()
    return 0


@dataclass
class Machine:
    """What survives the restart of a server: the database, the disk, and the processes."""

    data_dir: Path
    persistence: MemoryPersistence
    store: EnvironmentStore
    host: MemoryHost
    programs: dict[str, GuestProgram] = field(default_factory=dict)
    engine: Engine | None = None
    """The server that programs are connected to."""

    def run_guest(self, process: MemoryProcess) -> Awaitable[int]:
        return self.programs[process.request.record.instance_id](Guest(process, self))


@dataclass
class World:
    """A running server on a machine."""

    machine: Machine
    engine: Engine
    environment: Environment
    image: Image
    started: int = 0

    @property
    def host(self) -> MemoryHost:
        return self.machine.host

    async def start(
        self,
        program: GuestProgram,
        *,
        tenant: str = "tenant",
        instance_id: str | None = None,
        timeout_s: float | None = None,
        announced: bool = True,
    ) -> InstanceNo:
        """Start an instance that behaves like this, at all of its attempts."""
        self.started += 1
        instance_id = instance_id or f"i{self.started}"
        self.machine.programs[instance_id] = program
        created = await self.engine.persistence.create_instance(
            NewInstance(
                tenant_id=TenantId(tenant),
                instance_id=InstanceId(instance_id),
                image_no=self.image.image_no,
                image_id=self.image.image_id,
                input=b"{}",
                timeout_s=timeout_s,
            )
        )
        if announced:
            self.engine.announce_due()
        return created.instance_no

    async def get(self, instance_no: InstanceNo) -> Instance:
        return await self.engine.persistence.get_instance(instance_no)

    async def until(self, instance_no: InstanceNo, *statuses: Status, epoch: int = 0) -> Instance:
        """The instance when it is in one of these statuses, in this attempt or a later one."""
        with self.engine.feed.watch(instance_no) as watch, anyio.fail_after(PATIENCE_S):
            while True:
                instance = await self.get(instance_no)
                if instance.status in statuses and instance.epoch >= epoch:
                    return instance
                await watch.next()

    async def process(self, instance_no: InstanceNo, epoch: int = 1) -> MemoryProcess:
        """The process of an attempt, as soon as there is one."""
        with anyio.fail_after(PATIENCE_S):
            while (process := self.host.processes.get((instance_no, epoch))) is None:
                await self.host.launched.wait()
        await anyio.wait_all_tasks_blocked()  # Its supervisor looks after it by now.
        return process

    async def adopted(self, instance_no: InstanceNo, epoch: int) -> None:
        """Returns when this server has recovered, and looks after the attempt."""
        with anyio.fail_after(PATIENCE_S):
            await self.environment.recovered.wait()
        assert self.environment.attempts.find(instance_no, epoch) is not None

    async def idle(self) -> None:
        """Returns when no attempt occupies a place."""
        with anyio.fail_after(PATIENCE_S):
            for attempt in self.environment.attempts:
                await attempt.gone.wait()

    async def events(self, instance_no: InstanceNo) -> list[EventType]:
        rows = await self.engine.persistence.list_events(instance_no, after_event_no=0, limit=1000)
        return [row.type for row in rows]

    async def error(self, instance_no: InstanceNo) -> dict[str, Any]:
        error = (await self.get(instance_no)).error
        assert error is not None
        decoded: dict[str, Any] = json.loads(error)
        return decoded


@asynccontextmanager
async def running_server(
    machine: Machine,
    *,
    clock: Clock,
    runner: Runner | None = None,
    name: str = "server",
    places: int = 32,
    failures_max: int = 5,
    timeout_s: float = 300.0,
) -> AsyncIterator[World]:
    """A server on the machine; the end of the block is its kill: whatever runs goes on."""
    # A lease for ever: its keeping is tested elsewhere, and its many short sleeps would make time slow here.
    engine = Engine(machine.persistence, name=name, clock=clock, credential_key=bytes(32), lease_s=1e9)
    machine.engine = engine
    environment = Environment(
        engine=engine,
        store=machine.store,
        runner=runner or MemoryRunner(machine.host),
        settings=EnvironmentSettings(
            data_dir=machine.data_dir,
            launch=LaunchSettings(server_address="127.0.0.1:1"),
            max_concurrent_instances=places,
            execution_timeout_s=timeout_s,
            attempts_without_progress_max=failures_max,
        ),
    )
    await engine.open()
    image, _ = await environment.images.register(
        NewImage(tenant_id=TenantId("tenant"), name="image"), b"# a program\n", digest=None
    )
    async with background_group() as group:
        group.start_soon(engine.writer.run)
        group.start_soon(environment.run)
        await anyio.wait_all_tasks_blocked()
        yield World(machine, engine, environment, image)


@asynccontextmanager
async def new_machine(data_dir: Path, *, clock: Clock, beside: Machine | None = None) -> AsyncIterator[Machine]:
    """A machine with nothing on it, or on the database of another one. Its processes die with the block."""
    async with background_group() as group:
        host = MemoryHost(group, lambda process: machine.run_guest(process))
        if beside is None:
            persistence = MemoryPersistence(clock=clock)
            machine = Machine(data_dir, persistence, MemoryStore(persistence, clock=clock), host)
        else:
            machine = Machine(data_dir, beside.persistence, beside.store, host, beside.programs)
        yield machine
