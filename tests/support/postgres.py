"""PostgreSQL for tests: a throw-away cluster per worker, a template migrated once, and a clone of it per test.

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
from pathlib import Path

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


@dataclass
class PostgresServer:
    """A server on which every test may make databases of its own."""

    url: str
    prefix: str = field(default_factory=lambda: f"runtara_test_{os.getpid()}")
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def create_database(self, *, template: str | None = None) -> str:
        """The URL of a new database: empty, or a copy of the template."""
        name = f"{self.prefix}_{next(self._numbers)}"
        self.execute(f'create database "{name}"' + (f' template "{template}"' if template else ""))
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
def migrated_template(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a database with the whole schema and nothing in it."""
    url = postgres_server.create_database()
    asyncio.run(_migrate(url))
    yield str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
    postgres_server.drop_database(url)


@pytest.fixture
def empty_database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database without any schema."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def database_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """A database of the test's own, with core and environment migrated."""
    url = postgres_server.create_database(template=migrated_template)
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


@pytest.fixture
def postgres_store(pool: Pool) -> PostgresStore:
    """The environment's store on ``database_url``."""
    return PostgresStore(pool)


async def _migrate(url: str) -> None:
    async with make_pool(url, size_max=1) as pool:
        await migrations.run(pool)
