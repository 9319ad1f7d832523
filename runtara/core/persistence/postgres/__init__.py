"""Persistence on PostgreSQL 14 or later: SQL by name in files, one transaction per verb, one commit for many writes."""

from runtara.core.persistence.postgres.persistence import PostgresPersistence
from runtara.core.persistence.postgres.pool import Pool, make_pool

__all__ = ("Pool", "PostgresPersistence", "make_pool")
