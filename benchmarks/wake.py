"""How late sleepers wake, and what the parked cost: the same with few and with many parked and finished instances.

    python -m benchmarks.wake [--parked N ...] [--sleepers N] [--idle S]

Each population gets a PostgreSQL (with fsync) and a ``runtara serve`` of its own. One real instance goes to sleep for
a month and one ends; the population is copied from their rows, events and checkpoints. Then are measured: a start of
the server, what it and the database use while nothing happens, the queries that servers repeat, and the sleepers:
copies whose time comes one by one while we watch. Late is the claim (by the database's clock), and the first line of
the program, which is the start of an interpreter later.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, LiteralString

import msgspec
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from benchmarks.figures import expect_at_most, percentile, spread
from benchmarks.loops import run
from benchmarks.machine import family_cpu_s, load
from benchmarks.serving import PrivateDatabase, database, serving
from runtara.client import Client
from runtara.client.handle import InstanceHandle
from runtara.core.model import InstanceFilter, Status
from runtara.core.persistence.base import Notification, NotificationKind
from runtara.core.persistence.postgres import PostgresPersistence, make_pool
from runtara.core.persistence.postgres.pool import SCHEMA
from runtara.ids import InstanceId, TenantId

PROMISED_LATE_MS: Final = 100.0
PROMISED_IDLE_CORES: Final = 0.05
_PATIENCE_S: Final = 60.0
# A launch takes 0.2 s of a core: sleepers that come faster would wait for each other.
_SPACING_S: Final = 0.25
_LEAD_S: Final = 1.0

PROGRAM: Final = """
import time
first_line = time.time()
from runtara import sdk

async def main(data: dict) -> float:
    if data.get("sleeps"):
        await sdk.sleep(30 * 86_400)
    return first_line

sdk.run(main)
"""


@dataclass(frozen=True)
class Seen:
    """What one population showed."""

    bytes_each: float
    started_in_s: float
    server_idle_cores: float
    database_idle_cores: float
    queries_s: dict[str, float]
    claimed_late_s: Sequence[float]
    first_line_late_s: Sequence[float]


class Population:
    """Rows that are copies of real ones."""

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self._connection = connection

    async def copy(self, template: str, count: int, name: str, **changed: sql.Composable) -> None:
        """``count`` copies of an instance and of all that it left behind; ``changed`` columns are SQL over ``n``."""
        (base,) = await self._row("select max(instance_no) from instance")
        (number,) = await self._row("select instance_no from instance where instance_id = %s", template)
        fresh = {"instance_no": sql.SQL("{} + n").format(base)}
        await self._copy_rows("instance", number, count, fresh | {"instance_id": _named(name)} | changed)
        for table in ("checkpoint", "event", "signal", "retry"):
            await self._copy_rows(table, number, count, fresh)
        await self._row("select setval(pg_get_serial_sequence('instance', 'instance_no'), %s)", base + count)

    async def size_bytes(self) -> int:
        """Of all tables, with their indexes."""
        (size,) = await self._row(
            "select sum(pg_total_relation_size(format('%%I.%%I', schemaname, tablename)::regclass))::int8 "
            "from pg_tables where schemaname = %s",
            SCHEMA,
        )
        return int(size)

    async def settle(self) -> None:
        """What autovacuum would do some time later."""
        await self._connection.execute("vacuum (analyze)")
        await self._connection.execute("checkpoint")

    async def now(self) -> float:
        """The database's time."""
        (now,) = await self._row("select extract(epoch from clock_timestamp())::float8")
        return float(now)

    async def woken(self, name: str) -> list[tuple[int, float, bytes]]:
        """Those of the copies that have ended: number, time of their claim, output."""
        cursor = await self._connection.execute(
            "select split_part(instance_id, '-', 2)::int, extract(epoch from attempt_started_at)::float8, output "
            "from instance where status = 'completed' and starts_with(instance_id, %s)",
            (f"{name}-",),
        )
        return [(number, claimed_at, output) for number, claimed_at, output in await cursor.fetchall()]

    async def _copy_rows(self, table: str, number: int, count: int, changed: Mapping[str, sql.Composable]) -> None:
        cursor = await self._connection.execute(
            "select column_name from information_schema.columns where table_schema = %s and table_name = %s "
            "and (is_identity = 'NO' or column_name = 'instance_no')",
            (SCHEMA, table),
        )
        names = [name for (name,) in await cursor.fetchall()]
        await self._connection.execute(
            sql.SQL(
                "insert into {table} ({names}) overriding system value "
                "select {values} from {table} t, generate_series(1, {count}) n where t.instance_no = {number}"
            ).format(
                table=sql.Identifier(table),
                names=sql.SQL(", ").join(map(sql.Identifier, names)),
                values=sql.SQL(", ").join(changed.get(name, sql.Identifier("t", name)) for name in names),
                count=count,
                number=number,
            )
        )

    async def _row(self, statement: LiteralString, *parameters: object) -> TupleRow:
        row = await (await self._connection.execute(statement, parameters)).fetchone()
        assert row is not None, "every one of these has a row"
        return row


