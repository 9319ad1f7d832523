"""Signals: stored for an instance, answered by it, or taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runtara.core.model import EventType, Signal, SignalKind, Status
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
            instance = await _lock(connection, instance_no)
            _check_status(instance, kind)
            signal_no = await _store(connection, instance, kind, name=name, payload=payload)
            status = await _wake(connection, instance) if kind is SignalKind.CUSTOM else instance["status"]
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
    rows = await fetch(connection, _SQL["lock_instance"], {"instance_no": instance_no})
    if not rows:
        raise NotFound("there is no such instance")
    return rows[0] | {"instance_no": instance_no}


def _check_status(instance: Row, kind: SignalKind) -> None:
    status = Status(instance["status"])
    if status.is_terminal or (kind is not SignalKind.CUSTOM and status is not Status.RUNNING):
        raise IllegalTransition(
            f"an instance that is {status} takes no {kind} signal",
            hint="Read the instance again; it may have changed since you last looked.",
            status=status.value,
            change=kind.value,
        )


async def _store(
    connection: Connection, instance: Row, kind: SignalKind, *, name: str | None, payload: bytes | None
) -> int:
    """The number of the signal; of the one that waits already, where asking twice is asking once."""
    parameters = {
        "instance_no": instance["instance_no"],
        "epoch": instance["epoch"],
        "kind": kind.value,
        "name": name,
        "payload": payload,
        "event": EventType.SIGNAL_RECEIVED.value,
    }
    rows = await fetch(connection, _SQL["find_waiting"], parameters) or await fetch(
        connection, _SQL["store_signal"], parameters
    )
    return int(rows[0]["signal_no"])


async def _wake(connection: Connection, instance: Row) -> str:
    """Put an instance that waits for a signal into the queue; its status then."""
    change = ChangeStatus(instance_no=instance["instance_no"], epoch=None, change=Change.SIGNAL_ARRIVED)
    (outcome,) = await change_in(connection, [change])
    woke = outcome.kind is OutcomeKind.DONE
    return str(outcome.status if woke else instance["status"])
