"""Run a server until somebody says stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

import click

from runtara.cli.app import EXIT_INTERRUPTED
from runtara.cli.output import emit_line
from runtara.cli.session import data_dir_option, debug_option, json_option
from runtara.config import ServerConfig
from runtara.errors import Unavailable
from runtara.server import RuntaraServer

__all__ = ("serve_command", "set_up_logging")


@click.command()
@data_dir_option
@click.option("--core-only", is_flag=True, help="Durability without managed processes.")
@click.option("--insecure-dev", is_flag=True, help="No tokens needed. Refused unless on loopback.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[RUNTARA_LOG_LEVEL]")
@json_option
@debug_option
def serve_command(
    data_dir: Path | None, core_only: bool, insecure_dev: bool, log_level: str | None, as_json: bool
) -> int:
    """Run a server. Prints one line that begins with "ready" when it serves.

    SIGTERM or SIGINT: programs suspend at their next safe point, then it stops. A second one hurries it.
    """
    config = ServerConfig.from_env(
        data_dir=data_dir, core_only=core_only, insecure_dev=insecure_dev, log_level=log_level
    )
    set_up_logging(config.log_level)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(config, as_json=as_json))


async def _serve(config: ServerConfig, *, as_json: bool) -> int:
    server = RuntaraServer(config)
    signals = _stop_on_signals(server)
    try:
        await server.start()
    except Unavailable:
        if not signals:
            raise
        return EXIT_INTERRUPTED
    async with server:
        _say_ready(server, as_json=as_json)
        await server.wait_stopping()
    return 0


def _stop_on_signals(server: RuntaraServer) -> list[int]:
    """The first one stops it, any other hurries it; the signals that were heard so far."""
    signals: list[int] = []

    def heard(number: int) -> None:
        signals.append(number)
        if len(signals) == 1:
            server.request_stop()
        else:
            server.hurry()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, heard, number)
    return signals


def _say_ready(server: RuntaraServer, *, as_json: bool) -> None:
    facts = {
        "instance": str(server.instance_address),
        "management": str(server.management_address),
        "database": server.database,
    }
    if as_json:
        emit_line({"ready": True, **facts})
    else:
        click.echo(" ".join(["ready", *(f"{name}={value}" for name, value in facts.items())]))
    # Whoever waits for this line reads from a pipe.
    sys.stdout.flush()


def set_up_logging(level: str) -> None:
    """Log lines on stderr, from that level on."""
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """The faster loop, where uvloop is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop
