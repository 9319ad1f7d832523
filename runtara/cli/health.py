"""How a server is."""

from __future__ import annotations

import click

from runtara.cli.app import EXIT_FAILED
from runtara.cli.output import emit_json, facts
from runtara.cli.session import Session, asking

__all__ = ("health_command",)


@click.command()
@asking
async def health_command(session: Session) -> int:
    """Ask a server how it is; exit code 0 when it is well."""
    async with session.connect() as client:
        health = await client.health()
    if session.as_json:
        emit_json(health)
    else:
        facts(
            [
                ("healthy", health.healthy),
                ("version", health.version),
                ("uptime_s", round(health.uptime_s, 1)),
                *sorted(health.counts.items()),
                *sorted(health.detail.items()),
            ]
        )
    return 0 if health.healthy else EXIT_FAILED
