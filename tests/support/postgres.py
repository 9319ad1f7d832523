"""PostgreSQL for tests: a throw-away cluster per worker, with a database migrated once and wiped for every test.

A clone of a template per test was the alternative; it takes 100 to 200 ms, wiping 20.

``TEST_RUNTARA_DATABASE_URL`` names a server to use instead; its role must be allowed to create databases. Without any
PostgreSQL these tests are skipped on a laptop and fail in CI.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar, Self

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from runtara.core.persistence.postgres import Pool, PostgresPersistence, make_pool
from runtara.environment import migrations
from runtara.environment.store.postgres import PostgresStore
from runtara.errors import Unavailable
from runtara.server.embedded_database import EmbeddedDatabase

_URL = os.environ.get("TEST_RUNTARA_DATABASE_URL")  # noqa: TID251 (tests have no configuration of their own)
_IN_CI = os.environ.get("CI", "").lower() == "true"  # noqa: TID251

WIPE = b"""
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid();
drop schema if exists test_clock cascade;
do $$ begin
    execute (
        select 'truncate ' || string_agg(format('runtara_store.%I', tablename), ', ') || ' restart identity'
        from pg_tables where schemaname = 'runtara_store' and tablename <> 'migration'
    );
end $$
"""
"""Leaves the schema, and nothing in it; ends all other connections to the database."""


@dataclass
class PostgresServer:
    """A server on which every test may make databases of its own."""

    url: str
    prefix: str = field(default_factory=lambda: f"runtara_test_{os.getpid()}")
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def create_database(self) -> str:
        """The URL of a new database."""
        name = f"{self.prefix}_{next(self._numbers)}"
        self.execute(f'create database "{name}"')
        return make_conninfo(self.url, dbname=name)

    def drop_database(self, url: str) -> None:
        """It is gone, whoever is still connected."""
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        self.execute(f'drop database if exists "{name}" with (force)')

    def execute(self, statement: str) -> None:
        """Run a statement of administration."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """See the module."""
    if _URL is not None:
        yield PostgresServer(_URL)
        return
    # Not below pytest's own directory: the path of a socket is short.
    directory = Path(tempfile.mkdtemp(prefix="runtara-test-"))
    database = EmbeddedDatabase(directory / "postgres", durable=False)
    try:
        try:
            url = asyncio.run(database.start())
        except Unavailable as error:
            if _IN_CI:
                raise
            pytest.skip(f"no PostgreSQL: {error.message} ({error.hint})")
        yield PostgresServer(url)
    finally:
        asyncio.run(database.stop())
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a database with the schema of core and environment."""
    url = postgres_server.create_database()
    asyncio.run(_migrate(url))
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def database_url(migrated_database: str) -> str:
    """A migrated database with nothing in it, and nobody else connected."""
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute(WIPE)
    return migrated_database


@pytest.fixture
def empty_database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A new database without any schema."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Connections to ``database_url``."""
    async with make_pool(database_url) as pool:
        yield pool


@pytest.fixture
async def postgres_persistence(pool: Pool) -> AsyncIterator[PostgresPersistence]:
    """The core's persistence on ``database_url``."""
    persistence = PostgresPersistence(pool)
    yield persistence
    await persistence.aclose()


@dataclass
class DatabaseClock:
    """The time of a database, in a test's hands. Statements say ``now()``; this one is found before PostgreSQL's."""

    connection: psycopg.AsyncConnection

    SETTINGS: ClassVar = {"search_path": "test_clock, pg_catalog, runtara_store"}

    @classmethod
    async def install(cls, url: str, *, at: datetime | None = None) -> Self:
        """Stop the time of a database, for sessions with ``SETTINGS``: now, or at the time given."""
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
        await connection.execute(
            """
            create schema test_clock;
            create table test_clock.time as select pg_catalog.now() as at;
            create function test_clock.now() returns timestamptz language sql stable
            as 'select at from test_clock.time';
            """
        )
        if at is not None:
            await connection.execute("update test_clock.time set at = %s", (at,))
        return cls(connection)

    async def advance(self, by: timedelta) -> None:
        """Set it forward."""
        await self.connection.execute("update test_clock.time set at = at + %s", (by,))


@pytest.fixture
async def database_clock(database_url: str) -> AsyncIterator[DatabaseClock]:
    """See ``DatabaseClock``. To be had before any other connection is made."""
    clock = await DatabaseClock.install(database_url)
    yield clock
    await clock.connection.close()


@pytest.fixture
def postgres_store(pool: Pool) -> PostgresStore:
    """The environment's store on ``database_url``."""
    return PostgresStore(pool)


async def _migrate(url: str) -> None:
    async with make_pool(url, size_max=1) as pool:
        await migrations.run(pool)
