"""Both stores of the environment pass the same contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from runtara.core.persistence.memory import MemoryPersistence
from runtara.core.persistence.postgres import PostgresPersistence
from runtara.core.persistence.postgres.pool import Pool
from runtara.environment.store.memory import MemoryStore
from runtara.environment.store.postgres import PostgresStore
from runtara.testing.clock import ManualClock
from runtara.testing.contracts.store import StoreContract, StoreHost
from tests.support.postgres import DatabaseClock


class TestMemory(StoreContract):
    @pytest.fixture
    async def host(self) -> StoreHost:
        clock = ManualClock()
        persistence = MemoryPersistence(clock=clock)
        return StoreHost(MemoryStore(persistence, clock=clock), persistence, clock.advance)


class TestPostgres(StoreContract):
    @pytest.fixture
    async def host(self, database_url: str, database_clock: DatabaseClock) -> AsyncIterator[StoreHost]:
        async with Pool(database_url, settings=DatabaseClock.SETTINGS) as pool:
            yield StoreHost(PostgresStore(pool), PostgresPersistence(pool), database_clock.advance)
