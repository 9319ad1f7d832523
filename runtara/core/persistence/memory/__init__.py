"""Persistence in dictionaries: what the PostgreSQL one does, for tests. Both pass the same contract."""

from runtara.core.persistence.memory.persistence import MemoryPersistence

__all__ = ("MemoryPersistence",)
