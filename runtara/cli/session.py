"""What every command that asks a server has in common: how it finds the server, and how it says what it heard."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from runtara.config import ClientConfig
from runtara.errors import Unavailable

if TYPE_CHECKING:
    from runtara.client import Client

__all__ = ("Session", "asking", "data_dir_option", "debug_option", "json_option", "json_value")

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
debug_option = click.option("--debug", is_flag=True, expose_value=False, hidden=True, help="As before the command.")
data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="The server's directory. [DATA_DIR, else .data]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One call of a command that asks a server."""

    config: ClientConfig
    tenant_id: str | None
    as_json: bool
    is_debug: bool = False
    """Whether everything shall be said that can be."""

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        """The server that was named, or that runs on this host."""
        # Not at the top: a wrong option should be told without waiting for a QUIC library.
        from runtara.client import Client

        client = Client.configured(self.config, tenant_id=self.tenant_id)
        try:
            await client.open()
        except Unavailable as error:
            error.hint = error.hint or (
                f"Is a server at {client.address}? `runtara serve` starts one; --data-dir or --addr names another."
            )
            raise
        async with client:
            yield client


def asking(function: Callable[..., Coroutine[Any, Any, int | None]]) -> Callable[..., int | None]:
    """Make an async function of a session a command: adds the options, reads the settings, runs it."""

    @data_dir_option
    @click.option("--addr", "environment_addr", metavar="HOST:PORT", help="The server. [RUNTARA_ENVIRONMENT_ADDR]")
    @click.option("--token", help="Who you are. [RUNTARA_TOKEN, better: it stays out of the process list]")
    @click.option("--ca", "ca_file", type=click.Path(path_type=Path), help="The server's CA. [RUNTARA_CA_FILE]")
    @click.option("--tenant", "tenant_id", help="Whom you mean, as an administrator.")
    @json_option
    @click.option("--debug", "is_debug", is_flag=True, hidden=True, help="As before the command.")
    @wraps(function)
    def command(*, as_json: bool, tenant_id: str | None, is_debug: bool, **given: Any) -> int | None:
        names = ("data_dir", "environment_addr", "token", "ca_file")
        config = ClientConfig.from_env(**{name: given.pop(name) for name in names})
        session = Session(config=config, tenant_id=tenant_id, as_json=as_json, is_debug=is_debug)
        return asyncio.run(function(session, **given))

    return command


def json_value(ctx: click.Context, parameter: click.Parameter, written: str | None) -> msgspec.Raw | None:
    """A JSON document, or after an ``@`` the file that holds one (``-``: stdin); checked, and passed on as written."""
    if written is None:
        return None
    document = _read(written[1:]) if written.startswith("@") else written.encode("utf-8", "surrogateescape")
    try:
        document.decode()
        msgspec.json.decode(document, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise click.BadParameter(f"{written[:60]!r} is not JSON: {error}") from None
    return msgspec.Raw(document)


def _read(path: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{path!r} cannot be read: {error.strerror}") from None
