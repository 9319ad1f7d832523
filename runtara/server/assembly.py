"""Putting a server together, in the order in which its parts need each other, and taking it apart in the reverse."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from runtara import __version__
from runtara.clock import Clock
from runtara.config import ServerConfig
from runtara.core.engine import Engine
from runtara.core.service import InstanceEndpoint
from runtara.datadir import DataDir
from runtara.environment.access import ADMINISTRATOR, Authenticate
from runtara.environment.launcher import LaunchSettings
from runtara.environment.lifecycle import Environment, EnvironmentSettings
from runtara.environment.runner.base import ResourceLimits
from runtara.environment.service import ManagementEndpoint
from runtara.environment.verbs.table import Verbs, all_verbs, core_verbs
from runtara.ids import TenantId
from runtara.server.certificates import ensure_certificates
from runtara.server.data_directory import server_name
from runtara.server.parts import Database, Parts
from runtara.server.tokens import authenticate_with
from runtara.transport.base import Address, Listener, ServerOptions
from runtara.transport.peer import listen_peers

__all__ = ("Assembly", "assemble")

_log = logging.getLogger(__name__)

_CREDENTIAL_KEY: Final = "instance-credentials"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """A server that serves."""

    instance_address: Address
    management_address: Address
    database: str
    transport: str
    engine: Engine
    management: ManagementEndpoint
    environment: Environment | None
    drain_s: float

    @property
    def endpoints(self) -> dict[str, Any]:
        """What clients on this host are told."""
        return {
            "instance": str(self.instance_address),
            "management": str(self.management_address),
            "database": self.database,
            "transport": self.transport,
            "version": __version__,
        }

    async def drain(self, *, hurry: anyio.Event) -> None:
        """Begin nothing new; programs suspend, or are ended after ``drain_s`` or when it has to hurry."""
        self.management.is_draining = True
        if self.environment is None:
            return
        _log.info("draining %d attempts", len(self.environment.attempts))
        if not await _finished_before(hurry, partial(self.environment.drain, timeout_s=self.drain_s)):
            await self.environment.drain(timeout_s=0)


async def _finished_before(event: anyio.Event, work: Callable[[], Awaitable[None]]) -> bool:
    """Run ``work``; False when the event came first, and then ``work`` was cancelled."""
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            await event.wait()
            group.cancel_scope.cancel()

        group.start_soon(watch)
        await work()
        group.cancel_scope.cancel()
        return True
    return False


@asynccontextmanager
async def assemble(config: ServerConfig, data: DataDir, *, parts: Parts, clock: Clock) -> AsyncIterator[Assembly]:
    """A serving server until the end of the block. Raises as ``RuntaraServer.start`` does, with nothing left behind."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(parts.open_database(config, data))
        _log.info("database: %s", database.description)
        engine = await _open_engine(stack, config, data, database, clock)
        authenticate = await authenticate_with(data, database.store)
        group = await stack.enter_async_context(anyio.create_task_group())
        # The first thing to happen at the end, after the listeners: without it the group would wait for ever.
        stack.callback(group.cancel_scope.cancel)
        builder = _Builder(config, data, parts, engine, group)
        instances = await builder.listen_for_instances(stack, authenticate)
        environment = None if database.store is None else builder.make_environment(database, instances)
        verbs = builder.make_verbs(database, environment)
        management = builder.make_management(verbs, authenticate)
        listener = await builder.listen(stack, builder.management_port, builder.server_options(), management.accept)
        builder.start_loops(environment, management)
        yield Assembly(
            instance_address=instances,
            management_address=_reachable(listener.address),
            database=database.description,
            transport=parts.transport.name,
            engine=engine,
            management=management,
            environment=environment,
            drain_s=config.drain_s,
        )


async def _open_engine(
    stack: AsyncExitStack, config: ServerConfig, data: DataDir, database: Database, clock: Clock
) -> Engine:
    engine = Engine(
        database.persistence,
        name=server_name(data),
        clock=clock,
        credential_key=await database.persistence.secret(_CREDENTIAL_KEY),
        lease_s=config.lease_s,
    )
    await engine.open()
    stack.push_async_callback(engine.aclose)
    return engine


