"""The only module that names concrete backends: what a server is made of when nobody says otherwise."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from typing import Final, Protocol, TypeVar

import anyio

import runtara.core.migrations
import runtara.environment.migrations
from runtara.config import ServerConfig, mask_url
from runtara.core.persistence.postgres import Pool, PostgresPersistence, make_pool
from runtara.core.persistence.postgres.errors import translated
from runtara.core.persistence.postgres.migrate import Migration, MigrationState
from runtara.datadir import DataDir
from runtara.environment.runner.process import ProcessRunner
from runtara.environment.store.postgres import PostgresStore
from runtara.errors import Unavailable, UnsupportedVersion
from runtara.server.embedded_database import EmbeddedDatabase
from runtara.server.parts import Database, Parts
from runtara.transport.quic import quic_transport

__all__ = ("Migrations", "compose", "migrations_of", "open_pool")

_log = logging.getLogger(__name__)

T = TypeVar("T")

_ASK_AGAIN_S: Final = 0.2
_VERSION_MIN: Final = 140_000


def compose(config: ServerConfig) -> Parts:
    """PostgreSQL, QUIC and processes. Raises ``InvalidRequest`` when the QUIC library is not installed."""
    return Parts(open_database=_open_database, transport=quic_transport(config.quic), runner=_make_runner)


def _make_runner(data: DataDir) -> ProcessRunner:
    return ProcessRunner(data.root / "processes")


@asynccontextmanager
async def _open_database(config: ServerConfig, data: DataDir) -> AsyncIterator[Database]:
    """See ``OpenDatabase``."""
    async with open_pool(config, data) as (pool, description):
        migrations = migrations_of(config)
        applied = await _patiently(partial(migrations.run, pool), config.db_connect_timeout_s)
        for migration in applied:
            _log.info("applied migration %s %d (%s)", migration.component, migration.version, migration.name)
        async with aclosing(PostgresPersistence(pool)) as persistence:
            yield Database(
                persistence=persistence,
                store=None if config.core_only else PostgresStore(pool),
                description=description,
            )


class Migrations(Protocol):
    """What the two modules of migrations have in common."""

    async def run(self, pool: Pool) -> Sequence[Migration]:
        """Apply what is missing; what was applied."""

    async def status(self, pool: Pool) -> Sequence[MigrationState]:
        """Every migration, applied or not."""


def migrations_of(config: ServerConfig) -> Migrations:
    """The migrations of what this server uses."""
    return runtara.core.migrations if config.core_only else runtara.environment.migrations


@asynccontextmanager
async def open_pool(config: ServerConfig, data: DataDir) -> AsyncIterator[tuple[Pool, str]]:
    """Connections to the given database, or to a private one that lives as long as the block; and what it is."""
    async with AsyncExitStack() as stack:
        url, description = config.postgres_url, "embedded"
        if url is None:
            url = await stack.enter_async_context(_embedded(data))
        else:
            description = mask_url(url)
        pool = make_pool(url, size_max=config.db_pool_size)
        await _reach(pool, description, config.db_connect_timeout_s)
        yield await stack.enter_async_context(pool), description


async def _reach(pool: Pool, description: str, seconds: float) -> None:
    """Returns when the database answers. A pool would only say that it has no connection; this says why."""

    async def ask_version() -> int:
        with translated():
            connection = await pool.connect_alone({})
        try:
            return connection.info.server_version
        finally:
            await connection.close()

    try:
        version = await _patiently(ask_version, seconds)
    except Unavailable as error:
        raise Unavailable(
            f"the database {description} cannot be used: {error.message}",
            hint="Check RUNTARA_DATABASE_URL, and whether PostgreSQL runs there.",
        ) from error
    if version < _VERSION_MIN:
        raise UnsupportedVersion(
            f"the database {description} is PostgreSQL {version // 10_000}",
            hint=f"Use PostgreSQL {_VERSION_MIN // 10_000} or newer.",
        )


@asynccontextmanager
async def _embedded(data: DataDir) -> AsyncIterator[str]:
    """The URL of a private database, which is kept running until the end of the block."""
    database = EmbeddedDatabase(data.postgres)
    _log.info("no RUNTARA_DATABASE_URL: starting a private PostgreSQL in %s", data.postgres)
    try:
        url = await database.start()
        async with anyio.create_task_group() as group:
            group.start_soon(database.run)
            yield url
            group.cancel_scope.cancel()
    finally:
        await database.stop()


async def _patiently(work: Callable[[], Awaitable[T]], seconds: float) -> T:
    """What ``work`` gives, asked for again as long as the database does not answer and ``seconds`` have not passed."""
    last = Unavailable(f"the database has not answered within {seconds:g} s")
    with anyio.move_on_after(seconds):
        while True:
            try:
                return await work()
            except Unavailable as error:
                last = error
            await anyio.sleep(_ASK_AGAIN_S)
    raise last
