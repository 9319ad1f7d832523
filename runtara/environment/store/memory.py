"""``EnvironmentStore`` in dictionaries, beside a ``MemoryPersistence`` whose instances need its images."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from runtara.clock import Clock, SystemClock
from runtara.core.model import Page
from runtara.core.persistence.cursors import number_of, page_of
from runtara.core.persistence.memory import MemoryPersistence
from runtara.environment.store.base import Image, NewImage, Token
from runtara.errors import AlreadyExists, ImageInUse, NotFound
from runtara.ids import ImageId, TenantId, new_id

__all__ = ("MemoryStore",)


@dataclass(slots=True)
class _Blob:
    chunks: list[bytes]
    created_at: datetime


class MemoryStore:
    """See ``EnvironmentStore``."""

    def __init__(self, persistence: MemoryPersistence, *, clock: Clock | None = None) -> None:
        self._tables = persistence.tables
        self._tables.image_exists = lambda image_no: image_no in self._images
        self._clock = clock or SystemClock()
        self._blobs: dict[bytes, _Blob] = {}
        self._images: dict[int, Image] = {}
        self._tokens: dict[bytes, Token] = {}

    # ---- bytes

    async def put_blob(self, digest: bytes, chunks: AsyncIterator[bytes]) -> None:
        """See ``EnvironmentStore.put_blob``."""
        if digest not in self._blobs:
            received = [chunk async for chunk in chunks]
            self._blobs[digest] = _Blob(received, self._clock.now())
        self._blobs[digest].created_at = self._clock.now()

    async def read_blob(self, digest: bytes) -> AsyncIterator[bytes]:
        """See ``EnvironmentStore.read_blob``."""
        if digest not in self._blobs:
            raise NotFound("there are no such bytes")
        for chunk in self._blobs[digest].chunks:
            yield chunk

    async def sweep_blobs(self, *, older_than_s: float) -> int:
        """See ``EnvironmentStore.sweep_blobs``."""
        latest = self._clock.now() - timedelta(seconds=older_than_s)
        unused = [
            digest for digest, blob in self._blobs.items() if blob.created_at < latest and not self._is_used(digest)
        ]
        for digest in unused:
            del self._blobs[digest]
        return len(unused)

    # ---- images

    async def register_image(self, new: NewImage, *, digest: bytes, size_bytes: int) -> tuple[Image, bool]:
        """See ``EnvironmentStore.register_image``."""
        for image in self._images.values():
            if (image.tenant_id, image.name, image.digest) == (new.tenant_id, new.name, digest):
                return image, False
        if digest not in self._blobs:
            raise NotFound("the bytes of the image are not stored", hint="Upload them again.")
        image = Image(
            image_no=self._tables.next_number(),
            image_id=ImageId(new_id()),
            tenant_id=new.tenant_id,
            name=new.name,
            description=new.description,
            digest=digest,
            size_bytes=size_bytes,
            metadata=dict(new.metadata),
            created_at=self._clock.now(),
        )
        self._images[image.image_no] = image
        return image, True

    async def find_image(self, tenant_id: TenantId | None, reference: str) -> Image | None:
        """See ``EnvironmentStore.find_image``."""
        images = [image for image in self._newest_first() if tenant_id in (None, image.tenant_id)]
        by_id = [image for image in images if image.image_id == reference]
        by_name = [image for image in images if tenant_id is not None and image.name == reference]
        return next(iter(by_id or by_name), None)

    async def list_images(self, tenant_id: TenantId | None, *, limit: int, cursor: str | None) -> Page[Image]:
        """See ``EnvironmentStore.list_images``."""
        before = number_of(cursor)
        images = [i for i in self._newest_first() if tenant_id in (None, i.tenant_id) and i.image_no < before]
        return page_of(images, limit=limit, number=lambda image: image.image_no)

    async def get_image(self, image_no: int) -> Image:
        """See ``EnvironmentStore.get_image``."""
        if image_no not in self._images:
            raise NotFound("there is no such image")
        return self._images[image_no]

    async def delete_image(self, image: Image) -> None:
        """See ``EnvironmentStore.delete_image``."""
        if image.image_no not in self._images:
            raise NotFound(f"image {image.name!r} is gone already")
        if any(row.image_no == image.image_no for row in self._tables.instances.values()):
            raise ImageInUse(
                f"an instance that has not ended needs image {image.name!r}",
                hint="Wait for its end, or cancel it.",
                image_id=image.image_id,
            )
        del self._images[image.image_no]
        if not self._is_used(image.digest):
            self._blobs.pop(image.digest, None)

    # ---- tokens

    async def create_token(self, token_hash: bytes, *, tenant_id: TenantId | None, note: str | None) -> Token:
        """See ``EnvironmentStore.create_token``."""
        if token_hash in self._tokens:
            raise AlreadyExists("this token exists")
        token = Token(token_id=new_id(), tenant_id=tenant_id, note=note, created_at=self._clock.now(), revoked_at=None)
        self._tokens[token_hash] = token
        return token

    async def find_token(self, token_hash: bytes) -> Token | None:
        """See ``EnvironmentStore.find_token``."""
        token = self._tokens.get(token_hash)
        return token if token is not None and token.revoked_at is None else None

    async def list_tokens(self, tenant_id: TenantId | None) -> Sequence[Token]:
        """See ``EnvironmentStore.list_tokens``."""
        tokens = [token for token in self._tokens.values() if tenant_id in (None, token.tenant_id)]
        return sorted(tokens, key=lambda token: (token.created_at, token.token_id))

    async def revoke_token(self, token_id: str) -> None:
        """See ``EnvironmentStore.revoke_token``."""
        for token_hash, token in self._tokens.items():
            if token.token_id == token_id:
                revoked_at = token.revoked_at or self._clock.now()
                self._tokens[token_hash] = replace(token, revoked_at=revoked_at)
                return
        raise NotFound("there is no such token")

    # ---- small parts

    def _newest_first(self) -> list[Image]:
        return sorted(self._images.values(), key=lambda image: -image.image_no)

    def _is_used(self, digest: bytes) -> bool:
        return any(image.digest == digest for image in self._images.values())
