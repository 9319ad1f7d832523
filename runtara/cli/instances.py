"""Looking at instances and steering them."""

from __future__ import annotations

from typing import Any, Final

import click
import msgspec

from runtara.cli.output import emit_json, facts, note, table
from runtara.cli.session import Session, asking, json_value
from runtara.client import Instance

__all__ = (
    "cancel_command",
    "list_command",
    "pause_command",
    "resume_command",
    "show_instance",
    "signal_command",
    "status_command",
    "stop_command",
)

_SUMMARY: Final = ("instance_id", "tenant_id", "status", "termination_reason", "attempt", "created_at", "finished_at")


def show_instance(session: Session, instance: Instance) -> None:
    """All that is known of it."""
    if session.as_json:
        emit_json(instance)
    else:
        facts((name, getattr(instance, name)) for name in Instance.__dataclass_fields__)


@click.command()
@click.argument("instance_id", metavar="ID")
@click.option("--input", "with_input", is_flag=True, help="Show its input too.")
@asking
async def status_command(session: Session, *, instance_id: str, with_input: bool) -> None:
    """Show one instance."""
    async with session.connect() as client:
        show_instance(session, await client.get_instance(instance_id, with_input=with_input))


@click.command()
@click.option("--status", "statuses", multiple=True, help="Only these; may be given more than once.")
@click.option("--image", help="Only instances of this image, by id or name.")
@click.option("--prefix", help="Only ids that begin like this.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many.")
@asking
async def list_command(
    session: Session, *, statuses: tuple[str, ...], image: str | None, prefix: str | None, limit: int
) -> None:
    """List instances, newest first."""
    async with session.connect() as client:
        rows = client.list_instances(
            statuses=statuses, image=image, instance_id_prefix=prefix, page_rows=min(limit + 1, 1000)
        )
        found: list[Instance] = []
        async for instance in rows:
            found.append(instance)
            if len(found) > limit:
                break
    if session.as_json:
        emit_json(found[:limit])
        return
    table(_SUMMARY, ([getattr(row, name) for name in _SUMMARY] for row in found[:limit]))
    if len(found) > limit:
        note(f"There are more than {limit}; --limit shows them.")


@click.command()
@click.argument("instance_id", metavar="ID")
@asking
async def pause_command(session: Session, *, instance_id: str) -> None:
    """Ask an instance to pause: at its next safe point, or at once when no program runs."""
    async with session.connect() as client:
        show_instance(session, await client.pause(instance_id))


@click.command()
@click.argument("instance_id", metavar="ID")
@click.option("--from", "source", type=click.Choice(["failed"]), help="Also one that failed or was cancelled.")
@asking
async def resume_command(session: Session, *, instance_id: str, source: str | None) -> None:
    """Let a paused instance go on from its checkpoints."""
    async with session.connect() as client:
        show_instance(session, await client.resume(instance_id, from_failed=source == "failed"))


@click.command()
@click.argument("instance_id", metavar="ID")
@click.option("--reason", help="For whoever asks later.")
@asking
async def cancel_command(session: Session, *, instance_id: str, reason: str | None) -> None:
    """Ask an instance to end: at its next safe point, or at once when no program runs."""
    async with session.connect() as client:
        show_instance(session, await client.cancel(instance_id, reason=reason))


@click.command()
@click.argument("instance_id", metavar="ID")
@click.option("--grace", "grace_s", type=click.FloatRange(0), default=5.0, show_default=True, help="Seconds to wait.")
@click.option("--reason", help="For whoever asks later.")
@asking
async def stop_command(session: Session, *, instance_id: str, grace_s: float, reason: str | None) -> None:
    """Cancel an instance, give it some time, then end its process."""
    async with session.connect() as client:
        show_instance(session, await client.stop(instance_id, grace_s=grace_s, reason=reason))


@click.command()
@click.argument("instance_id", metavar="ID")
@click.argument("name")
@click.option("--payload", metavar="JSON|@FILE", callback=json_value, help="What the program is handed.")
@asking
async def signal_command(session: Session, *, instance_id: str, name: str, payload: msgspec.Raw | None) -> None:
    """Send a custom signal to the program that waits, or will wait, for NAME."""
    async with session.connect() as client:
        signal_no = await client.send_custom_signal(instance_id, name, payload)
    said: dict[str, Any] = {"instance_id": instance_id, "name": name, "signal_no": signal_no}
    if session.as_json:
        emit_json(said)
    else:
        facts(said.items())
