"""Bytes of an image on their way in: a temporary file with a running size and digest, gone unless it is finished."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from runtara.environment.store.base import NewImage
from runtara.errors import DiskFull, ImageDigestMismatch, InvalidRequest, LimitExceeded
from runtara.limits import UPLOAD_CHUNK_BYTES_MAX

__all__ = ("Upload", "disk_full_is_typed", "read_chunks")

_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def disk_full_is_typed(what: str) -> Iterator[None]:
    """Turns the system's word for a full disk into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise DiskFull(
                f"the server's disk has no room for {what}",
                hint="Free space under DATA_DIR, then try again.",
                retry_after_ms=60_000,
            ) from error
        raise


class Upload:
    """The bytes of one new image, in order. After any error of ``write`` nothing is left and no more is taken.

    Whoever has one must hand it to ``ImageRegistry.finish`` or ``close`` it.
    """

    def __init__(self, new: NewImage, path: Path, *, size_bytes: int, digest: bytes | None) -> None:
        self.new = new
        self.path = path
        self.size_bytes = size_bytes
        self._announced = digest
        self._hash = hashlib.sha256()
        self._received_bytes = 0
        self._lock = anyio.Lock()
        with disk_full_is_typed("an upload"):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    @property
    def is_open(self) -> bool:
        """False when it was finished, or broken off."""
        return self._descriptor >= 0

    async def write(self, data: bytes, *, offset_bytes: int) -> None:
        """Take the next bytes; on the disk (not yet for ever) on return.

        Raises:
            InvalidRequest: they are not the next ones, or the upload is over.
            LimitExceeded: they are more than was announced, or than a chunk may have.
            DiskFull: nothing of the upload is left.
        """
        async with self._lock:
            try:
                self._check(data, offset_bytes)
                with disk_full_is_typed("an upload"):
                    await anyio.to_thread.run_sync(self._append, data)
            except BaseException:
                self.close()
                raise

    async def verify(self) -> bytes:
        """The digest of all the bytes that were announced.

        Raises:
            InvalidRequest: the upload is over.
            ImageDigestMismatch: some are missing, or they are other bytes.
        """
        async with self._lock:
            self._check_open()
        digest = self._hash.digest()
        if self._received_bytes != self.size_bytes or self._announced not in (None, digest):
            raise ImageDigestMismatch(
                f"{self._received_bytes} bytes with digest {digest.hex()[:12]} arrived, not those that were announced",
                hint="Send the file again.",
                size_bytes=self.size_bytes,
                received_bytes=self._received_bytes,
                digest=digest.hex(),
            )
        return digest

    async def abandon(self) -> None:
        """Close it after the write that runs, if any: its descriptor must not become another file's. Safe twice."""
        async with self._lock:
            self.close()

    def close(self) -> None:
        """Remove what arrived, unless somebody has moved it away. No write may run. Safe twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self.path.unlink(missing_ok=True)

    def _check(self, data: bytes, offset_bytes: int) -> None:
        self._check_open()
        if len(data) > UPLOAD_CHUNK_BYTES_MAX:
            raise _too_many("upload_chunk_bytes", UPLOAD_CHUNK_BYTES_MAX, len(data))
        if offset_bytes != self._received_bytes:
            raise InvalidRequest(
                f"the next byte of the upload is {self._received_bytes}, not {offset_bytes}",
                hint="Send chunks in order, each once.",
                offset_bytes=self._received_bytes,
            )
        if offset_bytes + len(data) > self.size_bytes:
            raise _too_many("upload_bytes", self.size_bytes, offset_bytes + len(data))

    def _check_open(self) -> None:
        if not self.is_open:
            raise InvalidRequest("the upload is over", hint="Begin another one.")

    def _append(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]
        self._hash.update(data)
        self._received_bytes += len(data)


def _too_many(limit: str, maximum: int, actual: int) -> LimitExceeded:
    return LimitExceeded(
        f"{actual} bytes, and {maximum} are allowed", limit=limit, unit="bytes", maximum=maximum, actual=actual
    )


async def read_chunks(path: Path) -> AsyncGenerator[bytes, None]:
    """The bytes of a file, chunk by chunk."""
    async with await anyio.open_file(path, "rb") as file:
        while chunk := await file.read(UPLOAD_CHUNK_BYTES_MAX):
            yield chunk
