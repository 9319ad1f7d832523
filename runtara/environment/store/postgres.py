"""``EnvironmentStore`` on the same PostgreSQL as the core's persistence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from runtara.core.model import Page
from runtara.core.persistence.cursors import number_of, page_of
from runtara.core.persistence.postgres.database import Database, Jsonb, Row, fetch
from runtara.core.persistence.postgres.errors import Violation
from runtara.core.persistence.postgres.pool import Pool
from runtara.core.persistence.postgres.statements import load_statements
from runtara.environment.store.base import Image, NewImage, Token
from runtara.errors import AlreadyExists, ImageInUse, NotFound
from runtara.ids import TenantId, new_id
from runtara.limits import UPLOAD_CHUNK_BYTES_MAX

__all__ = ("PostgresStore",)

_SQL: Final = load_statements(__package__, "postgres.sql")


class PostgresStore:
    """See ``EnvironmentStore``."""

    def __init__(self, pool: Pool) -> None:
        self._database = Database(pool)

    # ---- bytes

    async def put_blob(self, digest: bytes, chunks: AsyncIterator[bytes]) -> None:
        """See ``EnvironmentStore.put_blob``."""
        if await self._database.read(_SQL["find_blob"], {"digest": digest}):
            await self._database.write(_SQL["touch_blob"], {"digest": digest})
            return
        async with self._database.transaction() as connection:
            # Two uploads of the same bytes: the second waits here for the first, and then has nothing to do.
            if not await fetch(connection, _SQL["store_blob"], {"digest": digest}):
                return
            chunk_no = 0
            async for data in _split(chunks):
                parameters = {"digest": digest, "chunk_no": chunk_no, "data": data}
                await fetch(connection, _SQL["store_chunk"], parameters)
                chunk_no += 1

    async def read_blob(self, digest: bytes) -> AsyncIterator[bytes]:
        """See ``EnvironmentStore.read_blob``."""
        chunk_no = 0
        # A statement per chunk: nothing is held open while the reader takes its time.
        while rows := await self._database.read(_SQL["read_chunk"], {"digest": digest, "chunk_no": chunk_no}):
            yield rows[0]["data"]
            chunk_no += 1
        # The end of the bytes looks like their absence, also when they are deleted while somebody reads.
        if not await self._database.read(_SQL["find_blob"], {"digest": digest}):
            raise NotFound("there are no such bytes")

    async def sweep_blobs(self, *, older_than_s: float) -> int:
        """See ``EnvironmentStore.sweep_blobs``."""
        async with self._database.transaction() as connection:
            unused = await fetch(connection, _SQL["lock_unused_blobs"], {"older_than_s": older_than_s})
            digests = [row["digest"] for row in unused]
            return len(await fetch(connection, _SQL["delete_unused_blobs"], {"digests": digests}))

    # ---- images

    async def register_image(self, new: NewImage, *, digest: bytes, size_bytes: int) -> tuple[Image, bool]:
        """See ``EnvironmentStore.register_image``."""
        parameters = {
            "image_id": new_id(),
            "tenant_id": new.tenant_id,
            "name": new.name,
            "description": new.description,
            "digest": digest,
            "size_bytes": size_bytes,
            "metadata": Jsonb(dict(new.metadata)),
        }
        try:
            made = await self._database.write(_SQL["register_image"], parameters)
        except Violation as violation:
            if violation.constraint == "image_digest_fkey":
                raise NotFound("the bytes of the image are not stored", hint="Upload them again.") from violation
            raise
        if made:
            return _image_from(made[0]), True
        found = await self._database.read(_SQL["find_registered"], parameters)
        if not found:
            raise NotFound(f"image {new.name!r} was deleted meanwhile", hint="Upload it again.")
        return _image_from(found[0]), False

    async def find_image(self, tenant_id: TenantId | None, reference: str) -> Image | None:
        """See ``EnvironmentStore.find_image``."""
        parameters = {"tenant_id": tenant_id, "reference": reference}
        rows = await self._database.read(_SQL["find_image_by_id"], parameters)
        if not rows and tenant_id is not None:
            rows = await self._database.read(_SQL["find_image_by_name"], parameters)
        return _image_from(rows[0]) if rows else None

    async def list_images(self, tenant_id: TenantId | None, *, limit: int, cursor: str | None) -> Page[Image]:
        """See ``EnvironmentStore.list_images``."""
        parameters = {"tenant_id": tenant_id, "before": number_of(cursor), "limit": limit + 1}
        rows = [_image_from(row) for row in await self._database.read(_SQL["list_images"], parameters)]
        return page_of(rows, limit=limit, number=lambda image: image.image_no)

    async def get_image(self, image_no: int) -> Image:
        """See ``EnvironmentStore.get_image``."""
        rows = await self._database.read(_SQL["get_image"], {"image_no": image_no})
        if not rows:
            raise NotFound("there is no such image")
        return _image_from(rows[0])

    async def delete_image(self, image: Image) -> None:
        """See ``EnvironmentStore.delete_image``."""
        try:
            async with self._database.transaction() as connection:
                await fetch(connection, _SQL["lock_blob"], {"digest": image.digest})
                if not await fetch(connection, _SQL["delete_image"], {"image_no": image.image_no}):
                    raise NotFound(f"image {image.name!r} is gone already")
                await fetch(connection, _SQL["delete_unused_blob"], {"digest": image.digest})
        except Violation as violation:
            if violation.constraint == "instance_image_exists":
                raise ImageInUse(
                    f"an instance that has not ended needs image {image.name!r}",
                    hint="Wait for its end, or cancel it.",
                    image_id=image.image_id,
                ) from violation
            raise

    # ---- tokens

    async def create_token(self, token_hash: bytes, *, tenant_id: TenantId | None, note: str | None) -> Token:
        """See ``EnvironmentStore.create_token``."""
        parameters = {"token_id": new_id(), "token_hash": token_hash, "tenant_id": tenant_id, "note": note}
        try:
            (row,) = await self._database.write(_SQL["create_token"], parameters)
        except Violation as violation:
            raise AlreadyExists("this token exists") from violation
        return Token(**row)

    async def find_token(self, token_hash: bytes) -> Token | None:
        """See ``EnvironmentStore.find_token``."""
        rows = await self._database.read(_SQL["find_token"], {"token_hash": token_hash})
        return Token(**rows[0]) if rows else None

    async def list_tokens(self, tenant_id: TenantId | None) -> Sequence[Token]:
        """See ``EnvironmentStore.list_tokens``."""
        return [Token(**row) for row in await self._database.read(_SQL["list_tokens"], {"tenant_id": tenant_id})]

    async def revoke_token(self, token_id: str) -> None:
        """See ``EnvironmentStore.revoke_token``."""
        if not await self._database.write(_SQL["revoke_token"], {"token_id": token_id}):
            raise NotFound("there is no such token")


def _image_from(row: Row) -> Image:
    facts: dict[str, Any] = row
    return Image(**facts)


async def _split(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces that one row may hold."""
    async for chunk in chunks:
        for start in range(0, len(chunk), UPLOAD_CHUNK_BYTES_MAX):
            yield chunk[start : start + UPLOAD_CHUNK_BYTES_MAX]
