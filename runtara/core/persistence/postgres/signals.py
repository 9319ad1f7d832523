"""Signals: stored for an instance, answered by it, or taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from psycopg.rows import dict_row

from runtara.core.model import EventType, Signal, SignalKind, Status, TerminationReason
from runtara.core.persistence.base import ChangeStatus, OutcomeKind, SignalSent
from runtara.core.persistence.postgres.database import Database, Row, fetch
from runtara.core.persistence.postgres.pool import Connection, Pool
from runtara.core.persistence.postgres.rows import signal_from
from runtara.core.persistence.postgres.statements import load_statements
from runtara.core.persistence.postgres.writing import change_in
from runtara.core.state import Change
from runtara.errors import IllegalTransition, NotFound
from runtara.ids import InstanceNo

__all__ = ("Signals",)

_SQL: Final = load_statements(__package__, "signals.sql")


class Signals:
    """See ``Persistence``: the verbs of signals."""

    def __init__(self, pool: Pool) -> None:
        self._database = Database(pool)

    async def send_signal(
        self, instance_no: InstanceNo, kind: SignalKind, *, name: str | None, payload: bytes | None
    ) -> SignalSent:
        """See ``Persistence.send_signal``."""
        async with self._database.transaction() as connection:
            instance, signal_no = await _store(connection, instance_no, kind, name=name, payload=payload)
            waits = instance["termination_reason"] == TerminationReason.WAITING_SIGNAL
            status = await _wake(connection, instance) if waits else instance["status"]
        return SignalSent(
            signal_no=signal_no,
            instance_no=instance_no,
            status=status,
            owner=instance["owner"],
            woke=status != instance["status"],
        )

    async def withdraw_pauses(self, instance_no: InstanceNo) -> int:
        """See ``Persistence.withdraw_pauses``."""
        async with self._database.transaction() as connection:
            await _lock(connection, instance_no)
            return len(await fetch(connection, _SQL["withdraw_pauses"], {"instance_no": instance_no}))

    async def pending_signals(self, instance_no: InstanceNo) -> Sequence[Signal]:
        """See ``Persistence.pending_signals``."""
        rows = await self._database.read(_SQL["pending_signals"], {"instance_no": instance_no})
        return [signal_from(row) for row in rows]


async def _lock(connection: Connection, instance_no: InstanceNo) -> Row:
    return _found(await fetch(connection, _SQL["lock_instance"], {"instance_no": instance_no}))


def _found(rows: Sequence[Row]) -> Row:
    if not rows:
        raise NotFound("there is no such instance")
    return rows[0]


async def _store(
    connection: Connection, instance_no: InstanceNo, kind: SignalKind, *, name: str | None, payload: bytes | None
) -> tuple[Row, int]:
    """The locked instance and the number of the signal.

    In one round trip: a program waits for this, and on a busy machine each trip is a turn of two processes.
    """
    parameters = {
        "instance_no": instance_no,
        "kind": kind.value,
        "name": name,
        "payload": payload,
        "statuses": [status.value for status in Status if _takes(status, kind)],
        "event": EventType.SIGNAL_RECEIVED.value,
    }
    async with connection.pipeline():
        cursors = [
            await connection.cursor(binary=True, row_factory=dict_row).execute(_SQL[statement], parameters)
            for statement in ("lock_instance", "store_signal")
        ]
    locked, stored = [await cursor.fetchall() for cursor in cursors]
    instance = _found(locked)
    if not _takes(Status(instance["status"]), kind):
        raise _refused(Status(instance["status"]), kind)
    return instance, int(stored[0]["signal_no"])


def _takes(status: Status, kind: SignalKind) -> bool:
    return not status.is_terminal if kind is SignalKind.CUSTOM else status is Status.RUNNING


def _refused(status: Status, kind: SignalKind) -> IllegalTransition:
    return IllegalTransition(
        f"an instance that is {status} takes no {kind} signal",
        hint="Read the instance again; it may have changed since you last looked.",
        status=status.value,
        change=kind.value,
    )


async def _wake(connection: Connection, instance: Row) -> str:
    """Put an instance that waits for a signal into the queue; its status then."""
    change = ChangeStatus(instance_no=instance["instance_no"], epoch=None, change=Change.SIGNAL_ARRIVED)
    (outcome,) = await change_in(connection, [change])
    woke = outcome.kind is OutcomeKind.DONE
    return str(outcome.status if woke else instance["status"])
