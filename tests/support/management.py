"""A whole server on fakes: database, network and processes in memory; management over a real protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from runtara.client import Client
from runtara.clock import SystemClock
from runtara.config import ServerConfig
from runtara.core.model import Instance
from runtara.core.persistence.base import ChangeStatus
from runtara.core.persistence.memory import MemoryPersistence
from runtara.core.state import Change
from runtara.datadir import DataDir
from runtara.environment.runner.memory import MemoryHost, MemoryProcess, MemoryRunner
from runtara.environment.store.memory import MemoryStore
from runtara.ids import InstanceId, TenantId
from runtara.server import RuntaraServer
from runtara.server.parts import Database, Parts
from runtara.transport.memory import MemoryNetwork
from tests.support.tasks import background_group

Behaviour = Callable[["Program"], Awaitable[int]]


@dataclass
class Program:
    """A launched program as it behaves: it talks to the engine, without a wire."""

    process: MemoryProcess
    world: World

    async def end(self, change: Change, **facts: Any) -> None:
        launched = self.process.launched
        await self.world.server.assembly.engine.change(
            ChangeStatus(instance_no=launched.instance_no, epoch=launched.epoch, change=change, **facts)
        )


async def never_ends(program: Program) -> int:
    await anyio.sleep_forever()
    return 0


async def completes(program: Program) -> int:
    await program.end(Change.COMPLETE, output=b'{"total": 3}')
    return 0


@dataclass
class World:
    """The server, and what outlives its restarts."""

    config: ServerConfig
    host: MemoryHost
    persistence: MemoryPersistence
    network: Any = field(default_factory=MemoryNetwork)
    """A ``MemoryNetwork``, unless the test is about QUIC."""
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    opened: int = 0
    closed: int = 0

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.persistence)
        self.server = self.new_server()

    def new_server(self, config: ServerConfig | None = None) -> RuntaraServer:
        """Another server on the same database and host."""
        parts = Parts(
            open_database=self._open, transport=self.network.transport(), runner=lambda data: MemoryRunner(self.host)
        )
        return RuntaraServer(config or self.config, parts=parts)

    @asynccontextmanager
    async def _open(self, config: ServerConfig, data: DataDir) -> AsyncIterator[Database]:
        self.opened += 1
        try:
            yield Database(
                persistence=self.persistence,
                store=None if config.core_only else self.store,
                description="in memory",
            )
        finally:
            self.closed += 1

    def client(self, token: str | None = None, **options: Any) -> Client:
        """A client with that token; without one, the administrator's."""
        data = self.server.data_dir
        return Client.connect(
            str(self.server.management_address),
            token=token or data.admin_token.read_text().strip(),
            ca=data.ca_certificate,
            transport=self.network.transport(),
            **{"request_timeout_s": 5.0, "connections": 1} | options,
        )

    def run(self, process: MemoryProcess) -> Awaitable[int]:
        behaviour = self.behaviours.get(process.request.record.instance_id, never_ends)
        return behaviour(Program(process, self))

    async def instance(self, instance_id: str, tenant_id: str) -> Instance:
        found = await self.persistence.find_instance(TenantId(tenant_id), InstanceId(instance_id))
        assert found is not None
        return found


@asynccontextmanager
async def memory_world(data_dir: Path, *, network: Any = None, **settings: Any) -> AsyncIterator[World]:
    """A world whose server does not run yet."""
    config = ServerConfig(
        **{"data_dir": data_dir, "quic_port": 0, "env_quic_port": 0, "admin_port": 0, "drain_s": 0.1} | settings
    )
    async with background_group() as group:
        worlds: list[World] = []
        host = MemoryHost(group, lambda process: worlds[0].run(process))
        worlds.append(World(config, host, MemoryPersistence(clock=SystemClock()), network or MemoryNetwork()))
        yield worlds[0]


@asynccontextmanager
async def memory_server(data_dir: Path, *, network: Any = None, **settings: Any) -> AsyncIterator[World]:
    """A world whose server runs."""
    async with memory_world(data_dir, network=network, **settings) as world:
        await world.server.start()
        try:
            yield world
        finally:
            await world.server.stop()
