"""Images: push, list, show, delete."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from runtara.cli.output import emit_json, facts, table
from runtara.cli.session import Session, asking, json_value
from runtara.client import Image

__all__ = ("image_command", "progress")


@click.group()
def image_command() -> None:
    """Push, list, show and delete images."""


@image_command.command("push")
@click.argument("artifact", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="OUT")
@click.option("--name", required=True, help="What to start it by.")
@click.option("--description", help="For people.")
@click.option("--metadata", metavar="JSON|@FILE", callback=json_value, help="A JSON object to keep with it.")
@asking
async def push(
    session: Session, *, artifact: Path, name: str, description: str | None, metadata: msgspec.Raw | None
) -> None:
    """Register a compiled scenario, a zipapp or a Python file. The same bytes and name give the same image."""
    known = _object(metadata)
    async with session.connect() as client:
        with progress(artifact) as on_progress:
            image = await client.register_image(
                artifact, name=name, description=description, metadata=known, on_progress=on_progress
            )
    if session.as_json:
        emit_json(image)
    else:
        click.echo(image.image_id)


@image_command.command("list")
@asking
async def list_images(session: Session) -> None:
    """List images, newest first."""
    async with session.connect() as client:
        images = [image async for image in client.list_images()]
    if session.as_json:
        emit_json(images)
    else:
        columns = ("image_id", "tenant_id", "name", "size_bytes", "created_at", "description")
        table(columns, ([getattr(image, name) for name in columns] for image in images))


@image_command.command("show")
@click.argument("image")
@asking
async def show(session: Session, *, image: str) -> None:
    """Show one image, by id or by name."""
    async with session.connect() as client:
        found = await client.get_image(image)
    if session.as_json:
        emit_json(found)
    else:
        facts((name, getattr(found, name)) for name in Image.__dataclass_fields__)


@image_command.command("delete")
@click.argument("image")
@asking
async def delete(session: Session, *, image: str) -> None:
    """Delete an image, by id or by name; refused while an instance that has not ended needs it."""
    async with session.connect() as client:
        await client.delete_image(image)
    if session.as_json:
        emit_json({"deleted": image})
    else:
        click.echo(f"deleted {image}")


@contextmanager
def progress(artifact: Path) -> Iterator[Callable[[int], None] | None]:
    """Show how much of it was taken, where somebody is looking."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=artifact.stat().st_size, label="pushing", file=sys.stderr) as bar:
        yield lambda taken_bytes: bar.update(taken_bytes - bar.pos)


def _object(metadata: msgspec.Raw | None) -> dict[str, Any]:
    if metadata is None:
        return {}
    value = msgspec.json.decode(metadata)
    if not isinstance(value, dict):
        raise click.BadParameter("the metadata must be a JSON object", param_hint="--metadata")
    return value
