"""What only the real database can do wrong: locks, lost connections, former processes, strangers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import psycopg
import pytest

from runtara.core.model import SignalKind, Status
from runtara.core.persistence.base import (
    ChangeStatus,
    Notification,
    NotificationKind,
    Outcome,
    OutcomeKind,
    SaveCheckpoint,
)
from runtara.core.persistence.postgres import Pool, PostgresPersistence, make_pool
from runtara.core.persistence.postgres.link import Link
from runtara.core.persistence.postgres.prepared import Prepared
from runtara.core.state import Change
from runtara.errors import IllegalTransition, InternalError, OutcomeUnknown, Unavailable
from runtara.ids import CheckpointKey, InstanceId, InstanceNo, TenantId

ACME = TenantId("acme")


async def running(persistence: PostgresPersistence, name: str = "a", *, lease_s: float = 60) -> InstanceNo:
    """A running instance at epoch 1."""
    server_no = await persistence.join("first", lease_s=lease_s)
    instance_no, _ = await persistence.register_self(ACME, InstanceId(name), server_no=server_no)
    return instance_no


def save(instance_no: InstanceNo, key: str = "k", state: bytes = b"", *, epoch: int = 1) -> SaveCheckpoint:
    return SaveCheckpoint(instance_no, epoch, CheckpointKey(key), state)


@asynccontextmanager
async def open_transaction(url: str, statement: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Somebody else's transaction that has run a statement and has not ended."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(statement.encode())
        yield connection


async def wait_for_quiet(url: str) -> None:
    """Returns when nobody else runs a statement: a connection that was closed may leave one behind."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as watcher:
        with anyio.fail_after(10):
            while True:
                cursor = await watcher.execute(
                    "select count(*) from pg_stat_activity where datname = current_database()"
                    " and backend_type = 'client backend' and state <> 'idle' and pid <> pg_backend_pid()"
                )
                if await cursor.fetchone() == (0,):
                    return


