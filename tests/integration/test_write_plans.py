"""What a batch of writes costs depends on the batch: also in a young database, of which the planner knows nothing yet.

A plan made for tables that look empty stays until they are analyzed. If it reads all that runs, or all signals that
wait, then every batch does so for a minute or more. So each statement of the hot path is planned here as the writer's
connection plans it, before any statistics exist, and what it looked at is counted.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg

from runtara.core.model import EventType, ResourceUsage, Retry
from runtara.core.persistence.base import AckSignal, AppendEvent, ChangeStatus, RecordExit, RecordRetry
from runtara.core.persistence.postgres import columns, make_pool
from runtara.core.persistence.postgres.link import Link
from runtara.core.persistence.postgres.pool import Connection
from runtara.core.persistence.postgres.statements import load_statements
from runtara.core.state import Change
from runtara.ids import CheckpointKey, InstanceNo
from tests.support.plans import nodes_of

RUNNING = 500
BATCH = [InstanceNo(number) for number in range(1, 6)]

# Each write looks up a handful of rows in each table; all that run are far more.
ROWS_MAX = 10 * len(BATCH)

NOW = datetime.now(UTC)
POPULATION = (
    *(
        f"alter table {table} set (autovacuum_enabled = off)"
        for table in ("instance", "checkpoint", "event", "retry", "signal")
    ),
    f"""insert into instance (tenant_id, instance_id, status, epoch, owner, created_at)
    select 'acme', 'instance-' || n, 'running', 1, 1, now() from generate_series(1, {RUNNING}) n""",
    """insert into checkpoint (instance_no, key, epoch, created_at, state)
    select instance_no, 'step-' || n, 1, now(), 'state' from instance, generate_series(1, 3) n""",
    """insert into event (instance_no, epoch, created_at, type, number)
    select instance_no, 1, now(), 'custom', 1 from instance""",
    """insert into retry (instance_no, key, tries, error, waited_ms)
    select instance_no, 'step-1', 1, '{}', 0 from instance""",
    """insert into signal (instance_no, epoch, kind, name, created_at)
    select instance_no, 1, 'custom', 'approve', now() from instance""",
)

CHECKPOINTS: dict[str, list[Any]] = {
    "instance_no": list(BATCH),
    "epoch": [1] * len(BATCH),
    "key": [f"new-{number}" for number in BATCH],
    "state": [b"state"] * len(BATCH),
}
RETRY = Retry(key=CheckpointKey("step-2"), tries=1, error=b"{}", next_at=NOW, waited_ms=1)
PARAMETERS: dict[str, Mapping[str, Any]] = {
    "lock_instances": {"instance_nos": list(BATCH)},
    "save_plain_checkpoints": {str(number): column for number, column in enumerate(CHECKPOINTS.values(), 1)},
    "explain_plain_checkpoints": CHECKPOINTS | {"saved": [1, 2]},
    "save_checkpoints": CHECKPOINTS | {"signal_no": list(BATCH)},
    "append_events": columns.event_columns(
        [AppendEvent(number, 1, EventType.CUSTOM, "note", b"{}", 2) for number in BATCH]
    ),
    "record_retries": columns.retry_columns([RecordRetry(number, 1, RETRY) for number in BATCH]),
    "acknowledge_signals": columns.acknowledgement_columns([AckSignal(number, 1, number) for number in BATCH]),
    "record_exits": columns.exit_columns(
        [RecordExit(instance_no=number, epoch=1, exit_code=0, usage=ResourceUsage()) for number in BATCH]
    ),
    "change_status": columns.change_columns(
        [ChangeStatus(instance_no=number, epoch=1, change=Change.WAIT, wake_at=NOW) for number in BATCH]
    ),
}
STATEMENTS = load_statements("runtara.core.persistence.postgres", "writes.sql")


@asynccontextmanager
async def writers_connection(database_url: str) -> AsyncIterator[Connection]:
    """As the writer has it, to a database with many running instances and no statistics."""
    async with make_pool(database_url) as pool:
        link = Link(pool)
        async with link.use() as connection:
            for statement in POPULATION:
                await connection.execute(statement.encode())
            yield connection
        await link.aclose()


async def looked_at(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> int:
    """The rows that the busiest step of the statement's plan has touched."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement))) or list(parameters)
    numbered = re.sub(r"%\((\w+)\)s", lambda name: f"${names.index(name[1]) + 1}", statement)
    await connection.execute("begin")
    await connection.execute(f"prepare asked as {numbered}".encode())
    client = psycopg.AsyncClientCursor(connection)
    places = ", ".join(["%s"] * len(names))
    await client.execute(
        f"explain (analyze, format json) execute asked ({places})".encode(), [parameters[name] for name in names]
    )
    (row,) = await client.fetchall()
    await connection.execute("rollback")
    await connection.execute("deallocate asked")
    return max(rows_of(node) for node in nodes_of(row[0][0]["Plan"]))


def rows_of(node: dict[str, Any]) -> int:
    """What a step returned and what it threw away."""
    removed = sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
    return round((node["Actual Rows"] + removed) * node["Actual Loops"])


def test_every_statement_of_the_hot_path_is_looked_at() -> None:
    assert set(PARAMETERS) == set(STATEMENTS)


async def test_a_batch_looks_at_its_own_rows_only(database_url: str) -> None:
    async with writers_connection(database_url) as connection:
        touched = {
            name: await looked_at(connection, STATEMENTS[name], parameters) for name, parameters in PARAMETERS.items()
        }
    assert {name: rows for name, rows in touched.items() if rows > ROWS_MAX} == {}


async def test_a_plan_that_reads_all_that_run_would_be_noticed(database_url: str) -> None:
    """This is how it was: a join that the planner may turn around."""
    statement = """
        select t.instance_no from unnest(%(instance_no)s::int8[]) t (instance_no)
        join instance i on i.instance_no = t.instance_no and i.status = 'running'
    """
    async with writers_connection(database_url) as connection:
        assert await looked_at(connection, statement, {"instance_no": list(BATCH)}) >= RUNNING
