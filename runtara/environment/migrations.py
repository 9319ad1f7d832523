"""The migrations of core and environment together, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runtara.core import migrations as core
from runtara.core.persistence.postgres.migrate import (
    Migration,
    MigrationState,
    check_migrated,
    migrate,
    migration_states,
)
from runtara.core.persistence.postgres.pool import AnyPool

__all__ = ("COMPONENTS", "check", "run", "status")

COMPONENTS: Final = (*core.COMPONENTS, "environment")


async def run(pool: AnyPool) -> Sequence[Migration]:
    """Bring the database to the schema of core and environment; otherwise as ``runtara.core.migrations.run``."""
    return await migrate(pool, COMPONENTS)


async def status(pool: AnyPool) -> Sequence[MigrationState]:
    """Every migration, applied or not, the core's first."""
    return await migration_states(pool, COMPONENTS)


async def check(pool: AnyPool) -> None:
    """See ``runtara.core.migrations.check``."""
    await check_migrated(pool, COMPONENTS)
