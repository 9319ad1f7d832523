"""Instances: made once, claimed by one server at a time, read by everybody."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg import sql

from runtara.core.model import EventType, Instance, InstanceFilter, LaunchOrder, NewInstance, OwnedAttempt, Page, Status
from runtara.core.persistence.base import Created
from runtara.core.persistence.cursors import number_of, page_of
from runtara.core.persistence.postgres.database import Database, Jsonb, Parameters, fetch
from runtara.core.persistence.postgres.errors import Violation
from runtara.core.persistence.postgres.pool import Connection, Pool
from runtara.core.persistence.postgres.rows import instance_from, launch_order_from, owned_attempt_from
from runtara.core.persistence.postgres.statements import load_statements
from runtara.core.state import RULES, Change
from runtara.errors import AlreadyExists, Conflict, IllegalTransition, NotFound, Overloaded
from runtara.ids import InstanceId, InstanceNo, TenantId
from runtara.limits import PENDING_INSTANCES_MAX

__all__ = ("Instances",)

_SQL: Final = load_statements(__package__, "instances.sql")

# Candidates per slot of a claim. Concurrent servers see the same candidates and skip each other's.
_CANDIDATES_PER_SLOT: Final = 4


class Instances:
    """See ``Persistence``: the verbs of instances."""

    def __init__(self, pool: Pool, *, pending_max: int = PENDING_INSTANCES_MAX) -> None:
        self._database = Database(pool)
        self._queue = _QueueBudget(self._database, pending_max=pending_max)

    # ---- made

    async def create_instance(self, new: NewInstance) -> Created:
        """See ``Persistence.create_instance``."""
        if not await self._queue.has_room(new.tenant_id):
            return await self._created_before(new, otherwise=_overloaded(new.tenant_id))
        parameters = {
            "tenant_id": new.tenant_id,
            "instance_id": new.instance_id,
            "image_no": new.image_no,
            "image_id": new.image_id,
            "status": Status.PENDING.value,
            "timeout_s": new.timeout_s,
            "fingerprint": new.fingerprint,
            "env": Jsonb(dict(new.env)),
            "input": new.input,
            "event": EventType.CREATED.value,
        }
        try:
            rows = await self._database.write(_SQL["create_instance"], parameters)
        except Violation as violation:
            if violation.constraint == "instance_image_exists":
                raise NotFound(f"image {new.image_id!r} was deleted meanwhile") from violation
            raise
        if rows:
            return Created(rows[0]["instance_no"], created=True)
        return await self._created_before(new, otherwise=NotFound(f"instance {new.instance_id!r} is gone"))

    async def _created_before(self, new: NewInstance, *, otherwise: Exception) -> Created:
        rows = await self._database.read(
            _SQL["find_start"], {"tenant_id": new.tenant_id, "instance_id": new.instance_id}
        )
        if not rows:
            raise otherwise
        if rows[0]["fingerprint"] != new.fingerprint:
            raise AlreadyExists(
                f"instance {new.instance_id!r} was started before, as something else",
                hint="Use another id, or repeat the start exactly.",
            )
        return Created(rows[0]["instance_no"], created=False)

    async def register_self(
        self, tenant_id: TenantId, instance_id: InstanceId, *, server_no: int
    ) -> tuple[InstanceNo, int]:
        """See ``Persistence.register_self``."""
        rule = RULES[Change.REGISTER_AGAIN]
        parameters = {
            "tenant_id": tenant_id,
            "instance_id": instance_id,
            "server_no": server_no,
            "status": rule.target.value,
        }
        async with self._database.transaction() as connection:
            rows = await fetch(connection, _SQL["register_new"], parameters)
            if rows:
                await _tell(connection, rows[0]["instance_no"], 0, EventType.CREATED)
            else:
                instance_no = await _lock_registered(connection, parameters)
                rows = await fetch(connection, _SQL["register_again"], parameters | {"instance_no": instance_no})
            instance_no, epoch = rows[0]["instance_no"], rows[0]["epoch"]
            await _tell(connection, instance_no, epoch, rule.event)
        return instance_no, epoch

    # ---- claimed

    async def claim_due(self, server_no: int, *, slots: int) -> Sequence[LaunchOrder]:
        """See ``Persistence.claim_due``."""
        rule = RULES[Change.CLAIM]
        rows = await self._database.write(
            _SQL["claim_due"],
            {
                "server_no": server_no,
                "slots": slots,
                "candidates": slots * _CANDIDATES_PER_SLOT,
                "sources": [status.value for status in rule.sources],
                "target": rule.target.value,
                "event": rule.event.value,
            },
        )
        return [launch_order_from(row) for row in rows]

    async def next_due(self, *, limit: int) -> Sequence[datetime]:
        """See ``Persistence.next_due``."""
        return [row["wake_at"] for row in await self._database.read(_SQL["next_due"], {"limit": limit})]

    async def list_owned(self, server_no: int) -> Sequence[OwnedAttempt]:
        """See ``Persistence.list_owned``."""
        rows = await self._database.read(_SQL["list_owned"], {"server_no": server_no})
        return [owned_attempt_from(row) for row in rows]

    # ---- read

    async def find_instance(self, tenant_id: TenantId | None, instance_id: InstanceId) -> Instance | None:
        """See ``Persistence.find_instance``."""
        parameters = {"tenant_id": tenant_id, "instance_id": instance_id}
        rows = await self._database.read(_SQL["find_instances"], parameters)
        if len(rows) > 1:
            raise Conflict(f"several tenants have an instance {instance_id!r}", hint="Name the tenant.")
        return instance_from(rows[0]) if rows else None

    async def get_instance(self, instance_no: InstanceNo) -> Instance:
        """See ``Persistence.get_instance``."""
        rows = await self._database.read(_SQL["get_instance"], {"instance_no": instance_no})
        if not rows:
            raise NotFound("there is no such instance")
        return instance_from(rows[0])

    async def list_instances(self, where: InstanceFilter, *, limit: int, cursor: str | None) -> Page[Instance]:
        """See ``Persistence.list_instances``."""
        conditions, parameters = _conditions(where, before=number_of(cursor))
        statement = sql.SQL("{} where {} order by i.instance_no desc limit {}").format(
            sql.SQL(_SQL["list_instances"]), sql.SQL(" and ").join(conditions), limit + 1
        )
        rows = [instance_from(row) for row in await self._database.read(statement, parameters)]
        return page_of(rows, limit=limit, number=lambda row: row.instance_no)

    async def count_instances(self, *, limit: int) -> dict[str, int]:
        """See ``Persistence.count_instances``."""
        rows = await self._database.read(_SQL["count_instances"], {"limit": limit})
        return {row["status"]: row["count"] for row in rows}


async def _lock_registered(connection: Connection, parameters: Parameters) -> InstanceNo:
    """The instance, locked, if a program may register it once more."""
    (row,) = await fetch(connection, _SQL["lock_by_id"], parameters)
    if row["image_id"] is not None:
        raise Conflict("the instance was started from an image", hint="Only a launch runs it; start another id.")
    if row["status"] not in RULES[Change.REGISTER_AGAIN].sources:
        raise IllegalTransition(
            f"the instance is {row['status']}",
            hint="Register under a new id.",
            status=row["status"],
            change=Change.REGISTER_AGAIN.value,
        )
    instance_no: InstanceNo = row["instance_no"]
    return instance_no


async def _tell(connection: Connection, instance_no: InstanceNo, epoch: int, event: EventType) -> None:
    await fetch(
        connection,
        _SQL["append_event"],
        {"instance_no": instance_no, "epoch": epoch, "type": event.value, "subtype": None, "payload": None},
    )


def _conditions(where: InstanceFilter, *, before: int) -> tuple[list[sql.Composable], dict[str, Any]]:
    """Only what was asked for, with statuses in plain sight: the planner then sees which partial index fits."""
    asked: dict[LiteralString, Any] = {
        "i.tenant_id = %(tenant_id)s": where.tenant_id,
        "i.image_id = %(image_id)s": where.image_id,
        "starts_with(i.instance_id, %(instance_id_prefix)s)": where.instance_id_prefix,
        "i.created_at > %(created_after)s": where.created_after,
        "i.created_at < %(created_before)s": where.created_before,
    }
    conditions: list[sql.Composable] = [sql.SQL("i.instance_no < %(before)s")]
    conditions += [sql.SQL(text) for text, value in asked.items() if value is not None]
    if where.statuses:
        statuses = sql.SQL(", ").join(sql.Literal(Status(status).value) for status in where.statuses)
        conditions.append(sql.SQL("i.status in ({})").format(statuses))
    return conditions, {
        "before": before,
        "tenant_id": where.tenant_id,
        "image_id": where.image_id,
        "instance_id_prefix": where.instance_id_prefix,
        "created_after": where.created_after,
        "created_before": where.created_before,
    }


def _overloaded(tenant_id: TenantId) -> Overloaded:
    return Overloaded(
        f"too many instances of tenant {tenant_id!r} wait for their launch",
        hint="Wait until some have started.",
        retry_after_ms=1000,
    )


_RECOUNT_S: Final = 1.0


class _QueueBudget:
    """How many more starts of a tenant may be taken in before its queue must be counted again.

    Counting costs as much as there are rows to count, so it is done when the room that was found is used up, or when
    other servers had the time to use it. A full queue is therefore noticed exactly by the server that fills it.
    """

    def __init__(self, database: Database, *, pending_max: int) -> None:
        self._database = database
        self._pending_max = pending_max
        self._room: dict[TenantId, tuple[int, float]] = {}

    async def has_room(self, tenant_id: TenantId) -> bool:
        """True when one more fits; it is then counted as taken."""
        room, counted_at = self._room.get(tenant_id, (0, 0.0))
        if room <= 0 or time.monotonic() - counted_at > _RECOUNT_S:
            counted_at = time.monotonic()
            parameters = {"tenant_id": tenant_id, "limit": self._pending_max}
            (row,) = await self._database.read(_SQL["count_pending"], parameters)
            room = self._pending_max - row["pending"]
        self._room[tenant_id] = (room - 1, counted_at)
        return bool(room > 0)
