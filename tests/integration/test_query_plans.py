"""What servers ask the database again and again costs no more when many instances are parked, or have ended.

The statements are those that the persistence really sends: recorded, and explained with the same parameters.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, LiteralString

import pytest
from psycopg import AsyncCursor, sql
from psycopg.rows import TupleRow

from runtara.core.model import InstanceFilter, Status
from runtara.core.persistence.postgres import Pool, PostgresPersistence, make_pool
from runtara.ids import InstanceId, InstanceNo, TenantId
from tests.support.plans import nodes_of

pytestmark = pytest.mark.slow

PARKED = 40_000
TENANT = TenantId("acme")

# A look-up reads a handful of blocks, a page of rows a hundred; the smallest of the indexes has more than this.
BLOCKS_MAX = 200

IMAGE = b"""
with stored as (
    insert into blob (digest, created_at) values (sha256('image'), now()) returning digest
)
insert into image (image_id, tenant_id, name, digest, size_bytes, metadata, created_at)
select 'image', 'acme', 'image', digest, 1, '{}', now() from stored
"""
POPULATION = b"""
insert into instance (
    tenant_id, instance_id, image_id, image_no, image_no_last, status, epoch, termination_reason, created_at,
    started_at, wake_at, sleep_until, finished_at, input, output
)
select
    case when mod(n, 10) = 0 then 'globex' else 'acme' end,
    case when ended then 'ended-' else 'parked-' end || n,
    'image', case when not ended then image_no end, image_no,
    case when ended then 'completed' else 'suspended' end, 1,
    case when ended then 'completed' else 'sleeping' end, now(), now(),
    case when not ended then now() + interval '1 day' + n * interval '1 second' end,
    case when not ended then now() + interval '1 day' + n * interval '1 second' end,
    case when ended then now() end, repeat('i', 100)::bytea, case when ended then repeat('o', 100)::bytea end
from image, generate_series(1, %(parked)s) n, unnest(array[true, false]) ended
"""


@dataclass
class Recorder:
    """The statements of a pool, in the order in which they were sent."""

    statements: list[tuple[Any, Any]] = field(default_factory=list)

    def cursor_factory(self) -> type[AsyncCursor[TupleRow]]:
        statements = self.statements

        class RecordingCursor(AsyncCursor[Any]):
            async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
                statements.append((query, params))
                return await super().execute(query, params, **options)

        return RecordingCursor


@dataclass
class Asked:
    """A database with many instances that want nothing, and a persistence whose statements are known."""

    pool: Pool
    persistence: PostgresPersistence
    recorder: Recorder

    async def plans(self, ask: Callable[[PostgresPersistence], Awaitable[object]]) -> list[dict[str, Any]]:
        """How each of its statements was done, when it was done once more and rolled back."""
        self.recorder.statements.clear()
        await ask(self.persistence)
        statements = [(_composed(query), params) for query, params in self.recorder.statements]
        return [await self._explain(query, params) for query, params in statements]

    async def _explain(self, query: sql.Composable, params: Any) -> dict[str, Any]:
        async with self.pool.connection() as connection:
            await connection.execute("begin")
            cursor = await connection.execute(sql.SQL("explain (analyze, buffers, format json) ") + query, params)
            (row,) = await cursor.fetchall()
            await connection.execute("rollback")
        plan: dict[str, Any] = row[0][0]["Plan"]
        return plan


def _composed(query: Any) -> sql.Composable:
    return query if isinstance(query, sql.Composable) else sql.SQL(query)


@pytest.fixture
async def asked(database_url: str) -> AsyncIterator[Asked]:
    recorder = Recorder()
    pool = make_pool(database_url, size_max=1)
    pool.kwargs["cursor_factory"] = recorder.cursor_factory()
    async with pool:
        persistence = PostgresPersistence(pool)
        async with pool.connection() as connection:
            await connection.execute(IMAGE)
            await connection.execute(POPULATION, {"parked": PARKED})
            await connection.execute("vacuum (analyze) instance")
        yield Asked(pool, persistence, recorder)
        await persistence.aclose()


ASK: dict[str, Callable[[PostgresPersistence], Awaitable[object]]] = {
    "claim": lambda persistence: persistence.claim_due(1, slots=32),
    "next due": lambda persistence: persistence.next_due(limit=64),
    "owned": lambda persistence: persistence.list_owned(1),
    "health": lambda persistence: persistence.count_instances(limit=100),
    "find": lambda persistence: persistence.find_instance(TENANT, InstanceId("parked-77")),
    "find in all tenants": lambda persistence: persistence.find_instance(None, InstanceId("ended-77")),
    "get": lambda persistence: persistence.get_instance(InstanceNo(77)),
    "list": lambda persistence: persistence.list_instances(InstanceFilter(tenant_id=TENANT), limit=50, cursor=None),
    "list what runs": lambda persistence: persistence.list_instances(
        InstanceFilter(tenant_id=TENANT, statuses=(Status.RUNNING,)), limit=50, cursor=None
    ),
}


async def test_no_repeated_query_reads_more_because_many_are_parked_or_have_ended(asked: Asked) -> None:
    for name, ask in ASK.items():
        plans = await asked.plans(ask)
        assert plans, f"{name}: nothing was asked"
        for plan in plans:
            assert blocks_of(plan) <= BLOCKS_MAX, f"{name}: {blocks_of(plan)} blocks\n{json.dumps(plan, indent=1)}"
            assert "instance" not in scanned(plan), f"{name}: reads the whole table\n{json.dumps(plan, indent=1)}"


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("select count(input) from instance", ["instance"]),
        ("select status, count(*) from instance where status in ('pending', 'running', 'suspended') group by 1", []),
    ],
)
async def test_a_query_that_reads_all_of_them_would_be_noticed(
    asked: Asked, statement: LiteralString, tables: list[str]
) -> None:
    async def count(persistence: PostgresPersistence) -> None:
        async with asked.pool.connection() as connection:
            await connection.execute(statement)

    (plan,) = await asked.plans(count)
    assert blocks_of(plan) > BLOCKS_MAX
    assert scanned(plan) == tables


def blocks_of(plan: dict[str, Any]) -> int:
    """How many blocks were looked at."""
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def scanned(plan: dict[str, Any]) -> list[str]:
    """The tables that are read from end to end."""
    return [node["Relation Name"] for node in nodes_of(plan) if node["Node Type"] == "Seq Scan"]
