"""Checkpoints per second of the real server, beside the bare commits that they are made of, in one run.

    python -m benchmarks.checkpoints [--seconds S] [--rounds N] [--connections N ...] [--library NAME ...]
        [--profile F] [--prototype FOLDER]

The real path: ``runtara serve`` on a PostgreSQL with fsync, and in a second process as many running instances as
connections, each registered over QUIC with its minted credential and saving one sealed checkpoint of 200 bytes after
the other (``benchmarks.checkpoint_clients``). The floors: the same rows committed by one process that does nothing
else, one by one and as a group commit without fencing (``benchmarks.group_commit``). Where its folder is given, the
prototype that the real path is held against runs beside them (``benchmarks.prototype``). Ways take turns within a
round, so that a busy moment of the machine meets all of them. Quote the ratios.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import group_commit
from benchmarks.checkpoint_clients import ClientProcess, Identity, Order
from benchmarks.figures import Load, expect_at_least, expect_at_most, percentile
from benchmarks.loops import run
from benchmarks.machine import Watch
from benchmarks.prototype import Prototype, Seen, prototype, typical
from benchmarks.serving import PrivateDatabase, Served, database, serving
from runtara.clock import SystemClock
from runtara.core.credentials import CredentialMint
from runtara.core.persistence.postgres import PostgresPersistence, make_pool
from runtara.ids import InstanceId, InstanceNo, TenantId

TENANT = TenantId("benchmark")
COMMIT, GROUP_COMMIT = "a commit", "a group commit"

RATE_SHARE_MIN, P50_RATIO_MAX = 0.6, 1.6
"""What is expected of the real path: so much of the prototype's rate, and at most so many times its p50."""

# Rate and p50 (ms) of the prototype on two quiet cores where a commit took 0.31 ms: for want of a run beside it.
PROTOTYPE_COMMIT_MS = 0.31
PROTOTYPE = {
    ("qh3", 1): (1790, 0.54),
    ("qh3", 100): (27_500, 3.5),
    ("aioquic", 1): (1190, 0.83),
    ("aioquic", 100): (8200, 11.0),
}


