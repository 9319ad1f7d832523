"""The migrations of the core alone: durability without managed processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runtara.core.persistence.postgres.migrate import (
    Migration,
    MigrationState,
    check_migrated,
    migrate,
    migration_states,
)
from runtara.core.persistence.postgres.pool import AnyPool

__all__ = ("COMPONENTS", "check", "run", "status")

COMPONENTS: Final = ("core",)


async def run(pool: AnyPool) -> Sequence[Migration]:
    """Bring the database to the core's schema of this release; what was applied. Idempotent; concurrent callers wait.

    Any psycopg pool of a role that may create tables will do; everything goes into the schema ``runtara_store``.

    Raises:
        SchemaTooNew: a newer release was here; nothing was changed.
        Conflict: a migration file was changed after it had been applied; nothing was changed.
    """
    return await migrate(pool, COMPONENTS)


async def status(pool: AnyPool) -> Sequence[MigrationState]:
    """Every migration, applied or not, first to last."""
    return await migration_states(pool, COMPONENTS)


async def check(pool: AnyPool) -> None:
    """Return if the database has the schema of this release. Changes nothing.

    Raises:
        SchemaTooNew: it has a newer one.
        Unavailable: it must be migrated first, or does not answer.
    """
    await check_migrated(pool, COMPONENTS)
