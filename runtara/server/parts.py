"""What a server is made of, as contracts: a server knows its parts by these, and ``compose`` chooses them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeAlias

from runtara.config import ServerConfig
from runtara.core.persistence.base import Persistence
from runtara.datadir import DataDir
from runtara.environment.runner.base import Runner
from runtara.environment.store.base import EnvironmentStore
from runtara.transport.base import Transport

__all__ = ("Database", "OpenDatabase", "Parts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """An open database of this version's schema."""

    persistence: Persistence
    store: EnvironmentStore | None
    """None for a server without managed processes."""
    description: str
    """For people; no password in it."""


OpenDatabase: TypeAlias = Callable[[ServerConfig, DataDir], AbstractAsyncContextManager[Database]]
"""Open it, and bring its schema up to date.

Raises ``Unavailable`` when it does not answer, ``SchemaTooNew`` when it is newer than this version.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The backends of one server."""

    open_database: OpenDatabase
    transport: Transport
    runner: Callable[[DataDir], Runner]
