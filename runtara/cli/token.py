"""Access tokens: create, list, revoke."""

from __future__ import annotations

import click

from runtara.cli.output import emit_json, note, table
from runtara.cli.session import Session, asking

__all__ = ("token_command",)


@click.group()
def token_command() -> None:
    """Create, list and revoke access tokens. For administrators."""


# Its --tenant is the token's tenant: whom the caller means is no question here.
@token_command.command("create")
@click.option("--admin", is_flag=True, help="An administrator's, instead of a tenant's.")
@click.option("--note", help="What it is for.")
@asking
async def create(session: Session, *, admin: bool, note: str | None) -> None:
    """Create a token of a tenant (--tenant T). The token is printed this once; only its digest is stored."""
    if admin == (session.tenant_id is not None):
        raise click.UsageError("say whose it is: --tenant T, or --admin")
    async with session.connect() as client:
        created = await client.create_token(tenant_id=session.tenant_id, note=note)
    if session.as_json:
        emit_json({"token_id": created.token_id, "tenant_id": session.tenant_id, "token": created.token})
    else:
        click.echo(created.token)
        _say_how_to_revoke(created.token_id)


def _say_how_to_revoke(token_id: str) -> None:
    note(f"Keep it: it is not shown again. `runtara token revoke {token_id}` ends it.")


@token_command.command("list")
@asking
async def list_tokens(session: Session) -> None:
    """List tokens, without their secrets; with --tenant those of one tenant."""
    async with session.connect() as client:
        tokens = await client.list_tokens(tenant_id=session.tenant_id)
    if session.as_json:
        emit_json(tokens)
    else:
        columns = ("token_id", "tenant_id", "note", "created_at", "revoked_at")
        table(columns, ([getattr(token, name) for name in columns] for token in tokens))


@token_command.command("revoke")
@click.argument("token_id")
@asking
async def revoke(session: Session, *, token_id: str) -> None:
    """Refuse a token from now on."""
    async with session.connect() as client:
        await client.revoke_token(token_id)
    if session.as_json:
        emit_json({"revoked": token_id})
    else:
        click.echo(f"revoked {token_id}")
