"""The hot path: a batch of writes as one transaction, in one round trip to the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString, cast

from psycopg import AsyncCursor
from psycopg.rows import DictRow, dict_row

from runtara.core.persistence.base import (
    AckSignal,
    AppendEvent,
    ChangeStatus,
    Outcome,
    OutcomeKind,
    RecordExit,
    RecordRetry,
    SaveCheckpoint,
    Write,
)
from runtara.core.persistence.postgres import columns
from runtara.core.persistence.postgres.arrays import Int8Array
from runtara.core.persistence.postgres.database import Database, Parameters, Row, fetch, roll_back
from runtara.core.persistence.postgres.errors import Violation, translated
from runtara.core.persistence.postgres.link import Link
from runtara.core.persistence.postgres.pool import Connection, Pool
from runtara.core.persistence.postgres.prepared import Prepared
from runtara.core.persistence.postgres.segments import Segment, cut
from runtara.core.persistence.postgres.statements import load_statements
from runtara.core.state import Change
from runtara.errors import OutcomeUnknown

__all__ = ("Writing", "change_in", "outcome_of")

_SQL: Final = load_statements(__package__, "writes.sql")
_SAVE_PLAIN: Final = Prepared("save_plain_checkpoints", _SQL["save_plain_checkpoints"])
_DONE: Final = Outcome(OutcomeKind.DONE)


class Writing:
    """See ``Persistence``: the verb ``write``."""

    def __init__(self, pool: Pool) -> None:
        self._database = Database(pool)
        self._link = Link(pool, _SAVE_PLAIN)

    async def aclose(self) -> None:
        """Close what is not the pool's. Safe twice."""
        await self._link.aclose()

    async def write(self, batch: Sequence[Write]) -> Sequence[Outcome]:
        """See ``Persistence.write``."""
        if not batch:
            return ()
        async with self._link.use() as connection:
            if _is_plain(batch):
                return await _save_plain(connection, cast("Sequence[SaveCheckpoint]", batch))
            if any(_may_violate(write) for write in batch):
                return await _write_carefully(connection, batch)
            return await _write_at_once(connection, batch)


# ---- nothing but checkpoints


def _is_plain(batch: Sequence[Write]) -> bool:
    """True for checkpoints only, none of which consumes a signal or repeats a key."""
    if not all(type(write) is SaveCheckpoint and write.consumes_signal_no is None for write in batch):
        return False
    return len({(write.instance_no, write.key) for write in cast("Sequence[SaveCheckpoint]", batch)}) == len(batch)


async def _save_plain(connection: Connection, batch: Sequence[SaveCheckpoint]) -> Sequence[Outcome]:
    with translated(lost=OutcomeUnknown):
        parameters = [column.binary for column in columns.plain_checkpoint_columns(batch)]
        result = await _SAVE_PLAIN.execute(connection, parameters)
        if result.ntuples == len(batch):
            return [_DONE] * len(batch)
        saved = [int.from_bytes(result.get_value(row, 0) or b"", "big") for row in range(result.ntuples)]
        return await _explain_plain(connection, batch, saved)


async def _explain_plain(
    connection: Connection, batch: Sequence[SaveCheckpoint], saved: Sequence[int]
) -> Sequence[Outcome]:
    """Checkpoints never change, so what is stored after the commit is what was found in it."""
    instance_no, epoch, key, _ = columns.plain_checkpoint_columns(batch)
    parameters = {"instance_no": instance_no, "epoch": epoch, "key": key, "saved": list(saved)}
    return [outcome_of(row) for row in await fetch(connection, _SQL["explain_plain_checkpoints"], parameters)]


# ---- everything else


@dataclass(frozen=True, slots=True)
class _Table:
    """How the writes of one kind are done."""

    statement: LiteralString
    columns: Callable[[Any], Parameters]


# In this order: status changes end what the other writes need.
_TABLES: Final[dict[type[Write], _Table]] = {
    SaveCheckpoint: _Table(_SQL["save_checkpoints"], columns.checkpoint_columns),
    AppendEvent: _Table(_SQL["append_events"], columns.event_columns),
    RecordRetry: _Table(_SQL["record_retries"], columns.retry_columns),
    AckSignal: _Table(_SQL["acknowledge_signals"], columns.acknowledgement_columns),
    RecordExit: _Table(_SQL["record_exits"], columns.exit_columns),
    ChangeStatus: _Table(_SQL["change_status"], columns.change_columns),
}