async def wait_for_waiters(url: str, count: int = 1) -> None:
    """Returns when so many statements of the database wait for a lock."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as watcher:
        with anyio.fail_after(10):
            while True:
                cursor = await watcher.execute(
                    "select count(*) from pg_stat_activity"
                    " where wait_event_type = 'Lock' and datname = current_database()"
                )
                row = await cursor.fetchone()
                if row is not None and row[0] >= count:
                    return


async def end_waiters(connection: psycopg.AsyncConnection) -> None:
    """End the sessions of all statements that wait for a lock."""
    await connection.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where wait_event_type = 'Lock' and datname = current_database()"
    )


async def answer(results: list[object], call: object) -> None:
    """Keep what a call returned or raised."""
    try:
        results.append(await call)  # type: ignore[misc]
    except Exception as error:
        results.append(error)


# ---- fencing is exact


@pytest.mark.parametrize("is_mixed", [False, True], ids=["only checkpoints", "a change too"])
async def test_a_batch_that_waited_for_a_takeover_is_fenced(
    database_url: str, postgres_persistence: PostgresPersistence, is_mixed: bool
) -> None:
    instance_no = await running(postgres_persistence)
    takeover = "update runtara_store.instance set epoch = 2"
    results: list[object] = []
    batch = [save(instance_no), save(instance_no, "l")]
    change = ChangeStatus(instance_no=instance_no, epoch=1, change=Change.COMPLETE)
    async with anyio.create_task_group() as group, open_transaction(database_url, takeover) as other:
        # Its snapshot is older than the takeover's commit; only the lock makes it look again.
        group.start_soon(answer, results, postgres_persistence.write([*batch, *([change] if is_mixed else [])]))
        await wait_for_waiters(database_url)
        await other.commit()
    (outcomes,) = results
    assert isinstance(outcomes, list)
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.FENCED}
    assert await postgres_persistence.read_checkpoints(instance_no, after=None, bytes_max=1) == ((), True)


async def test_a_takeover_waits_for_no_batch(database_url: str, postgres_persistence: PostgresPersistence) -> None:
    instance_no = await running(postgres_persistence, lease_s=0)
    async with open_transaction(database_url, "select from runtara_store.instance for share"):
        assert list(await postgres_persistence.take_over(grace_s=0, limit=1)) == []
    assert list(await postgres_persistence.take_over(grace_s=0, limit=1)) == [instance_no]


async def test_batches_of_two_servers_that_overlap_do_not_deadlock(
    database_url: str, postgres_persistence: PostgresPersistence
) -> None:
    numbers = [await running(postgres_persistence, str(number)) for number in range(20)]
    async with make_pool(database_url) as pool:
        other = PostgresPersistence(pool)
        results: list[object] = []
        async with anyio.create_task_group() as group:
            for place in range(10):
                one, two = [save(n, f"a{place}") for n in numbers], [save(n, f"b{place}") for n in reversed(numbers)]
                group.start_soon(answer, results, postgres_persistence.write(one))
                group.start_soon(answer, results, other.write(two))
        assert all(result == [Outcome(OutcomeKind.DONE)] * 20 for result in results)
        await other.aclose()


# ---- connections that break


async def test_a_connection_that_breaks_during_a_write_leaves_the_outcome_unknown(
    database_url: str, postgres_persistence: PostgresPersistence
) -> None:
    instance_no = await running(postgres_persistence)
    results: list[object] = []
    async with (
        anyio.create_task_group() as group,
        open_transaction(database_url, "select from runtara_store.instance for update") as other,
    ):
        group.start_soon(answer, results, postgres_persistence.write([save(instance_no)]))
        await wait_for_waiters(database_url)
        await end_waiters(other)
    assert [type(result) for result in results] == [OutcomeUnknown]
    assert list(await postgres_persistence.write([save(instance_no)])) == [Outcome(OutcomeKind.DONE)]


async def test_a_connection_that_breaks_before_the_commit_changes_nothing(
    database_url: str, postgres_persistence: PostgresPersistence
) -> None:
    instance_no = await running(postgres_persistence)
    results: list[object] = []
    async with (
        anyio.create_task_group() as group,
        open_transaction(database_url, "select from runtara_store.instance for update") as other,
    ):
        send = postgres_persistence.send_signal(instance_no, SignalKind.PAUSE, name=None, payload=None)
        group.start_soon(answer, results, send)
        await wait_for_waiters(database_url)
        await end_waiters(other)
    assert [type(result) for result in results] == [Unavailable]
    assert list(await postgres_persistence.pending_signals(instance_no)) == []


async def test_idle_connections_that_were_ended_are_replaced_unnoticed(
    database_url: str, postgres_persistence: PostgresPersistence
) -> None:
    instance_no = await running(postgres_persistence)
    await postgres_persistence.write([save(instance_no)])
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
        await other.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
    with anyio.fail_after(2):
        assert list(await postgres_persistence.write([save(instance_no, "l")])) == [Outcome(OutcomeKind.DONE)]
        assert (await postgres_persistence.get_instance(instance_no)).checkpoint_key == "l"


async def test_a_listener_hears_that_its_connection_has_ended(
    database_url: str, postgres_persistence: PostgresPersistence
) -> None:
    async with postgres_persistence.listen() as notifications:
        await postgres_persistence.notify([Notification(NotificationKind.DUE)])
        assert await anext(notifications) == Notification(NotificationKind.DUE)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            await other.execute("select pg_terminate_backend(pid) from pg_stat_activity where query = 'listen runtara'")
        with anyio.fail_after(5), pytest.raises(Unavailable):
            await anext(notifications)


async def test_a_strangers_notification_is_no_hint(
    database_url: str, postgres_persistence: PostgresPersistence
) -> None:
    async with postgres_persistence.listen() as notifications:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            for payload in ("", "{", '[["later", 1, 2, null]]', "[[1]]"):
                await other.execute("select pg_notify('runtara', %s)", (payload,))
        await postgres_persistence.notify([Notification(NotificationKind.DUE)])
        with anyio.fail_after(5):
            assert await anext(notifications) == Notification(NotificationKind.DUE)


async def test_a_cancelled_write_leaves_a_usable_connection(
    database_url: str, postgres_persistence: PostgresPersistence
) -> None:
    instance_no = await running(postgres_persistence)
    change = ChangeStatus(instance_no=instance_no, epoch=1, change=Change.COMPLETE)
    for batch in ([save(instance_no)], [save(instance_no), change]):
        async with (
            anyio.create_task_group() as group,
            open_transaction(database_url, "select from runtara_store.instance for update"),
        ):
            group.start_soon(postgres_persistence.write, batch)
            await wait_for_waiters(database_url)
            group.cancel_scope.cancel()
    # Whether they were written, nobody knows who did not wait; but they were not written again, and not in half.
    await wait_for_quiet(database_url)
    instance = await postgres_persistence.get_instance(instance_no)
    (outcome,) = await postgres_persistence.write([save(instance_no)])
    assert (instance.status, outcome.kind) in {
        (Status.RUNNING, OutcomeKind.DONE),
        (Status.RUNNING, OutcomeKind.FOUND),
        (Status.COMPLETED, OutcomeKind.FENCED),
    }


async def test_a_batch_larger_than_the_buffers_of_a_socket_arrives_whole(
    postgres_persistence: PostgresPersistence,
) -> None:
    instance_no = await running(postgres_persistence)
    states = {f"k{number:02}": bytes([number]) * 1024 * 1024 for number in range(16)}
    batch = [save(instance_no, key, state) for key, state in states.items()]
    with anyio.fail_after(30):
        assert list(await postgres_persistence.write(batch)) == [Outcome(OutcomeKind.DONE)] * len(batch)
    for key, state in states.items():
        assert await postgres_persistence.find_checkpoint(instance_no, CheckpointKey(key)) == state


async def test_a_statement_that_the_connection_has_forgotten_is_prepared_again(database_url: str) -> None:
    statement = Prepared("answer", "select $1::int4 + 1")
    async with make_pool(database_url) as pool:
        link = Link(pool, statement)
        for _ in range(2):
            async with link.use() as connection:
                result = await statement.execute(connection, [(41).to_bytes(4, "big")])
                assert result.get_value(0, 0) == (42).to_bytes(4, "big")
                await connection.execute("deallocate all")
        await link.aclose()


# ---- limits of time


async def test_a_statement_that_waits_too_long_changes_nothing(database_url: str) -> None:
    async with Pool(database_url, settings={"lock_timeout": "50ms"}) as pool:
        persistence = PostgresPersistence(pool)
        instance_no = await running(persistence)
        async with open_transaction(database_url, "select from runtara_store.instance for update"):
            for batch in (
                [save(instance_no)],
                [save(instance_no), ChangeStatus(instance_no=instance_no, epoch=1, change=Change.COMPLETE)],
            ):
                with pytest.raises(Unavailable) as refusal:
                    await persistence.write(batch)
                assert not isinstance(refusal.value, OutcomeUnknown)
        assert (await persistence.get_instance(instance_no)).checkpoint_key is None
        await persistence.aclose()


async def test_a_pool_that_is_used_up_says_so(database_url: str) -> None:
    pool = Pool(database_url, size_max=1)
    pool.timeout = 0.05
    async with pool:
        persistence = PostgresPersistence(pool)
        async with pool.connection():
            with pytest.raises(Unavailable, match="no connection"):
                await persistence.list_servers()
    with pytest.raises(Unavailable, match="closed"):
        await persistence.list_servers()


# ---- a bug of ours


async def test_a_statement_that_cannot_work_is_our_bug(postgres_persistence: PostgresPersistence) -> None:
    instance_no = await running(postgres_persistence)
    with pytest.raises(InternalError):
        await postgres_persistence.write([save(instance_no, "with\0nul")])
    assert list(await postgres_persistence.write([save(instance_no)])) == [Outcome(OutcomeKind.DONE)]


# ---- former processes


async def test_joining_ends_what_the_former_process_has_left(
    database_url: str, postgres_persistence: PostgresPersistence
) -> None:
    instance_no = await running(postgres_persistence)
    async with make_pool(database_url) as pool, pool.connection() as left_behind:
        former = PostgresPersistence(pool)
        await former.join("second", lease_s=60)
        await left_behind.execute("begin")
        await left_behind.execute("update runtara_store.instance set epoch = 99")
        async with make_pool(database_url) as pool_again:
            again = PostgresPersistence(pool_again)
            await again.join("second", lease_s=60)
            with pytest.raises(psycopg.OperationalError):
                await left_behind.execute("commit")
            assert (await again.get_instance(instance_no)).epoch == 1
            # Neither its own sessions nor those of another server were meant.
            assert len(await again.list_servers()) == 2
            await postgres_persistence.list_servers()


async def test_joining_without_the_privilege_to_end_sessions_still_joins(
    database_url: str, postgres_persistence: PostgresPersistence, caplog: pytest.LogCaptureFixture
) -> None:
    await postgres_persistence.join("first", lease_s=60)
    role = "runtara_test_role"
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
        await admin.execute(f"drop role if exists {role}".encode())
        await admin.execute(f"create role {role} login".encode())
        try:
            await admin.execute(f"grant usage on schema runtara_store to {role}".encode())
            await admin.execute(
                f"grant all on all tables in schema runtara_store to {role}; grant pg_monitor to {role}".encode()
            )
            async with make_pool(psycopg.conninfo.make_conninfo(database_url, user=role)) as pool:
                assert await PostgresPersistence(pool).join("first", lease_s=60) == 1
        finally:
            await admin.execute(f"drop owned by {role}; drop role {role}".encode())
    assert "could not end the sessions" in caplog.text


# ---- the schema says no


@pytest.mark.parametrize(
    "lie",
    [
        "status = 'running', owner = null",
        "status = 'pending', owner = null, wake_at = null",
        "status = 'completed', owner = null",
        "status = 'completed', owner = null, finished_at = now(), wake_at = now()",
        "finished_at = now()",
        "status = 'gone'",
    ],
)
async def test_a_row_cannot_lie(pool: Pool, postgres_persistence: PostgresPersistence, lie: str) -> None:
    await running(postgres_persistence)
    async with pool.connection() as connection:
        with pytest.raises(psycopg.errors.CheckViolation):
            await connection.execute(f"update instance set {lie}".encode())


async def test_the_refusal_of_a_signal_is_not_the_databases(postgres_persistence: PostgresPersistence) -> None:
    instance_no = await running(postgres_persistence)
    await postgres_persistence.write([ChangeStatus(instance_no=instance_no, epoch=1, change=Change.COMPLETE)])
    with pytest.raises(IllegalTransition) as refusal:
        await postgres_persistence.send_signal(instance_no, SignalKind.PAUSE, name=None, payload=None)
    assert refusal.value.attributes == {"status": "completed", "change": "pause"}
