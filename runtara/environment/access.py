"""Who asks, and what they may see: access tokens, and the one rule of tenancy.

A tenant's token sees its own tenant and nothing else; naming another tenant gives the answer that an unknown one
gives. An administrator may name any tenant, or none.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from runtara.environment.store.base import EnvironmentStore
from runtara.errors import BadCredential, NotFound, PermissionDenied
from runtara.ids import TenantId, parse_tenant_id

__all__ = ("ADMINISTRATOR", "Authenticate", "Principal", "hash_token", "new_token", "only_token", "stored_tokens")

DEFAULT_TENANT: Final = TenantId("default")
"""Where an administrator's images and instances go when no tenant is named."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who was recognised. Without a tenant: an administrator."""

    tenant_id: TenantId | None

    def scope(self, asked: str | None) -> TenantId | None:
        """The tenant to look in; None (administrators only): in all.

        Raises:
            NotFound: it is another's tenant.
        """
        if asked is None:
            return self.tenant_id
        tenant_id = parse_tenant_id(asked)
        if self.tenant_id not in (None, tenant_id):
            raise NotFound(f"there is no tenant {asked!r}", hint="Leave the tenant out: the token has one.")
        return tenant_id

    def home(self, asked: str | None) -> TenantId:
        """The tenant in which to make something. Raises as ``scope`` does."""
        return self.scope(asked) or DEFAULT_TENANT

    def require_administrator(self) -> None:
        """Raises ``PermissionDenied`` for a tenant."""
        if self.tenant_id is not None:
            raise PermissionDenied("only an administrator may do this", hint="Use an administrator's token.")


ADMINISTRATOR: Final = Principal(tenant_id=None)

Authenticate: TypeAlias = Callable[[str], Awaitable[Principal]]
"""Who has this token. Raises ``BadCredential`` when nobody has, ``Unavailable`` when nobody can say."""

_TOKEN: Final = re.compile(r"rt_[A-Za-z0-9_-]{43}\Z")


def new_token() -> str:
    """A fresh secret of 256 bits; the prefix makes one that leaked easy to find."""
    return f"rt_{secrets.token_urlsafe(32)}"


def hash_token(token: str) -> bytes:
    """What is stored of it. Guessing 256 random bits needs no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def stored_tokens(store: EnvironmentStore) -> Authenticate:
    """Tokens as the store knows them."""

    async def authenticate(token: str) -> Principal:
        # What cannot be a token is not looked up.
        found = await store.find_token(hash_token(token)) if _TOKEN.match(token) else None
        if found is None:
            raise _unknown()
        return Principal(found.tenant_id)

    return authenticate


def only_token(administrators: bytes) -> Authenticate:
    """One administrator's token, known by its hash: for a server without a token store."""

    async def authenticate(token: str) -> Principal:
        if not hmac.compare_digest(hash_token(token), administrators):
            raise _unknown()
        return ADMINISTRATOR

    return authenticate


def _unknown() -> BadCredential:
    return BadCredential("the token is unknown or revoked", hint="Set RUNTARA_TOKEN, or ask for a new token.")
