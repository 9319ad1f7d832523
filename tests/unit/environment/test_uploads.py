"""Uploads are taken in order, bounded, verified, and leave nothing behind when they break."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import anyio
import pytest

from runtara.environment.store.base import NewImage
from runtara.environment.uploads import Upload, read_chunks
from runtara.errors import DiskFull, ImageDigestMismatch, InvalidRequest, LimitExceeded, RuntaraError
from runtara.ids import TenantId
from runtara.limits import UPLOAD_CHUNK_BYTES_MAX

NEW = NewImage(tenant_id=TenantId("t"), name="n")
DATA = b"0123456789"
DIGEST = hashlib.sha256(DATA).digest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "upload"


def _upload(path: Path, *, size_bytes: int = len(DATA), digest: bytes | None = DIGEST) -> Upload:
    return Upload(NEW, path, size_bytes=size_bytes, digest=digest)


async def test_bytes_in_order_are_verified(path: Path) -> None:
    upload = _upload(path)
    await upload.write(DATA[:4], offset_bytes=0)
    await upload.write(DATA[4:], offset_bytes=4)
    assert await upload.verify() == DIGEST
    assert [chunk async for chunk in read_chunks(path)] == [DATA]
    upload.close()


async def test_chunks_that_are_sent_at_once_are_taken_in_the_order_of_sending(path: Path) -> None:
    upload = _upload(path, digest=None)

    async def send(offset: int) -> None:
        await upload.write(DATA[offset : offset + 1], offset_bytes=offset)

    async with anyio.create_task_group() as group:
        for offset in range(len(DATA)):
            group.start_soon(send, offset)
    assert await upload.verify() == DIGEST
    upload.close()


async def test_without_an_announced_digest_any_bytes_are_right(path: Path) -> None:
    upload = _upload(path, digest=None)
    await upload.write(DATA, offset_bytes=0)
    assert await upload.verify() == DIGEST
    upload.close()


@pytest.mark.parametrize(
    ("data", "offset_bytes", "error"),
    [
        (DATA, 1, InvalidRequest),
        (DATA + b"!", 0, LimitExceeded),
        (bytes(UPLOAD_CHUNK_BYTES_MAX + 1), 0, LimitExceeded),
    ],
    ids=["a gap", "more than announced", "a chunk one past its limit"],
)
async def test_a_wrong_chunk_ends_the_upload(
    path: Path, data: bytes, offset_bytes: int, error: type[RuntaraError]
) -> None:
    upload = _upload(path)
    with pytest.raises(error):
        await upload.write(data, offset_bytes=offset_bytes)
    assert not path.exists()
    assert not upload.is_open
    with pytest.raises(InvalidRequest, match="over"):
        await upload.write(DATA, offset_bytes=0)
    with pytest.raises(InvalidRequest, match="over"):
        await upload.verify()


async def test_a_chunk_at_its_limit_is_taken(path: Path) -> None:
    upload = _upload(path, size_bytes=UPLOAD_CHUNK_BYTES_MAX, digest=None)
    await upload.write(bytes(UPLOAD_CHUNK_BYTES_MAX), offset_bytes=0)
    await upload.verify()
    upload.close()


@pytest.mark.parametrize("sent", [DATA[:9], b"012345678x"], ids=["too few", "others"])
async def test_other_bytes_than_announced_are_refused(path: Path, sent: bytes) -> None:
    upload = _upload(path)
    await upload.write(sent, offset_bytes=0)
    with pytest.raises(ImageDigestMismatch):
        await upload.verify()
    upload.close()
    assert not path.exists()


async def test_an_upload_that_is_broken_off_leaves_nothing(path: Path) -> None:
    upload = _upload(path)
    await upload.write(DATA[:4], offset_bytes=0)
    upload.close()
    upload.close()
    assert not path.exists()


async def test_a_full_disk_is_said_with_a_time_to_come_back(path: Path) -> None:
    upload = _upload(path)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, upload._descriptor)
    os.close(full)
    with pytest.raises(DiskFull) as refused:
        await upload.write(DATA, offset_bytes=0)
    assert refused.value.retryable
    assert refused.value.retry_after_ms
    assert not path.exists()