@dataclass
class Row:
    """One way with one number of connections, over all rounds."""

    loads: list[Load] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Per second, the median of the rounds."""
        return statistics.median(load.rate for load in self.loads)

    def latency_ms(self, percent: float) -> float:
        """The median of the rounds."""
        return statistics.median(percentile(load.latencies_s, percent) * 1e3 for load in self.loads)

    def cpu_us(self, whose: str) -> float:
        """Processor time per checkpoint, over all rounds."""
        spent_s: float = sum(getattr(load, whose) for load in self.loads)
        return spent_s / sum(len(load.latencies_s) for load in self.loads) * 1e6


@dataclass
class Table:
    """All ways with one number of connections."""

    rows: dict[str, Row]
    """By the name of the way."""
    prototypes: dict[str, list[Seen]]
    """What each round saw of the prototype, by the name of the library, where it was run."""


class Instances:
    """Running instances that belong to no server of this run, and credentials for them."""

    def __init__(self, mint: CredentialMint, numbers: dict[InstanceId, InstanceNo]) -> None:
        self._mint = mint
        self._numbers = numbers

    @classmethod
    async def make(cls, persistence: PostgresPersistence, count: int) -> Instances:
        """``count`` of them."""
        server_no = await persistence.join(f"benchmark-{os.getpid()}", lease_s=3600)
        numbers: dict[InstanceId, InstanceNo] = {}
        for number in range(count):
            name = InstanceId(f"benchmark-{os.getpid()}-{number}")
            numbers[name], _ = await persistence.register_self(TENANT, name, server_no=server_no)
        key = await persistence.secret("instance-credentials")
        return cls(CredentialMint(key, clock=SystemClock()), numbers)

    def identities(self, count: int) -> list[Identity]:
        """Fresh credentials for some of them."""
        some = list(self._numbers.items())[:count]
        return [Identity(TENANT, name, self._mint.mint(number, 1)) for name, number in some]

    def numbers(self, count: int) -> list[InstanceNo]:
        """Of the same."""
        return list(self._numbers.values())[:count]


@dataclass(frozen=True)
class Way:
    """The real path with one of the libraries."""

    library: str
    served: Served
    database: PrivateDatabase
    clients: ClientProcess

    async def measure(self, identities: Sequence[Identity], seconds: float, prefix: str) -> Load:
        """Once."""
        await self.clients.connect(Order(self.library, self.served.instance_address, identities, seconds, prefix))
        cpu_s, watch = self.served.cpu_s, Watch(self.served.pid, self.database.pid)
        load = await self.clients.measure()
        return replace(
            load,
            server_cpu_s=self.served.cpu_s - cpu_s,
            others_cores=watch.others_cores(also_ours_s=load.client_cpu_s),
        )


async def measure_floor(save: Any, numbers: Sequence[InstanceNo], seconds: float, prefix: str) -> Load:
    """A floor, once."""
    seen = group_commit.Measured()
    await group_commit.measure(save, numbers, prefix, seconds, seen)
    return Load(len(seen.latencies_s) / seen.rates[0], seen.latencies_s)


async def measure_all(arguments: argparse.Namespace) -> None:
    """Print one table for each number of connections, and what was expected of them."""
    async with AsyncExitStack() as stack:
        private = await stack.enter_async_context(database())
        pool = await stack.enter_async_context(make_pool(private.url))
        clients = ClientProcess()
        stack.callback(clients.close)
        ways: dict[str, Way] = {}
        for library in arguments.library:
            settings = {"RUNTARA_QUIC": library}
            server = serving(database_url=private.url, settings=settings, profile=arguments.profile)
            ways[library] = Way(library, await stack.enter_async_context(server), private, clients)
        instances = await Instances.make(PostgresPersistence(pool), max(arguments.connections))
        async with pool.connection() as connection:
            await connection.execute(group_commit.BARE_TABLE)
        floors = {
            COMMIT: await stack.enter_async_context(group_commit.one_by_one(pool)),
            GROUP_COMMIT: await stack.enter_async_context(group_commit.group_commit(pool, group_commit.BARE)),
        }
        peer = None
        if arguments.prototype is not None:
            peer = await stack.enter_async_context(prototype(arguments.prototype, database_url=private.url))
        tables = {}
        for count in arguments.connections:
            tables[count] = await measure_table(count, arguments, instances, floors, ways, peer)
            show(count, tables[count], list(ways))
        judge(tables, list(ways))


async def measure_table(
    count: int,
    arguments: argparse.Namespace,
    instances: Instances,
    floors: Mapping[str, Any],
    ways: Mapping[str, Way],
    peer: Prototype | None,
) -> Table:
    """All ways in turns, with that many connections. The order changes: each leaves the disk something to do."""
    table = Table({name: Row() for name in (*floors, *ways)}, {library: [] for library in ways if peer is not None})

    async def measure_row(name: str, prefix: str) -> None:
        if name in floors:
            load = await measure_floor(floors[name], instances.numbers(count), arguments.seconds, prefix)
        else:
            load = await ways[name].measure(instances.identities(count), arguments.seconds, prefix)
        table.rows[name].loads.append(load)

    async def measure_prototype(library: str, _: str) -> None:
        assert peer is not None
        table.prototypes[library].append(await peer.measure(library, count, arguments.seconds))

    everybody = [
        *((measure_row, name) for name in table.rows),
        *((measure_prototype, name) for name in table.prototypes),
    ]
    for turn in range(arguments.rounds):
        for measure, name in random.Random(turn).sample(everybody, len(everybody)):
            await measure(name, f"steps/{count}/{turn}/{name}")
    return table


def show(count: int, table: Table, libraries: Sequence[str]) -> None:
    """One table."""
    others = statistics.median(load.others_cores for name in libraries for load in table.rows[name].loads)
    print(f"\n{count} connection{'s' * (count > 1)}, while others used {others:.1f} cores")
    print(f"{'':16}       /s   p50 ms   p99 ms   of a group commit   server µs   client µs")
    peer = table.rows[GROUP_COMMIT].rate
    for name, row in table.rows.items():
        figures = f"{row.rate:9,.0f} {row.latency_ms(50):8.2f} {row.latency_ms(99):8.2f} {row.rate / peer:19.0%}"
        cpu = f"{row.cpu_us('server_cpu_s'):12.0f}{row.cpu_us('client_cpu_s'):12.0f}" if name in libraries else ""
        print(f"{name:16}{figures}{cpu}", flush=True)
    for library, rounds in table.prototypes.items():
        seen = typical(rounds)
        figures = f"{seen.rps:8,.0f} {seen.p50_ms:8.2f} {seen.p99_ms:8.2f} {seen.rps / peer:19.0%}"
        cpu = f"{seen.srv_cpu_us:12.0f}{seen.cli_cpu_us:12.0f}"
        print(f"{f'prototype {library}':17}{figures}{cpu}", flush=True)


def judge(tables: Mapping[int, Table], libraries: Sequence[str]) -> None:
    """Compare with the prototype, or with its old figures, as much slower as a commit is slower here and now."""
    slower = max(1.0, tables[1].rows[COMMIT].latency_ms(50) / PROTOTYPE_COMMIT_MS) if 1 in tables else 1.0
    print(
        f"\nof the prototype; where it did not run, of its old figures, a commit taking {slower:.1f} times as long now:"
    )
    for count, table in tables.items():
        for name in libraries:
            if name in table.prototypes:
                seen = typical(table.prototypes[name])
                rate, p50_ms = seen.rps, seen.p50_ms
            elif (name, count) in PROTOTYPE:
                rate, p50_ms = PROTOTYPE[name, count][0] / slower, PROTOTYPE[name, count][1] * slower
            else:
                continue
            what, row = f"{name}, {count} connection{'s' * (count > 1)}", table.rows[name]
            share, ratio = row.rate / rate, row.latency_ms(50) / p50_ms
            expect_at_least(f"{what}: rate, of the prototype's", share * 100, RATE_SHARE_MIN * 100, "%")
            expect_at_most(f"{what}: p50, of the prototype's", ratio, P50_RATIO_MAX, "times")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each way in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--library", nargs="+", default=["qh3", "aioquic"])
    parser.add_argument("--prototype", type=Path, help="the folder of the prototype, to run it in the same turns")
    parser.add_argument("--profile", type=Path, help="where cProfile leaves what it saw of the (last) server")
    return parser.parse_args(words)


if __name__ == "__main__":
    run(measure_all(parse()))
