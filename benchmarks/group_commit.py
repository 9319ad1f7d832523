"""Checkpoints per second through the writer, beside what they are made of, in one run on one database with fsync.

    python -m benchmarks.group_commit [--seconds S] [--rounds N] [--writers N ...] [--url URL] [--profile]

Each writer saves one checkpoint of 200 bytes after the other and waits for each. The rows, from the floor up:
- a commit: one INSERT per commit, alone on one connection;
- a group commit: what gathered while the last commit ran is one UNNEST, without fencing, into a bare table;
- ... fenced: the statement of ``PostgresPersistence.write`` without the lock on the instances;
- ... and locked: the very statement, called as barely as the group commit;
- the writer: ``Writer`` over ``PostgresPersistence.write``, as the server runs it.
Ways take turns within a round, so that a busy moment of the machine meets all of them. Quote the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString, TypeAlias, cast

from runtara.core import migrations
from runtara.core.persistence.base import Outcome, OutcomeKind, Persistence, SaveCheckpoint, Write
from runtara.core.persistence.postgres import Pool, PostgresPersistence, make_pool
from runtara.core.persistence.postgres.columns import plain_checkpoint_columns
from runtara.core.persistence.postgres.link import Link
from runtara.core.persistence.postgres.prepared import Prepared
from runtara.core.persistence.postgres.statements import load_statements
from runtara.core.writer import Writer
from runtara.ids import CheckpointKey, InstanceId, InstanceNo, TenantId
from runtara.server.embedded_database import EmbeddedDatabase

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]

STATE = os.urandom(200)
INSTANCES = 1000

Save: TypeAlias = Callable[[SaveCheckpoint], Awaitable[object]]

BARE_TABLE = b"""
create table bare_checkpoint (
    instance_no bigint, key text collate "C", epoch int, state bytea, created_at timestamptz default now(),
    primary key (instance_no, key)
) with (autovacuum_enabled = off)
"""
ONE: LiteralString = (
    "insert into bare_checkpoint (instance_no, epoch, key, state)"
    " values ($1::int8, $2::int4, $3::text, $4::bytea) on conflict do nothing"
)
BARE = (
    "insert into bare_checkpoint (instance_no, epoch, key, state)"
    " select * from unnest($1::int8[], $2::int4[], $3::text[], $4::bytea[]) on conflict do nothing"
)
LOCKED = load_statements("runtara.core.persistence.postgres", "writes.sql")["save_plain_checkpoints"]
FENCED = LOCKED.replace("for share", "offset 0")


@dataclass
class Measured:
    """Of one way with one number of writers."""

    rates: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Checkpoints per second, the median of the rounds."""
        return statistics.median(self.rates)

    @property
    def p50_ms(self) -> float:
        """Of all checkpoints."""
        return statistics.median(self.latencies_s) * 1000


class Direct:
    """A persistence that can do nothing but run one statement, for a ``Writer``."""

    def __init__(self, pool: Pool, statement: LiteralString) -> None:
        self._statement = Prepared("direct", statement)
        self._link = Link(pool, self._statement)

    async def write(self, batch: Sequence[Write]) -> Sequence[Outcome]:
        """Every outcome is DONE."""
        columns = plain_checkpoint_columns(cast("Sequence[SaveCheckpoint]", batch))
        async with self._link.use() as connection:
            await self._statement.execute(connection, [column.binary for column in columns])
        return [Outcome(OutcomeKind.DONE)] * len(batch)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._link.aclose()