def _named(name: str) -> sql.Composable:
    return sql.SQL("{} || n").format(f"{name}-")


async def templates(client: Client, directory: Path) -> tuple[str, str]:
    """The ids of an instance that sleeps for a month, and of one that has ended."""
    program = directory / "sleeper.py"
    program.write_text(PROGRAM)
    image = await client.register_image(program, name="sleeper")
    parked = await client.start_instance(image.image_id, input={"sleeps": True})
    ended = await client.start_instance(image.image_id)
    await suspended(parked)
    await ended.result(timeout_s=_PATIENCE_S)
    return parked.instance_id, ended.instance_id


async def suspended(handle: InstanceHandle) -> None:
    """Returns when it is."""
    async with asyncio.timeout(_PATIENCE_S), aclosing(handle.changes()) as changes:
        async for instance in changes:
            if instance.status == Status.SUSPENDED:
                return


async def idle(pids: Sequence[int], seconds: float) -> list[float]:
    """Cores that each of the families uses while nobody asks for anything."""
    before = [family_cpu_s(pid) for pid in pids]
    await asyncio.sleep(seconds)
    return [(family_cpu_s(pid) - cpu_s) / seconds for pid, cpu_s in zip(pids, before, strict=True)]


async def queries(persistence: PostgresPersistence) -> dict[str, float]:
    """Seconds of what servers and people ask again and again; nothing is due meanwhile."""
    tenant, some = TenantId("default"), InstanceId("parked-50")
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "claim_due": partial(persistence.claim_due, 0, slots=32),
        "next_due": partial(persistence.next_due, limit=64),
        "list_owned": partial(persistence.list_owned, 1),
        "count_instances": partial(persistence.count_instances, limit=10_000),
        "find_instance": partial(persistence.find_instance, tenant, some),
        "list, all": partial(persistence.list_instances, InstanceFilter(tenant_id=tenant), limit=100, cursor=None),
        "list, running": partial(
            persistence.list_instances,
            InstanceFilter(tenant_id=tenant, statuses=(Status.RUNNING,)),
            limit=100,
            cursor=None,
        ),
    }
    return {name: statistics.median([await _timed(ask) for _ in range(25)]) for name, ask in asked.items()}


