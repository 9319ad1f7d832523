"""The prototype that the real path is held against, run beside it in the same turns.

It is not part of this project: a folder with ``server.py`` and ``client.py``, rough scripts of the time before, which
show what the transport and the group commit can do without fencing, credentials, events and errors. In its files
``$DSN`` stands for a database and ``$CERTS`` for a folder with a server's certificate and its CA.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import psycopg
from msgspec.structs import astuple

from tests.support.certificates import certificates

__all__ = ("Prototype", "Seen", "prototype", "typical")

_TABLE = """
create table if not exists ckpt (
    instance_id bigint, key text, data bytea, n int default 1, at timestamptz default now(),
    primary key (instance_id, key)
)
"""
# Its endpoint without the switches that were for finding out, in plain Python: its C gained nothing and is not built.
_ENDPOINT = ("--min", "py")
_WITHOUT_C = """
class lib:
    UB_MAX, UB_SA = 64, 28

ffi = None
"""


class Seen(msgspec.Struct, frozen=True):
    """What its clients saw, in its own words."""

    rps: float
    p50_ms: float
    p99_ms: float
    srv_cpu_us: float
    cli_cpu_us: float


def typical(rounds: Sequence[Seen]) -> Seen:
    """The median of the rounds, figure by figure."""
    return Seen(*map(statistics.median, zip(*map(astuple, rounds), strict=True)))


@dataclass(frozen=True)
class Prototype:
    """A copy of it, filled in."""

    folder: Path

    async def measure(self, library: str, connections: int, seconds: float) -> Seen:
        """Once, with fresh processes: its clients leave without a word, so its server would ask for them for long."""
        port = str(_free_port())
        async with _running(self.folder, "server.py", library, port, "--fastarr", *_ENDPOINT) as server:
            assert server.stdout is not None
            if await server.stdout.readline() != b"up\n":
                raise SystemExit("the server of the prototype did not start")
            words = (library, port, str(connections), str(seconds), *_ENDPOINT)
            async with _running(self.folder, "client.py", *words) as client:
                assert client.stdout is not None
                return msgspec.json.decode(await client.stdout.readline(), type=Seen)


@asynccontextmanager
async def prototype(origin: Path, *, database_url: str) -> AsyncIterator[Prototype]:
    """The prototype of a folder, for the length of the block. The table it uses is its own."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(_TABLE)
    with TemporaryDirectory(prefix="runtara-prototype-") as folder:
        _fill_in(origin, Path(folder), database_url)
        yield Prototype(Path(folder))


def _fill_in(origin: Path, folder: Path, database_url: str) -> None:
    made = certificates()
    for name, content in {"ca.crt": made.ca, "leaf.crt": made.leaf, "leaf.key": made.leaf_key}.items():
        (folder / name).write_bytes(content)
    (folder / "_udpbatch.py").write_text(_WITHOUT_C)
    for source in origin.glob("*.py"):
        text = source.read_text().replace("$DSN", database_url).replace("$CERTS", str(folder))
        (folder / source.name).write_text(text.replace('server_name="runtara"', 'server_name="localhost"'))


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def _running(folder: Path, program: str, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, *words, cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
