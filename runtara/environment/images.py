"""The images of all tenants: registered by content, listed, deleted, and fetched to this host for launches.

Story: bytes come in through a temporary file, are verified, go into the database, and get a name; then they are
an image. If anything breaks before that, nothing of them is left. The same bytes under the same name are the same
image, so a registration may be repeated.
"""

from __future__ import annotations

import hashlib
import uuid
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio.to_thread
import msgspec

from runtara.artifact import Manifest
from runtara.core.model import Page
from runtara.environment.artifacts import check_artifact
from runtara.environment.image_cache import ImageCache
from runtara.environment.store.base import EnvironmentStore, Image, NewImage
from runtara.environment.uploads import Upload, read_chunks
from runtara.errors import InvalidRequest, LimitExceeded, NotFound, Overloaded
from runtara.ids import TenantId
from runtara.limits import IMAGE_BYTES_MAX, UPLOAD_CHUNK_BYTES_MAX, UPLOADS_MAX

__all__ = ("ImageRegistry",)

_KNOWN_DIGESTS_MAX: Final = 10_000


class ImageRegistry:
    """See the module. ``data_dir`` gets the directories ``uploads`` and ``images``."""

    def __init__(self, store: EnvironmentStore, *, data_dir: Path) -> None:
        self._store = store
        self._uploads = data_dir / "uploads"
        self._cache = ImageCache(store, data_dir / "images")
        self._open: set[Upload] = set()
        self._digests: dict[int, bytes] = {}
        self._runnable: set[bytes] = set()
        self._uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in self._uploads.iterdir():
            leftover.unlink()  # Of a former server: nobody can go on with it.

    # ---- coming in

    async def register(self, new: NewImage, data: bytes, *, digest: bytes | None) -> tuple[Image, bool]:
        """Register in one piece; see ``finish``. ``digest``: what the caller believes to send."""
        upload = self.begin(new, size_bytes=len(data), digest=digest)
        for offset in range(0, len(data), UPLOAD_CHUNK_BYTES_MAX):
            await upload.write(data[offset : offset + UPLOAD_CHUNK_BYTES_MAX], offset_bytes=offset)
        return await self.finish(upload)

    async def find_same(self, new: NewImage, *, digest: bytes) -> Image | None:
        """The image that the tenant has under this name, if it has these bytes: then nothing needs to be sent.

        Only under the same name and tenant: knowing a digest must not give anybody the bytes of somebody else.
        """
        image = await self._store.find_image(new.tenant_id, new.name)
        return image if image is not None and image.digest == digest and image.name == new.name else None

    def begin(self, new: NewImage, *, size_bytes: int, digest: bytes | None) -> Upload:
        """Open an upload of bytes that are announced. The caller must ``finish`` or ``close`` it.

        Raises:
            InvalidRequest: there would be nothing in it, or the digest is none.
            LimitExceeded: it would be too large.
            Overloaded: too many are open.
            DiskFull: there is no room even for its name.
        """
        if size_bytes > IMAGE_BYTES_MAX:
            raise LimitExceeded(
                f"an image has at most {IMAGE_BYTES_MAX} bytes",
                limit="image_bytes",
                unit="bytes",
                maximum=IMAGE_BYTES_MAX,
                actual=size_bytes,
            )
        if size_bytes <= 0:
            raise InvalidRequest("an image has at least one byte", field="size_bytes")
        if digest is not None and len(digest) != hashlib.sha256().digest_size:
            raise InvalidRequest("the digest is not a SHA-256", field="digest")
        self._open = {upload for upload in self._open if upload.is_open}
        if len(self._open) >= UPLOADS_MAX:
            raise Overloaded("too many uploads at once", retry_after_ms=5_000)
        upload = Upload(new, self._uploads / uuid.uuid4().hex, size_bytes=size_bytes, digest=digest)
        self._open.add(upload)
        return upload

    async def finish(self, upload: Upload) -> tuple[Image, bool]:
        """The image, durable, and whether this call made it. Whatever it raises, nothing is left of the upload.

        Raises:
            ImageDigestMismatch: the bytes are not those that were announced.
            ArtifactMalformed: this server cannot run them.
            UnsupportedVersion: they were compiled for another runtime.
        """
        try:
            digest = await upload.verify()
            manifest = await anyio.to_thread.run_sync(check_artifact, upload.path)
            async with aclosing(read_chunks(upload.path)) as chunks:
                await self._store.put_blob(digest, chunks)
            new = _described(upload.new, manifest)
            registered = await self._store.register_image(new, digest=digest, size_bytes=upload.size_bytes)
            self._cache.adopt(upload.path, digest)
            self._runnable.add(digest)
            return registered
        finally:
            upload.close()

    # ---- looking

    async def get(self, tenant_id: TenantId | None, reference: str) -> Image:
        """By id, or by name within the tenant. Raises ``NotFound``."""
        image = await self._store.find_image(tenant_id, reference)
        if image is None:
            raise NotFound(f"there is no image {reference!r}", hint="`runtara image list` shows what there is.")
        return image

    async def list(self, tenant_id: TenantId | None, *, limit: int, cursor: str | None) -> Page[Image]:
        """Newest first."""
        return await self._store.list_images(tenant_id, limit=limit, cursor=cursor)

    async def delete(self, tenant_id: TenantId | None, reference: str) -> None:
        """Raises ``NotFound``, or ``ImageInUse`` while an instance that has not ended needs it.

        The file in the cache stays: another image may have the same bytes, and programs may be reading it.
        """
        await self._store.delete_image(await self.get(tenant_id, reference))

    # ---- going out

    async def fetch(self, image_no: int) -> Path:
        """The artifact on this host, verified, and known to run here.

        Raises:
            NotFound: there is no such image.
            ArtifactMalformed: this server cannot run it.
            UnsupportedVersion: it was compiled for another runtime.
            DiskFull: there is no room for it here.
        """
        digest = await self._digest(image_no)
        path = await self._cache.fetch(digest)
        if digest not in self._runnable:
            await anyio.to_thread.run_sync(check_artifact, path)
            self._runnable.add(digest)
        return path

    async def _digest(self, image_no: int) -> bytes:
        """Remembered, because an image never changes and a launch should not ask the database."""
        digest = self._digests.get(image_no)
        if digest is None:
            digest = (await self._store.get_image(image_no)).digest
            if len(self._digests) >= _KNOWN_DIGESTS_MAX:
                self._digests.clear()
                self._runnable.clear()
            self._digests[image_no] = digest
        return digest


def _described(new: NewImage, manifest: Manifest | None) -> NewImage:
    """With what the compiler says of the artifact."""
    if manifest is None:
        return new
    return replace(new, metadata={**new.metadata, "artifact": msgspec.to_builtins(manifest)})
