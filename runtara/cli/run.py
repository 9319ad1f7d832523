"""Start an instance, and follow it to its result if asked."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from runtara.cli.app import EXIT_FAILED
from runtara.cli.children import child_option
from runtara.cli.compile import compile_file, name_of, show_diagnostics, show_refusal
from runtara.cli.instances import show_instance
from runtara.cli.output import emit_json, facts, note
from runtara.cli.progress import PlainLines, Screen, follow_steps, screen_for
from runtara.cli.session import Session, asking, json_value
from runtara.client import Client, Image, Instance, InstanceHandle
from runtara.errors import InternalError, ScenarioInvalid

if TYPE_CHECKING:
    from runtara.dsl.children import Child

__all__ = ("follow", "run_command", "start_command")

_input = click.option("--input", "document", metavar="JSON|@FILE", callback=json_value, help="[{}]")
_id = click.option("--id", "instance_id", help="Its id: starting the same twice is starting it once. [a new one]")
_timeout = click.option("--timeout", "timeout_s", type=float, help="Seconds that an attempt may run.")
_env = click.option("--env", "env", multiple=True, metavar="NAME=VALUE", help="A variable for the program.")


@click.command()
@click.argument("image")
@_input
@_id
@_timeout
@_env
@click.option("--wait", is_flag=True, help="Wait for its end; exit code 1 unless it completed.")
@asking
async def start_command(
    session: Session,
    *,
    image: str,
    document: msgspec.Raw | None,
    instance_id: str | None,
    timeout_s: float | None,
    env: tuple[str, ...],
    wait: bool,
) -> int:
    """Start an instance of IMAGE, by id or by name."""
    variables = _variables(env)
    async with session.connect() as client:
        handle = await client.start_instance(
            image, input=document, instance_id=instance_id, timeout_s=timeout_s, env=variables
        )
        if wait:
            return await follow(session, handle)
    if session.as_json:
        emit_json(handle.started)
    else:
        click.echo(handle.instance_id)
    return 0


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_input
@_id
@_timeout
@_env
@click.option("--name", help="What to call the image. [the file's name; with .debug behind it when it shows steps]")
@child_option
@click.option("--steps/--no-steps", default=None, help="Show the steps as they happen. [yes; no with --json]")
@asking
async def run_command(
    session: Session,
    *,
    file: Path,
    document: msgspec.Raw | None,
    instance_id: str | None,
    timeout_s: float | None,
    env: tuple[str, ...],
    name: str | None,
    children: tuple[Child, ...],
    steps: bool | None,
) -> int:
    """Compile the scenario in FILE, push, start and follow it, and print its result.

    A zipapp or a Python file is pushed as it is. To show its steps, a scenario is compiled in debug mode: each step
    writes events, and breakpoints hold; so it is with --debug.
    """
    variables = _variables(env)
    shows_steps = not session.as_json and steps is not False and file.suffix == ".json"
    is_debug = session.is_debug or shows_steps
    async with session.connect() as client:
        try:
            # Who starts the plain name later must not get what was compiled to be watched.
            known_as = name or f"{name_of(file)}{'.debug' if is_debug else ''}"
            image = await _push(client, file, known_as, is_debug=is_debug, children=children)
        except ScenarioInvalid as error:
            return show_refusal(error, as_json=session.as_json)
        handle = await client.start_instance(
            image.image_id,
            input=document,
            instance_id=instance_id,
            tenant_id=image.tenant_id,
            timeout_s=timeout_s,
            env=variables,
        )
        return await follow(session, handle, steps_of=client if shows_steps else None)


async def _push(client: Client, file: Path, name: str, *, is_debug: bool, children: tuple[Child, ...]) -> Image:
    if file.suffix != ".json":
        return await client.register_image(file, name=name)
    result = compile_file(file, is_debug=is_debug, children=children)
    show_diagnostics(result.warnings)
    return await client.register_image(result.binary_path, name=name)


async def follow(session: Session, handle: InstanceHandle, *, steps_of: Client | None = None) -> int:
    """Say what happens to it, then what came of it; 0 when it completed. With a client also say what its steps do."""
    note(f"instance {handle.instance_id}")
    try:
        instance = await (_last(handle, PlainLines()) if steps_of is None else _last_with_steps(steps_of, handle))
    except BaseException:
        note(f"It goes on without us: `runtara status {handle.instance_id}` says how it is.")
        raise
    if session.as_json:
        show_instance(session, instance)
    elif instance.status == "completed":
        emit_json(instance.output)
    else:
        facts([("status", instance.status), ("reason", instance.termination_reason), ("error", instance.error)])
    return 0 if instance.status == "completed" else EXIT_FAILED


async def _last(handle: InstanceHandle, screen: Screen, steps: asyncio.Task[None] | None = None) -> Instance:
    """The instance when it has ended, and everything about its steps is said."""
    async with aclosing(handle.changes()) as changes:
        async for instance in changes:
            if instance.is_terminal and steps is not None:
                await steps
            screen.say(_line(instance))
            if instance.is_terminal:
                return instance
    raise InternalError("the server ended the watch before the instance ended")


async def _last_with_steps(client: Client, handle: InstanceHandle) -> Instance:
    screen = screen_for(sys.stderr)
    steps = asyncio.create_task(follow_steps(client, handle, screen))
    try:
        return await _last(handle, screen, steps)
    finally:
        steps.cancel()


def _line(instance: Instance) -> str:
    facts: list[Any] = [instance.status]
    if instance.status == "running":
        facts.append(f"attempt {instance.attempt}")
    if instance.termination_reason is not None and instance.termination_reason != instance.status:
        facts.append(instance.termination_reason)
    if instance.wake_at is not None and instance.status == "suspended":
        facts.append(f"until {instance.wake_at:%Y-%m-%d %H:%M:%SZ}")
    return f"{facts[0]} ({', '.join(facts[1:])})" if facts[1:] else facts[0]


def _variables(env: tuple[str, ...]) -> dict[str, str]:
    pairs = [each.partition("=") for each in env]
    for name, separator, _ in pairs:
        if not name or not separator:
            raise click.BadParameter(f"{name!r} is not NAME=VALUE", param_hint="--env")
    return {name: value for name, _, value in pairs}