async def _write_at_once(connection: Connection, batch: Sequence[Write]) -> Sequence[Outcome]:
    """All statements are sent together; the answers are read when the transaction has been committed."""
    steps: list[tuple[Sequence[int], AsyncCursor[DictRow]]] = []
    try:
        with translated(lost=OutcomeUnknown):
            async with connection.pipeline():
                await connection.execute("begin")
                await connection.execute(_SQL["lock_instances"], _instances(batch))
                for segment in cut(batch):
                    for positions, statement, parameters in _statements(segment):
                        cursor = connection.cursor(binary=True, row_factory=dict_row)
                        steps.append((positions, await cursor.execute(statement, parameters)))
                await connection.execute("commit")
            return _in_order(batch, [(positions, await cursor.fetchall()) for positions, cursor in steps])
    except BaseException:
        await roll_back(connection)
        raise


async def _write_carefully(connection: Connection, batch: Sequence[Write]) -> Sequence[Outcome]:
    """Statement by statement, because one of the writes may meet a constraint, and the others must not mind."""
    answers: list[tuple[Sequence[int], Sequence[Row]]] = []
    try:
        with translated():
            await connection.execute("begin")
            await connection.execute(_SQL["lock_instances"], _instances(batch))
            for position, write in enumerate(batch):
                segment = Segment()
                segment.add(position, write)
                for positions, statement, parameters in _statements(segment):
                    answers.append((positions, await _attempt(connection, statement, parameters)))
        with translated(lost=OutcomeUnknown):
            await connection.execute("commit")
    except BaseException:
        await roll_back(connection)
        raise
    return _in_order(batch, answers)


async def _attempt(connection: Connection, statement: LiteralString, parameters: Parameters) -> Sequence[Row]:
    try:
        with translated():
            async with connection.transaction():
                return await fetch(connection, statement, parameters)
    except Violation as violation:
        if violation.constraint != "instance_image_exists":
            raise
        return [{"outcome": OutcomeKind.IMAGE_GONE.value, "status": None}]


async def change_in(connection: Connection, changes: Sequence[ChangeStatus]) -> Sequence[Outcome]:
    """Apply changes within the caller's transaction, which has locked the instances."""
    rows = await fetch(connection, _SQL["change_status"], columns.change_columns(changes))
    return [outcome_of(row) for row in rows]


def outcome_of(row: Row) -> Outcome:
    """The answer to one write, from the row that the statement gave for it."""
    kind = OutcomeKind(row["outcome"])
    return Outcome(
        kind,
        state=row.get("state") if kind is OutcomeKind.FOUND else None,
        status=row["status"] if kind in _WITH_STATUS else None,
    )


_WITH_STATUS: Final = (OutcomeKind.DONE, OutcomeKind.FENCED, OutcomeKind.REFUSED)


def _may_violate(write: Write) -> bool:
    # The image that a retry needs again may have been deleted.
    return type(write) is ChangeStatus and write.change is Change.RETRY


def _instances(batch: Sequence[Write]) -> Parameters:
    return {"instance_nos": Int8Array([write.instance_no for write in batch])}


def _statements(segment: Segment) -> list[tuple[Sequence[int], LiteralString, Parameters]]:
    """What to run for a segment, each with the positions in the batch that its rows answer."""
    return [
        (
            [position for position, _ in segment.writes[kind]],
            table.statement,
            table.columns([write for _, write in segment.writes[kind]]),
        )
        for kind, table in _TABLES.items()
        if kind in segment.writes
    ]


def _in_order(batch: Sequence[Write], answers: Sequence[tuple[Sequence[int], Sequence[Row]]]) -> Sequence[Outcome]:
    outcomes: dict[int, Outcome] = {}
    for positions, rows in answers:
        outcomes.update(zip(positions, map(outcome_of, rows), strict=True))
    return [outcomes[position] for position in range(len(batch))]
