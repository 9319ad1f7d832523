"""Images: registered by content, refused whole, cached verified."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtara.core.persistence.memory import MemoryPersistence
from runtara.environment.images import ImageRegistry
from runtara.environment.store.base import Image, NewImage
from runtara.environment.store.memory import MemoryStore
from runtara.errors import (
    ImageDigestMismatch,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    Overloaded,
    RuntaraError,
    Unavailable,
)
from runtara.ids import TenantId
from runtara.limits import IMAGE_BYTES_MAX, UPLOADS_MAX
from runtara.testing.clock import ManualClock

TENANT = TenantId("tenant")
NEW = NewImage(tenant_id=TENANT, name="image")
PROGRAM = b"print('hello')\n"
DIGEST = hashlib.sha256(PROGRAM).digest()


class WatchedStore:
    """A store that counts, and that breaks when told."""

    def __init__(self, inner: MemoryStore) -> None:
        self._inner = inner
        self.reads = 0
        self.broken: set[str] = set()
        self.lies: bytes | None = None

    def __getattr__(self, name: str) -> Any:
        if name in self.broken:
            raise Unavailable("the database is away")
        return getattr(self._inner, name)

    async def read_blob(self, digest: bytes) -> AsyncIterator[bytes]:
        self.reads += 1
        if self.lies is not None:
            yield self.lies
            return
        async for chunk in self._inner.read_blob(digest):
            yield chunk


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore(MemoryStore(MemoryPersistence(clock=ManualClock())))


@pytest.fixture
def images(store: WatchedStore, tmp_path: Path) -> ImageRegistry:
    return ImageRegistry(store, data_dir=tmp_path)  # type: ignore[arg-type]


@pytest.fixture
async def image(images: ImageRegistry) -> Image:
    image, _ = await images.register(NEW, PROGRAM, digest=DIGEST)
    return image


def _leftovers(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "uploads").iterdir())


# ---- registering


async def test_an_image_is_what_its_bytes_are(images: ImageRegistry, tmp_path: Path) -> None:
    image, created = await images.register(NEW, PROGRAM, digest=None)
    assert created
    assert (image.digest, image.size_bytes, image.name) == (DIGEST, len(PROGRAM), "image")
    assert _leftovers(tmp_path) == []


async def test_the_same_bytes_under_the_same_name_are_the_same_image(images: ImageRegistry, image: Image) -> None:
    again, created = await images.register(NEW, PROGRAM, digest=DIGEST)
    assert (again, created) == (image, False)


async def test_in_pieces_it_is_the_same_image(images: ImageRegistry, image: Image) -> None:
    upload = images.begin(NEW, size_bytes=len(PROGRAM), digest=DIGEST)
    for offset in range(len(PROGRAM)):
        await upload.write(PROGRAM[offset : offset + 1], offset_bytes=offset)
    assert await images.finish(upload) == (image, False)


async def test_bytes_that_are_known_need_not_be_sent(images: ImageRegistry, image: Image) -> None:
    assert await images.find_same(NEW, digest=DIGEST) == image
    assert await images.find_same(NEW, digest=bytes(32)) is None


async def test_a_digest_alone_gives_nobody_the_bytes_of_another(images: ImageRegistry, image: Image) -> None:
    assert await images.find_same(NewImage(tenant_id=TenantId("other"), name="image"), digest=DIGEST) is None
    assert await images.find_same(NewImage(tenant_id=TENANT, name="other"), digest=DIGEST) is None
    by_id = NewImage(tenant_id=TENANT, name=image.image_id)
    assert await images.find_same(by_id, digest=DIGEST) is None


@pytest.mark.parametrize(
    ("data", "digest", "error"),
    [
        (PROGRAM, bytes(32), ImageDigestMismatch),
        (b"\x7fELF...", None, InvalidRequest),
        (b"", None, InvalidRequest),
        (PROGRAM, b"short", InvalidRequest),
    ],
    ids=["another digest", "a native executable", "nothing", "no digest"],
)
async def test_what_is_refused_leaves_nothing(
    images: ImageRegistry, tmp_path: Path, data: bytes, digest: bytes | None, error: type[RuntaraError]
) -> None:
    with pytest.raises(error):
        await images.register(NEW, data, digest=digest)
    assert _leftovers(tmp_path) == []
    with pytest.raises(NotFound):
        await images.get(TENANT, "image")


async def test_one_byte_past_the_limit_is_refused_before_it_is_sent(images: ImageRegistry) -> None:
    images.begin(NEW, size_bytes=IMAGE_BYTES_MAX, digest=None).close()
    with pytest.raises(LimitExceeded):
        images.begin(NEW, size_bytes=IMAGE_BYTES_MAX + 1, digest=None)


async def test_one_upload_too_many_has_to_come_back(images: ImageRegistry) -> None:
    uploads = [images.begin(NEW, size_bytes=1, digest=None) for _ in range(UPLOADS_MAX)]
    with pytest.raises(Overloaded):
        images.begin(NEW, size_bytes=1, digest=None)
    uploads[0].close()
    uploads[0] = images.begin(NEW, size_bytes=1, digest=None)
    for upload in uploads:
        upload.close()


@pytest.mark.parametrize("verb", ["put_blob", "register_image"])
async def test_an_outage_while_registering_leaves_nothing(
    images: ImageRegistry, store: WatchedStore, tmp_path: Path, verb: str
) -> None:
    store.broken = {verb}
    with pytest.raises(Unavailable):
        await images.register(NEW, PROGRAM, digest=DIGEST)
    assert _leftovers(tmp_path) == []
    store.broken = set()
    assert (await images.register(NEW, PROGRAM, digest=DIGEST))[1]


async def test_what_a_killed_server_left_of_uploads_is_removed(store: WatchedStore, tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "half").write_bytes(b"half")
    ImageRegistry(store, data_dir=tmp_path)  # type: ignore[arg-type]
    assert _leftovers(tmp_path) == []


# ---- looking


async def test_an_image_is_found_by_id_and_by_name_of_its_tenant(images: ImageRegistry, image: Image) -> None:
    assert await images.get(TENANT, image.image_id) == image
    assert await images.get(TENANT, "image") == image
    assert await images.get(None, image.image_id) == image
    for tenant, reference in [(TenantId("other"), image.image_id), (TenantId("other"), "image"), (TENANT, "no")]:
        with pytest.raises(NotFound):
            await images.get(tenant, reference)


async def test_a_deleted_image_is_gone(images: ImageRegistry, image: Image) -> None:
    await images.delete(TENANT, "image")
    with pytest.raises(NotFound):
        await images.delete(TENANT, "image")


# ---- the cache


async def test_a_registered_image_need_not_be_fetched(images: ImageRegistry, store: WatchedStore, image: Image) -> None:
    path = await images.fetch(image.image_no)
    assert path.read_bytes() == PROGRAM
    assert store.reads == 0


@pytest.fixture
async def elsewhere(store: WatchedStore, image: Image, tmp_path: Path) -> ImageRegistry:
    """Another server on the same database, with an empty disk."""
    return ImageRegistry(store, data_dir=tmp_path / "elsewhere")  # type: ignore[arg-type]


async def test_another_server_fetches_it_once(elsewhere: ImageRegistry, store: WatchedStore, image: Image) -> None:
    path = await elsewhere.fetch(image.image_no)
    assert path == await elsewhere.fetch(image.image_no)
    assert path.read_bytes() == PROGRAM
    assert store.reads == 1


async def test_many_who_want_it_at_once_fetch_it_once(
    elsewhere: ImageRegistry, store: WatchedStore, image: Image
) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(elsewhere.fetch, image.image_no)
    assert store.reads == 1


async def test_a_restarted_server_trusts_only_what_it_has_verified(
    store: WatchedStore, image: Image, tmp_path: Path
) -> None:
    successor = ImageRegistry(store, data_dir=tmp_path)  # type: ignore[arg-type]
    assert (await successor.fetch(image.image_no)).read_bytes() == PROGRAM
    assert store.reads == 0


@pytest.mark.parametrize("damage", [b"print('jello')\n", b"", None], ids=["other bytes", "cut off", "missing"])
async def test_a_damaged_file_is_fetched_again(
    images: ImageRegistry, store: WatchedStore, image: Image, damage: bytes | None
) -> None:
    path = await images.fetch(image.image_no)
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    assert (await images.fetch(image.image_no)).read_bytes() == PROGRAM
    assert store.reads == 1


async def test_a_store_that_has_other_bytes_is_a_bug_and_nothing_of_them_stays(
    elsewhere: ImageRegistry, store: WatchedStore, image: Image, tmp_path: Path
) -> None:
    store.lies = b"print('evil')\n"
    with pytest.raises(InternalError):
        await elsewhere.fetch(image.image_no)
    assert [path for path in (tmp_path / "elsewhere" / "images").rglob("*") if path.is_file()] == []


async def test_a_fetch_that_broke_off_can_be_repeated(
    elsewhere: ImageRegistry, store: WatchedStore, image: Image, tmp_path: Path
) -> None:
    store.broken = {"get_image"}
    with pytest.raises(Unavailable):
        await elsewhere.fetch(image.image_no)
    store.broken = set()
    assert (await elsewhere.fetch(image.image_no)).read_bytes() == PROGRAM


async def test_an_unknown_image_cannot_be_fetched(images: ImageRegistry) -> None:
    with pytest.raises(NotFound):
        await images.fetch(4711)
