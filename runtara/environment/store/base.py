"""The contract of the environment's own rows: images with their bytes, and access tokens. Nothing here runs.

The rules are those of ``core.persistence.base``. An image is content-addressed: its bytes live once per digest, in
chunks; an image row gives them a name within a tenant. Same tenant, name and digest: the same image. A new digest
under a known name is a new image, and the name leads to it from then on. An image is never deleted while an instance
that has not ended needs it: ``instance.image_no`` is a foreign key that a terminal change sets to NULL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from runtara.core.model import Page
from runtara.ids import ImageId, TenantId

__all__ = ("EnvironmentStore", "Image", "NewImage", "Token")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """What is known of an image before its bytes."""

    tenant_id: TenantId
    name: str
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """JSON object; what the compiler says of the artifact is under ``artifact``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A registered artifact."""

    image_no: int
    image_id: ImageId
    tenant_id: TenantId
    name: str
    description: str | None
    digest: bytes
    """SHA-256 of the bytes, 32 bytes."""
    size_bytes: int
    metadata: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token; of its secret only the SHA-256 is stored."""

    token_id: str
    tenant_id: TenantId | None
    """None: an administrator's, which may name any tenant."""
    note: str | None
    created_at: datetime
    revoked_at: datetime | None


class EnvironmentStore(Protocol):
    """See the module."""

    # -- images

    async def put_blob(self, digest: bytes, chunks: AsyncIterator[bytes]) -> None:
        """Store bytes under their digest, in chunks of at most 1 MiB, in one transaction; a no-op when they are there.

        The caller has verified the digest. When it raises, nothing of them is left. An unreferenced blob may vanish
        after an hour (``sweep_blobs``), so register the image next.
        """

    def read_blob(self, digest: bytes) -> AsyncIterator[bytes]:
        """The bytes, chunk by chunk. Raises ``NotFound``."""

    async def register_image(self, new: NewImage, *, digest: bytes, size_bytes: int) -> tuple[Image, bool]:
        """The image, and whether this call made it. The blob must be stored: ``NotFound`` otherwise."""

    async def find_image(self, tenant_id: TenantId | None, reference: str) -> Image | None:
        """By id, or by name (the newest of that name). Without a tenant only by id."""

    async def list_images(self, tenant_id: TenantId | None, *, limit: int, cursor: str | None) -> Page[Image]:
        """Newest first."""

    async def delete_image(self, image: Image) -> None:
        """Remove the row, and its bytes when no other image has the digest.

        Raises ``ImageInUse`` when an instance that has not ended needs it, ``NotFound`` when it is gone already.
        """

    async def get_image(self, image_no: int) -> Image:
        """By number, or ``NotFound``."""

    async def sweep_blobs(self, *, older_than_s: float) -> int:
        """Remove bytes that no image refers to; how many blobs there were."""

    # -- tokens

    async def create_token(self, token_hash: bytes, *, tenant_id: TenantId | None, note: str | None) -> Token:
        """Store a token by the SHA-256 of its secret."""

    async def find_token(self, token_hash: bytes) -> Token | None:
        """The token, unless it is unknown or revoked."""

    async def list_tokens(self, tenant_id: TenantId | None) -> Sequence[Token]:
        """All tokens, of one tenant when given, revoked ones included."""

    async def revoke_token(self, token_id: str) -> None:
        """It is refused from now on. Raises ``NotFound``; revoking twice is fine."""
