"""Both persistences pass the same contract."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from runtara.core.persistence.base import Persistence
from runtara.core.persistence.memory import MemoryPersistence
from runtara.core.persistence.postgres import PostgresPersistence
from runtara.core.persistence.postgres.pool import Pool
from runtara.environment.store.base import EnvironmentStore, NewImage
from runtara.environment.store.memory import MemoryStore
from runtara.environment.store.postgres import PostgresStore
from runtara.ids import TenantId
from runtara.testing.clock import ManualClock
from runtara.testing.contracts.persistence import PENDING_MAX, Advance, Host, PersistenceContract
from tests.support.postgres import DatabaseClock


class Images:
    """Images for instances, in a store beside the persistence."""

    def __init__(self, store: EnvironmentStore) -> None:
        self._store = store
        self._made = 0

    async def make(self) -> int:
        self._made += 1
        content = str(self._made).encode()
        digest = hashlib.sha256(content).digest()
        await self._store.put_blob(digest, _once(content))
        image, _ = await self._store.register_image(
            NewImage(tenant_id=TenantId("acme"), name=f"image-{self._made}"), digest=digest, size_bytes=len(content)
        )
        return image.image_no

    async def delete(self, image_no: int) -> None:
        await self._store.delete_image(await self._store.get_image(image_no))


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _host(persistence: Persistence, store: EnvironmentStore, advance: Advance) -> Host:
    images = Images(store)
    return Host(persistence, advance=advance, make_image=images.make, delete_image=images.delete)


class TestMemory(PersistenceContract):
    @pytest.fixture
    async def host(self) -> Host:
        clock = ManualClock()
        persistence = MemoryPersistence(clock=clock, pending_max=PENDING_MAX)
        return _host(persistence, MemoryStore(persistence, clock=clock), clock.advance)


class TestPostgres(PersistenceContract):
    @pytest.fixture
    async def host(self, database_url: str, database_clock: DatabaseClock) -> AsyncIterator[Host]:
        async with Pool(database_url, settings=DatabaseClock.SETTINGS) as pool:
            persistence = PostgresPersistence(pool, pending_max=PENDING_MAX)
            yield _host(persistence, PostgresStore(pool), database_clock.advance)
            await persistence.aclose()
