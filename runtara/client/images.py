"""Registering, listing and removing images."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread

from runtara.client.calls import Calls, iter_pages
from runtara.client.records import Image
from runtara.client.uploads import OnProgress, upload
from runtara.errors import Unavailable
from runtara.limits import PAGE_ROWS_DEFAULT, UPLOAD_CHUNK_BYTES_MAX
from runtara.protocol import messages as m
from runtara.transport.peer import Peer

__all__ = ("ImageCalls",)

# Up to here one request carries it all, which a lost connection only delays.
_ONE_REQUEST_BYTES_MAX: Final = 4 * 1024 * 1024
_UPLOAD_TRIES: Final = 5
_UPLOAD_DELAY_S: Final = 0.2


class ImageCalls(Calls):
    """See the module."""

    async def register_image(
        self,
        artifact: bytes | Path,
        *,
        name: str,
        tenant_id: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Image:
        """The registered image. The same bytes under the same name are the same image, however often they are sent.

        A new artifact under a known name is a new image, and the name leads to it from then on.
        """
        data = artifact if isinstance(artifact, bytes) else await _read_small(artifact)
        if data is None or len(data) > _ONE_REQUEST_BYTES_MAX:
            begin = await _announce(artifact, self._tenant(tenant_id), name, description, metadata)
            return await self._upload_again_and_again(begin, artifact, on_progress)
        request = m.RegisterImage(
            tenant_id=self._tenant(tenant_id),
            name=name,
            data=data,
            digest=hashlib.sha256(data).hexdigest(),
            description=description,
            metadata=dict(metadata or {}),
        )
        registered = await self._call(request, m.ImageRegistered)
        if on_progress is not None:
            on_progress(len(data))
        return Image.from_view(registered.image)

    async def register_image_stream(
        self,
        chunks: AsyncIterator[bytes],
        *,
        name: str,
        size_bytes: int,
        digest: str,
        tenant_id: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Image:
        """The registered image, its bytes taken from an iterator. ``digest``: SHA-256 in hexadecimal.

        Raises:
            ImageDigestMismatch: the bytes are not those that were announced.
            Unavailable: the upload was interrupted; nothing was registered. An iterator cannot be read again, so
                the caller has to.
        """
        begin = m.BeginImage(
            self._tenant(tenant_id), name, size_bytes, digest, description=description, metadata=dict(metadata or {})
        )
        return await self._upload((await self._connections.get()).peer, begin, chunks, on_progress)

    async def get_image(self, image: str, *, tenant_id: str | None = None) -> Image:
        """An image by id, or by name. Raises ``NotFound``."""
        return Image.from_view(await self._call(m.GetImage(self._tenant(tenant_id), image), m.ImageView))

    def list_images(
        self, *, tenant_id: str | None = None, page_rows: int = PAGE_ROWS_DEFAULT
    ) -> AsyncGenerator[Image, None]:
        """All images, newest first, read page by page."""

        async def read(cursor: str | None) -> tuple[Sequence[Image], str | None]:
            page = await self._call(m.ListImages(self._tenant(tenant_id), page_rows, cursor), m.ImagePage)
            return [Image.from_view(view) for view in page.images], page.next_cursor

        return iter_pages(read)

    async def delete_image(self, image: str, *, tenant_id: str | None = None) -> None:
        """Remove an image. Raises ``NotFound``, or ``ImageInUse`` while an instance that has not ended needs it."""
        await self._call(m.DeleteImage(self._tenant(tenant_id), image), m.Ok)

    async def _upload_again_and_again(
        self, begin: m.BeginImage, artifact: bytes | Path, on_progress: OnProgress | None
    ) -> Image:
        """Bytes that can be read again are sent again when the connection was lost; the same image twice is one."""
        for tries_left in reversed(range(_UPLOAD_TRIES)):
            peer: Peer | None = None
            try:
                peer = (await self._connections.get()).peer
                return await self._upload(peer, begin, _chunks(artifact), on_progress)
            except Unavailable as error:
                is_lost = peer is None or peer.is_closed
                if not tries_left or not (is_lost or self._is_soon_over(error)):
                    raise
                await self._clock.sleep(max(_UPLOAD_DELAY_S, (error.retry_after_ms or 0) / 1000))
        raise AssertionError("the last try returns or raises")

    def _is_soon_over(self, error: Unavailable) -> bool:
        """Whether the server says when to come back, and that is no longer than a request may take.

        A full disk is not: it will be as full when all the bytes have arrived again.
        """
        return error.retry_after_ms is not None and error.retry_after_ms <= self.request_timeout_s * 1000

    async def _upload(
        self, peer: Peer, begin: m.BeginImage, chunks: AsyncIterator[bytes], on_progress: OnProgress | None
    ) -> Image:
        registered = await upload(peer, begin, chunks, timeout_s=self.request_timeout_s, on_progress=on_progress)
        return Image.from_view(registered.image)


async def _read_small(path: Path) -> bytes | None:
    """The whole file when it is small, else None."""
    file = anyio.Path(path)
    return await file.read_bytes() if (await file.stat()).st_size <= _ONE_REQUEST_BYTES_MAX else None


async def _announce(
    artifact: bytes | Path,
    tenant_id: str | None,
    name: str,
    description: str | None,
    metadata: Mapping[str, Any] | None,
) -> m.BeginImage:
    digest, size_bytes = await anyio.to_thread.run_sync(_digest_and_size, artifact)
    return m.BeginImage(tenant_id, name, size_bytes, digest, description=description, metadata=dict(metadata or {}))


def _digest_and_size(artifact: bytes | Path) -> tuple[str, int]:
    if isinstance(artifact, bytes):
        return hashlib.sha256(artifact).hexdigest(), len(artifact)
    with artifact.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


async def _chunks(artifact: bytes | Path) -> AsyncIterator[bytes]:
    if isinstance(artifact, bytes):
        yield artifact
        return
    async with await anyio.open_file(artifact, "rb") as file:
        while chunk := await file.read(UPLOAD_CHUNK_BYTES_MAX):
            yield chunk
