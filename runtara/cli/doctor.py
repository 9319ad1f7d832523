"""Find out why something does not work: every precondition, looked at one by one."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import click

from runtara.cli.app import EXIT_FAILED
from runtara.cli.output import emit_json, note, table
from runtara.cli.session import data_dir_option, debug_option, json_option
from runtara.config import ServerConfig, mask_url
from runtara.datadir import DataDir
from runtara.errors import RuntaraError

__all__ = ("doctor_command",)

_PACKAGES: Final = ("anyio", "click", "cryptography", "httpx", "msgspec", "psycopg")
_DISK_FREE_BYTES_MIN: Final = 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look gave."""

    what: str
    state: Literal["ok", "warning", "problem"]
    detail: str
    hint: str | None = None


@click.command()
@data_dir_option
@json_option
@debug_option
def doctor_command(data_dir: Path | None, as_json: bool) -> int:
    """Look at everything that a server needs. Exit code 1 when something is missing."""
    findings = list(_look(data_dir))
    if as_json:
        emit_json(findings)
    else:
        table(("what", "state", "detail"), ((each.what, each.state, each.detail) for each in findings))
        for each in findings:
            if each.hint is not None:
                note(f"{each.what}: {each.hint}")
    return EXIT_FAILED if any(each.state == "problem" for each in findings) else 0


def _look(data_dir: Path | None) -> Iterator[Finding]:
    yield _python()
    yield from map(_package, _PACKAGES)
    yield _quic()
    yield _native()
    yield _loop()
    try:
        config = ServerConfig.from_env(data_dir=data_dir)
    except RuntaraError as error:
        yield Finding("settings", "problem", error.message, error.hint)
        return
    yield Finding("settings", "ok", "all can be used; `runtara config` lists them")
    yield from _data_dir(DataDir(config.data_dir.absolute()))
    yield _server(config)
    yield _database(config)


def _python() -> Finding:
    is_good = sys.version_info >= (3, 11)
    return Finding(
        "python", "ok" if is_good else "problem", platform.python_version(), None if is_good else "Use 3.11."
    )


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, "problem", "not installed", "Install Runtara again: pip install --force-reinstall runtara")


def _quic() -> Finding:
    from runtara.transport.quic import quic_transport

    try:
        name = quic_transport().name
    except RuntaraError as error:
        return Finding("quic", "problem", error.message, error.hint)
    if name.endswith("qh3"):
        return Finding("quic", "ok", f"{name} {version('qh3')}")
    return Finding("quic", "warning", name, "The extra `fast` is several times faster: pip install 'runtara[fast]'")


def _native() -> Finding:
    from runtara._native import api

    name = api.IMPLEMENTATION
    if name == "c":
        return Finding("native", "ok", "c")
    return Finding("native", "warning", name, "A C compiler at the time of the installation makes it faster.")


def _loop() -> Finding:
    if find_spec("uvloop") is not None:
        return Finding("event loop", "ok", f"uvloop {version('uvloop')}")
    return Finding("event loop", "warning", "asyncio", "The extra `fast` is faster: pip install 'runtara[fast]'")


def _data_dir(data: DataDir) -> Iterator[Finding]:
    existing = next(path for path in (data.root, *data.root.parents) if path.exists())
    try:
        usage = shutil.disk_usage(existing)
        is_writable = _may_write(existing)
    except OSError as error:
        yield Finding("data directory", "problem", f"{data.root}: {error.strerror}")
        return
    if not existing.is_dir() or not is_writable:
        yield Finding("data directory", "problem", f"{existing} may not be written", "Choose another: --data-dir")
        return
    yield Finding("data directory", "ok", str(data.root) if existing == data.root else f"{data.root} will be made")
    state: Literal["ok", "warning"] = "ok" if usage.free >= _DISK_FREE_BYTES_MIN else "warning"
    yield Finding("disk", state, f"{usage.free / 1024**3:.1f} GiB free", None if state == "ok" else "Make room.")


def _may_write(directory: Path) -> bool:
    return os.access(directory, os.W_OK | os.X_OK)


def _server(config: ServerConfig) -> Finding:
    """A server that runs, or the ports that one would need."""
    from runtara.client.local import find_local_server

    address = find_local_server(config.data_dir).address
    if address is not None:
        return _running(config, address)
    taken = [port for port in (config.quic_port, config.env_quic_port) if not _is_free(config.bind_host, port)]
    if taken:
        ports = " and ".join(map(str, taken))
        return Finding(
            "ports", "problem", f"UDP {ports} taken", "Choose others: RUNTARA_QUIC_PORT, RUNTARA_ENV_QUIC_PORT."
        )
    return Finding("ports", "ok", f"UDP {config.quic_port} and {config.env_quic_port} are free")


def _running(config: ServerConfig, address: str) -> Finding:
    from runtara.client import Client

    async def ask() -> str:
        async with Client.local(config.data_dir) as client:
            health = await client.health(timeout_s=5)
            return "healthy" if health.healthy else "not healthy"

    try:
        answer = asyncio.run(ask())
    except RuntaraError as error:
        hint = "It was killed, or hangs. Start it again; look at its log."
        return Finding("server", "problem", f"does not answer at {address}: {error.message}", hint)
    return Finding("server", "ok" if answer == "healthy" else "problem", f"{answer} at {address}")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, port))
        except OSError:
            return False
    return True


def _database(config: ServerConfig) -> Finding:
    url = config.postgres_url
    return _embedded() if url is None else _given(config, mask_url(url))


def _embedded() -> Finding:
    from runtara.server.postgres_programs import find_programs

    try:
        return Finding("database", "ok", f"a private PostgreSQL of {find_programs()}")
    except RuntaraError as error:
        return Finding("database", "problem", error.message, error.hint)


def _given(config: ServerConfig, shown: str) -> Finding:
    from runtara.server.compose import migrations_of, open_pool

    async def ask() -> int:
        async with open_pool(config, DataDir(config.data_dir)) as (pool, _):
            return sum(state.applied_at is None for state in await migrations_of(config).status(pool))

    try:
        missing = asyncio.run(ask())
    except RuntaraError as error:
        return Finding("database", "problem", error.message, error.hint)
    if missing:
        return Finding(
            "database", "warning", f"{shown} lacks {missing} migrations", "A start of the server applies them."
        )
    return Finding("database", "ok", shown)
