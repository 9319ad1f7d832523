"""The server's health, and access tokens."""

from __future__ import annotations

from runtara.client.calls import Calls
from runtara.client.records import Health, NewToken, Token
from runtara.protocol import messages as m

__all__ = ("AdministrationCalls",)


class AdministrationCalls(Calls):
    """See the module. Tokens are for administrators: ``PermissionDenied`` for everybody else."""

    async def health(self, *, timeout_s: float | None = None) -> Health:
        """How the server is. Needs no token; without one, counts and detail are empty."""
        report = await self._call(m.Health(), m.HealthReport, timeout_s=timeout_s)
        return Health(
            healthy=report.healthy,
            version=report.version,
            uptime_s=report.uptime_s,
            counts=report.counts,
            detail=report.detail,
        )

    async def create_token(self, *, tenant_id: str | None, note: str | None = None) -> NewToken:
        """A new token of a tenant; None makes an administrator's. Its secret is shown this once.

        Raises:
            OutcomeUnknown: it may have been made, and its secret is lost; revoke it and make another.
        """
        created = await self._call(m.CreateToken(tenant_id, note), m.TokenCreated, repeats=False)
        return NewToken(token_id=created.token_id, token=created.token)

    async def list_tokens(self, *, tenant_id: str | None = None) -> list[Token]:
        """All tokens, or those of one tenant, revoked ones included."""
        listed = await self._call(m.ListTokens(tenant_id), m.TokenList)
        return [
            Token(
                token_id=view.token_id,
                tenant_id=view.tenant_id,
                note=view.note,
                created_at=view.created_at,
                revoked_at=view.revoked_at,
            )
            for view in listed.tokens
        ]

    async def revoke_token(self, token_id: str) -> None:
        """Refuse it from now on, within seconds on open connections too. Revoking twice is fine."""
        await self._call(m.RevokeToken(token_id), m.Ok)
