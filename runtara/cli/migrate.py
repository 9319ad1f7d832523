"""Bring the database to this version's schema, or say where it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from runtara.cli.app import EXIT_FAILED
from runtara.cli.output import emit_json, table
from runtara.cli.session import data_dir_option, debug_option, json_option
from runtara.config import ServerConfig
from runtara.datadir import DataDir

__all__ = ("migrate_command",)


@click.command()
@data_dir_option
@click.option("--core-only", is_flag=True, help="Only what a --core-only server needs.")
@click.option("--status", "only_status", is_flag=True, help="Change nothing; exit code 1 when something is missing.")
@json_option
@debug_option
def migrate_command(data_dir: Path | None, core_only: bool, only_status: bool, as_json: bool) -> int:
    """Bring the database to this version's schema. A server does the same when it starts."""
    config = ServerConfig.from_env(data_dir=data_dir, core_only=core_only)
    states = asyncio.run(_migrate(config, only_status=only_status))
    columns = ("component", "version", "name", "applied_at")
    if as_json:
        emit_json([{column: getattr(state, column) for column in columns} for state in states])
    else:
        table(columns, ([getattr(state, column) for column in columns] for state in states))
    return EXIT_FAILED if any(state.applied_at is None for state in states) else 0


async def _migrate(config: ServerConfig, *, only_status: bool) -> Sequence[Any]:
    from runtara.server.compose import migrations_of, open_pool
    from runtara.server.data_directory import hold

    # A private database has one owner at a time; one that was given has many, and needs no directory.
    holding = hold(config.data_dir) if config.postgres_url is None else nullcontext(DataDir(config.data_dir))
    with holding as data:
        async with open_pool(config, data) as (pool, _):
            migrations = migrations_of(config)
            if not only_status:
                await migrations.run(pool)
            return await migrations.status(pool)
