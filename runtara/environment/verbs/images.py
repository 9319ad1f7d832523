"""Registering images in one piece or in many, listing, reading and removing them."""

from __future__ import annotations

from runtara.environment.access import DEFAULT_TENANT
from runtara.environment.images import ImageRegistry
from runtara.environment.store.base import Image, NewImage
from runtara.environment.verbs.caller import Caller
from runtara.environment.verbs.checks import check_cursor, check_metadata, check_page, check_text
from runtara.environment.verbs.views import image_view
from runtara.errors import InvalidRequest, NotFound
from runtara.ids import TenantId, parse_image_id, parse_name
from runtara.limits import UPLOAD_CHUNK_BYTES_MAX
from runtara.protocol import messages as m

__all__ = ("ImageVerbs", "get_image")


async def get_image(images: ImageRegistry, caller: Caller, tenant_id: str | None, reference: str) -> Image:
    """The image, by id or by name, if the caller may see it.

    An administrator who names no tenant means an id, or a name of the default tenant.

    Raises:
        NotFound: there is none, or it is another tenant's.
    """
    scope, reference = caller.principal.scope(tenant_id), parse_image_id(reference)
    if scope is not None:
        return await images.get(scope, reference)
    try:
        return await images.get(None, reference)
    except NotFound:
        return await images.get(DEFAULT_TENANT, reference)


class ImageVerbs:
    """See the module."""

    def __init__(self, images: ImageRegistry) -> None:
        self._images = images

    # ---- coming in

    async def register(self, caller: Caller, request: m.RegisterImage) -> m.ImageRegistered:
        """Register in one request. Repeating it gives the same image."""
        new = _new_image(caller, request)
        digest = None if request.digest is None else _parse_digest(request.digest)
        image, created = await self._images.register(new, request.data, digest=digest)
        return m.ImageRegistered(image_view(image), created)

    async def begin(self, caller: Caller, request: m.BeginImage) -> m.UploadBegun:
        """Open an upload of this connection; or say that the bytes are known already."""
        new, digest = _new_image(caller, request), _parse_digest(request.digest)
        same = await self._images.find_same(new, digest=digest)
        if same is not None:
            return m.UploadBegun(0, UPLOAD_CHUNK_BYTES_MAX, image_view(same))
        upload = self._images.begin(new, size_bytes=request.size_bytes, digest=digest)
        return m.UploadBegun(caller.keep_upload(upload), UPLOAD_CHUNK_BYTES_MAX)

    async def take_chunk(self, caller: Caller, request: m.UploadChunk) -> m.Ok:
        """Take the next bytes. After an error the upload is over."""
        upload = caller.find_upload(request.upload_no)
        if upload is None:
            raise _unknown_upload(request.upload_no)
        await upload.write(request.data, offset_bytes=request.offset_bytes)
        return m.Ok()

    async def finish(self, caller: Caller, request: m.FinishImage) -> m.ImageRegistered:
        """Verify and register. Whatever it raises, the upload is over."""
        upload = caller.take_upload(request.upload_no)
        if upload is None:
            raise _unknown_upload(request.upload_no)
        image, created = await self._images.finish(upload)
        return m.ImageRegistered(image_view(image), created)

    # ---- looking and removing

    async def get(self, caller: Caller, request: m.GetImage) -> m.ImageView:
        """One image."""
        return image_view(await get_image(self._images, caller, request.tenant_id, request.image))

    async def list(self, caller: Caller, request: m.ListImages) -> m.ImagePage:
        """A page of images, newest first."""
        scope = caller.principal.scope(request.tenant_id)
        page = await self._images.list(scope, limit=check_page(request.limit), cursor=check_cursor(request.cursor))
        return m.ImagePage(tuple(image_view(image) for image in page.rows), page.next_cursor)

    async def delete(self, caller: Caller, request: m.DeleteImage) -> m.Ok:
        """Remove one. Raises ``ImageInUse`` while an instance that has not ended needs it."""
        image = await get_image(self._images, caller, request.tenant_id, request.image)
        await self._images.delete(TenantId(image.tenant_id), image.image_id)
        return m.Ok()


def _new_image(caller: Caller, request: m.RegisterImage | m.BeginImage) -> NewImage:
    return NewImage(
        tenant_id=caller.principal.home(request.tenant_id),
        name=parse_name(request.name, what="image_name"),
        description=check_text("description", request.description),
        metadata=check_metadata(request.metadata),
    )


def _parse_digest(written: str) -> bytes:
    try:
        return bytes.fromhex(written)
    except ValueError:
        raise InvalidRequest(
            f"{written[:80]!r} is not a digest", hint="Send the SHA-256 in hexadecimal.", field="digest"
        ) from None


def _unknown_upload(upload_no: int) -> InvalidRequest:
    return InvalidRequest(
        f"this connection has no upload {upload_no}", hint="Begin again; uploads end with their connection.",
        field="upload_no",
    )  # fmt: skip
