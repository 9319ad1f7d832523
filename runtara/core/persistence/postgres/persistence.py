"""``Persistence`` on PostgreSQL, put together from its parts: each file beside this one holds some of the verbs."""

from __future__ import annotations

from runtara.core.persistence.postgres.hints import Hints
from runtara.core.persistence.postgres.history import History
from runtara.core.persistence.postgres.instances import Instances
from runtara.core.persistence.postgres.pool import Pool
from runtara.core.persistence.postgres.servers import Servers
from runtara.core.persistence.postgres.signals import Signals
from runtara.core.persistence.postgres.writing import Writing
from runtara.limits import PENDING_INSTANCES_MAX

__all__ = ("PostgresPersistence",)


class PostgresPersistence(Servers, Instances, Writing, History, Signals, Hints):
    """See ``Persistence``. Close it before the pool, which it does not own."""

    def __init__(self, pool: Pool, *, pending_max: int = PENDING_INSTANCES_MAX) -> None:
        Instances.__init__(self, pool, pending_max=pending_max)
        Writing.__init__(self, pool)
