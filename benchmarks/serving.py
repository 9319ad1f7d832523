"""``runtara serve`` as users run it, in a process of its own, for the length of a block."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec

from benchmarks import machine
from runtara.client import Client
from runtara.config import split_address
from runtara.datadir import DataDir
from runtara.server.embedded_database import EmbeddedDatabase
from runtara.transport.base import Address

__all__ = ("PrivateDatabase", "Served", "database", "serving")

_START_TIMEOUT_S = 60.0


class _Ready(msgspec.Struct):
    instance: str


@dataclass(frozen=True)
class Served:
    """A server that serves."""

    pid: int
    data: DataDir
    instance_address: Address
    started_in_s: float
    """From the start of its process to its word that it is ready."""

    @property
    def cpu_s(self) -> float:
        """Processor time of the server's process so far; the database's is not in it."""
        return machine.cpu_s(self.pid)

    def client(self) -> Client:
        """An administrator's client of it."""
        return Client.local(self.data.root)

    @property
    def embedded_url(self) -> str:
        """Of its private database."""
        return f"postgresql://runtara@/postgres?host={quote(str(self.data.postgres), safe='')}"


@dataclass(frozen=True)
class PrivateDatabase:
    """A PostgreSQL that runs."""

    url: str
    pid: int


@asynccontextmanager
async def database() -> AsyncIterator[PrivateDatabase]:
    """A private PostgreSQL with fsync, thrown away afterwards."""
    with tempfile.TemporaryDirectory(prefix="runtara-bench-") as directory:
        embedded = EmbeddedDatabase(Path(directory) / "postgres")
        try:
            url = await embedded.start()
            yield PrivateDatabase(url, embedded.pid)
        finally:
            await embedded.stop()


@asynccontextmanager
async def serving(
    *,
    data_dir: Path | None = None,
    database_url: str | None = None,
    settings: Mapping[str, str] | None = None,
    profile: Path | None = None,
) -> AsyncIterator[Served]:
    """A server on its own directory and database, unless they are given; stopped and thrown away afterwards.

    ``profile``: where cProfile leaves what it saw of the server.
    """
    if data_dir is None:
        with tempfile.TemporaryDirectory(prefix="runtara-bench-") as directory:
            async with serving(
                data_dir=Path(directory), database_url=database_url, settings=settings, profile=profile
            ) as served:
                yield served
        return
    environment = {"RUNTARA_QUIC_PORT": "0", "RUNTARA_ENV_QUIC_PORT": "0", **(settings or {})}
    if database_url is not None:
        environment["RUNTARA_DATABASE_URL"] = database_url
    started_at = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *([] if profile is None else ["-m", "cProfile", "-o", str(profile)]),
        *("-m", "runtara.cli", "serve", "--json", "--data-dir", str(data_dir), "--log-level", "warning"),
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath, "HOME": str(data_dir), **environment},
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), _START_TIMEOUT_S)
        started_in_s = time.perf_counter() - started_at
        ready = msgspec.json.decode(line, type=_Ready)
        address = Address(*split_address(ready.instance))
        yield Served(process.pid, DataDir(data_dir), address, started_in_s)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
