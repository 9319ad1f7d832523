"""Migrations on a real database: once each, all or none, by one at a time, and never backwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import psycopg
import pytest

from runtara.core import migrations as core
from runtara.core.persistence.postgres import Pool, PostgresPersistence, make_pool
from runtara.core.persistence.postgres.migrate import Migration, load_migrations
from runtara.environment import migrations as environment
from runtara.errors import Conflict, InternalError, SchemaTooNew, Unavailable


@pytest.fixture
async def pool(empty_database_url: str) -> AsyncIterator[Pool]:
    async with make_pool(empty_database_url) as pool:
        yield pool


async def tables(pool: Pool) -> set[str]:
    async with pool.connection() as connection:
        cursor = await connection.execute("select tablename from pg_tables where schemaname = 'runtara_store'")
        return {name for (name,) in await cursor.fetchall()}


async def execute(pool: Pool, statement: str) -> None:
    async with pool.connection() as connection:
        await connection.execute(statement.encode())


async def test_the_core_stands_alone(pool: Pool) -> None:
    applied = await core.run(pool)
    assert {migration.component for migration in applied} == {"core"}
    assert "instance" in await tables(pool)
    assert "image" not in await tables(pool)
    assert await PostgresPersistence(pool).check()


async def test_the_environment_is_core_and_environment_in_one_call(pool: Pool) -> None:
    applied = await environment.run(pool)
    assert [migration.component for migration in applied] == sorted(m.component for m in applied)
    assert {"instance", "image"} <= await tables(pool)


async def test_an_environment_can_be_added_to_a_core(pool: Pool) -> None:
    await core.run(pool)
    assert {migration.component for migration in await environment.run(pool)} == {"environment"}


async def test_migrating_again_does_nothing(pool: Pool) -> None:
    await environment.run(pool)
    before = await environment.status(pool)
    assert await environment.run(pool) == []
    assert await environment.status(pool) == before


async def test_concurrent_servers_migrate_once(pool: Pool) -> None:
    applied: list[int] = []

    async def run() -> None:
        applied.append(len(await environment.run(pool)))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(run)
    assert sorted(applied) == [0, 0, 0, len(await environment.status(pool))]


async def test_status_tells_what_is_missing(pool: Pool) -> None:
    assert all(state.applied_at is None for state in await environment.status(pool))
    await core.run(pool)
    missing = {state.component for state in await environment.status(pool) if state.applied_at is None}
    assert missing == {"environment"}


async def test_a_check_changes_nothing(pool: Pool) -> None:
    with pytest.raises(Unavailable, match="lacks migration core 1"):
        await core.check(pool)
    with pytest.raises(Unavailable):
        await PostgresPersistence(pool).check()
    assert await tables(pool) == set()
    await environment.run(pool)
    await environment.check(pool)
    await core.check(pool)


async def test_a_newer_schema_is_left_alone(pool: Pool) -> None:
    await environment.run(pool)
    await execute(pool, "insert into runtara_store.migration values ('core', 999, 'later', '', now())")
    for refused in (core.run(pool), core.check(pool), environment.run(pool), PostgresPersistence(pool).check()):
        with pytest.raises(SchemaTooNew, match="999"):
            await refused
    assert core.COMPONENTS[0] in {state.component for state in await core.status(pool) if state.version == 999}


async def test_the_core_does_not_mind_what_others_have_added(pool: Pool) -> None:
    await environment.run(pool)
    await execute(pool, "insert into runtara_store.migration values ('product', 1, 'theirs', '', now())")
    await core.run(pool)
    await environment.check(pool)


async def test_a_changed_migration_is_refused(pool: Pool) -> None:
    await core.run(pool)
    await execute(pool, "update runtara_store.migration set checksum = 'other' where version = 1")
    with pytest.raises(Conflict, match="was changed after"):
        await core.run(pool)


async def test_a_migration_that_fails_leaves_nothing(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Migration("core", 2, "broken", b"create table half (); select 1 / 0")
    known = load_migrations("core")
    monkeypatch.setattr("runtara.core.persistence.postgres.migrate.load_migrations", lambda component: [*known, broken])
    with pytest.raises(InternalError):
        await core.run(pool)
    assert await tables(pool) == set()


async def test_a_products_own_pool_will_do(empty_database_url: str) -> None:
    # No autocommit, another search path, tables of its own with the names of ours.
    from psycopg_pool import AsyncConnectionPool

    async with AsyncConnectionPool(empty_database_url, min_size=1, open=False) as pool:
        async with pool.connection() as connection:
            await connection.execute("create table instance (theirs int); create table event (theirs int)")
        await environment.run(pool)
        await environment.check(pool)
        async with pool.connection() as connection:
            cursor = await connection.execute("select * from instance")
            assert cursor.description is not None
            assert [column.name for column in cursor.description] == ["theirs"]


async def test_a_database_that_does_not_answer_is_unavailable(empty_database_url: str) -> None:
    nowhere = psycopg.conninfo.make_conninfo(empty_database_url, dbname="nobody")
    async with make_pool(nowhere) as pool:
        pool.timeout = 0.2
        for refused in (core.run(pool), core.check(pool), core.status(pool)):
            with pytest.raises(Unavailable):
                await refused