@dataclass(frozen=True, slots=True)
class _Builder:
    """Makes the parts of one assembly from what they have in common."""

    config: ServerConfig
    data: DataDir
    parts: Parts
    engine: Engine
    group: TaskGroup

    @property
    def management_port(self) -> int:
        return self.config.admin_port if self.config.core_only else self.config.env_quic_port

    def server_options(self) -> ServerOptions:
        hosts = (self.config.bind_host, socket.gethostname())
        certificates = ensure_certificates(self.data, hosts=hosts, now=self.engine.clock.now())
        return ServerOptions(certificate_pem=certificates.certificate_pem, private_key_pem=certificates.private_key_pem)

    async def listen(
        self, stack: AsyncExitStack, port: int, options: ServerOptions, accept: Callable[[], Any]
    ) -> Listener:
        address = Address(self.config.bind_host, port)
        listener = await listen_peers(self.parts.transport, address, options, accept)
        stack.push_async_callback(listener.aclose)
        return listener

    async def listen_for_instances(self, stack: AsyncExitStack, authenticate: Authenticate) -> Address:
        async def tenant_of(token: str) -> TenantId | None:
            return (await authenticate(token)).tenant_id

        endpoint = InstanceEndpoint(self.engine, group=self.group, authenticate=tenant_of)
        options = self.server_options()
        options = ServerOptions(
            certificate_pem=options.certificate_pem,
            private_key_pem=options.private_key_pem,
            credentials=self.engine.credentials,
        )
        listener = await self.listen(stack, self.config.quic_port, options, endpoint.accept)
        return _reachable(listener.address)

    def make_environment(self, database: Database, instances: Address) -> Environment:
        assert database.store is not None, "only a full server has an environment"
        library = self.parts.transport.name.partition("/")[2]
        launch = LaunchSettings(
            server_address=self.config.core_addr or str(instances),
            quic=library,
            sleep_threshold_s=self.config.sleep_threshold_s,
            limits=ResourceLimits(memory_bytes_max=self.config.instance_memory_bytes_max),
        )
        settings = EnvironmentSettings(
            data_dir=self.data.root,
            launch=launch,
            max_concurrent_instances=self.config.max_concurrent_instances,
            execution_timeout_s=self.config.execution_timeout_s,
            attempts_without_progress_max=self.config.max_attempts_without_progress,
        )
        return Environment(
            engine=self.engine, store=database.store, runner=self.parts.runner(self.data), settings=settings
        )

    def make_verbs(self, database: Database, environment: Environment | None) -> Verbs:
        def facts() -> dict[str, Any]:
            return {
                "database": database.description,
                "transport": self.parts.transport.name,
                "server_no": self.engine.server_no,
                "connected_instances": len(self.engine.sessions),
                "running_here": 0 if environment is None else len(environment.attempts),
                "places": 0 if environment is None else environment.attempts.places,
            }

        if environment is None or database.store is None:
            return core_verbs(self.engine, facts=facts)
        return all_verbs(self.engine, environment, database.store, facts=facts)

    def make_management(self, verbs: Verbs, authenticate: Authenticate) -> ManagementEndpoint:
        return ManagementEndpoint(
            verbs,
            authenticate=authenticate,
            group=self.group,
            clock=self.engine.clock,
            server_no=self.engine.server_no,
            strangers=ADMINISTRATOR if self.config.insecure_dev else None,
        )

    def start_loops(self, environment: Environment | None, management: ManagementEndpoint) -> None:
        if self.config.insecure_dev:
            _log.warning("--insecure-dev: everybody on this host is an administrator")
        if self.config.skip_cert_verification:
            _log.warning("RUNTARA_SKIP_CERT_VERIFICATION is set; launched instances do not need it: their key names us")
        on_lost = _nothing if environment is None else environment.resync
        self.group.start_soon(partial(self.engine.run, on_lost=on_lost))
        self.group.start_soon(management.run)
        if environment is not None:
            self.group.start_soon(environment.run)


async def _nothing() -> None:
    """Nothing runs here that could be taken away."""


_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def _reachable(address: Address) -> Address:
    """Where somebody on this host connects: a socket on all interfaces is reached by loopback."""
    return Address(_EVERYWHERE.get(address.host, address.host), address.port)
