"""The administrator's token of a data directory: whoever may read the file may do everything on this server."""

from __future__ import annotations

from runtara.datadir import DataDir
from runtara.environment.access import Authenticate, hash_token, new_token, only_token, stored_tokens
from runtara.environment.store.base import EnvironmentStore
from runtara.errors import Conflict
from runtara.server.data_directory import read_or_create, write_private

__all__ = ("authenticate_with",)

_NOTE = "admin-token of a data directory"


async def authenticate_with(data: DataDir, store: EnvironmentStore | None) -> Authenticate:
    """How tokens are recognised; the token in ``admin-token`` is one of them when this returns.

    Without a store (``--core-only``) it is the only one.
    """
    token = read_or_create(data.admin_token, _fresh).decode("ascii", "replace").strip()
    if store is None:
        return only_token(hash_token(token))
    if await store.find_token(hash_token(token)) is None:
        await _store(data, store, token)
    return stored_tokens(store)


async def _store(data: DataDir, store: EnvironmentStore, token: str) -> None:
    try:
        await store.create_token(hash_token(token), tenant_id=None, note=_NOTE)
    except Conflict:
        # Known and not found: it was revoked. Whoever may write this directory gets a new one.
        fresh = _fresh()
        write_private(data.admin_token, fresh)
        await store.create_token(hash_token(fresh.decode().strip()), tenant_id=None, note=_NOTE)


def _fresh() -> bytes:
    return f"{new_token()}\n".encode()
