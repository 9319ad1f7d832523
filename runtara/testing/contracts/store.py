"""What every ``EnvironmentStore`` must do. Subclass ``StoreContract`` and give it one, beside its persistence."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias

import pytest

from runtara.core.model import NewInstance
from runtara.core.persistence.base import Persistence
from runtara.environment.store.base import EnvironmentStore, Image, NewImage
from runtara.errors import AlreadyExists, ImageInUse, InvalidRequest, NotFound
from runtara.ids import InstanceId, TenantId
from runtara.limits import UPLOAD_CHUNK_BYTES_MAX

__all__ = (
    "Advance",
    "StoreContract",
    "StoreHost",
    "breaking",
    "chunked",
)

Advance: TypeAlias = Callable[[timedelta], Awaitable[None]]

ACME, GLOBEX = TenantId("acme"), TenantId("globex")
HOUR: Final = timedelta(hours=1)
HOUR_S: Final = 3600.0


@dataclass
class StoreHost:
    """What a test has in its hands."""

    store: EnvironmentStore
    persistence: Persistence
    advance: Advance
    """Let the time of the store go forward."""

    async def put(self, content: bytes, *, chunk_bytes: int = 2**20) -> bytes:
        """The digest of bytes that are stored now."""
        digest = hashlib.sha256(content).digest()
        await self.store.put_blob(digest, chunked(content, chunk_bytes))
        return digest

    async def read(self, digest: bytes) -> bytes:
        """What is stored under a digest."""
        return b"".join([chunk async for chunk in self.store.read_blob(digest)])

    async def has(self, content: bytes) -> bool:
        """True when these bytes are stored."""
        try:
            return await self.read(hashlib.sha256(content).digest()) == content
        except NotFound:
            return False

    async def image(self, name: str = "orders", content: bytes = b"1", tenant: TenantId = ACME, **facts: Any) -> Image:
        """A registered image of these bytes."""
        digest = await self.put(content)
        new = NewImage(tenant_id=tenant, name=name, **facts)
        image, _ = await self.store.register_image(new, digest=digest, size_bytes=len(content))
        return image

    async def start(self, image: Image) -> None:
        """An instance that needs the image."""
        await self.persistence.create_instance(
            NewInstance(
                tenant_id=image.tenant_id,
                instance_id=InstanceId("order-1"),
                image_no=image.image_no,
                image_id=image.image_id,
                input=b"",
            )
        )


async def chunked(content: bytes, chunk_bytes: int) -> AsyncIterator[bytes]:
    """The bytes, piece by piece."""
    for start in range(0, len(content), chunk_bytes):
        yield content[start : start + chunk_bytes]


async def breaking(content: bytes) -> AsyncIterator[bytes]:
    """Bytes that stop coming."""
    yield content
    raise ConnectionResetError("the client is gone")


class StoreContract(ABC):
    """Override the fixture ``host``."""

    @pytest.fixture
    @abstractmethod
    async def host(self) -> StoreHost:
        """A store with nothing in it, and a clock at any time."""

    # ---- bytes

    @pytest.mark.parametrize("size", [0, 1, UPLOAD_CHUNK_BYTES_MAX, 2 * UPLOAD_CHUNK_BYTES_MAX + 1])
    @pytest.mark.parametrize("chunk_bytes", [UPLOAD_CHUNK_BYTES_MAX // 2 + 1, 3 * UPLOAD_CHUNK_BYTES_MAX])
    async def test_bytes_come_back_as_they_were(self, host: StoreHost, size: int, chunk_bytes: int) -> None:
        content = (bytes(range(251)) * (size // 251 + 1))[:size]
        digest = await host.put(content, chunk_bytes=chunk_bytes)
        assert await host.read(digest) == content

    async def test_bytes_are_stored_once(self, host: StoreHost) -> None:
        digest = await host.put(b"1")
        await host.store.put_blob(digest, breaking(b"never asked for"))
        assert await host.read(digest) == b"1"

    async def test_an_upload_that_breaks_leaves_nothing(self, host: StoreHost) -> None:
        digest = hashlib.sha256(b"12").digest()
        with pytest.raises(ConnectionResetError):
            await host.store.put_blob(digest, breaking(b"1"))
        with pytest.raises(NotFound):
            await host.read(digest)
        assert await host.read(await host.put(b"12")) == b"12"

    async def test_bytes_that_no_image_needs_are_swept_after_a_while(self, host: StoreHost) -> None:
        await host.image(content=b"needed")
        await host.put(b"old")
        await host.advance(HOUR)
        await host.put(b"young")
        assert await host.store.sweep_blobs(older_than_s=HOUR_S) == 0
        await host.advance(timedelta(seconds=1))
        assert await host.store.sweep_blobs(older_than_s=HOUR_S) == 1
        assert [await host.has(content) for content in (b"needed", b"old", b"young")] == [True, False, True]

    async def test_bytes_that_are_uploaded_again_are_young_again(self, host: StoreHost) -> None:
        await host.put(b"1")
        await host.advance(2 * HOUR)
        await host.put(b"1")
        assert await host.store.sweep_blobs(older_than_s=HOUR_S) == 0

    # ---- images

    async def test_an_image_is_registered(self, host: StoreHost) -> None:
        facts: dict[str, Any] = {"description": "déjà", "metadata": {"artifact": {"a": [1, None, "ü"]}}}
        image = await host.image("orders", b"12", **facts)
        assert (image.name, image.tenant_id, image.size_bytes) == ("orders", ACME, 2)
        assert image.digest == hashlib.sha256(b"12").digest()
        assert (image.description, image.metadata) == ("déjà", facts["metadata"])
        assert await host.store.get_image(image.image_no) == image
        assert await host.store.find_image(ACME, image.image_id) == image

    async def test_an_image_needs_its_bytes(self, host: StoreHost) -> None:
        with pytest.raises(NotFound):
            await host.store.register_image(
                NewImage(tenant_id=ACME, name="orders"), digest=hashlib.sha256(b"").digest(), size_bytes=0
            )
        assert await host.store.find_image(ACME, "orders") is None

    async def test_the_same_name_and_bytes_are_the_same_image(self, host: StoreHost) -> None:
        digest = await host.put(b"1")
        new = NewImage(tenant_id=ACME, name="orders")
        first, is_new = await host.store.register_image(new, digest=digest, size_bytes=1)
        again, is_new_again = await host.store.register_image(new, digest=digest, size_bytes=1)
        assert (is_new, is_new_again) == (True, False)
        assert again == first

    async def test_a_name_leads_to_its_newest_image(self, host: StoreHost) -> None:
        old = await host.image("orders", b"1")
        new = await host.image("orders", b"2")
        assert await host.store.find_image(ACME, "orders") == new
        assert await host.store.find_image(ACME, old.image_id) == old
        await host.store.delete_image(new)
        assert await host.store.find_image(ACME, "orders") == old

    async def test_a_tenant_sees_only_its_own_images(self, host: StoreHost) -> None:
        image = await host.image("orders", tenant=ACME)
        assert await host.store.find_image(GLOBEX, "orders") is None
        assert await host.store.find_image(GLOBEX, image.image_id) is None
        assert await host.store.find_image(None, image.image_id) == image
        assert await host.store.find_image(None, "orders") is None

    async def test_images_are_listed_newest_first(self, host: StoreHost) -> None:
        images = [await host.image(f"n{number}") for number in range(3)]
        other = await host.image("theirs", tenant=GLOBEX)
        first = await host.store.list_images(ACME, limit=2, cursor=None)
        last = await host.store.list_images(ACME, limit=2, cursor=first.next_cursor)
        assert [*first.rows, *last.rows] == images[::-1]
        assert last.next_cursor is None
        assert list((await host.store.list_images(None, limit=9, cursor=None)).rows) == [other, *images[::-1]]
        with pytest.raises(InvalidRequest):
            await host.store.list_images(None, limit=9, cursor="x")

    async def test_an_image_that_is_not_there(self, host: StoreHost) -> None:
        image = await host.image()
        await host.store.delete_image(image)
        with pytest.raises(NotFound):
            await host.store.get_image(image.image_no)
        with pytest.raises(NotFound):
            await host.store.delete_image(image)

    async def test_deleting_an_image_deletes_its_bytes(self, host: StoreHost) -> None:
        await host.store.delete_image(await host.image(content=b"1"))
        assert not await host.has(b"1")

    async def test_bytes_that_another_image_has_stay(self, host: StoreHost) -> None:
        image = await host.image("a", b"1")
        await host.image("b", b"1", tenant=GLOBEX)
        await host.store.delete_image(image)
        assert await host.has(b"1")

    async def test_an_image_in_use_stays(self, host: StoreHost) -> None:
        image = await host.image(content=b"1")
        await host.start(image)
        with pytest.raises(ImageInUse):
            await host.store.delete_image(image)
        assert await host.store.get_image(image.image_no) == image
        assert await host.has(b"1")

    # ---- tokens

    async def test_a_token_is_found_by_its_hash(self, host: StoreHost) -> None:
        token = await host.store.create_token(b"1" * 32, tenant_id=ACME, note="ci")
        admin = await host.store.create_token(b"2" * 32, tenant_id=None, note=None)
        assert (token.tenant_id, token.note, token.revoked_at) == (ACME, "ci", None)
        assert (admin.tenant_id, admin.note) == (None, None)
        assert await host.store.find_token(b"1" * 32) == token
        assert await host.store.find_token(b"3" * 32) is None

    async def test_a_hash_is_one_token(self, host: StoreHost) -> None:
        await host.store.create_token(b"1" * 32, tenant_id=ACME, note=None)
        with pytest.raises(AlreadyExists):
            await host.store.create_token(b"1" * 32, tenant_id=GLOBEX, note=None)

    async def test_a_revoked_token_is_refused_and_still_listed(self, host: StoreHost) -> None:
        token = await host.store.create_token(b"1" * 32, tenant_id=ACME, note=None)
        await host.store.revoke_token(token.token_id)
        (revoked,) = await host.store.list_tokens(ACME)
        await host.advance(HOUR)
        await host.store.revoke_token(token.token_id)
        assert revoked.revoked_at == token.created_at
        assert list(await host.store.list_tokens(ACME)) == [revoked]
        assert await host.store.find_token(b"1" * 32) is None
        with pytest.raises(NotFound):
            await host.store.revoke_token("nobody")

    async def test_tokens_are_listed_by_tenant(self, host: StoreHost) -> None:
        acme = await host.store.create_token(b"1" * 32, tenant_id=ACME, note=None)
        await host.advance(HOUR)
        admin = await host.store.create_token(b"2" * 32, tenant_id=None, note=None)
        assert list(await host.store.list_tokens(ACME)) == [acme]
        assert list(await host.store.list_tokens(GLOBEX)) == []
        assert list(await host.store.list_tokens(None)) == [acme, admin]
