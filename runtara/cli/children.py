"""``--child``: the scenarios that a scenario starts, from files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from runtara.dsl.children import Child

__all__ = ("child_option", "read_children")


def read_children(ctx: click.Context, parameter: click.Parameter, written: tuple[str, ...]) -> tuple[Child, ...]:
    """The callback of an option that may be given more than once: each value names a scenario and its file."""
    return tuple(map(_child, written))


def _child(written: str) -> Child:
    from runtara.dsl.children import Child

    name, separator, path = written.partition("=")
    scenario_id, _, version = name.partition("@")
    if not separator or not scenario_id or not path:
        raise click.BadParameter(f"{written!r} is not ID=FILE or ID@VERSION=FILE")
    if version and (not version.isascii() or not version.isdigit() or int(version) < 1):
        raise click.BadParameter(f"{version!r} is not a version: a whole number from 1")
    try:
        document = Path(path).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{path!r} cannot be read: {error.strerror}") from None
    return Child(scenario_id=scenario_id, document=document, version=int(version or 1))


child_option = click.option(
    "--child",
    "children",
    multiple=True,
    metavar="ID[@VERSION]=FILE",
    callback=read_children,
    help="A scenario that it starts, or that one of those starts; as often as needed.",
)
