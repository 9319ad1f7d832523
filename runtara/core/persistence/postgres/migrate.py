"""Bringing a database to the schema of this release: numbered files, each applied once, all in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Final

from psycopg.rows import class_row

from runtara.core.persistence.postgres.errors import translated
from runtara.core.persistence.postgres.pool import SCHEMA, AnyPool, Connection
from runtara.errors import Conflict, OutcomeUnknown, SchemaTooNew, Unavailable

__all__ = (
    "Migration",
    "MigrationState",
    "check_migrated",
    "check_versions",
    "load_migrations",
    "migrate",
    "migration_states",
)

# Any number, as long as nobody else takes it: "runtara" in ASCII.
_LOCK: Final = int.from_bytes(b"runtara", "big")

_BOOKS: Final = b"""
create table if not exists migration (
    component   text not null,
    version     int not null,
    name        text not null,
    checksum    text not null,
    applied_at  timestamptz not null default now(),
    primary key (component, version)
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file under ``schema/``: ``<component>/<version>_<name>.sql``."""

    component: str
    version: int
    name: str
    sql: bytes

    @property
    def checksum(self) -> str:
        """Of what was, or will be, applied."""
        return hashlib.sha256(self.sql).hexdigest()


@dataclass(frozen=True, slots=True)
class _Applied:
    component: str
    version: int
    name: str
    checksum: str
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class MigrationState:
    """A migration, and when it was applied to a database: None when it was not."""

    component: str
    version: int
    name: str
    applied_at: datetime | None


def load_migrations(component: str) -> Sequence[Migration]:
    """All migrations of a component, first to last."""
    folder = files("runtara") / "_schema" / component
    named = sorted((file.name, file.read_bytes()) for file in folder.iterdir() if file.name.endswith(".sql"))
    return [_migration(component, file_name, sql) for file_name, sql in named]


def _migration(component: str, file_name: str, sql: bytes) -> Migration:
    version, name = file_name.removesuffix(".sql").split("_", 1)
    return Migration(component, int(version), name, sql)


async def migrate(pool: AnyPool, components: Sequence[str]) -> Sequence[Migration]:
    """Apply what is missing, component by component; what was applied. Concurrent callers wait for each other.

    Raises:
        SchemaTooNew: a newer release was here. Nothing was changed.
        Conflict: a migration was changed after it had been applied. Nothing was changed.
    """
    with translated(lost=OutcomeUnknown):
        async with pool.connection() as connection, connection.transaction():
            await _prepare(connection)
            applied = await _applied(connection)
            missing = [m for m in _known(components) if (m.component, m.version) not in applied]
            _check(applied, components)
            for migration in missing:
                await _apply(connection, migration)
            return missing


async def migration_states(pool: AnyPool, components: Sequence[str]) -> Sequence[MigrationState]:
    """Every migration that this release knows, and every one that the database has had."""
    with translated():
        async with pool.connection() as connection:
            applied = await _applied(connection)
    known = {(m.component, m.version): MigrationState(m.component, m.version, m.name, None) for m in _known(components)}
    had = {
        key: MigrationState(a.component, a.version, a.name, a.applied_at)
        for key, a in applied.items()
        if a.component in components
    }
    order = {component: place for place, component in enumerate(components)}
    return sorted((known | had).values(), key=lambda state: (order[state.component], state.version))


async def check_migrated(pool: AnyPool, components: Sequence[str]) -> None:
    """See ``check_versions``."""
    with translated():
        async with pool.connection() as connection:
            await check_versions(connection, components)


async def check_versions(connection: Connection, components: Sequence[str]) -> None:
    """Return if the database has exactly the migrations of this release.

    Raises:
        SchemaTooNew: it has more.
        Unavailable: it has fewer; somebody must migrate it first.
    """
    with translated():
        applied = await _applied(connection)
    _check(applied, components)
    missing = [m for m in _known(components) if (m.component, m.version) not in applied]
    if missing:
        raise Unavailable(
            f"the database lacks migration {missing[0].component} {missing[0].version}",
            hint="Run `runtara migrate`.",
        )


def _known(components: Sequence[str]) -> list[Migration]:
    return [migration for component in components for migration in load_migrations(component)]


def _check(applied: dict[tuple[str, int], _Applied], components: Sequence[str]) -> None:
    known = {(m.component, m.version): m for m in _known(components)}
    for key, one in applied.items():
        if one.component not in components:
            continue
        if key not in known:
            raise SchemaTooNew(
                f"the database has migration {one.component} {one.version} ({one.name}) of a newer release",
                hint="Upgrade this server.",
            )
        if known[key].checksum != one.checksum:
            raise Conflict(
                f"migration {one.component} {one.version} ({one.name}) was changed after it had been applied",
                hint="Restore the file of the release; changes go into a new migration.",
            )


async def _prepare(connection: Connection) -> None:
    """Wait for our turn, and make the place for the books."""
    await connection.execute("set local statement_timeout = 0")
    await connection.execute("set local lock_timeout = 0")
    await connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
    cursor = await connection.execute("select to_regnamespace(%s) is null", (SCHEMA,))
    if await cursor.fetchone() == (True,):
        await connection.execute(f"create schema {SCHEMA}")
    await connection.execute(f"set local search_path = {SCHEMA}")
    await connection.execute(_BOOKS)


async def _apply(connection: Connection, migration: Migration) -> None:
    await connection.execute(migration.sql)
    await connection.execute(
        "insert into migration (component, version, name, checksum) values (%s, %s, %s, %s)",
        (migration.component, migration.version, migration.name, migration.checksum),
    )


async def _applied(connection: Connection) -> dict[tuple[str, int], _Applied]:
    cursor = await connection.execute("select to_regclass(%s) is null", (f"{SCHEMA}.migration",))
    if await cursor.fetchone() == (True,):
        return {}
    async with connection.cursor(row_factory=class_row(_Applied)) as books:
        await books.execute(
            f"select component, version, name, checksum, applied_at from {SCHEMA}.migration order by component, version"
        )
        return {(one.component, one.version): one for one in await books.fetchall()}