class SelfClocked:
    """The least that gathers: no bounds, no errors."""

    def __init__(self, persistence: Direct) -> None:
        self._persistence = persistence
        self._waiting: list[tuple[SaveCheckpoint, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()

    async def save(self, write: SaveCheckpoint) -> None:
        """Returns after the commit."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((write, future))
        self._wake.set()
        await future

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            await self._persistence.write([write for write, _ in batch])
            for _, future in batch:
                future.set_result(None)


@asynccontextmanager
async def one_by_one(pool: Pool) -> AsyncIterator[Save]:
    """A commit per checkpoint, one after the other on one connection."""
    statement = Prepared("one", ONE)
    link = Link(pool, statement)

    async def save(write: SaveCheckpoint) -> None:
        numbers = write.instance_no.to_bytes(8, "big"), write.epoch.to_bytes(4, "big")
        async with link.use() as connection:
            await statement.execute(connection, (*numbers, write.key.encode(), write.state))

    yield save
    await link.aclose()


@asynccontextmanager
async def group_commit(pool: Pool, statement: LiteralString) -> AsyncIterator[Save]:
    """One statement per batch."""
    persistence = Direct(pool, statement)
    gathering = SelfClocked(persistence)
    task = asyncio.create_task(gathering.run())
    yield gathering.save
    await stop(task)
    await persistence.aclose()


@asynccontextmanager
async def through_the_writer(pool: Pool) -> AsyncIterator[Save]:
    """As the server does it."""
    persistence = PostgresPersistence(pool)
    writer = Writer(cast(Persistence, persistence))
    task = asyncio.create_task(writer.run())
    yield writer.write
    await stop(task)
    await persistence.aclose()


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel it and wait for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def measure(save: Save, instances: Sequence[InstanceNo], prefix: str, seconds: float, into: Measured) -> None:
    """As many writers as instances, each with one checkpoint on its way at a time."""
    started = time.perf_counter()
    until = started + seconds
    saved = 0

    async def write_on(instance_no: InstanceNo) -> None:
        nonlocal saved
        count = 0
        while (before := time.perf_counter()) < until:
            count += 1
            await save(SaveCheckpoint(instance_no, 1, CheckpointKey(f"{prefix}/steps/{count}"), STATE))
            into.latencies_s.append(time.perf_counter() - before)
            saved += 1

    await asyncio.gather(*[write_on(instance_no) for instance_no in instances])
    into.rates.append(saved / (time.perf_counter() - started))


async def run(url: str, arguments: argparse.Namespace) -> None:
    """Measure, and print the table."""
    async with make_pool(url) as pool, AsyncExitStack() as stack:
        await migrations.run(pool)
        instances = await prepare(pool)
        ways: dict[str, Save] = {
            "a commit": await stack.enter_async_context(one_by_one(pool)),
            "a group commit": await stack.enter_async_context(group_commit(pool, BARE)),
            "... fenced": await stack.enter_async_context(group_commit(pool, FENCED)),
            "... and locked": await stack.enter_async_context(group_commit(pool, LOCKED)),
            "the writer": await stack.enter_async_context(through_the_writer(pool)),
        }
        for count in arguments.writers:
            results = {name: Measured() for name in ways}
            for turn in range(arguments.rounds + 1):
                for name, save in ways.items():
                    into = results[name] if turn else Measured()  # The first round warms up.
                    await measure(save, instances[:count], f"{count}/{turn}/{name}", arguments.seconds, into)
            show(count, results)
        if arguments.profile:
            await profile(ways["the writer"], instances[: arguments.writers[-1]], arguments.seconds)


async def prepare(pool: Pool) -> Sequence[InstanceNo]:
    """Running instances, and the bare table."""
    persistence = PostgresPersistence(pool)
    server_no = await persistence.join("benchmark", lease_s=3600)
    async with pool.connection() as connection:
        await connection.execute(b"drop table if exists bare_checkpoint")
        await connection.execute(BARE_TABLE)
    names = [InstanceId(f"benchmark-{os.getpid()}-{number}") for number in range(INSTANCES)]
    made = [await persistence.register_self(TenantId("benchmark"), name, server_no=server_no) for name in names]
    return [instance_no for instance_no, _ in made]


async def profile(save: Save, instances: Sequence[InstanceNo], seconds: float) -> None:
    """Where the time of the process goes."""
    profiler = cProfile.Profile()
    profiler.enable()
    await measure(save, instances, "profile", seconds, Measured())
    profiler.disable()
    profiler.print_stats("tottime")


def show(count: int, results: dict[str, Measured]) -> None:
    """One block of the table."""
    floor, peer = results["a commit"], results["a group commit"]
    print(f"{count} writers{'':22}    /s   p50 ms   x a commit   of a group commit")
    for name, measured in results.items():
        ratios = f"{measured.rate / floor.rate:10.1f}   {measured.rate / peer.rate:15.0%}"
        print(f"  {name:26} {measured.rate:8,.0f} {measured.p50_ms:8.2f}   {ratios}", flush=True)


async def main(arguments: argparse.Namespace) -> None:
    """Run on the given database, or on a private one."""
    if arguments.url is not None:
        await run(arguments.url, arguments)
        return
    with tempfile.TemporaryDirectory(prefix="runtara-bench-") as directory:
        database = EmbeddedDatabase(Path(directory) / "postgres")
        try:
            await run(await database.start(), arguments)
        finally:
            await database.stop()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each way in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--url", help="of a database to use instead of a private one")
    parser.add_argument("--profile", action="store_true", help="profile the writer with the last number of writers")
    return parser.parse_args()


if __name__ == "__main__":
    (uvloop or asyncio).run(main(parse()))