async def _timed(ask: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await ask()
    return time.perf_counter() - begun


async def sleepers(
    population: Population, persistence: PostgresPersistence, template: str, count: int
) -> tuple[list[float], list[float]]:
    """Seconds between the time of each and its claim, and its program's first line."""
    first = await population.now() + _LEAD_S
    wake_at = sql.SQL("to_timestamp({} + n * {})").format(first, _SPACING_S)
    awake = {"input": sql.SQL("'{{}}'::bytea").format(), "wake_at": wake_at, "sleep_until": wake_at}
    await population.copy(template, count, "sleeper", **awake)
    await persistence.notify([Notification(NotificationKind.DUE)])
    async with asyncio.timeout(count * _SPACING_S + _PATIENCE_S):
        # Seldom, so that looking does not disturb.
        while len(woken := await population.woken("sleeper")) < count:  # noqa: ASYNC110
            await asyncio.sleep(1)
    due = {number: first + number * _SPACING_S for number in range(1, count + 1)}
    claimed = [claimed_at - due[number] for number, claimed_at, _ in woken]
    return claimed, [msgspec.json.decode(output, type=float) - due[number] for number, _, output in woken]


async def measure_one(private: PrivateDatabase, arguments: argparse.Namespace, parked: int) -> Seen:
    """One population, from the first start on its database."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="runtara-bench-")))
        serve = partial(serving, data_dir=directory, database_url=private.url)
        async with serve() as served, Client.local(served.data.root) as client:
            asleep, ended = await templates(client, directory)
        pool = await stack.enter_async_context(make_pool(private.url))
        persistence = PostgresPersistence(pool)
        stack.push_async_callback(persistence.aclose)
        population = Population(await stack.enter_async_context(pool.connection()))
        before_bytes = await population.size_bytes()
        wake_at = sql.SQL("t.wake_at + n * interval '1 second'")
        await population.copy(asleep, parked, "parked", wake_at=wake_at, sleep_until=wake_at)
        bytes_each = (await population.size_bytes() - before_bytes) / parked
        await population.copy(ended, parked, "ended")
        await population.settle()
        served = await stack.enter_async_context(serve())
        server_cores, database_cores = await idle((served.pid, private.pid), arguments.idle)
        queries_s = await queries(persistence)
        claimed, first_line = await sleepers(population, persistence, asleep, arguments.sleepers)
        return Seen(bytes_each, served.started_in_s, server_cores, database_cores, queries_s, claimed, first_line)


def show(parked: int, seen: Seen) -> None:
    """One block."""
    print(f"\n{parked:,} parked and {parked:,} finished instances, load {load()}")
    print(f"bytes a parked instance    {seen.bytes_each:,.0f}, with its events, checkpoint and indexes")
    print(f"start of the server        {seen.started_in_s:.2f} s")
    print(
        f"idle                       server {seen.server_idle_cores:.3f}, database {seen.database_idle_cores:.3f} cores"
    )
    print(f"claim after its time       {spread(seen.claimed_late_s)}")
    print(f"first line after its time  {spread(seen.first_line_late_s)}")


def compare(rows: dict[int, Seen]) -> None:
    """The queries side by side, and what was promised."""
    print(f"\n{'query, ms (median)':20}" + "".join(f"{parked:>10,}" for parked in rows))
    for name in next(iter(rows.values())).queries_s:
        print(f"{name:20}" + "".join(f"{seen.queries_s[name] * 1e3:10.2f}" for seen in rows.values()))
    print()
    for parked, seen in rows.items():
        late_ms = percentile(seen.claimed_late_s, 99) * 1e3
        expect_at_most(f"{parked:,} parked: a wake is late (claim, p99)", late_ms, PROMISED_LATE_MS, "ms")
        cores = seen.server_idle_cores + seen.database_idle_cores
        expect_at_most(f"{parked:,} parked: idle", cores, PROMISED_IDLE_CORES, "cores")


async def measure(arguments: argparse.Namespace) -> None:
    """Print a block for each population."""
    rows = {}
    for parked in arguments.parked:
        async with database() as private:
            rows[parked] = await measure_one(private, arguments, parked)
        show(parked, rows[parked])
    compare(rows)


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--parked", type=int, nargs="+", default=[100, 100_000], help="and as many finished")
    parser.add_argument("--sleepers", type=int, default=200)
    parser.add_argument("--idle", type=float, default=20.0, help="seconds")
    return parser.parse_args(words)


if __name__ == "__main__":
    run(measure(parse()))
