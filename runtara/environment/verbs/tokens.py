"""Access tokens, for administrators."""

from __future__ import annotations

from runtara.environment.access import hash_token, new_token
from runtara.environment.store.base import EnvironmentStore
from runtara.environment.verbs.caller import Caller
from runtara.environment.verbs.checks import check_text
from runtara.environment.verbs.views import token_view
from runtara.ids import TenantId, parse_name, parse_tenant_id
from runtara.protocol import messages as m

__all__ = ("TokenVerbs",)


class TokenVerbs:
    """See the module. Every verb raises ``PermissionDenied`` for a tenant."""

    def __init__(self, store: EnvironmentStore) -> None:
        self._store = store

    async def create(self, caller: Caller, request: m.CreateToken) -> m.TokenCreated:
        """A new token. Not idempotent: after a lost answer, make another one and revoke the unused."""
        caller.principal.require_administrator()
        token = new_token()
        stored = await self._store.create_token(
            hash_token(token), tenant_id=_tenant(request.token_tenant_id), note=check_text("note", request.note)
        )
        return m.TokenCreated(stored.token_id, token)

    async def list(self, caller: Caller, request: m.ListTokens) -> m.TokenList:
        """All tokens, without their secrets."""
        caller.principal.require_administrator()
        tokens = await self._store.list_tokens(_tenant(request.token_tenant_id))
        return m.TokenList(tuple(token_view(token) for token in tokens))

    async def revoke(self, caller: Caller, request: m.RevokeToken) -> m.Ok:
        """It is refused from now on, and within seconds on connections that are open."""
        caller.principal.require_administrator()
        await self._store.revoke_token(parse_name(request.token_id, what="token_id"))
        return m.Ok()


def _tenant(tenant_id: str | None) -> TenantId | None:
    return None if tenant_id is None else parse_tenant_id(tenant_id)
