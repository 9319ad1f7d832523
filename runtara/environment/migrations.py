"""The migrations of core and environment together, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runtara.core import migrations as core
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

COMPONENTS: Final = (*core.COMPONENTS, "environment")


async def run(pool: Pool) -> Sequence[Migration]:
    """Bring the database to the schema of core and environment; otherwise as ``runtara.core.migrations.run``."""
    return await migrate(pool, COMPONENTS)


async def status(pool: Pool) -> Sequence[MigrationState]:
    """Every migration, applied or not, the core's first."""
    return await migration_states(pool, COMPONENTS)


async def check(pool: Pool) -> None:
    """See ``runtara.core.migrations.check``."""
    async with Database(pool).connection() as connection:
        await check_versions(connection, COMPONENTS)
