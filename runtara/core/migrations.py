"""The migrations of the core alone: durability without managed processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runtara.core.persistence.postgres.database import Database
from runtara.core.persistence.postgres.migrate import (
    Migration,
    MigrationState,
    check_versions,
    migrate,
    migration_states,
)
from runtara.core.persistence.postgres.pool import Pool

__all__ = ("COMPONENTS", "check", "run", "status")

COMPONENTS: Final = ("core",)


async def run(pool: Pool) -> Sequence[Migration]:
    """Bring the database to the core's schema of this release; what was applied. Idempotent; concurrent callers wait.

    Any psycopg pool of a role that may create tables will do; everything goes into the schema ``runtara``.

    Raises:
        SchemaTooNew: a newer release was here; nothing was changed.
        Conflict: a migration file was changed after it had been applied; nothing was changed.
    """
    return await migrate(pool, COMPONENTS)


async def status(pool: Pool) -> Sequence[MigrationState]:
    """Every migration, applied or not, first to last."""
    return await migration_states(pool, COMPONENTS)


async def check(pool: Pool) -> None:
    """Return if the database has the schema of this release. Changes nothing.

    Raises:
        SchemaTooNew: it has a newer one.
        Unavailable: it must be migrated first, or does not answer.
    """
    async with Database(pool).connection() as connection:
        await check_versions(connection, COMPONENTS)
