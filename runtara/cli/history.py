"""What an instance left behind: checkpoints, events, logs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any, Final

import anyio
import click

from runtara.cli.output import emit_json, emit_line, shown, table
from runtara.cli.session import Session, asking
from runtara.client import Checkpoint, Client, Event

__all__ = ("checkpoints_command", "events_command", "logs_command")

_FOLLOW_INTERVAL_S: Final = 0.5

_follow = click.option("--follow", is_flag=True, help="Go on until the instance has ended.")


@click.command()
@click.argument("instance_id", metavar="ID")
@click.option("--key", help="Print what is saved under this key.")
@_follow
@asking
async def checkpoints_command(session: Session, *, instance_id: str, key: str | None, follow: bool) -> None:
    """Show what an instance has saved, oldest first; with --key one saved value."""
    async with session.connect() as client:
        if key is not None:
            _emit_state(session, await client.get_checkpoint(instance_id, key))
        elif follow:
            async for checkpoint in _follow_checkpoints(client, instance_id):
                _emit_checkpoint(session, checkpoint)
        else:
            _emit_checkpoints(session, [row async for row in client.checkpoints(instance_id)][::-1])


def _emit_state(session: Session, value: Any) -> None:
    """A value as JSON; bytes that are none as they are, unless JSON was asked for."""
    if isinstance(value, bytes) and not session.as_json:
        _write(value)
    else:
        emit_json(value)


def _emit_checkpoints(session: Session, rows: list[Checkpoint]) -> None:
    if session.as_json:
        emit_json(rows)
    else:
        table(
            ("key", "attempt", "created_at", "bytes"),
            ((row.key, row.attempt, row.created_at, row.state_bytes) for row in rows),
        )


def _emit_checkpoint(session: Session, row: Checkpoint) -> None:
    if session.as_json:
        emit_line(row)
    else:
        click.echo(f"{shown(row.created_at)}  {row.key}  {row.state_bytes} bytes")


async def _follow_checkpoints(client: Client, instance_id: str) -> AsyncIterator[Checkpoint]:
    """Each checkpoint once, in the order in which they came."""
    known: set[str] = set()
    while True:
        has_ended = (await client.get_instance(instance_id)).is_terminal
        fresh: list[Checkpoint] = []
        async for row in client.checkpoints(instance_id):
            if row.key in known:
                break
            fresh.append(row)
        for row in reversed(fresh):
            known.add(row.key)
            yield row
        if has_ended:
            return
        await anyio.sleep(_FOLLOW_INTERVAL_S)


@click.command()
@click.argument("instance_id", metavar="ID")
@click.option("--type", "types", multiple=True, help="Only these; may be given more than once.")
@_follow
@asking
async def events_command(session: Session, *, instance_id: str, types: tuple[str, ...], follow: bool) -> None:
    """Show what happened to an instance, oldest first."""
    async with session.connect() as client:
        rows = client.events(instance_id, types=types, follow=follow)
        if follow:
            async for event in rows:
                _emit_event(session, event)
        elif session.as_json:
            emit_json([event async for event in rows])
        else:
            columns = ("event_no", "created_at", "attempt", "type", "subtype", "payload")
            table(columns, [[getattr(event, name) for name in columns] async for event in rows])


def _emit_event(session: Session, event: Event) -> None:
    if session.as_json:
        emit_line(event)
        return
    name = event.type if event.subtype is None else f"{event.type} {event.subtype}"
    payload = "" if event.payload is None else shown(event.payload)
    click.echo(f"{shown(event.created_at)}  {name}  {payload}".rstrip())


@click.command()
@click.argument("instance_id", metavar="ID")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this one, to stdout.")
@_follow
@asking
async def logs_command(session: Session, *, instance_id: str, stream: str | None, follow: bool) -> None:
    """Show what an instance wrote: its stdout to stdout, its stderr to stderr."""
    streams = [stream] if stream is not None else ["stdout", "stderr"]
    async with session.connect() as client:
        if session.as_json and not follow:
            emit_json({name: await _whole(client, instance_id, name) for name in streams})
            return
        # Not a task group: the first error is the answer, and not one of a group of errors.
        copies = (
            _copy(client, session, instance_id, name, to_stderr=stream is None, follow=follow) for name in streams
        )
        await asyncio.gather(*copies)


async def _whole(client: Client, instance_id: str, stream: str) -> str:
    return b"".join([chunk async for chunk in client.logs(instance_id, stream=stream)]).decode("utf-8", "replace")


async def _copy(
    client: Client, session: Session, instance_id: str, stream: str, *, to_stderr: bool, follow: bool
) -> None:
    async for chunk in client.logs(instance_id, stream=stream, follow=follow):
        if session.as_json:
            emit_line({"stream": stream, "text": chunk.decode("utf-8", "replace")})
        else:
            _write(chunk, to_stderr=to_stderr and stream == "stderr")


def _write(data: bytes, *, to_stderr: bool = False) -> None:
    file = sys.stderr.buffer if to_stderr else sys.stdout.buffer
    file.write(data)
    file.flush()
